"""The Rust library as a whole: its version, its own tests, bad arguments, and what happens where it is not there."""

from __future__ import annotations

import importlib
import re
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from linnet.core.native import checked, native_available, native_problem, native_version, opened
from linnet.tokenizer.bpe_tokenizer import train_bpe

REPOSITORY = Path(__file__).parents[2]

with_native = pytest.mark.skipif(not native_available(), reason=f"no native library: {native_problem()}")


def test_the_error_codes_are_those_of_the_header() -> None:
    cffi = pytest.importorskip("cffi")
    header = cffi.FFI()
    header.cdef((REPOSITORY / "native" / "include" / "linnet.h").read_text("utf-8"))
    codes = header.dlopen(None)
    source = (REPOSITORY / "native" / "src" / "lib.rs").read_text("utf-8")
    named = dict(re.findall(r"^const (\w+): i64 = (-\d+); // LINNET_\1$", source, re.MULTILINE))
    assert named.keys() == {"BAD_ARGUMENT", "BUG"}
    said = {name: getattr(codes, name) for name in dir(codes) if name.startswith("LINNET_")}
    assert {f"LINNET_{name}": int(code) for name, code in named.items()} == said


@with_native
def test_bad_arguments_are_codes_and_not_crashes() -> None:
    ffi, lib, _ = opened()
    assert lib.linnet_trainer_new(ffi.NULL, ffi.NULL, ffi.NULL, 3) == ffi.NULL
    descending = ffi.new("uint64_t[]", [3, 1])
    assert lib.linnet_trainer_new(ffi.new("uint8_t[]", 3), descending, ffi.new("uint64_t[]", [1, 1]), 2) == ffi.NULL
    assert lib.linnet_trainer_learn(ffi.NULL, ffi.NULL, 1) == -1
    lib.linnet_trainer_free(ffi.NULL)
    assert lib.linnet_counter_new(99) == ffi.NULL
    assert lib.linnet_counter_add(ffi.NULL, ffi.NULL, ffi.NULL, 0, 1) == -1
    assert lib.linnet_counter_trainer(ffi.NULL) == ffi.NULL
    lib.linnet_counter_free(ffi.NULL)
    assert lib.linnet_chunks(99, b"a", 1, ffi.new("uint64_t[1]")) == -1
    assert lib.linnet_chunks(0, ffi.NULL, 1, ffi.NULL) == -1
    all_bytes, ends = bytes(range(256)), ffi.new("uint64_t[]", list(range(1, 257)))
    assert lib.linnet_encoder_new(99, all_bytes, ends, 256, ffi.NULL, 0, 0) == ffi.NULL
    assert lib.linnet_encoder_new(0, all_bytes, ends, 255, ffi.NULL, 0, 0) == ffi.NULL  # a byte without a token
    assert lib.linnet_encoder_new(0, ffi.NULL, ffi.NULL, 256, ffi.NULL, 0, 0) == ffi.NULL
    encoder = ffi.gc(lib.linnet_encoder_new(0, all_bytes, ends, 256, ffi.NULL, 0, 0), lib.linnet_encoder_free)
    assert encoder != ffi.NULL
    assert lib.linnet_encode(encoder, ffi.NULL, 1) == ffi.NULL
    assert lib.linnet_encode_batch(encoder, ffi.new("uint8_t[]", 3), descending, 2, 1) == ffi.NULL
    lib.linnet_encoder_free(ffi.NULL)
    assert lib.linnet_ids_look(ffi.NULL, ffi.NULL, ffi.NULL, ffi.NULL) == ffi.NULL
    lib.linnet_ids_free(ffi.NULL)
    assert lib.linnet_merges_of_ids(all_bytes, ends, 0, ffi.new("uint32_t[3]")) == -1  # no tokens at all
    assert lib.linnet_merges_of_ids(all_bytes, ends, 255, ffi.new("uint32_t[765]")) == -1
    with pytest.raises(RuntimeError, match="linnet_x"):
        checked(-2, "linnet_x")


@with_native
def test_merges_that_make_no_token_are_refused() -> None:
    """Else bytes would be lost: the ids that such a merge makes stand for others."""
    ffi, lib, _ = opened()
    tokens = bytes(range(256)) + b"ab" + b"abc"
    ends = ffi.new("uint64_t[]", [*range(1, 257), 258, 261])

    def takes(*merges: tuple[int, int, int]) -> bool:
        flat = ffi.new("uint32_t[]", [token for merge in merges for token in merge])
        handle = ffi.gc(lib.linnet_encoder_new(0, tokens, ends, 258, flat, len(merges), 0), lib.linnet_encoder_free)
        return bool(handle != ffi.NULL)

    assert takes((97, 98, 256), (256, 99, 257))
    for wrong in [(97, 98, 257), (98, 97, 256), (97, 98, 258), (258, 98, 256), (97, 2**32 - 1, 256), (97, 2**21 + 98, 256)]:
        assert not takes((97, 98, 256), wrong)


@with_native
@pytest.mark.parametrize("shift", range(4))
@pytest.mark.parametrize("width", [2, 4])
def test_ids_go_to_disk_whole_or_not_at_all(width: int, shift: int) -> None:
    """Wherever the room lies; a vocabulary of more ids than the width can say, and ids that are not in it, are refused."""
    ffi, lib, _ = opened()

    def close(ids: list[int], vocab_size: int, end_id: int, width: int) -> tuple[int, bytes]:
        sides = [ffi.new("uint8_t[]", 64) for _ in range(2)]
        vocabulary, which = ffi.new("uint32_t[]", vocab_size), ffi.new("uint8_t[]", [1])
        found = [ffi.new("uint64_t[]", 2) for _ in range(3)]
        ends = ffi.new("uint64_t[]", [len(ids)])
        room = [side + shift for side in sides]
        closed = ffi.new("linnet_closed *", [which, vocabulary, vocab_size, end_id, width, *room, *found])
        code = lib.linnet_documents_close(ids, ends, 1, closed)
        return code, bytes(ffi.buffer(room[0], (len(ids) + 1) * width))

    expected = b"".join(token.to_bytes(width, "little") for token in (1, 65535, 258))
    assert close([1, 65535], 65536, 258, width) == (0, expected)
    assert close([1, 65535], 65537, 258, 2)[0] == -1
    assert close([1, 65536], 65536, 258, width)[0] == -1
    assert close([1, 2], 65536, 65536, width)[0] == -1
    assert close([1, 2], 65536, 258, 3)[0] == -1


@with_native
def test_the_version_is_that_of_the_crate() -> None:
    assert f'version = "{native_version()}"' in (REPOSITORY / "native" / "Cargo.toml").read_text()


@pytest.mark.parametrize(
    ("module", "problem"),
    [
        (ImportError("no module"), "was not built"),
        (OSError("wrong machine"), "cannot be opened"),
        (SimpleNamespace(lib=SimpleNamespace(linnet_interface=lambda: 99), ffi=None), "another version"),
    ],
)
def test_without_the_library_python_does_it(monkeypatch: pytest.MonkeyPatch, module: object, problem: str) -> None:
    def import_module(name: str) -> object:
        if isinstance(module, Exception):
            raise module
        return module

    texts = ["abab abab cd"]
    merges = train_bpe(texts, 300).merges
    opened.cache_clear()
    monkeypatch.setattr(importlib, "import_module", import_module)
    try:
        assert not native_available()
        assert native_version() is None
        assert problem in native_problem()
        tokenizer = train_bpe(texts, 300)
        assert tokenizer.merges == merges
        assert tokenizer.encode("abab") == [tokenizer.tokens[b"abab"]]
    finally:
        opened.cache_clear()


@pytest.mark.skipif(shutil.which("cargo") is None, reason="no cargo")
def test_the_crate_passes_its_own_tests(tmp_path: Path) -> None:
    command = [
        "cargo",
        "test",
        "--quiet",
        "--offline",
        "--lib",
        "--target-dir",
        str(tmp_path),
        "--manifest-path",
        str(REPOSITORY / "native" / "Cargo.toml"),
    ]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr

"""The Rust library as a whole: its version, its own tests, bad arguments, and what happens where it is not there."""

from __future__ import annotations

import importlib
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from linnet.core.native import checked, native_available, native_problem, native_version, opened
from linnet.tokenizer.bpe_tokenizer import train_bpe

REPOSITORY = Path(__file__).parents[2]

with_native = pytest.mark.skipif(not native_available(), reason=f"no native library: {native_problem()}")


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
    with pytest.raises(RuntimeError, match="linnet_x"):
        checked(-2, "linnet_x")


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

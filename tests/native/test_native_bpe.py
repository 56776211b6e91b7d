"""The Rust functions do what the Python ones do."""

from __future__ import annotations

import importlib
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linnet.core.native import checked, native_available, native_problem, native_version, opened
from linnet.tokenizer import bpe, native
from linnet.tokenizer.bpe import Pair, learn_merges, merge_table

REPOSITORY = Path(__file__).parents[2]
IDENTITY = tuple(range(256))
FEW_LETTERS = st.lists(st.sampled_from(b"abc"), max_size=20).map(bytes)
CHUNKS = st.dictionaries(FEW_LETTERS | st.binary(max_size=12), st.integers(1, 4), max_size=12)

with_native = pytest.mark.skipif(not native_available(), reason=f"no native library: {native_problem()}")


def learns_alike(
    learn: Callable[[Mapping[bytes, int], int], list[Pair]], chunks: Mapping[bytes, int], n_merges: int = 40
) -> bool:
    """The law of the two trainers: same merges, ties included."""
    return learn(chunks, n_merges) == learn_merges(chunks, n_merges)


def merges_alike(make: Callable[..., native.Merger], byte_ids: tuple[int, ...], table: dict, chunk: bytes) -> bool:
    """The law of the two mergers: same ids."""
    return make(byte_ids, table)(chunk) == native.python_merger(byte_ids, table)(chunk)


@with_native
@given(CHUNKS)
@settings(max_examples=300)
def test_the_same_merges(chunks: dict[bytes, int]) -> None:
    assert learns_alike(native.native_learn_merges, chunks)


@with_native
def test_the_same_merges_on_much_random_text() -> None:
    import random

    chance = random.Random(0)
    chunks = {bytes(chance.choices(b"abcdefgh", k=chance.randint(1, 9))): chance.randint(1, 5) for _ in range(4000)}
    chunks[bytes(chance.choices(b"abcdefgh", k=50_000))] = 1
    assert learns_alike(native.native_learn_merges, chunks, 3000)


def test_the_law_finds_the_wrong_order_of_ties() -> None:
    def first_seen_first(chunks: Mapping[bytes, int], n_merges: int) -> list[Pair]:
        """Equal counts in the order of appearance, as a trainer without a rule for ties would have it."""
        order: dict[int, int] = {}
        for byte in b"".join(chunks):
            order.setdefault(byte, len(order))
        names = list(order)
        renamed = {bytes(order[byte] for byte in chunk): count for chunk, count in chunks.items()}
        return [tuple(names[side] if side < 256 else side for side in pair) for pair in learn_merges(renamed, n_merges)]  # type: ignore[misc]

    ties = {b"cd": 2, b"ab": 2}
    assert not learns_alike(first_seen_first, ties, 1)
    if native_available():
        assert learns_alike(native.native_learn_merges, ties, 1)


@with_native
@given(CHUNKS, FEW_LETTERS | st.binary(max_size=300), st.permutations(range(256)))
def test_the_same_ids(chunks: dict[bytes, int], chunk: bytes, byte_ids: list[int]) -> None:
    assert merges_alike(native.native_merger, tuple(byte_ids), merge_table(learn_merges(chunks, 40)), chunk)


@with_native
@given(
    st.lists(st.tuples(st.integers(97, 105), st.integers(97, 105)), max_size=30),
    st.lists(st.sampled_from(b"abc"), max_size=150).map(bytes),
)
def test_the_same_ids_for_ranks_that_nobody_learned(pairs: list[Pair], chunk: bytes) -> None:
    table = {pair: (rank, 97 + rank % 9) for rank, pair in enumerate(dict.fromkeys(pairs))}
    assert merges_alike(native.native_merger, IDENTITY, table, chunk)


def test_the_law_finds_a_merger_that_takes_the_longest_token() -> None:
    def greedy(byte_ids: tuple[int, ...], table: dict) -> native.Merger:
        """Longest match from the left, which is not what BPE does."""
        return lambda chunk: [257, 99] if chunk == b"abc" else [byte_ids[byte] for byte in chunk]

    table = merge_table([(98, 99), (97, 98)])
    assert not merges_alike(greedy, IDENTITY, table, b"abc")
    if native_available():
        assert merges_alike(native.native_merger, IDENTITY, table, b"abc")


@with_native
def test_progress_is_reported() -> None:
    heard: list[int] = []
    chunks = {bytes([a, b]): 2 for a in range(10) for b in range(10)}
    merges = native.native_learn_merges(chunks, 1000, heard.append)
    assert heard == [64, len(merges)]


@with_native
def test_bad_arguments_are_codes_and_not_crashes() -> None:
    ffi, lib, _ = opened()
    assert lib.linnet_trainer_new(ffi.NULL, ffi.NULL, ffi.NULL, 3) == ffi.NULL
    descending = ffi.new("uint64_t[]", [3, 1])
    assert lib.linnet_trainer_new(ffi.new("uint8_t[]", 3), descending, ffi.new("uint64_t[]", [1, 1]), 2) == ffi.NULL
    assert lib.linnet_trainer_learn(ffi.NULL, ffi.NULL, 1) == -1
    assert lib.linnet_merger_merge(ffi.NULL, ffi.NULL, 1, ffi.NULL) == -1
    lib.linnet_trainer_free(ffi.NULL)
    lib.linnet_merger_free(ffi.NULL)
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

    opened.cache_clear()
    monkeypatch.setattr(importlib, "import_module", import_module)
    try:
        assert not native_available()
        assert native_version() is None
        assert problem in native_problem()
        assert native.learn_merges({b"abab": 2}, 5) == bpe.learn_merges({b"abab": 2}, 5)
        assert native.merger(IDENTITY, merge_table([(97, 98)]))(b"ab") == [256]
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

"""The same two functions of `bpe` in Rust, and the one place that chooses between the two languages.

    learn_merges   the merges of some chunks; about 20 times as fast in Rust
    merger         a function from the bytes of a chunk to ids; about 10 times as fast in Rust

Results are identical. core/native.py opens the library; without it everything works in Python.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence

from linnet.core.native import checked, made, native_available, opened
from linnet.tokenizer import bpe
from linnet.tokenizer.bpe import MergeTable, OnMerge, Pair

Merger = Callable[[bytes], list[int]]  # bytes of one chunk → its ids

REPORT_EVERY = 64  # merges between two calls of on_merge, where Python can also be interrupted


def learn_merges(chunks: Mapping[bytes, int], n_merges: int, on_merge: OnMerge | None = None) -> list[Pair]:
    """`bpe.learn_merges`, in Rust where that is there; `on_merge` then hears of every 64th merge or so."""
    learn = native_learn_merges if native_available() else bpe.learn_merges
    return learn(chunks, n_merges, on_merge)


def merger(byte_ids: Sequence[int], table: MergeTable) -> Merger:
    """A function that merges chunks, in Rust where that is there.

    byte_ids   the ids of the 256 single bytes
    table      (a, b) → (rank, id of the merged token)
    """
    make = native_merger if native_available() else python_merger
    return make(byte_ids, table)


def python_merger(byte_ids: Sequence[int], table: MergeTable) -> Merger:
    """`merger` in Python."""
    return lambda chunk: bpe.merge_chunk([byte_ids[byte] for byte in chunk], table)


def native_merger(byte_ids: Sequence[int], table: MergeTable) -> Merger:
    """`merger` in Rust. Needs `native_available()`."""
    ffi, lib, _ = opened()
    by_rank = sorted((rank, a, b, merged) for (a, b), (rank, merged) in table.items())
    numbers = array("I", [number for _, a, b, merged in by_rank for number in (a, b, merged)])
    handle = lib.linnet_merger_new(
        ffi.from_buffer("uint32_t[]", array("I", byte_ids)),
        ffi.from_buffer("uint32_t[]", numbers) if numbers else ffi.new("uint32_t[1]"),
        len(by_rank),
    )
    handle = ffi.gc(made(handle, "linnet_merger_new"), lib.linnet_merger_free)

    def merge(chunk: bytes) -> list[int]:
        ids = ffi.new("uint32_t[]", max(len(chunk), 1))
        n_ids = checked(
            lib.linnet_merger_merge(handle, ffi.from_buffer("uint8_t[]", chunk), len(chunk), ids), "linnet_merger_merge"
        )
        found: list[int] = ffi.unpack(ids, n_ids)
        return found

    return merge


def native_learn_merges(chunks: Mapping[bytes, int], n_merges: int, on_merge: OnMerge | None = None) -> list[Pair]:
    """`bpe.learn_merges` in Rust. Needs `native_available()`."""
    ffi, lib, _ = opened()
    if not any(chunks) or n_merges <= 0:
        return []
    ends, end = array("Q"), 0
    for chunk in chunks:
        end += len(chunk)
        ends.append(end)
    handle = lib.linnet_trainer_new(
        ffi.from_buffer("uint8_t[]", b"".join(chunks)),
        ffi.from_buffer("uint64_t[]", ends),
        ffi.from_buffer("uint64_t[]", array("Q", chunks.values())),
        len(chunks),
    )
    trainer = ffi.gc(made(handle, "linnet_trainer_new"), lib.linnet_trainer_free)
    pairs = ffi.new("uint32_t[]", 2 * REPORT_EVERY)
    merges: list[Pair] = []
    while len(merges) < n_merges:
        asked = min(REPORT_EVERY, n_merges - len(merges))
        learned = checked(lib.linnet_trainer_learn(trainer, pairs, asked), "linnet_trainer_learn")
        numbers = ffi.unpack(pairs, 2 * learned)
        merges += zip(numbers[::2], numbers[1::2], strict=True)
        if on_merge is not None and learned:
            on_merge(len(merges))
        if learned < asked:
            break
    return merges

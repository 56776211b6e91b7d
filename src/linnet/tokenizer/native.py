"""Byte-pair encoding in Rust, with the results of the Python in `pretokenize` and `bpe`.

    split_bytes       where chunks end; by hand in place of a regular expression
    count_and_learn   merges from texts; on all cores
    learn_merges      merges from counted chunks
    merges_of_ids     the merges of a vocabulary that says only which token comes before which
    Encoder           a vocabulary's ids of texts, as arrays; batches on all cores
    Numbers           ids as a list of Python's numbers

core/native.py opens the library. Whoever calls these asks `native_available()` first and has the Python otherwise.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from linnet.core.native import checked, made, opened, pointer, python_functions
from linnet.tokenizer.base import ends_of
from linnet.tokenizer.bpe import OnMerge, Pair

PATTERN_NUMBERS = {"gpt2": 0, "gpt4": 1, "cl100k": 2, "qwen": 3, "o200k": 4}  # as in native/include/linnet.h
REPORT_EVERY = 64  # merges between two calls of on_merge, where Python can also be interrupted
BATCH_BYTES = 2**23  # of texts that are counted together

MOST_IDS, MOST_MERGES = 2**21 - 1, 2**22 - 1  # that an encoder takes

Ids = NDArray[np.uint32]
Ends = NDArray[np.uint64]


def n_cores() -> int:
    """How many threads are worth having: the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def split_bytes(text: bytes, pattern: str) -> list[bytes]:
    """The chunks of a text, in order."""
    ffi, lib, _ = opened()
    ends = np.empty(max(len(text), 1), np.uint64)
    room = ffi.from_buffer("uint64_t[]", ends)
    n = checked(lib.linnet_chunks(PATTERN_NUMBERS[pattern], ffi.from_buffer(text), len(text), room), "linnet_chunks")
    borders = [0, *ends[:n].tolist()]
    return [text[start:end] for start, end in pairwise(borders)]


def learn_merges(chunks: Mapping[bytes, int], n_merges: int, on_merge: OnMerge | None = None) -> list[Pair]:
    """`bpe.learn_merges`; `on_merge` hears of every 64th merge or so."""
    _, lib, _ = opened()
    if not any(chunks) or n_merges <= 0:
        return []
    joined, ends = _joined(list(chunks))
    counts = array("Q", chunks.values())
    return _learn(lib.linnet_trainer_new(joined, ends, pointer("uint64_t", counts), len(chunks)), n_merges, on_merge)


def count_and_learn(
    texts: Iterable[bytes],
    n_merges: int,
    pattern: str,
    *,
    on_text: Callable[[int], None] | None = None,
    on_merge: OnMerge | None = None,
) -> list[Pair]:
    """The merges of some texts, which are read once, a few megabytes at a time. `on_text` hears how many have been read."""
    ffi, lib, _ = opened()
    counter = ffi.gc(made(lib.linnet_counter_new(PATTERN_NUMBERS[pattern]), "linnet_counter_new"), lib.linnet_counter_free)
    batch: list[bytes] = []
    waiting = 0

    def count() -> None:
        joined, ends = _joined(batch)
        checked(lib.linnet_counter_add(counter, joined, ends, len(batch), n_cores()), "linnet_counter_add")
        batch.clear()

    for done, text in enumerate(texts, 1):
        batch.append(text)
        waiting += len(text)
        if waiting >= BATCH_BYTES:
            count()
            waiting = 0
        if on_text is not None:
            on_text(done)
    count()
    return _learn(lib.linnet_counter_trainer(counter), n_merges, on_merge)


def _learn(handle: Any, n_merges: int, on_merge: OnMerge | None) -> list[Pair]:
    """Up to n merges by a trainer that was just made."""
    ffi, lib, _ = opened()
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


class Encoder:
    """The ids of texts by a vocabulary, in Rust. Safe to use from many threads; the GIL is free while it works.

    pattern   a name of `pretokenize.PATTERNS`
    tokens    the bytes of each id; empty for ids that ordinary text never gets (special tokens)
    merges    a, b and the id that they make, by rank; None: any two tokens that spell a third make it, the lowest id first
    whole     whether a chunk that is a token stays one, whatever the merges make of it

    `handle` is what the library's functions take for it.
    """

    def __init__(
        self, pattern: str, tokens: Sequence[bytes], merges: Sequence[tuple[int, int, int]] | None, *, whole: bool = False
    ) -> None:
        ffi, lib, _ = opened()
        joined, ends = _joined(tokens)
        table = np.ascontiguousarray(merges, dtype=np.uint32).reshape(-1, 3) if merges is not None else None
        rows = ffi.NULL if table is None else ffi.from_buffer("uint32_t[]", table) if len(table) else ffi.new("uint32_t[3]")
        count = 0 if table is None else len(table)
        handle = lib.linnet_encoder_new(PATTERN_NUMBERS[pattern], joined, ends, len(tokens), rows, count, whole)
        self.handle = ffi.gc(made(handle, "linnet_encoder_new"), lib.linnet_encoder_free)

    def encode(self, text: bytes) -> Ids:
        """The ids (N,) of a text."""
        ffi, lib, _ = opened()
        return _look(lib.linnet_encode(self.handle, ffi.from_buffer(text), len(text)), "linnet_encode")[0]

    def encode_batch(self, texts: Sequence[bytes], n_threads: int | None = None) -> tuple[Ids, Ends]:
        """The ids (N,) of many texts, one after the other, and where those of each text end. n_threads: all cores by default."""
        functions = python_functions()
        if functions is None:
            return self.encode_joined(b"".join(texts), ends_of(texts), n_threads)
        ffi, lib, _ = opened()
        _, python_texts, python = functions
        kept = list(texts)  # nobody else's, so that none of them goes while Python's lock is free
        at, sizes = np.empty(len(kept), np.uint64), np.empty(len(kept), np.uint64)
        checked(python_texts(kept, len(kept), at.ctypes.data, sizes.ctypes.data, python), "linnet_python_texts")
        places = ffi.cast("uint8_t **", pointer("uint64_t", at))
        threads = n_cores() if n_threads is None else n_threads
        ids = lib.linnet_encode_texts(self.handle, places, pointer("uint64_t", sizes), len(kept), threads)
        return _look(ids, "linnet_encode_texts")

    def encode_joined(self, joined: bytes | memoryview, ends: Ends, n_threads: int | None = None) -> tuple[Ids, Ends]:
        """The same of texts that lie one after the other up to the ends (texts,)."""
        ffi, lib, _ = opened()
        threads = n_cores() if n_threads is None else n_threads
        bytes_of = ffi.from_buffer("uint8_t[]", joined)
        return _look(
            lib.linnet_encode_batch(self.handle, bytes_of, pointer("uint64_t", ends), len(ends), threads), "linnet_encode_batch"
        )


class Numbers:
    """0 … n - 1 as Python's numbers, of which lists of ids are made: to make each anew takes longer than to encode it."""

    def __init__(self, n: int) -> None:
        self.objects = np.array(range(n), dtype=object)

    def of(self, ids: Ids) -> list[int]:
        """Ids (N,) below n as a list."""
        functions = python_functions()
        if functions is None or not len(ids):
            found: list[int] = self.objects[ids].tolist()
            return found
        ids = np.ascontiguousarray(ids, np.uint32)
        as_list, _, python = functions
        numbers: list[int] = as_list(ids.ctypes.data, len(ids), self.objects.ctypes.data, len(self.objects), python)
        return numbers


def merges_of_ids(tokens: Sequence[bytes]) -> list[tuple[int, int, int]]:
    """`ranks.merges_of_ranks`: a, b and the id that they make, in the order of the ids."""
    ffi, lib, _ = opened()
    joined, ends = _joined(tokens)
    merges = np.empty((max(len(tokens), 1), 3), np.uint32)
    room = ffi.from_buffer("uint32_t[]", merges)
    n = checked(lib.linnet_merges_of_ids(joined, ends, len(tokens), room), "linnet_merges_of_ids")
    return [(a, b, made) for a, b, made in merges[:n].tolist()]


def _look(handle: Any, name: str) -> tuple[Ids, Ends]:
    """Ids and ends where the library has them, without a copy; they are freed with the last array that looks at them."""
    ffi, lib, _ = opened()
    owner = ffi.gc(made(handle, name), lib.linnet_ids_free)
    n_ids, n_ends, ends = ffi.new("uint64_t *"), ffi.new("uint64_t *"), ffi.new("uint64_t **")
    ids = lib.linnet_ids_look(owner, n_ids, n_ends, ends)
    return _array(ids, n_ids[0], np.uint32, owner), _array(ends[0], n_ends[0], np.uint64, owner)


def _array(start: Any, n: int, dtype: Any, owner: Any) -> NDArray[Any]:
    """n numbers from `start` on, which belong to `owner`."""
    ffi = opened()[0]
    if n == 0:
        return np.empty(0, dtype)
    kept = ffi.gc(
        start, lambda _, owner=owner: None
    )  # the array holds its buffer, the buffer this pointer, the pointer its owner
    return np.frombuffer(ffi.buffer(kept, n * np.dtype(dtype).itemsize), dtype)


def _joined(parts: Sequence[bytes]) -> tuple[Any, Any]:
    """Byte strings one after the other, and where each ends, as the library takes them."""
    return opened()[0].from_buffer("uint8_t[]", b"".join(parts)), pointer("uint64_t", ends_of(parts))

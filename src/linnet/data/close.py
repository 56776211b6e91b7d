"""From ids to what stands on disk: an end token behind every document, each text on its side, and a check that no byte was lost.

In Rust where that is there (`native/src/documents/close.rs`), a batch at a time; `closed_plainly` does the same in numpy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from linnet.core.errors import TokenizerError, explain
from linnet.core.native import checked, native_available, opened, pointer
from linnet.data.look import Texts
from linnet.data.shards import token_dtype
from linnet.tokenizer.base import Tokenizer

DIVIDED = 4  # added to the side (1 training, 2 validation) of a text whose document does not end with it
SPECIAL = np.uint32(1 << 31)  # beside the bytes of a special token

Ids = NDArray[np.unsignedinteger[Any]]


def side_of(which: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The sides of some texts (n,), without what is added to a text that is divided."""
    return which & np.uint8(DIVIDED - 1)


@dataclass(frozen=True)
class Closed:
    """Some texts as they stand on disk.

    sides     the ids of training texts and those of validation texts, with end tokens
    lengths   (n,) of each text, its end token counted in
    bytes     (n,) that the ids of each text stand for; unknown: (n,) how many of them are special
    """

    sides: tuple[Ids, Ids]
    lengths: NDArray[np.uint64]
    bytes: NDArray[np.uint64]
    unknown: NDArray[np.uint64]


class Closing:
    """What a tokenizer's ids are closed with.

    A special token never comes out of ordinary text but for one: a tokenizer with a closed vocabulary gives its
    unknown token for what it cannot say. Those are counted, for the card; any other loss of bytes is refused, where the tokenizer
    is one that loses nothing (`Tokenizer.exact`).
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer, self.end_id, self.dtype = tokenizer, tokenizer.end_id, token_dtype(tokenizer.vocab_size)
        self.vocabulary = tokenizer.token_sizes()
        self.vocabulary[list(tokenizer.special.values())] |= SPECIAL

    def __call__(self, ids: Ids, ends: NDArray[np.uint64], sizes: NDArray[np.uint64], which: NDArray[np.uint8]) -> Closed:
        """Some texts' ids (N,), which end at `ends` (n,), closed.

        sizes   (n,) the bytes of each text
        which   (n,) its side, and DIVIDED more where its document does not end with it

        Raises TokenizerError for a text whose ids do not stand for its bytes, and none of them is unknown.
        """
        self.refuse_beyond(ids)
        closed = (closed_natively if native_available() else closed_plainly)(self, ids, ends, which)
        self.refuse_losses(closed.bytes, sizes, closed.unknown)
        return closed

    def encode(self, texts: Texts, which: NDArray[np.uint8], *, n_threads: int | None = None) -> Closed:
        """Some texts' ids, closed. which: (n,) their sides, as in a call. Raises TokenizerError."""
        encoder = self.tokenizer.in_rust if n_threads == 1 else None
        if encoder is None:
            ids, ends = self.tokenizer.encode_joined(texts.joined, texts.ends, n_threads=n_threads)
            return self(ids, ends, texts.sizes, which)
        closed = encoded_natively(self, encoder, texts, which)
        self.refuse_losses(closed.bytes, texts.sizes, closed.unknown)
        return closed

    def checked(self, ids: Ids, ends: NDArray[np.uint64], sizes: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """The unknown tokens (n,) of some texts' ids (N,), which end at `ends` (n,) and are not to be closed here. Raises what closing
        them raises."""
        self.refuse_beyond(ids)
        found, unknown = self.counts(ids, ends)
        self.refuse_losses(found, sizes, unknown)
        return unknown

    def counts(self, ids: Ids, ends: NDArray[np.uint64]) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
        """Bytes that the ids of some texts stand for, and how many of them are special, (n,) each."""
        said = self.vocabulary[ids]
        return sums(said & ~SPECIAL, ends), sums(said >> np.uint32(31), ends)

    def refuse_beyond(self, ids: Ids) -> None:
        """Raise TokenizerError for an id that the vocabulary does not have."""
        if len(ids) and int(ids.max()) >= len(self.vocabulary):
            got = f"the tokenizer gave id {int(ids.max())}"
            raise TokenizerError(explain(got, need=f"ids below its vocab_size = {len(self.vocabulary)}"))

    def refuse_losses(self, found: NDArray[np.uint64], sizes: NDArray[np.uint64], unknown: NDArray[np.uint64]) -> None:
        """Raise TokenizerError for a text of `sizes` (n,) bytes whose ids stand for other than these, and none of them is unknown."""
        lossy = (found != sizes) & (unknown == 0)
        if self.tokenizer.exact and lossy.any():
            first = int(np.argmax(lossy))
            raise TokenizerError(
                explain(
                    f"the tokenizer turned {sizes[first]:,} bytes of text into ids that stand for {found[first]:,} bytes",
                    need="a tokenizer that loses nothing, so that bits per byte mean something",
                    hint="a byte-level one",
                )
            )


def closed_natively(closing: Closing, ids: Ids, ends: NDArray[np.uint64], which: NDArray[np.uint8]) -> Closed:
    """In Rust."""
    lib, room = opened()[1], Room(closing, which, len(ids) + len(ends))
    given = (pointer("uint32_t", ids), pointer("uint64_t", ends), len(ends))
    checked(lib.linnet_documents_close(*given, room.told), "linnet_documents_close")
    return room.closed(np.diff(ends, prepend=np.uint64(0)))


def encoded_natively(closing: Closing, encoder: Any, texts: Texts, which: NDArray[np.uint8]) -> Closed:
    """Texts encoded and closed in Rust, each while its ids are near; on this thread."""
    n, n_bytes = len(texts), len(texts.joined)
    lib, room = opened()[1], Room(closing, which, n_bytes + n)
    lengths = np.empty(n, np.uint64)
    given = (pointer("uint8_t", texts.joined), pointer("uint64_t", texts.ends), n, pointer("uint64_t", lengths))
    checked(lib.linnet_documents_encode(encoder.handle, *given, room.told), "linnet_documents_encode")
    return room.closed(lengths)


class Room:
    """Room for `most` ids on either side, and what native functions are told of it."""

    def __init__(self, closing: Closing, which: NDArray[np.uint8], most: int) -> None:
        ffi, n = opened()[0], len(which)
        self.which = which
        self.sides = (np.empty(most, closing.dtype), np.empty(most, closing.dtype))
        self.bytes, self.special, self.counts = np.empty(n, np.uint64), np.empty(n, np.uint64), np.zeros(2, np.uint64)
        self.told = ffi.new("linnet_closed *")
        arrays: dict[str, NDArray[Any]] = {
            "which": which,
            "vocabulary": closing.vocabulary,
            "train": self.sides[0],
            "validation": self.sides[1],
        }
        arrays |= {"bytes": self.bytes, "special": self.special, "counts": self.counts}
        for name, array in arrays.items():
            setattr(self.told, name, ffi.cast("void *", array.ctypes.data))
        self.told.vocab_size, self.told.end_id, self.told.width = len(closing.vocabulary), closing.end_id, closing.dtype.itemsize

    def closed(self, lengths: NDArray[np.uint64]) -> Closed:
        """What stands there now; lengths: (n,) how many ids each text has."""
        sides = (self.sides[0][: self.counts[0]], self.sides[1][: self.counts[1]])
        return Closed(sides, lengths + (self.which < DIVIDED), self.bytes, self.special)


def closed_plainly(closing: Closing, ids: Ids, ends: NDArray[np.uint64], which: NDArray[np.uint8]) -> Closed:
    """In numpy."""
    found, special = closing.counts(ids, ends)
    closes = (which < DIVIDED).astype(np.uint64)
    lengths = np.diff(ends, prepend=np.uint64(0)) + closes
    is_end = np.zeros(int(lengths.sum()), bool)
    is_end[(np.cumsum(lengths)[closes == 1] - np.uint64(1)).astype(np.int64)] = True
    everything = np.empty(len(is_end), closing.dtype)
    everything[is_end], everything[~is_end] = closing.end_id, ids
    of = np.repeat(side_of(which), lengths.astype(np.int64))
    return Closed((everything[of == 1], everything[of == 2]), lengths, found, special)


def sums(numbers: NDArray[np.uint32], ends: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The sum of each of some stretches (n,) of numbers (N,), one after the other, that end at `ends` (n,)."""
    upto = np.concatenate([np.zeros(1, np.uint64), np.cumsum(numbers, dtype=np.uint64)])
    return np.diff(upto[ends.astype(np.int64)], prepend=np.uint64(0))

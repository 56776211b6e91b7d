"""From spooled texts to token shards: each document's ids, its end token, and a check that no byte was lost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from linnet.data.close import DIVIDED, Closing, Ids, side_of
from linnet.data.look import Texts
from linnet.data.shard_writer import ShardWriter
from linnet.data.shards import SPLITS
from linnet.data.split import line_boundary
from linnet.data.spool import REPORT_EVERY


@dataclass(frozen=True)
class Encoded:
    """Some documents as they stand on disk.

    sides           the ids of training documents and those of validation documents, with end tokens
    lengths         (n,) of each document, its end token counted in
    bytes           (n,) of its text; unknown: (n,) how many of its ids are unknown tokens
    masks           for each side, whether each id is learned; None: all are
    learned_bytes   (n,) of what is learned of its text
    """

    sides: tuple[Ids, Ids]
    lengths: NDArray[Any]
    bytes: NDArray[Any]
    unknown: NDArray[Any]
    masks: tuple[NDArray[np.bool_], NDArray[np.bool_]] | None = None
    learned_bytes: NDArray[Any] | None = None

    def append_to(self, writer: ShardWriter, side: int, its: NDArray[np.bool_]) -> None:
        """Write those documents that are on a side (1 or 2); its: (n,) which these are."""
        mask, of_mask = (None, 0) if self.masks is None else (self.masks[side - 1], _sum(self.learned_bytes, its))
        counts = (_sum(self.bytes, its), _sum(self.unknown, its))
        writer.append(self.sides[side - 1], self.lengths[its], *counts, mask=mask, learned_bytes=of_mask)


def _sum(numbers: NDArray[Any] | None, which: NDArray[np.bool_]) -> int:
    return 0 if numbers is None else int(numbers[which].sum())


class Encoder(Protocol):
    """What makes ids of a source's documents."""

    closing: Closing

    def __call__(self, texts: Texts, which: NDArray[np.uint8], *, n_threads: int | None = None) -> Encoded:
        """Some documents as they lie in the spool, encoded; which: (n,) their sides, see `Closing`. Raises TokenizerError."""
        ...


class TextEncoder:
    """The encoder of plain text, all of which is learned."""

    def __init__(self, closing: Closing) -> None:
        self.closing = closing

    def __call__(self, texts: Texts, which: NDArray[np.uint8], *, n_threads: int | None = None) -> Encoded:
        closed = self.closing.encode(texts, which, n_threads=n_threads)
        return Encoded(closed.sides, closed.lengths, texts.sizes, closed.unknown)


@dataclass(frozen=True)
class Cut:
    """A document that is divided, by its number and the character: training text before it, validation text behind.

    reach   how many characters from there a line may begin, to divide it there
    """

    document: int
    character: int
    reach: int

    def at(self, text: bytes) -> int:
        """The byte at which the document is divided."""
        whole = text.decode("utf-8")
        place = line_boundary(whole, self.character, self.reach) if self.reach else self.character
        return len(whole[:place].encode("utf-8"))


def encode_part(
    texts: Iterable[Texts],
    sides: NDArray[np.uint8],
    cut: Cut | None,
    encoder: Encoder,
    spool: Path,
    built: Path,
    name: str,
    *,
    n_threads: int | None = None,
) -> Iterator[int | dict[str, Any]]:
    """Write the shards of a part: how many bytes are done, now and then, and at last what to know of them: split → its shard.

    texts   its documents
    sides   (documents,) 0: left out; 1: training text; 2: validation text
    encoder   of the source's documents
    cut     a document of this part that is on both sides
    spool   where the lengths of its documents go; built: where the shards go
    name    of the shards, without the split and the ending

    Raises TokenizerError for a tokenizer that loses bytes.
    """
    writers: dict[int, ShardWriter] = {}
    told = done = 0
    try:
        for batch, which in batches(texts, sides, cut):
            encoded = encoder(batch, which, n_threads=n_threads)
            for side, split in enumerate(SPLITS, 1):
                its = side_of(which) == side
                if not its.any():
                    continue
                if side not in writers:
                    lengths, masked = spool / f"{name}.{split}.lengths", encoded.masks is not None
                    writers[side] = ShardWriter(built, f"{split}/{name}.bin", lengths, encoder.closing.dtype, masked=masked)
                encoded.append_to(writers[side], side, its)
            done += len(batch.joined)
            if done >= told + REPORT_EVERY:
                told = done
                yield done
        yield {SPLITS[side - 1]: writers[side].close() for side in sorted(writers)}
    except BaseException:
        for writer in writers.values():
            writer.abandon()
        raise


def batches(part: Iterable[Texts], sides: NDArray[np.uint8], cut: Cut | None) -> Iterator[tuple[Texts, NDArray[np.uint8]]]:
    """The texts of a part that are not left out, some at a time, and the side of each."""
    first = 0
    for texts in part:
        last = first + len(texts)
        which = sides[first:last]
        if not which.all():
            texts = Texts.of([texts[number] for number in np.nonzero(which)[0].tolist()])
        if cut is not None and first <= cut.document < last:
            number = int(np.count_nonzero(which[: cut.document - first]))
            at = np.uint64(cut.at(texts[number])) + (texts.ends[number - 1] if number else np.uint64(0))
            texts = Texts(texts.joined, np.insert(texts.ends, number, at))
            which = np.insert(which[which > 0], number, 1 + DIVIDED)
            which[number + 1] = 2
        if len(texts):
            yield texts, which[which > 0]
        first = last

"""From spooled texts to token shards: each document's ids, its end token, and a check that no byte was lost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from linnet.data.close import DIVIDED, Closing
from linnet.data.look import Texts
from linnet.data.shards import SPLITS, ShardWriter
from linnet.data.split import line_boundary
from linnet.data.spool import REPORT_EVERY, Part

BATCH = 2**21  # bytes of texts that are encoded together


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
    part: Part,
    sides: NDArray[np.uint8],
    cut: Cut | None,
    closing: Closing,
    spool: Path,
    built: Path,
    name: str,
    *,
    n_threads: int | None = None,
) -> Iterator[int | dict[str, Any]]:
    """Write the shards of a part: how many bytes are done, now and then, and at last what to know of them: split → its shard.

    sides   (documents,) 0: left out; 1: training text; 2: validation text
    closing   of the tokenizer
    cut     a document of this part that is on both sides
    spool   where the part is, and where the lengths of its documents go; built: where the shards go
    name    of the shards, without the split and the ending

    Raises TokenizerError for a tokenizer that loses bytes.
    """
    writers: dict[int, ShardWriter] = {}
    told = done = 0
    try:
        for batch, which in batches(part, sides, cut, spool):
            ids, ends = closing.tokenizer.encode_joined(batch.joined, batch.ends, n_threads=n_threads)
            closed = closing(ids, ends, batch.sizes, which)
            lengths = np.diff(ends, prepend=np.uint64(0)) + (which < DIVIDED)
            for side, tokens in enumerate(closed.sides, 1):
                its = (which & 3) == side
                if not its.any():
                    continue
                if side not in writers:
                    split = SPLITS[side - 1]
                    writers[side] = ShardWriter(built, f"{split}/{name}.bin", spool / f"{name}.{split}.lengths", closing.dtype)
                writers[side].append(tokens, lengths[its], int(batch.sizes[its].sum()), int(closed.unknown[its].sum()))
            done += len(batch.joined)
            if done >= told + REPORT_EVERY:
                told = done
                yield done
        yield {SPLITS[side - 1]: writers[side].close() for side in sorted(writers)}
    except BaseException:
        for writer in writers.values():
            writer.abandon()
        raise


def batches(part: Part, sides: NDArray[np.uint8], cut: Cut | None, spool: Path) -> Iterator[tuple[Texts, NDArray[np.uint8]]]:
    """The texts of a part that are not left out, some at a time, and the side of each."""
    text = memoryview(part.text(spool))
    ends = np.cumsum(part.records(spool)["bytes"], dtype=np.uint64)
    first = 0
    while first < len(ends):
        begin = int(ends[first - 1]) if first else 0
        last = max(int(np.searchsorted(ends, begin + BATCH)), first + 1)
        mine, which = ends[first:last], sides[first:last]
        texts = Texts(text[begin : int(ends[last - 1])], mine - np.uint64(begin))
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

"""The walk over the windows of one stream: where a row can begin, which comes next, and how much of it is one time through.

    window i = t[o + iT] … t[o + iT + T],   i = 0 … (N - 1 - o) div T - 1,   o = o(seed, e) in 0 … T - 1

as `loader.py` says. Of conversations a window in which nothing is learned is passed over, so that fewer rows are one time through.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from linnet.core.errors import CheckpointError, DataError, explain
from linnet.core.seeds import stream_seed
from linnet.data.pair_batches import check_lengths, lengths_of
from linnet.data.shards import Split, Stream
from linnet.data.shuffle import Permutation
from linnet.data.spec import Rows

LOOK = 4096  # windows that are looked through at a time for those in which something is learned


def beginnings(stream: Stream, context_length: int, rows: Rows) -> int:
    """Documents that a whole row can begin with. Raises DataError where the stream is too short for rows of that kind, or no row of it
    would teach anything."""
    if rows == "pairs":
        check_lengths(stream, context_length)
        return stream.documents
    if stream.tokens <= context_length:
        raise DataError(
            explain(
                f"source {stream.source!r} has {stream.tokens:,} tokens to train on",
                need=f"at least {context_length + 1:,}: one context of {context_length:,} and the token after it",
                hint=f"more text, or train.context_length={max(1, stream.tokens // 4)}",
            )
        )
    last = stream.tokens - context_length - 1  # where the last whole window can begin
    found = max(0, int(np.searchsorted(stream.starts[: stream.documents], last + 1, side="right")) - 1)
    if rows == "documents" and found < 1:
        raise DataError(
            explain(
                f"source {stream.source!r} has no document that begins {context_length + 1:,} tokens before its end",
                need="several documents, for rows that begin with one",
                hint="rows: windows",
            )
        )
    if rows == "documents":
        teaches = (
            not stream.masks or stream.any_learned(first_places(stream, context_length, rows, found) + 1, context_length).any()
        )
    else:  # some epoch's windows reach each token but the first
        teaches = stream.any_learned(np.ones(1, np.int64), stream.tokens - 1).any()
    if not teaches:
        got = f"no row of {context_length:,} tokens of source {stream.source!r} holds anything that is learned"
        raise DataError(explain(got, need="longer rows, or shorter turns before", hint="a larger train.context_length"))
    return found


def first_places(stream: Stream, context_length: int, rows: Rows, documents: int) -> NDArray[np.int64]:
    """The first tokens of all windows of an epoch, in order, (n,), where offsets count from 0; documents: as `beginnings` counts them."""
    if rows == "documents":
        return stream.starts[1 : documents + 1].astype(np.int64) - 1  # the end token before each
    return np.arange((stream.tokens - 1) // context_length, dtype=np.int64) * context_length


def tokens_a_pass(split: Split, context_length: int, rows: Rows) -> int:
    """Tokens of the rows that are drawn while a split is gone through once: all of a text that is cut into windows, else as many rows as
    documents can begin; of conversations only rows that teach something, as many as there are where windows begin with the first token; of
    pairs the longer side of each."""
    if rows == "pairs":
        return max(1, sum(int(lengths_of(stream).max(1).sum()) for stream in split.streams))
    found = 0
    for stream in split.streams:
        if stream.masks or rows == "documents":
            places = first_places(stream, context_length, rows, beginnings(stream, context_length, rows))
            found += context_length * max(1, int(stream.any_learned(places + 1, context_length).sum()))
        else:
            found += stream.tokens
    return max(1, found)


class Walk:
    """The endless random walk over the windows of one stream.

    epoch, position   the next window is number `position` of epoch `epoch`: all there is to its state
    drawn             windows drawn so far
    rows              windows: the stream cut end to end; documents: one window from the end token before each document
    """

    def __init__(self, stream: Stream, context_length: int, seed: int, rows: Rows = "windows") -> None:
        self.beginnings = beginnings(stream, context_length, rows)
        self.stream, self.context_length, self.seed, self.rows = stream, context_length, seed, rows
        self.drawn = 0
        self._enter(0, 0)

    def _enter(self, epoch: int, position: int) -> None:
        """Stand at a place of an epoch; everything else follows from the two numbers."""
        name = f"data/{self.stream.source}/epoch {epoch}"
        spare = min(self.context_length, self.stream.tokens - self.context_length)
        self.epoch, self.position = epoch, position
        if self.rows == "documents":
            self.windows = self.beginnings
            self.order = Permutation(self.windows, self.seed, f"{name}/order")
            return
        self.offset = stream_seed(self.seed, f"{name}/offset") % spare
        self.windows = (self.stream.tokens - 1 - self.offset) // self.context_length
        self.order = Permutation(self.windows, self.seed, f"{name}/order")

    def place(self) -> dict[str, int]:
        """Its state."""
        return {"epoch": self.epoch, "position": self.position, "drawn": self.drawn}

    def stand(self, place: Mapping[str, int]) -> None:
        """Stand where `place` says. Raises CheckpointError if there is no such place."""
        keys = ("epoch", "position", "drawn")
        if set(place) != set(keys) or not all(type(place[key]) is int and place[key] >= 0 for key in keys):
            raise CheckpointError(
                explain(f"a place {dict(place)} in source {self.stream.source!r}", need=f"whole numbers for {', '.join(keys)}")
            )
        self._enter(place["epoch"], place["position"])
        self.drawn = place["drawn"]
        if self.position > self.windows:
            raise CheckpointError(
                explain(f"window {self.position:,} of source {self.stream.source!r}", need=f"at most {self.windows:,}")
            )

    def take(self, count: int) -> NDArray[np.int64]:
        """The first tokens of the next `count` windows in which something is learned, (count,); it stands behind the last of them."""
        starts = []
        self.drawn += count
        ahead = count  # windows that are looked at: more and more, where few of them teach anything
        while count:
            if self.position == self.windows:
                self._enter(self.epoch + 1, 0)
            now = min(ahead if self.stream.masks else count, self.windows - self.position)
            places = np.arange(self.position, self.position + now, dtype=np.uint64)
            drawn = self.order(places).astype(np.int64)
            begins = (
                self.stream.starts[drawn + 1].astype(np.int64) - 1  # the end token before it
                if self.rows == "documents"
                else self.offset + drawn * self.context_length
            )
            if self.stream.masks:
                teaching = np.flatnonzero(self.stream.any_learned(begins + 1, self.context_length))[:count]
                now = int(teaching[-1]) + 1 if len(teaching) == count else now
                begins, ahead = begins[teaching], max(count, min(2 * ahead, LOOK))
            self.position += now
            starts.append(begins)
            count -= len(begins)
        return np.concatenate(starts) if starts else np.empty(0, np.int64)

    @property
    def gone(self) -> float:
        """Tokens that it has gone through: those drawn; of conversations those passed over, too; of rows that begin with documents, all of
        the stream where each has begun one."""
        if not self.stream.masks and self.rows == "windows":
            return self.drawn * self.context_length
        return (self.epoch + self.position / self.windows) * self.stream.tokens

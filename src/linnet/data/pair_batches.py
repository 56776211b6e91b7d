"""From prepared pairs to batches: pairs of about one length side by side, as many as a budget of tokens takes.

    an epoch   all pairs in a random order → sorted by length, those of one length as they were → cut into batches → these in a random order

A batch holds n pairs with n · max(S, T) ≤ batch_size · context_length, where S and T are the lengths of its longest source and target.
Both orders are computed from the seed and the epoch (shuffle.py), so a position is two numbers and a count, and nothing is stored.

    source    s_1 … s_m END                padding has document -1 and is seen by nobody
    tokens    END t_1 … t_n                the decoder begins with the end token
    targets   t_1 … t_n END                padding has weight 0
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from linnet.core.errors import CheckpointError, DataError, explain
from linnet.data.batch import Batch
from linnet.data.shards import Split, Stream
from linnet.data.shuffle import Permutation

POSITION_OF = ("data", "split", "seed", "context_length", "rows", "tokens_a_batch", "ranks")  # what a saved position belongs to


def borders(stream: Stream) -> NDArray[np.int64]:
    """(n, 3): where each pair's source begins, where its target does, and the first token behind it. Raises DataError where the
    tokens are no pairs."""
    starts, stretches = stream.starts.astype(np.int64), stream.learned_stretches
    if len(stretches) != stream.documents or not (stretches[:, 1] == starts[1:]).all():
        got = f"source {stream.source!r}, of which what is learned is not the second half of each document"
        raise DataError(explain(got, need="pairs", hint="kind: pairs"))
    return np.stack([starts[:-1], stretches[:, 0], starts[1:]], 1)


def lengths_of(stream: Stream) -> NDArray[np.int64]:
    """(n, 2): tokens of each source and each target, their end tokens counted in."""
    return np.diff(borders(stream), axis=1)


def check_lengths(stream: Stream, context_length: int) -> None:
    """Raise DataError where a side of a pair is longer than a row may be."""
    longest = lengths_of(stream).max(1)
    if (over := int(np.count_nonzero(longest > context_length))) > 0:
        got = f"source {stream.source!r} has {over:,} pairs with a side of more than {context_length:,} tokens, the longest {longest.max():,}"
        raise DataError(explain(got, need="pairs that fit", hint=f"model.context_length={longest.max()}, or leaving them out"))


class PairBatches:
    """Endless random batches of pairs: a BatchSource.

    split            what to draw from, `prepared.train`; its sources are gone through together, each pair once an epoch
    context_length   the most tokens that a side may have
    batch_size       batch_size · context_length tokens a side, padding counted in, are the most that a batch has
    seed             the run's
    rank, world_size of every world_size batches in a row, rank r gets number r

    Raises DataError where a pair is longer than the context.
    """

    def __init__(
        self, split: Split, *, context_length: int, batch_size: int, seed: int, rank: int = 0, world_size: int = 1
    ) -> None:
        for stream in split.streams:
            check_lengths(stream, context_length)
        self.split, self.context_length, self.seed, self.rank, self.world_size = split, context_length, seed, rank, world_size
        self.tokens_a_batch = batch_size * context_length
        self.lengths = np.concatenate([lengths_of(stream) for stream in split.streams])  # (n, 2)
        self.taken = np.zeros(len(split.streams), np.int64)  # pairs drawn from each source
        self._enter(0, 0)

    def _enter(self, epoch: int, position: int) -> None:
        """Stand at a place of an epoch; everything else follows from the two numbers."""
        self.epoch_number, self.position = epoch, position
        name = f"data/pairs/epoch {epoch}"
        n = len(self.lengths)
        drawn = Permutation(n, self.seed, f"{name}/pairs")(np.arange(n, dtype=np.uint64)).astype(np.int64)
        mine = self.lengths[drawn]
        order = drawn[np.lexsort((mine[:, 0], mine.max(1)))]  # stable: pairs of one length stay in the order drawn
        batches = cut(self.lengths[order].max(1), self.tokens_a_batch)
        shuffled = Permutation(len(batches), self.seed, f"{name}/batches")(np.arange(len(batches), dtype=np.uint64))
        self.batches = [order[slice(*batches[number])] for number in shuffled.tolist()]

    def __iter__(self) -> Iterator[Batch]:
        """Batches from where the source stands; a second iterator goes on where the first one is."""
        while True:
            yield self.next_batch()

    def next_batch(self) -> Batch:
        """The next batch of this rank. When it is handed out, the position stands behind those of all ranks."""
        mine: NDArray[np.int64] | None = None
        for rank in range(self.world_size):
            if self.position == len(self.batches):
                self._enter(self.epoch_number + 1, 0)
            pairs = self.batches[self.position]
            self.position += 1
            self.taken += np.bincount(self.pairs.source_of(pairs), minlength=len(self.taken))
            mine = pairs if rank == self.rank else mine
        assert mine is not None
        return self.pairs.batch(mine)

    @cached_property
    def pairs(self) -> PairReader:
        """What reads them."""
        return PairReader(self.split)

    def drawn(self) -> dict[str, int]:
        """Pairs drawn from each source so far."""
        return dict(zip((stream.source for stream in self.split.streams), self.taken.tolist()))

    @property
    def epoch(self) -> float:
        """Passes over the whole split so far."""
        return self.epoch_number + self.position / len(self.batches)

    def state_dict(self) -> dict[str, Any]:
        """Where it stands, in plain JSON types."""
        return {
            "data": self.split.fingerprint,
            "split": self.split.name,
            "seed": self.seed,
            "context_length": self.context_length,
            "rows": "pairs",
            "tokens_a_batch": self.tokens_a_batch,
            "ranks": self.world_size,
            "epoch": self.epoch_number,
            "position": self.position,
            "drawn": self.drawn(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Stand where a saved position says. Raises CheckpointError if it is one of other data, or of batches cut in another way."""
        mine = self.state_dict()
        wrong = [f"{key} {state.get(key)!r}" for key in POSITION_OF if state.get(key) != mine[key]]
        drawn, place = state.get("drawn"), [state.get(key) for key in ("epoch", "position")]
        if not isinstance(drawn, Mapping) or set(drawn) != set(mine["drawn"]):
            wrong.append(f"drawn {drawn!r}")
        if not all(type(number) is int and number >= 0 for number in place):
            wrong.append(f"epoch, position {place}")
        if wrong:
            needed = ", ".join(f"{key} {mine[key]!r}" for key in POSITION_OF)
            hint = "resuming with the same data, seed, batch_size and context_length"
            raise CheckpointError(explain(f"a data position of {', '.join(wrong)}", need=f"one of {needed}", hint=hint))
        self._enter(state["epoch"], state["position"])
        if self.position > len(self.batches):
            raise CheckpointError(explain(f"batch {self.position:,} of an epoch", need=f"at most {len(self.batches):,}"))
        assert isinstance(drawn, Mapping)
        self.taken = np.array([drawn[stream.source] for stream in self.split.streams], np.int64)


def cut(lengths: NDArray[np.int64], budget: int) -> list[tuple[int, int]]:
    """Stretches (first, behind) of pairs whose lengths (n,) stand in some order, as many in each as fit: their number times the longest."""
    found, first, longest = [], 0, 0
    for number, length in enumerate(lengths.tolist()):
        if number > first and (number + 1 - first) * max(longest, length) > budget:
            found.append((first, number))
            first, longest = number, 0
        longest = max(longest, length)
    return [*found, (first, len(lengths))] if len(lengths) else found


class PairReader:
    """Reads the pairs of a split by number, counted through all its sources."""

    def __init__(self, split: Split) -> None:
        self.split = split
        self.borders = [borders(stream) for stream in split.streams]
        self.behind = np.cumsum([len(each) for each in self.borders])

    def source_of(self, pairs: NDArray[np.int64]) -> NDArray[np.int64]:
        """The number of the stream (n,) that each of some pairs (n,) is in."""
        return np.searchsorted(self.behind, pairs, side="right")

    def read(self, pair: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """The ids of a source and of its target, each with an end token behind."""
        number = int(self.source_of(np.array([pair]))[0])
        start, target, stop = self.borders[number][pair - (self.behind[number - 1] if number else 0)].tolist()
        row = self.split.streams[number].read(start, stop)
        return row[: target - start], row[target - start :]

    def batch(self, pairs: NDArray[np.int64]) -> Batch:
        """Some pairs (n,) as a batch."""
        return as_pair_batch(*zip(*(self.read(pair) for pair in pairs.tolist())), end_id=self.split.end_id)


def as_pair_batch(sources: Sequence[NDArray[Any]], targets: Sequence[NDArray[Any]], *, end_id: int) -> Batch:
    """A batch of pairs, each side with its end token."""
    said, there = padded(targets, end_id)  # (B, T)
    tokens = torch.cat([torch.full_like(said[:, :1], end_id), said[:, :-1]], 1)
    return Batch(tokens, said, there.float(), source=source_batch(sources, end_id=end_id))


def source_batch(sources: Sequence[Any], *, end_id: int) -> Batch:
    """The encoder's side alone: sources with their end tokens, padded."""
    read, there = padded(sources, end_id)  # (B, S)
    documents = None if there.all() else there.to(torch.int32) - 1
    return Batch(read, read, torch.zeros(read.shape), documents)


def padded(rows: Sequence[Any], end_id: int) -> tuple[Tensor, Tensor]:
    """Rows of ids with end tokens behind the shorter ones, (B, T) int64, and which places were there, (B, T) bool."""
    lengths = np.array([len(row) for row in rows])
    there = np.arange(lengths.max()) < lengths[:, None]
    whole = np.full(there.shape, end_id, np.int64)
    whole[there] = np.concatenate(rows)
    return torch.from_numpy(whole), torch.from_numpy(there)


def evaluation_pairs(split: Split, context_length: int, batch_size: int) -> Iterator[Batch]:
    """All pairs of a split once, in order, in batches of at most batch_size · context_length tokens a side. Raises DataError where a
    pair is longer than the context."""
    for stream in split.streams:
        check_lengths(stream, context_length)
    longest = np.concatenate([lengths_of(stream).max(1) for stream in split.streams])
    reader = PairReader(split)
    for first, behind in cut(longest, batch_size * context_length):
        yield reader.batch(np.arange(first, behind))


def trimmed(batch: Batch) -> Batch:
    """A batch without the places that are padding in all its rows; what is left of a batch's rows may be shorter than the batch."""
    assert batch.source is not None
    source, length = batch.source, int(batch.weights.any(0).sum())
    batch = replace(batch, tokens=batch.tokens[:, :length], targets=batch.targets[:, :length], weights=batch.weights[:, :length])
    if source.documents is None:
        return batch
    kept = int((source.documents >= 0).any(0).sum())
    some = {name: getattr(source, name)[:, :kept] for name in ("tokens", "targets", "weights", "documents")}
    return replace(batch, source=replace(source, **some))

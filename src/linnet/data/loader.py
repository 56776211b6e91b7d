"""From shards to batches: which window comes next, for ever, and how to say exactly where one stands.

The tokens of a source are one sequence t_0 … t_{N-1}. In epoch e it is cut into windows that overlap by one token,

    window i = t[o + iT] … t[o + iT + T],   i = 0 … (N - 1 - o) div T - 1,   o = o(seed, e) in 0 … T - 1,

so that each token is predicted once an epoch (but for the fewer than T at either end), and the windows are drawn in a
random order that is computed, not stored (`shuffle.Permutation`). A row of a batch is one window. Which source a row
comes from is decided by the largest debt: the source whose rows lag most behind its share (`mixture.py`). Both are functions of
how many rows were drawn, and passed over, so a position is three integers a source, and the memory is one batch. Where shares change over the
run, what was asked of each source so far is in it, too: a sum, added up row by row, so that no batch size changes its rounding.

Documents that share a row are told apart by `documents`; the end token belongs to the document that it ends. The
first token of a document is predicted from the end of the one before, with weight 1, like everywhere.

Of conversations a mask says which tokens are learned: the others have weight 0 as targets, and a window in which nothing is
learned is passed over, so that fewer rows are one time through (`tokens_a_pass`). Where they end, the stream's document starts say: a
template may write end tokens within one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from linnet.core.errors import CheckpointError, DataError, explain
from linnet.data.batch import Batch
from linnet.data.mixture import Dealer, Ramp, mixture_of
from linnet.data.pair_batches import PairBatches, evaluation_pairs
from linnet.data.shards import Split, Stream
from linnet.data.spec import Rows
from linnet.data.walk import Walk

POSITION_OF = ("data", "split", "seed", "context_length", "rows", "run_rows")  # what a saved position belongs to


class PackedBatches:
    """Endless random batches of packed documents: a BatchSource.

    split            what to draw from, `prepared.train`
    context_length   T, tokens a row
    batch_size       B, rows a batch on this rank
    seed             the run's seed; the order is a function of it
    document_mask    give `documents`, where a row holds a document's end before its last place; else rows are one document
    rank, world_size the k-th global batch has world_size · B rows, and rank r gets rows r·B … (r + 1)·B - 1 of it
    weights          source → weight; default: those of the data spec
    run_rows         rows of the whole run, of all ranks, over which ramps go; needed where a weight is one, unused elsewhere
    rows             windows: each token is predicted once an epoch; documents: each row begins with the end token before
                     a document, so that nothing is read without its beginning, and a beginning is learned as it is
                     asked for in generation (an epoch is then one row from each document but the first)

    Raises DataError if a source is shorter than one window, or a ramp does not know how long the run is.
    """

    def __init__(
        self,
        split: Split,
        *,
        context_length: int,
        batch_size: int,
        seed: int,
        document_mask: bool = True,
        rank: int = 0,
        world_size: int = 1,
        weights: Mapping[str, float | Ramp] | None = None,
        rows: Rows = "windows",
        run_rows: int | None = None,
    ) -> None:
        if context_length < 1 or batch_size < 1 or not 0 <= rank < world_size:
            raise DataError(
                explain(
                    f"context_length = {context_length}, batch_size = {batch_size}, rank = {rank} of {world_size}",
                    need="lengths of at least 1, and a rank from 0 to world_size - 1",
                )
            )
        self.split, self.context_length, self.batch_size, self.seed = split, context_length, batch_size, seed
        self.document_mask, self.rank, self.world_size, self.rows = document_mask, rank, world_size, rows
        self.walks = [Walk(stream, context_length, seed, rows) for stream in split.streams]
        self.dealer = Dealer(mixture_of(weights_of(split, weights)), run_rows)

    def __iter__(self) -> Iterator[Batch]:
        """Batches from where the source stands; a second iterator goes on where the first one is."""
        while True:
            yield self.next_batch()

    def next_batch(self) -> Batch:
        """The next batch of this rank. When it is handed out, the position stands behind it."""
        rows = self.batch_size * self.world_size
        chosen = self.dealer.deal([walk.drawn for walk in self.walks], rows)
        starts = np.empty(rows, np.int64)
        for number, walk in enumerate(self.walks):
            here = chosen == number
            starts[here] = walk.take(int(here.sum()))
        mine = slice(self.rank * self.batch_size, (self.rank + 1) * self.batch_size)
        windows = np.empty((self.batch_size, self.context_length + 1), np.int64)  # (B, T + 1), widened as it is filled
        places = [(self.walks[number].stream, start) for number, start in zip(chosen[mine].tolist(), starts[mine].tolist())]
        for row, (stream, start) in zip(windows, places):
            row[:] = stream.read(start, start + self.context_length + 1)
        if self.split.all_learned:
            return as_batch(windows, self.split.end_id, document_mask=self.document_mask)
        marks = [marks_of(stream, row, start, self.split.end_id) for row, (stream, start) in zip(windows, places)]
        return as_batch(windows, self.split.end_id, document_mask=self.document_mask, marks=marks)

    def drawn(self) -> dict[str, int]:
        """Rows drawn from each source so far, over all ranks: the actual mixture of a run."""
        return {walk.stream.source: walk.drawn for walk in self.walks}

    @property
    def epoch(self) -> float:
        """Passes over the whole split so far: tokens gone through ÷ tokens there."""
        return sum(walk.gone for walk in self.walks) / self.split.tokens

    def state_dict(self) -> dict[str, Any]:
        """Where it stands, in plain JSON types. The same on every rank, and good for any number of ranks and any batch size."""
        return {
            "data": self.split.fingerprint,
            "split": self.split.name,
            "seed": self.seed,
            "context_length": self.context_length,
            "rows": self.rows,
            "sources": {walk.stream.source: walk.place() for walk in self.walks},
            **self.dealer.state_dict([walk.stream.source for walk in self.walks]),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Stand where a saved position says. Raises CheckpointError if it is one of other data, seed, context or sources, or, where
        weights change over the run, of a run of another length: what was drawn till then was asked by another course."""
        mine = self.state_dict()
        sources = state.get("sources")
        wrong = [f"{key} {state.get(key)!r}" for key in POSITION_OF if state.get(key) != mine.get(key)]
        if not isinstance(sources, Mapping) or set(sources) != set(mine["sources"]):
            wrong.append(f"sources {sorted(sources) if isinstance(sources, Mapping) else sources!r}")
        if wrong:
            needed = ", ".join(f"{key} {mine.get(key)!r}" for key in POSITION_OF if key in mine or key in state)
            same = f"data, seed{', number of steps' if self.dealer.moves else ''} and context_length"
            raise CheckpointError(
                explain(
                    f"a data position of {', '.join(wrong)}",
                    need=f"one of {needed}, sources {sorted(mine['sources'])}",
                    hint=f"resuming with the same {same}",
                )
            )
        assert isinstance(sources, Mapping)
        for walk in self.walks:
            walk.stand(sources[walk.stream.source])
        self.dealer.stand(state, {walk.stream.source: walk.drawn for walk in self.walks})


def weights_of(split: Split, others: Mapping[str, float | Ramp] | None = None) -> dict[str, float | Ramp]:
    """The weights of a split's streams, or others in their place. Raises DataError where these are not for the same sources."""
    own = {stream.source: stream.weight for stream in split.streams}
    if others is None:
        return own
    if set(others) != set(own) or not all(isinstance(weight, Ramp) or weight > 0 for weight in others.values()):
        raise DataError(explain(f"weights {dict(others)}", need=f"a number above 0, or a ramp, for each of {', '.join(own)}"))
    return {source: others[source] for source in own}


def batches_of(
    split: Split, *, context_length: int, batch_size: int, seed: int, document_mask: bool, rows: Rows, run_rows: int | None
) -> PackedBatches | PairBatches:
    """Endless batches of a split for a run on one machine, by what its rows are; arguments as for `PackedBatches`."""
    if rows == "pairs":
        return PairBatches(split, context_length=context_length, batch_size=batch_size, seed=seed)
    return PackedBatches(
        split,
        context_length=context_length,
        batch_size=batch_size,
        seed=seed,
        document_mask=document_mask,
        rows=rows,
        run_rows=run_rows,
    )


class Marks(NamedTuple):
    """What has to be known of some tokens (n,): which of them are learned, and which are the last of a document."""

    learned: NDArray[np.bool_]
    ends: NDArray[np.bool_]

    def padded(self, length: int) -> Marks:
        """Those of `length` tokens, of which what is behind these is end tokens."""
        more = (0, length - len(self.ends))
        return Marks(*(np.pad(each, more, constant_values=True) for each in self))


def marks_of(stream: Stream, tokens: NDArray[Any], start: int, end_id: int) -> Marks:
    """Those of a stream's tokens (n,), the first of which is number `start`."""
    if not stream.masks:
        return Marks(np.ones(len(tokens), bool), tokens == end_id)
    stop = start + len(tokens)
    return Marks(stream.learned(start, stop), stream.ends(start, stop))


def as_batch(
    windows: NDArray[np.int64], end_id: int, *, document_mask: bool = True, marks: Sequence[Marks] | None = None
) -> Batch:
    """A batch from whole windows (B, T + 1): tokens are all but the last, targets all but the first.

    marks   of each window; None: all of it is learned, and documents end with the end token. A target's weight is its own mark.
    """
    tokens = torch.from_numpy(np.ascontiguousarray(windows[:, :-1]))  # (B, T)
    targets = torch.from_numpy(np.ascontiguousarray(windows[:, 1:]))  # (B, T)
    ends = windows == end_id if marks is None else np.stack([mark.ends for mark in marks])  # (B, T + 1)
    documents = document_numbers(ends[:, :-1]) if document_mask else None
    if marks is None:
        return Batch(tokens, targets, torch.ones(tokens.shape), documents)
    learned = np.stack([mark.learned[1:] for mark in marks])  # (B, T)
    return Batch(tokens, targets, torch.from_numpy(learned.astype(np.float32)), documents)


def document_numbers(ends: NDArray[np.bool_]) -> Tensor | None:
    """(B, T) int32: 0 in a row's first document, 1 in the next …; None where no row holds an end before its last place.
    ends: (B, T) whether a token is the last of a document."""
    if not ends[:, :-1].any():
        return None
    return torch.from_numpy((np.cumsum(ends, axis=1, dtype=np.int32) - ends).astype(np.int32, copy=False))


def evaluation_batches(
    split: Split, context_length: int, batch_size: int, *, document_mask: bool = True, rows: Rows = "windows"
) -> Iterator[Batch]:
    """All of a split once, in order, every token predicted once but the very first. Deterministic.

    The streams follow each other as one sequence t_0 … t_{N-1}. A row reads from t_s and is scored on t_{s+1} … t_e.
    windows: e = s + T, and the next row begins at e. documents: e is the last document's end within reach, so the next
    row begins with that end token and no document is read without its beginning; one that is longer than a row is cut.
    Places of a row after e have weight 0 and document -1. The weights add up to N - 1, or to the tokens that are learned, where
    not all are; rows in which none is are left out. The last batch may have fewer rows. pairs: as `evaluation_pairs` gives them. Raises
    DataError if there are not two tokens.
    """
    if rows == "pairs":
        yield from evaluation_pairs(split, context_length, batch_size)
        return
    if split.tokens < 2:
        raise DataError(
            explain(
                f"{split.tokens} tokens of {split.name} text", need="at least 2, one to predict from another", hint="more text"
            )
        )
    spans = _spans(split, context_length, rows)
    while span := list(islice(spans, batch_size)):
        windows = np.full((len(span), context_length + 1), split.end_id, np.int64)
        for window, (part, _, _) in zip(windows, span):
            window[: len(part)] = part
        marks = None if split.all_learned else [known.padded(context_length + 1) for _, known, _ in span if known is not None]
        batch = as_batch(windows, split.end_id, document_mask=document_mask, marks=marks)
        yield _scored_until(batch, [scored for _, _, scored in span], document_mask)


def _spans(split: Split, context_length: int, rows: Rows) -> Iterator[tuple[NDArray[Any], Marks | None, int]]:
    """(tokens of a row, at most T + 1 of them; their marks, where not all is learned; how many of its places are scored), in order."""
    start = 0
    while start < split.tokens - 1:
        part, marks = _read_across(split, start, min(start + context_length + 1, split.tokens))
        scored = len(part) - 1
        if rows == "documents" and start + len(part) < split.tokens:
            ends = np.flatnonzero(part[1:] == split.end_id if marks is None else marks.ends[1:])
            scored = int(ends[-1]) + 1 if len(ends) else scored
        if marks is None or marks.learned[1 : scored + 1].any():
            yield part, marks, scored
        start += scored


def _scored_until(batch: Batch, scored: list[int], document_mask: bool) -> Batch:
    """The batch with the places after the scored ones of each row marked as not there."""
    if all(count == batch.tokens.shape[1] for count in scored):
        return batch
    documents = batch.documents
    if document_mask and documents is None:
        documents = torch.zeros(batch.tokens.shape, dtype=torch.int32)
    for row, count in enumerate(scored):
        batch.weights[row, count:] = 0
        if documents is not None:
            documents[row, count:] = -1
    return Batch(batch.tokens, batch.targets, batch.weights, documents)


def _read_across(split: Split, start: int, stop: int) -> tuple[NDArray[np.int64], Marks | None]:
    """Tokens start … stop - 1 of the streams one after the other, and their marks, where not all of the split is learned."""
    parts, marks = [], []
    first = 0
    for stream in split.streams:
        low, high = max(start - first, 0), min(stop - first, stream.tokens)
        if low < high:
            parts.append(stream.read(low, high))
            if not split.all_learned:
                marks.append(marks_of(stream, parts[-1], low, split.end_id))
        first += stream.tokens
    return np.concatenate(parts).astype(np.int64), Marks(*map(np.concatenate, zip(*marks))) if marks else None

"""From spooled texts to token shards: each document's ids, its end token, and a check that no byte was lost."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from linnet.core.errors import TokenizerError, explain
from linnet.core.spec import dump
from linnet.data.shards import FORMAT, SPLITS, VERSION, StreamWriter, token_dtype
from linnet.data.spec import DataSpec
from linnet.data.split import Plan
from linnet.data.spool import Spool
from linnet.tokenizer.base import Tokenizer

Progress = Callable[[float | None, str], None]  # part done, 0 … 1 or None where nobody knows, and what is going on

BATCH_CHARACTERS = 2**20  # of texts that are encoded together
BATCH_TEXTS = 1024


@dataclass(frozen=True)
class SourcePlan:
    """What becomes of one source's documents: which are kept at all, and which side each kept one is on."""

    kept: NDArray[np.bool_]  # (records,) not a copy of an earlier document
    plan: Plan  # over the kept ones


def parts(spec: DataSpec, spools: list[Spool], plans: list[SourcePlan]) -> Iterator[tuple[str, str, bool, int, int]]:
    """(split, text, whether the document ends there, number of its source, bytes of the text) of all kept text, in order."""
    for number, (spool, plan) in enumerate(zip(spools, plans)):
        for document, text, size in spool.texts(plan.kept):
            cut = plan.plan.parts(document, text, exact=spec.exact)
            for validation, part, ends in cut:
                yield SPLITS[validation], part, ends, number, size if len(cut) == 1 else len(part.encode("utf-8"))


def encode_all(
    spec: DataSpec,
    spools: list[Spool],
    plans: list[SourcePlan],
    tokenizer: Tokenizer,
    folder: Path,
    fingerprint: str,
    shard_tokens: int,
    tell: Progress,
) -> dict[str, Any]:
    """Write all shards; the index."""
    dtype = token_dtype(tokenizer.vocab_size)
    check = _Check(tokenizer)
    total = sum(int(spool.records()["bytes"][plan.kept].sum()) for spool, plan in zip(spools, plans))
    done = 0
    writers: dict[tuple[str, int], StreamWriter] = {}
    streams: dict[StreamWriter, int] = {}  # the same, numbered
    batch: list[tuple[StreamWriter, str, bool, int]] = []

    def flush() -> None:
        ids, borders = tokenizer.encode_to_arrays([text for _, text, _, _ in batch])
        sizes, ends = (np.array([row[i] for row in batch], np.int64) for i in (3, 2))
        everything, lengths, unknown = check(ids, borders.astype(np.int64), sizes, ends)
        of = np.array([streams[writer] for writer, _, _, _ in batch], np.int64)
        whose = np.repeat(of, lengths)
        for writer, number in streams.items():
            its = of == number
            if its.any():
                writer.append(everything[whose == number], lengths[its], int(sizes[its].sum()), int(unknown[its].sum()))
        batch.clear()
        tell(done / total, f"encoding: {done / 1e6:,.0f} of {total / 1e6:,.0f} MB")

    try:
        characters = 0
        for split, text, ends, number, size in parts(spec, spools, plans):
            if (split, number) not in writers:
                writers[split, number] = StreamWriter(folder, split, spools[number].name, dtype, shard_tokens)
                streams[writers[split, number]] = len(streams)
            batch.append((writers[split, number], text, ends, size))
            characters += len(text)
            done += size
            if characters >= BATCH_CHARACTERS or len(batch) >= BATCH_TEXTS:
                flush()
                characters = 0
        flush()
        entries = {key: writer.close() for key, writer in writers.items()}
    except BaseException:
        for writer in writers.values():
            with contextlib.suppress(OSError):
                writer.abandon()
        raise
    return {
        "format": FORMAT,
        "version": VERSION,
        "fingerprint": fingerprint,
        "dtype": dtype.name,
        "vocab_size": tokenizer.vocab_size,
        "end_id": tokenizer.end_id,
        "tokenizer": tokenizer.fingerprint,
        "spec": dump(spec),
        "weights": {spool.name: source.weight for spool, source in zip(spools, spec.described())},
        "splits": {
            split: [entries[split, number] for number in range(len(spools)) if (split, number) in entries] for split in SPLITS
        },
    }


class _Check:
    """Whether a document's ids stand for its text, where the tokenizer is one that loses nothing (`Tokenizer.exact`).

    A special token never comes out of ordinary text but for one: a tokenizer with a closed vocabulary gives its
    unknown token for what it cannot say. Those are counted, for the card; any other loss of bytes is refused.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.end_id, self.exact = tokenizer.end_id, tokenizer.exact
        self.widths = np.array([len(tokenizer.token_bytes(token)) for token in range(tokenizer.vocab_size)])
        self.special = np.zeros(tokenizer.vocab_size, bool)
        self.special[list(tokenizer.special.values())] = True

    def __call__(
        self, ids: NDArray[np.uint32], borders: NDArray[np.int64], sizes: NDArray[np.int64], ends: NDArray[np.int64]
    ) -> tuple[NDArray[np.uint32], NDArray[np.int64], NDArray[np.int64]]:
        """Some texts' ids with an end token after each that ends its document (N,), how many each has, and how many unknown ones.

        ids, borders   (n,) one text after the other, and (texts,) where each ends
        sizes, ends    (texts,) the bytes of each, and 1 where its document ends

        Raises TokenizerError for a text whose ids do not stand for its bytes, and none of them is unknown.
        """
        if len(ids) and int(ids.max()) >= len(self.widths):
            got = f"the tokenizer gave id {int(ids.max())}"
            raise TokenizerError(explain(got, need=f"ids below its vocab_size = {len(self.widths)}"))
        unknown, stand_for = (sums(column[ids], borders) for column in (self.special, self.widths))
        lossy = (stand_for != sizes) & (unknown == 0)
        if self.exact and lossy.any():
            first = int(np.argmax(lossy))
            raise TokenizerError(
                explain(
                    f"the tokenizer turned {sizes[first]:,} bytes of text into ids that stand for {stand_for[first]:,} bytes",
                    need="a tokenizer that loses nothing, so that bits per byte mean something",
                    hint="a byte-level one",
                )
            )
        lengths = np.diff(borders, prepend=0) + ends
        last = np.cumsum(lengths)[ends == 1] - 1
        everything = np.empty(len(ids) + len(last), np.uint32)
        is_end = np.zeros(len(everything), bool)
        is_end[last] = True
        everything[is_end], everything[~is_end] = self.end_id, ids
        return everything, lengths, unknown


def sums(numbers: NDArray[Any], borders: NDArray[np.int64]) -> NDArray[np.int64]:
    """The sum of each of some stretches (n,) of numbers (N,), one after the other, that end at `borders` (n,)."""
    upto = np.concatenate([[0], np.cumsum(numbers, dtype=np.int64)])
    return np.diff(upto[borders], prepend=0)

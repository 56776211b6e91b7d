"""What is asked of `prepare`, and the name that stands for it: of the folder in which the answer is found again.

It is the fingerprint of everything that decides the content: the spec, what the sources and evaluation texts are made of, who makes the tokens,
and the format's version.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from linnet.core.spec import dump
from linnet.data.shards import FORMAT, VERSION
from linnet.data.sources import Source
from linnet.data.spec import DataSpec
from linnet.data.spool import Spool, changed
from linnet.tokenizer.base import Tokenizer


@dataclass(frozen=True)
class TokenizerTrainer:
    """A tokenizer that is yet to be trained, on training text only.

    train    from texts, which can be read again, to a tokenizer
    load     reads a tokenizer.json back
    recipe   a text that decides the outcome of `train` on given texts (its spec as JSON); with "" a second run
             reads and trains again before it can tell that nothing changed
    """

    train: Callable[[Iterable[str]], Tokenizer]
    load: Callable[[Path], Tokenizer] | None = None
    recipe: str = ""


def maker_of(tokenizer: Tokenizer | TokenizerTrainer) -> str | None:
    """A text that stands for who makes the tokens; None for a tokenizer that is known only when it is trained."""
    if isinstance(tokenizer, Tokenizer):
        return tokenizer.fingerprint
    return f"trained {tokenizer.recipe}" if tokenizer.recipe else None


def name_of(spec: DataSpec, digests: list[str | None], maker: str) -> str:
    """16 hex digits that stand for the question: the whole spec, what the sources are made of, who makes the tokens."""
    described = [FORMAT, VERSION, dump(spec), digests, maker]
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:16]


def all_read(spec: DataSpec) -> list[Source]:
    """All sources, and all evaluation texts that they are compared with."""
    return [*spec.sources, *[each.files() for each in spec.against]]


def refuse_changes(spec: DataSpec, seed: int, digests: Sequence[str | None], those: Iterable[bool]) -> None:
    """Raise DataError where one of those sources (and evaluation texts) has another digest than before; one that cannot be asked now,
    as without a network, has not changed."""
    for each, then, wanted in zip(all_read(spec), digests, those):
        if wanted and each.digest(seed=seed) not in (None, then):
            raise changed()


def digests_of(spec: DataSpec, seed: int) -> list[str | None]:
    """Of all sources, and of all evaluation texts that they are compared with."""
    return [each.digest(seed=seed) for each in all_read(spec)]


def digest_of(spool: Spool) -> str:
    """SHA-256 over all kept texts' fingerprints: a source's content."""
    return hashlib.sha256(np.ascontiguousarray(spool.records()["fingerprint"]).tobytes()).hexdigest()

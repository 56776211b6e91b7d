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
from linnet.data.prepared import Prepared, open_folder
from linnet.data.shards import FORMAT, VERSION
from linnet.data.sources import Source
from linnet.data.spec import DataSpec
from linnet.data.spool import Spool, changed
from linnet.data.workplace import Progress
from linnet.tokenizer.base import Tokenizer
from linnet.tokenizer.load import FILE_NAME


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


@dataclass(frozen=True)
class TokenizerLater:
    """A tokenizer that is there, and is opened when texts are being read already: a large one takes as long as a hundred megabytes of text.

    open      the tokenizer
    content   a text that stands for what it will be
    """

    open: Callable[[], Tokenizer]
    content: str


def maker_of(tokenizer: Tokenizer | TokenizerTrainer | TokenizerLater) -> str | None:
    """A text that stands for who makes the tokens; None for a tokenizer that is known only when it is trained."""
    match tokenizer:
        case Tokenizer():
            return tokenizer.fingerprint
        case TokenizerLater():
            return f"opened {tokenizer.content}"
        case _:
            return f"trained {tokenizer.recipe}" if tokenizer.recipe else None


def name_of(spec: DataSpec, digests: list[str | None], maker: str) -> str:
    """16 hex digits that stand for the question: the whole spec, what the sources are made of, who makes the tokens."""
    described = [FORMAT, VERSION, dump(spec), digests, maker]
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:16]


class Question:
    """What is asked, and where its answer is found again.

    tokenizer   who makes the tokens; one that is opened later, until it is `opened`
    digests     of all that is read, as it is now
    work_name   of the folder in which the work is done; None where nobody can know that a question is the same
    """

    def __init__(self, spec: DataSpec, seed: int, tokenizer: Tokenizer | TokenizerTrainer | TokenizerLater, folder: Path) -> None:
        self.spec, self.tokenizer, self.folder = spec, tokenizer, folder
        self.digests = digests_of(spec, seed)
        if isinstance(tokenizer, Tokenizer):
            spec.check(tokenizer)
        self.work_name = self._name()

    def _name(self) -> str | None:
        maker = maker_of(self.tokenizer)
        return name_of(self.spec, self.digests, maker) if maker is not None and None not in self.digests else None

    def opened(self) -> Tokenizer | TokenizerTrainer:
        """Who makes the tokens, who is at hand from now on. Raises TokenizerError, and DataError for one that does not suit the data."""
        if isinstance(self.tokenizer, TokenizerLater):
            self.tokenizer = self.tokenizer.open()
            self.spec.check(self.tokenizer)
        return self.tokenizer

    def answer(self, tell: Progress) -> Prepared | None:
        """The folder of somebody who asked the same before."""
        if self.work_name is None or not any(self.folder.glob("*/index.json")):
            return None
        tokenizer, name = self.opened(), self._name()
        return None if name is None else answer_in(self.folder / name, tokenizer, tell)


def answer_in(target: Path, tokenizer: Tokenizer | TokenizerTrainer, tell: Progress) -> Prepared | None:
    """The prepared folder at `target` if it is there and whole; None if it has to be made."""
    if not (target / "index.json").is_file():
        return None
    if isinstance(tokenizer, TokenizerTrainer):
        if tokenizer.load is None:
            return None
        tokenizer = tokenizer.load(target / FILE_NAME)
    prepared = open_folder(target, tokenizer, reused=True)
    tell(1.0, f"prepared before: {prepared.card.announcement()}")
    return prepared


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

"""Training and validation text: who decides, and why nothing leaks.

    hash   a document is validation  ⇔  first 64 bits of BLAKE2b(text) < validation · 2^64
    tail   the last part of the text, in order; for a corpus of one or a few documents

By hash the text alone decides: two copies of a text are on one side whatever else is in the corpus, and a corpus
that grows moves nothing. `auto` takes hash for a source of at least FEW documents whose validation share then lies
between half and twice the one asked for, and tail otherwise; the choice is in the data card.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from linnet.core.errors import DataError, explain

WHITE_SPACE = re.compile(r"\s")
FEW = 20  # documents; with fewer, a share by hash is a gamble

SplitKind = Literal["auto", "hash", "tail"]


def fingerprint(text: bytes) -> bytes:
    """16 bytes that stand for a text: for finding copies and for the split (BLAKE2b, 128 bits)."""
    return hashlib.blake2b(text, digest_size=16).digest()


def hash_is_validation(first_words: NDArray[np.uint64], validation: float) -> NDArray[np.bool_]:
    """Which documents are validation. first_words (n,): the first 8 bytes of each fingerprint, little-endian."""
    return first_words < np.uint64(int(validation * 2**64))


def repeated(words: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """True for every row of (n, 2) that equals an earlier row. Takes 24 bytes a row."""
    copies = np.zeros(len(words), bool)
    order = np.argsort(words[:, 0])
    ranked = words[order, 0]
    tied = np.zeros(len(words), bool)  # rows whose first word another row has too: few
    tied[order[1:]] = ranked[1:] == ranked[:-1]
    tied[order[:-1]] |= ranked[1:] == ranked[:-1]
    rows = np.nonzero(tied)[0]
    order = rows[np.lexsort((words[rows, 1], words[rows, 0]))]  # stable: equal rows stay in order
    copies[order[1:]] = (words[order[1:]] == words[order[:-1]]).all(axis=1)
    return copies


@dataclass(frozen=True)
class Plan:
    """Where each document of a source goes.

    kind         hash, tail, train or validation (the last two: all on one side)
    validation   (n,) bool
    cut          the document that is divided and the character to divide it at, for a tail; else None
    reach        how many characters from there it may be divided, at the begin of a line
    """

    kind: str
    validation: NDArray[np.bool_]
    cut: tuple[int, int] | None = None
    reach: int = 0


def tail_plan(characters: NDArray[np.uint64], validation: float, *, whole: bool = False) -> Plan:
    """Training is the first int((1 - validation) · n) of all n characters, validation the rest; or so that its share is at least half and
    at most one and a half of what was asked for, where a line begins. whole: between the two documents where that is nearest to it."""
    ends = np.cumsum(characters.astype(np.int64))
    cut = int((1 - validation) * int(ends[-1]))
    if whole:
        return Plan("tail", np.arange(len(ends)) > int(np.argmin(np.abs(ends[:-1] - cut))))
    number = int(np.searchsorted(ends, cut, side="right"))  # the document that holds character `cut`
    inside = cut - (int(ends[number - 1]) if number else 0)
    if not inside:
        return Plan("tail", np.arange(len(ends)) >= number)
    return Plan("tail", np.arange(len(ends)) > number, (number, inside), (int(ends[-1]) - cut) // 2)


def line_boundary(text: str, at: int, reach: int) -> int:
    """The line start nearest at or after `at` that leaves text behind it; else the last before; else behind the next white space; else
    `at` itself; none farther away than `reach` characters."""
    after = text.find("\n", max(at - 1, 0), at + reach) + 1
    if 0 < after < len(text):
        return after
    before = text.rfind("\n", max(at - 1 - reach, 0), max(at - 1, 0)) + 1
    if before:
        return before
    space = WHITE_SPACE.search(text, max(at - 1, 0), at + reach)
    return space.end() if space and space.end() < len(text) else at


def make_plan(
    source: str,
    kind: SplitKind,
    validation: float,
    first_words: NDArray[np.uint64],
    sizes: NDArray[np.uint64],
    characters: NDArray[np.uint64],
    *,
    whole: bool = False,
) -> Plan:
    """The plan for one source, from its kept documents' fingerprints, bytes and characters, each (n,). whole: none may be divided.

    Raises DataError if one side would be empty.
    """
    chosen = hash_is_validation(first_words, validation)
    if kind == "auto":
        share = float(sizes[chosen].sum()) / float(sizes.sum())
        kind = "hash" if len(sizes) >= FEW and validation / 2 <= share <= validation * 2 else "tail"
    if kind == "tail" and not (whole and len(sizes) < 2):
        plan = tail_plan(characters, validation, whole=whole)
        total = int(characters.sum())
        if 0 < int((1 - validation) * total) < total:
            return plan
    elif kind == "hash" and chosen.any() and not chosen.all():
        return Plan("hash", chosen)
    raise DataError(
        explain(
            f"source {source!r}: a {kind} split of its documents ({len(sizes):,}) leaves one side empty",
            need="text for training and for validation",
            hint="more text, another `validation:`" + (", or `split: tail`" if kind == "hash" else ""),
        )
    )

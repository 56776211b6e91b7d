"""Training text that holds what a model will be examined with, found by the n-grams that they share.

As for GPT-3 (Brown et al. 2020, arXiv 2005.14165, appendix C): n = 13 words in a row, in lower case and without punctuation, that
stand in an evaluation text and in a training document are an overlap. grams.py says exactly what a word is; unlike there,
punctuation inside a word divides it, apostrophes alone do not, on both sides alike.

An evaluation text of fewer than n words is looked for whole, if it has at least `shortest` words: 8, the least n of that appendix.
What is shorter still stands everywhere, and so a document overlaps with it only if it is just that.

`NGrams.overlaps` counts for each document; what becomes of it is decided in sides.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from linnet.core.errors import DataError, explain
from linnet.core.spec import Spec
from linnet.data.files import is_plain
from linnet.data.grams import Words
from linnet.data.look import NOT_UTF8, Texts, look
from linnet.data.reading import Encoding
from linnet.data.sources import Files

N = 13
SHORTEST = 8
MOST_BITS = 28  # of a hash that are marked beforehand: 256 MiB


class Against(Spec):
    """Evaluation texts that should not stand in training text.

    path       of a file, a folder or a glob, of any format that a `files` source reads
    text       the field (jsonl) or column (csv, tsv, parquet) that holds the text; default: the first known one
    separator  for txt and md, the line between two texts; default: such a file is looked for as a whole, and line by line
    encoding   how the files spell characters
    n          words in a row that are an overlap
    shortest   the fewest words of an evaluation text of fewer than n that is looked for inside of documents
    drop       leave documents that overlap out; else they are only counted
    """

    path: str = Field(min_length=1)
    text: str | None = None
    separator: str | None = None
    encoding: Encoding = "utf-8"
    n: int = Field(N, ge=1, le=1000)
    shortest: int = Field(SHORTEST, ge=1)
    drop: bool = True

    def files(self) -> Files:
        """Where they are read from."""
        return Files(path=self.path, text=self.text, separator=self.separator, encoding=self.encoding)

    def grams(self) -> NGrams:
        """Those of all the evaluation texts. Raises DataError for what cannot be read, or where there is no word."""
        source = self.files()
        ways = [source]
        if self.separator is None and any(is_plain(file) for file in source.files()):
            ways.append(source.replace(separator="\n"))
        batches = (texts for way in ways for portion in way.portions() for texts in checked_texts(way, portion.what))
        found = NGrams.joined((NGrams.of(texts, self.n, self.shortest) for texts in batches), self.n, self.shortest)
        if not found.inside and not len(found.alone):
            raise DataError(explain(f"{self.path} holds no word to look for", need="evaluation texts"))
        return found


def checked_texts(source: Files, portion: Any) -> Iterator[Texts]:
    """The texts of a portion. Raises DataError for one that is not UTF-8."""
    for texts in source.texts(portion):
        if (look(texts).flags & NOT_UTF8).any():
            source.refuse(portion)
        yield texts


@dataclass(frozen=True, eq=False)
class NGrams:
    """What is looked for, as sorted hashes, each there once.

    n, shortest   as in `Against`
    inside        k → those of k words in a row: k = n, and whole texts of `shortest` to n - 1 words
    alone         those of whole texts of fewer words
    """

    n: int
    shortest: int
    inside: Mapping[int, NDArray[np.uint64]]
    alone: NDArray[np.uint64]

    @classmethod
    def of(cls, texts: Texts, n: int = N, shortest: int = SHORTEST) -> NGrams:
        """Those of some evaluation texts."""
        words, shortest = Words.of(texts), min(shortest, n)
        inside = {k: np.unique(hashes) for k, _, hashes in words.whole(shortest, n)}
        _, hashes = words.grams(n)
        if len(hashes):
            inside[n] = np.unique(hashes)
        alone = [hashes for _, _, hashes in words.whole(1, shortest)]
        return cls(n, shortest, inside, np.unique(np.concatenate(alone)) if alone else np.empty(0, np.uint64))

    @classmethod
    def joined(cls, parts: Iterable[NGrams], n: int = N, shortest: int = SHORTEST) -> NGrams:
        """All of several, which have this n and this `shortest`."""
        inside: dict[int, NDArray[np.uint64]] = {}
        alone = np.empty(0, np.uint64)
        for part in parts:
            for k, hashes in part.inside.items():
                inside[k] = np.union1d(inside.get(k, hashes), hashes)
            alone = np.union1d(alone, part.alone)
        return cls(n, min(shortest, n), inside, alone)

    @cached_property
    def marks(self) -> dict[int, NDArray[np.bool_]]:
        """k → for the first bits that hashes may begin with, whether one of `inside[k]` does: most others are known by that."""
        found = {}
        for k, hashes in self.inside.items():
            bits = min(max(8, (16 * len(hashes)).bit_length()), MOST_BITS)
            found[k] = np.zeros(2**bits, bool)
            found[k][hashes >> np.uint64(64 - bits)] = True
        return found

    def overlaps(self, texts: Texts) -> NDArray[np.int64]:
        """(documents,) at how many places each of some documents has one of them."""
        words = Words.of(texts)
        found = np.zeros(len(texts), np.int64)
        for k, known in self.inside.items():
            documents, hashes = words.grams(k)
            marks = self.marks[k]
            perhaps = np.nonzero(marks[hashes >> np.uint64(65 - len(marks).bit_length())])[0]
            found += np.bincount(documents[perhaps[among(hashes[perhaps], known)]], minlength=len(texts))
        for _, documents, whole in words.whole(1, self.shortest):
            found[documents] += among(whole, self.alone)
        return found


def among(hashes: NDArray[np.uint64], known: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Which of some hashes are among others, which are sorted."""
    if not len(known):
        return np.zeros(len(hashes), bool)
    return known[np.minimum(np.searchsorted(known, hashes), len(known) - 1)] == hashes

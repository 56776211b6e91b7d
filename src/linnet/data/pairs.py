"""Pairs as a source: a text and what it is in other words, such as a sentence in two languages. Only the target is learned.

data: {sources: [{kind: pairs, source: train.de, target: train.en}]}              two files, line by line
data: {sources: [{kind: pairs, path: pairs.jsonl, source: de, target: en}]}       two fields of records

    on disk    s_1 … s_m END t_1 … t_n END        learned: 0 … 0 0 1 … 1 1

Between reading and encoding a pair is a conversation of two turns (turns.py), so it is cleaned, and copies of it are found, as one is.
It is never divided, and a prepared pair is found again by its mask: what is learned of it begins where its target does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from linnet.core.errors import DataError, explain
from linnet.core.names import nearest
from linnet.data import turns
from linnet.data.clean import CleanStep
from linnet.data.close import Closing, side_of
from linnet.data.encode import Encoded, Encoder
from linnet.data.files import find_files
from linnet.data.formats import Options
from linnet.data.look import Looks, Texts
from linnet.data.reading import Encoding, blocks, chunks
from linnet.data.records import record_files, records_of
from linnet.data.sources import Described, Document, as_label, digest_of_files
from linnet.tokenizer.chat import Turn


class Pairs(Described):
    """Pairs of texts, of which a model reads the first and learns to say the second.

    source     the file of the texts that are read, one a line; with `path` the field or column that holds them
    target     the file of what they are to become, line by line; with `path` the field or column
    path       of records (jsonl, csv, tsv, parquet): a file, a folder or a glob; default: none, two files of lines
    encoding   how the files spell characters
    """

    kind: Literal["pairs"] = "pairs"
    source: str = Field(min_length=1)
    target: str = Field(min_length=1)
    path: str | None = Field(default=None, min_length=1)
    encoding: Encoding = "utf-8"

    whole: ClassVar[bool] = True

    @model_validator(mode="after")
    def _two(self) -> Self:
        if self.source == self.target:
            what = "field" if self.path else "file"
            raise ValueError(f"source and target are both {self.source}; needed: two {what}s")
        return self

    @classmethod
    def examples(cls) -> tuple[Pairs, ...]:
        return (
            cls(source="train.de", target="train.en", part="train"),
            cls(path="pairs.jsonl", source="de", target="en", name="sentences", licence="CC0-1.0"),
        )

    def label(self) -> str:
        return self.name or as_label(Path(self.path or self.source).name.split(".")[0]) or "pairs"

    # ---- reading --------------------------------------------------------------------------------------------------

    def documents(self, *, seed: int = 0) -> Iterator[Document]:
        """Each pair as a line of JSON (turns.py). Raises DataError for a side that says nothing, and for files of unequal length."""
        for where, source, target in self.checked_pairs():
            line = turns.as_line((Turn("user", source), Turn("assistant", target)))
            yield Document(line, self.label(), where if self.path else f"{self.source}, line {where}")

    def checked_pairs(self) -> Iterator[tuple[str, str, str]]:
        """(where, source, target) of each pair, without white space around them. Raises DataError as `documents` does."""
        for where, source, target in self.records() if self.path else self.lines():
            for text, side in ((source, self.source), (target, self.target)):
                if not text.strip():
                    got = f"{where}: {side} is empty" if self.path else f"{side}, line {where} is empty"
                    raise DataError(explain(got, need="a text on both sides", hint="leaving the pair out, on both sides"))
            yield where, source.strip(), target.strip()

    def lines(self) -> Iterator[tuple[str, str, str]]:
        """(number of a line, its source, its target) of two files."""
        sides = (lines_of(side, self.encoding) for side in self.sides())
        for number, (source, target) in enumerate(zip_longest(*sides), 1):
            if source is None or target is None:
                longer, shorter = (self.target, self.source) if source is None else (self.source, self.target)
                got = f"{shorter} ends after line {number - 1:,} and {longer} goes on"
                raise DataError(explain(got, need="as many lines in both", hint=f"wc -l {self.source} {self.target}"))
            yield str(number), source, target

    def records(self) -> Iterator[tuple[str, str, str]]:
        """(where, source, target) of each record."""
        for file in self.files():
            for where, record in records_of(file, Options(encoding=self.encoding)):
                texts = []
                for field in (self.source, self.target):
                    text = record.get(field)
                    if not isinstance(text, str):
                        got = f"{where}: no text in {field!r}" if field in record else f"{where}: no field {field!r}"
                        raise DataError(explain(got, need="a text in each", hint=nearest(field, map(str, record))))
                    texts.append(text)
                yield where, texts[0], texts[1]

    def sides(self) -> tuple[Path, Path]:
        """The two files of lines. Raises DataError for one that is not there, or is no file."""
        found = []
        for side in (self.source, self.target):
            files = find_files(side)
            if files != [Path(side).expanduser()]:
                raise DataError(explain(f"{side} stands for {len(files)} files", need="one file of lines a side"))
            found += files
        return found[0], found[1]

    def files(self) -> list[Path]:
        """All files that it is made of. Raises DataError."""
        return record_files(self.path) if self.path else list(self.sides())

    def digest(self, *, seed: int = 0) -> str:
        return digest_of_files(self.files())

    # ---- what is done with them -----------------------------------------------------------------------------------

    def cleaned(self, texts: Texts, steps: Sequence[CleanStep], counts: Counter[str]) -> tuple[Texts, Looks]:
        return turns.cleaned(texts, steps, counts)

    def said(self, texts: Texts) -> Texts:
        return turns.said(texts)

    def lessons(self, text: str) -> Iterable[str]:
        return tuple(turn.content for turn in turns.turns_in(text))

    def encoder(self, closing: Closing) -> Encoder:
        return PairEncoder(closing)


def lines_of(path: str | Path, encoding: Encoding = "utf-8") -> Iterator[str]:
    """The lines of a file of text, unpacked where it is compressed. Raises DataError."""
    for block in blocks(chunks(Path(path).expanduser()), str(path), encoding=encoding):
        lines = block.text.split("\n")
        yield from lines[:-1] if not lines[-1] else lines


class PairEncoder:
    """Encodes the lines that `Pairs` gives: both sides with an end token behind, the second one learned."""

    def __init__(self, closing: Closing) -> None:
        self.closing = closing

    def __call__(self, texts: Texts, which: NDArray[np.uint8], *, n_threads: int | None = None) -> Encoded:
        closing, both = self.closing, [turn.content.encode("utf-8") for text in texts for turn in turns.turns_in(text)]
        words = Texts.of(both)
        ids, ends = closing.tokenizer.encode_joined(words.joined, words.ends, n_threads=n_threads)
        unknown = closing.checked(ids, ends, words.sizes).astype(np.int64).reshape(-1, 2).sum(1)
        sizes, counts = words.sizes.astype(np.int64).reshape(-1, 2), np.diff(ends, prepend=np.uint64(0)).astype(np.int64) + 1
        everything = np.insert(ids.astype(closing.dtype), ends.astype(np.int64), closing.end_id)
        learned = np.repeat(np.tile([False, True], len(texts)), counts)
        lengths = counts.reshape(-1, 2).sum(1)
        of = np.repeat(side_of(which), lengths)
        return Encoded(
            sides=(everything[of == 1], everything[of == 2]),
            lengths=lengths,
            bytes=sizes.sum(1),
            unknown=unknown,
            masks=(learned[of == 1], learned[of == 2]),
            learned_bytes=sizes[:, 1],
        )

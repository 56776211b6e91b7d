"""The cleaned text of a source on disk, in parts: read once, by whichever process, and then walked as often as needed.

Preparing needs each text up to three times: to know its size and its copies, to train a tokenizer, to encode it.
Sources are read only once (standard input cannot be read twice, and a file may change in between), so their cleaned
texts go to files, with a 32-byte record a document beside them. A source's portions are read apart; what one gives is
written a part at a time, so that a reader that is killed goes on behind the last part:

    NAME.00003.0000.text      portion 3, part 0: the documents' UTF-8, one after the other
    NAME.00003.0000.records   fingerprint (2 x u8), bytes (u8), characters (u8), little-endian

Plain text of which cleaning changes nothing is left where it lies, and read again: that costs less than a copy. A part then has
records alone, and what is read again has to have their sizes; that the files have not changed, their source's digest says.
"""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from linnet.core.errors import DataError, explain
from linnet.core.files import Unnamed
from linnet.data.clean import CleanStep, clean_texts
from linnet.data.look import Looks, Texts, look

RECORD = np.dtype([("fingerprint", "<u8", (2,)), ("bytes", "<u8"), ("characters", "<u8")])
PART = 2**26  # bytes of text; a part is done when it has so many
TOGETHER = 2**21  # bytes of texts that are worked on together
REPORT_EVERY = 2**22  # bytes between two words on how far it is
Cleaner = Callable[[Texts, Sequence[CleanStep], Counter[str]], tuple[Texts, Looks]]


def changed() -> DataError:
    """What is wrong where something is read again, and is another."""
    return DataError(explain("a source changed while it was read", need="files that stay as they are", hint="the same again"))


@contextlib.contextmanager
def as_it_was() -> Iterator[None]:
    """Texts that were UTF-8 when they were read, and are no longer, are refused as what they are."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise changed() from error


@dataclass(frozen=True)
class Part:
    """Some documents of a source that were read together.

    name         of its two files, without the ending
    read         documents that the source gave, before cleaning
    documents    those that were kept; size: the bytes of their text
    cleaned      cleaning step → documents that it changed or dropped
    left         where its text was left: the portion of its source (`Portion.what`) of which it is the first documents; None: it
                 lies in the spool
    """

    name: str
    read: int
    documents: int
    size: int
    cleaned: dict[str, int]
    left: Any = None

    def is_whole(self, folder: Path) -> bool:
        """Whether its files are there, of the right size."""
        sizes = {"records": self.documents * RECORD.itemsize} | ({"text": self.size} if self.left is None else {})
        files = {folder / f"{self.name}.{ending}": size for ending, size in sizes.items()}
        return all(file.is_file() and file.stat().st_size == size for file, size in files.items())

    def is_of(self, portion: Any) -> bool:
        """Whether its text lies in the spool, or was left in this portion (`Portion.what`)."""
        return self.left is None or json.dumps(self.left) == json.dumps(portion)

    def are_its(self, texts: Iterable[Texts], folder: Path) -> bool:
        """Whether all of some texts are those that were written."""
        found = [np.empty((0, 2), np.uint64), *(look(some).fingerprints for some in texts)]
        return np.array_equal(np.concatenate(found), self.records(folder)["fingerprint"])

    def records(self, folder: Path) -> NDArray[np.void]:
        """(documents,) one record each."""
        return np.fromfile(folder / f"{self.name}.records", dtype=RECORD)

    def texts(self, folder: Path) -> Iterator[Texts]:
        """All its documents, where they lie in the spool, some megabytes at a time. Raises DataError where some are missing."""
        ends = np.cumsum(self.records(folder)["bytes"], dtype=np.uint64)
        first = begin = 0
        with open(folder / f"{self.name}.text", "rb") as file:
            while first < len(ends):
                last = max(int(np.searchsorted(ends, begin + TOGETHER, side="right")), first + 1)
                end = int(ends[last - 1])
                joined = file.read(end - begin)
                if len(joined) < end - begin:
                    got = f"{file.name} ends after {begin + len(joined):,} bytes"
                    raise DataError(explain(got, need=f"{self.size:,}, as it was written", hint="the same command again"))
                yield Texts(joined, ends[first:last] - np.uint64(begin))
                first, begin = last, end

    def texts_again(self, portion: Iterable[Texts], folder: Path) -> Iterator[Texts]:
        """All its documents, where they were left: the first of its portion's. Raises DataError where they are others."""
        sizes = self.records(folder)["bytes"]
        done = 0
        for texts in portion:
            texts = texts.before(min(len(texts), self.documents - done))
            if not np.array_equal(texts.sizes, sizes[done : done + len(texts)]):
                break
            done += len(texts)
            yield texts
            if done == self.documents:
                return
        if done < self.documents:
            raise changed()


@dataclass
class Spool:
    """One source, read: its parts in order."""

    name: str
    folder: Path
    parts: list[Part] = field(default_factory=list)

    @property
    def read(self) -> int:
        """Documents that the source gave."""
        return sum(part.read for part in self.parts)

    @property
    def documents(self) -> int:
        """Documents that cleaning left."""
        return sum(part.documents for part in self.parts)

    @property
    def cleaned(self) -> Counter[str]:
        """Cleaning step → documents that it changed or dropped."""
        return sum((Counter(part.cleaned) for part in self.parts), Counter())

    def records(self) -> NDArray[np.void]:
        """(documents,) one record each, of all parts."""
        found = [part.records(self.folder) for part in self.parts]
        return np.concatenate(found) if found else np.empty(0, RECORD)

    def refuse_empty(self) -> None:
        """Raise DataError for a source of which nothing is left."""
        if self.documents:
            return
        steps = ", ".join(f"{name}: {count}" for name, count in self.cleaned.items())
        why = f"{self.read:,} documents, none left after cleaning ({steps})" if self.read else "no documents"
        hint = "looking at its path, and at the clean steps"
        raise DataError(explain(f"source {self.name!r} is empty: {why}", need="some text", hint=hint))

    def firsts(self) -> list[int]:
        """The number of each part's first document, and of all."""
        return [0, *np.cumsum([part.documents for part in self.parts], dtype=np.int64).tolist()]


class PartWriter:
    """Writes one part; its files get their names when they are whole. left: as in Part; its text is not written then."""

    def __init__(self, folder: Path, name: str, *, left: Any = None) -> None:
        self.name, self.left = name, left
        endings = ("records", "text") if left is None else ("records",)
        self.files = [Unnamed(folder / f"{name}.{ending}") for ending in endings]
        self.read = self.documents = self.bytes = 0
        self.cleaned: Counter[str] = Counter()

    def add(self, read: int, texts: Texts, looks: Looks, changed: Counter[str]) -> None:
        """Some documents, of `read` that the source gave; changed: what cleaning did to these."""
        self.read += read
        self.documents += len(texts)
        self.bytes += len(texts.joined)
        self.cleaned += changed
        records = np.empty(len(texts), RECORD)
        records["fingerprint"], records["bytes"], records["characters"] = looks.fingerprints, texts.sizes, looks.characters
        for file, content in zip(self.files, (records.tobytes(), texts.joined)):
            file.write(content)

    def close(self) -> Part:
        """Give the files their names."""
        for file in self.files:
            file.close()
        return Part(self.name, self.read, self.documents, self.bytes, dict(self.cleaned), self.left)

    def abandon(self) -> None:
        """Delete what was written."""
        for file in self.files:
            file.abandon()


def write_parts(
    name: str,
    batches: Iterable[Texts],
    steps: Sequence[CleanStep],
    folder: Path,
    *,
    done: Sequence[Part] = (),
    cleaned: Cleaner = clean_texts,
    left: Any = None,
) -> Iterator[Part | int]:
    """Read a portion to its end: its parts as they are done, and between them now and then how many bytes it has come to.

    name      of the portion; `done`: its first parts, where they were read before
    cleaned   how steps are done with documents of this sort
    left      its source's name for it, where reading it again costs less than a copy: what comes before the first document that
              cleaning changes is left where it lies

    Raises DataError for what cannot be read, NotUtf8.
    """
    number, behind = len(done), sum(part.read for part in done)
    left = None if done else left
    told = size = sum(part.size for part in done)
    writer: PartWriter | None = None
    try:
        for batch in batches:
            if behind >= len(batch):
                behind -= len(batch)
                continue
            batch, behind = batch.after(behind), 0
            changed: Counter[str] = Counter()
            texts, looks = cleaned(batch, steps, changed)
            if left is not None and texts is not batch:
                left = None
                if writer is not None:
                    yield writer.close()
                    writer, number = None, number + 1
            writer = writer or PartWriter(folder, f"{name}.{number:04d}", left=left)
            writer.add(len(batch), texts, looks, changed)
            size += len(texts.joined)
            if writer.bytes >= PART and left is None:
                yield writer.close()
                writer, number = None, number + 1
            if size >= told + REPORT_EVERY:
                told = size
                yield size
        if writer is not None:
            yield writer.close()
            writer = None
    finally:
        if writer is not None:
            writer.abandon()

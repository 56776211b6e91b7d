"""The cleaned text of a source on disk, in parts: read once, by whichever process, and then walked as often as needed.

Preparing needs each text up to three times: to know its size and its copies, to train a tokenizer, to encode it.
Sources are read only once (standard input cannot be read twice, and a file may change in between), so their cleaned
texts go to files, with a 32-byte record a document beside them. A source's portions are read apart; what one gives is
written a part at a time, so that a reader that is killed goes on behind the last part:

    NAME.00003.0000.text      portion 3, part 0: the documents' UTF-8, one after the other
    NAME.00003.0000.records   fingerprint (2 x u8), bytes (u8), characters (u8), little-endian
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from linnet.core.errors import DataError, explain
from linnet.core.files import temporary_name
from linnet.data.clean import CleanStep, clean_texts
from linnet.data.look import Looks, Texts, look

RECORD = np.dtype([("fingerprint", "<u8", (2,)), ("bytes", "<u8"), ("characters", "<u8")])
PART = 2**26  # bytes of text; a part is done when it has so many
REPORT_EVERY = 2**22  # bytes between two words on how far it is
Cleaner = Callable[[Texts, Sequence[CleanStep], Counter[str]], tuple[Texts, Looks]]


@dataclass(frozen=True)
class Part:
    """Some documents of a source that were read together.

    name         of its two files, without the ending
    read         documents that the source gave, before cleaning
    documents    those that were kept; size: the bytes of their text
    cleaned      cleaning step → documents that it changed or dropped
    """

    name: str
    read: int
    documents: int
    size: int
    cleaned: dict[str, int]

    def is_whole(self, folder: Path, *, closely: bool) -> bool:
        """Whether its files are there, of the right size; closely: and every text is the one that was written."""
        sizes = {f"{self.name}.text": self.size, f"{self.name}.records": self.documents * RECORD.itemsize}
        for name, size in sizes.items():
            if not (folder / name).is_file() or (folder / name).stat().st_size != size:
                return False
        if not closely:
            return True
        records = self.records(folder)
        looks = look(Texts(self.text(folder), np.cumsum(records["bytes"], dtype=np.uint64)))
        return bool((looks.fingerprints == records["fingerprint"]).all())

    def records(self, folder: Path) -> NDArray[np.void]:
        """(documents,) one record each."""
        return np.fromfile(folder / f"{self.name}.records", dtype=RECORD)

    def text(self, folder: Path) -> bytes:
        """All its documents, one after the other."""
        return (folder / f"{self.name}.text").read_bytes()


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
    """Writes one part; its files get their names when they are whole."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder, name
        self.paths = [temporary_name(folder / f"{name}.{ending}") for ending in ("text", "records")]
        self.text, self.records = (open(path, "wb", buffering=2**20) for path in self.paths)  # noqa: SIM115
        self.read = self.documents = self.bytes = 0
        self.cleaned: Counter[str] = Counter()

    def add(self, read: int, texts: Texts, looks: Looks) -> None:
        """Some documents, of `read` that the source gave."""
        self.read += read
        self.documents += len(texts)
        self.bytes += len(texts.joined)
        self.text.write(texts.joined)
        records = np.empty(len(texts), RECORD)
        records["fingerprint"], records["bytes"], records["characters"] = looks.fingerprints, texts.sizes, looks.characters
        self.records.write(records.tobytes())

    def close(self) -> Part:
        """Give the files their names."""
        for file in (self.text, self.records):
            file.close()
        for path, ending in zip(self.paths, ("text", "records")):
            os.replace(path, self.folder / f"{self.name}.{ending}")
        return Part(self.name, self.read, self.documents, self.bytes, dict(self.cleaned))

    def abandon(self) -> None:
        """Delete what was written."""
        for file, path in zip((self.text, self.records), self.paths):
            file.close()
            path.unlink(missing_ok=True)


def write_parts(
    name: str,
    batches: Iterable[Texts],
    steps: Sequence[CleanStep],
    folder: Path,
    *,
    done: Sequence[Part] = (),
    cleaned: Cleaner = clean_texts,
) -> Iterator[Part | int]:
    """Read a portion to its end: its parts as they are done, and between them now and then how many bytes it has come to.

    name      of the portion; `done`: its first parts, where they were read before
    cleaned   how steps are done with documents of this sort

    Raises DataError for what cannot be read, NotUtf8.
    """
    number, behind = len(done), sum(part.read for part in done)
    told = size = sum(part.size for part in done)
    writer: PartWriter | None = None
    try:
        for batch in batches:
            if behind >= len(batch):
                behind -= len(batch)
                continue
            batch, behind = batch.after(behind), 0
            writer = writer or PartWriter(folder, f"{name}.{number:04d}")
            texts, looks = cleaned(batch, steps, writer.cleaned)
            writer.add(len(batch), texts, looks)
            size += len(texts.joined)
            if writer.bytes >= PART:
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


def text_of(part: Part, folder: Path) -> Iterator[tuple[Any, str]]:
    """(record, text) of each document of a part."""
    text, start = part.text(folder), 0
    for record in part.records(folder):
        size = int(record["bytes"])
        yield record, text[start : start + size].decode("utf-8")
        start += size

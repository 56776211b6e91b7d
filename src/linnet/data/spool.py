"""The cleaned text of one source on disk, read once and then walked as often as needed.

Preparing needs each text up to three times: to know its size and its copies, to train a tokenizer, to encode it.
Sources are read only once (standard input cannot be read twice, and a file may change in between), so their cleaned
texts go to a temporary file, with a 32-byte record a document beside it:

    text      the documents' UTF-8, one after the other
    records   fingerprint (2 x u8), bytes (u8), characters (u8), little-endian
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from linnet.core.errors import DataError, explain
from linnet.data.clean import CleanStep, clean
from linnet.data.sources import Document
from linnet.data.split import fingerprint

RECORD = np.dtype([("fingerprint", "<u8", (2,)), ("bytes", "<u8"), ("characters", "<u8")])
REPORT_EVERY = 2**22  # bytes between two calls of the progress function


@dataclass(frozen=True)
class Spool:
    """One source, read.

    read      documents that the source gave, before cleaning
    cleaned   cleaning step → documents that it changed or dropped
    digest    SHA-256 over all kept texts' fingerprints: the source's content
    """

    name: str
    folder: Path
    read: int
    cleaned: Counter[str]
    digest: str

    def records(self) -> NDArray[np.void]:
        """(n,) one record a document, mapped from disk."""
        return np.memmap(self.folder / f"{self.name}.records", dtype=RECORD, mode="r")

    def texts(self, kept: NDArray[np.bool_]) -> Iterator[tuple[int, str, int]]:
        """(number among the kept ones, text, bytes) of each document where `kept` (n,) is true, in order."""
        number = 0
        with open(self.folder / f"{self.name}.text", "rb", buffering=2**20) as handle:
            for size, keep in zip(_by_thousands(self.records()["bytes"]), _by_thousands(kept)):
                content = handle.read(size)
                if keep:
                    yield number, content.decode("utf-8"), size
                    number += 1


def _by_thousands(column: NDArray[np.generic]) -> Iterator[int]:
    """A column's values as Python numbers, without a list of them all."""
    for start in range(0, len(column), 4096):
        yield from column[start : start + 4096].tolist()


def write_spool(
    name: str,
    documents: Iterable[Document],
    steps: Sequence[CleanStep],
    folder: Path,
    report: Callable[[int, int], None] | None = None,
) -> Spool:
    """Read a source to its end. `report` is told (documents, bytes) now and then.

    Raises DataError if nothing is left, or a text cannot be written as UTF-8.
    """
    cleaned: Counter[str] = Counter()
    digest = hashlib.sha256()
    read = kept = size = reported = 0
    with (
        open(folder / f"{name}.text", "wb", buffering=2**20) as texts,
        open(folder / f"{name}.records", "wb", buffering=2**16) as records,
    ):
        for document in documents:
            read += 1
            text = clean(document.text, steps, cleaned)
            if text is None:
                continue
            try:
                content = text.encode("utf-8")
            except UnicodeEncodeError as error:
                raise DataError(
                    explain(
                        f"{document.name}: character {error.start:,}, U+{ord(text[error.start]):04X} is half a surrogate pair",
                        need="valid Unicode",
                    )
                ) from error
            mark = fingerprint(content)
            digest.update(mark)
            texts.write(content)
            records.write(mark + len(content).to_bytes(8, "little") + len(text).to_bytes(8, "little"))
            kept += 1
            size += len(content)
            if report is not None and size >= reported + REPORT_EVERY:
                report(read, size)
                reported = size
    if not kept:
        why = (
            f"{read:,} documents, none left after cleaning ({', '.join(f'{k}: {v}' for k, v in cleaned.items())})"
            if read
            else "no documents"
        )
        raise DataError(
            explain(f"source {name!r} is empty: {why}", need="some text", hint="looking at its path, and at the clean steps")
        )
    return Spool(name, folder, read, cleaned, digest.hexdigest())

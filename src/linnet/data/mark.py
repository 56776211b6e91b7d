"""What near copies and overlaps are found by, for every document of a part, in files beside its text:

    NAME.signatures   (documents, n_hashes) u4, by which near copies are found (near.py)
    NAME.overlaps     (documents, evaluation texts) u4, at how many places it overlaps with each of them (contamination.py)

Either is there only where the corpus's spec asks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from linnet.core.files import Unnamed
from linnet.data.contamination import NGrams
from linnet.data.look import Texts
from linnet.data.near import Near, signatures
from linnet.data.spool import REPORT_EVERY, Part, Spool

MARK = np.dtype("<u4")
BLOCK = 2**16  # documents whose signatures are copied at a time


def endings(near: Near | None, against: int) -> dict[str, int]:
    """The files of a part → the numbers of a document in each."""
    return ({"signatures": near.n_hashes} if near is not None else {}) | ({"overlaps": against} if against else {})


def are_marked(part: Part, near: Near | None, against: int, spool: Path) -> bool:
    """Whether a part's marks are there and whole."""
    files = {spool / f"{part.name}.{ending}": columns for ending, columns in endings(near, against).items()}
    return all(file.is_file() and file.stat().st_size == part.documents * n * MARK.itemsize for file, n in files.items())


def mark_part(
    name: str,
    texts: Iterable[Texts],
    near: Near | None,
    against: Sequence[NGrams],
    spool: Path,
    said: Callable[[Texts], Texts],
) -> Iterator[int]:
    """Write a part's marks, and say now and then how many bytes are done. Files get their names when they are whole.

    name    of the part; texts: its documents
    said    what is said in documents as they lie, where words are looked for
    """
    files = [Unnamed(spool / f"{name}.{ending}") for ending in endings(near, len(against))]
    told = done = 0
    try:
        for lying in texts:
            words = said(lying)
            found: list[NDArray[Any]] = [] if near is None else [signatures(words, near)]
            if against:
                found.append(np.stack([grams.overlaps(words) for grams in against], axis=1))
            for file, numbers in zip(files, found):
                file.write(numbers.astype(MARK).tobytes())
            done += len(lying.joined)
            if done >= told + REPORT_EVERY:
                told = done
                yield done
        for file in files:
            file.close()
    finally:
        for file in files:
            file.abandon()


def overlaps_of(spool: Spool, n_against: int) -> NDArray[np.uint32]:
    """(documents, evaluation texts) of a source: at how many places each document overlaps with each of them."""
    found = [np.fromfile(spool.folder / f"{part.name}.overlaps", MARK) for part in spool.parts]
    return np.concatenate(found).reshape(-1, n_against)


def signatures_of(spools: Sequence[Spool], kept: Sequence[NDArray[np.bool_]], near: Near, file: Path) -> NDArray[np.uint32]:
    """(n, n_hashes) of those documents of several sources that are kept, one source's after the other's, in a file that is mapped."""
    n = 0
    with open(file, "wb") as out:
        for spool, mine in zip(spools, kept):
            for part, first in zip(spool.parts, spool.firsts()):
                signed = mapped(spool.folder / f"{part.name}.signatures", part.documents, near.n_hashes)
                for row in range(0, part.documents, BLOCK):
                    block = signed[row : row + BLOCK][mine[first + row : first + part.documents][:BLOCK]]
                    out.write(block.tobytes())
                    n += len(block)
    return mapped(file, n, near.n_hashes)


def mapped(file: Path, rows: int, columns: int) -> NDArray[np.uint32]:
    """(rows, columns) numbers of a file, read as they are needed."""
    return np.memmap(file, MARK, "r", shape=(rows, columns)) if rows else np.empty((0, columns), MARK)

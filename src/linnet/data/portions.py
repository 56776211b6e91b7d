"""Files cut into portions that are read apart: each begins and ends between two documents, wherever that is.

    the border near byte p   behind the first separator line that begins at p or later, within REACH bytes;
                             else at the first line that begins there; else, in plain text, at a character

Both neighbours know a border by the same rule, so nothing is read twice and nothing is left out. How large portions are depends
on the source alone, whatever machine reads it: what comes out never depends on how many processes there are. Compressed files and tables with quotes cannot be entered in the middle, and are one portion.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from linnet.core.errors import DataError, explain
from linnet.data.formats import PIECE, Options, separator_line
from linnet.data.parquet import group_sizes
from linnet.data.reading import COMPRESSED, LONGEST_LINE, character_start

SMALLEST, LARGEST = 2**24, 2**28  # bytes of files read by one process at a time
MANY = 64  # portions of a source, about: enough to share out, and not too many files
REACH = PIECE  # bytes; a document that is longer is cut anyway
NEAR = 2**16  # bytes that are looked at first: most documents end within them


@dataclass(frozen=True)
class Slice:
    """A part of a file.

    start, stop   bytes, or row groups of a parquet file; stop None: to its end
    size          bytes on disk
    separated     whether a separator stands before it
    """

    path: str
    start: int
    stop: int | None
    size: int
    separated: bool = False


def portion_size(total: int) -> int:
    """The bytes of a portion of a source that has so many."""
    return min(LARGEST, max(SMALLEST, total // MANY))


def together(slices: Iterable[Slice], portion: int) -> list[list[Slice]]:
    """Slices one after the other, put together until they are `portion` bytes."""
    found: list[list[Slice]] = []
    size = portion
    for each in slices:
        if size >= portion:
            found.append([])
            size = 0
        found[-1].append(each)
        size += each.size
    return found


def slices(file: Path, kind: str, options: Options, portion: int) -> list[Slice]:
    """The parts of a file, of about `portion` bytes. kind: the ending that says how it is read. Raises DataError for one that cannot be read."""
    try:
        size = file.stat().st_size
        if kind == ".parquet" and file.suffix == ".parquet":
            return list(_row_groups(file, portion))
        if size <= portion or file.suffix in COMPRESSED or kind in (".csv", ".tsv", ".parquet"):
            return [Slice(str(file), 0, None, size)]
        with open(file, "rb") as handle:
            return list(_cut(handle, str(file), size, kind, options, portion))
    except OSError as error:
        raise DataError(explain(f"{file} cannot be read ({error.strerror or error})", need="a readable file")) from error


def _row_groups(file: Path, portion: int) -> Iterator[Slice]:
    start = held = 0
    sizes = group_sizes(str(file))
    for number, size in enumerate(sizes, 1):
        held += size
        if held >= portion or number == len(sizes):
            yield Slice(str(file), start, number, held)
            start, held = number, 0
    if not sizes:
        yield Slice(str(file), 0, 0, 0)


def _cut(handle: BinaryIO, path: str, size: int, kind: str, options: Options, portion: int) -> Iterator[Slice]:
    start, separated = 0, False
    for place in range(portion, size, portion):
        if place <= start:  # the document before ends behind it
            continue
        stop, mark = _border(handle, place, size, kind, options)
        if stop >= size:
            break
        yield Slice(path, start, stop, stop - start, separated)
        start, separated = stop, mark
    yield Slice(path, start, None, size - start, separated)


def _border(handle: BinaryIO, place: int, size: int, kind: str, options: Options) -> tuple[int, bool]:
    """Where a portion begins that would begin at `place`, and whether behind a separator."""
    begin = place - 1  # the line end before it may be the last byte before
    handle.seek(begin)
    window = b""
    if kind != ".jsonl" and options.separator != "\n":
        for reach in (min(NEAR, REACH), REACH):
            window += handle.read(reach - len(window))
            end = rb"\r*(?:\n|\Z)" if begin + len(window) == size else rb"\r*\n"
            found = re.search(b"\n" + re.escape(separator_line(options)) + end, window)
            if found:
                return begin + found.end(), True
        if begin + len(window) == size:  # the last document, which is short enough to stay whole
            return size, False
    while b"\n" not in window:
        more = handle.read(REACH)
        if not more:
            return size, False
        window += more
        if kind != ".jsonl" and len(window) > LONGEST_LINE:
            return begin + character_start(window[:REACH]), False
    return begin + window.index(b"\n") + 1, False


def lines_before(path: str, start: int) -> int:
    """Line ends in the first `start` bytes of a file."""
    lines = 0
    with open(path, "rb") as handle:
        while start > 0 and (chunk := handle.read(min(2**24, start))):
            lines += chunk.count(b"\n")
            start -= len(chunk)
    return lines

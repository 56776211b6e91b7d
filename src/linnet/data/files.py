"""Files of any known format: which ones a path stands for, and their documents, whole or a slice at a time.

Two ways of reading give the same texts: `read_file` one by one, checked, each with the place where it stood; `read_slice`
many at a time, as bytes. What the second stumbles over, the first says exactly.
"""

from __future__ import annotations

import glob
import itertools
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from linnet.core.errors import DataError, explain
from linnet.core.names import nearest
from linnet.data.formats import Options, Reader, Rows, first_field, plain_texts, read_csv, read_jsonl, read_plain, read_tsv
from linnet.data.look import Texts
from linnet.data.parquet import read_parquet, read_parquet_file
from linnet.data.portions import Slice, lines_before
from linnet.data.reading import COMPRESSED, chunks

FORMATS: dict[str, Reader] = {
    ".txt": read_plain,
    ".md": read_plain,
    ".jsonl": read_jsonl,
    ".csv": read_csv,
    ".tsv": read_tsv,
    ".parquet": read_parquet,
}
KNOWN = f"{', '.join(FORMATS)} (also .gz, .zst)"
NO_TEXT = {  # endings of what is not read as plain text: what it is, and what to try
    ".json": ("one JSON value", "one object a line: jq -c '.[]' IN.json > OUT.jsonl"),
    **dict.fromkeys((".warc", ".warc.gz", ".wet", ".wet.gz"), ("an archive of the web", "kind: warc")),
    **dict.fromkeys((".xml.bz2", ".xml.gz"), ("perhaps a dump of a wiki", "kind: wikipedia")),
    **dict.fromkeys((".zip", ".tar", ".tgz", ".7z", ".pdf", ".docx", ".epub"), ("no plain text", "unpacking or converting it")),
}
UNFINISHED = ".unfinished"  # after the name of a folder in which there is work to go on with
BATCH = 1024  # texts
BATCH_BYTES = 2**20


def ending(path: Path) -> str:
    """The format's ending, without the compression's: ".jsonl" for "a.jsonl.gz"."""
    name = path.name.lower()
    for compressed in COMPRESSED:
        name = name.removesuffix(compressed)
    return Path(name).suffix


def is_plain(path: Path) -> bool:
    """Whether a file is read as plain text."""
    return FORMATS.get(ending(path), read_plain) is read_plain


def find_files(path: str, known: Callable[[Path], bool] = lambda file: ending(file) in FORMATS, kinds: str = KNOWN) -> list[Path]:
    """The files that a path, a folder or a glob (`**` = any depth) stands for, sorted; hidden ones are left out.

    known   whether a file's ending is one that can be read; kinds: which ones that are, in words

    A file of an unknown ending is refused among others; given alone it is for its reader to say whether it can be read.
    """
    place = Path(path).expanduser()
    if place.is_file():
        if not known(place) and place.name.lower().endswith(tuple(NO_TEXT)):
            what, hint = next(NO_TEXT[end] for end in NO_TEXT if place.name.lower().endswith(end))
            raise DataError(explain(f"{path} is {what}", need=f"a file that ends in {kinds}, or plain text", hint=hint))
        return [place]
    if place.is_dir():
        found = files_in(place)
        if not found:
            raise DataError(explain(f"the folder {path} holds no files", need=f"files that end in {kinds}"))
    elif place.exists():
        what = "a pipe" if place.is_fifo() else "no file"
        hint = "zcat notes.txt.gz | linnet prepare - (--set data.sources.0.format=jsonl for lines of JSON), or a file"
        raise DataError(explain(f"{path} is {what}", need="a file, a folder or a glob: what is piped in is read as -", hint=hint))
    elif glob.has_magic(path):
        found = [file for file in matching(place) if file.is_file()]
        if not found:
            raise DataError(explain(f"no file matches {path}", need="at least one", hint="`**` for any depth of folders"))
    else:
        siblings = [item.name for item in place.parent.iterdir()] if place.parent.is_dir() else []
        hint = nearest(place.name, siblings) if 0 < len(siblings) <= 100 else ""
        raise DataError(explain(f"{path} does not exist", need="a file, a folder or a glob", hint=hint))
    unknown = sorted(str(file) for file in found if not known(file))
    if unknown:
        more = f" and {len(unknown) - 3} more" if len(unknown) > 3 else ""
        kind = next((ending(file) for file in sorted(found) if known(file)), ".txt")
        raise DataError(
            explain(
                f"{', '.join(unknown[:3])}{more}: an ending that is not known",
                need=f"one of {kinds}",
                hint=f"a glob that leaves them out, such as folder/**/*{kind}, or the file by itself if it is text",
            )
        )
    return sorted(found)


def files_in(folder: Path) -> list[Path]:
    """All files of a folder and of those in it, but for hidden ones."""
    found = []
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".") and not is_ours(Path(place, name))]
        found += [file for name in names if not name.startswith(".") and (file := Path(place, name)).is_file()]
    return found


def matching(pattern: Path) -> Iterator[Path]:
    """What a glob stands for, but for what is hidden and what linnet made itself; links to folders are not followed by `**`."""
    fixed = list(itertools.takewhile(lambda part: not glob.has_magic(part), pattern.parts))
    root = Path(*fixed)
    for found in root.glob("/".join(pattern.parts[len(fixed) :])):
        inside = found.relative_to(root)
        if not any(part.startswith(".") for part in inside.parts) and not any(is_ours(root / each) for each in inside.parents):
            yield found


def is_ours(folder: Path) -> bool:
    """Whether linnet prepares something in a folder, or has: no text to learn from."""
    return folder.name.endswith(UNFINISHED) or all((folder / name).is_file() for name in ("index.json", "card.json"))


def read_file(path: Path, options: Options) -> Rows:
    """(where, text) of every document of a file. Raises DataError."""
    if path.suffix == ".parquet":
        return read_parquet_file(str(path), options)
    return FORMATS.get(ending(path), read_plain)(chunks(path), str(path), options)


def read_slice(part: Slice, options: Options) -> Iterator[Texts]:
    """The documents of a part of a file as UTF-8, many at a time. Plain text is not looked at: whether it is UTF-8 is left
    to whoever does that. Raises DataError."""
    path = Path(part.path)
    if is_plain(path):
        options = replace(options, offset=part.start, separated=part.separated, ends=part.stop is None)
        yield from plain_texts(chunks(path, part.start, part.stop), part.path, options)
        return
    try:
        yield from encoded(read_carefully(part, options, line=1), part.path)
    except DataError:
        if part.start and ending(path) == ".jsonl":  # counted from the slice's first line on
            refuse_slice(part, options)
        raise


def read_carefully(part: Slice, options: Options, line: int) -> Rows:
    """(where, text) of a part of a file, whose first line is `line`."""
    path = Path(part.path)
    if path.suffix == ".parquet":
        groups = None if part.stop is None else range(part.start, part.stop)
        return read_parquet_file(part.path, options, groups)
    if part.start and options.text is None and ending(path) == ".jsonl":
        options = replace(options, text=first_field(chunks(path), part.path, options))
    options = replace(options, line=line, offset=part.start, separated=part.separated, ends=part.stop is None)
    return FORMATS.get(ending(path), read_plain)(chunks(path, part.start, part.stop), part.path, options)


def refuse_slice(part: Slice, options: Options) -> None:
    """Raise what is wrong with a slice, with the lines of its file. Does nothing where nothing is."""
    for _ in encoded(read_carefully(part, options, 1 + lines_before(part.path, part.start)), part.path):
        pass


def encoded(rows: Rows, name: str = "") -> Iterator[Texts]:
    """The texts of rows as UTF-8, some at a time; `name` stands before their places. Raises DataError for one that has none."""
    batch: list[bytes] = []
    size = 0
    for where, text in rows:
        batch.append(utf8(text, f"{name}{where}"))
        size += len(batch[-1])
        if size >= BATCH_BYTES or len(batch) == BATCH:
            yield Texts.of(batch)
            batch, size = [], 0
    if batch:
        yield Texts.of(batch)


def utf8(text: str, place: str) -> bytes:
    """A text's bytes. Raises DataError where it holds half a character."""
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        got = f"{place}: character {error.start:,}, U+{ord(text[error.start]):04X} is half a surrogate pair"
        raise DataError(explain(got, need="valid Unicode")) from error

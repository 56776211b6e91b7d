"""Records of files, for conversations: a line of a .jsonl, a row of a table, as a table of fields.

In csv, tsv and parquet a column may hold turns as JSON; in parquet also as a list of structs. Of a parquet only the columns are read
that the form of its first row uses; of what is only to be told apart, that row, and only the columns that tell. What a file holds,
everybody asks `told`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from linnet.core.errors import DataError, LinnetError, explain
from linnet.data.conversations import fields_of, with_turns
from linnet.data.files import FORMATS, ending, find_files
from linnet.data.formats import Options, conversation_in, json_records, known_texts, refuse_twice, table_rows
from linnet.data.parquet import Records, first_row, parquet_file_records, parquet_records
from linnet.data.portions import Slice
from linnet.data.reading import chunks

ENDINGS = (".jsonl", ".csv", ".tsv", ".parquet")
LOOKED_AT = 100  # files of a path whose first record is read, to tell whether they are conversations
KNOWN = f"{', '.join(ENDINGS)} (also .gz, .zst)"


def record_files(path: str) -> list[Path]:
    """The files of records that a path stands for. Raises DataError if there are none, or one is of another format."""
    files = find_files(path, lambda file: ending(file) in ENDINGS, KNOWN)
    other = [file for file in files if ending(file) not in ENDINGS]
    if other:
        raise DataError(
            explain(f"{other[0]} holds no records", need=f"a file that ends in {KNOWN}", hint="kind: files, for text")
        )
    return files


def records_of(file: Path, options: Options | None = None) -> Records:
    """All records of a file. Raises DataError with the line or row that is none."""
    return records_of_slice(Slice(str(file), 0, None, 0), options or Options())


def records_of_slice(part: Slice, options: Options, line: int = 1) -> Records:
    """The records of a part of a file, whose first line is `line`."""
    path, kind = Path(part.path), ending(Path(part.path))
    if kind == ".jsonl":
        here = replace(options, line=line, offset=part.start)
        yield from json_records(chunks(path, part.start, part.stop), part.path, here)
    elif path.suffix == ".parquet":
        groups = None if part.stop is None else range(part.start, part.stop)
        yield from parquet_file_records(part.path, groups)
    elif kind == ".parquet":
        yield from parquet_records(chunks(path), part.path)
    else:
        yield from rows_of_table(path, options, kind)


def rows_of_table(file: Path, options: Options, kind: str) -> Records:
    """The rows of a csv or tsv as records; an empty cell is an empty text, a column that shares its name with another one says nothing.
    Raises DataError where that is one which conversations like those of the first row use."""
    rows = table_rows(chunks(file), str(file), options, tabs=kind == ".tsv")
    header = next(rows, (1, []))[1]
    silent = dict.fromkeys(name for name in header if header.count(name) > 1)
    for number, (line, row) in enumerate(rows):
        record = with_turns(dict(zip(header, row)) | silent)
        if number == 0 and conversation_in(record):
            refuse_twice(header, fields_of(record), str(file))
        yield f"{file}, line {line}", record


# ---- what a file holds -----------------------------------------------------------------------------------------------


class Told(NamedTuple):
    """What the first record of a file says of all of it.

    form   of its conversations (`conversations.FORMS`); None: it is read as text
    text   a field that could be read as text, too; None: none is known
    """

    form: str | None = None
    text: str | None = None


def told(file: Path, options: Options | None = None) -> Told:
    """What a file holds; without options in whatever encoding, for what tells it is ASCII. Raises DataError where its first record
    cannot be read."""
    if ending(file) not in ENDINGS:
        return Told()
    try:
        record = first_record(file, options)
    except DataError as error:
        if options is not None:
            raise
        try:
            record = first_record(file, Options(encoding="latin-1"))
        except DataError:
            raise error from None
    if record is None:
        return Told()
    return Told(conversation_in(record), next(iter(known_texts(record)), None))


def first_record(file: Path, options: Options | None = None) -> dict[str, Any] | None:
    """The first record of a file, with the names of all its fields and what stands in those that tell its form; None where it has none."""
    if file.suffix == ".parquet":
        return first_row(str(file))
    return next((record for _, record in records_of(file, options)), None)


def form_of(file: Path, options: Options | None = None) -> str | None:
    """The form of a file's conversations; None for a file of texts."""
    return told(file, options).form


def kinds_in(files: Iterable[tuple[Path, str | None]]) -> tuple[Path | None, Path | None]:
    """(a file of conversations, a file of texts) among some files with their forms; None where there is none."""
    found: dict[bool, Path] = {}
    for file, form in files:
        found.setdefault(form is not None, file)
        if len(found) == 2:
            break
    return found.get(True), found.get(False)


def holds_conversations(path: str) -> bool:
    """Whether what a path stands for is conversations, by the first file of each ending and the first LOOKED_AT of all; what is wrong with
    a path that stands for nothing is for its reader to say. Raises DataError where some are conversations and some are texts, and where
    one cannot be read."""
    try:
        files = find_files(path)
    except LinnetError:
        return False
    some = dict.fromkeys([*{ending(file): file for file in reversed(files)}.values(), *files[:LOOKED_AT]])
    talk, text = kinds_in((file, form_of(file)) for file in some)
    if talk is not None and text is not None:
        raise both_kinds(path, talk, text)
    return talk is not None


def also_text(path: str) -> Told:
    """What the first file of conversations that a path stands for says of itself, where it could be read as text, too."""
    try:
        found = told(find_files(path)[0])
    except LinnetError:
        return Told()
    return found if found.form is not None and found.text is not None else Told()


def both_kinds(path: str, talk: Path, text: Path) -> DataError:
    """That a source cannot be of conversations and of texts."""
    got, apart = f"{path} holds conversations ({talk}) and texts ({text})", Path(path).is_dir() and ending(talk) != ending(text)
    hint = f"'{Path(path) / '**' / '*'}{ending(talk)}' and the texts as a source of their own" if apart else f"{talk} by itself"
    return DataError(explain(got, need="one or the other in a source", hint=hint))


assert set(ENDINGS) <= set(FORMATS)

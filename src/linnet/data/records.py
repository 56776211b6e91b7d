"""Records of files, for conversations: a line of a .jsonl, a row of a table, as a table of fields.

In csv, tsv and parquet a column may hold turns as JSON; in parquet also as a list of structs. Of a parquet only the columns are read
that some form uses; of what is only to be told apart, one row. What a file holds, everybody asks `told`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from linnet.core.errors import DataError, LinnetError, explain
from linnet.data.conversations import EITHER, FIELDS, listed
from linnet.data.files import FORMATS, ending, find_files
from linnet.data.formats import Options, conversation_in, json_records, known_texts, refuse_twice, table_rows
from linnet.data.parquet import Records, first_row, parquet_file_records, parquet_records
from linnet.data.portions import Slice
from linnet.data.reading import chunks

ENDINGS = (".jsonl", ".csv", ".tsv", ".parquet")
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
        yield from unfolded(parquet_file_records(part.path, FIELDS, groups))
    elif kind == ".parquet":
        yield from unfolded(parquet_records(chunks(path), part.path, FIELDS))
    else:
        yield from unfolded(rows_of_table(path, options, kind))


def rows_of_table(file: Path, options: Options, kind: str) -> Records:
    """The rows of a csv or tsv as records; an empty cell is an empty text. Raises DataError for two columns of one name."""
    rows = table_rows(chunks(file), str(file), options, tabs=kind == ".tsv")
    header = next(rows, (1, []))[1]
    refuse_twice(header, FIELDS, str(file))
    for line, row in rows:
        yield f"{file}, line {line}", dict(zip(header, row))


def unfolded(records: Records) -> Records:
    """Records of a table, with turns where a column of EITHER holds such as JSON: every cell of it is text."""
    for where, record in records:
        turns = {name: found for name in EITHER if (found := turns_of(record.get(name))) is not None}
        yield where, record | turns


def turns_of(cell: Any) -> list[Any] | None:
    """The turns that a text is in JSON; None for all other texts, an answer that is a list in JSON among them."""
    found = listed(cell) if isinstance(cell, str) and cell.lstrip().startswith("[") else None
    if not isinstance(found, list) or not found:
        return None
    return found if all(isinstance(turn, Mapping) and {"role", "content"} <= turn.keys() for turn in found) else None


# ---- what a file holds -----------------------------------------------------------------------------------------------


class Told(NamedTuple):
    """What the first record of a file says of all of it.

    form   of its conversations (`conversations.FORMS`); None: it is read as text
    text   a field that could be read as text, too; None: none is known
    """

    form: str | None = None
    text: str | None = None


def told(file: Path, options: Options | None = None) -> Told:
    """What a file holds. Raises DataError where its first record cannot be read."""
    record = first_record(file, options) if ending(file) in ENDINGS else None
    if record is None:
        return Told()
    return Told(conversation_in(record), next(iter(known_texts(record)), None))


def first_record(file: Path, options: Options | None = None) -> dict[str, Any] | None:
    """The first record of a file, with the names of all its fields and what stands in those that tell its form; None where it has none."""
    if file.suffix == ".parquet":
        return first_row(str(file), FIELDS - {"text"})
    return next((record for _, record in records_of(file, options)), None)


def form_of(file: Path, options: Options | None = None) -> str | None:
    """The form of a file's conversations; None for a file of texts."""
    return told(file, options).form


def kinds_in(files: Sequence[Path]) -> tuple[Path | None, Path | None]:
    """(a file of conversations, a file of texts) among some; None where there is none. Raises DataError for what cannot be read."""
    found: dict[bool, Path] = {}
    for file in files:
        found.setdefault(told(file).form is not None, file)
        if len(found) == 2:
            break
    return found.get(True), found.get(False)


def holds_conversations(path: str) -> bool:
    """Whether what a path stands for is conversations, by the first file of each ending; what is wrong with one is for its reader to say.
    Raises DataError where some are conversations and some are texts."""
    try:
        files = find_files(path)
        some = {ending(file): file for file in reversed(files)}
        talk, text = kinds_in(list(some.values()))
    except LinnetError:
        return False
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

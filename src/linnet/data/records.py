"""Records of files, for conversations: a line of a .jsonl, a row of a table, as a table of fields.

In csv, tsv and parquet a column may hold turns as JSON; in parquet also as a list of structs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from linnet.core.errors import DataError, LinnetError, explain
from linnet.data.conversations import form_in
from linnet.data.files import ending, find_files
from linnet.data.formats import Options, conversation_in, json_records, table_rows
from linnet.data.parquet import parquet_file_records, parquet_records
from linnet.data.portions import Slice
from linnet.data.reading import chunks

Records = Iterator[tuple[str, dict[str, Any]]]  # (where, record)
ENDINGS = (".jsonl", ".csv", ".tsv", ".parquet")
KNOWN = f"{', '.join(ENDINGS)} (also .gz, .zst)"
TURNS = ("messages", "conversation", "conversations")  # fields that hold turns and nothing else
EITHER = ("prompt", "chosen", "rejected")  # fields that hold turns or a text


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
        yield from unfolded(parquet_file_records(part.path, groups))
    elif kind == ".parquet":
        yield from unfolded(parquet_records(chunks(path), part.path))
    else:
        yield from unfolded(rows_of_table(path, options, kind))


def rows_of_table(file: Path, options: Options, kind: str) -> Records:
    """The rows of a csv or tsv as records; an empty cell is an empty text."""
    rows = table_rows(chunks(file), str(file), options, tabs=kind == ".tsv")
    header = next(rows, (1, []))[1]
    for line, row in rows:
        yield f"{file}, line {line}", dict(zip(header, row))


def unfolded(records: Records) -> Records:
    """Records with the turns that a column holds as JSON. Raises DataError for one that should be turns and is no JSON."""
    for where, record in records:
        turns = {name: turns_of(record[name], name, where) for name in (*TURNS, *EITHER) if isinstance(record.get(name), str)}
        yield where, record | turns


def turns_of(text: str, field: str, where: str) -> Any:
    """What a text stands for: the list that it is in JSON; itself where the field may hold a text, too."""
    if field in EITHER and not text.lstrip().startswith("["):
        return text
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        if field in EITHER:
            return text
        raise DataError(explain(f"{where}: its {field!r} is no JSON", need="a list of turns as JSON")) from error
    return found if field in TURNS or (found and all(isinstance(turn, Mapping) for turn in found)) else text


def first_record(file: Path, options: Options | None = None) -> dict[str, Any] | None:
    """The first record of a file; None where it has none."""
    return next((record for _, record in records_of(file, options)), None)


def form_of(file: Path) -> str | None:
    """The form of the first record of a file (`conversations.FORMS`); None for other files, and where it is none that is known."""
    record = first_record(file) if ending(file) in ENDINGS else None
    return None if record is None else form_in(record)


def holds_conversations(path: str) -> bool:
    """Whether the first file that a path stands for begins with a conversation; what is wrong with it is for its reader to say."""
    try:
        file = find_files(path)[0]
        record = first_record(file) if ending(file) in ENDINGS else None
    except LinnetError:
        return False
    return record is not None and conversation_in(record) is not None

"""Parquet: one row a document or a record, a thousand read at a time, whole files or some of their row groups."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO

from linnet.core.errors import DataError, explain
from linnet.core.extras import need
from linnet.data.conversations import fields_of, fields_that_tell, with_turns
from linnet.data.formats import Options, Rows, refuse_twice, text_field

ROWS = 1024  # read at a time
BUFFER = 2**20  # bytes of a column that are read ahead; without a buffer arrow reads all of it that is in a row group
Records = Iterator[tuple[str, dict[str, Any]]]  # (where, record), of tables and of .jsonl alike


def read_parquet(pieces: Iterable[bytes], name: str, options: Options) -> Rows:
    """The texts of a stream. It goes to a temporary file first: parquet is read from its end."""
    with tempfile.TemporaryFile() as handle:
        for piece in pieces:
            handle.write(piece)
        handle.seek(0)
        yield from _rows(handle, name, options, None)


def read_parquet_file(path: str, options: Options, groups: Sequence[int] | None = None) -> Rows:
    """The texts of an uncompressed file, in place; of the row groups with these numbers, one after the other."""
    with open(path, "rb") as handle:
        yield from _rows(handle, path, options, groups)


def group_sizes(path: str) -> list[int]:
    """The bytes that each row group unpacks to."""
    with open(path, "rb") as handle, _opened(handle, path) as file:
        return [file.metadata.row_group(number).total_byte_size for number in range(file.num_row_groups)]


@contextmanager
def _opened(handle: BinaryIO, name: str) -> Iterator[Any]:
    """The file, opened; what goes wrong with it is explained."""
    parquet = need("pyarrow.parquet", extra="data", to="read parquet files")
    arrow = need("pyarrow", extra="data", to="read parquet files")
    try:
        with parquet.ParquetFile(handle, buffer_size=BUFFER, pre_buffer=False) as file:
            yield file
    except (arrow.ArrowException, OSError) as error:
        got = f"{name} is damaged or not parquet ({str(error).splitlines()[0]})"
        raise DataError(explain(got, need="an undamaged copy")) from error


def parquet_records(pieces: Iterable[bytes], name: str) -> Records:
    """The rows of a stream as records, with values for those columns that the form of the first one uses, lists and structs as Python has
    them; see `read_parquet`."""
    with tempfile.TemporaryFile() as handle:
        for piece in pieces:
            handle.write(piece)
        handle.seek(0)
        yield from _records(handle, name, None)


def parquet_file_records(path: str, groups: Sequence[int] | None = None) -> Records:
    """The rows of an uncompressed file as records; of the row groups with these numbers, one after the other."""
    with open(path, "rb") as handle:
        yield from _records(handle, path, groups)


def first_row(path: str) -> dict[str, Any] | None:
    """The first row of an uncompressed file: a value for the columns that tell its form, for all others what `unread` says; None
    where there is no row."""
    with open(path, "rb") as handle, _opened(handle, path) as file:
        return _first_row(file, path)


def _first_row(file: Any, name: str) -> dict[str, Any] | None:
    """The same of an opened file. A column that shares its name with another one, or holds neither text nor lists, tells nothing."""
    schema = file.schema_arrow
    telling = fields_that_tell(schema.names)
    read = [
        field.name
        for field in schema
        if field.name in telling and schema.names.count(field.name) == 1 and (_is_text(field.type) or _is_list(field.type))
    ]
    for batch in file.iter_batches(batch_size=1, columns=read):
        cells = {each: next(_values(batch.column(each), f"{name}, row", 1, each)) for each in read}
        return unread(schema) | with_turns(cells)
    return None


def unread(schema: Any) -> dict[str, Any]:
    """What stands for the columns of a record that are not read: None where they are text, as other records have it, else their type."""
    return {field.name: None if _is_text(field.type) else field.type for field in schema}


def _is_text(kind: Any) -> bool:
    """Whether a type of arrow is text."""
    return str(kind).removeprefix("large_") in ("string", "string_view") or "values=string" in str(kind)


def _is_list(kind: Any) -> bool:
    """Whether a type of arrow is a list."""
    return "list" in str(kind).partition("<")[0]


def _records(handle: BinaryIO, name: str, groups: Sequence[int] | None) -> Records:
    with _opened(handle, name) as file:
        names, others = file.schema_arrow.names, unread(file.schema_arrow)
        fields = fields_of(_first_row(file, name) or {})
        refuse_twice(names, fields, name)
        read = [each for each in names if each in fields]
        number = _rows_before(file, groups)
        for batch in file.iter_batches(batch_size=ROWS, columns=read, row_groups=groups):
            columns = [_values(batch.column(each), f"{name}, row", number + 1, each) for each in read]
            for cells in zip(*columns) if read else [()] * batch.num_rows:
                number += 1
                yield f"{name}, row {number}", others | with_turns(dict(zip(read, cells)))


def _rows_before(file: Any, groups: Sequence[int] | None) -> int:
    """The rows of the groups before the first of these."""
    return sum(file.metadata.row_group(group).num_rows for group in range(min(groups))) if groups else 0


def _rows(handle: BinaryIO, name: str, options: Options, groups: Sequence[int] | None) -> Rows:
    with _opened(handle, name) as file:
        schema = file.schema_arrow
        textual = [field.name for field in schema if _is_text(field.type)]
        column = text_field(textual if options.text is None else schema.names, name, options.text, all_names=schema.names)
        refuse_twice(schema.names, [column], name)
        if column not in textual:
            got = f"{name}: column {column!r} holds {schema.field(column).type}"
            raise DataError(explain(got, need=f"text (columns of text: {', '.join(textual) or 'none'})"))
        number = _rows_before(file, groups)
        for batch in file.iter_batches(batch_size=ROWS, columns=[column], row_groups=groups):
            for text in _values(batch.column(0), f"{name}, row", number + 1, column):
                number += 1
                if text is None:
                    raise DataError(explain(f"{name}, row {number}: its {column!r} is null", need="a text there"))
                yield f":{number}", text


def _values(column: Any, where: str, first: int, name: str) -> Iterator[Any]:
    """What stands in some rows of a column, the first of which has this number. Raises DataError for one that is no UTF-8, or that Python
    has no value for, behind those before it."""
    arrow = need("pyarrow", extra="data", to="read parquet files")
    try:
        yield from column.to_pylist()
    except (ValueError, OverflowError, arrow.ArrowException):
        for number, value in enumerate(column, first):
            try:
                yield value.as_py()
            except UnicodeDecodeError as error:
                got = f"{where} {number}: byte {error.start:,} (0x{error.object[error.start]:02x}) of its text is not UTF-8"
                raise DataError(explain(got, need="text in UTF-8", hint="writing the file anew from its source")) from error
            except (ValueError, OverflowError, arrow.ArrowException) as error:
                got = f"{where} {number}: its {name!r} cannot be read as {column.type} ({str(error).splitlines()[0]})"
                raise DataError(
                    explain(got, need="text, or turns of text", hint="writing the file anew without that column")
                ) from error

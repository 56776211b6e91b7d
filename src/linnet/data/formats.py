"""One function a format: a stream of bytes to (where, text) pairs, one pair a document.

Each function takes the unpacked chunks of a file and its name, yields as it reads, and raises a DataError that names
file and line for the first thing it cannot read. A new format is one more function and one more entry in FORMATS.
"""

from __future__ import annotations

import csv
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from linnet.core.errors import DataError, explain
from linnet.core.extras import need
from linnet.core.names import nearest
from linnet.core.refusals import kind_of
from linnet.data.reading import LONGEST_LINE, Encoding, blocks
from linnet.tokenizer.base import END_OF_TEXT

# tried in this order when the spec names no field
TEXT_FIELDS = (
    "text",
    "content",
    "contents",
    "story",
    "document",
    "body",
    "article",
    "passage",
    "sentence",
    "raw_content",
    "code",
)

PIECE = 2**22  # characters; plain text without separators is cut at a line boundary into documents of about this size


@dataclass(frozen=True)
class Options:
    """What a reader may be told: the field or column that holds the text, the separator of documents, the encoding."""

    text: str | None = None
    separator: str | None = None
    encoding: Encoding = "utf-8"


Rows = Iterator[tuple[str, str]]  # (where, text); where is "" for a whole file, else ":line" or "#number"
Reader = Callable[[Iterable[bytes], str, Options], Rows]


def read_plain(pieces: Iterable[bytes], name: str, options: Options) -> Rows:
    r"""Plain text: one document a file, or the parts between separator lines.

    A separator is a line of its own: None means the line `<|endoftext|>`, "\n" makes every line a document, "" (or
    "\n\n") splits at empty lines. The line end before a separator belongs to the separator. Text is otherwise given
    exactly as it stands; a document of more than PIECE characters is cut after a line end into documents of that size.
    """
    if options.separator == "\n":
        for block in blocks(pieces, name, encoding=options.encoding, longest=LONGEST_LINE):
            for number, line in enumerate(block.text.split("\n"), block.line):
                if line.strip():
                    yield f":{number}", line
        return
    mark = END_OF_TEXT if options.separator is None else options.separator.strip("\n")
    parts: list[str] = []
    size = number = 0
    separated = False
    for block in blocks(pieces, name, encoding=options.encoding, longest=LONGEST_LINE):
        if mark and mark not in block.text and size + len(block.text) < PIECE:  # the common case, a block at a time
            parts.append(block.text)
            size += len(block.text)
            continue
        found = cut_at(mark, block.text) if size + len(block.text) < PIECE else None
        if found is not None:
            first, (*more, rest) = found
            before = "".join(parts)
            yield f"#{number}", before + first if first is not None else before.removesuffix("\n").removesuffix("\r")
            for place, text in enumerate(more, number + 1):
                yield f"#{place}", text
            number += 1 + len(more)
            parts, size, separated = [rest] if rest else [], len(rest), True
            continue
        for line in _lines(block.text):
            if line.rstrip("\r\n") == mark:
                yield f"#{number}", "".join(parts).removesuffix("\n").removesuffix("\r")
                parts, size, separated = [], 0, True
                number += 1
                continue
            parts.append(line)
            size += len(line)
            if size >= PIECE:
                yield f"#{number}", "".join(parts)
                parts, size = [], 0
                number += 1
    text = "".join(parts)
    if separated:
        text = text.removesuffix("\n").removesuffix("\r")
    if text:
        yield (f"#{number}" if number else ""), text


def cut_at(mark: str, text: str) -> tuple[str | None, list[str]] | None:
    """Some whole lines cut at those that are `mark`, the line ends before them left out: the first part and the others, the
    same as line by line in a twentieth of the time.

    The first is None where `mark` is the first line (an empty one is an empty line before it). None for all where there is
    no `mark`, or it has to be done line by line.
    """
    border = f"\n{mark}\n"
    if not mark or "\r" in text or not text.endswith("\n") or border + border[1:] in f"\n{text}":
        return None
    first, *more = f"\n{text}".split(border)
    return (first[1:] if first else None, more) if more else None


def _lines(text: str) -> list[str]:
    """Lines with their ends, split at "\\n" alone: other characters that Unicode calls line ends stay text."""
    lines = [line + "\n" for line in text.split("\n")]
    lines[-1] = lines[-1][:-1]
    return lines if lines[-1] else lines[:-1]


def json_records(
    pieces: Iterable[bytes], name: str, encoding: Encoding = "utf-8", line: int = 1
) -> Iterator[tuple[str, dict[str, Any]]]:
    """(where, record) of one JSON object a line, the first of which is line `line`; blank lines are passed over."""
    for block in blocks(pieces, name, encoding=encoding):
        for number, text in enumerate(block.text.split("\n"), block.line + line - 1):
            if not text.strip():
                continue
            where = f"{name}, line {number}"
            try:
                record = json.loads(text)
            except json.JSONDecodeError as error:
                raise DataError(
                    explain(f"{where} is not valid JSON ({error.msg}, column {error.colno})", need="one JSON object a line")
                ) from error
            except RecursionError as error:
                raise DataError(explain(f"{where} is nested too deeply", need="one flat JSON object a line")) from error
            if not isinstance(record, dict):
                raise DataError(explain(f"{where} is {kind_of(record)}", need="a JSON object with a text field"))
            yield where, record


def read_jsonl(pieces: Iterable[bytes], name: str, options: Options, line: int = 1) -> Rows:
    """One JSON object a line; blank lines are passed over."""
    field = options.text
    for where, record in json_records(pieces, name, options.encoding, line):
        if field is None:
            field = sniff([key for key, value in record.items() if isinstance(value, str)], where)
        text = record.get(field)
        if not isinstance(text, str):
            got = (
                f"its {field!r} is {json.dumps(text)[:40]}"
                if field in record
                else f"it has no field {field!r} ({nearest(field, record)})"
            )
            raise DataError(
                explain(f"{where}: {got}", need="a text there", hint="another `text:` in the source, or mending the line")
            )
        yield f":{where.rpartition(' ')[2]}", text


def read_csv(pieces: Iterable[bytes], name: str, options: Options) -> Rows:
    """Comma-separated with a header line; quotes as in RFC 4180, so that a field may hold line ends."""
    return _read_table(pieces, name, options, delimiter=",", quoting=csv.QUOTE_MINIMAL)


def read_tsv(pieces: Iterable[bytes], name: str, options: Options) -> Rows:
    """Tab-separated with a header line; quotes are literal, as in IANA's text/tab-separated-values."""
    return _read_table(pieces, name, options, delimiter="\t", quoting=csv.QUOTE_NONE)


def _read_table(pieces: Iterable[bytes], name: str, options: Options, *, delimiter: str, quoting: int) -> Rows:
    def lines() -> Iterator[str]:
        for block in blocks(pieces, name, encoding=options.encoding):
            yield from _lines(block.text)

    csv.field_size_limit(2**31 - 1)  # the module's own limit is 128 KiB and process-wide; a document may be longer
    reader = csv.reader(lines(), delimiter=delimiter, quoting=quoting, strict=True)  # type: ignore[arg-type]
    header: list[str] = []
    column = 0
    start = 1
    try:
        for row in reader:
            if not header:
                header = row
                name_of_text = sniff(header, name, options.text)
                column = header.index(name_of_text)
            elif row:
                if len(row) != len(header):
                    raise DataError(
                        explain(
                            f"{name}, line {start}: {len(row)} fields",
                            need=f"{len(header)}, as in its header ({', '.join(header)})",
                        )
                    )
                yield f":{start}", row[column]
            start = reader.line_num + 1
    except csv.Error as error:
        raise DataError(
            explain(f"{name}, line {start}: {error}", need="a well-formed table", hint="looking for a quote that is never closed")
        ) from error


def read_parquet(pieces: Iterable[bytes], name: str, options: Options) -> Rows:
    """One row a document, a thousand read at a time. The stream goes to a temporary file first: parquet is read from its end."""
    parquet = need("pyarrow.parquet", extra="data", to="read parquet files")
    arrow = need("pyarrow", extra="data", to="read parquet files")
    with tempfile.TemporaryFile() as handle:
        for piece in pieces:
            handle.write(piece)
        handle.seek(0)
        yield from _parquet_rows(parquet, arrow, handle, name, options)


def read_parquet_file(path: str, options: Options) -> Rows:
    """The same from an uncompressed file, in place."""
    parquet = need("pyarrow.parquet", extra="data", to="read parquet files")
    arrow = need("pyarrow", extra="data", to="read parquet files")
    with open(path, "rb") as handle:
        yield from _parquet_rows(parquet, arrow, handle, path, options)


def _parquet_rows(parquet: object, arrow: object, handle: object, name: str, options: Options) -> Rows:
    number = 0
    try:
        with parquet.ParquetFile(handle) as file:  # type: ignore[attr-defined]
            schema = file.schema_arrow
            textual = [
                field.name
                for field in schema
                if str(field.type).removeprefix("large_") in ("string", "string_view") or "values=string" in str(field.type)
            ]
            column = sniff(textual if options.text is None else schema.names, name, options.text, all_names=schema.names)
            if column not in textual:
                raise DataError(
                    explain(
                        f"{name}: column {column!r} holds {schema.field(column).type}",
                        need=f"text (columns of text: {', '.join(textual) or 'none'})",
                    )
                )
            for batch in file.iter_batches(batch_size=1024, columns=[column]):
                for text in batch.column(0).to_pylist():
                    if text is None:
                        raise DataError(explain(f"{name}, row {number + 1}: its {column!r} is null", need="a text there"))
                    number += 1
                    yield f":{number}", text
    except (arrow.ArrowException, OSError) as error:  # type: ignore[attr-defined]
        raise DataError(
            explain(
                f"{name} is damaged or not parquet, at row {number + 1} ({str(error).splitlines()[0]})", need="an undamaged copy"
            )
        ) from error


def sniff(found: Sequence[str], where: str, asked: str | None = None, all_names: Sequence[str] | None = None) -> str:
    """The name of the text field: the one asked for, or the first of TEXT_FIELDS (case aside) that is there.

    Raises DataError with the names found.
    """
    names = ", ".join(all_names if all_names is not None else found) or "none"
    if asked is not None:
        if asked not in found:
            raise DataError(explain(f"{where} has no field {asked!r}", need=f"one of: {names}", hint=nearest(asked, found)))
        return asked
    folded = {name.lower().strip(): name for name in reversed(found)}
    for candidate in TEXT_FIELDS:
        if candidate in folded:
            return folded[candidate]
    raise DataError(
        explain(
            f"{where}: no field of it is known to hold text (found: {names})",
            need=f"one of {', '.join(TEXT_FIELDS)}, or its name in the source",
            hint=f"text: {found[0]}" if found else "another file",
        )
    )


FORMATS: dict[str, Reader] = {
    ".txt": read_plain,
    ".md": read_plain,
    ".jsonl": read_jsonl,
    ".csv": read_csv,
    ".tsv": read_tsv,
    ".parquet": read_parquet,
}

"""One function a format: a stream of bytes to (where, text) pairs, one pair a document.

Each function takes the unpacked chunks of a file and its name, yields as it reads, and raises a DataError that names
file and line for the first thing it cannot read. A new format is one more function and one more entry in FORMATS.
"""

from __future__ import annotations

import csv
import json
from codecs import BOM_UTF8
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, AnyStr

import numpy as np

from linnet.core.errors import DataError, explain
from linnet.core.names import nearest
from linnet.core.native import checked, native_available, opened, pointer
from linnet.core.refusals import kind_of
from linnet.data.conversations import form_named, form_that_fits
from linnet.data.look import Texts
from linnet.data.reading import LONGEST_LINE, Block, Encoding, Lines, blocks, byte_blocks
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

HELD = 2**16  # bytes of a document's beginning that are looked through again with the next block
PIECE = 2**22  # bytes; plain text without separators is cut at a line boundary into documents of about this size


@dataclass(frozen=True)
class Options:
    """What a reader may be told.

    text           the field or column that holds the text
    separator      the line between two documents of plain text
    encoding       how characters are spelled
    line, offset   where the stream begins in its file, if it is a part of one
    separated      whether it begins behind a separator
    ends           whether it ends where its file does
    """

    text: str | None = None
    separator: str | None = None
    encoding: Encoding = "utf-8"
    line: int = 1
    offset: int = 0
    separated: bool = False
    ends: bool = True

    def __post_init__(self) -> None:
        one_line(self.separator)


def one_line(separator: str | None) -> str | None:
    """A separator that is one line, or stands for every line or for empty ones. Raises DataError for one with line ends inside."""
    if separator is not None and set("\r\n") & set(separator.strip("\n")):
        hint = r'"" for empty lines, "\n" for every line'
        raise DataError(explain(f"the separator {separator!r}", need="one line, without line ends inside", hint=hint))
    return separator


Rows = Iterator[tuple[str, str]]  # (where, text); where is "" for a whole file, else ":line" or "#number"
Reader = Callable[[Iterable[bytes], str, Options], Rows]


def read_plain(pieces: Iterable[bytes], name: str, options: Options) -> Rows:
    r"""Plain text: one document a file, or the parts between separator lines.

    A separator is a line of its own: None means the line `<|endoftext|>`, "\n" makes every line a document, "" (or
    "\n\n") splits at empty lines. The line end before a separator belongs to the separator. Text is otherwise given
    exactly as it stands; a document of more than PIECE bytes is cut after a line end into documents of that size.
    """
    if options.separator == "\n":
        for block in _blocks(pieces, name, options, longest=LONGEST_LINE):
            for number, line in enumerate(block.text.split("\n"), block.line):
                if line.strip():
                    yield f":{number}", line
        return
    decoded: Iterator[Lines] = ([block.text.encode("utf-8")] for block in _blocks(pieces, name, options, longest=LONGEST_LINE))
    texts = (text for batch in cut_plain(decoded, options) for text in batch)
    number, held = 0, next(texts, None)
    for number, text in enumerate(texts, 1):
        yield f"#{number - 1}", (held or b"").decode("utf-8")
        held = text
    if held is not None:
        yield (f"#{number}" if number else ""), held.decode("utf-8")


def plain_texts(pieces: Iterable[bytes], name: str, options: Options) -> Iterator[Texts]:
    """What `read_plain` gives, as UTF-8 and many at a time; whether it is UTF-8 is left to whoever looks at it next."""
    found = byte_blocks(pieces, name, encoding=options.encoding, longest=LONGEST_LINE, begins=not options.offset)
    if options.encoding != "utf-8":
        found = ([block.text.encode("utf-8")] for block in _blocks(pieces, name, options, longest=LONGEST_LINE))
    elif not options.offset:
        found = (data if number else [b"".join(data).removeprefix(BOM_UTF8)] for number, data in enumerate(found))
    if options.separator == "\n":
        yield from (Texts.of([line for line in b"".join(data).split(b"\n") if line.strip()]) for data in found)
    else:
        yield from cut_plain(found, options)


def cut_plain(blocks_of_lines: Iterable[Lines], options: Options) -> Iterator[Texts]:
    """Blocks of whole lines cut into documents, as `read_plain` says, some at a time."""
    mark = separator_line(options)
    parts: Lines = []  # of a document that may go on
    size = 0
    separated = options.separated
    for data in blocks_of_lines:
        more = sum(map(len, data))
        if size + more < PIECE:  # the common case, a block at a time
            whole = size < HELD  # else it is looked first whether anything is cut
            found = cut(b"".join([*parts, *data] if whole else data), mark)
            if len(found) == 1:
                parts += data
                size += more
                continue
            if not whole:
                found = cut(b"".join([*parts, *data]), mark)
            last = found[len(found) - 1]
            yield found.before(len(found) - 1)
            parts, size, separated = [last], len(last), True
            continue
        texts: list[bytes] = []
        for line in _lines(b"".join(data), b"\n"):
            if line.rstrip(b"\r\n") == mark:
                texts.append(b"".join(parts).removesuffix(b"\n").removesuffix(b"\r"))
                parts, size, separated = [], 0, True
                continue
            parts.append(line)
            size += len(line)
            if size >= PIECE:
                texts.append(b"".join(parts))
                parts, size = [], 0
        if texts:
            yield Texts.of(texts)
    text = b"".join(parts)
    if separated and options.ends:
        text = text.removesuffix(b"\n").removesuffix(b"\r")
    if text:
        yield Texts.of([text])


def separator_line(options: Options) -> bytes:
    """The line between two documents."""
    return (END_OF_TEXT if options.separator is None else options.separator.strip("\n")).encode("utf-8")


def cut(lines: bytes, mark: bytes) -> Texts:
    """Whole lines cut at those that are `mark`, whatever carriage returns stand behind it: all parts but the last without the line end
    before it. In Rust where that is there (`native/src/documents/cut.rs`)."""
    if not native_available() or not mark:
        return cut_plainly(lines, mark)
    _, lib, _ = opened()
    texts, ends = np.empty(len(lines), np.uint8), np.empty(len(lines) // (len(mark) + 1) + 2, np.uint64)
    given = (pointer("uint8_t", lines), len(lines), pointer("uint8_t", mark), len(mark))
    room = (pointer("uint8_t", texts), pointer("uint64_t", ends), len(ends))
    n = checked(lib.linnet_documents_cut(*given, *room), "linnet_documents_cut")
    return Texts(texts.data[: int(ends[n - 1])], ends[:n].copy())


def cut_plainly(lines: bytes, mark: bytes) -> Texts:
    """`cut` in Python."""
    if mark and mark not in lines:
        return Texts.of([lines])
    texts: list[list[bytes]] = [[]]
    for line in _lines(lines, b"\n"):
        if line.rstrip(b"\r\n") == mark:
            texts.append([])
        else:
            texts[-1].append(line)
    *parts, last = map(b"".join, texts)
    return Texts.of([*(part.removesuffix(b"\n").removesuffix(b"\r") for part in parts), last])


def _lines(text: AnyStr, end: AnyStr) -> list[AnyStr]:
    """Lines with their ends, split at `end` alone: other characters that Unicode calls line ends stay text."""
    lines = [line + end for line in text.split(end)]
    lines[-1] = lines[-1][:-1]
    return lines if lines[-1] else lines[:-1]


def _blocks(pieces: Iterable[bytes], name: str, options: Options, longest: int | None = None) -> Iterator[Block]:
    return blocks(pieces, name, encoding=options.encoding, longest=longest, line=options.line, offset=options.offset)


def json_records(pieces: Iterable[bytes], name: str, options: Options) -> Iterator[tuple[str, dict[str, Any]]]:
    """(where, record) of one JSON object a line; blank lines are passed over."""
    for block in _blocks(pieces, name, options):
        for number, text in enumerate(block.text.split("\n"), block.line):
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
            except ValueError as error:  # Python reads no number of more than 4,300 digits
                raise DataError(explain(f"{where} holds a number that is too long", need="numbers of a few digits")) from error
            if not isinstance(record, dict):
                raise DataError(explain(f"{where} is {kind_of(record)}", need="a JSON object with a text field"))
            yield where, record


def read_jsonl(pieces: Iterable[bytes], name: str, options: Options) -> Rows:
    """One JSON object a line; blank lines are passed over."""
    field = options.text
    for where, record in json_records(pieces, name, options):
        if field is None and not known_texts(record) and (form := conversation_in(record)):
            hint = "kind: conversations in the source, or text: the field that holds text"
            raise DataError(explain(f"{where} is a conversation ({form})", need="text", hint=hint))
        field = field or field_of(record, where)
        yield f":{where.rpartition(' ')[2]}", text_in(record, field, where)


def field_of(record: dict[str, Any], where: str) -> str:
    """The field that holds the text of a record, and so of all of a file. Raises DataError where none is known to."""
    return text_field([key for key, value in record.items() if isinstance(value, str)], where)


def text_in(record: dict[str, Any], field: str, where: str) -> str:
    """The text in a field of a record. Raises DataError where there is none."""
    text = record.get(field)
    if isinstance(text, str):
        return text
    got = (
        f"its {field!r} is {json.dumps(text)[:40]}"
        if field in record
        else f"it has no field {field!r} ({nearest(field, record)})"
    )
    raise DataError(explain(f"{where}: {got}", need="a text there", hint="another `text:` in the source, or mending the line"))


def conversation_in(record: Mapping[str, Any]) -> str | None:
    """The form of a conversation that a record is in; None for a text. What only has the names of such a form is a broken one, but a text
    where a field is known to hold that."""
    form = form_that_fits(record) or (None if known_texts(record) else form_named(record))
    return None if form == "text" else form


def known_texts(record: Mapping[str, Any]) -> list[str]:
    """Those of a record's fields that are known to hold text, the likeliest first; one whose value is None may."""
    folded = {
        name.lower().strip(): name for name in reversed(list(record)) if record[name] is None or isinstance(record[name], str)
    }
    return [folded[candidate] for candidate in TEXT_FIELDS if candidate in folded]


def first_field(pieces: Iterable[bytes], name: str, options: Options) -> str | None:
    """The field that holds the text in the first line of a file, and so in all of them."""
    where, record = next(json_records(pieces, name, options), (name, {}))
    return field_of(record, where) if record else None


def read_csv(pieces: Iterable[bytes], name: str, options: Options) -> Rows:
    """Comma-separated with a header line; quotes as in RFC 4180, so that a field may hold line ends."""
    return _read_table(pieces, name, options, tabs=False)


def read_tsv(pieces: Iterable[bytes], name: str, options: Options) -> Rows:
    """Tab-separated with a header line; quotes are literal, as in IANA's text/tab-separated-values."""
    return _read_table(pieces, name, options, tabs=True)


def _read_table(pieces: Iterable[bytes], name: str, options: Options, *, tabs: bool) -> Rows:
    rows = table_rows(pieces, name, options, tabs=tabs)
    for _, header in rows:  # the first
        column = text_field(header, name, options.text)
        refuse_twice(header, [column], name)
        place = header.index(column)
        for line, row in rows:
            yield f":{line}", row[place]


def table_rows(pieces: Iterable[bytes], name: str, options: Options, *, tabs: bool) -> Iterator[tuple[int, list[str]]]:
    """(line, cells) of each row of a table, the first of which is its header. Raises DataError with the line that is no row of it."""

    def lines() -> Iterator[str]:
        for block in _blocks(pieces, name, options):
            yield from _lines(block.text, "\n")

    csv.field_size_limit(2**31 - 1)  # the module's own limit is 128 KiB and process-wide; a document may be longer
    way = {"delimiter": "\t", "quoting": csv.QUOTE_NONE} if tabs else {"delimiter": ",", "quoting": csv.QUOTE_MINIMAL}
    reader = csv.reader(lines(), strict=True, **way)  # type: ignore[arg-type]
    header: list[str] = []
    start = 1
    try:
        for row in reader:
            if not header:
                header = row
                yield start, row
            elif row:
                if len(row) != len(header):
                    raise DataError(
                        explain(
                            f"{name}, line {start}: {len(row)} fields",
                            need=f"{len(header)}, as in its header ({', '.join(header)})",
                        )
                    )
                yield start, row
            start = reader.line_num + 1
    except csv.Error as error:
        raise DataError(
            explain(f"{name}, line {start}: {error}", need="a well-formed table", hint="looking for a quote that is never closed")
        ) from error


def text_field(found: Sequence[str], where: str, asked: str | None = None, all_names: Sequence[str] | None = None) -> str:
    """The name of the text field: the one asked for, or the first of TEXT_FIELDS (case aside) that is there.

    Raises DataError with the names found.
    """
    names = ", ".join(all_names if all_names is not None else found) or "none"
    if asked is not None:
        if asked not in found:
            raise DataError(explain(f"{where} has no field {asked!r}", need=f"one of: {names}", hint=nearest(asked, found)))
        return asked
    if known := known_texts(dict.fromkeys(found)):
        return known[0]
    raise DataError(
        explain(
            f"{where}: no field of it is known to hold text (found: {names})",
            need=f"one of {', '.join(TEXT_FIELDS)}, or its name in the source",
            hint="kind: conversations in the source"
            if conversation_in(dict.fromkeys(all_names or found))
            else f"text: {found[0]}"
            if found
            else "another file",
        )
    )


def refuse_twice(names: Sequence[str], read: Iterable[str], where: str) -> None:
    """Raise DataError where a column that is read shares its name with another one."""
    twice = sorted({name for name in read if names.count(name) > 1})
    if twice:
        raise DataError(explain(f"{where}: two columns are called {', '.join(twice)}", need="one", hint="renaming the other"))

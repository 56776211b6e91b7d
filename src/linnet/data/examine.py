"""What is wrong with some text files, all of it, and what to do: nothing is changed, and reading goes on after a problem.

encoding     the first byte of a file that is no UTF-8, and where it stands
damaged      the same of a file that is mostly UTF-8
format       lines and rows that a reader refuses
mixed        conversations and texts under one path
empty        documents without a visible character
giant        documents of more than GIANT characters: several in one?
copies       documents that are there already, to the letter
near         documents that are nearly there already, among the first NEAR_MOST
garbled      text that was decoded wrongly once (Ã© for é)
replaced     U+FFFD, where bytes were lost
halves       half a character of UTF-16
control      control characters
"""

from __future__ import annotations

import codecs
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from linnet.core.errors import DataError
from linnet.data.conversations import read, turns_to_learn
from linnet.data.files import ending, find_files, read_file
from linnet.data.formats import Options, conversation_in, field_of, json_records, text_in
from linnet.data.look import Texts, has_control
from linnet.data.near import Near, firsts, signatures
from linnet.data.reading import BINARY_PROBE, chunks, is_binary
from linnet.data.records import both_kinds, form_of, kinds_in, records_of
from linnet.data.split import fingerprint

T = TypeVar("T")
GIANT = 2**21  # characters
NEAR_MOST = 200_000  # documents; of each a signature of 448 bytes is kept, and where it stands
TOGETHER = 2**21  # characters that are signed at a time
SHOWN = 5  # places of one problem that are kept
# é, ü, “ … in UTF-8, read as Windows-1252: a capital with a mark, then a sign that hardly ever follows one
GARBLED = re.compile("[\u00c3\u00c2][\u0080-\u00bf]|\u00e2\u20ac[\u0153\u2122\u02dc\u201c\u201d\u00a6\u009d]")
HALVES = re.compile("[\ud800-\udfff]")  # of UTF-16's pairs, which JSON can spell alone
WAYS_OUT = {
    "encoding": "encoding: cp1252 (or latin-1) in the source, or iconv -f WINDOWS-1252 -t UTF-8",
    "damaged": "mending that place, or getting the text anew; no other encoding",
    "format": "mend or leave out these lines; of texts, another `text:` in the source, if it names another field",
    "mixed": "a source for the conversations and one for the texts, each with a path or a glob of its own",
    "empty": "nothing: they are left out when the text is prepared",
    "giant": "`separator:` in the source, if there are several documents in one file",
    "copies": "nothing: copies are left out when the text is prepared (deduplicate: true)",
    "near": "data.near: true in the run file, or linnet prepare --near, leaves all but the first out",
    "garbled": "text that was decoded wrongly once: get it anew, or ftfy",
    "replaced": "U+FFFD stands where bytes were lost: get the text anew",
    "halves": "get the text anew: whatever wrote it cut a character of two halves (an emoji) in two",
    "control": "nothing: `control`, a clean step of the default, takes them out",
}


@dataclass
class Problem:
    """One sort of problem: how often, and the first places."""

    count: int = 0
    places: list[str] = field(default_factory=list)

    def add(self, place: str) -> None:
        self.count += 1
        if len(self.places) < SHOWN:
            self.places.append(place)


@dataclass
class Findings:
    """What was read, and what is wrong with it."""

    files: int = 0
    documents: int = 0
    characters: int = 0
    lengths: Counter[int] = field(default_factory=Counter)  # powers of two
    problems: dict[str, Problem] = field(default_factory=dict)

    @property
    def noted(self) -> int:
        """Documents and problems."""
        return self.documents + sum(problem.count for problem in self.problems.values())

    def add(self, kind: str, place: str) -> None:
        self.problems.setdefault(kind, Problem()).add(place)

    def refuse(self, error: Exception) -> None:
        """What a reader refused; its advice is for whoever reads, not for whoever looks."""
        self.add("format", str(error).split("\n")[0].split("; try: ")[0])


def examine(paths: Sequence[str], options: Options | None = None) -> Findings:
    """Read everything under some paths and note what is wrong. Raises DataError only where there is nothing to read."""
    found, seen, signed = Findings(), set[bytes](), Signed()
    for path in paths:
        files = find_files(path)
        if options is None or options.text is None:
            talk, text = kinds_in(known_forms(files))
            if talk is not None and text is not None:
                found.add("mixed", str(both_kinds(path, talk, text)).split("; needed: ")[0])
        for file in files:
            found.files += 1
            before = found.noted
            for place, words in documents_of(file, options or Options(), found):
                if note(words, place, found, seen):
                    signed.add(place, words)
            if before == found.noted:
                found.add("empty", f"{file}: nothing is in it")
    for place, like in signed.near():
        found.add("near", f"{place}: like {like}")
    return found


def known_forms(files: Sequence[Path]) -> Iterator[tuple[Path, str | None]]:
    """Files with the forms of their conversations, without those whose first record cannot be read: that is found when all is read."""
    for file in files:
        try:
            form = form_of(file)
        except DataError:
            continue
        yield file, form


class Signed:
    """Documents with their signatures, to find near copies among them."""

    def __init__(self) -> None:
        self.places: list[str] = []
        self.signatures: list[NDArray[np.uint32]] = []
        self.waiting: list[bytes] = []
        self.size = 0

    def add(self, place: str, text: str) -> None:
        """One more, as long as there are not too many."""
        if len(self.places) < NEAR_MOST:
            self.places.append(place)
            self.waiting.append(text.encode("utf-8", "replace"))
            self.size += len(text)
            if self.size >= TOGETHER:
                self.sign()

    def sign(self) -> None:
        """Those that wait."""
        self.signatures.append(signatures(Texts.of(self.waiting), Near()))
        self.waiting, self.size = [], 0

    def near(self) -> Iterator[tuple[str, str]]:
        """(where a near copy stands, where what it is like stands)."""
        self.sign()
        for number, first in enumerate(firsts(np.concatenate(self.signatures), Near()).tolist()):
            if first != number:
                yield self.places[number], self.places[first]


def note(text: str, place: str, found: Findings, seen: set[bytes]) -> bool:
    """One document's part of the findings; whether it has any text that was not there before."""
    found.documents += 1
    found.characters += len(text)
    found.lengths[len(text).bit_length()] += 1
    if not text.strip():
        found.add("empty", place)
        return False
    if len(text) > GIANT:
        found.add("giant", f"{place}: {len(text):,} characters")
    if HALVES.search(text):
        found.add("halves", place)
    mark = fingerprint(text.encode("utf-8", "surrogatepass"))
    copy = mark in seen
    if copy:
        found.add("copies", place)
    seen.add(mark)
    if "\ufffd" in text:
        found.add("replaced", f"{place}: {text.count(chr(0xFFFD)):,} of them")
    if has_control(text.replace("\r\n", "\n")):
        found.add("control", place)
    garbled = GARBLED.findall(text)
    if len(garbled) > 2:
        found.add("garbled", f"{place}: {' '.join(garbled[:3])} …")
    return not copy


def documents_of(file: Path, options: Options, found: Findings) -> Iterator[tuple[str, str]]:
    """(place, text) of a file's documents; what its reader refuses is noted, and reading goes on where that is possible."""
    try:
        wrong = wrong_bytes(file)
        damaged = bool(wrong) and is_mostly_utf8(file)
    except DataError as error:
        found.add("format", str(error))
        return
    if damaged:
        found.add("damaged", f"{file}: {wrong}")
    elif wrong:
        found.add("encoding", f"{file}: {wrong}")
    as_bytes = damaged and options.encoding == "utf-8"  # latin-1 gives every byte a character, and back
    if wrong and options.encoding == "utf-8":  # so that reading goes on behind that place
        options = replace(options, encoding="latin-1" if damaged else "cp1252")
    for place, text in texts_of(file, options, found):
        yield place, text.encode("latin-1").decode("utf-8", "ignore") if as_bytes else text


def texts_of(file: Path, options: Options, found: Findings) -> Iterator[tuple[str, str]]:
    """The same, as the options say."""
    if ending(file) == ".jsonl" and not is_binary(next(chunks(file), b"")[:BINARY_PROBE]):
        yield from lines_of_json(file, options, found)
    elif options.text is None and (form := form_if_whole(file, options)) is not None:
        yield from rows_of_conversations(file, options, found, form)
    else:
        yield from until_refused(read_file(file, options), str(file), found)


def lines_of_json(file: Path, options: Options, found: Findings) -> Iterator[tuple[str, str]]:
    """The same of a .jsonl, line by line: its texts, or the words of its conversations; the first line that can be read says which."""
    form, field = None, options.text
    before = 0
    for number, line in enumerate(lines_of(file), 1):
        if line.strip():
            rows = json_records([line], str(file), replace(options, line=number, offset=before))
            for where, record in until_refused(rows, "", found):
                try:
                    if field is None and form is None and (form := conversation_in(record)) is None:
                        field = field_of(record, where)
                    text = words_of(record, where, form) if form else text_in(record, field or "", where)
                except DataError as error:
                    found.refuse(error)
                else:
                    yield (where if form else f"{file}:{number}"), text
        before += len(line)


def form_if_whole(file: Path, options: Options) -> str | None:
    """The form of the conversations of a file; None for texts, and for what its reader will refuse."""
    try:
        return form_of(file, options)
    except DataError:
        return None


def rows_of_conversations(file: Path, options: Options, found: Findings, form: str) -> Iterator[tuple[str, str]]:
    """(place, words) of the conversations of a table. One that is refused is noted; a row that is none ends the reading."""
    for where, record in until_refused(records_of(file, options), "", found):
        try:
            text = words_of(record, where, form)
        except DataError as error:
            found.refuse(error)
        else:
            yield where, text


def words_of(record: dict[str, Any], where: str, form: str) -> str:
    """All words of a conversation that training would read. Raises DataError for what it would refuse."""
    return "\n".join(turn.content for turn in turns_to_learn(read(record, where, form), where))


def until_refused(rows: Iterator[tuple[str, T]], file: str, found: Findings) -> Iterator[tuple[str, T]]:
    """The rows up to the first that is refused, which is noted."""
    try:
        for where, text in rows:
            yield f"{file}{where}", text
    except (DataError, UnicodeDecodeError) as error:
        found.refuse(error)


def lines_of(file: Path) -> Iterator[bytes]:
    """The lines of a file, with their ends, however long."""
    carry = b""
    for chunk in chunks(file):
        *lines, carry = (carry + chunk).split(b"\n")
        yield from (line + b"\n" for line in lines)
    if carry:
        yield carry


def is_mostly_utf8(file: Path) -> bool:
    """Whether more characters beyond ASCII are whole than bytes are lost."""
    balance = 0
    for chunk in chunks(file):
        text = chunk.decode("utf-8", "replace")
        lost = text.count("\ufffd")
        balance += sum(character > "\x7f" for character in text) - 2 * lost
    return balance > 0


def wrong_bytes(file: Path) -> str:
    """Where a file stops being UTF-8, in words; empty where it is whole. Parquet knows its own encoding."""
    if file.suffix == ".parquet":
        return ""
    decoder = codecs.getincrementaldecoder("utf-8")()
    before = lines = 0  # bytes and line ends of the chunks before this one
    chunk = b""
    try:
        for chunk in chunks(file):
            if not before and is_binary(chunk):
                return ""  # its reader says so
            decoder.decode(chunk)
            before, lines, chunk = before + len(chunk), lines + chunk.count(b"\n"), b""
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        held = len(error.object) - len(chunk)  # bytes of a character that the chunk before began
        place, line = before - held + error.start, lines + 1 + error.object.count(b"\n", 0, error.start)
        return f"line {line}, byte {place:,} (0x{error.object[error.start]:02x}) is not UTF-8"
    return ""

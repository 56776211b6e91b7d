"""Wikipedia, and every other wiki that MediaWiki runs: its dumps as documents of plain text.

    enwiki-latest-pages-articles-multistream.xml.bz2   from https://dumps.wikimedia.org

A dump is one XML document of a page after the other (https://www.mediawiki.org/wiki/Help:Export). It is never held: a page is
given as soon as it has been read. Dumps are made to be read in pieces, too: a multistream file is many bzip2 streams one behind
the other, of a hundred whole pages each. A stream begins with ten bytes that nothing else in the file is likely to be (with
random bytes, once in 10^23 places), and one that unpacks to `<page>` is a place where a file can be cut: in a dump a "<" that is
text is written "&lt;", so `<page>` is always the beginning of a page. The same holds for a file that is not compressed.

A dump has no DOCTYPE. One that has is refused, so that no entity is ever expanded.
"""

from __future__ import annotations

import bz2
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, ClassVar, Literal
from xml.parsers import expat

from pydantic import Field

from linnet.core.errors import DataError, explain
from linnet.data.archives import Archives
from linnet.data.formats import Rows
from linnet.data.portions import Slice
from linnet.data.reading import CHUNK, bz2_chunks, chunks
from linnet.data.wikitext import Plain

LARGEST_PAGE = 2**26  # characters; MediaWiki's own limit is 2 MiB
REACH = 2**26  # bytes in which a border is looked for
TRIES = 8  # streams that are opened at a border
STREAM = re.compile(rb"BZh[1-9]1AY&SY")  # the beginning of a bzip2 stream, and of its first block
PAGE = b"<page>"
FILE, CATEGORY = 6, 14  # numbers of namespaces


@dataclass
class Page:
    """One page of a wiki.

    namespace   0 for articles
    model       what its text is: wikitext, or code of some kind
    redirect    whether it only leads to another page
    """

    title: str = ""
    namespace: int = 0
    text: str = ""
    model: str = "wikitext"
    redirect: bool = False


class Wikipedia(Archives):
    """Dumps of Wikipedia, or of another wiki: one article a document, as plain text.

    namespaces   the numbers of those whose pages are wanted; 0: articles
    title        whether a document begins with its page's title
    """

    endings: ClassVar[tuple[str, ...]] = (".xml", ".xml.bz2", ".xml.gz")
    libraries: ClassVar[tuple[str, ...]] = ("mwparserfromhell",)
    purpose: ClassVar[str] = "read wikitext"

    kind: Literal["wikipedia"] = "wikipedia"
    namespaces: tuple[int, ...] = Field(default=(0,), strict=False, min_length=1)
    title: bool = True
    licence: str = "CC-BY-SA-4.0"

    @classmethod
    def examples(cls) -> tuple[Wikipedia, ...]:
        return (
            cls(path="simplewiki-latest-pages-articles-multistream.xml.bz2"),
            cls(path="dumps/*.xml", namespaces=(0, 4), title=False, name="wiki", weight=2.0, licence="CC0-1.0", part="train"),
        )

    def read(self, part: Slice) -> Rows:
        """A text a page that is an article, in the dump's order; pages without text of their own are passed over."""
        plain = Plain(*_names(part.path))
        for page in pages(part):
            if page.redirect or page.namespace not in self.namespaces or page.model != "wikitext":
                continue
            where = f": {page.title}"
            try:
                text = plain(page.text)
            except (plain.parser.parser.ParserError, RecursionError) as error:
                got = f"{part.path}{where}: its wikitext cannot be read ({type(error).__name__}: {error})"
                raise DataError(explain(got, need="a page that mwparserfromhell reads", hint="another version of it")) from error
            if text:
                yield where, f"{page.title}\n\n{text}" if self.title else text

    def border(self, handle: BinaryIO, place: int, size: int) -> int:
        packed = handle.name.lower()
        if packed.endswith(".gz"):
            return size
        if packed.endswith(".bz2"):
            return next((at for at in _places(handle, place, STREAM) if _begins_with_page(handle, at)), size)
        return next(_places(handle, place, re.compile(PAGE)), size)


def pages(part: Slice) -> Iterator[Page]:
    """All pages in a part of a dump. Raises DataError for what is broken, cut short, or no dump."""
    for what in _read(part):
        if isinstance(what, Page):
            yield what


def _names(path: str) -> tuple[list[str], list[str]]:
    """What the wiki calls its files and its categories: its own names, from the beginning of the dump."""
    for what in _read(Slice(path, 0, None, 0)):
        if isinstance(what, dict):
            return [what.get(FILE, "")], [what.get(CATEGORY, "")]
        break
    return [], []


def _read(part: Slice) -> Iterator[Page | dict[int, str]]:
    """The names of the namespaces (from the beginning of a file), and the pages."""
    reader = _Reader(part)
    if part.start:
        reader.feed(b"<mediawiki>")
    path = Path(part.path)
    for piece in (
        bz2_chunks(path, part.start, part.stop) if path.suffix.lower() == ".bz2" else chunks(path, part.start, part.stop)
    ):
        reader.feed(piece)
        yield from reader.found
        reader.found.clear()
    reader.feed(b"" if part.stop is None else b"</mediawiki>", last=True)
    yield from reader.found


@dataclass
class _Reader:
    """Follows the XML of a dump, and puts what is complete into `found`."""

    part: Slice
    found: list[Page | dict[int, str]] = field(default_factory=list)
    above: list[str] = field(default_factory=list)  # names of the elements that are open
    page: Page = field(default_factory=Page)
    names: dict[int, str] = field(default_factory=dict)
    key: str = ""  # of the namespace that is being named
    held: list[str] | None = None  # the text of the element that is open, if it is wanted
    size: int = 0

    def __post_init__(self) -> None:
        self.parser = expat.ParserCreate("utf-8", " ")  # dumps are UTF-8, whatever stands at a part's beginning
        self.parser.buffer_text = True
        self.parser.buffer_size = 2**16
        self.parser.StartElementHandler = self.start
        self.parser.EndElementHandler = self.end
        self.parser.CharacterDataHandler = self.characters
        self.parser.StartDoctypeDeclHandler = self.doctype

    def feed(self, data: bytes, last: bool = False) -> None:
        """Some more of the file."""
        try:
            self.parser.Parse(data, last)
        except expat.ExpatError as error:
            inside = f", in the page {self.page.title!r}" if "page" in self.above and self.page.title else ""
            if last and not self.above and error.code == expat.errors.codes[expat.errors.XML_ERROR_NO_ELEMENTS]:
                raise DataError(explain(f"{self.part.path} is empty", need="a dump of a wiki")) from error
            if last:
                got = f"{self.part.path} is cut short: {self.line(error.lineno)}{inside}, it ends before its last element does"
                raise DataError(explain(got, need="the whole file", hint="copying it again")) from error
            got = f"{self.part.path}, {self.line(error.lineno)}{inside}: {expat.ErrorString(error.code)} (column {error.offset + 1})"
            raise DataError(explain(got, need="a dump in XML, as MediaWiki writes it", hint="an undamaged copy")) from error

    def line(self, number: int | None = None) -> str:
        """Where it is, for messages."""
        number = self.parser.CurrentLineNumber if number is None else number
        return f"line {number}" if not self.part.start else f"line {number} behind byte {self.part.start:,}"

    def doctype(self, name: str, *_: object) -> None:
        got = f"{self.part.path}, {self.line()}: a DOCTYPE ({name}), which could declare entities"
        raise DataError(explain(got, need="a dump of a wiki, which has none"))

    def start(self, name: str, attributes: dict[str, str]) -> None:
        name = name.rpartition(" ")[2]  # without the namespace, which tells the version of the format
        above = self.above
        above.append(name)
        if len(above) == 1 and name != "mediawiki":
            got = f"{self.part.path} is no dump of a wiki: its first element is <{name}>"
            raise DataError(explain(got, need="<mediawiki>", hint="a file that is called …-pages-articles….xml.bz2"))
        if above[1:] == ["page"]:
            self.page, self.size = Page(), 0
        elif above[1:] == ["page", "redirect"]:
            self.page.redirect = True
        elif above[1:] == ["page", "revision"]:  # of a dump of all revisions the last one counts
            self.page.text, self.page.model, self.size = "", "wikitext", 0
        elif tuple(above[1:]) in WANTED:
            self.held, self.key = [], attributes.get("key", "")

    def characters(self, text: str) -> None:
        if self.held is None:
            return
        self.held.append(text)
        self.size += len(text)
        if self.size > LARGEST_PAGE:
            got = f"{self.part.path}, {self.line()}: the page {self.page.title!r} has more than {LARGEST_PAGE:,} characters"
            raise DataError(explain(got, need="pages of a wiki", hint="looking for a tag that is never closed"))

    def end(self, name: str) -> None:
        place = tuple(self.above[1:])
        if self.held is not None and place in WANTED:
            text, self.held = "".join(self.held), None
            if place == ("siteinfo", "namespaces", "namespace"):
                self.names[self.number(self.key)] = text
            elif place == ("page", "ns"):
                self.page.namespace = self.number(text)
            else:
                setattr(self.page, place[-1], text)
        elif place == ("siteinfo",):
            self.found.append(self.names)
        elif place == ("page",):
            self.found.append(self.page)
        self.above.pop()

    def number(self, text: str) -> int:
        """Of a namespace."""
        try:
            return int(text)
        except ValueError as error:
            got = f"{self.part.path}, {self.line()}: the number of a namespace is {text[:40]!r}"
            raise DataError(explain(got, need="a whole number", hint="an undamaged copy")) from error


# whose text is kept
WANTED = {
    ("siteinfo", "namespaces", "namespace"),
    ("page", "title"),
    ("page", "ns"),
    ("page", "revision", "text"),
    ("page", "revision", "model"),
}


def _places(handle: BinaryIO, place: int, wanted: re.Pattern[bytes]) -> Iterator[int]:
    """The first places from `place` on where some bytes stand, no further than REACH."""
    before = b""
    handle.seek(place)
    end, tries = place + REACH, 0
    while place < end and (data := handle.read(CHUNK)):
        window = before + data
        for found in wanted.finditer(window):
            yield place - len(before) + found.start()
            tries += 1
            if tries == TRIES:
                return
        place += len(data)
        before = window[-16:] if not wanted.search(window[-16:]) else b""
        handle.seek(place)  # whoever looked closer has moved it


def _begins_with_page(handle: BinaryIO, at: int) -> bool:
    """Whether the bzip2 stream there unpacks to something that begins with a page."""
    handle.seek(at)
    decompressor, start = bz2.BZ2Decompressor(), b""
    while len(start) < 256 and not decompressor.eof and (data := handle.read(CHUNK // 8)):
        try:
            start += decompressor.decompress(data, 256)
        except OSError:  # it only looks like a stream
            return False
    return start.lstrip().startswith(PAGE)

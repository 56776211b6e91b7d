"""Archives of the web: pages as they came (WARC), or as plain text already (WET, as Common Crawl gives them).

    WARC/1.0, headers, an empty line, as many bytes as Content-Length says, an empty line; and the next one (ISO 28500)

Records are read one at a time, by warcio. Of a WARC file the answers with status 200 that are HTML are documents: trafilatura
finds the text of a page among menus, notices and advertisements (Barbaresi, ACL 2021). Of a WET file the conversions to plain
text are. Everything else is passed over: requests, metadata, pictures, pages sent again, answers packed in a way that cannot be
unpacked here, and pages of more than LARGEST_PAGE bytes. Archives may be gzipped record by record, as is usual, or as a whole.
"""

from __future__ import annotations

import codecs
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, ClassVar, Literal

from linnet.core.errors import DataError, explain
from linnet.core.extras import need
from linnet.data.archives import Archives
from linnet.data.formats import Rows
from linnet.data.portions import Slice
from linnet.data.reading import chunks

LARGEST_PAGE = 2**25  # bytes; what is larger is no page that somebody wrote
BLOCK = 2**16  # bytes read at a time
HEAD = 4096  # bytes of a page in which it says how it is encoded; the standard asks for its being among the first 1,024
HTML = frozenset(["text/html", "application/xhtml+xml"])

LENGTH = re.compile(r"[0-9]{1,18}")  # of a record, in bytes
CHARSET = re.compile(r"""\bcharset\s*=\s*["']?\s*([\w.:-]+)""", re.IGNORECASE)
META = re.compile(rb"""<meta\b[^>]*?\bcharset\s*=\s*["']?\s*([\w.:-]+)""", re.IGNORECASE)
XML = re.compile(rb"""^\s*<\?xml\b[^>]*?\bencoding\s*=\s*["']([\w.:-]+)""", re.IGNORECASE)
BYTE_ORDER = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
# what browsers read where a page says the first (https://encoding.spec.whatwg.org/#names-and-labels)
BROWSERS_READ = {
    "ascii": "cp1252",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "iso8859-11": "cp874",
    "tis-620": "cp874",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "big5": "big5hkscs",
}
NOT_OF_PAGES = frozenset(["utf-7", "idna", "punycode", "unicode-escape", "raw-unicode-escape", "undefined"])


@dataclass(frozen=True)
class Record:
    """One record of an archive, whole.

    offset    where it begins, after unpacking
    kind      response, conversion, request …; address: of the page
    headers   its own, as warcio reads them
    data      the block behind them, None where it is larger than LARGEST_PAGE or of a kind that is not wanted
    """

    offset: int
    kind: str
    address: str
    headers: Any
    data: bytes | None


class Warc(Archives):
    """Archives of the web: WARC files of pages, WET files of their texts.

    extract   main: what a page is about, without menus and notices; all: all of its text. A WET file's texts are as they are
    """

    endings: ClassVar[tuple[str, ...]] = (".warc", ".warc.gz", ".wet", ".wet.gz")
    libraries: ClassVar[tuple[str, ...]] = ("warcio", "trafilatura")
    purpose: ClassVar[str] = "read archives of the web"

    kind: Literal["warc"] = "warc"
    extract: Literal["main", "all"] = "main"

    @classmethod
    def examples(cls) -> tuple[Warc, ...]:
        return cls(path="crawl.warc.gz"), cls(path="*.wet.gz", extract="all", name="web", weight=2.0, licence="CC0", part="train")

    def read(self, part: Slice) -> Rows:
        """A text a page that has any; `where` is the byte where its record begins, after unpacking, and its address."""
        need("trafilatura", extra="sources", to=self.purpose)
        logging.getLogger("trafilatura").setLevel(logging.CRITICAL)  # or it says of every page without text that it has none
        for record in records(part.path):
            where = f":{record.offset} {record.address}".rstrip()
            if record.data is None:
                continue
            if record.kind == "conversion":
                text = record.data.decode("utf-8", "replace") if _type_of(record.headers) == "text/plain" else None
            elif (page := html_of(record)) is None:
                continue
            else:
                try:
                    text = self.text_of(page)
                except Exception as error:
                    got = f"{part.path}{where}: its text cannot be extracted ({type(error).__name__}: {str(error)[:100]})"
                    raise DataError(explain(got, need="a page that trafilatura reads", hint="another version of it")) from error
            if text and text.strip():
                yield where, text

    def text_of(self, page: str) -> str | None:
        """The text of a page; None or white space where it has none."""
        trafilatura = need("trafilatura", extra="sources", to=self.purpose)
        found: str | None = (
            trafilatura.extract(page, include_comments=False) if self.extract == "main" else trafilatura.html2txt(page)
        )
        return found


class Unpacked:
    """The bytes of a file, unpacked, in the form in which warcio reads: so that what is cut or damaged is noticed."""

    def __init__(self, path: str) -> None:
        self.pieces = chunks(Path(path))
        self.piece = BytesIO()
        self.at = 0

    def read(self, size: int = -1) -> bytes:
        """Some bytes, at most `size`; none at the end."""
        while not (data := self.piece.read(size)):
            more = next(self.pieces, None)
            if more is None:
                break
            self.piece = BytesIO(more)
        self.at += len(data)
        return data

    def tell(self) -> int:
        """How many were read."""
        return self.at


def records(path: str) -> Iterator[Record]:
    """The records of an archive. Raises DataError for one that is cut off or broken."""
    iterators = need("warcio.archiveiterator", extra="sources", to=Warc.purpose)
    logging.getLogger("warcio").setLevel(logging.ERROR)  # or it tells of every address that has spaces
    stream = Unpacked(path)
    archive = iterators.WARCIterator(stream, no_record_parse=True)
    archive.reader.decompressor = None  # it is unpacked
    archive.INC_RECORD = ""  # what it would print where a record is followed by more than it should be; err_count says so, too
    failed = need("warcio.exceptions", extra="sources", to=Warc.purpose).ArchiveLoadFailed
    while True:
        before, problem = archive.offset, ""
        try:
            record = next(archive, None)
        except failed as error:
            problem = f"byte {archive.offset:,}: no record of an archive begins there ({str(error)[:100].strip()})"
        if archive.err_count:
            problem = f"byte {before:,}: the record there is longer than its Content-Length says"
        if problem:
            raise DataError(
                explain(
                    f"{path}, {problem}",
                    need="records of WARC/1.0 or 1.1",
                    hint="an undamaged copy, with .gz at its end if it is packed",
                )
            )
        if record is None:
            break
        yield _whole(record, archive.offset, path)
    if not stream.at:
        raise DataError(explain(f"{path} is empty", need="an archive of the web"))


def _whole(record: Any, offset: int, path: str) -> Record:
    """A record, read to its end."""
    headers, block = record.rec_headers, record.raw_stream
    said = (headers.get_header("Content-Length") or "").strip()
    length = int(said) if LENGTH.fullmatch(said) else None
    data: bytes | None = None
    if length is not None:
        if record.rec_type in ("response", "conversion") and length <= LARGEST_PAGE:
            data = block.read()
        while block.read(BLOCK):
            pass
    if length is None or block.limit:
        none = f"its Content-Length is {said[:40]!r}" if said else "it has no Content-Length"
        missing = none if length is None else f"{block.limit:,} of its {length:,} bytes are missing"
        got = f"{path} is cut short or damaged: the record at byte {offset:,} is not whole, {missing}"
        raise DataError(explain(got, need="the whole file", hint="copying it again"))
    return Record(offset, record.rec_type or "", headers.get_header("WARC-Target-URI") or "", headers, data)


def _type_of(headers: Any) -> str:
    return (headers.get_header("Content-Type") or "").partition(";")[0].strip().lower()


def html_of(record: Record) -> str | None:
    """The page that was answered; None where the answer was something else, or cannot be unpacked."""
    parsers = need("warcio.statusandheaders", extra="sources", to=Warc.purpose)
    loaders = need("warcio.recordloader", extra="sources", to=Warc.purpose)
    if record.kind != "response" or not record.data or not record.data.startswith(b"HTTP/"):
        return None
    stream = BytesIO(record.data)
    headers = parsers.StatusAndHeadersParser(["HTTP/1.0", "HTTP/1.1"], verify=False).parse(stream)
    packed = (headers.get_header("Content-Encoding") or "").strip().lower()
    if headers.get_statuscode() != "200" or _type_of(headers) not in HTML:
        return None
    if packed not in ("", "identity", *loaders.BufferedReader.get_supported_decompressors()):
        return None
    answer = loaders.ArcWarcRecord("warc", "response", record.headers, stream, headers, "", len(record.data))
    data = answer.content_stream().read(LARGEST_PAGE + 1)
    return decoded(data, headers.get_header("Content-Type") or "") if len(data) <= LARGEST_PAGE else None


def decoded(page: bytes, content_type: str) -> str:
    """A page as text: by its byte-order mark, the header, its own words, else as UTF-8.

    Where it says an encoding that it is not in, and no other that it is in, what cannot be read becomes U+FFFD.
    """
    for mark, encoding in BYTE_ORDER.items():
        if page.startswith(mark):
            return page.decode(encoding, "replace")
    head = page[:HEAD]
    said = [found[1] for found in [CHARSET.search(content_type)] if found]
    inside = [found[1].decode("ascii", "replace") for found in (META.search(head), XML.search(head)) if found]
    said += [name for name in inside if not name.lower().startswith(("utf-16", "utf-32"))]  # else it could not be read there
    encodings = [encoding for encoding in map(_codec, [*said, "utf-8"]) if encoding]
    for encoding in encodings:
        try:
            return page.decode(encoding)
        except UnicodeDecodeError:
            continue
    return page.decode(encodings[0], "replace")


def _codec(name: str) -> str | None:
    """The codec that browsers read a page in that says it is in this encoding; None for a name that is not known."""
    try:
        codec = codecs.lookup(name).name
        "".encode(codec)  # not one of those that turn bytes into bytes
    except (LookupError, ValueError):
        return None
    return None if codec in NOT_OF_PAGES else BROWSERS_READ.get(codec, codec)

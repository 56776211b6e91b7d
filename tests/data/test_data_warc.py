"""Archives of the web: pages made here, written by warcio and by hand; what is cut off is noticed, wherever that is."""

from __future__ import annotations

import gzip
import io
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from data_helpers import by_portions, spec_of

from linnet.core.errors import DataError, MissingExtraError
from linnet.core.spec import load
from linnet.data import archives, reading, warc
from linnet.data.prepare import prepare
from linnet.data.warc import Warc, decoded, records
from linnet.tokenizer.simple import ByteTokenizer

pytest.importorskip("warcio", reason="warcio is not installed: the extra `sources` brings it")
pytest.importorskip("trafilatura", reason="trafilatura is not installed: the extra `sources` brings it")

PAGE = """<!DOCTYPE html><html lang="en"><head><meta charset="{charset}"><title>Lamps</title><script>var no = 1;</script></head><body>
<nav><ul><li><a href="/">Home</a></li><li><a href="/all">All stories</a></li><li><a href="/us">About us</a></li></ul></nav>
<article><h1>The keeper of the lamp</h1>
<p>Every evening the keeper climbed the two hundred steps of the tower &amp; lit the lamp, so that ships found the harbour in the dark.</p>
<p>In winter the wind was so strong that he tied a rope around his waist before he stepped out; {words}</p></article>
<footer><p><a href="/imprint">Imprint</a> We use cookies. All rights reserved.</p></footer></body></html>"""
FIRST = "Every evening the keeper climbed the two hundred steps of the tower & lit the lamp, so that ships found the harbour in the dark."
SECOND = "In winter the wind was so strong that he tied a rope around his waist before he stepped out; {words}"


def page(words: str = "so he did.", charset: str = "utf-8") -> str:
    return PAGE.format(words=words, charset=charset)


def record(
    kind: str, block: bytes, content_type: str = "application/http; msgtype=response", address: str = "https://x.org/a"
) -> bytes:
    """A record, by the standard's words."""
    head = [
        "WARC/1.0",
        f"WARC-Type: {kind}",
        "WARC-Record-ID: <urn:uuid:00000000-0000-0000-0000-000000000000>",
        "WARC-Date: 2026-01-01T00:00:00Z",
        *([f"WARC-Target-URI: {address}"] if address else []),
        f"Content-Type: {content_type}",
        f"Content-Length: {len(block)}",
    ]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + block + b"\r\n\r\n"


def answer(body: bytes, content_type: str = "text/html; charset=utf-8", status: str = "200 OK", *headers: str) -> bytes:
    head = [f"HTTP/1.1 {status}", f"Content-Type: {content_type}", *headers]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


INFO = record("warcinfo", b"software: by hand\r\n", "application/warc-fields", "")
PAGES = [record("response", answer(page(f"page {number}.").encode()), address=f"https://x.org/{number}") for number in range(5)]


def source(path: Path | str, **options: object) -> Warc:
    return load(Warc, {"kind": "warc", "path": str(path), **options})


def texts(path: Path | str, **options: object) -> list[str]:
    return [document.text for document in source(path, **options).documents()]


def written(tmp_path: Path, *blocks: bytes, name: str = "a.warc") -> Path:
    (tmp_path / name).write_bytes(b"".join(blocks))
    return tmp_path / name


@pytest.mark.parametrize("packing", ["plain", "a member a record", "one member"])
def test_pages_in_every_packing(tmp_path: Path, packing: str) -> None:
    file = {
        "plain": lambda: written(tmp_path, INFO, *PAGES),
        "a member a record": lambda: written(tmp_path, *map(gzip.compress, [INFO, *PAGES]), name="a.warc.gz"),
        "one member": lambda: written(tmp_path, gzip.compress(INFO + b"".join(PAGES)), name="a.warc.gz"),
    }[packing]()
    found = texts(file)
    assert len(found) == 5
    for number, text in enumerate(found):
        lines = text.split("\n")
        assert lines[-2:] == [FIRST, SECOND.format(words=f"page {number}.")]
        assert not any(word in text for word in ("Home", "cookies", "Imprint", "var no"))
    everything = texts(file, extract="all")
    assert len(everything) == 5
    assert all(FIRST in text and "All stories" in text and "var no" not in text for text in everything)
    assert by_portions(source(file)) == found
    names = [document.name for document in source(file).documents()]
    starts = [len(INFO) + sum(map(len, PAGES[:number])) for number in range(5)]
    assert names == [f"{file}:{start} https://x.org/{number}" for number, start in enumerate(starts)]


def test_what_warcio_writes(tmp_path: Path) -> None:
    """warcio's own writer makes the archive; chunks and gzip in the answers are undone."""
    from warcio.statusandheaders import StatusAndHeaders
    from warcio.warcwriter import WARCWriter

    def chunked(data: bytes) -> bytes:
        return (
            b"".join(b"%x\r\n%s\r\n" % (len(data[i : i + 99]), data[i : i + 99]) for i in range(0, len(data), 99)) + b"0\r\n\r\n"
        )

    body = page("é ☃.").encode()
    answers = [
        ([], body),
        ([("Transfer-Encoding", "chunked")], chunked(body)),
        ([("Content-Encoding", "gzip")], gzip.compress(body)),
        ([("Content-Encoding", "gzip"), ("Transfer-Encoding", "chunked")], chunked(gzip.compress(body))),
        ([("Content-Encoding", "identity")], body),
    ]
    with open(tmp_path / "a.warc.gz", "wb") as handle:
        writer = WARCWriter(handle, gzip=True)
        writer.write_record(writer.create_warcinfo_record("a.warc.gz", {"software": "test"}))
        for headers, data in answers:
            http = StatusAndHeaders("200 OK", [("Content-Type", "text/html; charset=UTF-8"), *headers], protocol="HTTP/1.1")
            one = writer.create_warc_record("https://x.org/", "response", payload=io.BytesIO(data), http_headers=http)
            writer.write_record(one)
    found = texts(tmp_path / "a.warc.gz")
    assert len(found) == 5
    assert len(set(found)) == 1
    assert found[0].endswith(SECOND.format(words="é ☃."))


@pytest.mark.parametrize("name", ["a.wet", "a.wet.gz", "a.warc.wet.gz"])
def test_texts_that_were_made_already(tmp_path: Path, name: str) -> None:
    said = ["One text.\nTwo  lines & <no> markup\n", "Ünïcode ☃", " \n", "last"]
    blocks = [INFO, *(record("conversion", text.encode(), "text/plain") for text in said)]
    blocks.append(record("conversion", b"%PDF", "application/pdf"))
    file = written(tmp_path, *(map(gzip.compress, blocks) if name.endswith("gz") else blocks), name=name)
    assert texts(file) == [said[0], said[1], said[3]]
    assert by_portions(source(file)) == texts(file)


def test_what_is_no_page_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body = page().encode()
    passed = [
        record("request", b"GET / HTTP/1.1\r\nHost: x.org\r\n\r\n", "application/http; msgtype=request"),
        record("metadata", b"a: b\r\n", "application/warc-fields"),
        record("revisit", answer(b"")),
        record("resource", body, "text/html"),
        record("response", answer(body, "text/html", "404 Not Found")),
        record("response", answer(body, "text/html", "301 Moved")),
        record("response", answer(body, "text/plain")),
        record("response", answer(b"\x89PNG\r\n\0\0", "image/png")),
        record("response", answer(body, "text/html", "200 OK", "Content-Encoding: zstd")),
        record("response", answer(b"")),
        record("response", answer(b"<html><body></body></html>")),
        record("response", b""),
        record("response", b"x.org. IN A 127.0.0.1", "text/dns", "dns:x.org"),
        record("response", answer(b" " * 50_000 + body)),
    ]
    monkeypatch.setattr(warc, "LARGEST_PAGE", 50_000)
    xhtml = '<?xml version="1.0" encoding="utf-8"?>' + page("in XHTML.")
    kept = record("response", answer(xhtml.encode(), "application/xhtml+xml", "200"), address="")
    file = written(tmp_path, *passed, kept)
    assert len(list(records(str(file)))) == len(passed) + 1
    (text,) = texts(file)
    assert text.endswith("in XHTML.")
    # a page that is small when it is packed only
    bomb = record("response", answer(gzip.compress(b" " * 60_000 + body), "text/html", "200 OK", "Content-Encoding: gzip"))
    assert texts(written(tmp_path, bomb)) == []


WORDS = "naïve café “quoted” – €5"


@pytest.mark.parametrize(
    ("data", "content_type", "expected"),
    [
        (f"<p>{WORDS}".encode(), "text/html; charset=utf-8", WORDS),
        (f"<p>{WORDS}".encode(), "text/html", WORDS),
        (f"<p>{WORDS}".encode("cp1252"), "text/html; charset=windows-1252", WORDS),
        (f"<p>{WORDS}".encode("cp1252"), "text/html;charset='ISO-8859-1'", WORDS),  # as browsers read it
        (f'<meta charset="iso-8859-1"><p>{WORDS}'.encode("cp1252"), "text/html", WORDS),
        (f"<META http-equiv=Content-Type content='text/html; charset=latin1'><p>{WORDS}".encode("cp1252"), "text/html", WORDS),
        ('<?xml version="1.0" encoding="koi8-r"?><p>привет'.encode("koi8-r"), "application/xhtml+xml", "привет"),
        ('<meta charset="gb2312"><p>中文€'.encode("gb18030"), "text/html", "中文€"),
        ("<meta charset=shift_jis><p>日本①".encode("cp932"), "text/html", "日本①"),
        ("<meta charset=euc-kr><p>한국어".encode("cp949"), "text/html", "한국어"),
        # the header has the first word, where it can be so
        ('<meta charset="koi8-r"><p>привет'.encode(), "text/html; charset=utf-8", "привет"),
        ('<meta charset="utf-8"><p>привет'.encode("cp1251"), "text/html; charset=windows-1251", "привет"),
        # and a byte-order mark before it
        (f"<p>{WORDS}".encode("utf-8-sig"), "text/html; charset=windows-1251", WORDS),
        (f"<p>{WORDS}".encode("utf-16"), "text/html; charset=utf-8", WORDS),
        ('<meta charset="utf-16"><p>привет'.encode(), "text/html", "привет"),
        # one that cannot be so gives way to one that can
        (f'<meta charset="windows-1252"><p>{WORDS}'.encode("cp1252"), "text/html; charset=utf-8", WORDS),
        (f"<p>{WORDS}".encode(), "text/html; charset=ascii", WORDS),
        (f"<p>{WORDS}".encode(), "text/html; charset=no-such-thing", WORDS),
        (f"<p>{WORDS}".encode(), "text/html; charset=base64", WORDS),
        (f"<p>{WORDS}".encode(), "text/html; charset=unicode_escape", WORDS),
        # else it is read as far as it goes
        ("<p>naïve".encode("cp1252"), "text/html; charset=utf-8", "na\ufffdve"),
        ("<p>naïve".encode("cp1252"), "text/html", "na\ufffdve"),
    ],
)
def test_how_a_page_is_spelled(data: bytes, content_type: str, expected: str) -> None:
    assert decoded(data, content_type).rpartition("<p>")[2] == expected


def test_an_archive_is_read_as_a_stream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first page comes before the file has been read to its end, and a large record that nobody wants is not held."""
    large = record("resource", bytes(2**22), "video/mp4")
    file = written(tmp_path, INFO, PAGES[0], large, PAGES[1])
    monkeypatch.setattr(reading, "CHUNK", 2**14)
    held: list[int] = []
    real = warc.Unpacked.read

    def read(self: Any, size: int = -1) -> bytes:
        data = real(self, size)
        held.append(self.at)
        return data

    monkeypatch.setattr(warc.Unpacked, "read", read)
    documents = source(file).documents()
    assert "page 0" in next(documents).text
    assert max(held) <= 2 * 2**14
    assert "page 1" in next(documents).text
    assert max(held) == file.stat().st_size


def test_an_archive_that_is_cut_anywhere(tmp_path: Path) -> None:
    """Every byte of the last record, which may be of any kind: the whole of it or an error that says where it begins."""
    small = record("response", answer(b"<p>short"))
    for last in (small, record("metadata", b"a: b\r\n", "application/warc-fields"), record("conversion", b"text", "text/plain")):
        whole = INFO + last
        end = len(whole) - 4  # the empty line behind it may be missing
        for size in range(len(INFO) + 1, len(whole) + 1):
            file = written(tmp_path, whole[:size])
            if size >= end:
                assert len(list(records(str(file)))) == 2
                continue
            with pytest.raises(DataError) as caught:
                list(records(str(file)))
            assert f"byte {len(INFO):,}" in str(caught.value)
            assert "a.warc" in str(caught.value)


def test_what_is_broken_is_named(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    packed = b"".join(map(gzip.compress, [INFO, *PAGES]))
    for size in (len(packed) - 30, len(packed) // 2, len(packed) - 5):
        with pytest.raises(DataError, match=r"a\.warc\.gz is cut short: its gzip stream stops after [\d,]+ unpacked bytes"):
            texts(written(tmp_path, packed[:size], name="a.warc.gz"))
    with pytest.raises(DataError, match=r"a\.warc\.gz is damaged or not gzip"):
        texts(written(tmp_path, packed[:200] + bytes(50) + packed[250:], name="a.warc.gz"))
    with pytest.raises(DataError, match=rf"is cut short.*the record at byte {len(INFO):,} is not whole, 300 of its"):
        texts(written(tmp_path, INFO, PAGES[0][: -300 - 4]))
    short = PAGES[0].replace(b"Content-Length: ", b"Content-Length: 1\r\nX: ", 1)
    with pytest.raises(DataError, match=rf"a\.warc, byte {len(INFO):,}: the record there is longer than its Content-Length says"):
        texts(written(tmp_path, INFO, short, PAGES[1]))
    for length in ("\u00b21792", "9" * 5000, "-5"):
        with pytest.raises(DataError, match=f"its Content-Length is '{length[:40]}'"):
            texts(
                written(tmp_path, INFO, re.sub(rb"Content-Length: \d+", f"Content-Length: {length}".encode(), PAGES[0], count=1))
            )
    with pytest.raises(DataError, match="it has no Content-Length"):
        texts(written(tmp_path, INFO, PAGES[0].replace(b"Content-Length", b"Content-Width", 1)))
    with pytest.raises(DataError, match=r"a\.warc, byte 0: no record of an archive begins there .*needed: records of WARC/1"):
        texts(written(tmp_path, b"Some text.\nMore.\n"))
    with pytest.raises(DataError, match=r"a\.warc, byte 0: no record .*with \.gz at its end if it is packed"):
        texts(written(tmp_path, packed))
    with pytest.raises(DataError, match=r"a\.warc is empty"):
        texts(written(tmp_path))
    (tmp_path / "sub").mkdir()
    written(tmp_path / "sub", INFO, name="a.zip")
    with pytest.raises(
        DataError, match=r"a\.zip: an ending that is not known; needed: one of \.warc, \.warc\.gz, \.wet, \.wet\.gz"
    ):
        texts(tmp_path / "sub")
    assert capfd.readouterr().err == ""


def test_a_page_that_the_library_breaks_at_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import trafilatura

    def extract(page: str, **_: object) -> str:
        raise RecursionError("too deep")

    monkeypatch.setattr(trafilatura, "extract", extract)
    with pytest.raises(DataError, match=rf"a\.warc:{len(INFO)} https://x\.org/0: .*RecursionError: too deep"):
        texts(written(tmp_path, INFO, PAGES[0]))


@pytest.mark.parametrize("library", ["warcio", "trafilatura"])
def test_the_libraries_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: str) -> None:
    file = written(tmp_path, INFO, *PAGES)
    first = source(file).digest()
    for name in [name for name in sys.modules if name == library or name.startswith(f"{library}.")]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingExtraError, match=rf"'{library}'.*read archives of the web.*linnet\[sources\]"):
        texts(file)
    with pytest.raises(MissingExtraError, match=library):
        source(file).digest()
    monkeypatch.undo()
    monkeypatch.setattr("importlib.metadata.version", lambda name: "99" if name == library else "1")
    assert source(file).digest() != first


@pytest.mark.parametrize("engine", ["here", "processes"])
def test_prepare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: Any) -> None:
    (tmp_path / "crawl").mkdir()
    for number in range(3):
        blocks = (
            record("response", answer(page(f"page {number}-{i}.").encode()), address=f"https://x.org/{i}") for i in range(10)
        )
        written(tmp_path / "crawl", *map(gzip.compress, [INFO, *blocks]), name=f"{number}.warc.gz")
    said = [record("conversion", f"Text {i}.".encode(), "text/plain") for i in range(30)]
    written(tmp_path / "crawl", *map(gzip.compress, [INFO, *said]), name="3.warc.wet.gz")
    monkeypatch.setattr(archives, "portion_size", lambda total: 100)
    word = source(tmp_path / "crawl")
    assert len(word.portions()) == 4
    assert by_portions(word) == texts(tmp_path / "crawl")
    spec = spec_of({"kind": "warc", "path": str(tmp_path / "crawl"), "licence": "unknown"})
    prepared = prepare(spec, ByteTokenizer(), tmp_path / "out", engine=engine, workers=2)
    found = sorted(text for split in (prepared.train, prepared.validation) for text in prepared.texts(split.streams[0]))
    assert found == sorted(text.encode() for text in texts(tmp_path / "crawl"))
    assert len(found) == 60
    assert prepare(spec, ByteTokenizer(), tmp_path / "out").reused

"""Dumps of wikis: the text that a reader would copy from the page, written by hand, in constant memory, cut anywhere."""

from __future__ import annotations

import bz2
import gzip
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import escape

import pytest
from data_helpers import by_portions, spec_of
from hypothesis import given, settings
from hypothesis import strategies as st

from linnet.core.errors import DataError, MissingExtraError
from linnet.core.spec import load
from linnet.data import archives, reading, wikipedia
from linnet.data.portions import Slice
from linnet.data.prepare import prepare
from linnet.data.prepared import Prepared
from linnet.data.wikipedia import Page, Wikipedia, pages
from linnet.data.wikitext import Plain
from linnet.tokenizer.simple import ByteTokenizer

mwparserfromhell = pytest.importorskip(
    "mwparserfromhell", reason="mwparserfromhell is not installed: the extra `sources` brings it"
)

HEAD = """<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" version="0.11" xml:lang="de">
  <siteinfo>
    <sitename>Wikipedia</sitename>
    <namespaces>
      <namespace key="0" case="first-letter" />
      <namespace key="1" case="first-letter">Diskussion</namespace>
      <namespace key="6" case="first-letter">Datei</namespace>
      <namespace key="14" case="first-letter">Kategorie</namespace>
    </namespaces>
  </siteinfo>
"""
TAIL = "</mediawiki>\n"


def page(title: str, text: str, *, namespace: int = 0, redirect: str = "", model: str = "wikitext") -> str:
    """A page as MediaWiki exports it."""
    leads = f'    <redirect title="{escape(redirect)}" />\n' if redirect else ""
    return f"""  <page>
    <title>{escape(title)}</title>
    <ns>{namespace}</ns>
    <id>7</id>
{leads}    <revision>
      <id>1234</id>
      <contributor><username>title</username><id>5</id></contributor>
      <comment>a comment</comment>
      <model>{model}</model>
      <format>text/x-wiki</format>
      <text bytes="{len(text)}" xml:space="preserve">{escape(text)}</text>
      <sha1>x</sha1>
    </revision>
  </page>
"""


PAGES = [
    page("Katze", "Die '''Katze''' ist ein [[Tier]].\n\n[[Kategorie:Tier]]"),
    page("Kater", "#WEITERLEITUNG [[Katze]]", redirect="Katze"),
    page("Diskussion:Katze", "Geredet wird hier.", namespace=1),
    page("Leer", "{{nichts}}"),
    page("Modul", "return {}", model="Scribunto"),
    page("A & B <c>", "[[Datei:a.jpg|mini|Ein [[Bild]] davon]]a &lt; b &amp; c"),
]
WANTED = [("Katze", "Die Katze ist ein Tier."), ("A & B <c>", "a < b & c")]


def texts(path: Path | str, **options: object) -> list[str]:
    return [document.text for document in source(path, **options).documents()]


def source(path: Path | str, **options: object) -> Wikipedia:
    return load(Wikipedia, {"kind": "wikipedia", "path": str(path), **options})


def multistream(path: Path, wanted: list[str], each: int = 2) -> Path:
    """As dumps are made: the head, then so many pages a stream, then the end."""
    parts = [HEAD, *("".join(wanted[i : i + each]) for i in range(0, len(wanted), each)), TAIL]
    path.write_bytes(b"".join(bz2.compress(part.encode()) for part in parts))
    return path


@pytest.mark.parametrize("packing", ["", ".bz2", ".gz", "multistream"])
@pytest.mark.parametrize("version", ["export-0.10", "export-0.11"])
def test_articles_in_every_packing(tmp_path: Path, packing: str, version: str) -> None:
    whole = (HEAD + "".join(PAGES) + TAIL).replace("export-0.11", version).encode()
    file = tmp_path / f"dump.xml{packing.replace('multistream', '.bz2')}"
    if packing == "multistream":
        multistream(file, PAGES)
    else:
        file.write_bytes({"": bytes, ".bz2": bz2.compress, ".gz": gzip.compress}[packing](whole))
    assert texts(file) == [f"{title}\n\n{text}" for title, text in WANTED]
    assert texts(file, title=False) == [text for _, text in WANTED]
    assert [document.name for document in source(file).documents()] == [f"{file}: Katze", f"{file}: A & B <c>"]
    assert texts(file, namespaces=[0, 1])[1] == "Diskussion:Katze\n\nGeredet wird hier."
    assert texts(file, namespaces=[1]) == ["Diskussion:Katze\n\nGeredet wird hier."]
    assert by_portions(source(file)) == texts(file)


def test_a_folder_or_a_glob_of_parts(tmp_path: Path) -> None:
    for number in range(3):
        multistream(
            tmp_path / f"dump{number}.xml-p{number}.xml.bz2", [page(f"{number} {i}", f"Text {i} of {number}.") for i in range(5)]
        )
    expected = [f"{number} {i}\n\nText {i} of {number}." for number in range(3) for i in range(5)]
    assert texts(tmp_path) == texts(f"{tmp_path}/*.bz2") == by_portions(source(tmp_path)) == expected
    (tmp_path / "dump-multistream-index.txt.bz2").write_bytes(b"")
    with pytest.raises(
        DataError, match=r"index\.txt\.bz2: an ending that is not known; needed: one of \.xml, \.xml\.bz2, \.xml\.gz"
    ):
        texts(tmp_path)


# What a reader sees on the page, without its boxes, notes, tables and pictures. Each was written by hand.
WIKITEXT = {
    "quotes": ("A '''bold''' and ''slanted'' and '''''both''''' and '''open", "A bold and slanted and both and open"),
    "templates inside one another": (
        "{{Box\n| a = {{b|{{c|[[d]]}}}}\n| e = [[File:f.jpg]]\n}}\nText {{x|{{y}}}} goes on.",
        "Text goes on.",
    ),
    "notes": (
        'One<ref name="a">{{cite|[[x]]|t=a}}</ref>, two.<ref name=a /> Three<ref group="n">A [http://x.org b].</ref>',
        "One, two. Three",
    ),
    "a table in a table": (
        'Before\n{| class="wikitable"\n|+ Caption\n! Head !! Head\n|-\n| a || {{b}}\n|\n{|\n| inner\n|}\n| c\n|}\nAfter',
        "Before\nAfter",
    ),
    "an indented table": ("Before\n:{| class=x\n| a\n|}\nAfter", "Before\nAfter"),
    "an HTML table": ("Before\n<table><tr><td>x</td></tr></table>\nAfter", "Before\nAfter"),
    "links": (
        "[[Cat]]s, [[cat|the cats]], [[Cat (animal)|]], ''[[Dog|a '''big''' dog]]'', [[#History|below]], [[Talk:Cat|talk]]",
        "Cats, the cats, Cat (animal), a big dog, below, talk",
    ),
    "addresses": (
        "See [https://x.org the page] and [https://x.org/a?b=c] or https://y.org/z.",
        "See the page and or https://y.org/z.",
    ),
    "files": (
        "[[File:A b.jpg|thumb|200px|A [[cat]] on a [[mat|''mat'']].{{c}}]]Text [[image:x.svg]] more. [[Fichier:y.PNG|vignette|z]]",
        "Text more.",
    ),
    "categories": (
        "Text.\n\n[[Category:Cats]]\n[[category:Animals|Cat]]\nSee [[:Category:Cats]].",
        "Text.\n\nSee Category:Cats.",
    ),
    "names in the wiki's language": ("Text.[[Datei:a.jpg|mini|b]] [[Kategorie:Tier]]", "Text."),
    "other languages": (
        "Text.\n\n[[fr:Chat]]\n[[zh-min-nan:Niau]]\n[[de:Katze]] [[:fr:Chat]] [[wikt:cat|cat]]",
        "Text.\n\nfr:Chat cat",
    ),
    "comments": ("One <!-- not\nthis --> two\n<!-- nor this -->\nthree", "One two\nthree"),
    "entities": ("a&nbsp;b &ndash; c &lt; d &#233; &#x4e2d; &amp;amp;", "a b – c < d é 中 &amp;"),
    "headings": (
        "Intro.\n== One ==\nText.\n=== Two ''a'' {{x}} ===\nMore.\n== Notes ==\n{{Reflist}}\n== Last ==\n",
        "Intro.\n\nOne\n\nText.\n\nTwo a\n\nMore.",
    ),
    "a heading whose text is further down": ("== A ==\n{{x}}\n=== B ===\nText.\n== C ==\nText.", "A\n\nB\n\nText.\n\nC\n\nText."),
    "lists": (
        "Some:\n* one\n* two [[b|c]]\n** three\n*: more of it\n# first\n#second\n* {{nothing}}\nEnd",
        "Some:\n- one\n- two c\n- three\n- more of it\n- first\n- second\nEnd",
    ),
    "definitions": ("; Term : what it is\n: indented\n:: twice", "Term\nwhat it is\nindented\ntwice"),
    "HTML lists": ("A<ul><li>one</li><li>two</li></ul>B", "A\n\n- one\n- two\n\nB"),
    "brackets that lost what they held": (
        "Köln ({{lang|fr|x}}), Rom ({{IPA|x}}; ''Roma''), Ur (Sumer; {{x}}) and f() stay (here).",
        "Köln, Rom (Roma), Ur (Sumer) and f() stay (here).",
    ),
    "the space before a full stop": ("A word {{cn}}. Another {{x}} , too", "A word. Another, too"),
    "points that nothing stands between": (
        "Firms, {{as of|2011}}, are:\n* {{citation}}, also here\n* {{x}}: Coptic\n* {{y}}.\n* {{z}} .5\nAs {{a}}, {{b}}, or {{c}}.",
        "Firms, are:\n- also here\n- Coptic\n- .5\nAs, or.",
    ),
    "what quotes keep the parser from seeing": (
        "[[File:A.svg|thumb|Said:<br /> '''Pepe [[Pablo]]''<br />One.]]\n\n'''A [[b|c'' d]] {{e|'''f}} [[g]] {{h|{{i}}}}",
        "A c d g",
    ),
    "much that is left out": ("a {{x}} {{y}}{{z}} b{{x}}{{y}} c {{x}}<ref>d</ref> {{y}}. {{x}} {{y}}\ne", "a b c.\ne"),
    "code": (
        'Write <code>x = 1</code>:\n<syntaxhighlight lang="py">\nif x:\n    y = "(a)"  # {{b}} __init__\n\n    | z\n</syntaxhighlight>\nand',
        'Write x = 1:\n\nif x:\n    y = "(a)"  # {{b}} __init__\n\n    | z\n\nand',
    ),
    "pre and nowiki": (
        "<pre>\n a  ''b'' &lt;\n</pre> <nowiki>[[c]] ''d'' {{e}} &amp;</nowiki>",
        " a  ''b'' <\n\n[[c]] ''d'' {{e}} &",
    ),
    "formulas": ("Where <math>\\frac{{a}}{b}\n < c</math> holds.", "Where \\frac{{a}}{b} < c holds."),
    "switches": ("__NOTOC__\nText __init__ and __KEIN_INHALTSVERZEICHNIS__.", "Text __init__ and."),
    "galleries and the like": ("A\n<gallery>\nFile:a.jpg|b\n</gallery>\n<timeline>x</timeline>\nB", "A\nB"),
    "what stands on the page and what does not": (
        "<noinclude>a</noinclude><includeonly>b</includeonly><onlyinclude>c</onlyinclude>",
        "ac",
    ),
    "breaks and rules": ("one<br>two<br />three\n----\nfour", "one\ntwo\nthree\n\nfour"),
    "tags that are never closed": ("one <div class='x'>two</span> <ref name=a>three <2 and i<b", "one two three <2 and i<b"),
    "white space": ("  a \t b\u3000c  \n\n\n\n\nd\r\ne\n\n", "a b\u3000c\n\nd\ne"),
    "nothing": ("{{Disambiguation}}\n[[Category:X]]\n== See also ==\n{{x}}", ""),
}


@pytest.mark.parametrize("name", WIKITEXT)
def test_wikitext_becomes_what_a_reader_sees(name: str) -> None:
    wikitext, expected = WIKITEXT[name]
    assert Plain(["Datei"], ["Kategorie"])(wikitext) == expected


ARTICLE = """{{Short description|Small domesticated carnivore}}
{{Infobox animal
| name = Cat
| image = {{Photomontage
 | photo1a = Cat A.jpg
 }}
| status = {{plainlist|
* [[domestication|Domesticated]]<ref>{{cite web |url=https://x.org |title=T}}</ref>
}}
}}
<!-- keep this short -->
The '''cat''' (''Felis catus''{{efn|A note with [[link]]s.}}), also called {{nowrap|house cat}}, is a small [[carnivore|carnivorous]] [[mammal]].<ref name="A">{{cite journal|doi=10.1/x|title=[[Cats]] (1)}}</ref><ref name="B" /> It weighs {{convert|4|kg}}.

[[File:Cat March 2010-1.jpg|thumb|upright=1.2|A [[tabby cat|tabby]], with "M" on its [[forehead]]<ref>{{cite book}}</ref>]]
It lives {{as of|2020}} in many homes &mdash; about 500&nbsp;million.

==Etymology==
{{Main|Cat words}}
The word ''[[wikt:cat|cat]]'' comes from [[Late Latin]] ''{{lang|la|cattus}}'' (c. 400).

===Names===
* A male is a ''tom''.
* A young one is a [[kitten]]; see {{section link|Kittens}}.

== Sizes ==
{| class="wikitable sortable"
|-
! Breed !! Mass<ref>x</ref>
|-
| [[Maine Coon]] || {{convert|8|kg}}
|}

==See also==
{{Portal|Cats}}

==References==
{{Reflist}}

==External links==
* {{Commons category-inline}}
* [https://x.org/cats Cats] at X
{{Authority control}}

[[Category:Cats| ]]
[[Category:Felis]]
[[fr:Chat]]"""

READ = """The cat (Felis catus), also called, is a small carnivorous mammal. It weighs.

It lives in many homes — about 500 million.

Etymology

The word cat comes from Late Latin (c. 400).

Names

- A male is a tom.
- A young one is a kitten; see.

External links

- Cats at X"""


def test_an_article() -> None:
    assert Plain()(ARTICLE) == READ


@given(st.text(alphabet="a |={}[]<>'*#:;-!\n/&refbrTnowik\"", max_size=80))
@settings(deadline=None, max_examples=300)
def test_whatever_stands_in_a_page_becomes_tidy_text(wikitext: str) -> None:
    text = Plain()(wikitext)
    assert not any(mark in text for mark in map(chr, [*range(9), *range(11, 32)]))
    assert "\n\n\n" not in text
    assert "  " not in text or "<pre" in wikitext or "nowiki" in wikitext
    assert text == text.strip("\n")


def test_quotes_that_the_parser_cannot_pair_are_taken_for_text(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Plain()
    real = mwparserfromhell.parse

    def parse(text: str, skip_style_tags: bool = False) -> Any:
        if not skip_style_tags:
            raise mwparserfromhell.parser.ParserError("a bug")
        return real(text, skip_style_tags=True)

    monkeypatch.setattr(mwparserfromhell, "parse", parse)
    assert plain("'''a''' [[b|c]]") == "a c"


def test_pages_are_those_that_another_parser_finds(tmp_path: Path) -> None:
    """xml.etree, which holds the whole document, is the oracle; a dump of all revisions gives the last one."""
    two = page("Zwei", "alt").replace("</page>", page("", "neu").split("<id>7</id>\n")[1].split("</page>")[0] + "</page>")
    whole = HEAD + "".join([*PAGES, two]) + TAIL
    (tmp_path / "a.xml").write_text(whole, "utf-8")
    name = "{http://www.mediawiki.org/xml/export-0.11/}"
    expected = [
        Page(
            each.findtext(f"{name}title") or "",
            int(each.findtext(f"{name}ns") or ""),
            each.findall(f"{name}revision/{name}text")[-1].text or "",
            each.findall(f"{name}revision/{name}model")[-1].text or "",
            each.find(f"{name}redirect") is not None,
        )
        for each in ElementTree.fromstring(whole).iter(f"{name}page")
    ]
    assert expected[-1].text == "neu"
    assert list(pages(Slice(str(tmp_path / "a.xml"), 0, None, 0))) == expected


def test_a_dump_is_read_as_a_stream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first articles come before the file has been read to its end, and no page is held."""
    many = (page(f"Page {number}", f"Text {number}. " * 50) for number in range(2000))
    (tmp_path / "a.xml").write_text(HEAD + "".join(many) + TAIL, "utf-8")
    read = 0
    real = reading.chunks

    def counted(path: Path, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        nonlocal read
        for piece in real(path, start, stop):
            read += len(piece)
            yield piece

    monkeypatch.setattr(reading, "CHUNK", 2**14)
    monkeypatch.setattr(wikipedia, "chunks", counted)
    documents = source(tmp_path / "a.xml").documents()
    assert next(documents).text.startswith("Page 0\n\nText 0.")
    assert read <= 2 * 2**14  # the names of the namespaces, and the first piece
    for number, document in enumerate(itertools.islice(documents, 998), 1):
        assert document.text.startswith(f"Page {number}\n")
    assert read < (tmp_path / "a.xml").stat().st_size * 0.55


@pytest.mark.parametrize("ending", [".xml", ".xml.bz2"])
@pytest.mark.parametrize("size", [100, 777, 3000])
def test_a_file_is_cut_between_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str, size: int) -> None:
    many = [page(f"Page {number}", f"Text {number}: BZh91AY&SY &lt;page> " + "ab " * (number % 7)) for number in range(101)]
    file = tmp_path / f"a{ending}"
    if ending == ".xml":
        file.write_text(HEAD + "".join(many) + TAIL, "utf-8")
    else:
        multistream(file, many)
    monkeypatch.setattr(archives, "portion_size", lambda total: size)
    word = source(file)
    portions = word.portions()
    assert len(portions) > 3
    starts = [part[1] for portion in portions for part in portion.what]
    stops = [part[2] for portion in portions for part in portion.what]
    assert starts[0] == 0
    assert stops[-1] is None
    assert starts[1:] == stops[:-1]  # nothing is read twice, nothing is left out
    assert sum(portion.size for portion in portions) == file.stat().st_size
    titles = [text.partition("\n")[0] for text in by_portions(word)]
    assert titles == [f"Page {number}" for number in range(101)]
    assert by_portions(word) == texts(file)


@pytest.mark.parametrize("how", ["one stream", "streams that begin anywhere", "gzip"])
def test_what_cannot_be_cut_is_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """pbzip2 begins a stream every so many bytes, wherever that is in a page."""
    many = [page(f"Page {number}", f"Text {number}.") for number in range(60)]
    whole = (HEAD + "".join(many) + TAIL).encode()
    file = tmp_path / ("a.xml.gz" if how == "gzip" else "a.xml.bz2")
    if how == "streams that begin anywhere":
        file.write_bytes(b"".join(bz2.compress(whole[i : i + 1000]) for i in range(0, len(whole), 1000)))
        assert not any(whole[i:].lstrip().startswith(b"<page>") for i in range(1000, len(whole), 1000))
    else:
        file.write_bytes(gzip.compress(whole) if how == "gzip" else bz2.compress(whole))
    monkeypatch.setattr(archives, "portion_size", lambda total: 200)
    assert len(source(file).portions()) == 1
    assert by_portions(source(file)) == texts(file)
    assert len(texts(file)) == 60


def test_a_stream_that_does_not_begin_with_a_page_is_no_border(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mutant: without a look into the stream, a page would be cut in two."""
    many = [page(f"Page {number}", f"Text {number}. " + "x" * 50) for number in range(40)]
    whole = (HEAD + "".join(many) + TAIL).encode()
    file = tmp_path / "a.xml.bz2"
    file.write_bytes(b"".join(bz2.compress(whole[i : i + 1000]) for i in range(0, len(whole), 1000)))
    monkeypatch.setattr(archives, "portion_size", lambda total: 200)
    monkeypatch.setattr(wikipedia, "_begins_with_page", lambda handle, at: True)
    with pytest.raises(DataError, match=r"in the page|mismatched|not well-formed"):
        by_portions(source(file))


def test_the_beginning_of_a_stream_inside_a_stream_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten bytes that look like a stream, and are none."""
    file = multistream(tmp_path / "a.xml.bz2", [page(f"Page {number}", "Text.") for number in range(4)])
    with open(file, "rb") as handle:
        places = [at for at in range(1, file.stat().st_size) if source(file).border(handle, at, file.stat().st_size) == at]
        (tmp_path / "b.bin").write_bytes(b"BZh91AY&SY" + b"\xff" * 100)
        with open(tmp_path / "b.bin", "rb") as other:
            assert not wikipedia._begins_with_page(other, 0)
    parts = [HEAD, *("".join(page(f"Page {i}", "Text.") for i in pair) for pair in ((0, 1), (2, 3)))]
    assert places == list(itertools.accumulate(len(bz2.compress(part.encode())) for part in parts))[:-1]


def broken(tmp_path: Path, data: bytes, name: str = "a.xml") -> str:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DataError) as caught:
        texts(tmp_path / name)
    return str(caught.value)


def test_what_is_broken_is_named(tmp_path: Path) -> None:
    whole = HEAD + "".join(PAGES) + TAIL
    packed = bz2.compress(whole.encode())
    assert "a.xml.bz2 is cut short: its bzip2 stream stops" in broken(tmp_path, packed[: len(packed) // 2], "a.xml.bz2")
    assert "a.xml.gz is cut short: its gzip stream stops" in broken(tmp_path, gzip.compress(whole.encode())[:-50], "a.xml.gz")
    damaged = packed[:40] + bytes(20) + packed[60:]
    assert "a.xml.bz2 is damaged or not bzip2" in broken(tmp_path, damaged, "a.xml.bz2")
    streams = multistream(tmp_path / "a.xml.bz2", PAGES).read_bytes()
    assert "is cut short: line" in broken(tmp_path, streams[: -len(bz2.compress(TAIL.encode()))], "a.xml.bz2")
    cut = whole[: whole.index("Geredet")]
    line = cut.count("\n") + 1
    assert f"a.xml is cut short: line {line}, in the page 'Diskussion:Katze'" in broken(tmp_path, cut.encode())
    wrong = whole.replace("</title>\n    <ns>1", "</titel>\n    <ns>1")
    line = whole[: whole.index("<title>Diskussion")].count("\n") + 1
    assert f"a.xml, line {line}" in broken(tmp_path, wrong.encode())
    assert "mismatched tag" in broken(tmp_path, wrong.encode())
    assert "not well-formed" in broken(tmp_path, whole.encode().replace(b"Geredet", b"Ger\xe9det"))
    assert "a.xml is no dump of a wiki: its first element is <feed>" in broken(tmp_path, b"<feed><doc></doc></feed>")
    assert "a.xml is empty" in broken(tmp_path, b"")
    assert "a.xml, line 1: " in broken(tmp_path, b"Some text.\n")
    assert "number of a namespace is 'x'" in broken(tmp_path, whole.replace("<ns>0", "<ns>x").encode())
    with pytest.raises(DataError, match=r"b\.xml does not exist"):
        texts(tmp_path / "b.xml")


def test_entities_are_never_expanded(tmp_path: Path) -> None:
    laughs = "".join(f'<!ENTITY l{i + 1} "{f"&l{i};" * 10}">' for i in range(9))
    bomb = (
        f'<?xml version="1.0"?>\n<!DOCTYPE mediawiki [<!ENTITY l0 "ha">{laughs}]>\n'
        + HEAD
        + page("A", "B").replace("B", "&l9;")
        + TAIL
    )
    assert "a.xml, line 2: a DOCTYPE (mediawiki), which could declare entities" in broken(tmp_path, bomb.encode())
    outside = '<!DOCTYPE x SYSTEM "file:///etc/passwd">' + HEAD + TAIL
    assert "a DOCTYPE (x)" in broken(tmp_path, outside.encode())


def test_a_page_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wikipedia, "LARGEST_PAGE", 1000)
    (tmp_path / "a.xml").write_text(HEAD + page("Kurz", "x" * 900) + page("Lang", "x" * 1100) + TAIL)
    assert "the page 'Lang' has more than 1,000 characters" in broken(tmp_path, (tmp_path / "a.xml").read_bytes())


def test_the_library_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.xml").write_text(HEAD + TAIL)
    monkeypatch.setitem(sys.modules, "mwparserfromhell", None)
    with pytest.raises(MissingExtraError, match=r"'mwparserfromhell'.*read wikitext.*linnet\[sources\]"):
        texts(tmp_path / "a.xml")
    with pytest.raises(MissingExtraError, match="mwparserfromhell"):
        source(tmp_path / "a.xml").digest()


def test_a_digest_knows_the_file_and_who_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.xml").write_text(HEAD + PAGES[0] + TAIL, "utf-8")
    first = source(tmp_path / "a.xml").digest()
    assert source(tmp_path / "a.xml", title=False).digest() == first  # what is asked is a part of the spec
    (tmp_path / "a.xml").write_text(HEAD + PAGES[1] + TAIL, "utf-8")
    assert source(tmp_path / "a.xml").digest() != first
    (tmp_path / "a.xml").write_text(HEAD + PAGES[0] + TAIL, "utf-8")
    assert source(tmp_path / "a.xml").digest() == first
    monkeypatch.setattr("importlib.metadata.version", lambda name: "99")
    assert source(tmp_path / "a.xml").digest() != first


def content(prepared: Prepared) -> list[bytes]:
    return sorted(text for split in (prepared.train, prepared.validation) for text in prepared.texts(split.streams[0]))


@pytest.mark.parametrize("engine", ["here", "processes"])
def test_prepare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: Any) -> None:
    many = [page(f"Page {number}", f"The '''text''' of [[page]] {number}.{{{{x}}}}") for number in range(300)]
    multistream(tmp_path / "wiki.xml.bz2", many, each=10)
    monkeypatch.setattr(archives, "portion_size", lambda total: 1000)
    spec = spec_of({"kind": "wikipedia", "path": str(tmp_path / "wiki.xml.bz2")})
    prepared = prepare(spec, ByteTokenizer(), tmp_path / "out", engine=engine, workers=2)
    assert content(prepared) == sorted(f"Page {number}\n\nThe text of page {number}.".encode() for number in range(300))
    (card,) = prepared.card.sources
    assert (card.name, card.documents_read, card.licence) == ("wiki", 300, "CC-BY-SA-4.0")
    assert prepare(spec, ByteTokenizer(), tmp_path / "out").reused

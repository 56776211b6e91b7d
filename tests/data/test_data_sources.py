"""Sources give the documents that the standard library's own readers give, and name file and line of what is broken."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import sys
import types
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from data_helpers import shared
from hypothesis import given, settings
from hypothesis import strategies as st

from linnet.core.errors import ConfigError, DataError, MissingExtraError
from linnet.core.spec import load
from linnet.data import formats, reading, sources
from linnet.data.examine import examine
from linnet.data.files import find_files
from linnet.data.formats import Options, plain_texts, read_plain
from linnet.data.reading import blocks, character_start
from linnet.data.sources import Files, PythonDocs, Source, Stdin, Stories
from linnet.tokenizer import END_OF_TEXT

TEXTS = ["one", "two lines\nof text", 'a "quoted", comma', "naïve café 🐦\u2028still the same line", "tab\tinside"]


def texts(path: Path | str, **options: object) -> list[str]:
    return [document.text for document in load(Files, {"kind": "files", "path": str(path), **options}).documents()]


def write_all(folder: Path) -> dict[str, Path]:
    """The same texts in every format that can hold them all."""
    folder.mkdir(exist_ok=True)
    (folder / "a.jsonl").write_text("".join(json.dumps({"id": i, "text": t}) + "\n" for i, t in enumerate(TEXTS)), "utf-8")
    with open(folder / "a.csv", "w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle)
        writer.writerows([["id", "text"], *([i, t] for i, t in enumerate(TEXTS))])
    pq.write_table(pa.table({"id": list(range(len(TEXTS))), "text": TEXTS}), folder / "a.parquet")
    (folder / "a.txt").write_text("\n<|endoftext|>\n".join(TEXTS), "utf-8")
    return {file.suffix: file for file in folder.iterdir()}


@pytest.mark.parametrize("ending", [".jsonl", ".csv", ".parquet", ".txt"])
@pytest.mark.parametrize("packing", ["", ".gz", ".zst"])
def test_every_format_plain_and_packed_gives_the_same_texts(tmp_path: Path, ending: str, packing: str) -> None:
    file = write_all(tmp_path)[ending]
    data = file.read_bytes()
    if packing:
        file = tmp_path / (file.name + packing)
        # two frames, as parallel compressors and `cat a.gz b.gz` make them
        pack = gzip.compress if packing == ".gz" else zstandard.ZstdCompressor().compress
        file.write_bytes(pack(data[: len(data) // 2]) + pack(data[len(data) // 2 :]))
    assert texts(file) == TEXTS


def test_tsv_keeps_quotes(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text('id\tText\n1\tsay "hi"\n2\t"open\n', "utf-8")
    assert texts(tmp_path / "a.tsv") == ['say "hi"', '"open']


def test_real_files(tmp_path: Path) -> None:
    with open(shared("gsm8k/test.jsonl")) as handle:
        assert texts(shared("gsm8k/test.jsonl"), text="answer") == [json.loads(line)["answer"] for line in handle]
    with open(shared("tokenizers/tiktoken/cl100k_base_encodings.csv"), newline="") as handle:
        expected = [row["input"] for row in csv.DictReader(handle)]
    assert texts(shared("tokenizers/tiktoken/cl100k_base_encodings.csv"), text="input") == expected
    whole = shared("stories/valid.txt").read_text("utf-8")
    stories = [s.strip("\n") for s in whole.split("\n<|endoftext|>\n") if s.strip()]
    assert [t.strip("\n") for t in texts(shared("stories/valid.txt")) if t.strip()] == stories
    assert len(stories) == 548


def test_plain_text_is_exact_and_large_files_are_cut_at_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "".join(f"line {i}\r\n" for i in range(3000)) + "no end"
    (tmp_path / "a.txt").write_bytes(text.encode())
    assert texts(tmp_path / "a.txt") == [text]
    monkeypatch.setattr(formats, "PIECE", 1000)
    monkeypatch.setattr(reading, "CHUNK", 777)
    pieces = texts(tmp_path / "a.txt")
    assert "".join(pieces) == text
    assert all(piece.endswith("\n") and 1000 <= len(piece) < 1020 for piece in pieces[:-1])


@pytest.mark.parametrize(
    ("separator", "expected"),
    [
        ("\n", ["a", "b", "---", "c", "d"]),
        ("", ["a\nb\n---\nc", "d"]),
        ("\n\n", ["a\nb\n---\nc", "d"]),
        ("---", ["a\nb", "c\n\nd"]),
        (None, ["a\nb\n---\nc\n\nd\n"]),
    ],
)
def test_separators(tmp_path: Path, separator: str | None, expected: list[str]) -> None:
    (tmp_path / "a.txt").write_text("a\nb\n---\nc\n\nd\n")
    assert texts(tmp_path / "a.txt", separator=separator) == expected


@pytest.mark.parametrize("separator", ["a\nb", "\na\n\nb", "a\r", "\r\n", "\r"])
def test_a_separator_is_one_line(tmp_path: Path, separator: str) -> None:
    for word in ({"kind": "files", "path": "x"}, {"kind": "stdin"}):
        with pytest.raises(ConfigError, match=r"separator: the separator '.*'; needed: one line"):
            load(Source, {**word, "separator": separator})
    with pytest.raises(DataError, match="needed: one line"):
        examine([str(tmp_path)], Options(separator=separator))


@given(
    st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=200),
    st.integers(1, 50),
    st.none() | st.integers(1, 30),
)
@settings(deadline=None)
def test_blocks_join_to_the_text_however_it_is_cut(text: str, step: int, longest: int | None) -> None:
    data = text.encode()
    found = list(blocks((data[i : i + step] for i in range(0, len(data), step)), "x", longest=longest))
    assert "".join(block.text for block in found) == text.removeprefix("\ufeff")
    line = 1
    for block in found:
        assert block.line == line
        line += block.text.count("\n")


@given(st.text(min_size=1, max_size=8), st.integers(1, 32))
@settings(deadline=None)
def test_character_start_never_cuts_a_character(text: str, at: int) -> None:
    data = text.encode("utf-8", "replace")[:at]
    data[: character_start(data)].decode()  # raises if it cuts one
    assert len(data) - character_start(data) <= 3


def test_byte_order_mark_and_encodings(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfhello")
    assert texts(tmp_path / "a.txt") == ["hello"]
    (tmp_path / "b.txt").write_bytes("café\n".encode("cp1252"))
    assert texts(tmp_path / "b.txt", encoding="cp1252") == ["café\n"]


def test_folder_glob_and_hidden_files(tmp_path: Path) -> None:
    for name in ("b/c.txt", "a.md", "b/.hidden/d.txt", ".git.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    assert texts(tmp_path) == ["a.md", "b/c.txt"]
    assert texts(f"{tmp_path}/**/*.txt") == ["b/c.txt"]
    assert [d.name for d in Files(path=str(tmp_path / "a.md"), name="n").documents()] == [str(tmp_path / "a.md")]


def refused(path: Path | str, *words: str, **options: object) -> None:
    with pytest.raises(DataError) as error:
        texts(path, **options)
    for word in words:
        assert word in str(error.value), str(error.value)


def test_broken_jsonl_names_file_and_line(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    for bad in (
        '{"text": "cut',
        "[1]",
        '{"text": 3}',
        '{"txet": "x"}',
        "[" * 100_000,
        f'{{"text": "x", "n": {"9" * 5000}}}',
        '{"text": null}',
    ):
        file.write_text('{"text": "ok"}\n\n' + bad + "\n")
        refused(file, "a.jsonl, line 3")
    refused(file, "text", "ok", text="story")
    file.write_text('{"id": "1", "prose": "x"}\n')
    refused(file, "found: id, prose", "line 1")


def test_broken_tables_name_file_and_line(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text('id,text\n1,"two\nlines"\n2\n')
    refused(file, "a.csv, line 4", "1 fields")
    file.write_text('id,text\n1,x\n2,"never closed\n3,y\n')
    refused(file, "a.csv, line 3")
    file.write_text("id,prose\n1,x\n")
    refused(file, "found: id, prose")
    refused(file, "'prse'", "did you mean 'prose'?", text="prse")
    big = "x" * 200_000
    file.write_text(f"text\n{big}\n")
    assert texts(file) == [big]


def test_parquet_without_text_column(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    pq.write_table(pa.table({"id": [1], "prose": ["x"]}), file)
    refused(file, "a.parquet", "id, prose")
    refused(file, "holds int64", text="id")
    pq.write_table(pa.table({"text": ["x", None]}), file)
    refused(file, "row 2")
    file.write_bytes(file.read_bytes()[:-10])
    refused(file, "damaged or not parquet")


def test_parquet_with_text_that_is_not_utf8(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    column = pa.Array.from_buffers(pa.string(), 3, pa.array([b"fine", b"caf\xe9", b"fine"], pa.binary()).buffers())
    pq.write_table(pa.table({"text": column}), file)
    refused(file, "a.parquet, row 2: byte 3 (0xe9)", "not UTF-8")
    documents = Files(path=str(file)).documents()
    assert next(documents).text == "fine"


def test_invalid_utf8_names_byte_and_line(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_bytes(b"\xef\xbb\xbfgood\nba\xffd\n")
    refused(file, "a.txt, line 2", "byte 10 ", "0xff")
    assert file.read_bytes()[10] == 0xFF
    file.write_bytes("cut \u20ac".encode()[:-1])
    refused(file, "line 1", "byte 4 ")


def test_binary_and_utf16(tmp_path: Path) -> None:
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\0\0")
    refused(tmp_path / "picture.png", "binary", "byte 4 ")
    refused(tmp_path, "picture.png", ".jsonl", ".zst")
    (tmp_path / "a.txt").write_text("hello", "utf-16")
    refused(tmp_path / "a.txt", "UTF-16")
    (tmp_path / "LICENSE").write_text("plain enough")
    assert texts(tmp_path / "LICENSE") == ["plain enough"]


@pytest.mark.parametrize("packing", [".gz", ".zst"])
def test_cut_and_damaged_archives(tmp_path: Path, packing: str) -> None:
    data = "".join(f"{i * i}\n" for i in range(10_000)).encode()
    packed = gzip.compress(data) if packing == ".gz" else zstandard.ZstdCompressor().compress(data)
    file = tmp_path / f"a.txt{packing}"
    file.write_bytes(packed[: len(packed) // 2])
    refused(file, f"a.txt{packing}", "cut short")
    file.write_bytes(b"not an archive at all")
    refused(file, f"a.txt{packing}", "damaged or not")
    file.write_bytes(packed[: len(packed) // 2] + bytes(8) + packed[len(packed) // 2 + 8 :])
    refused(file, f"a.txt{packing}")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names")
def test_a_pipe_is_not_called_missing(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "63")
    for paths in (str(tmp_path / "63"), "/dev/null"):
        with pytest.raises(
            DataError, match=rf"{paths} is (a pipe|no file); needed: .* read as -; try: .*linnet prepare - "
        ) as error:
            find_files(paths)
        assert "does not exist" not in str(error.value)


def test_nothing_there(tmp_path: Path) -> None:
    refused(tmp_path, "holds no files")
    refused(tmp_path / "*.txt", "no file matches")
    (tmp_path / "input.txt").write_text("")
    refused(tmp_path / "inptu.txt", "did you mean 'input.txt'?")
    assert texts(tmp_path / "input.txt") == []  # that the corpus is empty is said when it has been read


def test_missing_library_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.txt.zst").write_bytes(b"x")
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(MissingExtraError, match=r"linnet\[data\]"):
        texts(tmp_path / "a.txt.zst")


def test_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    def pipe(data: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))

    pipe(b"a\n<|endoftext|>\nb")
    assert [d.text for d in Stdin().documents()] == ["a", "b"]
    pipe(b'{"text": "c"}\n{')
    with pytest.raises(DataError, match="standard input, line 2"):
        list(Stdin(format="jsonl").documents())


def test_generated_sources_use_their_generators(monkeypatch: pytest.MonkeyPatch) -> None:
    worlds = types.ModuleType("linnet.data.worlds.stories")

    def endless(seed: int, start: int = 0):
        number = start
        while True:
            yield types.SimpleNamespace(text=f"story {number} of world {seed}")
            number += 1

    worlds.stories = endless  # type: ignore[attr-defined]
    documentation = types.ModuleType("linnet.data.python_docs")
    documentation.python_docs = lambda: iter([("abc", "text of abc")])  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "linnet.data.worlds", types.ModuleType("linnet.data.worlds"))
    monkeypatch.setitem(sys.modules, "linnet.data.worlds.stories", worlds)
    monkeypatch.setitem(sys.modules, "linnet.data.python_docs", documentation)
    assert [d.text for d in Stories(count=2, seed=5).documents()] == ["story 0 of world 5", "story 1 of world 5"]
    own = Stories(count=2)
    assert own.digest(seed=1) == own.digest(seed=1) != own.digest(seed=2)
    assert [(d.name, d.text, d.source) for d in PythonDocs().documents()] == [("abc", "text of abc", "python_docs")]


def test_a_digest_changes_with_content_and_not_with_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.txt"
    file.write_text("one")
    source = Files(path=str(file))
    before = source.digest()
    file.touch()
    assert source.digest() == before
    file.write_text("two")
    assert source.digest() != before
    monkeypatch.setattr(sources, "HASHED_BYTES", 0)
    assert "3" in source.digest()
    assert find_files(str(file)) == [file]


def documents_by_hand(data: bytes, mark: bytes) -> list[bytes]:
    """Line by line: what stands between marks, without the line end before one; nothing behind the last is no document."""
    found: list[list[bytes]] = [[]]
    for line in data.splitlines(keepends=True) if b"\r" not in data else [each + b"\n" for each in data.split(b"\n")]:
        if line.rstrip(b"\r\n") == mark:
            found.append([])
        else:
            found[-1].append(line)
    texts = [b"".join(lines) for lines in found]
    if b"\r" in data:  # the split has given the last line an end that it has not
        texts[-1] = texts[-1].removesuffix(b"\n")
    divided = len(texts) > 1
    texts = [text.removesuffix(b"\n").removesuffix(b"\r") if divided else text for text in texts]
    return texts if texts[-1] else texts[:-1]


@given(
    lines=st.lists(
        st.sampled_from(
            ["a", "bc", "", END_OF_TEXT, END_OF_TEXT, f"x{END_OF_TEXT}", f"{END_OF_TEXT} ", "é", "<", "\r", f"{END_OF_TEXT}\r"]
        ),
        max_size=12,
    ),
    end=st.sampled_from(["\n", ""]),
    cut=st.integers(1, 30),
    held=st.sampled_from([0, 10, 2**16]),
)
def test_documents_cut_out_of_blocks_are_those_cut_line_by_line(lines: list[str], end: str, cut: int, held: int) -> None:
    data = ("\n".join(lines) + end).encode()
    pieces = [data[i : i + cut] for i in range(0, len(data), cut)]
    expected = documents_by_hand(data, END_OF_TEXT.encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(formats, "HELD", held)
        found = [text for texts in plain_texts(iter(pieces), "here", Options()) for text in texts]
        assert found == expected
        patch.setattr(formats, "cut", formats.cut_plainly)
        assert [text for texts in plain_texts(iter(pieces), "here", Options()) for text in texts] == expected
    assert [text.encode() for _, text in read_plain(iter(pieces), "here", Options())] == expected


@given(
    st.lists(st.sampled_from(["a", "\n", "\n\n", "<m>", "<", "\r", "m>", "x" * 70])).map("".join),
    st.sampled_from(["<m>", "<", "m>"]),
)
def test_lines_are_cut_alike_in_rust_and_in_python(text: str, mark: str) -> None:
    found, expected = formats.cut(text.encode(), mark.encode()), formats.cut_plainly(text.encode(), mark.encode())
    assert list(found) == list(expected)


def test_links_to_folders_are_not_followed_and_linnets_own_folders_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "loop" / "d").mkdir(parents=True)
    (tmp_path / "loop" / "d" / "a.txt").write_text("one")
    (tmp_path / "loop" / ".hidden").mkdir()
    (tmp_path / "loop" / ".hidden" / "b.txt").write_text("two")
    for name in ("up", "up2"):
        (tmp_path / "loop" / "d" / name).symlink_to("..", target_is_directory=True)
    for made, files in (("prepared/3f9c", ["index.json", "card.json", "tokenizer.json"]), ("prepared/77.unfinished", ["lock"])):
        (tmp_path / "loop" / made).mkdir(parents=True)
        for name in files:
            (tmp_path / "loop" / made / name).write_text("{}")
    expected = [tmp_path / "loop" / "d" / "a.txt"]
    assert find_files(str(tmp_path / "loop")) == expected
    assert find_files(str(tmp_path / "loop" / "**" / "*.txt")) == expected
    assert find_files(str(tmp_path / "lo*" / "**" / "*")) == expected


def test_a_name_that_is_read_in_another_way_is_another_source(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text\none\n")
    before = Files(path=str(tmp_path)).digest()
    (tmp_path / "a.csv").rename(tmp_path / "a.txt")
    assert Files(path=str(tmp_path)).digest() != before

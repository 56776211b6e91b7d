"""A file cut anywhere gives what it gives as a whole: nothing twice, nothing lost, and errors with the lines of the file."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from data_helpers import by_portions

from linnet.core.errors import DataError
from linnet.data import formats, portions, sources
from linnet.data.files import ending, read_file, read_slice
from linnet.data.formats import Options
from linnet.data.portions import slices, together
from linnet.data.sources import Files


def whole(path: Path, options: Options) -> list[str]:
    return [text for _, text in read_file(path, options)]


def in_slices(path: Path, options: Options, portion: int) -> list[list[str]]:
    parts = slices(path, ending(path), options, portion)
    return [[text.decode("utf-8") for batch in read_slice(part, options) for text in batch] for part in parts]


def joined(parts: list[list[str]]) -> list[str]:
    return [text for part in parts for text in part]


LINES = [f"line {number} " + "é\U0001f600" * (number % 7) for number in range(60)]
SEPARATED = "\n<|endoftext|>\n".join(LINES)


@pytest.mark.parametrize("portion", [1, 2, 3, 17, 100, 333, 10_000])
@pytest.mark.parametrize(
    ("name", "content", "options"),
    [
        ("a.txt", SEPARATED, Options(None, None)),
        ("a.txt", SEPARATED + "\n<|endoftext|>\n", Options(None, None)),
        ("a.txt", SEPARATED.replace("\n", "\r\n"), Options(None, None)),
        ("a.txt", "\n<|endoftext|>\n<|endoftext|>\n" + SEPARATED + "\n<|endoftext|>\n\n\n<|endoftext|>", Options(None, None)),
        ("a.txt", "\n".join(LINES) + "\n", Options(None, "\n")),
        ("a.txt", "\n\n".join(LINES), Options(None, "")),
        ("a.md", "\ufeff" + SEPARATED, Options(None, None)),
        ("a.jsonl", "\n".join(json.dumps({"text": line}) for line in LINES), Options(None, None)),
        ("a.jsonl", "\n\n".join(json.dumps({"text": line}, ensure_ascii=False) for line in LINES) + "\n", Options(None, None)),
        ("a.csv", 'text\n"two\nlines"\n' + "\n".join(LINES), Options(None, None)),
    ],
    ids=["marks", "a mark at the end", "CRLF", "empty ones", "lines", "empty lines", "BOM", "jsonl", "jsonl, blank lines", "csv"],
)
def test_cut_anywhere(tmp_path: Path, name: str, content: str, options: Options, portion: int) -> None:
    path = tmp_path / name
    path.write_bytes(content.encode("utf-8"))
    parts = in_slices(path, options, portion)
    assert joined(parts) == whole(path, options)
    if portion <= 100 and name != "a.csv":
        assert len(parts) > 3


def test_cut_anywhere_by_lot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts of a few letters, marks and line ends, so that borders fall on everything; a border reaches a few bytes only."""
    luck = random.Random(0)
    monkeypatch.setattr(portions, "REACH", 40)
    path = tmp_path / "a.txt"
    for _ in range(400):
        pieces = luck.choices(["a", "é", "\n", "\n<|endoftext|>\n", "<|endoftext|>", "\r\n", "word "], k=luck.randint(1, 60))
        path.write_bytes("".join(pieces).encode("utf-8"))
        for options in (Options(None, None), Options(None, "\n"), Options(None, "a")):
            parts = in_slices(path, options, luck.randint(1, 30))
            if options.separator == "\n" or len(parts) == 1:
                assert joined(parts) == whole(path, options)
            else:  # without a mark within reach a document is divided at a line end, and nothing is lost
                assert "".join(joined(parts)).replace("\n", "").replace("\r", "") == "".join(whole(path, options)).replace(
                    "\n", ""
                ).replace("\r", "")


def test_a_text_without_line_ends_is_cut_at_a_character(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portions, "REACH", 16)
    monkeypatch.setattr(portions, "LONGEST_LINE", 64)
    monkeypatch.setattr(formats, "LONGEST_LINE", 64)
    text = "é\U0001f600中" * 200
    (tmp_path / "a.txt").write_text(text, encoding="utf-8")
    parts = in_slices(tmp_path / "a.txt", Options(None, None), 100)
    assert "".join(joined(parts)) == text
    assert len(parts) > 5


def test_a_parquet_file_is_read_by_row_groups(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pa.table({"text": LINES}), tmp_path / "a.parquet", row_group_size=7)
    parts = in_slices(tmp_path / "a.parquet", Options(None, None), 1)
    assert (len(parts), joined(parts)) == (9, LINES)


def test_small_files_are_read_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(30):
        (tmp_path / f"{number:02}.txt").write_text(f"text {number} " * 10)
    monkeypatch.setattr(sources, "portion_size", lambda total: 400)
    source = Files(path=str(tmp_path))
    found = source.portions()
    assert 3 < len(found) < 30
    assert by_portions(source) == [document.text for document in source.documents()]
    assert sum(portion.size for portion in found) == sum(file.stat().st_size for file in source.files())
    assert together([], 5) == []


@pytest.mark.parametrize(
    ("name", "broken"), [("a.jsonl", b'{"text": '), ("a.jsonl", b'{"body": "x"}'), ("a.txt", b"\xff"), ("a.txt", b"x\xc2")]
)
def test_errors_count_the_lines_of_the_file(tmp_path: Path, name: str, broken: bytes) -> None:
    lines = [json.dumps({"text": line}).encode() if name == "a.jsonl" else line.encode() for line in LINES]
    lines[47] = broken
    path = tmp_path / name
    path.write_bytes(b"\n".join(lines))
    source = Files(path=str(path), separator="\n" if name == "a.txt" else None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources, "portion_size", lambda total: 200)
        found = source.portions()
    assert len(found) > 3

    def read() -> None:
        for portion in found:
            if name == "a.jsonl":
                list(source.texts(portion.what))
            else:
                source.refuse(portion.what)

    with pytest.raises(DataError, match="line 48"):
        read()


def test_the_last_document_stays_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a portion would begin within it, and no separator comes any more."""
    documents = [f"document {number}\nsecond line" for number in range(30)] + ["the last one\n" * 20]
    (tmp_path / "a.txt").write_text("\n<|endoftext|>\n".join(documents))
    size = (tmp_path / "a.txt").stat().st_size
    source = Files(path=str(tmp_path / "a.txt"))
    for portion in range(50, size, 37):
        monkeypatch.setattr("linnet.data.sources.portion_size", lambda total, portion=portion: portion)
        assert by_portions(source) == [*documents[:-1], documents[-1].removesuffix("\n")]

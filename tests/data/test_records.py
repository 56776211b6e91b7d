"""Conversations in tables: csv, tsv and parquet hold what a .jsonl holds, and are refused as it is."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from chat_helpers import as_csv, as_messages, talk

import tiny_run
from linnet.core.errors import DataError
from linnet.core.spec import load
from linnet.data import turns
from linnet.data.chats import Conversations
from linnet.data.examine import examine
from linnet.data.records import form_of, holds_conversations, records_of
from linnet.data.samples import parsed
from linnet.data.sources import Source
from linnet.tokenizer.chat import Turn

TALKS = [talk(number) for number in range(40)]
ASKED = [{"instruction": f'Say "{n}",\nplease.', "input": "é" * (n % 2), "output": f"It is {n}\t."} for n in range(40)]
PAIRS = [{"prompt": f"Who {n}?", "chosen": "[1, 2]" if n % 2 else f"A linnet {n}.", "rejected": "Nobody."} for n in range(40)]
MESSAGES = [{"id": str(n), "messages": as_messages(each)} for n, each in enumerate(TALKS)]
GPT = [{"conversations": [{"from": "human", "value": f"Who {n}?"}, {"from": "gpt", "value": "A wren."}]} for n in range(40)]
TABLES: dict[str, list[dict[str, Any]]] = {"alpaca": ASKED, "preference": PAIRS, "messages": MESSAGES, "sharegpt": GPT}


def lines(path: Path) -> list[str]:
    """The conversations of a file, a portion at a time, which have to be those that it gives one by one."""
    source = Conversations(path=str(path))
    found = [text.decode() for portion in source.portions() for batch in source.texts(portion.what) for text in batch]
    assert found == [document.text for document in source.documents()]
    return found


def as_jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


@pytest.mark.parametrize("form", TABLES)
@pytest.mark.parametrize("kind", ["csv", "csv.gz", "tsv", "parquet", "parquet of JSON", "parquet.gz"])
def test_a_table_holds_what_a_jsonl_holds(tmp_path: Path, form: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = TABLES[form]
    if kind == "tsv":  # which has no quotes, and so no line ends and tabs in a cell
        rows = [
            {key: value.replace("\n", " ").replace("\t", " ") if isinstance(value, str) else value for key, value in row.items()}
            for row in rows
        ]
    right = lines(as_jsonl(tmp_path / "right.jsonl", rows))
    path = tmp_path / f"a.{kind.split()[0]}"
    if "csv" in kind or kind == "tsv":
        content = as_csv(rows, delimiter=",").encode() if "csv" in kind else plain_tsv(rows)
        path.write_bytes(gzip.compress(content) if kind.endswith(".gz") else content)
    else:
        pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        told = [
            {k: v if isinstance(v, str) or kind != "parquet of JSON" else json.dumps(v) for k, v in row.items()} for row in rows
        ]
        plain = tmp_path / "plain.parquet"
        parquet.write_table(pyarrow.Table.from_pylist(told), plain, row_group_size=7)
        path.write_bytes(gzip.compress(plain.read_bytes()) if kind.endswith(".gz") else plain.read_bytes())
    monkeypatch.setattr("linnet.data.sources.portion_size", lambda total: 500)
    assert lines(path) == right
    assert form_of(path) == form
    assert holds_conversations(str(path))
    found = examine([str(path)])
    assert (found.documents, set(found.problems) - {"copies", "near"}) == (len(rows), set())


def plain_tsv(rows: list[dict[str, Any]]) -> bytes:
    cells = [list(rows[0]), *[[v if isinstance(v, str) else json.dumps(v) for v in row.values()] for row in rows]]
    return "".join("\t".join(row) + "\n" for row in cells).encode()


BAD: dict[str, tuple[str, str]] = {
    "no JSON": ('messages\n"[{""role"": 3"\n', r"a\.csv, line 2: its 'messages' is no JSON"),
    "JSON of something else": ('messages\n"{}"\n', r"a\.csv, line 2: its 'messages' is a table"),
    "a row that is too short": ("instruction,output\nx,y\nz\n", r"a\.csv, line 3: 1 fields"),
    "an answer that says nothing": ("instruction,output\nx,y\nz,\n", r"a\.csv, line 3: turn 2 says nothing"),
    "no known columns": ("question,answer\nx,y\n", r"a\.csv, line 2 has the fields question, answer"),
    "a quote that is never closed": ('instruction,output\nx,y\n"z,w\n', r"a\.csv, line 3: "),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_with_a_table_names_the_line(tmp_path: Path, name: str) -> None:
    content, message = BAD[name]
    (tmp_path / "a.csv").write_text(content)
    with pytest.raises(DataError, match=message):
        lines(tmp_path / "a.csv")


def test_what_is_wrong_with_a_parquet_names_the_row(tmp_path: Path) -> None:
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    rows = [*MESSAGES[:9], {"id": "x", "messages": None}]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "a.parquet", row_group_size=3)
    with pytest.raises(DataError, match=r"a\.parquet, row 10: its 'messages' is nothing"):
        lines(tmp_path / "a.parquet")
    assert examine([str(tmp_path / "a.parquet")]).problems["format"].count == 1
    (tmp_path / "a.parquet").write_bytes(b"PAR1 and nothing")
    with pytest.raises(DataError, match="damaged or not parquet"):
        list(records_of(tmp_path / "a.parquet"))


def test_a_table_of_conversations_read_as_text_says_what_to_write(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(as_csv(ASKED))
    source = load(Source, {"kind": "files", "path": str(tmp_path / "a.csv")})  # type: ignore[type-abstract]
    with pytest.raises(DataError, match="try: kind: conversations"):
        list(source.documents())


def test_texts_that_look_like_lists_stay_texts(tmp_path: Path) -> None:
    """An answer may be code: only a list of tables is turns."""
    rows = [{"prompt": "Sort.", "chosen": said, "rejected": "[broken"} for said in ("[3, 1]", "[]", '["user"]', "[x for x in y]")]
    (tmp_path / "a.csv").write_text(as_csv(rows))
    found = [turns.turns_in(line)[1].content for line in lines(tmp_path / "a.csv")]
    assert found == [row["chosen"] for row in rows]
    before = as_messages([Turn("user", "Who?")])
    both = [
        {"chosen": [*before, *as_messages([Turn("assistant", a)])], "rejected": [*before, *as_messages([Turn("assistant", "b")])]}
        for a in "xy"
    ]
    (tmp_path / "b.csv").write_text(as_csv(both))
    assert [turns.turns_in(line)[1].content for line in lines(tmp_path / "b.csv")] == ["x", "y"]


def test_parsed_samples_of_every_kind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.csv").write_text(as_csv(PAIRS))
    (one, *_) = parsed([str(tmp_path / "a.csv")], 3)
    assert one.parts == [("user", "Who 0?"), ("chosen", "A linnet 0."), ("rejected", "Nobody.")]
    as_jsonl(tmp_path / "b.jsonl", MESSAGES)
    code, out, err = tiny_run.linnet(capsys, "data", "show", tmp_path / "b.jsonl")
    assert (code, err, out.count("b.jsonl, line")) == (0, "", 3)
    for turn in [turn for each in TALKS[:3] for turn in each]:
        assert f"{turn.role}: {turn.content}" in out
    (tmp_path / "c.txt").write_text("\n<|endoftext|>\n".join(["short", "w" * 1000, "three", "four"]))
    code, out, _ = tiny_run.linnet(capsys, "data", "show", tmp_path / "c.txt")
    assert (code, "short" in out, "… and 400 more characters" in out, "three" in out, "four" in out) == (
        0,
        True,
        True,
        True,
        False,
    )
    code, _, err = tiny_run.linnet(capsys, "data", "show", as_jsonl(tmp_path / "d.jsonl", [{"messages": "x"}]))
    assert (code, "d.jsonl, line 1: its 'messages' is text" in err) == (2, True)

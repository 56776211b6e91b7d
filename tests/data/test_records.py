"""Conversations in tables: csv, tsv and parquet hold what a .jsonl holds, and are refused as it is."""

from __future__ import annotations

import gzip
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from chat_helpers import as_csv, as_messages, talk

import tiny_run
from linnet.asked import asked_of, passed_over
from linnet.core.errors import DataError
from linnet.core.spec import load
from linnet.data import parquet, turns
from linnet.data.chats import Conversations
from linnet.data.examine import examine
from linnet.data.records import also_text, form_of, holds_conversations, records_of
from linnet.data.samples import parsed
from linnet.data.sources import Files, Source
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
        pyarrow, tables = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        told = [
            {k: v if isinstance(v, str) or kind != "parquet of JSON" else json.dumps(v) for k, v in row.items()} for row in rows
        ]
        plain = tmp_path / "plain.parquet"
        tables.write_table(pyarrow.Table.from_pylist(told), plain, row_group_size=7)
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
    pyarrow, tables = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    rows = [*MESSAGES[:9], {"id": "x", "messages": None}]
    tables.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "a.parquet", row_group_size=3)
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


def parquet_of(path: Path, columns: dict[str, Any], **options: Any) -> Path:
    """A parquet of some columns, given as arrays of pyarrow or as lists."""
    pyarrow, tables = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    tables.write_table(pyarrow.table(columns), path, **options)
    return path


def test_columns_that_nobody_asks_for_are_not_read(tmp_path: Path) -> None:
    """A time beyond those that Python knows, or one in nanoseconds, where pandas is missing, says nothing of a text beside it."""
    pyarrow = pytest.importorskip("pyarrow")
    far = pyarrow.array([2**62] * 3, pyarrow.timestamp("us"))
    for name, columns in (("text", {"text": list("abc")}), ("talk", {"instruction": list("abc"), "output": list("def")})):
        path = parquet_of(tmp_path / f"{name}.parquet", {"at": far, **columns, "picture": [b"\xff" * 99] * 3})
        assert holds_conversations(str(path)) == (name == "talk")
        assert [each.parts[-1][1] for each in parsed([str(path)], 3)] == list("abc" if name == "text" else "def")
        assert not examine([str(path)]).problems
    path = parquet_of(tmp_path / "none.parquet", {"at": far, "picture": [b"x"] * 3})
    assert not holds_conversations(str(path))
    with pytest.raises(DataError, match="row 1 has the fields at, picture"):
        lines(path)


def doors(path: Path) -> set[str]:
    """What showing, preparing and telling say of a file: its kind, or why it is refused."""

    def said(ask: Callable[[], str | None]) -> str:
        try:
            return "files" if ask() in (None, "document", "files") else "conversations"
        except DataError as error:
            return str(error)

    asks: list[Callable[[], str | None]] = [
        lambda: form_of(path),
        lambda: next(parsed([str(path)], 1)).form,
        lambda: asked_of(str(path))[0]["data"]["sources"][0]["kind"],
    ]
    return set(map(said, asks))


@pytest.mark.parametrize("rare", ["input", "prompt", "system", "chosen", "rejected", "messages", "instruction"])
def test_columns_with_names_of_forms_that_a_file_is_not_in_are_not_read(tmp_path: Path, rare: str) -> None:
    """A time that Python does not know, in the first row or in a later one."""
    pyarrow = pytest.importorskip("pyarrow")
    for far in ([2**62] * 5, [0, 1, 2, 2**62, 0]):
        odd = {rare: pyarrow.array(far, pyarrow.timestamp("us"))}
        path = parquet_of(tmp_path / "text.parquet", {"text": list("abcde"), **odd})
        assert doors(path) == {"files"}
        assert [document.text for document in Files(path=str(path)).documents()] == list("abcde")
        assert not examine([str(path)]).problems
        if rare != "messages":
            path = parquet_of(tmp_path / "talk.parquet", {"messages": [each["messages"] for each in MESSAGES[:5]], **odd})
            assert doors(path) == {"conversations"}
            assert len(lines(path)) == 5
            assert not examine([str(path)]).problems


def test_all_doors_say_what_is_wrong_with_a_file(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("messages,messages\nx,y\n")
    (tmp_path / "b.jsonl").write_text('{"messages": \n')
    (tmp_path / "c.csv").write_text("text,messages,messages\nx,y,z\n")  # which is a text, whatever the others are
    (tmp_path / "d.csv").write_text("content,input,input\nx,y,z\n")
    (one,) = doors(tmp_path / "a.csv")
    assert "two columns are called messages" in one
    (one,) = doors(tmp_path / "b.jsonl")
    assert "line 1 is not valid JSON" in one
    assert doors(tmp_path / "c.csv") == doors(tmp_path / "d.csv") == {"files"}


def test_what_is_not_utf8_is_told_by_what_is_ascii(tmp_path: Path) -> None:
    """Its encoding may be said later."""
    for name, record, kind in (("a", {"text": "né"}, "files"), ("b", {"messages": as_messages(TALKS[0])}, "conversations")):
        path = tmp_path / f"{name}.jsonl"
        path.write_bytes(json.dumps(record | {"by": "é"}, ensure_ascii=False).encode("cp1252", "replace"))
        assert asked_of(str(path))[0]["data"]["sources"][0]["kind"] == kind


@pytest.mark.parametrize("kind", ["parquet", "parquet.gz"])
def test_a_column_that_is_no_text_is_not_offered_as_one(tmp_path: Path, kind: str) -> None:
    turns_of_all = [each["messages"] for each in MESSAGES[:3]]
    for column, offered in (([1, 2, 3], None), (["x", "y", "z"], "code"), ([["x"], ["y"], ["z"]], None)):
        path = parquet_of(tmp_path / "a.parquet", {"messages": turns_of_all, "code": column})
        if kind == "parquet.gz":
            (tmp_path / "a.parquet.gz").write_bytes(gzip.compress(path.read_bytes()))
        assert also_text(str(tmp_path / f"a.{kind}")).text == offered


def test_only_one_row_is_read_to_tell_what_a_file_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = parquet_of(tmp_path / "a.parquet", {"instruction": ["x"] * 3000, "output": ["y"] * 3000})
    told_rows = []
    right = parquet._values
    monkeypatch.setattr(parquet, "_values", lambda column, *rest: told_rows.append(len(column)) or right(column, *rest))
    assert form_of(path) == "alpaca"
    assert set(told_rows) == {1}


def test_of_a_large_column_only_its_beginning_is_read_to_tell_what_a_file_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [f"{number} {'word' * 999}" for number in range(5000)]
    path = parquet_of(tmp_path / "a.parquet", {"instruction": words, "output": words}, compression="none", use_dictionary=False)
    reads: list[int] = []

    class Counted(io.FileIO):
        def read(self, size: int = -1) -> bytes:
            found = super().read(size)
            reads.append(len(found))
            return found

    monkeypatch.setattr(parquet, "open", lambda path, mode: Counted(path, mode), raising=False)
    assert form_of(path) == "alpaca"
    assert 0 < sum(reads) < path.stat().st_size / 4


def test_a_value_that_python_has_none_for_is_refused_with_its_row_and_column(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    path = parquet_of(
        tmp_path / "a.parquet", {"instruction": ["x"] * 3, "output": pyarrow.array([0, 1, 2**62], pyarrow.timestamp("us"))}
    )
    with pytest.raises(DataError, match=r"a\.parquet, row 3: its 'output' cannot be read as timestamp\[us\]"):
        list(records_of(path))
    assert examine([str(path)]).problems["format"].count == 3


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("instruction,output,output\nx,y,z\n")
    (tmp_path / "b.csv").write_text("text,text\nx,y\n")
    (tmp_path / "c.csv").write_text("text,n,n\nx,1,2\n")  # which nobody reads
    pyarrow, table = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    for name, names in (("d", ["instruction", "output", "output"]), ("e", ["text", "text", "n"])):
        table.write_table(pyarrow.Table.from_arrays([pyarrow.array(["x"])] * 3, names=names), tmp_path / f"{name}.parquet")
    for name in ("a.csv", "d.parquet"):
        with pytest.raises(DataError, match="two columns are called output"):
            lines(tmp_path / name)
    for name in ("b.csv", "e.parquet"):
        with pytest.raises(DataError, match="two columns are called text"):
            list(Files(path=str(tmp_path / name)).documents())
    assert [document.text for document in Files(path=str(tmp_path / "c.csv")).documents()] == ["x"]


BOTH: dict[str, tuple[list[dict[str, Any]], str | None]] = {
    "alpaca as published": ([row | {"text": "### Instruction"} for row in ASKED], "alpaca"),
    "messages and code": ([row | {"code": "x"} for row in MESSAGES], "messages"),
    "numbers called messages": ([{"text": f"a {n}", "messages": n} for n in range(3)], None),
    "notes called conversation": ([{"content": f"a {n}", "conversation": f"no {n}"} for n in range(3)], None),
    "lists of numbers called messages": ([{"text": f"a {n}", "messages": [1, n]} for n in range(3)], None),
    "empty lists called messages": ([{"text": f"a {n}", "messages": []} for n in range(3)], None),
    "lists of texts called conversation": ([{"text": f"a {n}", "conversation": ["a", "b"]} for n in range(3)], None),
    "answers to nothing": ([{"content": f"text {n}", "chosen": "a", "rejected": "b"} for n in range(3)], None),
    "empty instructions": ([{"text": f"x y {n}", "instruction": "", "output": ""} for n in range(3)], None),
    "an index called conversation": ([{"conversation": n, **row} for n, row in enumerate(ASKED)], "alpaca"),
}


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_all_doors_tell_the_same_of_a_file_that_could_be_both(tmp_path: Path, name: str, kind: str) -> None:
    rows, form = BOTH[name]
    path = tmp_path / f"a.{kind}"
    if kind == "jsonl":
        as_jsonl(path, rows)
    elif kind == "csv":
        path.write_text(as_csv(rows))
    else:
        parquet_of(path, {key: [row[key] for row in rows] for key in rows[0]})
    assert form_of(path) == form
    assert [each.form for each in parsed([str(path)], 1)] == [form or "document"]
    table = asked_of(str(path))[0]
    assert table["data"]["sources"][0]["kind"] == ("files" if form is None else "conversations")
    assert not examine([str(path)]).problems.get("format")
    texts = [document.text for document in Files(path=str(path)).documents()] if name != "an index called conversation" else []
    assert len(texts) in (0, len(rows))  # asked for as texts they are texts
    assert asked_of(str(path), as_text=True)[0]["data"]["sources"][0]["kind"] == "files"
    said = passed_over(str(path), table)
    assert len(said) == (form is not None and bool(texts))
    assert all("--set data.sources.0.kind=files" in line for line in said)
    if form is not None:
        assert len(lines(path)) == len(rows)


def test_a_folder_of_conversations_and_texts_is_refused_at_once(tmp_path: Path) -> None:
    as_jsonl(tmp_path / "a.jsonl", MESSAGES)
    assert holds_conversations(str(tmp_path))
    (tmp_path / "b.txt").write_text("text")
    with pytest.raises(DataError, match=rf"a\.jsonl\) and texts \({tmp_path}/b\.txt\).*try: '{tmp_path}/\*\*/\*\.jsonl'"):
        asked_of(str(tmp_path))
    with pytest.raises(DataError, match=r"such as folder/\*\*/\*\.jsonl"):
        list(Conversations(path=str(tmp_path)).documents())


@pytest.mark.parametrize("first", ["talk", "text"])
def test_files_of_one_ending_that_are_of_two_kinds_are_named(tmp_path: Path, first: str) -> None:
    names = {"talk": "a", "text": "b"} if first == "talk" else {"talk": "b", "text": "a"}
    talk = as_jsonl(tmp_path / f"{names['talk']}.jsonl", MESSAGES)
    text = as_jsonl(tmp_path / f"{names['text']}.jsonl", [{"text": "A linnet."}])
    with pytest.raises(DataError, match=re.escape(f"conversations ({talk}) and texts ({text})")):
        asked_of(str(tmp_path))


def test_texts_that_look_like_lists_stay_texts(tmp_path: Path) -> None:
    """An answer may be code: only a list of tables is turns."""
    rows = [
        {"prompt": "Sort.", "chosen": said, "rejected": "[broken"}
        for said in ("[3, 1]", "[]", '["user"]', "[x for x in y]", '[{"a": 1}]', '[{"role": "x"}]')
    ]
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
    assert (code, "d.jsonl, line 1: its 'messages' is no JSON" in err) == (2, True)

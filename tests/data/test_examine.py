"""What `linnet data doctor` finds: each sort of problem, at its place, and nothing in text that is whole."""

from __future__ import annotations

import gzip
import json
import tempfile
from pathlib import Path

import pytest
from chat_helpers import as_csv
from hypothesis import given, settings
from hypothesis import strategies as st

import linnet.data.examine as examining
from linnet.core.errors import DataError
from linnet.data.chats import Conversations
from linnet.data.examine import GARBLED, GIANT, WAYS_OUT, Findings, examine
from linnet.data.files import read_file
from linnet.data.formats import Options


def found_in(folder: Path, **files: bytes) -> Findings:
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("_", ".", 1)).write_bytes(content)
    return examine([str(folder)])


def test_whole_text_has_no_problem(tmp_path: Path) -> None:
    text = "Ein großer Vogel singt – “so”, élan, Ærø, São Tomé, 你好.\r\n"
    found = found_in(tmp_path, a_txt=text.encode(), b_jsonl=b'{"text": "a"}\n\n{"text": "b"}\n', c_csv=b"text\nx\n")
    assert found.problems == {}
    assert (found.files, found.documents) == (3, 4)
    assert sum(found.lengths.values()) == 4
    assert found.characters == len(text) + 3


@pytest.mark.parametrize("before", [0, 2**20 - 1, 2**20, 2**20 + 5])
def test_wrong_bytes_are_found_where_they_stand(tmp_path: Path, before: int) -> None:
    found = found_in(tmp_path, a_txt=b"x" * before + b"\n\xc3\xa9l\xe9ment\nmore\n")
    assert found.problems["encoding"].places == [
        f"{tmp_path}/a.txt: line 2, byte {before + 4:,} (0xe9) is not UTF-8",
    ]
    assert found.documents == 1, "it is read as what it looks like"


def test_a_character_that_the_file_cuts(tmp_path: Path) -> None:
    found = found_in(tmp_path, a_txt=b"a\nb\xe4\xbd")
    assert found.problems["encoding"].places == [f"{tmp_path}/a.txt: line 2, byte 3 (0xe4) is not UTF-8"]


def test_lines_that_are_refused_do_not_end_the_reading(tmp_path: Path) -> None:
    found = found_in(
        tmp_path,
        a_jsonl=b'{"text": "a"}\n{"text": \n{"text": "b"}\n{"text": 3}\n[1]\n{"n": ' + b"9" * 5000 + b'}\n{"text": "c"}\n',
    )
    assert found.documents == 3
    problem = found.problems["format"]
    assert problem.count == 4
    for place, line in zip(problem.places, (2, 4, 5, 6), strict=True):
        assert f"a.jsonl, line {line}" in place


def test_files_that_are_refused(tmp_path: Path) -> None:
    whole = gzip.compress(b"some text\n" * 1000)
    (tmp_path / "b.txt.gz").write_bytes(whole[: len(whole) // 2])
    found = found_in(tmp_path, a_csv=b"text,n\nx,1\ny\n", c_txt=b"\0\1\2", d_parquet=b"PAR1")
    assert found.problems["format"].count == 4
    assert found.documents == 1


def test_files_that_are_none(tmp_path: Path) -> None:
    found = found_in(tmp_path, a_txt=b"", b_jsonl=b"\n\n", c_txt="é".encode("utf-16"), d_txt=b"\0\xff")
    assert found.problems["empty"].places == [f"{tmp_path}/a.txt: nothing is in it", f"{tmp_path}/b.jsonl: nothing is in it"]
    assert [place.split(" (")[0].split(": byte")[0] for place in found.problems["format"].places] == [
        f"{tmp_path}/c.txt is UTF-16",
        f"{tmp_path}/d.txt is binary",
    ]
    assert set(found.problems) == {"empty", "format"}


def test_what_is_in_documents(tmp_path: Path) -> None:
    (tmp_path / "all.jsonl").write_text(
        "\n".join(
            f'{{"text": "{text}"}}'
            for text in [
                "a",
                "",
                " \\n",
                "b",
                "a",
                "CafÃ© dÃ©jÃ  vu, naÃ¯ve",
                "lost \ufffd here",
                "bell \\u0007",
                "a\\r\\nb",
                "\\ud83d",
            ]
        ),
        "utf-8",
    )
    (tmp_path / "giant.txt").write_text("word " * (GIANT // 5 + 1))
    found = examine([str(tmp_path)])
    places = {kind: (problem.count, problem.places) for kind, problem in found.problems.items()}
    line = f"{tmp_path}/all.jsonl:"
    assert places["empty"] == (2, [f"{line}2", f"{line}3"])
    assert places["copies"] == (1, [f"{line}5"])
    assert places["garbled"][1][0].startswith(f"{line}6: Ã© Ã© Ã")
    assert places["replaced"] == (1, [f"{line}7: 1 of them"])
    assert places["control"] == (1, [f"{line}8"])
    assert places["giant"][0] == 1
    assert places["halves"] == (1, [f"{line}10"])
    assert set(places) == {"halves", "empty", "copies", "garbled", "replaced", "control", "giant"}


def test_every_problem_has_a_way_out() -> None:
    source = Path(__file__).parents[2] / "src" / "linnet" / "data" / "examine.py"
    named = [line.split('found.add("')[1].split('"')[0] for line in source.read_text().splitlines() if 'found.add("' in line]
    assert set(named) == set(WAYS_OUT)


def test_garbled_text_is_told_from_text_with_marks() -> None:
    for right in ("Übermut – Ârger, à l’été, São, Ãgua", "“quoted” … it’s", "naïve café, déjà vu"):
        assert not GARBLED.findall(right)
        assert len(GARBLED.findall(right.encode().decode("cp1252", "replace"))) > 2


def test_near_copies_are_found_beside_what_they_are_like(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    story = " ".join(f"word{number}" for number in range(60))
    texts = [story, "Something else.", f"{story} The end.", story, "Another thing altogether."]
    content = "\n<|endoftext|>\n".join(texts).encode()
    for together in (1, 2**21):  # signed one by one, and all at once
        monkeypatch.setattr(examining, "TOGETHER", together)
        problems = found_in(tmp_path, a_txt=content).problems
        assert {kind: problem.count for kind, problem in problems.items()} == {"copies": 1, "near": 1}
        assert problems["near"].places == [f"{tmp_path}/a.txt#2: like {tmp_path}/a.txt#0"]
    monkeypatch.setattr(examining, "NEAR_MOST", 2)
    assert set(found_in(tmp_path, a_txt=content).problems) == {"copies"}


def test_conversations_are_documents_of_their_words(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]
    rows = [{"messages": turns}, {"messages": 3}, {"messages": [*turns, *turns]}, {"messages": turns}]
    found = found_in(tmp_path, a_jsonl="".join(json.dumps(row) + "\n" for row in rows).encode())
    assert (found.documents, found.characters) == (3, 8 + 17 + 8)
    assert {kind: problem.places for kind, problem in found.problems.items()} == {
        "format": [f"{tmp_path}/a.jsonl, line 2: its 'messages' is a number; needed: a list of turns with role and content"],
        "copies": [f"{tmp_path}/a.jsonl, line 4"],
    }
    pair = {"prompt": "Which?", "chosen": "this", "rejected": "that"}
    pairs = [pair, pair | {"rejected": "neither"}]  # which teach the same
    found = found_in(tmp_path / "new", a_jsonl="".join(json.dumps(each) + "\n" for each in pairs).encode())
    assert (found.characters, found.problems["copies"].count) == (2 * len("Which?\nthis"), 1)


REFUSED: dict[str, object] = {
    "nothing to learn": {"messages": [{"role": "user", "content": "x"}]},
    "an empty chosen": {"prompt": "x", "chosen": " ", "rejected": "y"},
    "an empty prompt": {"prompt": "", "chosen": "x", "rejected": "y"},
    "half a character": {"messages": [{"role": "user", "content": "\ud83d"}, {"role": "assistant", "content": "x"}]},
    "a tool": {
        "messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y", "function_call": {"name": "f"}}]
    },
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_the_doctor_refuses_conversations_that_preparing_refuses(tmp_path: Path, name: str, kind: str) -> None:
    record = REFUSED[name]
    assert isinstance(record, dict)
    good = {key: "x" if isinstance(value, str) else [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]
            for key, value in record.items()}  # fmt: skip
    rows = [good, record]
    content = "".join(json.dumps(row) + "\n" for row in rows) if kind == "jsonl" else as_csv(rows)
    found = found_in(tmp_path, **{f"a_{kind}": content.encode()})
    with pytest.raises(DataError) as refused:
        list(Conversations(path=str(tmp_path)).documents())
    assert found.problems["format"].places == [str(refused.value).split("; try: ")[0]]


def test_a_folder_of_conversations_and_texts(tmp_path: Path) -> None:
    talk = json.dumps({"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]}).encode()
    found = found_in(tmp_path, a_jsonl=talk, b_jsonl=b'{"text": "z"}', c_txt=b"w")
    assert found.documents == 3
    assert found.problems["mixed"].places == [
        f"{tmp_path} holds conversations ({tmp_path}/a.jsonl) and texts ({tmp_path}/b.jsonl)"
    ]


LINES = [b'{"text": "one"}', b'{"content": "two"}', b'{"text": 3}', b'{"text": "a\\u0000b"}', b"[1]", b"", b'{"text": "\0"}']


@given(st.lists(st.sampled_from(LINES), min_size=1, max_size=6))
@settings(max_examples=60, deadline=None)
def test_the_doctor_refuses_what_reading_refuses(lines: list[bytes]) -> None:
    """A .jsonl has a problem of format where reading it ends with an error, and the first one is that."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "a.jsonl"
        file.write_bytes(b"\n".join(lines))
        problem = examine([str(file)]).problems.get("format")
        if problem is None:
            list(read_file(file, Options()))
            return
        with pytest.raises(DataError) as refused:
            list(read_file(file, Options()))
        assert problem.places[0].split("; ")[0] == str(refused.value).split("; ")[0].replace(f"{file}:", f"{file}, line ")


def test_one_damaged_place_is_no_other_encoding(tmp_path: Path) -> None:
    """Advice to read good UTF-8 as cp1252 would ruin every letter beyond ASCII."""
    text = "Ein großer Vogel singt, élan, Ærø, São Tomé.\n<|endoftext|>\nUnd noch ein schöner Satz.\n".encode()
    found = found_in(tmp_path, a_txt=text.replace("Ærø".encode(), b"\xc3r\xc3\xb8"))
    assert set(found.problems) == {"damaged"}
    assert found.documents == 2
    assert "no other encoding" in WAYS_OUT["damaged"]

"""linnet tokenizer: each verb on a vocabulary of its own making."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import pytest

import tiny_run
from linnet.report.tokens import as_html, visible
from linnet.tokenizer import load_tokenizer

TEXT = "the cat sat on the mat, the cat; naïve 😀\n" * 20


@pytest.fixture
def made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    (tmp_path / "cat.txt").write_text(TEXT, "utf-8")
    out = tmp_path / "tokenizer.json"
    code, said, err = tiny_run.linnet(
        capsys, "tokenizer", "train", tmp_path / "cat.txt", "--vocab-size", "270", "--special", "<|user|>", "--out", out
    )
    assert (code, err) == (0, "")
    assert "270 ids, of them special: <|endoftext|>, <|user|>" in said
    return out


def test_there_and_back(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tokenizer = load_tokenizer(made)
    _, ids, _ = tiny_run.linnet(capsys, "tokenizer", "encode", made, "the cat 😀")
    assert [int(word) for word in ids.split()] == tokenizer.encode("the cat 😀")
    assert tokenizer.decode([int(word) for word in ids.split()]) == "the cat 😀"
    _, ids, _ = tiny_run.linnet(capsys, "tokenizer", "encode", made, "<|user|>", "--special", "token")
    assert ids == f"{tokenizer.special['<|user|>']}\n"
    code, _, err = tiny_run.linnet(capsys, "tokenizer", "encode", made, "cat<|user|>", "--special", "refuse")
    assert (code, "'<|user|>' in a text, at character 3" in err) == (2, True)
    assert tiny_run.linnet(capsys, "tokenizer", "encode", made, "a cat", "--special", "refuse")[0] == 0


@pytest.mark.parametrize("content", [b"the cat \xf0\x9f\x98\x80 sat", b"ends a line\r\n", b"\n", b"", b"a\0b\t\n\n"])
def test_exactly_the_bytes_come_back(
    content: bytes, made: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def piped(verb: str, given: bytes) -> bytes:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given), "utf-8"))
        code, out, err = tiny_run.linnet(capsys, "tokenizer", verb, made, "-")
        assert (code, err) == (0, "")
        return out.encode()

    ids = piped("encode", content)
    assert piped("decode", ids) == content
    monkeypatch.setattr(type(sys.stdout), "isatty", lambda self: True)  # where a prompt follows
    assert piped("decode", ids) == content + b"\n"


def test_into_other_formats_and_back(made: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    def convert(*words: str | Path) -> str:
        code, out, err = tiny_run.linnet(capsys, "tokenizer", "convert", *words)
        assert (code, err) == (0, ""), err
        return out

    tokenizer = load_tokenizer(made)
    said = convert(made, tmp_path / "a.tiktoken")
    assert said.startswith(f"{tmp_path / 'a.tiktoken'}  270 ids\n")
    assert "(--pattern gpt4), and the special tokens <|endoftext|> = 268, <|user|> = 269\n" in said
    assert convert(tmp_path / "a.tiktoken", tmp_path / "b.json", "--pattern", "gpt4") == f"{tmp_path / 'b.json'}  269 ids\n"
    assert load_tokenizer(tmp_path / "b.json").encode(TEXT) == tokenizer.encode(TEXT)

    tiny_run.linnet(
        capsys,
        "tokenizer",
        "train",
        tmp_path / "cat.txt",
        "--vocab-size",
        "270",
        "--pattern",
        "gpt2",
        "--out",
        tmp_path / "g.json",
    )
    convert(tmp_path / "g.json", tmp_path / "gpt2")
    assert sorted(path.name for path in (tmp_path / "gpt2").iterdir()) == ["encoder.json", "vocab.bpe"]
    convert(tmp_path / "gpt2", tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "g.json").read_bytes()


def test_a_text_in_colors(made: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    _, out, _ = tiny_run.linnet(capsys, "tokenizer", "show", made, "the cat")
    tokenizer = load_tokenizer(made)
    assert f"{len(tokenizer.encode('the cat'))} tokens, 7 bytes" in out
    page = tmp_path / "page.html"
    tiny_run.linnet(capsys, "tokenizer", "show", made, "the <cat>", "--html", page)
    written = page.read_text("utf-8")
    assert "&lt;" in written
    assert "http" not in written
    assert written.count("<span") == len(tokenizer.encode("the <cat>"))


def test_what_is_seen_of_a_token() -> None:
    assert visible(["naï".encode(), b"ve"]) == ["naï", "ve"]
    assert visible([b"\xf0\x9f", b"\x98\x80!"]) == ["⟨f0⟩⟨9f⟩", "⟨98⟩⟨80⟩!"]
    assert visible([b"a\xff", b"\xc3\xa9"]) == ["a⟨ff⟩", "é"]
    assert visible([]) == []
    assert "id 7: 3c" in as_html([7], [b"<"], ["#fff"])


def test_vocabularies_side_by_side(made: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    tiny_run.linnet(capsys, "tokenizer", "train", tmp_path / "cat.txt", "--vocab-size", "258", "--out", tmp_path / "b.json")
    code, out, _ = tiny_run.linnet(capsys, "tokenizer", "compare", made, tmp_path / "b.json", "--text", tmp_path / "cat.txt")
    assert code == 0
    assert f"{len(load_tokenizer(made).encode(TEXT)):,}" in out
    assert f"on {len(TEXT.encode()):,} bytes, {len(TEXT.split()):,} words" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("decode", "MADE", "1", "x"), "the id 'x'"),
        (("decode", "MADE", "999999"), "the id 999999"),
        (("decode", "MADE", "9" * 5000), "the id '9999"),
        (("encode", "MADE", os.fsdecode(b"a\xff\xedb")), "byte 0xff at place 1 of the text; needed: text in UTF-8"),
        (("show", "MADE", os.fsdecode(b"\xc3")), "byte 0xc3 at place 0 of the text"),
        (("encode", "nowhere.json", "a"), "does not exist"),
        (("encode", "MADE", "a", "--pattern", "gtp4"), "did you mean 'gpt4'"),
        (("encode", "MADE", "a", "--special", "tokne"), "did you mean 'token'"),
        (("compare", "MADE", "--text", "stories"), "two or more to compare"),
        (("compare", "MADE", "MADE", "--text", "stories"), "two or more to compare"),
        (("convert", "MADE", "MADE"), "exists already"),
        (("convert", "MADE", "new.model"), "an ending that says the format: .json, .tiktoken, or none"),
        (("convert", "MADE", "new"), "text is split by gpt4"),
        (("convert", "MADE", "o200k_base.tiktoken"), "whose name says that text is split by o200k"),
        (("train", "nowhere", "--out", "new.json"), "nowhere does not exist"),
        (("train", "MADE/../cat.txt", "--out", "MADE"), "exists already"),
        (("train", "MADE/../cat.txt", "--vocab-size", "100", "--out", "new.json"), "tokenizer.vocab_size: got 100"),
        (("train", "MADE/../cat.txt", "--special", "<|endoftext|>", "--out", "new.json"), "twice"),
    ],
)
def test_refusals(
    words: tuple[str, ...], message: str, made: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(made.parent)
    filled = [word.replace("MADE/../", f"{made.parent}/").replace("MADE", str(made)) for word in words]
    code, out, err = tiny_run.linnet(capsys, "tokenizer", *filled)
    assert code == 2, (out, err)
    assert message in err
    assert not list(made.parent.glob("new*"))
    assert not list(made.parent.glob("*.tiktoken"))


def test_ranks_need_a_pattern_unless_their_name_says_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import base64

    lines = [f"{base64.b64encode(bytes([byte])).decode()} {byte}" for byte in range(256)]
    for name in ("mine.tiktoken", "qwen.tiktoken", "cl100k_base.tiktoken"):
        (tmp_path / name).write_text("\n".join(lines))
    assert tiny_run.linnet(capsys, "tokenizer", "encode", tmp_path / "qwen.tiktoken", "a")[1] == "97\n"
    code, _, err = tiny_run.linnet(capsys, "tokenizer", "encode", tmp_path / "cl100k_base.tiktoken", "a")
    assert code == 2
    assert "256 ranks where the file of that name has 100,256" in err
    assert tiny_run.linnet(capsys, "tokenizer", "encode", tmp_path / "mine.tiktoken", "a", "--pattern", "gpt2")[1] == "97\n"
    code, _, err = tiny_run.linnet(capsys, "tokenizer", "encode", tmp_path / "mine.tiktoken", "a")
    assert code == 2
    assert "says no splitting pattern" in err

"""linnet data: each verb on files of its own making."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

import tiny_run
from linnet.core.errors import DataError
from linnet.data.samples import samples
from linnet.tokenizer.simple import ByteTokenizer

TURNS = {"messages": [{"role": "user", "content": "Who sings?"}, {"role": "assistant", "content": "A linnet."}]}
PAIR = {"prompt": "Who sings?", "chosen": "A linnet.", "rejected": "Nobody."}


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    ByteTokenizer().save(tmp_path / "tokenizer.json")
    return tmp_path / "tokenizer.json"


def write(path: Path, *records: object) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
    return path


def test_doctor(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chats = write(tmp_path / "a.jsonl", {"text": "one"}, {"text": "one"}, {"body": 2})
    code, out, _ = tiny_run.linnet(capsys, "data", "doctor", chats)
    assert code == 1
    assert "1 file, 2 documents, 6 characters" in out
    assert "copies  1" in out
    assert "a.jsonl, line 3" in out
    assert out.count("try: ") == 2
    code, out, _ = tiny_run.linnet(capsys, "data", "doctor", write(tmp_path / "b.jsonl", {"text": "one"}))
    assert (code, "nothing is wrong" in out) == (0, True)
    code, _, err = tiny_run.linnet(capsys, "data", "doctor", tmp_path / "none")
    assert (code, "does not exist" in err) == (2, True)


def test_show(tmp_path: Path, tokenizer: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chats = write(tmp_path / "a.jsonl", TURNS, TURNS, TURNS, TURNS)
    code, out, err = tiny_run.linnet(capsys, "data", "show", chats, "--tokenizer", tokenizer, "-n", "2")
    assert (code, err) == (0, "")
    assert out.count("a.jsonl, line") == 2
    assert "messages, 39 tokens, 10 of them learned" in out
    assert "Assistant:⏎\nA linnet.<|endoftext|>" in out
    text = tmp_path / "b.txt"
    text.write_text("plain words", "utf-8")
    assert "document, 12 tokens, 12 of them learned" in tiny_run.linnet(capsys, "data", "show", text, "-t", tokenizer)[1]
    code, _, err = tiny_run.linnet(capsys, "data", "show", chats, "-t", tokenizer, "--template", "chatml")
    assert (code, "<|im_start|>" in err) == (2, True)
    code, _, err = tiny_run.linnet(capsys, "data", "show", chats, "-t", tokenizer, "--template", "chatmk")
    assert (code, "chatml" in err) == (2, True)


def test_show_with_ranks_that_say_no_pattern(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What the refusal says to try works."""
    ranks = tmp_path / "mine.tiktoken"
    ranks.write_text("".join(f"{base64.b64encode(bytes([byte])).decode()} {byte}\n" for byte in range(256)))
    text = tmp_path / "b.txt"
    text.write_text("plain words", "utf-8")
    code, _, err = tiny_run.linnet(capsys, "data", "show", text, "-t", ranks)
    assert (code, "says no splitting pattern" in err, "try: --pattern gpt4" in err) == (2, True, True)
    code, out, _ = tiny_run.linnet(capsys, "data", "show", text, "-t", ranks, "--pattern", "gpt4")
    assert (code, "document, 12 tokens, 12 of them learned" in out) == (0, True)
    code, _, err = tiny_run.linnet(capsys, "data", "show", text, "-t", ranks, "--pattern", "gtp4")
    assert (code, "did you mean 'gpt4'" in err) == (2, True)


def test_what_is_learned_of_each_form(tmp_path: Path) -> None:
    tokenizer = ByteTokenizer()
    pairs = write(tmp_path / "pairs.jsonl", PAIR)
    found = list(samples([str(pairs)], tokenizer, 9))
    assert [sample.form for sample in found] == ["chosen", "rejected"]
    said = [tokenizer.decode([token for token, weight in zip(s.ids, s.weights) if weight]) for s in found]
    assert said == ["A linnet.<|endoftext|>", "Nobody.<|endoftext|>"]
    texts = write(tmp_path / "texts.jsonl", {"body": "one", "instruction": "x", "output": "y"})
    assert next(samples([str(texts)], tokenizer, 1, text="body")).form == "document"
    broken = write(tmp_path / "broken.jsonl", TURNS, {"messages": [{"role": "user"}]})
    with pytest.raises(DataError, match=r"broken\.jsonl, line 2, turn 1"):
        list(samples([str(broken)], tokenizer, 9))


def test_card(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tiny_run.trained_copy(tmp_path / "run")
    code, out, _ = tiny_run.linnet(capsys, "data", "card", run, "--verify")
    assert code == 0
    assert out.startswith("# Data card")
    page = tmp_path / "card.html"
    tiny_run.linnet(capsys, "data", "card", run, "--html", page)
    written = page.read_text("utf-8")
    assert "<h1>Data card</h1>" in written
    assert "http" not in written
    assert written.count("<tr>") == out.count("\n| ") - 1
    [shard] = (run / "data").glob("*/train/*.00000.bin")
    shard.write_bytes(shard.read_bytes()[:-2] + b"\0\0")
    code, _, err = tiny_run.linnet(capsys, "data", "card", run, "--verify")
    assert (code, "has changed" in err) == (2, True)
    code, _, err = tiny_run.linnet(capsys, "data", "card", tmp_path)
    assert (code, "card.json" in err) == (2, True)

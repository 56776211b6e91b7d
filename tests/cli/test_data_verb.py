"""linnet data: each verb on files of its own making."""

from __future__ import annotations

import base64
import json
from itertools import pairwise
from pathlib import Path

import pytest

import tiny_run
from linnet.cli.data import template_beside
from linnet.core.errors import DataError
from linnet.core.spec import load
from linnet.data.prepare import prepare
from linnet.data.samples import samples
from linnet.data.spec import DataSpec
from linnet.language_model import LanguageModel
from linnet.model import Network
from linnet.tokenizer.chat import ChatML, ChatTemplate, Plain
from linnet.tokenizer.simple import ByteTokenizer, byte_tokenizer
from linnet.zoo import Family

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
    code, out, err = tiny_run.linnet(capsys, "data", "show", chats, "--tokenizer", tokenizer, "-n", "2", "--template", "plain")
    assert (code, err) == (0, "")
    assert out.count("a.jsonl, line") == 2
    assert "messages, 39 tokens, 10 of them learned" in out
    assert "Assistant:⏎\nA linnet.<|endoftext|>" in out
    text = tmp_path / "b.txt"
    text.write_text("plain words", "utf-8")
    assert "document, 12 tokens, 12 of them learned" in tiny_run.linnet(capsys, "data", "show", text, "-t", tokenizer)[1]
    code, _, err = tiny_run.linnet(capsys, "data", "show", chats, "-t", tokenizer)  # chatml, as training would write them
    assert (code, "--special '<|im_start|>'" in err, "the template plain" in err) == (2, True, True)
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
    before = [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Yes?"}, {"role": "user", "content": "Who?"}]
    pairs = write(tmp_path / "pairs.jsonl", PAIR, PAIR | {"prompt": before})
    found = list(samples([str(pairs)], tokenizer, 9, template=Plain()))
    assert [sample.form for sample in found] == ["preference", "preference"]
    said = [tokenizer.decode([token for token, weight in zip(s.ids, s.weights) if weight]) for s in found]
    assert said == ["A linnet.<|endoftext|>", "Yes?<|endoftext|>A linnet.<|endoftext|>"]  # answers before are learned, too
    texts = write(tmp_path / "texts.jsonl", {"body": "one", "instruction": "x", "output": "y"})
    assert next(samples([str(texts)], tokenizer, 1, text="body")).form == "document"
    broken = write(tmp_path / "broken.jsonl", TURNS, {"messages": [{"role": "user"}]})
    with pytest.raises(DataError, match=r"broken\.jsonl, line 2, turn 1"):
        list(samples([str(broken)], tokenizer, 9, template=Plain()))


@pytest.mark.parametrize("template", [ChatML(), Plain(user="Q"), None])
def test_what_is_shown_is_what_is_trained_on(
    tmp_path: Path, template: ChatTemplate | None, capsys: pytest.CaptureFixture[str]
) -> None:
    """As the run writes conversations whose tokenizer it is; ids and mask are those on disk."""
    chats = write(tmp_path / "a.jsonl", *[talk_of(number) for number in range(9)])
    tokenizer = byte_tokenizer(ChatML().special_names())
    spec = load(DataSpec, {"sources": [{"kind": "conversations", "path": str(chats), "template": template or ChatML()}]})
    prepared = prepare(spec, tokenizer, tmp_path / "out")
    model = {"kind": "linnet", "n_layers": 1, "n_heads": 1, "d_model": 8}
    net = Network(load(Family, model).sentence(tokenizer.vocab_size), seed=0)  # type: ignore[type-abstract]
    LanguageModel.assemble(net, tokenizer, context_length=8, template=template).save(tmp_path / "model")
    assert template_beside(tmp_path / "model") == template_beside(tmp_path / "model" / "tokenizer.json") == template
    found = {(tuple(s.ids), tuple(s.weights)) for s in samples([str(chats)], tokenizer, 9, template=template)}
    on_disk = {
        (tuple(stream.read(first, last).tolist()), tuple(stream.learned(first, last).astype(int).tolist()))
        for split in (prepared.train, prepared.validation)
        for stream in split.streams
        for first, last in pairwise(stream.starts.tolist())
    }
    assert found == on_disk
    code, out, err = tiny_run.linnet(capsys, "data", "show", chats, "-t", tmp_path / "model", "-n", "1")
    assert (code, err, out.count("<|endoftext|>")) == (0, "", 1)
    assert ("Q:" in out) == isinstance(template, Plain)


def talk_of(number: int) -> dict[str, object]:
    """A conversation, different for each number."""
    return {"messages": [{"role": "user", "content": f"Who is {number}?"}, {"role": "assistant", "content": f"Bird {number}."}]}


def test_what_else_a_file_could_be_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    both = write(tmp_path / "a.jsonl", {"instruction": "x", "output": "y", "text": "z"})
    out = tiny_run.linnet(capsys, "data", "show", both)[1]
    assert ("alpaca" in out, "--text text shows its texts" in out) == (True, True)
    out = tiny_run.linnet(capsys, "data", "show", both, "--text", "text")[1]
    assert ("document" in out, "z" in out, "shows its texts" in out) == (True, True, False)


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

"""Training on conversations: the loss is that of what is learned, by hand; and a model that was taught some can be talked to."""

from __future__ import annotations

import io
import json
import math
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import linnet
import tiny_run
from linnet.asked import asked_of
from linnet.command import evaluate_run
from linnet.core.errors import CheckpointError, DataError, LinnetError, TokenizerError
from linnet.core.spec import load
from linnet.data.loader import PackedBatches, evaluation_batches
from linnet.data.prepare import prepare
from linnet.data.prepared import Prepared
from linnet.data.spec import DataSpec
from linnet.evaluate.ngram import KneserNey
from linnet.generate.decode import Decoder
from linnet.generate.generate import Piece
from linnet.interop.native import seal
from linnet.language_model import LanguageModel, begins_with_space, lately
from linnet.model import Network
from linnet.model.training_programs import TrainingPrograms
from linnet.objective.next_token import NextToken
from linnet.tokenizer import load_tokenizer
from linnet.tokenizer.chat import ChatML, ChatTemplate, Plain, Turn
from linnet.tokenizer.simple import ByteTokenizer, byte_tokenizer
from linnet.train import run
from linnet.train.evaluation import final_metrics, measure_yardsticks
from linnet.train.resume import prepared_before
from linnet.train.sample import opening
from linnet.train.settle import settle
from linnet.train.spec import RunSpec
from linnet.zoo import Family

BYTES = byte_tokenizer(ChatML().special_names())
MODEL = {"kind": "linnet", "n_layers": 2, "n_heads": 2, "d_model": 16, "context_length": 48}
BIRDS = ("linnet", "wren", "robin", "finch")


def write_chats(path: Path, count: int = 60) -> Path:
    """Questions about birds, and answers that follow from them."""
    with open(path, "w") as file:
        for number in range(count):
            bird = BIRDS[number % 4]
            said = [("user", f"Who is {number}?"), ("assistant", f"A {bird}."), ("user", "Why?"), ("assistant", f"{bird}s sing.")]
            file.write(json.dumps({"messages": [{"role": role, "content": content} for role, content in said]}) + "\n")
    return path


def chat_run(path: Path, **changes: Any) -> dict[str, Any]:
    """The table of a tiny run on a file of conversations."""
    data = {"sources": [{"kind": "conversations", "path": str(path)}], "validation": 0.15}
    return tiny_run.tiny(data=data, model=MODEL, train__steps=24, train__batch_size=6, validation__every=8, **changes)


@pytest.fixture
def prepared(tmp_path: Path) -> Prepared:
    """Conversations and a text."""
    (tmp_path / "text.txt").write_text("\n<|endoftext|>\n".join(f"A story of {number} birds." for number in range(40)))
    talks = {"kind": "conversations", "path": str(write_chats(tmp_path / "chats.jsonl"))}
    spec = load(DataSpec, {"sources": [talks, {"kind": "files", "path": str(tmp_path / "text.txt")}]})
    return prepare(spec, BYTES, tmp_path / "prepared")


def network() -> Network:
    return Network(load(Family, MODEL).sentence(BYTES.vocab_size), seed=1)  # type: ignore[type-abstract]


def by_hand(net: Network, prepared: Prepared) -> float:
    """The mean -log p of learned targets, one conversation or text after the other: each target asked for by itself."""
    total, count = 0.0, 0
    for stream in prepared.validation.streams:
        for start, stop in pairwise(stream.starts.tolist()):
            ids, learned = stream.read(start, stop).astype(np.int64).tolist(), stream.learned(start, stop)
            with torch.no_grad():
                logits = net.logits(net(torch.tensor([ids[:-1]])).hidden)[0].double()  # (T, V)
            for place in range(1, len(ids)):
                if learned[place]:
                    total -= float(logits[place - 1, ids[place]] - logits[place - 1].exp().sum().log())
                    count += 1
    return total / count


@pytest.mark.parametrize("programs", [False, True])
def test_the_loss_is_that_of_learned_targets_by_hand(prepared: Prepared, programs: bool) -> None:
    """Also where the Rust programs compute it, and however the batch is cut."""
    net = network()
    net.programs = TrainingPrograms() if programs else None
    batch = PackedBatches(prepared.train, context_length=48, batch_size=6, seed=0).next_batch()
    loss = NextToken()(net, batch)
    with torch.no_grad():
        logits = net.logits(net(batch.tokens, documents=batch.documents).hidden).double().log_softmax(-1)
    picked = [
        -float(logits[row, place, batch.targets[row, place]])
        for row in range(6)
        for place in range(48)
        if batch.weights[row, place] > 0
    ]
    assert 0 < len(picked) < 6 * 48
    assert int(NextToken().count(batch)) == len(picked)
    assert float(loss.total.detach()) == pytest.approx(sum(picked), rel=1e-5)
    loss.total.backward()
    whole = [parameter.grad.clone() for parameter in net.parameters() if parameter.grad is not None]
    net.zero_grad()
    swapped = batch.targets.masked_fill(batch.weights == 0, 7)  # what is not learned may be anything
    NextToken()(net, type(batch)(batch.tokens, swapped, batch.weights, batch.documents)).total.backward()
    for one, other in zip(whole, [p.grad for p in net.parameters() if p.grad is not None]):
        assert torch.equal(one, other)


def test_the_validation_loss_weighs_learned_tokens_and_learned_bytes_only(prepared: Prepared) -> None:
    net = network().eval()
    split = prepared.validation
    texts = [text for stream in split.streams for text in prepared.learned_texts(stream)]
    scored = final_metrics(net, prepared.drawn_by(prepared.spec.replace(rows="documents")), 400, document_mask=True)
    nats = sum(float(batch.weights.sum()) for batch in evaluation_batches(split, 400, 4))
    # the first token of each document but the very first is scored too: of a conversation it is never learned, of a text it is
    assert scored.n_tokens == nats == split.n_learned
    assert scored.n_bytes == split.learned_bytes == sum(len(text.replace(b"\n", b"")) for text in texts)
    assert scored.n_words == sum(len(text.split()) for text in texts)
    assert scored.bits_per_byte is not None
    assert scored.bits_per_byte.value == pytest.approx(
        scored.nats_per_token.value * scored.n_tokens / (math.log(2) * scored.n_bytes)
    )
    assert split.bits_per_byte(scored.nats_per_token.value) == pytest.approx(scored.bits_per_byte.value)


def test_the_validation_loss_by_hand(tmp_path: Path) -> None:
    spec = load(DataSpec, {"sources": [{"kind": "conversations", "path": str(write_chats(tmp_path / "chats.jsonl"))}]})
    prepared, net = prepare(spec, BYTES, tmp_path / "prepared"), network().eval()
    scored = final_metrics(net, prepared.drawn_by(spec.replace(rows="documents")), 400, document_mask=True)
    assert scored.nats_per_token.value == pytest.approx(by_hand(net, prepared), rel=1e-5)


def test_yardsticks_are_scored_on_the_same_tokens_or_left_out(prepared: Prepared) -> None:
    rows = measure_yardsticks(prepared)
    assert [row["name"] for row in rows] == ["unigram", "5-gram"]
    assert all("for which xz has no number" in row["note"] for row in rows)
    train, valid = (
        np.concatenate([s.read(0, s.tokens) for s in split.streams]) for split in (prepared.train, prepared.validation)
    )
    mask = np.concatenate([stream.learned(0, stream.tokens) for stream in prepared.validation.streams])
    costs = KneserNey(train.astype(np.int64), BYTES.vocab_size, 5, BYTES.end_id).nats(valid.astype(np.int64))
    assert rows[1]["nats_per_token"] == pytest.approx(costs[mask].mean())
    assert rows[1]["bits_per_byte"] == pytest.approx(costs[mask].sum() / math.log(2) / prepared.validation.learned_bytes)


@pytest.fixture(scope="module")
def talked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a second on conversations."""
    folder = tmp_path_factory.mktemp("chat")
    tiny_run.go(folder / "run", chat_run(write_chats(folder / "chats.jsonl")))
    return folder / "run"


def test_a_run_on_conversations_can_be_talked_to(talked: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = linnet.load(talked)
    assert model.manifest.template == {"kind": "chatml"}
    turns = [Turn("user", "Who is 3?")]
    reply = model.chat(turns, max_tokens=12)
    assert reply == model.chat("Who is 3?", max_tokens=12) == "".join(model.stream_chat([("user", "Who is 3?")], max_tokens=12))
    assert "<|im_" not in reply
    assert model.chat([*turns, ("assistant", reply), ("user", "Why?")], max_tokens=3, temperature=0) is not None
    with pytest.raises(DataError, match="a reply after the assistant's own turn"):
        model.chat([*turns, ("assistant", "x")])
    code, out, err = tiny_run.linnet(capsys, "chat", talked, "Who is 3?", "--max-tokens", "12")
    assert (code, out, err) == (0, reply + "\n", "")
    events = [json.loads(line) for line in (talked / "metrics.jsonl").read_text().splitlines()]
    samples = [event for event in events if event["event"] == "sample"]
    assert samples[0]["prompt"].startswith("<|im_start|>user\nWho is")
    assert samples[0]["prompt"].endswith("<|im_start|>assistant\n")
    scores = evaluate_run(talked)
    assert scores["model"]["nats_per_token"]["value"] == pytest.approx(
        json.loads((talked / "evaluation.json").read_text())["model"]["nats_per_token"]["value"]
    )
    (talked.parent / "other.txt").write_text("Who sings? " * 9)
    assert {row["name"] for row in evaluate_run(talked, talked.parent / "other.txt")["yardsticks"]} >= {"xz", "5-gram"}


def piped(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    """Bytes on standard input, as Python opens it where it does not insist on UTF-8."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content), "utf-8", errors="surrogateescape"))


def test_the_history_is_kept(talked: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    heard: list[list[Turn]] = []
    right = LanguageModel.stream_chat

    def listen(self: LanguageModel, turns: list[Turn], **options: Any) -> Any:
        heard.append(list(turns))
        return right(self, turns, **options)

    piped(monkeypatch, b"Who is 3?\nWhy?")
    monkeypatch.setattr(LanguageModel, "stream_chat", listen)
    code, out, _ = tiny_run.linnet(capsys, "chat", talked, "--system", "Be brief.", "--max-tokens", "4")
    assert code == 0
    first, second = heard
    assert first == [Turn("system", "Be brief."), Turn("user", "Who is 3?")]
    assert second == [*first, Turn("assistant", second[2].content), Turn("user", "Why?")]
    assert second[2].content in out


def test_a_reply_stops_at_the_mark(talked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even where the next token after it would be likely: no turn of anybody else is written."""
    model = linnet.load(talked)
    mark = model.tokenizer.special["<|im_end|>"]
    with torch.no_grad():
        monkeypatch.setattr(
            model.network,
            "logits",
            lambda hidden: (
                torch.nn.functional.one_hot(torch.full(hidden.shape[:-1], mark), model.tokenizer.vocab_size).float() * 99
            ),
        )
        monkeypatch.setattr("linnet.generate.decode.one_token", lambda *args: None)
        assert model.chat("Who?", temperature=0, max_tokens=50) == ""


def test_what_was_said_first_is_left_out_where_there_is_no_room() -> None:
    template = ChatML()
    turns = (
        [Turn("system", "S")]
        + [Turn(role, f"{role} {n}") for n in range(9) for role in ("user", "assistant")]
        + [Turn("user", "last")]
    )  # type: ignore[arg-type]
    whole = template.render(BYTES, turns, reply=True).ids
    assert lately(template, BYTES, turns, len(whole)) == whole
    some = lately(template, BYTES, turns, len(whole) // 2)
    assert len(some) <= len(whole) // 2
    text = BYTES.decode(some)
    assert text.startswith("<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nuser ")
    assert text.endswith("last<|im_end|>\n<|im_start|>assistant\n")
    assert (
        BYTES.decode(lately(template, BYTES, turns, 1)).count("<|im_start|>") == 3
    )  # the system's turn, the question, the reply


@pytest.mark.parametrize("template", [ChatML(), Plain()])
@pytest.mark.parametrize("system", [True, False])
def test_what_is_left_of_a_conversation_is_what_its_last_exchanges_render_to(
    template: ChatTemplate, system: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns = [Turn("system", "Be brief.")] * system
    for number in range(7):
        turns += [Turn("user", f"Who {number}? " * (number % 3 + 1)), Turn("assistant", "A linnet. " * (number % 4 + 1))]
    turns.append(Turn("user", "And last?"))
    head, said = turns[:system], turns[system:]
    left = [template.render(BYTES, [*head, *said[at:]], reply=True).ids for at in range(0, len(said), 2)]
    renders = []
    right = type(template).render
    monkeypatch.setattr(type(template), "render", lambda *args, **more: renders.append(1) or right(*args, **more))
    for room in {1, *(len(ids) + more for ids in left for more in (-1, 0, 1))}:
        assert lately(template, BYTES, turns, room) == next((ids for ids in left if len(ids) <= room), left[-1])
        assert len(renders) == 1, "however many exchanges are left out"
        renders.clear()


def test_what_is_read_over_and_over_is_noticed_where_rows_are_passed_over(tmp_path: Path) -> None:
    """Counted in all tokens it is less than a pass."""
    with open(tmp_path / "long.jsonl", "w") as file:
        for number in range(400):
            said = [("user", f"{number} " + "long question " * 90), ("assistant", f"A {BIRDS[number % 4]}.")]
            file.write(json.dumps({"messages": [{"role": role, "content": content} for role, content in said]}) + "\n")
    table = {"sources": [{"kind": "conversations", "path": str(tmp_path / "long.jsonl")}]}
    prepared = prepare(load(DataSpec, table), BYTES, tmp_path / "prepared")
    asked = {"data": table, "train": {"steps": 400, "batch_size": 8, "context_length": 64}, "model": {"kind": "linnet"}}
    spec, said_of_it = load(RunSpec, asked), list[str]()
    assert prepared.train.tokens > 400 * 8 * 64
    told = {"precision": None, "began": 0.0, "peak_flops": 1.0, "say": said_of_it.append}
    settled = settle(spec, asked, prepared, **told)  # type: ignore[arg-type]
    assert settled.model.dropout > 0  # type: ignore[attr-defined]
    assert re.search(r"the text is read [4-9]\.\d times", said_of_it[0])


def one_letter(model: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a model write one letter, for ever."""
    letter = model.tokenizer.encode("a")[0]
    always = torch.nn.functional.one_hot(torch.tensor([letter]), model.tokenizer.vocab_size).float() * 99
    monkeypatch.setattr(model.network, "logits", lambda hidden: always.expand(*hidden.shape[:-1], -1))
    monkeypatch.setattr("linnet.generate.decode.one_token", lambda *args: None)


def test_a_reply_ends_where_the_context_does(talked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the system's turn and the question are read for every token of it."""
    model = linnet.load(talked)
    one_letter(model, monkeypatch)
    read_again: list[Any] = []
    right = Decoder._read_from_start
    monkeypatch.setattr(Decoder, "_read_from_start", lambda self: read_again.append(self.rows) or right(self))
    turns = [Turn("system", "Be brief."), Turn("user", "Why?")]
    ids = ChatML().render(model.tokenizer, turns, reply=True).ids
    context = model.manifest.context_length
    assert context // 2 < len(ids) < context
    said = model.chat(turns, max_tokens=1000, temperature=0)
    assert said == "a" * (context - len(ids))
    assert len(read_again) == 1  # the prompt itself
    with pytest.raises(LinnetError, match=rf"of the last question.*needed: fewer than the model's context of {context}"):
        model.chat([turns[0], Turn("user", "Why? " * context)])


def test_a_reply_is_encoded_as_it_was_written_by_a_tokenizer_that_begins_with_a_space(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the history of a conversation is what was learned."""
    path = next(
        (p for up in (2, 3, 4) if (p := Path(__file__).parents[up] / "shared/data/tokenizers/llama2/tokenizer.model").exists()),
        None,
    )
    if path is None:
        pytest.skip("shared/data/tokenizers/llama2 is not there")
    spaced = load_tokenizer(path)
    assert [begins_with_space(each) for each in (spaced, BYTES)] == [True, False]
    ids = spaced.encode("A linnet.")
    pieces = [Piece(0, spaced.token_bytes(token).decode()) for token in ids]
    monkeypatch.setattr("linnet.language_model.stream", lambda *args, **options: iter(pieces))
    net = Network(load(Family, MODEL).sentence(spaced.vocab_size), seed=1)  # type: ignore[type-abstract]
    reply = LanguageModel.assemble(net, spaced, context_length=48, template=Plain()).chat("Who?")
    assert (reply, spaced.encode(reply)) == ("A linnet.", ids)


def test_a_model_that_conversations_only_measure_is_not_taught_any(tmp_path: Path) -> None:
    talks = {"kind": "conversations", "path": str(write_chats(tmp_path / "chats.jsonl")), "part": "validation"}
    (tmp_path / "text.txt").write_text("\n<|endoftext|>\n".join(f"A story of {number} birds." for number in range(40)))
    text = {"kind": "files", "path": str(tmp_path / "text.txt"), "part": "train"}
    spec = load(DataSpec, {"sources": [talks, text]})
    assert (spec.taught, spec.template) == (None, ChatML())
    table = tiny_run.tiny(data={"sources": [talks, text]}, model=MODEL, train__steps=2, train__batch_size=2)
    tiny_run.go(tmp_path / "run", table)
    with pytest.raises(LinnetError, match="was taught no conversations"):
        linnet.load(tmp_path / "run").chat("x")


def test_a_sample_goes_on_from_the_first_source_of_conversations(tmp_path: Path, prepared: Prepared) -> None:
    """Which need not be the first of the validation part."""
    (tmp_path / "more.txt").write_text("\n<|endoftext|>\n".join(f"A tale of {number} wrens." for number in range(40)))
    talks = {"kind": "conversations", "path": str(tmp_path / "chats.jsonl"), "part": "both"}
    text = {"kind": "files", "path": str(tmp_path / "more.txt"), "part": "validation"}
    both = prepare(load(DataSpec, {"sources": [text, talks]}), BYTES, tmp_path / "both")
    assert not both.validation.streams[0].masks
    asked = opening(both, "")
    assert BYTES.decode(asked).startswith("<|im_start|>user\nWho is")  # type: ignore[arg-type]


def test_conversations_as_a_text_to_score_say_what_can_be_done(talked: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = tiny_run.linnet(capsys, "eval", talked, talked.parent / "chats.jsonl")
    assert (code, "chats.jsonl holds conversations" in err, "part: validation" in err) == (2, True, True)


def test_what_is_said_at_the_door_of_a_chat_is_looked_at(
    talked: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model = linnet.load(talked)
    asked = [{"role": "user", "content": "Who is 3?"}]
    assert model.chat(asked, max_tokens=4) == model.chat("Who is 3?", max_tokens=4)
    for arguments in (("",), ("Who?", "--system", " ")):
        code, out, err = tiny_run.linnet(capsys, "chat", talked, *arguments)
        assert (code, out, "turn 1 says nothing" in err) == (2, "", True)
    code, out, err = tiny_run.linnet(capsys, "chat", talked, "Who?", "--system", "\udcff")
    assert (code, out, "0xff at place 0" in err) == (2, "", True)

    piped(monkeypatch, b"Who \xff?\n")
    code, out, err = tiny_run.linnet(capsys, "chat", talked)
    assert (code, out, "a line that is not UTF-8" in err) == (2, "", True)


def test_the_terminal_says_how_to_leave(
    talked: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    piped(monkeypatch, b"")
    assert tiny_run.linnet(capsys, "chat", talked)[1:] == ("", "")
    monkeypatch.setattr("sys.stdin", type("Terminal", (), {"isatty": lambda self: True})())
    for typed, code in (("", 0), ("Who \udcff?", 2)):  # as a terminal gives it in the C locale
        monkeypatch.setattr("builtins.input", lambda prompt="", typed=typed: typed)
        found, _, err = tiny_run.linnet(capsys, "chat", talked)
        assert (found, "Ctrl-D ends" in err, "not UTF-8" in err) == (code, True, code == 2)


def test_resumed_is_uninterrupted(tmp_path: Path, talked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = chat_run(write_chats(tmp_path / "chats.jsonl"))
    stopped = tmp_path / "run"
    right, saves = run.save, 0

    def save(*args: Any, **options: Any) -> None:
        nonlocal saves
        right(*args, **options)
        saves += 1
        if saves == 5:
            raise RuntimeError("pulled the plug")

    monkeypatch.setattr(run, "save", save)
    with pytest.raises(RuntimeError, match="pulled the plug"):
        tiny_run.go(stopped, table)
    monkeypatch.setattr(run, "save", right)
    tiny_run.go(stopped, table, resume=True)  # `talked` is the same run on the same conversations in another folder
    assert (stopped / "model.safetensors").read_bytes() == (talked / "model.safetensors").read_bytes()


def test_a_template_in_a_manifest_is_checked(tmp_path: Path, talked: Path) -> None:
    net = network().eval()
    model = LanguageModel.assemble(net, BYTES, context_length=48, template=ChatML())
    model.save(tmp_path / "model")
    assert linnet.load(tmp_path / "model").chat("x", max_tokens=2) == model.chat("x", max_tokens=2)
    with pytest.raises(TokenizerError, match="without the special tokens"):
        LanguageModel.assemble(net, ByteTokenizer(), context_length=16, template=ChatML())

    def told(template: Any) -> None:
        table = json.loads((tmp_path / "model" / "manifest.json").read_text()) | {"template": template}
        (tmp_path / "model" / "manifest.json").write_text(json.dumps(table | {"sha256": seal(table)}))

    for wrong, message in (
        ({"kind": "chatmk"}, r"template: kind 'chatmk' is not known here; did you mean 'chatml'"),
        ({"kind": "plain", "usr": "Q"}, "did you mean 'user'"),
        (3, "template"),
    ):
        told(wrong)
        with pytest.raises(CheckpointError, match=message):
            linnet.load(tmp_path / "model")
    told({"kind": "llama3"})
    with pytest.raises(TokenizerError, match="begin_of_text"):
        linnet.load(tmp_path / "model")
    told({"kind": "plain", "user": "Q", "assistant": "A"})
    assert linnet.load(tmp_path / "model").chat("x", max_tokens=2) is not None
    told(None)
    with pytest.raises(LinnetError, match=r"was taught no conversations.*try: generate"):
        linnet.load(tmp_path / "model").chat("x")


def test_a_sample_goes_on_from_what_is_not_learned(tmp_path: Path, talked: Path, prepared: Prepared) -> None:
    whole = prepared_before(talked)
    assert whole is not None
    ids = opening(whole, "")
    assert whole.tokenizer.decode(ids).endswith("<|im_start|>assistant\n")  # type: ignore[arg-type]
    assert opening(whole, "Who?") == ChatML().render(whole.tokenizer, [Turn("user", "Who?")], reply=True).ids
    assert opening(prepared, "Once") == "Once"  # there is text, too, which is gone on from as it stands
    plain = load(DataSpec, {"sources": [{"kind": "conversations", "path": str(tmp_path / "chats.jsonl"), "template": "plain"}]})
    asked = opening(prepare(plain, BYTES, tmp_path / "plain"), "")
    assert BYTES.decode(asked).startswith("User:\nWho is")  # type: ignore[arg-type]
    assert Plain().marks(BYTES) == (BYTES.end_id,)


def test_a_file_of_conversations_is_told_from_text_on_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_chats(tmp_path / "chats.jsonl", 3)
    (tmp_path / "text.jsonl").write_text('{"text": "x"}\n')
    (tmp_path / "broken.jsonl").write_text("{")
    for name, kind in (("chats.jsonl", "conversations"), ("text.jsonl", "files")):
        assert asked_of(name)[0]["data"]["sources"] == [{"kind": kind, "path": name}]
    with pytest.raises(DataError, match=r"broken\.jsonl, line 1 is not valid JSON"):
        asked_of("broken.jsonl")

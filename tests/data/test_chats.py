"""Conversations as training data: what is written on disk is what each of them renders to by itself, mask and all."""

from __future__ import annotations

import io
import json
import os
from codecs import BOM_UTF8
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pytest
from chat_helpers import as_messages, chatml_mask, talk, write_talks
from data_helpers import prepared_texts, small_parts, spec_of

from linnet.core.errors import ConfigError, DataError, TokenizerError
from linnet.core.files import sha256_file
from linnet.core.spec import load
from linnet.data import engine as engines
from linnet.data import rendering, turns
from linnet.data.chats import Conversations
from linnet.data.clean import DEFAULT_STEPS, CleanStep
from linnet.data.close import Closing
from linnet.data.corpus import Corpus, prepare_corpus
from linnet.data.look import Texts
from linnet.data.prepare import prepare
from linnet.data.prepared import Prepared, open_prepared
from linnet.data.shards import Stream, open_splits, read_index
from linnet.data.sources import Source, Stdin, Stories
from linnet.data.spec import DataSpec
from linnet.data.split import fingerprint
from linnet.tokenizer.base import Tokenizer
from linnet.tokenizer.bpe_tokenizer import train_bpe
from linnet.tokenizer.chat import ChatML, ChatTemplate, Llama3, Plain, Rendered, Turn
from linnet.tokenizer.simple import byte_tokenizer, train_char

NAMES = (*ChatML().special_names(), *Llama3().special_names())
TALKS = [talk(number) for number in range(150)]
SAID = "\n".join(turn.content for turns in TALKS for turn in turns)
BPE = train_bpe([SAID, "system\nuser\nassistant\nUser:\nAssistant:\n"], 400, special=NAMES)
BYTES = byte_tokenizer(NAMES)
TEMPLATES: list[ChatTemplate] = [ChatML(), Llama3(), Plain(), Plain(user="Q", assistant="A")]
Turns = list[Turn]


def chats(path: Path, **options: object) -> dict[str, object]:
    return {"kind": "conversations", "path": str(path), **options}


def rows(stream: Stream) -> list[tuple[list[int], list[bool]]]:
    """(ids, which are learned) of each document of a stream."""
    borders = stream.starts.tolist()
    return [(stream.read(a, b).tolist(), stream.learned(a, b).tolist()) for a, b in pairwise(borders)]


def closed(tokenizer: Tokenizer, rendered: Rendered, roles: tuple[str, ...] = ("assistant",)) -> tuple[list[int], list[bool]]:
    """A conversation as it should stand on disk: with an end token behind it, which the template may have written itself."""
    weights = [bool(weight) for weight in rendered.weights(roles)]  # type: ignore[arg-type]
    ended = rendered.ids[-1] == tokenizer.end_id
    return rendered.ids + [tokenizer.end_id] * (not ended), weights + [False] * (not ended)


def both(prepared: Prepared) -> list[tuple[list[int], list[bool]]]:
    return [row for split in (prepared.train, prepared.validation) for stream in split.streams for row in rows(stream)]


def hashes(prepared: Prepared) -> dict[str, str]:
    files = (path for path in prepared.folder.rglob("*") if path.is_file())
    return {path.relative_to(prepared.folder).as_posix(): sha256_file(path) for path in files}


@pytest.mark.parametrize("small", [False, True], ids=["one part", "many"])
@pytest.mark.parametrize("tokenizer", [BPE, BYTES], ids=["bpe", "byte"])
@pytest.mark.parametrize("template", TEMPLATES, ids=lambda template: f"{template.kind}-{getattr(template, 'user', '')}")
def test_what_stands_on_disk_is_what_each_conversation_renders_to(
    tmp_path: Path, template: ChatTemplate, tokenizer: Tokenizer, small: bool
) -> None:
    file = write_talks(tmp_path / "chats.jsonl", TALKS)
    roles = ("assistant",) if small else ("user", "assistant")
    spec = spec_of(chats(file, template=template, learn=list(roles)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("linnet.data.spool.TOGETHER", 700 if small else 2**21)
        if small:
            with small_parts():
                prepared = prepare(spec, tokenizer, tmp_path / "out")
        else:
            prepared = prepare(spec, tokenizer, tmp_path / "out")
    assert len(prepared.train.streams[0].maps) == (1 if not small else len(list(prepared.folder.glob("train/*.mask"))))
    right = [closed(tokenizer, template.render(tokenizer, each), roles) for each in TALKS]
    assert Counter((tuple(ids), tuple(mask)) for ids, mask in both(prepared)) == Counter(
        (tuple(ids), tuple(mask)) for ids, mask in right
    )
    for split in (prepared.train, prepared.validation):
        (stream,) = split.streams
        assert split.n_learned == sum(sum(mask) for _, mask in rows(stream))
        assert len(b"".join(prepared.texts(stream))) == split.bytes
        assert len(b"".join(prepared.learned_texts(stream)).replace(b"\n", b"")) <= split.learned_bytes < split.bytes
        learned = stream.read(0, stream.tokens)[stream.learned(0, stream.tokens)]
        assert len(prepared.text_of(learned)) == split.learned_bytes
    assert open_prepared(prepared.folder, tokenizer, verify=True).fingerprint == prepared.fingerprint


def test_the_mask_is_what_one_finds_by_reading_the_ids(tmp_path: Path) -> None:
    prepared = prepare(spec_of(chats(write_talks(tmp_path / "a.jsonl", TALKS))), BPE, tmp_path / "out")
    for ids, mask in both(prepared):
        assert mask == chatml_mask(BPE, ids)
    bits = np.fromfile(prepared.folder / "train" / "a.00000.mask", np.uint8)
    stream = prepared.train.streams[0]
    for place in range(0, stream.tokens, 7):  # the lowest bit first, as the format says
        assert bool(bits[place // 8] >> (place % 8) & 1) == stream.learned(place, place + 1)[0]


def test_the_law_kills_a_mask_that_is_a_token_late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = rendering.Rendering.__call__

    def late(self: rendering.Rendering, *args: Any, **options: Any) -> Any:
        encoded = right(self, *args, **options)
        assert encoded.masks is not None
        object.__setattr__(encoded, "masks", tuple(np.roll(mask, 1) for mask in encoded.masks))
        return encoded

    monkeypatch.setattr(rendering.Rendering, "__call__", late)
    prepared = prepare(spec_of(chats(write_talks(tmp_path / "a.jsonl", TALKS))), BPE, tmp_path / "out")
    assert any(mask != chatml_mask(BPE, ids) for ids, mask in both(prepared))


def test_the_chat_template_of_transformers_says_the_same(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    BPE.save(tmp_path / "tokenizer.json")
    other = transformers.PreTrainedTokenizerFast(tokenizer_file=str(tmp_path / "tokenizer.json"))
    other.chat_template = (
        "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' }}{% if m['role'] == 'assistant' %}{% generation %}"
        "{{ m['content'] + '<|im_end|>' }}{% endgeneration %}{% else %}{{ m['content'] + '<|im_end|>' }}{% endif %}{{ '\n' }}{% endfor %}"
    )
    plain = [each for each in TALKS if not any("<|im_end|>" in turn.content for turn in each)]  # which there ends a turn
    prepared = prepare(spec_of(chats(write_talks(tmp_path / "a.jsonl", plain))), BPE, tmp_path / "out")
    found = {tuple(ids): mask for ids, mask in both(prepared)}
    same = 0
    for each in plain:
        told = other.apply_chat_template(as_messages(each), tokenize=True, return_dict=True, return_assistant_tokens_mask=True)
        mask = found.get((*told["input_ids"], BPE.end_id))
        if mask is not None:  # else a token joins words to what stands around them
            same += 1
            assert mask[:-1] == [bool(weight) for weight in told["assistant_masks"]]
    assert same > len(plain) / 2


@pytest.mark.parametrize("forks", [True, False], ids=["copies", "interpreters"])
def test_engines_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forks: bool) -> None:
    if not forks:
        monkeypatch.delattr(os, "fork")
    else:
        monkeypatch.setattr(engines, "sys", type("modules", (), {"modules": {}, "executable": engines.sys.executable}))
    monkeypatch.setattr("linnet.data.sources.portion_size", lambda total: 3000)
    file = write_talks(tmp_path / "chats.jsonl", TALKS)
    (tmp_path / "text.txt").write_text("\n<|endoftext|>\n".join(f"A story of {number} birds." for number in range(60)))
    spec = spec_of(chats(file), {"kind": "files", "path": str(tmp_path / "text.txt")}, near=True)
    here = prepare(spec, BYTES, tmp_path / "here", engine="here")
    others = prepare(spec, BYTES, tmp_path / "others", engine="processes", workers=2)
    assert hashes(here) == hashes(others)
    assert sum(name.endswith(".mask") for name in hashes(here)) > 5


@pytest.mark.parametrize("stop", range(0, 30, 3))
def test_stopped_anywhere_it_goes_on(tmp_path: Path, stop: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left by a stop after so many lines of the journal is gone on from, and comes to the same."""
    from linnet.data.journal import Journal

    monkeypatch.setattr("linnet.data.sources.portion_size", lambda total: 6000)
    spec = spec_of(chats(write_talks(tmp_path / "chats.jsonl", TALKS)), near=True)
    with small_parts():
        whole = prepare(spec, BYTES, tmp_path / "whole")
        right, lines = Journal.add, 0

        def add(self: Journal, key: str, value: Any) -> None:
            nonlocal lines
            lines += 1
            if lines > stop:
                raise KeyboardInterrupt
            right(self, key, value)

        monkeypatch.setattr(Journal, "add", add)
        with pytest.raises(KeyboardInterrupt):
            prepare(spec, BYTES, tmp_path / "again")
        monkeypatch.setattr(Journal, "add", right)
        assert hashes(prepare(spec, BYTES, tmp_path / "again")) == hashes(whole)


def test_a_mask_that_was_lost_is_made_again_and_a_damaged_one_is_noticed(tmp_path: Path) -> None:
    prepared = prepare(spec_of(chats(write_talks(tmp_path / "a.jsonl", TALKS))), BYTES, tmp_path / "out")
    mask = prepared.folder / "train" / "a.00000.mask"
    content = mask.read_bytes()
    mask.write_bytes(content[:-1])
    with pytest.raises(DataError, match=r"a\.00000\.mask has"):
        open_prepared(prepared.folder, BYTES)
    mask.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    with pytest.raises(DataError, match=r"a\.00000\.mask has changed"):
        open_prepared(prepared.folder, BYTES, verify=True)
    mask.unlink()
    with pytest.raises(DataError, match=r"a\.00000\.mask is missing"):
        open_prepared(prepared.folder, BYTES)
    mask.write_bytes(content)
    assert open_prepared(prepared.folder, BYTES, verify=True)


def without_masks(entry: dict[str, Any]) -> None:
    """An entry of an index as if all of it were learned."""
    del entry["n_learned"], entry["learned_bytes"]
    for shard in entry["shards"]:
        del shard["mask"]


def as_before(entry: dict[str, Any]) -> None:
    """An entry as indices named it once."""
    entry["learned"] = entry.pop("n_learned")
    for shard in entry["shards"]:
        shard["learned"] = shard.pop("mask")


def one_count_more(entry: dict[str, Any]) -> None:
    """Counts that agree with each other, and not with the bits."""
    entry["n_learned"] += 1
    entry["shards"][0]["mask"]["n_learned"] += 1


WRONG_COUNTS: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "fewer in a shard": (lambda entry: entry["shards"][0]["mask"].update(n_learned=1), "counts that agree"),
    "none": (lambda entry: entry.update(n_learned=0), "counts that agree"),
    "no bytes": (lambda entry: entry.update(learned_bytes=0), "counts that agree"),
    "masks named as they once were": (as_before, "says `learned`, as it did before"),
    "bytes below nothing": (lambda entry: entry.update(learned_bytes=-1), "counts that agree"),
    "more bytes than there are": (lambda entry: entry.update(learned_bytes=entry["bytes"] + 1), "counts that agree"),
    "a mask that is not named": (lambda entry: entry["shards"][0].pop("mask"), "names no masks of 'a'"),
    "no masks": (without_masks, "names no masks of 'a'"),
    "one more than there are bits": (one_count_more, "counts that agree"),
}


@pytest.mark.parametrize("name", WRONG_COUNTS)
def test_counts_of_an_index_agree_with_its_masks(tmp_path: Path, name: str) -> None:
    prepared = prepare(spec_of(chats(write_talks(tmp_path / "a.jsonl", TALKS))), BYTES, tmp_path / "out")
    index = json.loads((prepared.folder / "index.json").read_text())
    spoil, message = WRONG_COUNTS[name]
    spoil(index["splits"]["train"][0])
    (prepared.folder / "index.json").write_text(json.dumps(index))
    with pytest.raises(DataError, match=message) as refused:
        open_prepared(prepared.folder, BYTES, verify=name.startswith("one more"))  # which only counting again can tell
    assert f"deleting {prepared.folder} and preparing again" in str(refused.value)
    with pytest.raises(DataError, match=message):
        open_splits(prepared.folder, read_index(prepared.folder), verify=True)  # as the card does


def test_text_has_no_masks_and_its_index_says_nothing_new(tmp_path: Path) -> None:
    prepared = prepared_texts(tmp_path, [f"text {number}" for number in range(50)])
    assert not list(prepared.folder.rglob("*.mask"))
    index = (prepared.folder / "index.json").read_text()
    assert "n_learned" not in index
    assert ".mask" not in index
    assert (prepared.train.n_learned, prepared.train.learned_bytes) == (prepared.train.tokens, prepared.train.bytes)


def test_copies_in_whatever_form_are_copies_and_sides_are_by_what_is_said(tmp_path: Path) -> None:
    asked = [{"instruction": f"Say {number}.", "input": "", "output": f"It is {number}."} for number in range(80)]
    (tmp_path / "alpaca.jsonl").write_text("".join(json.dumps(each) + "\n" for each in asked + asked[:9]))
    same = [[Turn("user", each["instruction"]), Turn("assistant", each["output"])] for each in asked]
    spec = spec_of(chats(tmp_path / "alpaca.jsonl"), chats(write_talks(tmp_path / "b.jsonl", [*same[:30], *TALKS])), split="hash")
    prepared = prepare(spec, BYTES, tmp_path / "out")
    assert [source.duplicates_dropped for source in prepared.card.sources] == [9, 30]
    first = {int.from_bytes(fingerprint(turns.as_line(each).encode())[:8], "little") < 0.1 * 2**64 for each in same}
    assert first == {True, False}
    on_side = {tuple(ids) for ids, _ in rows(prepared.validation.streams[0])}
    for each in same:
        validation = int.from_bytes(fingerprint(turns.as_line(each).encode())[:8], "little") < int(0.1 * 2**64)
        assert (tuple(closed(BYTES, ChatML().render(BYTES, each))[0]) in on_side) == validation


def test_near_copies_and_overlaps_are_found_by_what_is_said(tmp_path: Path) -> None:
    """Line ends, which JSON spells with a letter, and the names of roles are no words."""
    words = [
        "the",
        "old",
        "linnet",
        "sang",
        "above",
        "the",
        "river",
        "while",
        "seven",
        "grey",
        "herons",
        "watched",
        "it",
        "from",
        "the",
        "reeds",
        "that",
        "day",
    ]
    one = [Turn("user", "Tell me."), Turn("assistant", "\n".join(words))]
    other = [Turn("system", "tell"), Turn("user", "me"), Turn("assistant", " ".join(words))]
    file = write_talks(tmp_path / "a.jsonl", [one, other, *TALKS])
    prepared = prepare(spec_of(chats(file), near=True), BYTES, tmp_path / "out")
    assert prepared.card.sources[0].near_dropped >= 1
    (tmp_path / "exam.txt").write_text(" ".join(words))
    prepared = prepare(spec_of(chats(file), against=[str(tmp_path / "exam.txt")]), BYTES, tmp_path / "out")
    assert prepared.card.sources[0].overlaps_dropped == 2


def test_a_tail_divides_between_conversations(tmp_path: Path) -> None:
    spec = spec_of(chats(write_talks(tmp_path / "a.jsonl", TALKS[:10])), split="tail", validation=0.3, exact=True)
    prepared = prepare(spec, BYTES, tmp_path / "out")
    found = [ids for ids, _ in both(prepared)]
    assert found == [closed(BYTES, ChatML().render(BYTES, each))[0] for each in TALKS[:10]]
    assert not prepared.card.sources[0].divided
    assert 1 <= prepared.validation.documents <= 5
    with pytest.raises(DataError, match="leaves one side empty"):
        prepare(spec_of(chats(write_talks(tmp_path / "b.jsonl", TALKS[:1]))), BYTES, tmp_path / "out")


def test_steps_clean_what_is_said_and_nothing_else(tmp_path: Path) -> None:
    dirty = [
        [Turn("user", f"Who\r\nsings \x07{number} \x00?"), Turn("assistant", f"\x1bA linnet\r{number}.")] for number in range(40)
    ]
    prepared = prepare(spec_of(chats(write_talks(tmp_path / "a.jsonl", dirty))), BYTES, tmp_path / "out")
    right = [[Turn("user", f"Who\nsings {number} ?"), Turn("assistant", f"A linnet\n{number}.")] for number in range(40)]
    assert {tuple(ids) for ids, _ in both(prepared)} == {tuple(closed(BYTES, ChatML().render(BYTES, each))[0]) for each in right}
    assert prepared.card.sources[0].cleaned == {"control": 40, "newlines": 40}


def cleaned(said: Turns, *steps: dict[str, Any] | str) -> tuple[tuple[Turn, ...] | None, dict[str, int]]:
    counts: Counter[str] = Counter()
    return turns.clean_turns(tuple(said), [load(CleanStep, step) for step in steps], counts), dict(counts)  # type: ignore[type-abstract]


def test_a_step_drops_by_all_that_is_said_and_changes_each_turn() -> None:
    said = [Turn("user", " Hi. "), Turn("assistant", " A long answer, as it should be. ")]
    assert cleaned(said, {"kind": "min_length", "characters": 20}) == (tuple(said), {})
    assert cleaned(said, {"kind": "min_length", "characters": 90}) == (None, {"min_length": 1})
    assert cleaned(said, "strip") == ((Turn("user", "Hi."), Turn("assistant", said[1].content.strip())), {"strip": 1})
    assert cleaned([Turn("user", "\x07"), Turn("assistant", "x")], "control") == (None, {"control": 1, "empty": 1})
    quoted = [Turn("user", '["user","x"]'), Turn("assistant", "<b>\\n</b>")]
    assert turns.turns_in(turns.as_line(quoted)) == tuple(quoted)
    assert cleaned(quoted, "html")[0] == (quoted[0], Turn("assistant", "\\n"))


def test_a_line_is_the_same_for_the_same_turns() -> None:
    for each in TALKS:
        line = turns.as_line(each)
        assert turns.turns_in(line) == tuple(each)
        assert turns.as_line(turns.turns_in(line)) == line
        assert turns.cleaned(Texts.of([line.encode()]), DEFAULT_STEPS, Counter())[0].joined == line.encode()


def test_a_tokenizer_that_is_trained_gets_the_special_tokens_and_learns_what_it_will_be_given(tmp_path: Path) -> None:
    file = write_talks(tmp_path / "a.jsonl", TALKS)
    for tokenizer in ({"kind": "bpe", "vocab_size": 300, "special": ["<|im_end|>", "<|mine|>"]}, "byte", "char"):
        corpus = load(Corpus, {"data": {"sources": [chats(file)]}, "tokenizer": tokenizer})
        prepared = prepare_corpus(corpus, tmp_path / "out", lambda done, what: None)
        assert set(ChatML().special_names()) <= prepared.tokenizer.special.keys()
        assert prepared.card.sources[0].unknown["train"] == 0
        assert prepare_corpus(corpus, tmp_path / "out", lambda done, what: None).reused
    plain = load(Corpus, {"data": {"sources": [chats(file, template="plain")]}, "tokenizer": "char"})
    prepared = prepare_corpus(plain, tmp_path / "out", lambda done, what: None)
    assert prepared.card.sources[0].unknown["train"] == 0  # the letters of what it writes around turns among them
    byte_tokenizer().save(tmp_path / "tokenizer.json")
    given = load(
        Corpus, {"data": {"sources": [chats(file)]}, "tokenizer": {"kind": "file", "path": str(tmp_path / "tokenizer.json")}}
    )
    with pytest.raises(TokenizerError, match=r"without the special tokens <\|im_start\|>, <\|im_end\|>.*try: .*plain"):
        prepare_corpus(given, tmp_path / "out", lambda done, what: None)


def test_a_tokenizer_of_characters_knows_the_frames_of_roles_that_nobody_has(tmp_path: Path) -> None:
    talks = [[Turn("user", f"who {number}"), Turn("assistant", "no")] for number in range(30)]
    corpus = load(Corpus, {"data": {"sources": [chats(write_talks(tmp_path / "a.jsonl", talks))]}, "tokenizer": "char"})
    prepared = prepare_corpus(corpus, tmp_path / "out", lambda done, what: None)
    ids = ChatML().render(prepared.tokenizer, [Turn("system", "no"), Turn("user", "who")]).ids
    assert prepared.tokenizer.special["<|unknown|>"] not in ids  # y and m of "system" among them


def test_a_source_that_is_never_divided_need_not_be_conversations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Words of somebody's own may be whole; the card says of conversations what is theirs."""
    monkeypatch.setattr(Source, "_words", dict(Source._words))  # nobody else knows of this one

    class Poems(Stories):
        kind: Literal["poems"] = "poems"  # type: ignore[assignment]
        whole: ClassVar[bool] = True

    spec = DataSpec(sources=(Poems(count=60),))  # type: ignore[arg-type]
    card = prepare(spec, BYTES, tmp_path / "out", engine="here").card
    assert (card.sources[0].kind, card.sources[0].template, card.sources[0].learn) == ("poems", None, ())


def test_nothing_is_left_where_preparing_was_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_text(json.dumps({"messages": [{"role": "user", "content": "x"}]}) + "\n")
    (tmp_path / "there").mkdir()
    for place in ("new/bad", "there"):
        with pytest.raises(DataError, match="no turn of assistant"):
            prepare(spec_of(chats(tmp_path / "bad.jsonl")), BYTES, tmp_path / place)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.jsonl", "there"]


def test_conversations_that_are_piped_in_are_no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    def piped(content: bytes) -> list[str]:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
        return [document.text for document in Stdin().documents()]

    line = json.dumps({"messages": as_messages(TALKS[1])}).encode()
    for before in (b"", b"\n", BOM_UTF8):
        with pytest.raises(DataError, match="standard input begins with a conversation"):
            piped(before + line + b"\n" + line)
    for text in (b'{"a": 1}\n', b"{ broken\n", b"a text\n" + line):
        assert piped(text) == [text.decode()]


def test_unknown_characters_are_counted_and_lost_bytes_are_refused(tmp_path: Path) -> None:
    names = ChatML().special_names()
    file = write_talks(tmp_path / "a.jsonl", TALKS)
    few = train_char([SAID.replace("é", ""), "system\nuser\nassistant\n"], special=names)
    prepared = prepare(spec_of(chats(file)), few, tmp_path / "out")
    assert sum(prepared.card.sources[0].unknown.values()) == sum(turn.content.count("é") for each in TALKS for turn in each)

    class Lossy(type(BYTES)):  # type: ignore[misc]
        def encode_ordinary(self, text: str) -> list[int]:
            return super().encode_ordinary(text.replace("ings", "ing"))

    with pytest.raises(TokenizerError, match="a tokenizer that loses nothing"):
        prepare(spec_of(chats(file)), Lossy(dict(BYTES.special)), tmp_path / "out")
    with pytest.raises(TokenizerError, match="a tokenizer that loses nothing"):
        rendering.Rendering(Closing(Lossy(dict(BYTES.special))), Plain(user="sings"), ["assistant"])


BAD: dict[str, tuple[Any, str]] = {
    "another order": ({"messages": as_messages(TALKS[0])[::-1]}, "line 3: turn 1 of assistant"),
    "a turn that says nothing": (
        {"messages": as_messages([Turn("user", "x"), Turn("assistant", " ")])},
        "line 3: turn 2 says nothing",
    ),
    "another form": ({"instruction": "x", "output": "y"}, "line 3 lacks messages"),
    "nothing to learn": ({"messages": as_messages([Turn("user", "x")])}, "line 3: no turn of assistant"),
    "half a character": (
        {"messages": as_messages([Turn("user", "\ud83d"), Turn("assistant", "x")])},
        r"line 3: turn 1, character 0, U\+D83D, is half a surrogate pair",
    ),
    "no table": (["x"], "line 3 is a list"),
    "a tool": (
        {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y", "tool_calls": [{"id": 1}]}]},
        "line 3, turn 2: it has tool_calls",
    ),
    "a weight between": (
        {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y", "weight": 0.5}]},
        "line 3, turn 2: its weight is 0.5",
    ),
    "all of weight 0": (
        {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y", "weight": 0}]},
        "line 3: no turn of assistant of a weight above 0",
    ),
    "an empty prompt": ({"prompt": "", "chosen": "x", "rejected": "y"}, "line 3 lacks messages"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_rows_are_refused_with_file_and_line(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    record, message = BAD[name]
    good = [json.dumps({"messages": as_messages(talk(number))}) for number in range(40)]
    (tmp_path / "a.jsonl").write_text("\n".join([*good[:2], json.dumps(record), *good[2:]]))
    with pytest.raises(DataError, match=rf"a\.jsonl, {message}"):
        prepare(spec_of(chats(tmp_path / "a.jsonl")), BYTES, tmp_path / "out")
    monkeypatch.setattr(
        "linnet.data.sources.portion_size", lambda total: 1000
    )  # so that it is far behind its portion's beginning
    (tmp_path / "a.jsonl").write_text("\n".join([*good, json.dumps(record)]))
    with pytest.raises(DataError, match=rf"a\.jsonl, {message.replace('3', '41', 1)}"):
        prepare(spec_of(chats(tmp_path / "a.jsonl")), BYTES, tmp_path / "out")


def test_the_first_record_of_a_file_tells_the_form_of_all_its_portions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where a portion begins with a record of another one."""
    good, other = json.dumps({"messages": as_messages(talk(1))}), json.dumps({"instruction": "x", "output": "y"})
    monkeypatch.setattr("linnet.data.sources.portion_size", lambda total: len(good.encode()) + 1)
    (tmp_path / "a.jsonl").write_text("\n".join([good, good, good, other, other]))
    source = Conversations(path=str(tmp_path / "a.jsonl"))
    assert len(source.portions()) > 3
    with pytest.raises(DataError, match=r"a\.jsonl, line 4 lacks messages"):
        [list(source.texts(portion.what)) for portion in source.portions()[3:]]


def test_what_cannot_be_asked_for(tmp_path: Path) -> None:
    file = write_talks(tmp_path / "a.jsonl", TALKS)
    with pytest.raises(ConfigError, match="two sources of conversations with different templates"):
        spec_of(chats(file, name="a"), chats(file, name="b", template="plain"))
    for wrong, message in (
        ({"template": "chatmk"}, "chatml"),
        ({"learn": []}, "learn"),
        ({"learn": ["user", "user"]}, "each role once"),
    ):
        with pytest.raises(ConfigError, match=message):
            spec_of(chats(file, **wrong))  # type: ignore[arg-type]
    (tmp_path / "notes.txt").write_text("no records")
    with pytest.raises(DataError, match=r"notes\.txt holds no records"):
        prepare(spec_of(chats(tmp_path / "notes.txt")), BYTES, tmp_path / "out")
    (tmp_path / "text.jsonl").write_text('{"text": "x"}\n')
    with pytest.raises(DataError, match=r"line 1 is a text.*kind: files"):
        prepare(spec_of(chats(tmp_path / "text.jsonl")), BYTES, tmp_path / "out")
    with pytest.raises(DataError, match="kind: conversations"):
        prepare(spec_of({"kind": "files", "path": str(file)}), BYTES, tmp_path / "out")


def test_a_turn_of_weight_0_is_read_and_not_learned(tmp_path: Path) -> None:
    """Of equal words: those with the weight are others, and whatever cleaning changes keeps it."""
    said = [Turn("user", "a"), Turn("assistant", "b\r\nc", False), Turn("user", "d"), Turn("assistant", "e")]
    messages = [{**message, "weight": int(turn.learned)} for message, turn in zip(as_messages(said), said)]
    rows_of_it = [{"messages": messages}, {"messages": as_messages(said)}]
    lines = [json.dumps(row) for row in rows_of_it] + [json.dumps({"messages": as_messages(each)}) for each in TALKS[:20]]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    prepared = prepare(spec_of(chats(tmp_path / "a.jsonl")), BYTES, tmp_path / "out")
    assert prepared.card.sources[0].duplicates_dropped == 0
    half, whole = [
        [turn._replace(content=turn.content.replace("\r", ""), learned=learned or turn.learned) for turn in said]
        for learned in (False, True)
    ]
    right = [closed(BYTES, ChatML().render(BYTES, each)) for each in (half, whole)]
    assert sum(right[0][1]) == 2  # "e" and its mark
    assert all(each in both(prepared) for each in right)


def test_a_weight_of_a_turn_that_nobody_learns_makes_no_other_conversation(tmp_path: Path) -> None:
    said = as_messages(TALKS[1])
    silent = [turn | {"weight": 0} if turn["role"] == "user" else turn for turn in said]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"messages": each}) + "\n" for each in (said, silent)))
    for learn, count in ((("assistant",), 1), (("user", "assistant"), 2)):
        source = Conversations(path=str(tmp_path / "a.jsonl"), learn=learn)  # type: ignore[arg-type]
        assert len({document.text for document in source.documents()}) == count


def test_of_a_preference_the_better_answer_is_learned(tmp_path: Path) -> None:
    pairs = [{"prompt": f"Who {number}?", "chosen": f"A linnet {number}.", "rejected": "Nobody."} for number in range(30)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    found = [document.text for document in Conversations(path=str(tmp_path / "a.jsonl")).documents()]
    assert found[0] == '[["user","Who 0?"],["assistant","A linnet 0."]]'
    assert len(found) == 30
    (tmp_path / "b.jsonl").write_text(json.dumps(pairs[0]) + "\n" + json.dumps(pairs[1] | {"chosen": " "}))
    with pytest.raises(DataError, match=r"b\.jsonl, line 2, chosen: turn 2 says nothing"):
        list(Conversations(path=str(tmp_path / "b.jsonl")).documents())


def test_the_card_says_how_much_is_learned(tmp_path: Path) -> None:
    file = write_talks(tmp_path / "chats.jsonl", TALKS)
    (tmp_path / "text.txt").write_text("\n<|endoftext|>\n".join(f"A story of {number} birds." for number in range(60)))
    spec = spec_of(chats(file), {"kind": "files", "path": str(tmp_path / "text.txt")})
    prepared = prepare(spec, BYTES, tmp_path / "out")
    card = prepared.card
    talks, text = card.sources
    assert talks.learned == {"train": prepared.train.streams[0].n_learned, "validation": prepared.validation.streams[0].n_learned}
    assert (text.learned, text.template) == ({}, None)
    assert card.learned["train"] == talks.learned["train"] + text.tokens["train"] == prepared.train.n_learned
    share = 100 * sum(talks.learned.values()) / sum(talks.tokens.values())
    assert f"({share:.2f} %)" in card.to_markdown()
    assert "written as chatml; learned: what assistant says" in card.to_markdown()
    assert "are learned" in card.announcement()
    assert "Rows in which nothing is learned are passed over" in card.to_markdown()
    assert type(card).from_json(json.loads(json.dumps(card.to_json()))) == card

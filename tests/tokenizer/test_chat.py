"""Conversations as ids: what is learned is what the assistant says, to the token, and nobody can speak for another."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_text import random_text

from linnet.core.errors import ConfigError, DataError, TokenizerError
from linnet.core.spec import load
from linnet.tokenizer import END_OF_TEXT, Tokenizer
from linnet.tokenizer.bpe_tokenizer import train_bpe
from linnet.tokenizer.chat import ChatML, ChatTemplate, Llama3, Plain, Turn, as_turns
from linnet.tokenizer.sentencepiece import load_sentencepiece
from linnet.tokenizer.simple import ByteTokenizer

Real = Callable[[str], Path]
NAMES = (*ChatML().special_names(), *Llama3().special_names())
SAYING = "user\n\nassistant\nsystem User: the Assistant: says the thing again \n\n\n and again, user\nassistant\n"
BPE = train_bpe([SAYING * 3], 320, special=NAMES)
BYTES = ByteTokenizer({END_OF_TEXT: 256} | {name: 257 + i for i, name in enumerate(NAMES)})
TEMPLATES: list[ChatTemplate] = [ChatML(), Llama3(), Plain(), Plain(user="Q", assistant="A")]
Turns = list[Turn]


def as_text(template: ChatTemplate, turns: Turns, *, reply: bool = False) -> str:
    """The finished text, frame by frame."""
    parts = [template.begin]
    for turn in turns:
        parts += [template.frame(turn.role).before, turn.content, template.frame(turn.role).mark, template.frame(turn.role).after]
    return "".join(parts) + (template.frame("assistant").before if reply else "")


@st.composite
def conversations(draw: st.DrawFn, names: bool = False) -> Turns:
    """A system's turn or none, and one to three exchanges; with `names` they may say the marks of turns, and begin with white space."""
    words = st.text("user asitn:éQ" + "\n" * names, max_size=12) | st.sampled_from(
        [*((*NAMES, "\n", "User:\n") if names else ()), "\n"]
    )
    content = st.lists(words, max_size=3).map(lambda parts: "".join(parts) if names else "".join(["x", *parts, "x"]))
    turns = [Turn("system", draw(content))] if draw(st.booleans()) else []
    for _ in range(draw(st.integers(1, 3))):
        turns += [Turn("user", draw(content)), Turn("assistant", draw(content))]
    return turns


def name_of(template: ChatTemplate) -> str:
    return f"{template.kind}-{getattr(template, 'user', '')}"  # type: ignore[attr-defined]


@pytest.mark.parametrize("template", TEMPLATES, ids=name_of)
@given(turns=conversations())
def test_the_ids_are_those_of_the_finished_text(template: ChatTemplate, turns: Turns) -> None:
    rendered = template.render(BPE, turns)
    assert rendered.ids == BPE.encode(as_text(template, turns), special="token")
    asked = template.render(BPE, turns[:-1], reply=True)
    assert asked.ids == BPE.encode(as_text(template, turns[:-1], reply=True), special="token")


@pytest.mark.parametrize("template", TEMPLATES, ids=name_of)
@given(turns=conversations(names=True))
def test_what_is_taught_goes_on_from_what_will_be_given(template: ChatTemplate, turns: Turns) -> None:
    """The ids of a prompt begin the ids of every conversation that goes on from it: the law that a whole text would break."""
    whole = template.render(BPE, turns)
    for n in range(1 + (turns[0].role == "system"), len(turns), 2):
        asked = template.render(BPE, turns[:n], reply=True)
        assert whole.ids[: len(asked.ids)] == asked.ids
        assert whole.spans[n].start == len(asked.ids)


@pytest.mark.parametrize("template", TEMPLATES, ids=name_of)
@given(turns=conversations(names=True))
def test_a_tokenizer_learns_from_what_it_will_be_given(template: ChatTemplate, turns: Turns) -> None:
    """`texts` are the ordinary texts of a conversation, one by one: their ids are the ids of it without special tokens."""
    rendered = template.render(BPE, turns)
    ordinary = [token for token in rendered.ids if token not in BPE.special.values()]
    assert [token for text in template.texts(turns) for token in BPE.encode(text)] == ordinary
    last = template.render(BPE, turns).spans[-1]
    assert template.marks(BPE) == tuple(rendered.ids[last.stop : last.end])


def test_the_law_kills_ids_of_whole_texts() -> None:
    turns = [Turn("user", "again"), Turn("assistant", "\n and again")]
    asked, whole = (
        BPE.encode(as_text(ChatML(), part, reply=reply), special="token") for part, reply in ((turns[:1], True), (turns, False))
    )
    assert whole[: len(asked)] != asked


@pytest.mark.parametrize("template", TEMPLATES, ids=name_of)
@pytest.mark.parametrize("tokenizer", [BPE, BYTES], ids=["bpe", "byte"])
@given(turns=conversations(names=True))
def test_what_is_learned_is_what_was_said(template: ChatTemplate, tokenizer: Tokenizer, turns: Turns) -> None:
    rendered = template.render(tokenizer, turns)
    assert [span.role for span in rendered.spans] == [turn.role for turn in turns]
    learned = rendered.weights()
    for span, turn in zip(rendered.spans, turns):
        assert tokenizer.decode(rendered.ids[span.start : span.stop]) == turn.content
        assert tokenizer.decode(rendered.ids[span.stop : span.end]) == template.frame(turn.role).mark
        assert all(token not in tokenizer.special.values() for token in rendered.ids[span.start : span.stop])
        assert set(learned[span.start : span.end]) <= {int(turn.role == "assistant")}
    assert sum(learned) == sum(span.end - span.start for span in rendered.spans if span.role == "assistant")
    assert rendered.weights(roles=()) == [0] * len(rendered.ids)


@given(turns=conversations(names=True))
def test_nobody_speaks_for_another(turns: Turns) -> None:
    """However often people type marks, there are as many as there are turns."""
    ids = ChatML().render(BPE, turns).ids
    for name in ChatML().special_names():
        assert ids.count(BPE.special[name]) == len(turns)


def test_pieces_that_lose_spaces(real: Real) -> None:
    tokenizer = load_sentencepiece(real("tokenizers/llama2/tokenizer.model"))
    chance = random.Random(0)
    for _ in range(200):
        turns = [Turn("user", random_text(chance)), Turn("assistant", random_text(chance))]
        rendered = Plain().render(tokenizer, turns)
        span = rendered.spans[1]
        assert rendered.ids[span.start : span.stop] == tokenizer.encode(turns[1].content)
        assert rendered.ids[span.stop : span.end] == [tokenizer.end_id]


WRONG: list[tuple[Turns, bool, str]] = [
    ([], False, "no turn of a user in nothing"),
    ([Turn("system", "x")], False, "no turn of a user"),
    ([Turn("assistant", "x")], False, "turn 1 of assistant"),
    ([Turn("user", "x"), Turn("user", "y")], False, "turn 2 of user in user → user"),
    ([Turn("user", "x"), Turn("system", "y")], False, "turn 2 of system"),
    ([Turn("system", "x"), Turn("user", "x"), Turn("assistant", "y"), Turn("assistant", "z")], False, "turn 4 of assistant"),
    ([Turn("user", "x"), Turn("assistant", "y")], True, "a reply after the assistant's own turn"),
]


@pytest.mark.parametrize(("turns", "reply", "message"), WRONG, ids=[each[2] for each in WRONG])
def test_turns_in_an_order_that_no_conversation_has(turns: Turns, reply: bool, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Plain().render(BPE, turns, reply=reply)


def test_a_tokenizer_without_the_marks_is_refused() -> None:
    with pytest.raises(TokenizerError, match=r"<\|im_start\|>, <\|im_end\|>"):
        ChatML().render(ByteTokenizer(), [Turn("user", "x")])
    assert Plain().render(ByteTokenizer(), [Turn("user", "x")]).ids == list(b"User:\nx\n\n")


def test_turns_as_people_write_them() -> None:
    right = [Turn("system", "Be brief."), Turn("user", "Who?")]
    assert as_turns("Who?") == right[1:]
    assert as_turns(right) == as_turns([("system", "Be brief."), ("user", "Who?")]) == right
    assert as_turns([{"role": "system", "content": "Be brief."}, ["user", "Who?"]]) == right  # type: ignore[list-item]
    for alone in (right[1], {"role": "user", "content": "Who?"}):
        assert as_turns(alone) == right[1:]
    silent = [*right, Turn("assistant", ""), Turn("user", "And?")]  # a model may say nothing, and is asked on
    assert as_turns(silent) == silent


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("", "turn 1 says nothing"),
        ([("system", "  "), ("user", "x")], "turn 1 says nothing"),
        ([("user", None)], "turn 1 is .*needed: a pair of a role"),
        ([("user", "x"), 3], "turn 2 is 3"),
        ([("human", "x")], "needed: a pair of a role \\(system, user, assistant\\)"),
        ([{"role": "user"}], "turn 1 is {'role': 'user'}"),
        ([{"role": "user", "content": "x", "tool_calls": []}], "turn 1 has tool_calls beside role and content"),
        ([("user", "\ud83d")], "turn 1, character 0, U\\+D83D, is half a surrogate pair"),
    ],
)
def test_turns_that_are_none(said: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        as_turns(said)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"user": "<|endoftext|>"}, "without a special token's"),
        ({"assistant": "A\nB"}, "a name on one line"),
        ({"user": " "}, "a name on one line"),
        ({"user": "Assistant"}, "both called 'Assistant'"),
    ],
)
def test_names_that_nobody_can_have(names: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(ChatTemplate, {"kind": "plain", **names})  # type: ignore[type-abstract]

"""Conversations in the forms in which people keep them, told apart, read, and refused with their place."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from linnet.core.errors import DataError
from linnet.data.conversations import (
    FORMS,
    Conversation,
    Preference,
    Record,
    Text,
    form_for,
    form_in,
    read,
    read_all,
    turns_to_learn,
)
from linnet.tokenizer.chat import Turn

ASKED, ANSWERED = Turn("user", "Who sings?"), Turn("assistant", "A linnet.")
PAIR = [{"role": "user", "content": "Who sings?"}, {"role": "assistant", "content": "A linnet."}]
RECORDS: dict[str, tuple[dict[str, Any], Record]] = {
    "text": ({"text": "A linnet sings.", "id": 3}, Text("A linnet sings.")),
    "messages": ({"messages": PAIR}, Conversation((ASKED, ANSWERED))),
    "conversation": ({"conversation": PAIR, "source": "x"}, Conversation((ASKED, ANSWERED))),
    "sharegpt": (
        {"conversations": [{"from": "human", "value": "Who sings?"}, {"from": "gpt", "value": "A linnet."}]},
        Conversation((ASKED, ANSWERED)),
    ),
    "alpaca": ({"instruction": "Who sings?", "input": "", "output": "A linnet."}, Conversation((ASKED, ANSWERED))),
    "preference": (
        {"prompt": "Who sings?", "chosen": "A linnet.", "rejected": "Nobody."},
        Preference((ASKED,), "A linnet.", "Nobody."),
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_each_form_is_told_and_read(form: str) -> None:
    record, right = RECORDS[form]
    assert form_for(record, "here") == form
    assert read(record, "here") == read(record, "here", form) == right


def test_variants() -> None:
    more = read({"instruction": "Shorten.", "input": "A long text.", "output": "Text.", "system": "Be brief."}, "here")
    assert more == Conversation(
        (Turn("system", "Be brief."), Turn("user", "Shorten.\n\nA long text."), Turn("assistant", "Text."))
    )
    for nothing in ({}, {"input": None}, {"input": " \n"}):
        assert read({"instruction": "Who sings?", **nothing, "output": "A linnet."}, "here") == RECORDS["alpaca"][1]
    assert read({"messages": [*PAIR, PAIR[0]]}, "here") == Conversation((ASKED, ANSWERED, ASKED))  # which nobody answers
    worse = [PAIR[0], {"role": "assistant", "content": "Nobody."}]
    right = RECORDS["preference"][1]
    assert read({"chosen": PAIR, "rejected": worse}, "here") == right
    assert read({"prompt": [PAIR[0]], "chosen": "A linnet.", "rejected": "Nobody."}, "here") == right
    assert read({"prompt": [PAIR[0]], "chosen": PAIR[1:], "rejected": worse[1:]}, "here") == right  # as TRL writes them
    assert read({"prompt": "Who sings?", "chosen": PAIR[1:], "rejected": "Nobody."}, "here") == right
    assert read({"prompt": [PAIR[0]], "chosen": PAIR, "rejected": worse[1:]}, "here") == right  # with the prompt, without it


def test_the_first_form_is_taken_that_what_stands_there_fits() -> None:
    assert form_in({"conversation": 3, "instruction": "Who?", "output": "x"}) == "alpaca"  # a column of numbers
    assert form_in({"conversation": "3", "instruction": "Who?", "output": "x"}) == "alpaca"  # of a csv
    assert form_in({"messages": 3, "text": "x"}) == "text"
    assert form_in({"messages": json.dumps(PAIR), "text": "x"}) == "messages"
    assert form_in({"messages": 3}) == "messages"  # and broken
    assert form_in({"chosen": "a", "rejected": "b"}) == "preference"  # and broken, for it answers nothing
    assert form_in({"prompt": 3, "chosen": "a", "rejected": "b", "instruction": "Who?", "output": "x"}) == "alpaca"
    assert form_in({"messages": [{"from": "human", "value": "x"}], "text": "x"}) == "text"


def test_only_the_better_answer_is_to_be_learned() -> None:
    found = read(RECORDS["preference"][0], "here")
    assert turns_to_learn(found, "here") == (ASKED, ANSWERED)
    with pytest.raises(DataError, match="here: no turn of system"):
        turns_to_learn(found, "here", ["system"])
    with pytest.raises(DataError, match="here is a text"):
        turns_to_learn(Text("x"), "here")


BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "nothing known": ({"question": "x"}, "has the fields question"),
    "no fields": ({}, "has the fields none"),
    "no list": ({"messages": "hello"}, "its 'messages' is no JSON"),
    "an empty list": ({"messages": []}, "its 'messages' is an empty list"),
    "a turn that is none": ({"messages": ["hello"]}, "turn 1 is text"),
    "an unknown speaker": ({"messages": [{"role": "tool", "content": "x"}]}, "turn 1: role is 'tool'"),
    "a speaker that is a list": ({"messages": [{"role": ["user"], "content": "x"}]}, r"turn 1: role is \['user'\]"),
    "no words": ({"messages": [{"role": "user"}]}, "turn 1: it has no 'content'"),
    "words that are none": ({"messages": [{"role": "user", "content": 3}]}, "turn 1: its 'content' is a number"),
    "another order": ({"messages": PAIR[::-1]}, "turn 1 of assistant"),
    "a turn that says nothing": ({"instruction": "x", "output": " "}, "turn 2 says nothing"),
    "an output that is null": ({"instruction": "x", "output": None}, "its 'output' is nothing"),
    "answers to different turns": (
        {"chosen": PAIR, "rejected": [{"role": "user", "content": "Who?"}, PAIR[1]]},
        "two answers to different turns",
    ),
    "an answer to another prompt": (
        {"prompt": [PAIR[0]], "chosen": [{"role": "user", "content": "Who?"}, PAIR[1]], "rejected": "Nobody."},
        "chosen: begins with other turns than its prompt",
    ),
    "an answer that is a question": ({"chosen": [PAIR[0]], "rejected": [PAIR[0]]}, "chosen: ends with a turn of user"),
    "no prompt": ({"chosen": PAIR[1:], "rejected": PAIR[1:]}, "its 'prompt' is nothing"),
    "an empty prompt": ({"prompt": " ", "chosen": "x", "rejected": "y"}, "chosen: turn 1 says nothing"),
    "an empty answer": ({"prompt": "x", "chosen": "", "rejected": "y"}, "chosen: turn 2 says nothing"),
    "an empty worse answer": ({"prompt": "x", "chosen": "y", "rejected": ""}, "rejected: turn 2 says nothing"),
    "a prompt that is none": ({"prompt": 3, "chosen": "x", "rejected": "y"}, "its 'prompt' is a number"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_refused_with_its_place(name: str) -> None:
    record, message = BROKEN[name]
    with pytest.raises(DataError, match=message) as refused:
        read(record, "notes.jsonl, line 7")
    assert "notes.jsonl, line 7" in str(refused.value)


def test_records_of_one_file_are_of_one_form() -> None:
    rows = [("line 1", RECORDS["alpaca"][0]), ("line 2", RECORDS["messages"][0])]
    with pytest.raises(DataError, match="line 2 lacks instruction, output"):
        list(read_all(iter(rows)))
    with pytest.raises(DataError, match="'poem'"):
        read(RECORDS["text"][0], "here", "poem")


FILES = {
    "instructions/dolly_subset.jsonl.gz": (2981, Conversation),
    "preferences/hh_harmless_base.jsonl.gz": (2308, Preference),
    "preferences/alpaca_eval_train.jsonl.gz": (5685, Preference),
}


@pytest.mark.parametrize("name", FILES)
def test_real_files(name: str) -> None:
    path = next((p for up in (2, 3, 4) if (p := Path(__file__).parents[up] / "shared" / "data" / name).exists()), None)
    if path is None:
        pytest.skip(f"shared/data/{name} is not there")

    def rows() -> Iterator[tuple[str, dict[str, Any]]]:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                yield f"line {number}", json.loads(line)

    count, kind = FILES[name]
    found: list[Record] = []
    refused = []
    for where, record in rows():
        try:
            found.append(read(record, where))
        except DataError as error:
            refused.append(str(error))
    assert len(found) + len(refused) == count
    assert all("says nothing" in each for each in refused)
    assert len(refused) < count / 50
    assert all(isinstance(each, kind) for each in found)

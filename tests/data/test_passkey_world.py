"""Documents that hide a key: told once, asked for once, as long as asked, the same on every machine."""

from __future__ import annotations

import re
from itertools import islice
from typing import Any

import pytest

from linnet.core.errors import ConfigError
from linnet.core.spec import load
from linnet.data.sources import Source
from linnet.data.worlds.passkey import QUESTION, n_words, passkey, passkeys, statement


@pytest.mark.parametrize("length", [40, 90, 300])
@pytest.mark.parametrize("depth", [0.0, 0.5, 1.0])
def test_a_key_is_told_where_it_should_be_and_asked_for_at_the_end(length: int, depth: float) -> None:
    found = passkey(3, 5, length, depth=depth)
    assert found.text == found.prompt + found.answer
    assert found.prompt.endswith(QUESTION)
    assert found.answer == f" {' '.join(found.key)}."
    assert found.prompt.count(statement(found.key)) == 1
    assert length - 40 < n_words(found.text) <= length, "whole sentences, never more than asked"
    filler = found.prompt.removesuffix(QUESTION).strip()
    before, after = (n_words(part) for part in filler.split(statement(found.key)))
    assert abs(before - depth * (before + after)) <= 30, "within a sentence of its depth"
    assert not re.search(r"\d", filler.replace(statement(found.key), "")), "nothing else tells it"


def test_documents_follow_from_seed_and_index_alone() -> None:
    some = list(islice(passkeys(1, 60), 40))
    assert some[7] == passkey(1, 7, 60)
    assert len({found.key for found in some}) > 35
    assert passkey(2, 7, 60).key != some[7].key
    assert passkey(1, 7, 500).key == some[7].key, "a longer document asks for the same key"
    assert {digit for found in some for digit in found.key} == set("0123456789")
    depths = [found.depth for found in some]
    assert min(depths) < 0.2
    assert max(depths) > 0.8


def test_a_length_is_measured_as_it_is_asked() -> None:
    found = passkey(0, 0, 900, measure=len)
    assert 700 < len(found.text) <= 900


def test_the_first_document_is_what_it_was() -> None:
    """Written down from this generator: a change of it changes what every study was trained on."""
    assert passkey(0, 0, 60).key == "9839"
    assert passkey(0, 0, 60).answer == " 9 8 3 9."


def test_as_a_source_of_a_run() -> None:
    source: Any = load(Source, {"kind": "passkey", "count": 3, "length": 50, "digits": 2})  # type: ignore[type-abstract]
    documents = list(source.documents(seed=4))
    assert [document.text for document in documents] == [document.text for document in source.documents(seed=4)]
    assert len(documents) == 3
    assert all(re.search(r"key is \d \d\.$", document.text) for document in documents)
    assert source.digest(seed=4) != source.digest(seed=5)


def test_short_documents_hold_more_than_beginnings_of_stories() -> None:
    first = [passkey(0, index, 60, depth=1.0).prompt for index in range(60)]
    begins = [text.startswith(("Once ", "There was", "Not long ago", "One day", "Long ago", "This is a story")) for text in first]
    assert 0 < sum(begins) < 30


def test_lengths_between_two_are_all_there_and_others_are_not() -> None:
    lengths = [n_words(found.text) for found in islice(passkeys(0, 200, shortest=100), 120)]
    assert max(lengths) <= 200
    assert min(lengths) > 70
    assert sum(length < 150 for length in lengths) in range(35, 90)
    with pytest.raises(ConfigError, match="shortest = 90 with length = 50"):
        load(Source, {"kind": "passkey", "length": 50, "shortest": 90})  # type: ignore[type-abstract]

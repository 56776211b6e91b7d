"""Passkey retrieval: a reader that copies finds every key, one that forgets finds those told late, and it is what greedy decoding says."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from linnet.core.errors import LinnetError
from linnet.evaluate.passkey import document, ids_of, likeliest, passkey_table, retrieve, wilson
from linnet.model import Network
from linnet.tokenizer.base import END_OF_TEXT
from linnet.tokenizer.simple import UNKNOWN, CharTokenizer, byte_tokenizer
from linnet.zoo import Llama

TOKENIZER = byte_tokenizer()
TOLD = list(TOKENIZER.encode("The pass key is"))


class Reader:
    """Says after each token what followed the same 15 tokens the first time, if that was at most `reach` tokens ago."""

    device = torch.device("cpu")

    def __init__(self, reach: int, wrong: int | None = None) -> None:
        self.reach, self.wrong = reach, wrong

    def __call__(self, tokens: Tensor) -> Any:
        said = torch.zeros(*tokens.shape, TOKENIZER.vocab_size)
        for row, ids in enumerate(tokens.tolist()):
            first = next(i for i in range(len(ids)) if ids[i : i + len(TOLD)] == TOLD) + len(TOLD)
            last = max(i for i in range(len(ids)) if ids[i : i + len(TOLD)] == TOLD) + len(TOLD)
            for place in range(last - 1, len(ids)):
                copied = ids[first + place - last + 1]
                known = last - first <= self.reach and place - last + 1 != self.wrong
                said[row, place, copied if known else 0] = 1
        return SimpleNamespace(hidden=said)

    def logits(self, hidden: Tensor) -> Tensor:
        return hidden


def accuracies(reader: Any, length: int, **how: Any) -> list[float]:
    cells = passkey_table(reader, TOKENIZER, [length], (0.0, 0.5, 1.0), documents=6, **how)
    return [cell.accuracy for cell in cells]


def test_one_that_copies_finds_all_and_one_that_forgets_those_told_late() -> None:
    assert accuracies(Reader(10_000), 600) == [1, 1, 1]
    assert accuracies(Reader(0), 600) == [0, 0, 0]
    assert accuracies(Reader(150), 600) == [0, 0, 1]


def test_one_wrong_digit_is_a_wrong_key_but_most_of_its_tokens() -> None:
    cell = retrieve(Reader(10_000, wrong=3), TOKENIZER, 400, 0.5, documents=4)  # type: ignore[arg-type]
    assert cell.right == 0
    assert cell.digits == pytest.approx(7 / 8)  # four spaces and four digits, one of them wrong


def test_documents_are_as_long_as_asked_in_tokens_and_end_with_the_key() -> None:
    for index in range(8):
        ids, n = ids_of(TOKENIZER, document(TOKENIZER, 0, index, 500, digits=4, depth=0.3))
        assert 350 < len(ids) <= 500
        assert TOKENIZER.decode(ids).endswith(f"The pass key is {TOKENIZER.decode(ids[-n:]).strip()}")
        assert n == 8
    with pytest.raises(LinnetError, match=r"length = 60 .* at least"):
        document(TOKENIZER, 0, 0, 60, digits=4, depth=0.5)


def test_what_begins_a_text_stands_before_it_and_is_part_of_its_length() -> None:
    class Seen(Reader):
        def __call__(self, tokens: Tensor) -> Any:
            assert tokens[:, :2].tolist() == [[7, 9]] * len(tokens)
            longest.append(tokens.shape[1] + 1)
            return super().__call__(tokens)

    longest: list[int] = []
    assert accuracies(Seen(10_000), 400, begin=[7, 9]) == [1, 1, 1]
    assert max(longest) <= 400


def test_a_tokenizer_without_digits_is_refused() -> None:
    """Else a model that answers every question with [UNK] finds every key."""
    found = document(TOKENIZER, 0, 0, 500, digits=4, depth=0.5)
    letters = sorted(set(found.prompt + found.answer) - set("0123456789"))
    special = {END_OF_TEXT: 0, UNKNOWN: 1}
    without = CharTokenizer({letter: number for number, letter in enumerate(letters, 2)}, special)
    with pytest.raises(LinnetError, match=r"reads the key \d \d \d \d as .* write digits"):
        ids_of(without, found)


def test_it_is_what_greedy_decoding_says() -> None:
    network = Network(Llama(n_layers=1, n_heads=2, d_model=16, context_length=64).sentence(TOKENIZER.vocab_size), seed=1).eval()
    ids, n = ids_of(TOKENIZER, document(TOKENIZER, 0, 0, 220, digits=2, depth=0.5))
    written = ids[:-n]
    with torch.no_grad():
        for _ in range(n):
            written = [*written, int(network.logits(network(torch.tensor([written])).hidden[:, -1]).argmax())]
        own = torch.tensor([written])  # the model's own words as the answer: then every one of them is the likeliest
        assert torch.equal(likeliest(network, own[:, :-1], n), own[:, -n:])
        other = own.clone()
        other[0, -n] = (other[0, -n] + 1) % 256
        assert int(likeliest(network, other[:, :-1], n)[0, 0]) == written[-n]


def test_intervals_hold_also_at_the_ends() -> None:
    assert wilson(0, 20)[0] == 0
    assert 0.1 < wilson(0, 20)[1] < 0.2  # 0.161 by hand: z² / (n + z²)
    assert wilson(20, 20)[1] == 1
    low, high = wilson(10, 20)
    assert low + high == pytest.approx(1)

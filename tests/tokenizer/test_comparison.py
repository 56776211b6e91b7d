"""What tokenizers need for a text: the same however it is cut into batches, and no more of it is held than asked."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from linnet.tokenizer import Tokenizer
from linnet.tokenizer.bpe_tokenizer import train_bpe
from linnet.tokenizer.comparison import batches, compare
from linnet.tokenizer.simple import ByteTokenizer, train_char

TEXTS = ["the cat sat on the mat", "", "naïve 😀\n", "a \ud800 surrogate", "the mat, " * 50]


@pytest.mark.parametrize("at_once", [1, 30, 10**6])
def test_counts_are_those_of_each_text_by_itself(at_once: int) -> None:
    tokenizers: list[Tokenizer] = [train_bpe(TEXTS, 270), ByteTokenizer(), train_char(TEXTS)]
    n_bytes, n_words, needs = compare(tokenizers, iter(TEXTS), at_once=at_once)
    assert n_bytes == sum(len(text.encode("utf-8", "surrogatepass")) for text in TEXTS) == needs[1].n_ids
    assert n_words == 6 + 0 + 2 + 3 + 100
    for tokenizer, need in zip(tokenizers, needs, strict=True):
        ids = [token for text in TEXTS for token in tokenizer.encode(text)]
        assert need == (len(ids), len(set(ids)))
    assert compare(tokenizers, [])[2] == [(0, 0)] * 3


class Text(str):
    """A text that can be watched."""


def test_texts_are_let_go() -> None:
    alive: weakref.WeakSet[Text] = weakref.WeakSet()
    most = 0

    def read() -> Iterator[str]:
        nonlocal most
        for number in range(100):
            text = Text(f"{number:010}")
            alive.add(text)
            gc.collect()
            most = max(most, sum(map(len, alive)))
            yield text

    assert compare([ByteTokenizer()], read(), at_once=50)[0] == 1000
    assert most <= 50 + 50  # a batch that is gathered, beside the last one


def test_batches_keep_order_and_end_when_full() -> None:
    assert list(batches(["ab", "c", "", "defgh", "i"], 3)) == [["ab", "c"], ["", "defgh"], ["i"]]
    assert list(batches([], 3)) == []

"""The four ways of saying a loss, against their definitions."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from linnet.core.errors import LinnetError
from linnet.evaluate.bootstrap import ratio_interval
from linnet.evaluate.metrics import count_words, metrics


def test_uniform_bytes_cost_eight_bits_a_byte_and_have_perplexity_256():
    tokens = np.array([100, 50, 30])
    got = metrics(tokens * math.log(256), tokens, n_bytes=180, n_words=20)
    assert got.nats_per_token.value == pytest.approx(math.log(256))
    assert got.perplexity.value == pytest.approx(256)
    assert got.bits_per_byte.value == pytest.approx(8)
    assert got.word_perplexity.value == pytest.approx(256**9, rel=1e-9)
    assert (got.bits_per_byte.low, got.bits_per_byte.high) == (pytest.approx(8), pytest.approx(8))


def test_a_coarser_tokenizer_changes_per_token_but_not_per_byte_or_word():
    nats = np.array([70.0, 90.0, 60.0, 85.0])
    fine = metrics(nats, [40, 40, 40, 40], n_bytes=160, n_words=30)
    coarse = metrics(nats, [10, 10, 10, 10], n_bytes=160, n_words=30)
    assert coarse.nats_per_token.value == pytest.approx(4 * fine.nats_per_token.value)
    assert coarse.bits_per_byte.to_dict() == pytest.approx(fine.bits_per_byte.to_dict())
    assert coarse.word_perplexity.to_dict() == pytest.approx(fine.word_perplexity.to_dict())


def test_intervals_are_those_of_the_loss_carried_through():
    rng = np.random.default_rng(0)
    tokens = np.full(50, 128)
    nats = tokens * rng.normal(2, 0.2, 50)
    blocks = np.arange(50) // 2
    got, base = (
        metrics(nats, tokens, n_bytes=20_000, n_words=4_000, blocks=blocks, seed=5),
        ratio_interval(nats, tokens, blocks=blocks, seed=5),
    )
    assert got.nats_per_token == base
    assert got.perplexity.high == pytest.approx(math.exp(base.high))
    assert got.bits_per_byte.low == pytest.approx(base.low * 50 * 128 / 20_000 / math.log(2))
    assert got.word_perplexity.low == pytest.approx(math.exp(base.low * 50 * 128 / 4_000))


def test_what_cannot_be_said_is_none_and_json_holds():
    got = metrics([9000.0, 9100.0], [1000, 1000], n_bytes=2000, n_words=1)
    assert got.word_perplexity is None
    assert metrics([1.0], [1], n_bytes=0, n_words=0).bits_per_byte is None
    table = json.loads(json.dumps(got.to_dict(), allow_nan=False))
    assert table["bits_per_byte"].keys() == {"value", "low", "high"}
    assert (table["n_tokens"], table["n_windows"], table["word_perplexity"]) == (2000, 2, None)


def test_words_are_what_whitespace_separates():
    assert count_words("a  b\n\tc d ") == 4  # a no-break space separates
    assert count_words("don't stop-here 你好") == 3
    assert count_words(" \n") == 0


def test_negative_sizes_are_refused():
    with pytest.raises(LinnetError, match="n_bytes"):
        metrics([1.0], [1], n_bytes=-1, n_words=1)

"""Kneser-Ney: sums to one, equals the dictionary version, known by hand where a hand can."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linnet.core.errors import LinnetError
from linnet.evaluate import ngram
from linnet.evaluate.ngram import FALLBACK, KneserNey, discounts
from linnet.evaluate.ngram_reference import ReferenceKneserNey, context_at
from linnet.evaluate.ngram_reference import discounts as reference_discounts


def text(seed: int, n: int, vocab_size: int) -> np.ndarray:
    """Tokens with structure: a random walk with skewed steps, so that contexts repeat."""
    rng = np.random.default_rng(seed)
    return np.cumsum(rng.choice([0, 1, 2, 5], size=n, p=[0.1, 0.5, 0.3, 0.1])) % vocab_size


def oracle_law(train, valid, vocab_size: int, order: int, end_id: int | None) -> None:
    slow = ReferenceKneserNey([int(t) for t in train], vocab_size, order, end_id)
    tokens = [int(t) for t in valid]
    want = [-math.log(slow.probability(token, context_at(tokens, t, order, end_id))) for t, token in enumerate(tokens)]
    np.testing.assert_allclose(KneserNey(train, vocab_size, order, end_id).nats(valid), want, rtol=1e-10)


@pytest.mark.parametrize("order", [1, 2, 3, 5])
@pytest.mark.parametrize("end_id", [None, 0])
def test_equals_the_dictionary_version_on_a_text(order, end_id):
    oracle_law(text(0, 3000, 40), text(1, 400, 45), 50, order, end_id)


TOKENS = st.lists(st.integers(0, 4), min_size=1, max_size=40)


@settings(max_examples=150, deadline=None)
@given(TOKENS, TOKENS, st.integers(1, 5), st.sampled_from([None, 0]))
def test_equals_the_dictionary_version_on_any_tokens(train, valid, order, end_id):
    oracle_law(train, valid, 5, order, end_id)


def test_the_oracle_law_catches_wrong_discounts(monkeypatch):
    monkeypatch.setattr(ngram, "discounts", lambda adjusted: (0.75, 0.75, 0.75))
    with pytest.raises(AssertionError):
        oracle_law(text(0, 3000, 40), text(1, 100, 40), 50, 3, None)


def test_the_oracle_law_catches_contexts_that_cross_documents():
    train = text(0, 3000, 40)
    slow = ReferenceKneserNey(train.tolist(), 50, 3, 0)
    want = [-math.log(slow.probability(int(w), context_at(train.tolist(), t, 3, 0))) for t, w in enumerate(train)]
    assert not np.allclose(KneserNey(train, 50, 3, None).nats(train), want, rtol=1e-6)


@pytest.mark.parametrize("end_id", [None, 0])
def test_sums_to_one_after_any_context(end_id):
    train = text(0, 3000, 40)
    model = KneserNey(train, 50, 5, end_id)
    rng = np.random.default_rng(0)
    contexts = [train[i : i + 4] for i in rng.integers(0, 2990, 20)] + [
        rng.integers(0, 50, rng.integers(0, 7)) for _ in range(20)
    ]
    for context in contexts:
        p = model.probabilities(context)
        assert p.sum() == pytest.approx(1, abs=1e-12)
        assert p.min() > 0


def test_probabilities_are_those_of_the_text_read_on():
    train = text(0, 2000, 30)
    model = KneserNey(train, 30, 4, None)
    line = text(5, 12, 30)
    np.testing.assert_allclose(model.nats(line)[-1], -math.log(model.probabilities(line[:-1])[line[-1]]), rtol=1e-12)


def test_unigram_by_hand():
    """Counts 3, 2, 1 of 6 and the fallback discounts: (3 - 1.5)/6 + (0.5 + 1 + 1.5)/6 · 1/4, and so on."""
    p = KneserNey([0, 0, 0, 1, 1, 2], 4, order=1).probabilities([])
    np.testing.assert_allclose(p, [1.5 / 6 + 1 / 8, 1 / 6 + 1 / 8, 0.5 / 6 + 1 / 8, 1 / 8])


def test_bigram_counts_what_stands_to_the_left():
    """'Francisco' (1) follows one word only, however often: it gets less than 'day' (2), which follows three."""
    train = [0, 1, 0, 1, 0, 1, 0, 1, 3, 2, 4, 2, 5, 2, 0, 1]
    lower = KneserNey(train, 6, order=2).probabilities([])
    raw = KneserNey(train, 6, order=1).probabilities([])
    assert lower[1] < lower[2]
    assert raw[1] > raw[2]


def test_unseen_tokens_share_evenly():
    p = KneserNey(text(0, 500, 20), 100, order=3).probabilities([])
    assert np.ptp(p[20:]) == 0
    assert p[20] > 0


def test_discounts_by_chen_and_goodman():
    """n1..n4 = 8, 4, 2, 1: Y = 1/2, D = 1 - 2·½·½, 2 - 3·½·½, 3 - 4·½·½."""
    adjusted = np.repeat([1, 2, 3, 4, 9], [8, 4, 2, 1, 3])
    assert discounts(adjusted) == pytest.approx((0.5, 1.25, 2.0))
    assert discounts(np.array([1, 1, 2])) == FALLBACK
    from collections import Counter

    assert reference_discounts(Counter({(i,): int(a) for i, a in enumerate(adjusted)})) == pytest.approx((0.5, 1.25, 2.0))


def test_more_context_helps_on_text_with_structure():
    train, valid = text(0, 20_000, 40), text(1, 2000, 40)
    losses = [KneserNey(train, 40, n).nats(valid).mean() for n in (1, 2, 3)]
    entropy = -sum(p * math.log(p) for p in (0.1, 0.5, 0.3, 0.1))
    assert losses[0] > losses[1] + 1
    assert entropy - 0.05 < losses[1] < entropy + 0.1  # a bigram knows all there is to know
    assert losses[2] < losses[1] + 0.1


def test_documents_are_scored_alone():
    """With end tokens, a document's loss is the same whatever stood before it."""
    model = KneserNey(text(0, 3000, 40), 40, 4, end_id=0)
    document = [7, 8, 9, 11, 0]
    alone = model.nats(document)
    np.testing.assert_array_equal(model.nats([3, 4, 5, 0, *document])[4:], alone)


@pytest.mark.parametrize(
    ("tokens", "vocab_size", "order"),
    [([], 5, 2), ([5], 5, 2), ([-1], 5, 2), ([0.5], 5, 2), ([[1]], 5, 2), ([1], 5, 0), ([1], 2**63, 2)],
)
def test_what_cannot_be_counted_is_refused(tokens, vocab_size, order):
    with pytest.raises(LinnetError):
        KneserNey(tokens, vocab_size, order)


def test_no_tokens_to_score_is_an_empty_answer():
    assert KneserNey([1, 2], 5, 3).nats([]).shape == (0,)

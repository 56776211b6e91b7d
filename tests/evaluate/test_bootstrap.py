"""The bootstrap: normal theory on independent data, coverage, and blocks that matter."""

from __future__ import annotations

import math

import numpy as np
import pytest

from linnet.core.errors import LinnetError
from linnet.evaluate.bootstrap import Estimate, consecutive_blocks, neighbours, ratio_interval, resampled_ratios


def width(estimate: Estimate) -> float:
    assert estimate.low is not None
    assert estimate.high is not None
    return estimate.high - estimate.low


def test_interval_of_independent_windows_is_that_of_normal_theory():
    """Delta method for a ratio of means: sd = sqrt(mean((s - r c)^2) / n) / mean(c)."""
    rng = np.random.default_rng(0)
    counts = rng.integers(50, 150, 400).astype(float)
    sums = counts * rng.normal(3.0, 0.5, 400)
    got = ratio_interval(sums, counts, resamples=8000)
    ratio = sums.sum() / counts.sum()
    sd = math.sqrt(((sums - ratio * counts) ** 2).mean() / len(sums)) / counts.mean()
    assert got.value == pytest.approx(ratio, rel=1e-12)
    assert got.low == pytest.approx(ratio - 1.95996 * sd, abs=0.15 * sd)
    assert got.high == pytest.approx(ratio + 1.95996 * sd, abs=0.15 * sd)


def coverage(interval, *, correlated: bool, texts: int = 300) -> float:
    """How often the interval holds the true mean of 1, over texts of 40 documents of 5 windows."""
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(texts):
        document = rng.normal(0, 0.5, (40, 1)) if correlated else 0.0
        windows = (1 + document + rng.normal(0, 0.3, (40, 5))).ravel()
        got = interval(windows * 10, np.full(200, 10.0))
        hits += got.low <= 1 <= got.high
    return hits / texts


def coverage_law(interval, *, correlated: bool) -> None:
    assert 0.90 <= coverage(interval, correlated=correlated) <= 0.99  # 95 % ± 4 standard errors of 300 texts


def by_document(s, c):
    return ratio_interval(s, c, blocks=consecutive_blocks(200, 5), resamples=400)


@pytest.mark.parametrize("correlated", [False, True])
def test_95_percent_intervals_hold_the_truth_95_times_in_100(correlated):
    coverage_law(by_document, correlated=correlated)


def test_the_coverage_law_catches_windows_taken_as_independent():
    with pytest.raises(AssertionError):
        coverage_law(lambda s, c: ratio_interval(s, c, resamples=400), correlated=True)


def test_a_level_of_half_covers_half():
    assert 0.38 <= coverage(lambda s, c: ratio_interval(s, c, level=0.5, resamples=400), correlated=False) <= 0.62


def test_same_seed_same_interval_and_any_block_labels():
    rng = np.random.default_rng(2)
    s, c = rng.random(60), rng.random(60)
    labels = np.repeat(np.arange(12), 5)
    assert ratio_interval(s, c, seed=3, blocks=labels) == ratio_interval(s, c, seed=3, blocks=[f"doc{i:02}" for i in labels])
    assert ratio_interval(s, c, seed=3) != ratio_interval(s, c, seed=4)


def test_chunks_do_not_change_the_draws(monkeypatch):
    s, c = np.arange(1.0, 31.0), np.full(30, 2.0)
    whole = resampled_ratios(s, c, 200, np.random.default_rng(0))
    monkeypatch.setattr("linnet.evaluate.bootstrap.DRAWS_AT_ONCE", 90)
    np.testing.assert_array_equal(whole, resampled_ratios(s, c, 200, np.random.default_rng(0)))


def test_windows_without_tokens_change_nothing():
    assert ratio_interval([1.0, 2, 4, 0], [1, 1, 1, 0]) == ratio_interval([1.0, 2, 4], [1, 1, 1])


def test_one_block_has_a_value_and_no_interval():
    assert ratio_interval([6.0], [3]) == Estimate(2.0, None, None)
    assert ratio_interval([6.0, 3.0], [3, 1], blocks=[7, 7]) == Estimate(2.25, None, None)


def test_constant_data_has_a_width_of_zero():
    assert width(ratio_interval(np.full(20, 4.0), np.full(20, 2.0))) == 0


@pytest.mark.parametrize(
    ("sums", "counts", "options"),
    [
        ([1.0], [1, 2], {}),
        ([], [], {}),
        ([1.0, math.nan], [1, 1], {}),
        ([1.0], [0], {}),
        ([1.0, 1.0], [-1, 3], {}),
        ([1.0, 2.0], [1, 1], {"level": 1.0}),
        ([1.0, 2.0], [1, 1], {"blocks": [0]}),
    ],
)
def test_what_makes_no_ratio_is_refused(sums, counts, options):
    with pytest.raises(LinnetError):
        ratio_interval(sums, counts, **options)


def test_neighbours_are_runs_of_the_cube_root():
    assert neighbours(1).tolist() == [0]
    assert neighbours(8).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    runs = np.bincount(neighbours(1000))
    assert (runs == 10).all()

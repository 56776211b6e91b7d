"""Intervals over seeds, against closed forms of Student's distribution and against counting how often they hold the truth."""

from __future__ import annotations

import math

import numpy as np
import pytest

from linnet.core.errors import LinnetError
from linnet.evaluate.seeds import difference_interval, mean_interval, t_probability, t_quantile

LEVELS = (0.5, 0.9, 0.95, 0.99)


@pytest.mark.parametrize("level", LEVELS)
def test_quantiles_have_their_closed_forms(level: float) -> None:
    """One degree of freedom is Cauchy's distribution, two and four have roots (Shaw 2006)."""
    p = (1 + level) / 2
    alpha = 4 * p * (1 - p)
    four = 2 * math.sqrt(math.cos(math.acos(math.sqrt(alpha)) / 3) / math.sqrt(alpha) - 1)
    assert t_quantile(1, level) == pytest.approx(math.tan(math.pi * (p - 0.5)), rel=1e-9)
    assert t_quantile(2, level) == pytest.approx((2 * p - 1) * math.sqrt(2 / alpha), rel=1e-9)
    assert t_quantile(4, level) == pytest.approx(four, rel=1e-9)


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 5, 8, 9, 30])
def test_probability_is_the_integral_of_the_density(freedom: int) -> None:
    scale = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)) / math.sqrt(freedom * math.pi)
    places = np.linspace(0, 2.5, 200_001)
    density = scale * (1 + places**2 / freedom) ** (-(freedom + 1) / 2)
    assert t_probability(2.5, freedom) == pytest.approx(2 * np.trapezoid(density, places), abs=1e-9)


def test_quantiles_are_those_of_the_tables() -> None:
    for freedom, value in {1: 12.706, 2: 4.303, 3: 3.182, 5: 2.571, 10: 2.228, 29: 2.045, 120: 1.980}.items():
        assert t_quantile(freedom) == pytest.approx(value, abs=5e-4)


def test_a_mean_of_three() -> None:
    found = mean_interval([1.0, 2.0, 3.0])  # s = 1
    assert found.value == 2
    assert found.low == pytest.approx(2 - 4.302653 / math.sqrt(3), abs=1e-5)
    assert found.high == pytest.approx(2 + 4.302653 / math.sqrt(3), abs=1e-5)


def test_one_run_has_no_interval_and_none_has_no_mean() -> None:
    assert (mean_interval([1.5]).low, difference_interval([1.0], [2.0, 3.0]).high) == (None, None)
    for few in (lambda: mean_interval([]), lambda: difference_interval([], [1.0]), lambda: t_quantile(0)):
        with pytest.raises(LinnetError):
            few()


def test_a_difference_of_equal_spreads_is_the_pooled_one() -> None:
    """Equal sizes and variances: ν = 2n - 2, as in Student's own test."""
    found = difference_interval([1.0, 2.0, 3.0], [2.0, 3.0, 4.0])
    assert found.value == -1
    assert found.high == pytest.approx(-1 + 2.776445 * math.sqrt(2 / 3), abs=1e-5)


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """Of 4,000 draws of three runs 95 % hold it (standard deviation 0.35 %); with the normal's 1.96 it would be 81 %."""
    draws = np.random.default_rng(0).normal(size=(4000, 3))
    held = [interval.low < 0 < interval.high for interval in map(mean_interval, draws.tolist()) if interval.low is not None]
    assert 0.935 < np.mean(held) < 0.965


def test_counting_kills_an_interval_of_the_normal_distribution(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("linnet.evaluate.seeds.t_quantile", lambda freedom, level: 1.959964)
    draws = np.random.default_rng(0).normal(size=(4000, 3))
    held = [interval.low < 0 < interval.high for interval in map(mean_interval, draws.tolist()) if interval.low is not None]
    assert 0.79 < np.mean(held) < 0.83


def test_welch_holds_the_truth_with_unequal_spreads() -> None:
    rng = np.random.default_rng(1)
    pairs = zip(rng.normal(size=(3000, 3)).tolist(), (5 * rng.normal(size=(3000, 3))).tolist())
    found = [difference_interval(a, b) for a, b in pairs]
    assert np.mean([each.low < 0 < each.high for each in found if each.low is not None]) > 0.935

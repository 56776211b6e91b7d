"""Charts, and numbers as people read them."""

from __future__ import annotations

import doctest
import math
import re

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from linnet.report import numbers
from linnet.report.plots import INK, VARIABLES, Curve, bars_chart, curve_chart, loss_chart, smoothed, thinned


def test_examples_of_words_hold():
    assert doctest.testmod(numbers).failed == 0


def test_cells():
    assert [numbers.cell(v) for v in (None, True, 3, 0.5, [1, 2], {"a": 1}, "x", math.nan)] == [
        "–",
        "yes",
        "3",
        "0.5",
        "1, 2",
        "a: 1",
        "x",
        "–",
    ]
    assert (numbers.cell(3900, "s"), numbers.cell(2048, "bytes")) == ("1 h 05 min", "2 KiB")


def test_error_in_percent():
    assert numbers.error_percent(100, 110) == pytest.approx(10)
    assert numbers.error_percent(-4.0, -5.0) == pytest.approx(-25)
    assert [numbers.error_percent(*pair) for pair in ((0, 1), (None, 1), (1, "x"), (1, math.inf))] == [None] * 4


def test_durations_never_show_sixty_of_anything():
    for seconds in [*np.linspace(0, 400_000, 7001), 59.4, 59.6, 3599.6, 7199.9]:
        assert not re.search(r"\b60 (s|min)|d 24 h", numbers.duration(float(seconds)))


def test_smoothing_keeps_constants_lines_and_the_mean():
    np.testing.assert_allclose(smoothed(np.full(50, 3.0), 8), 3.0)
    line = np.arange(200.0)
    np.testing.assert_allclose(smoothed(line, 8)[90:110], line[90:110], atol=1e-3)  # no lag
    assert np.ptp(smoothed(np.random.default_rng(0).normal(size=500), 50)) < 1


def test_thinning_keeps_the_outline():
    x = np.arange(10_000.0)
    y = np.random.default_rng(0).normal(size=10_000)
    y[[1234, 8765]] = 50, -50
    small = thinned(Curve(x, y))
    assert len(small.x) <= 900
    assert (small.y.max(), small.y.min()) == (50, -50)
    assert (small.x[0], small.x[-1]) == (0, 9999)
    assert np.all(np.diff(small.x) > 0)


def some_charts() -> list[str]:
    x = np.arange(50.0)
    curve = Curve(x, np.exp(-x / 10) + 1)
    return [
        loss_chart(curve, Curve(x[::10], curve.y[::10]), xlabel="steps", yardsticks={"5-gram": 1.2, "$x^{<b>": 1.5}),
        curve_chart(curve, xlabel="steps", ylabel="gradient norm", name="g", smooth=True),
        bars_chart([("this model", 2.0, 1.9, 2.1, True), ("$x^{<b>", 3.0, None, None, False)], xlabel="bits", name="b"),
    ]


def test_colours_are_variables_and_text_is_text():
    for svg in some_charts():
        colours = set(re.findall(r"#[0-9a-f]{6}\b", re.sub(r"var\([^)]*\)", "", svg)))
        assert not colours, colours
        assert not any(stand_in in svg for stand_in in VARIABLES)
        assert "<text" in svg
    assert "$x^{&lt;b&gt;" in some_charts()[2]
    assert INK not in some_charts()[0]


def test_drawing_leaves_matplotlib_as_it_was():
    import matplotlib

    before = dict(matplotlib.rcParams)
    some_charts()
    assert dict(matplotlib.rcParams) == before


def test_a_yardstick_far_below_is_left_to_the_table():
    curve = Curve(np.arange(10.0), np.linspace(5.0, 4.0, 10))
    assert "5-gram" not in loss_chart(curve, curve, xlabel="steps", yardsticks={"5-gram": 1.0})
    assert "5-gram" in loss_chart(curve, curve, xlabel="steps", yardsticks={"5-gram": 4.4})

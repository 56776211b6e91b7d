"""Schedules against closed forms; the clock that drives them."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linnet.core.spec import dump, load, words
from linnet.train.clock import Clock
from linnet.train.schedule import WSD, Constant, Cosine, LinearDecay, Schedule

STEPS = 400
ALL = [cls() for cls in words(Schedule).values()]


def factors(schedule: Schedule, steps: int = STEPS) -> list[float]:
    return [schedule.factor(step, step / steps) for step in range(steps)]


@pytest.mark.parametrize("schedule", ALL, ids=lambda s: s.kind)
def test_a_factor_lies_between_nothing_and_one_and_has_no_jumps(schedule: Schedule) -> None:
    found = factors(schedule)
    assert all(0 < factor <= 1 for factor in found)
    steepest = max(1 / max(1, schedule.warmup), 2 / (0.3 * STEPS))  # type: ignore[attr-defined]
    for one, other in pairwise(found):
        assert abs(one - other) <= steepest + 1e-12
    assert load(Schedule, dump(schedule)) == schedule


@pytest.mark.parametrize("schedule", ALL, ids=lambda s: s.kind)
def test_the_warm_up_is_a_line_that_begins_above_zero(schedule: Schedule) -> None:
    warm = schedule.replace(warmup=10)
    plain = schedule.replace(warmup=0)
    for step in range(20):
        expected = min(1.0, (step + 1) / 10) * plain.factor(step, step / STEPS)
        assert warm.factor(step, step / STEPS) == pytest.approx(expected, rel=1e-12)


def test_closed_forms() -> None:
    cosine, line, wsd = Cosine(warmup=0, final=0.1), LinearDecay(warmup=0, final=0.2), WSD(warmup=0, decay=0.25, final=0.1)
    for progress in (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0):
        assert cosine.factor(0, progress) == pytest.approx(0.1 + 0.9 * math.cos(math.pi * progress / 2) ** 2)
        assert line.factor(0, progress) == pytest.approx(1 - 0.8 * progress)
        assert wsd.factor(0, progress) == pytest.approx(1.0 if progress <= 0.75 else 1 - 0.9 * (progress - 0.75) / 0.25)
    assert Constant().factor(10**6, 1.0) == 1.0


@pytest.mark.parametrize(
    ("schedule", "final"), [(Cosine(final=0.1), 0.1), (LinearDecay(final=0.3), 0.3), (WSD(final=0.05), 0.05), (WSD(), 0.0)]
)
def test_the_end_is_the_final_factor_and_later_changes_nothing(schedule: Schedule, final: float) -> None:
    assert schedule.factor(10**6, 1.0) == pytest.approx(final, abs=1e-12)
    assert schedule.factor(10**6, 1.7) == pytest.approx(final, abs=1e-12)


@given(st.floats(0, 1), st.floats(0, 1))
def test_after_the_warm_up_no_schedule_rises(one: float, other: float) -> None:
    for schedule in ALL:
        assert schedule.factor(10**6, max(one, other)) <= schedule.factor(10**6, min(one, other)) + 1e-12


def test_a_clock_of_steps_never_asks_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(steps=8)
    monkeypatch.setattr("linnet.train.clock.time.perf_counter", lambda: 1 / 0)
    assert [clock.progress(step) for step in (0, 2, 8)] == [0, 0.25, 1]


def test_a_clock_of_seconds_counts_earlier_sittings(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("linnet.train.clock.time.perf_counter", lambda: now[0])
    clock = Clock(seconds=20, spent_before=5, started=100.0)
    assert clock.progress(10**9) == 0.25
    now[0] += 5
    assert (clock.spent, clock.progress(0), clock.seconds_left(0)) == (10, 0.5, 10)
    now[0] += 90
    assert (clock.progress(0), clock.seconds_left(0)) == (1.0, 0.0)


def test_a_clock_of_steps_guesses_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("linnet.train.clock.time.perf_counter", lambda: now[0])
    clock = Clock(steps=10, started=0.0)
    assert clock.seconds_left(0) is None
    now[0] = 3.0
    assert clock.seconds_left(2) == pytest.approx(12)


def test_a_clock_wants_one_plan() -> None:
    for plan in ({}, {"steps": 1, "seconds": 1.0}):
        with pytest.raises(AssertionError):
            Clock(**plan)  # type: ignore[arg-type]

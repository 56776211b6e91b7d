"""How sure is a mean over seeds? Student's interval (1908), and Welch's (1947) for the difference of two means.

    mean ± t(n - 1) · s / √n           (a - b) ± t(ν) · √(s_a²/n_a + s_b²/n_b)

A few runs that differ in their seed alone say how far another seed would move the number; how far another text would is the bootstrap's
answer (evaluate/bootstrap.py). With few runs t is large: 12.7 standard errors for two, 4.3 for three. That is what so few can show.
ν is Welch's and Satterthwaite's number of degrees of freedom, rounded down, which makes an interval wider and never narrower.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from linnet.core.errors import LinnetError, explain
from linnet.evaluate.bootstrap import Estimate


def t_probability(t: float, freedom: int) -> float:
    """P(|T| < t) of Student's distribution with a whole number of degrees of freedom (Abramowitz & Stegun, 26.7.3 and 26.7.4)."""
    angle = math.atan(t / math.sqrt(freedom))
    sine, square = math.sin(angle), math.cos(angle) ** 2
    odd = freedom % 2
    term = total = 0.0
    for k in range(freedom // 2):  # 1 + (1/2) cos² + (1·3)/(2·4) cos⁴ …, or for an odd number cos + (2/3) cos³ …
        term = (math.cos(angle) if odd else 1.0) if k == 0 else term * square * ((2 * k) if odd else (2 * k - 1)) / (2 * k + odd)
        total += term
    return 2 / math.pi * (angle + sine * total) if odd else sine * total


def t_quantile(freedom: int, level: float = 0.95) -> float:
    """How many standard errors hold `level` of Student's distribution, on both sides together; by bisection."""
    if freedom < 1 or not 0 < level < 1:
        raise LinnetError(
            explain(f"{freedom} degrees of freedom, level = {level}", need="at least 1, and a level between 0 and 1")
        )
    low, high = 0.0, 1.0
    while t_probability(high, freedom) < level:
        high *= 2
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if t_probability(middle, freedom) < level else (low, middle)
    return (low + high) / 2


def mean_interval(values: Sequence[float], level: float = 0.95) -> Estimate:
    """The mean with its interval; none of one value, which says nothing of the spread. Raises LinnetError without values."""
    if not values:
        raise LinnetError(explain("no values", need="at least one, to have a mean"))
    mean = float(np.mean(values))
    if len(values) < 2:
        return Estimate(mean)
    half = t_quantile(len(values) - 1, level) * float(np.std(values, ddof=1)) / math.sqrt(len(values))
    return Estimate(mean, mean - half, mean + half)


def difference_interval(a: Sequence[float], b: Sequence[float], level: float = 0.95) -> Estimate:
    """mean(a) - mean(b) with Welch's interval; none where one of them is a single value."""
    if not a or not b:
        raise LinnetError(explain(f"{len(a)} and {len(b)} values", need="at least one of each, to have a difference"))
    value = float(np.mean(a) - np.mean(b))
    if min(len(a), len(b)) < 2:
        return Estimate(value)
    parts = [float(np.var(values, ddof=1)) / len(values) for values in (a, b)]
    error = sum(parts)
    if error == 0:
        return Estimate(value, value, value)
    freedom = error**2 / sum(part**2 / (len(values) - 1) for part, values in zip(parts, (a, b)))
    half = t_quantile(max(1, math.floor(freedom + 1e-9)), level) * math.sqrt(error)
    return Estimate(value, value - half, value + half)

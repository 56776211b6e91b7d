"""How sure is a ratio of sums? The block bootstrap.

A loss is sum(nats) / sum(tokens) over windows of text. Tokens of one document are alike, so the unit that is drawn
again is a *block*: a document, or a run of neighbouring windows. Draw as many blocks as there are, with replacement,
take the ratio, and do it 2000 times; the interval is what lies between the percentiles.

Sources: Efron 1979 (the bootstrap; percentile interval), Kunsch 1989 (blocks). It says how far another text of the same
kind and length would move the number, not how far another training seed would.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from linnet.core.errors import LinnetError, explain
from linnet.core.seeds import numpy_generator

DRAWS_AT_ONCE = 2_000_000  # block numbers held in memory at a time (16 MB)


@dataclass(frozen=True)
class Estimate:
    """A number with its interval; `low` and `high` are None where one block says nothing about the spread."""

    value: float
    low: float | None = None
    high: float | None = None

    def to_dict(self) -> dict[str, float | None]:
        """Plain JSON data: value, low, high."""
        return {"value": self.value, "low": self.low, "high": self.high}


def consecutive_blocks(n: int, length: int) -> NDArray[np.int64]:
    """Block numbers (n,) that put every `length` neighbouring windows into one block."""
    return np.arange(n) // length


def neighbours(n: int) -> NDArray[np.int64]:
    """Block numbers (n,) for windows in reading order: runs of about the cube root of n, as Künsch advises."""
    return consecutive_blocks(n, max(1, round(n ** (1 / 3))))


def ratio_interval(
    sums: ArrayLike,
    counts: ArrayLike,
    *,
    blocks: ArrayLike | None = None,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Estimate:
    """sum(sums) / sum(counts) with its percentile interval.

    sums (N,)     e.g. nats per window
    counts (N,)   e.g. tokens per window; none negative, some positive
    blocks (N,)   a number per window; windows of one number are drawn together (None: each is its own block)
    level         share of intervals that would hold the truth
    resamples     2000 gives the 2.5 % percentile to about ±0.3 percentage points

    Raises LinnetError where the inputs cannot make a ratio. Same inputs and seed: same interval.
    """
    s: NDArray[Any] = np.asarray(sums, dtype=np.float64)
    c: NDArray[Any] = np.asarray(counts, dtype=np.float64)
    _check(s, c, level, resamples)
    if blocks is not None:
        _, labels = np.unique(np.asarray(blocks), return_inverse=True)
        if labels.shape != s.shape:
            raise LinnetError(explain(f"blocks of shape {labels.shape} for {s.shape} windows", need="one number per window"))
        s, c = np.bincount(labels, weights=s), np.bincount(labels, weights=c)
    value = float(s.sum() / c.sum())
    ratios = resampled_ratios(s, c, resamples, numpy_generator(seed, "evaluate/bootstrap"))
    if ratios is None:
        return Estimate(value)
    tail = (1 - level) / 2
    low, high = np.quantile(ratios, [tail, 1 - tail])
    return Estimate(value, float(low), float(high))


def resampled_ratios(s: NDArray[Any], c: NDArray[Any], resamples: int, rng: np.random.Generator) -> NDArray[np.float64] | None:
    """`resamples` ratios (R,) of blocks drawn with replacement; None for fewer than two blocks that count."""
    live = c > 0
    if int(live.sum()) < 2:
        return None
    s, c = s[live], c[live]
    ratios = np.empty(resamples)
    step = max(1, DRAWS_AT_ONCE // len(s))
    for start in range(0, resamples, step):
        drawn = rng.integers(0, len(s), size=(min(step, resamples - start), len(s)))  # (R, N) block numbers
        ratios[start : start + step] = s[drawn].sum(axis=1) / c[drawn].sum(axis=1)
    return ratios


def _check(s: NDArray[Any], c: NDArray[Any], level: float, resamples: int) -> None:
    if s.ndim != 1 or s.shape != c.shape:
        raise LinnetError(explain(f"sums of shape {s.shape}, counts of shape {c.shape}", need="two equally long lists"))
    if not np.isfinite(s).all() or not np.isfinite(c).all():
        bad = int((~(np.isfinite(s) & np.isfinite(c))).sum())
        raise LinnetError(explain(f"{bad} of {len(s)} windows are not finite", need="numbers; a loss of NaN has no mean"))
    if (c < 0).any() or c.sum() <= 0:
        raise LinnetError(explain(f"counts that sum to {c.sum():g}", need="at least one token to score, and no negative count"))
    if not 0 < level < 1 or resamples < 100:
        raise LinnetError(explain(f"level = {level}, resamples = {resamples}", need="0 < level < 1 and at least 100 resamples"))

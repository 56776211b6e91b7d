"""What fits into a budget: the model size, batch and steps that promise the lowest loss, from timed steps.

    L(N, D) = E + A / N^α + B / D^β                       (Chinchilla, 2203.15556, eq. 10, with its constants)
    D' = U + U R* (1 - e^(-R / R*)),   D = U (1 + R)      (repeated data counts for less, 2305.16264, eq. 5)

N: parameters of the layers, D: tokens read, U: distinct ones. A budget of seconds gives each size its own D through
the speed measured here and now; the size with the lowest L wins. The constants were fitted far above our sizes: only
the balance between the two terms is used, never the value of L.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

from linnet.core.errors import BudgetError, explain
from linnet.model.count import Cost, count
from linnet.objective.base import Objective
from linnet.train.estimate import Estimate
from linnet.train.optimizers import Optimizer
from linnet.train.precision import Precision
from linnet.train.probe import PROBE_STEPS, Probe, probe
from linnet.zoo import SIZES, Decoder

A, B, ALPHA, BETA = 406.4, 410.7, 0.34, 0.28  # 2203.15556, section D.3
REPEATS = 15.39  # R*: after so many repeats, more of them are worth little (2305.16264, table in section 5)
TOKENS_A_STEP = (1024, 65_536)
AIMED_STEPS = 2_500  # enough for a schedule to do its work; fewer, larger steps use the machine better


def effective_tokens(read: float, distinct: float) -> float:
    """What `read` tokens are worth when only `distinct` of them differ (2305.16264, eq. 5)."""
    if read <= distinct:
        return read
    repeats = read / distinct - 1
    return distinct * (1 + REPEATS * (1 - math.exp(-repeats / REPEATS)))


def tokens_for(parameters: float) -> float:
    """Tokens that a size is best trained on: about twenty a parameter (2203.15556, table 3)."""
    return 20.0 * parameters


def reducible_loss(parameters: float, tokens: float) -> float:
    """A / N^α + B / D^β: the part of the loss that size and data decide."""
    return A / parameters**ALPHA + B / tokens**BETA


def tokens_in(seconds: float, cost: Cost, peak_flops: float) -> float:
    """Tokens that are learned from in a time, guessed before anything is timed: at half of the machine's peak."""
    return seconds * 0.5 * peak_flops / cost.train_flops


@dataclass(frozen=True)
class Choice:
    """A size with its batch, what its steps cost here, and what the law promises."""

    family: Decoder
    cost: Cost
    rows: int
    probe: Probe
    steps: int
    tokens: int
    epochs: float
    promised: float


def rows_for(tokens_in_all: float, context: int) -> int:
    """Rows a step so that the run has about AIMED_STEPS steps: a power of two, or three quarters of one."""
    low, high = TOKENS_A_STEP
    wanted = min(high, max(low, tokens_in_all / AIMED_STEPS)) / context
    choices = sorted(n * 2**k // 4 for n in (3, 4) for k in range(2, 14))
    return max((rows for rows in choices if rows <= wanted), default=1)


def choose(
    family: Decoder,
    vocab_size: int,
    distinct_tokens: int,
    seconds: float,
    *,
    objective: Objective,
    optimizer: Optimizer,
    precision: Precision,
    context: int,
    peak_flops: float,
) -> tuple[Choice, list[Choice]]:
    """The size of a family that promises most within `seconds`, and all that were timed, smallest first.

    Raises BudgetError when not even the smallest can take a hundred steps.
    """
    tried: list[Choice] = []
    spent = 0.0
    for name in SIZES:
        candidate = family.replace(size=name)
        model = candidate.sentence(vocab_size)
        cost = count(model, context)
        guess = tokens_in(seconds, cost, peak_flops)
        if tried and reducible_loss(cost.body, effective_tokens(guess, distinct_tokens)) > 1.05 * min(c.promised for c in tried):
            break
        rows = rows_for(guess, context)
        if tried and spent + PROBE_STEPS * rows * context * cost.train_flops / (0.4 * peak_flops) > 0.05 * seconds:
            break
        started = time.perf_counter()
        result = probe(model, objective, optimizer, precision, rows, rows, context)
        spent += time.perf_counter() - started
        steps = int(seconds / result.step_seconds)
        tokens = steps * rows * context
        useful = effective_tokens(tokens, distinct_tokens)
        promised = reducible_loss(cost.body, max(1.0, useful))
        tried.append(Choice(candidate, cost, rows, result, steps, tokens, tokens / distinct_tokens, promised))
    best = min(tried, key=lambda choice: choice.promised)
    if best.steps < 100:
        raise BudgetError(
            explain(
                f"{seconds:.0f} seconds for training: {best.steps} steps of the smallest size fit",
                need="at least 100 steps",
                hint=f"--minutes {math.ceil(seconds / 60 * 100 / max(1, best.steps)) + 1}",
            )
        )
    return best, tried


def table(tried: list[Choice], best: Choice, needs: Sequence[Estimate], context: int) -> list[str]:
    """What was timed, a line each under a heading, the choice marked; 79 columns at most. needs: what each size would take."""
    rows = [
        [
            size_cell(choice.family, marked=choice is best),
            millions(choice.cost.parameters),
            f"{choice.rows} × {context}",
            few(choice.steps),
            millions(choice.tokens),
            f"{choice.epochs:,.1f}" if choice.epochs >= 0.05 else "0",
            mebibytes(each.memory),
            mebibytes(each.disk),
            f"{choice.promised:.3f}",
        ]
        for choice, each in zip(tried, needs, strict=True)
    ]
    return aligned(["  size", "params", "batch", "steps", "tokens", "passes", "memory", "disk", "loss"], rows)


def size_cell(family: Decoder, *, marked: bool) -> str:
    """→ micro."""
    return f"{'→' if marked else ' '} {family.size}"


def few(number: int) -> str:
    """A count in full, as long as it is short."""
    return f"{number:,}" if number < 1e7 else millions(number)


def millions(number: float) -> str:
    """A count of parameters or tokens.

    >>> millions(512), millions(530_000), millions(12.3e6), millions(1.5e9)
    ('512', '0.53 M', '12.3 M', '1.5 G')
    """
    if number < 1e5:
        return f"{number:,.0f}"
    return f"{number / 1e9:,.1f} G" if number >= 1e9 else f"{number / 1e6:.{1 if number >= 1e7 else 2}f} M"


def hours(seconds: float) -> str:
    """A span of time that may be long.

    >>> hours(40), hours(720), hours(12_240), hours(1e6), hours(1e9)
    ('40 s', '12 min', '3.4 h', '12 d', '32 y')
    """
    for limit, length, unit in ((100, 1, "s"), (6000, 60, "min"), (360_000, 3600, "h"), (8.64e7, 86400, "d")):
        if seconds < limit:
            return f"{seconds / length:.{1 if unit == 'h' else 0}f} {unit}"
    return f"{seconds / 31_557_600:,.0f} y"


def mebibytes(number: float) -> str:
    """Bytes on a disk or in memory.

    >>> mebibytes(444 * 2**20), mebibytes(12.3 * 2**30), mebibytes(3 * 2**40)
    ('444 MiB', '12.3 GiB', '3,072.0 GiB')
    """
    return f"{number / 2**20:,.0f} MiB" if number < 10 * 2**30 else f"{number / 2**30:,.1f} GiB"


def aligned(heading: list[str], rows: list[list[str]]) -> list[str]:
    """A table as lines of text: the first column to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(heading, *rows, strict=True)]
    return [
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))])
        for row in [heading, *rows]
    ]

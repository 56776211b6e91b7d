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
from dataclasses import dataclass

from linnet.core.errors import BudgetError, explain
from linnet.model.count import count
from linnet.objective.base import Objective
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


@dataclass(frozen=True)
class Choice:
    """A size with its batch, what its steps cost here, and what the law promises."""

    family: Decoder
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
        guess = seconds * 0.5 * peak_flops / cost.train_flops  # tokens, at half the machine's peak
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
        tried.append(Choice(candidate, rows, result, steps, tokens, tokens / distinct_tokens, promised))
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


def table(tried: list[Choice], best: Choice) -> list[str]:
    """What was timed, a line each, the choice marked."""
    return [
        f"{'→' if choice is best else ' '} {choice.family.size:7s}{choice.rows:5d} rows a step ·{choice.steps:8,} steps ·{choice.tokens / 1e6:8.2f} M tokens"
        f" ·{choice.epochs:6.1f} passes · reducible loss {choice.promised:.3f}"
        for choice in tried
    ]

"""Plans for a text that is not there yet: what is known of it is how many tokens it has, and how many ids.

Time, memory and disk are what train/estimate.py says of a real one.
"""

from __future__ import annotations

import math

from linnet.data.shards import token_dtype
from linnet.model.count import count
from linnet.train import plan
from linnet.train.estimate import Estimate, disk_bytes, estimate_with, least_memory, validate_every
from linnet.train.plan import Choice
from linnet.train.spec import RunSpec
from linnet.zoo import SIZES, Decoder


def stored_tokens(spec: RunSpec, tokens: int, vocab_size: int) -> tuple[int, int]:
    """(bytes on the disk, tokens of the validation part) of a text with so many training tokens."""
    n_validation = round(tokens * spec.data.validation / (1 - spec.data.validation))
    return (tokens + n_validation) * token_dtype(vocab_size).itemsize, n_validation


def estimate_imagined(
    spec: RunSpec, choice: Choice, tokens: int, vocab_size: int, context: int, began: float, seconds: float
) -> Estimate:
    """What a size that was timed would need for such a text."""
    stored, n_validation = stored_tokens(spec, tokens, vocab_size)
    chosen = spec.replace(model=choice.family, train=spec.train.replace(batch_size=choice.rows))
    return estimate_with(chosen, stored, choice.cost, choice.probe, n_validation, context, began, seconds)


def sizes_by_rule(spec: RunSpec, tokens: int, vocab_size: int, peak_flops: float) -> tuple[str, list[str]]:
    """The size for which `tokens` come nearest to twenty a parameter, and all sizes as a table; each token read once."""
    assert isinstance(spec.model, Decoder)
    context = spec.model.context_length
    costs = {name: count(spec.model.replace(size=name).sentence(vocab_size), context) for name in SIZES}
    best = min(costs, key=lambda name: abs(math.log(plan.tokens_for(costs[name].body) / tokens)))
    rows, (stored, n_validation) = plan.rows_for(tokens, context), stored_tokens(spec, tokens, vocab_size)
    steps = max(1, tokens // (rows * context))
    sized = spec.replace(train=spec.train.replace(steps=steps, batch_size=rows))
    every = validate_every(sized, steps, context, n_validation)
    lines = [
        [
            plan.size_cell(spec.model.replace(size=name), marked=name == best),
            plan.millions(cost.parameters),
            f"{rows} × {context}",
            plan.few(steps),
            plan.hours(tokens / plan.tokens_in(1.0, cost, peak_flops)),
            plan.mebibytes(least_memory(cost, rows, context)),
            plan.mebibytes(disk_bytes(sized, stored, cost, cost.train_bytes - 2 * cost.weight_bytes, steps, every)),
            f"{plan.reducible_loss(cost.body, tokens):.3f}",
        ]
        for name, cost in costs.items()
    ]
    return best, plan.aligned(["  size", "params", "batch", "steps", "time", "memory", "disk", "loss"], lines)

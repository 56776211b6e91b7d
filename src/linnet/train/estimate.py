"""What a run will need, said before it starts and scored after: time, memory, disk."""

from __future__ import annotations

import math
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from linnet.core.errors import BudgetError, explain
from linnet.model.count import Cost
from linnet.train.evaluation import rows_at_once
from linnet.train.machine import available_memory, peak_memory_bytes
from linnet.train.probe import Probe
from linnet.train.spec import RunSpec

LINE_BYTES = 320  # of metrics.jsonl and timings.jsonl together, a step
REPORT_BYTES = 300_000  # of report.html and the small files beside it
FINISH_SECONDS = 2.0  # to write the model and its papers, beside the final evaluation


@dataclass(frozen=True)
class Estimate:
    """seconds: of the whole command · memory and disk: bytes at their height · validation_seconds: one reading of the
    validation part · steps: how many are expected."""

    seconds: float
    memory: int
    disk: int
    validation_seconds: float
    steps: int


def validate_every(spec: RunSpec, steps: int, context: int, n_validation: int) -> int:
    """Steps between validations: as asked, or about twenty a run, fewer where reading costs more than 5 % of the work.

    Counted in tokens, of which one costs three times as much to learn from as to read, and not in seconds: a run of
    steps has to be the same on every machine, and which step is the best one depends on which are looked at.
    """
    if spec.validation.every is not None:
        return spec.validation.every
    learned = steps * spec.train.batch_size * context
    affordable = 0.05 * 3 * learned / max(1, validation_tokens(spec, n_validation, context))
    return max(1, round(steps / min(20.0, max(2.0, affordable))))


def validation_tokens(spec: RunSpec, tokens: int, context: int) -> int:
    """Tokens that one validation during the run reads."""
    if spec.validation.batches is None:
        return tokens
    return min(tokens, spec.validation.batches * rows_at_once(context) * context)


def estimate(
    spec: RunSpec, folder: Path, cost: Cost, probe: Probe, n_validation: int, context: int, began: float, seconds: float | None
) -> Estimate:
    """From timed steps to the whole run. `seconds` is left for training under a time budget, None without one."""
    return estimate_with(spec, stored_bytes(folder), cost, probe, n_validation, context, began, seconds)


def stored_bytes(folder: Path) -> int:
    """What a run's text takes on the disk, as tokens."""
    return sum(file.stat().st_size for file in (folder / "data").rglob("*") if file.is_file())


def estimate_with(
    spec: RunSpec, stored: int, cost: Cost, probe: Probe, n_validation: int, context: int, began: float, seconds: float | None
) -> Estimate:
    """The same for a text that takes `stored` bytes."""
    one = validation_tokens(spec, n_validation, context) * probe.read_seconds
    steps = spec.train.steps or max(1, int((seconds or 0) / probe.step_seconds))
    every = validate_every(spec, steps, context, n_validation)
    if spec.train.steps is not None:
        readings = steps / every
        whole = (
            time.perf_counter()
            - began
            + steps * probe.step_seconds
            + readings * one
            + n_validation * probe.read_seconds
            + FINISH_SECONDS
        )
    else:
        assert spec.train.minutes is not None
        whole = spec.train.minutes * 60
    disk = disk_bytes(spec, stored, cost, probe.optimizer_bytes, steps, every)
    return Estimate(whole, max(probe.memory_bytes, peak_memory_bytes()), disk, one, steps)


def disk_bytes(spec: RunSpec, stored: int, cost: Cost, optimizer_bytes: int, steps: int, every: int) -> int:
    """A run folder at its end: its text, the checkpoints that are kept, the model, a line a step, the report."""
    saves = math.ceil(steps / (spec.checkpoint.every or every))
    kept = min(saves, spec.checkpoint.keep_last + int(spec.checkpoint.keep_best))
    return stored + kept * (cost.weight_bytes + optimizer_bytes) + cost.weight_bytes + steps * LINE_BYTES + REPORT_BYTES


def least_memory(cost: Cost, rows: int, context: int) -> int:
    """Bytes that weights, gradients, moments and activations take by count, for `rows` at a time."""
    return int(cost.train_bytes + cost.activation_bytes * rows * context)


def check_room(folder: Path, cost: Cost, rows: int, context: int, device: str) -> None:
    """Raise BudgetError where the run's memory or its checkpoints clearly do not fit, before anything is built."""
    needed = least_memory(cost, rows, context)
    free = available_memory()
    if device == "cpu" and needed > free:
        raise BudgetError(
            explain(
                f"this run needs about {needed / 2**30:.1f} GiB of memory and {free / 2**30:.1f} GiB are free",
                need="a run that fits",
                hint="a smaller train.micro_batch_size, train.recompute: true, or a smaller model",
            )
        )
    room = shutil.disk_usage(folder).free
    if 4 * cost.train_bytes > room:
        raise BudgetError(
            explain(
                f"the checkpoints of this run take about {3 * cost.train_bytes / 2**20:,.0f} MiB and {room / 2**20:,.0f} MiB of disk are free",
                need="room for them",
                hint="another --out, or a smaller model",
            )
        )


def scorecard(spec: RunSpec, estimated: Estimate, folder: Path, steps: int, began: float) -> dict[str, Any]:
    """Asked, estimated and measured, side by side."""
    disk = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file() and "tensorboard" not in file.parts)
    asked_time = None if spec.train.minutes is None else spec.train.minutes * 60
    expected = None if spec.train.steps is not None else estimated.steps

    def row(what: str, asked: Any, estimate: Any, measured: Any, unit: str) -> dict[str, Any]:
        return {"what": what, "asked": asked, "estimated": estimate, "measured": measured, "unit": unit}

    return {
        "rows": [
            row("time", asked_time, round(estimated.seconds, 1), round(time.perf_counter() - began, 1), "s"),
            row("memory", None, estimated.memory, peak_memory_bytes(), "bytes"),
            row("disk", None, estimated.disk, disk + REPORT_BYTES, "bytes"),
            row("steps", spec.train.steps, expected, steps, ""),
        ]
    }

"""The training loop, on one page. Everything it uses was made elsewhere (train/run.py); everything that anyone wants to
see goes out as an event (train/events.py)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import torch

from linnet.core.errors import LinnetError, explain
from linnet.core.seeds import generator
from linnet.data.batch import Batch, BatchSource
from linnet.model.network import Network
from linnet.objective.base import Objective
from linnet.train.clock import Clock
from linnet.train.events import Event, Listener, Sampled, Stepped, Validated
from linnet.train.machine import memory_bytes
from linnet.train.optimizers import set_rate
from linnet.train.precision import Precision
from linnet.train.schedule import Schedule


@dataclass
class Training:
    """A run in progress. The first block was decided before; the second is what moves, and what a checkpoint holds."""

    network: Network
    objective: Objective
    optimizers: list[torch.optim.Optimizer]
    schedule: Schedule
    source: BatchSource
    clock: Clock
    precision: Precision
    seed: int
    micro_batch_size: int
    clip: float | None
    validate: Callable[[], tuple[float, float | None]]  # → nats a token, bits a byte
    validate_every: int
    sample: Callable[[int], Sampled | None]
    save: Callable[[Training], None]
    save_every: int
    patience: int | None
    peak_flops: float | None
    flops_per_token: float
    listeners: Iterable[Listener] = ()

    step: int = 0
    tokens: int = 0
    best: float = float("inf")
    best_step: int | None = None
    validations_without_better: int = 0
    interrupted: bool = field(default=False, compare=False)

    def emit(self, event: Event) -> None:
        for listener in self.listeners:
            listener(event)


def fit(run: Training) -> str:
    """Train until the plan is done; returns why it ended: 'finished', 'early stop' or 'interrupted'."""
    batches = iter(run.source)
    why = "finished"
    while (progress := run.clock.progress(run.step)) < 1 and why == "finished":
        started = time.perf_counter()
        batch = next(batches)
        fetched = time.perf_counter()
        rate = run.schedule.factor(run.step, progress)
        set_rate(run.optimizers, rate)
        loss, norm = take_step(run, batch)
        run.step += 1
        run.tokens += batch.tokens.numel()
        run.emit(report(run, batch, loss, norm, rate, progress, started, fetched))

        last = run.clock.progress(run.step) >= 1
        if last or run.step % run.validate_every == 0:
            validate(run)
        if run.patience is not None and run.validations_without_better >= run.patience:
            why = "early stop"
        elif run.interrupted:
            why = "interrupted"
        if last or why != "finished" or run.step % run.save_every == 0:
            run.save(run)
    return why


def take_step(run: Training, batch: Batch) -> tuple[float, float]:
    """One optimizer step over a batch, in micro-batches; returns nats a token and the gradient norm."""
    count = run.objective.count(batch)  # learned tokens of the whole step, known before the backward pass
    total = torch.zeros(())
    for index, start in enumerate(range(0, batch.tokens.shape[0], run.micro_batch_size)):
        micro = batch.rows(start, start + run.micro_batch_size).to(run.network.device)
        draws = generator(run.seed, f"dropout/{run.step}/{index}", run.network.device)
        with run.precision.autocast():
            loss = run.objective(run.network, micro, draws if run.network.spec.dropout else None)
        run.precision.backward(loss.total / count.to(run.network.device))
        part, _ = loss.logs["loss"]
        total = total + part.cpu()
    norm = run.precision.step(run.optimizers, list(run.network.parameters()), run.clip)
    mean, size = float(total / count), float(norm)
    if mean != mean or mean in (float("inf"), float("-inf")):
        raise LinnetError(
            explain(
                f"the loss is {mean} at step {run.step + 1} (gradient norm {size:.3g})",
                need="a finite loss; the last checkpoint is untouched",
                hint="a lower learning_rate, a longer warmup, or precision: float32",
            )
        )
    return mean, size


def validate(run: Training) -> None:
    """Read the validation part, remember the best, show what the model writes."""
    loss, bits = run.validate()
    better = loss < run.best
    if better:
        run.best, run.best_step, run.validations_without_better = loss, run.step, 0
    else:
        run.validations_without_better += 1
    run.emit(Validated(run.step, run.tokens, loss, bits, better))
    sampled = run.sample(run.step)
    if sampled is not None:
        run.emit(sampled)


def report(run: Training, batch: Batch, loss: float, norm: float, rate: float, progress: float, started: float, fetched: float) -> Stepped:
    """What one step did and cost."""
    seconds = time.perf_counter() - started
    speed = batch.tokens.numel() / seconds
    peak = run.optimizers[0].param_groups[0]["initial_lr"]
    return Stepped(
        step=run.step,
        tokens=run.tokens,
        loss=loss,
        learning_rate=peak * rate,
        grad_norm=norm,
        progress=progress,
        seconds=run.clock.spent,
        step_seconds=seconds,
        data_seconds=fetched - started,
        tokens_per_second=speed,
        utilisation=speed * run.flops_per_token / run.peak_flops if run.peak_flops else None,
        memory_bytes=memory_bytes(),
    )

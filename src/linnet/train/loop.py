"""The training loop, on one page. Everything it uses was made elsewhere (train/run.py); everything that anyone wants to
see goes out as an event (train/events.py)."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from linnet.core.errors import DivergedError, explain
from linnet.core.seeds import generator
from linnet.data.batch import Batch, BatchSource
from linnet.data.pair_batches import trimmed
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
    keep_best: bool
    patience: int | None
    peak_flops: float | None
    flops_per_token: float
    listeners: Iterable[Listener] = ()
    batch_size: int | None = None  # rows that micro_batch_size is a part of; None: those of each batch

    step: int = 0
    tokens: int = 0
    best: float = float("inf")
    best_step: int | None = None
    validations_without_better: int = 0
    interrupted: bool = field(default=False, compare=False)

    @property
    def out_of_patience(self) -> bool:
        """Whether validation has not become better for too long; true at once for a run that ended so before."""
        return self.patience is not None and self.validations_without_better >= self.patience

    def emit(self, event: Event) -> None:
        for listener in self.listeners:
            listener(event)


def fit(run: Training) -> str:
    """Train until the plan is done; returns why it ended: 'finished', 'early stop' or 'interrupted'."""
    batches = run.objective.posed(run.source, run.seed, run.step)
    why = "finished" if run.clock.progress(run.step) >= 1 else "early stop" if run.out_of_patience else None
    while why is None:
        progress = run.clock.progress(run.step)
        started = time.perf_counter()
        batch = next(batches)
        fetched = time.perf_counter()
        rate = run.schedule.factor(run.step, progress)
        set_rate(run.optimizers, rate)
        loss, norm, more = take_step(run, batch)
        run.step += 1
        run.tokens += batch.tokens.numel()
        run.emit(report(run, batch, loss, norm, more, rate, progress, started, fetched))

        last = run.clock.progress(run.step) >= 1
        better = validate(run) if last or run.step % run.validate_every == 0 else False
        why = "interrupted" if run.interrupted else "finished" if last else "early stop" if run.out_of_patience else None
        if why is not None or (better and run.keep_best) or run.step % run.save_every == 0:
            run.save(run)
    return why


def take_step(run: Training, batch: Batch) -> tuple[float, float, dict[str, float]]:
    """One optimizer step over a batch, in micro-batches; returns nats a token, the gradient norm, and what else is logged."""
    count = run.objective.count(batch)  # learned tokens of the whole step, known before the backward pass
    total = torch.zeros(())
    sums: dict[str, Tensor] = {}
    run.network.before_step()
    for index, micro in enumerate(micro_batches(batch, run.micro_batch_size, run.batch_size)):
        micro = micro.to(run.network.device)
        draws = generator(run.seed, f"dropout/{run.step}/{index}", run.network.device)
        with run.precision.autocast():
            loss = run.objective(run.network, micro, draws if run.network.spec.dropout else None)
        run.precision.backward(loss.total / count.to(run.network.device))
        for name, pair in loss.logs.items():
            if name == "loss":
                total = total + pair[0].cpu()
            else:
                sums[name] = sums.get(name, torch.zeros(2)) + torch.stack(pair).cpu()
    norm = run.precision.step(run.optimizers, run.clip)
    run.network.after_step()
    mean, size = float(total / count), float(norm)
    overflow = run.precision.scaler is None and not math.isfinite(size)  # with a scaler such a step is skipped, not taken
    if overflow or not math.isfinite(mean):
        raise DivergedError(
            explain(
                f"the loss is {mean:.4g} at step {run.step + 1}, the gradient norm {size:.4g}",
                need="a finite loss; the last checkpoint is untouched",
                hint="a lower learning_rate, a longer warmup, or precision: float32",
            )
        )
    return mean, size, {name: float(pair[0] / pair[1]) for name, pair in sums.items()}


def micro_batches(batch: Batch, micro_batch_size: int, batch_size: int | None) -> Iterator[Batch]:
    """A batch in parts: of micro_batch_size rows; of pairs, which have as many rows as fit, that share of the batch's rows."""
    rows = batch.tokens.shape[0]
    part = micro_batch_size if batch.source is None or batch_size is None else max(1, -(-rows * micro_batch_size // batch_size))
    if part >= rows:
        yield batch
        return
    for start in range(0, rows, part):
        micro = batch.rows(start, start + part)
        yield micro if micro.source is None else trimmed(micro)


def validate(run: Training) -> bool:
    """Read the validation part, remember the best, show what the model writes; returns whether it is the best so far."""
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
    return better


def report(
    run: Training,
    batch: Batch,
    loss: float,
    norm: float,
    more: dict[str, float],
    rate: float,
    progress: float,
    started: float,
    fetched: float,
) -> Stepped:
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
        more=more,
    )

"""Timed steps: what a model costs on this machine, learned by taking a few steps and forgetting them."""

from __future__ import annotations

import gc
import time
from dataclasses import dataclass, replace

import torch

from linnet.core.seeds import generator
from linnet.data.batch import Batch
from linnet.model.network import Network
from linnet.model.spec import Model
from linnet.model.training_programs import TrainingPrograms
from linnet.objective.base import Objective
from linnet.train.evaluation import rows_at_once, rows_in_a_run, score_batches
from linnet.train.machine import memory_bytes
from linnet.train.optimizers import Optimizer
from linnet.train.precision import Precision

PROBE_STEPS = 4


@dataclass(frozen=True)
class Probe:
    """step_seconds: of one optimizer step · read_seconds: a token, without learning · memory_bytes: resident at the
    height of it · optimizer_bytes: of optimizer state."""

    step_seconds: float
    read_seconds: float
    memory_bytes: int
    optimizer_bytes: int


def probe(
    model: Model,
    objective: Objective,
    optimizer: Optimizer,
    precision: Precision,
    rows: int,
    micro: int,
    context: int,
    *,
    recompute: bool = False,
) -> Probe:
    """Take a few steps of a model on random tokens, read once as validation does, and forget it all."""
    network = Network(model, seed=0).to(precision.device)
    for stack in network.stacks:
        stack.recompute = recompute
    network.programs = TrainingPrograms()
    optimizers = optimizer.build(network)
    tokens = torch.randint(0, model.vocab_size, (rows, context + 1), generator=generator(0, "probe"))
    [batch] = objective.posed([with_source(Batch(tokens[:, :-1], tokens[:, 1:], torch.ones(rows, context)), network)], seed=0)
    batch = batch.to(precision.device)
    draws = generator(0, "probe/dropout", precision.device) if model.dropout else None
    times, height = [], 0
    for _ in range(PROBE_STEPS):
        started = time.perf_counter()
        for start in range(0, rows, micro):
            with precision.autocast():
                loss = objective(network, batch.rows(start, start + micro), draws)
            height = max(height, memory_bytes())
            precision.backward(loss.total / (rows * context))
            height = max(height, memory_bytes())
        precision.step(optimizers, 1.0)
        times.append(time.perf_counter() - started)
    learned_rows = rows_in_a_run(micro, precision)
    together = learned_rows or rows_at_once(context)
    reading = together * max(1, rows_at_once(context) // together)
    many = torch.randint(0, model.vocab_size, (reading, context), generator=generator(0, "probe/read"))
    whole = with_source(Batch(many, many, torch.ones(reading, context)), network)
    network.eval()
    started = time.perf_counter()
    parts = (whole.rows(start, start + together) for start in range(0, reading, together))
    score_batches(network, parts, learned_rows=learned_rows)
    read = (time.perf_counter() - started) / (reading * context)
    height = max(height, memory_bytes())
    state = sum(
        value.numel() * value.element_size()
        for each in optimizers
        for values in each.state.values()
        for value in values.values()
        if torch.is_tensor(value)
    )
    del network, optimizers, loss, batch, many, whole
    gc.collect()
    return Probe(sorted(times[1:])[(PROBE_STEPS - 1) // 2], read, height, state)


def with_source(batch: Batch, network: Network) -> Batch:
    """A batch of random tokens with itself as its source, where the network reads one."""
    return batch if network.encoder is None else replace(batch, source=batch)

"""What a run remembers, so that it goes on as if it had never stopped: written and put back under the same names.

    Training  — save →  checkpoints/step-…/  — newest →  Checkpoint  — restore →  Training

Weights and optimizer state are tensors; all the rest is `Progress`. How a checkpoint lies on the disk is train/checkpoint.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from linnet.core.errors import CheckpointError, DataError, explain
from linnet.core.spec import load
from linnet.data.prepared import Prepared, open_prepared, prepared_place
from linnet.data.spec import DataSpec
from linnet.model.weights import model_tensors, restore_model
from linnet.tokenizer.base import Tokenizer
from linnet.tokenizer.load import FILE_NAME, load_tokenizer
from linnet.train.checkpoint import (
    Checkpoint,
    load_checkpoint,
    newest_checkpoint,
    optimizer_tensors,
    prune_checkpoints,
    restore_optimizers,
    save_checkpoint,
    step_folder,
)
from linnet.train.events import Notice, Saved
from linnet.train.hooks import MetricsFile
from linnet.train.loop import Training
from linnet.train.record import read_record


@dataclass(frozen=True)
class Progress:
    """Where a run stands, beside its weights and optimizer state. As it is here: before the first step.

    seconds          of work, under a time budget; a run of steps never writes the time down: it would not be the same twice
    budget           seconds for training, None in a run of steps; like validate_every decided once, by the first sitting
    best             validation loss of best_step; None before the first validation
    offsets          lengths of metrics.jsonl and timings.jsonl
    """

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    budget: float | None = None
    validate_every: int | None = None
    best: float | None = None
    best_step: int | None = None
    validations_without_better: int = 0
    source: dict[str, Any] = field(default_factory=dict)
    precision: dict[str, Any] = field(default_factory=dict)
    offsets: dict[str, int] = field(default_factory=dict)


def save(run: Training, folder: Path, *, keep_last: int, metrics: MetricsFile) -> None:
    """Write a checkpoint into `folder`, then let go of those that are no longer needed."""
    progress = Progress(
        step=run.step,
        tokens=run.tokens,
        seconds=0.0 if run.clock.seconds is None else run.clock.spent,
        budget=run.clock.seconds,
        validate_every=run.validate_every,
        best=run.best if math.isfinite(run.best) else None,
        best_step=run.best_step,
        validations_without_better=run.validations_without_better,
        source=run.source.state_dict(),
        precision=run.precision.state_dict(),
        offsets=metrics.offsets(),
    )
    weights, state = model_tensors(run.network), optimizer_tensors(run.network, run.optimizers)
    path = save_checkpoint(folder, Checkpoint(run.step, weights, state, asdict(progress)))
    prune_checkpoints(folder, run.step, keep_last, run.best_step if run.keep_best else None)
    run.emit(Saved(run.step, path))


def newest(folder: Path, warn: Callable[[str], None]) -> Checkpoint | None:
    """The newest whole checkpoint in `folder`; None where the run never reached one.

    Raises CheckpointError where there are some and none is whole: nothing is begun anew over what may still be mended.
    """
    saved, damaged = newest_checkpoint(folder)
    for problem in damaged:
        warn(f"a damaged checkpoint was passed over: {problem}")
    if saved is None and damaged:
        raise CheckpointError(
            explain("no checkpoint of this run is whole", need="one to go on from", hint="starting again with another --out")
        )
    return saved


def prepared_before(run: Path, tokenizer: Tokenizer | None = None) -> Prepared | None:
    """What an earlier sitting of a run read; so it goes on though its text was piped in, has changed or is gone.

    tokenizer   the model's, where that is at hand: the tokens have to be its own
    """
    record = read_record(run)
    spec = load(DataSpec, record["resolved"]["data"], path="data", name=f"{run}/run.yaml")
    fingerprint = str(record.get("data"))
    folder = (run / "data" if spec.prepared is None else Path(spec.prepared)) / fingerprint
    if spec.prepared is not None and not folder.exists():
        folder = prepared_place(Path(spec.prepared))
    if not (folder / "index.json").exists():
        return None
    prepared = open_prepared(folder, tokenizer or load_tokenizer(folder / FILE_NAME))
    if prepared.fingerprint != fingerprint:
        raise DataError(explain(f"{folder} holds other tokens than the run in {run} was given", need=f"those of {fingerprint}"))
    return prepared.drawn_by(spec)


def progress_of(saved: Checkpoint | None) -> Progress:
    """Where a run stands that goes on from `saved`, or begins."""
    return Progress() if saved is None else Progress(**saved.progress)


def restore(run: Training, saved: Checkpoint) -> None:
    """Put a run, just built, where `saved` stands. Its clock, its `validate_every` and its metrics file have to be
    built from `progress_of(saved)`."""
    progress = progress_of(saved)
    restore_model(run.network, saved.model)
    restore_optimizers(run.network, run.optimizers, saved.optimizer)
    run.source.load_state_dict(progress.source)
    run.precision.load_state_dict(progress.precision)
    run.step, run.tokens = progress.step, progress.tokens
    run.best = math.inf if progress.best is None else progress.best
    run.best_step, run.validations_without_better = progress.best_step, progress.validations_without_better
    run.emit(Notice(f"going on from step {run.step:,}"))


def restore_best(run: Training, folder: Path, *, say: Callable[[str], None], warn: Callable[[str], None]) -> None:
    """Put the weights of the best validation back, where they were kept and are not those of the last step."""
    if run.best_step is None or run.best_step == run.step or not run.keep_best:
        return
    best = step_folder(folder, run.best_step)
    if not best.exists():
        return
    try:
        restore_model(run.network, load_checkpoint(best).model)
        say(f"the model kept is that of step {run.best_step:,}, the best by validation")
    except CheckpointError as error:
        warn(f"the best checkpoint is damaged, so the model kept is that of step {run.step:,}, the last: {error}")

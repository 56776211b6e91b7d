"""The one place that wires a run: from a run file to a folder that explains itself.

    run.yaml            what was asked, and what it came to
    data/               prepared tokens, their card and tokenizer
    metrics.jsonl · timings.jsonl · tensorboard/
    checkpoints/        the last few and the best
    model.safetensors · tokenizer.json · manifest.json      the model, once it is done
    evaluation.json · scorecard.json · summary.json · data_card.json

Order: read the text → settle what was left open → estimate → build → train (train/loop.py) → evaluate.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from rich.console import Console

from linnet.core.errors import CheckpointError, ConfigError, explain
from linnet.core.files import explained_disk_errors, sweep, write_json, write_text
from linnet.core.spec import dump, refusal
from linnet.core.yaml import to_yaml
from linnet.data.loader import PackedBatches
from linnet.data.prepared import Prepared, open_prepared
from linnet.generate.generate import generate
from linnet.generate.sampler import Sampling
from linnet.interop.native import make_manifest, save_model
from linnet.model.count import count
from linnet.model.describe import describe
from linnet.model.network import Network
from linnet.model.training_programs import TrainingPrograms
from linnet.model.weights import model_tensors, restore_model
from linnet.tokenizer.load import load_tokenizer
from linnet.train.checkpoint import (
    Checkpoint,
    load_checkpoint,
    newest_checkpoint,
    optimizer_tensors,
    prune_checkpoints,
    restore_optimizers,
    save_checkpoint,
    step_of,
    steps_in,
)
from linnet.train.clock import Clock
from linnet.train.compiling import compiled
from linnet.train.estimate import Estimate, check_room, estimate, scorecard, validate_every
from linnet.train.evaluation import final_metrics, measure_yardsticks, validator
from linnet.train.events import Notice, Sampled, Saved
from linnet.train.hooks import MetricsFile, tensorboard
from linnet.train.interrupt import interruptible
from linnet.train.loop import Training, fit
from linnet.train.machine import describe_machine, keep_freed_memory, measure_peak, pick_device
from linnet.train.precision import Precision
from linnet.train.probe import probe
from linnet.train.progress import TrainingProgress, clock_text
from linnet.train.record import check_same, locked, read_record, read_run
from linnet.train.settle import context_of, prepare_data, seconds_for_training, settle
from linnet.train.spec import RunSpec


@dataclass(frozen=True)
class Result:
    """How a run ended: 'finished', 'early stop' or 'interrupted'; its folder; its loss on the validation part."""

    folder: Path
    why: str
    step: int
    loss: float | None
    bits_per_byte: float | None


def train(
    spec: RunSpec,
    folder: Path,
    *,
    asked: Any = None,
    resume: bool = False,
    console: Console | None = None,
    quiet: bool = False,
    began: float | None = None,
) -> Result:
    """Run a spec in `folder`. With `resume`, go on from its newest whole checkpoint, bit for bit as if never stopped.

    asked   what the user wrote, kept in run.yaml beside what it came to
    began   `time.perf_counter()` when the command began: under a time budget everything since counts
    """
    folder = Path(folder)
    with locked(folder), explained_disk_errors(folder):
        sweep(folder)
        sweep(folder / "checkpoints")
        started = (folder / "run.yaml").exists()
        if started and not resume:
            raise ConfigError(
                explain(
                    f"{folder} holds a run already",
                    need="a new folder, or to go on with that run",
                    hint=f"--out another, or linnet train {folder} --resume",
                )
            )
        if started:
            before = read_run(folder)
            check_same(asked, spec, before, folder)
            spec = before
        run = Run(spec, folder, asked, started, console or Console(), quiet, time.perf_counter() if began is None else began)
        return run.ended() or run.go()


def look_ahead(
    spec: RunSpec, *, asked: Any = None, console: Console | None = None, quiet: bool = False, began: float | None = None
) -> Estimate:
    """What `train` would do with a spec, and what it would need: everything that comes before the first step, and then no more.

    Arguments as for `train`. The text is read and a few steps are timed; nothing is left behind.
    """
    with tempfile.TemporaryDirectory(prefix="linnet-plan-") as folder:
        run = Run(spec, Path(folder), asked, False, console or Console(), quiet, time.perf_counter() if began is None else began)
        run.read()
        run.size_up()
        return run.estimate


class Run:
    """The wiring, step by step; lives as long as one command."""

    def __init__(
        self, spec: RunSpec, folder: Path, asked: Any, goes_on: bool, console: Console, quiet: bool, began: float
    ) -> None:
        self.spec, self.folder, self.asked, self.goes_on = spec, folder, asked, goes_on
        self.console, self.quiet, self.began = console, quiet, began
        self.warnings: list[str] = []
        self.device = pick_device(spec.train.device)
        keep_freed_memory()
        if spec.train.threads is not None:
            torch.set_num_threads(spec.train.threads)
        self.precision = Precision(spec.train.precision, self.device)

    def go(self) -> Result:
        saved = self.newest() if self.goes_on else None
        self.read()
        self.size_up()
        run, close = self.build(saved)
        with contextlib.ExitStack() as stack:
            stack.callback(close)
            stack.enter_context(self.progress)
            stack.enter_context(interruptible(run))
            why = fit(run)
        if why == "interrupted":
            self.say(f"stopped at step {run.step:,} and saved; go on with: linnet train {self.folder} --resume")
            return Result(self.folder, why, run.step, None, None)
        return self.finish(run, why)

    def ended(self) -> Result | None:
        """How this run ended, where an earlier sitting has brought it to its end: nothing is computed again."""
        files = [
            self.folder / name for name in ("model.safetensors", "evaluation.json", "summary.json")
        ]  # the last is written last
        if not self.goes_on or not all(file.is_file() for file in files):
            return None
        model = json.loads(files[1].read_text("utf-8"))["model"]
        step = max(map(step_of, steps_in(self.folder / "checkpoints")), default=0)
        self.say(
            f"this run has ended, at step {step:,}; what came of it stands below\n"
            f"for more, begin another: linnet train … --set train.steps={max(2 * step, 2)} --out {self.folder}-longer"
        )
        bits = model.get("bits_per_byte")
        why = json.loads(files[2].read_text("utf-8")).get("why", "finished")
        return Result(self.folder, why, step, model["nats_per_token"]["value"], bits["value"] if bits else None)

    # ---- before training ------------------------------------------------------------------------------------------

    def newest(self) -> Checkpoint | None:
        """The newest whole checkpoint; None where the run never reached one."""
        saved, damaged = newest_checkpoint(self.folder / "checkpoints")
        for problem in damaged:
            self.warn(f"a damaged checkpoint was passed over: {problem}")
        if saved is None and damaged:
            raise CheckpointError(
                explain("no checkpoint of this run is whole", need="one to go on from", hint="starting again with another --out")
            )
        return saved

    def read(self) -> None:
        """The text as tokens, and what it costs without a neural network."""
        with self.status("reading the text") as update:
            self.prepared = self.prepared_before() or prepare_data(
                self.spec, self.folder / "data", lambda done, what: update(what if done is None else f"{what} {done:.0%}")
            )
        path = self.folder / "yardsticks.json"
        known = json.loads(path.read_text("utf-8")) if path.exists() else {}
        if known.get("data") != self.prepared.fingerprint:
            with self.status("measuring unigram, 5-gram and xz on the same text"):
                known = {"data": self.prepared.fingerprint, "rows": measure_yardsticks(self.prepared)}
            write_json(path, known)
        self.yardsticks: list[dict[str, Any]] = known["rows"]

    def prepared_before(self) -> Prepared | None:
        """What an earlier sitting read; so a run goes on though its text was piped in, has changed or is gone."""
        if not self.goes_on:
            return None
        folder = self.folder / "data" / str(read_record(self.folder).get("data"))
        return open_prepared(folder, load_tokenizer(folder / "tokenizer.json")) if (folder / "index.json").exists() else None

    def size_up(self) -> None:
        """Settle what was left open, write it down, say what the run will need."""
        try:
            self.spec.model.sentence(self.prepared.tokenizer.vocab_size)
        except ValidationError as error:  # numbers that are each right and do not go together
            raise refusal(error, "run.model") from None
        self.peak_flops = measure_peak(self.device, self.precision.dtype)
        chosen: list[str] = []  # what is said of it, once it is known that the text is long enough
        if not self.goes_on:
            with self.status("timing a few steps of each size that could fit"):
                self.spec = settle(
                    self.spec,
                    self.asked,
                    self.prepared,
                    precision=self.precision,
                    began=self.began,
                    peak_flops=self.peak_flops,
                    say=chosen.append,
                )
        spec, train = self.spec, self.spec.train
        self.sentence = spec.model.sentence(self.prepared.tokenizer.vocab_size)
        self.context = context_of(spec, self.sentence)
        self.cost = count(self.sentence, self.context)
        self.micro = min(train.micro_batch_size or train.batch_size, train.batch_size)
        check_room(self.folder, self.cost, self.micro, self.context, self.device.type)
        self.source = PackedBatches(
            self.prepared.train,
            context_length=self.context,
            batch_size=train.batch_size,
            seed=spec.seed,
            document_mask=spec.data.document_mask,
            rows=spec.data.rows,
        )
        for line in chosen:
            self.say(line)
        if not self.goes_on:  # from here on the folder holds a run; what was wrong with the question was said before
            write_text(
                self.folder / "run.yaml",
                to_yaml({"asked": self.asked, "resolved": dump(spec), "data": self.prepared.fingerprint}),
            )
        self.board = tensorboard(self.folder)
        with self.status("timing a few steps"):
            self.probe = probe(
                self.sentence,
                spec.objective,
                spec.optimizer,
                self.precision,
                train.batch_size,
                self.micro,
                self.context,
                recompute=train.recompute,
            )
        seconds = None if train.minutes is None else seconds_for_training(spec, self.prepared, self.began, self.peak_flops)
        self.estimate = estimate(
            spec, self.folder, self.cost, self.probe, self.prepared.validation.tokens, self.context, self.began, seconds
        )
        self.announce()

    def announce(self) -> None:
        """What will run, what it needs, what it has to beat."""
        train, card, tokenizer = self.spec.train, self.prepared.card, self.prepared.tokenizer
        bits, name = min((row["bits_per_byte"], row["name"]) for row in self.yardsticks)
        length = (
            f"{train.steps:,} steps"
            if train.steps is not None
            else f"{train.minutes:g} minute{'s' if train.minutes != 1 else ''} in all"
        )
        for word, text in (
            ("data", card.announcement()),
            ("tokens", f"{tokenizer.vocab_size:,} ids, {self.prepared.train.bytes_per_token:.2f} bytes a token"),
            ("model", describe(self.sentence)),
            (
                "",
                f"{self.cost.parameters:,} parameters, {self.cost.body:,} of them in the layers; {self.cost.train_flops / 1e6:.1f} MFLOP a token to train",
            ),
            (
                "training",
                f"{length}, {train.batch_size} × {self.context} tokens a step, {self.precision.name}, {self.peak_flops / 1e9:.0f} GFLOP/s at most",
            ),
            (
                "needs",
                f"about {clock_text(self.estimate.seconds)}, {self.estimate.memory / 2**20:,.0f} MiB of memory, {self.estimate.disk / 2**20:,.0f} MiB of disk",
            ),
            ("to beat", f"{name}: {bits:.3f} bits a byte on the same text"),
        ):
            self.say(f"[bold]{word:9s}[/bold]{text}")

    # ---- training -------------------------------------------------------------------------------------------------

    def build(self, saved: Checkpoint | None) -> tuple[Training, Callable[[], None]]:
        """Everything that the loop needs, where `saved` stands; and what closes it."""
        spec, train = self.spec, self.spec.train
        network = Network(self.sentence, seed=spec.seed).to(self.device).train()
        network.decoder.recompute = train.recompute
        optimizers = spec.optimizer.build(network)
        mask = spec.data.document_mask
        progress: dict[str, Any] = saved.progress if saved is not None else {}
        if saved is not None:
            restore_model(network, saved.model)
            restore_optimizers(network, optimizers, saved.optimizer)
            self.source.load_state_dict(progress["source"])
            self.precision.load_state_dict(progress["precision"])
        if not compiled(network, train.compile, self.precision, self.context, say=self.say, warn=self.warn):
            network.programs = TrainingPrograms()
        self.budget = progress.get("budget")
        if train.minutes is not None and self.budget is None:
            self.budget = seconds_for_training(spec, self.prepared, self.began, self.peak_flops)
        clock = Clock(train.steps, self.budget, spent_before=progress.get("seconds", 0.0))
        every = validate_every(spec, self.estimate.steps, self.context, self.prepared.validation.tokens)
        every = progress.get("validate_every", every)  # decided once, by the first sitting
        self.metrics = MetricsFile(self.folder, progress.get("offsets"))
        self.progress = TrainingProgress(self.console, clock, quiet=self.quiet)
        run = Training(
            network=network,
            objective=spec.objective,
            optimizers=optimizers,
            schedule=spec.schedule,
            source=self.source,
            clock=clock,
            precision=self.precision,
            seed=spec.seed,
            micro_batch_size=self.micro,
            clip=train.clip,
            validate=validator(
                network,
                self.prepared.validation,
                self.context,
                document_mask=mask,
                rows=spec.data.rows,
                batches=spec.validation.batches,
            ),
            validate_every=every,
            sample=self.sampler(network),
            save=self.save,
            save_every=spec.checkpoint.every or every,
            keep_best=spec.checkpoint.keep_best,
            patience=spec.validation.patience,
            peak_flops=self.peak_flops,
            flops_per_token=self.cost.train_flops,
            listeners=[self.metrics, self.progress, *([self.board] if self.board is not None else [])],
        )
        if saved is not None:
            run.step, run.tokens = saved.step, progress["tokens"]
            run.best = progress["best"] if progress["best"] is not None else float("inf")
            run.best_step, run.validations_without_better = progress["best_step"], progress["validations_without_better"]
            run.emit(Notice(f"going on from step {run.step:,}"))
        return run, self.metrics.close

    def sampler(self, network: Network) -> Callable[[int], Sampled | None]:
        """A function that lets the model write as it stands."""
        asked = self.spec.sample

        def sample(step: int) -> Sampled | None:
            if asked.tokens == 0:
                return None
            written = generate(
                network,
                self.prepared.tokenizer,
                [asked.prompt],
                sampling=Sampling(temperature=asked.temperature),
                max_tokens=asked.tokens,
                seed=self.spec.seed,
                context_length=self.context,
                fresh_documents=self.spec.data.document_mask,
            )
            return Sampled(step, asked.prompt, written[0].text)

        return sample

    def save(self, run: Training) -> None:
        """Write a checkpoint, then let go of those that are no longer needed."""
        timed = run.clock.seconds is not None  # a run of steps never writes the time down: it would not be the same twice
        progress = {
            "step": run.step,
            "tokens": run.tokens,
            "seconds": run.clock.spent if timed else 0.0,
            "budget": self.budget,
            "validate_every": run.validate_every,
            "best": None if run.best == float("inf") else run.best,
            "best_step": run.best_step,
            "validations_without_better": run.validations_without_better,
            "source": run.source.state_dict(),
            "precision": self.precision.state_dict(),
            "offsets": self.metrics.offsets(),
        }
        folder = self.folder / "checkpoints"
        checkpoint = Checkpoint(run.step, model_tensors(run.network), optimizer_tensors(run.network, run.optimizers), progress)
        path = save_checkpoint(folder, checkpoint)
        prune_checkpoints(
            folder, run.step, self.spec.checkpoint.keep_last, run.best_step if self.spec.checkpoint.keep_best else None
        )
        run.emit(Saved(run.step, path))

    # ---- after training -------------------------------------------------------------------------------------------

    def finish(self, run: Training, why: str) -> Result:
        """Keep the best weights, write the model, measure it, and write down what came of it all."""
        network, prepared, mask = run.network, self.prepared, self.spec.data.document_mask
        best = self.folder / "checkpoints" / f"step-{run.best_step or 0:08d}"
        if run.best_step not in (None, run.step) and self.spec.checkpoint.keep_best and best.exists():
            try:
                restore_model(network, load_checkpoint(best).model)
                self.say(f"the model kept is that of step {run.best_step:,}, the best by validation")
            except CheckpointError as error:
                self.warn(f"the best checkpoint is damaged, so the model kept is that of step {run.step:,}, the last: {error}")
        network.eval()
        manifest = make_manifest(
            network, prepared.tokenizer, context_length=self.context, document_mask=mask, data=prepared.fingerprint
        )
        save_model(self.folder, network, prepared.tokenizer, manifest)
        with self.status("reading the validation part once more, with intervals"):
            scored = final_metrics(network, prepared, self.context, document_mask=mask)
        write_json(self.folder / "evaluation.json", {"model": scored.to_dict(), "yardsticks": self.yardsticks})
        write_json(self.folder / "data_card.json", prepared.card.to_json())
        summary = {
            "parameters": self.cost.parameters,
            "flops_per_token": self.cost.train_flops,
            "family": getattr(self.spec.model, "kind", "sentence"),
            "size": getattr(self.spec.model, "size", ""),
            "sentence": to_yaml(dump(self.sentence)),
            "versions": manifest.versions,
            "machine": describe_machine(self.device),
            "warnings": self.warnings,
            "why": why,
        }
        write_json(self.folder / "summary.json", summary)
        card = scorecard(self.spec, self.estimate, self.folder, run.step, self.began)
        if not self.goes_on:  # a run in several sittings has no single estimate to score
            write_json(self.folder / "scorecard.json", card)
        bits = scored.bits_per_byte.value if scored.bits_per_byte is not None else None
        return Result(self.folder, why, run.step, scored.nats_per_token.value, bits)

    # ---- talking --------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def status(self, what: str) -> Iterator[Callable[[str], None]]:
        """A spinner with a word on what is going on, where there is a terminal to show it on."""
        if self.quiet or not self.console.is_terminal:
            yield lambda text: None
            return
        with self.console.status(what) as spinner:
            yield spinner.update

    def say(self, message: str) -> None:
        if not self.quiet:
            self.console.print(message, highlight=False, soft_wrap=True)

    def warn(self, message: str) -> None:
        self.warnings.append(message)
        self.say(f"[yellow]! {message}[/yellow]")

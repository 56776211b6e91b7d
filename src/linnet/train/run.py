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
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from rich.console import Console

from linnet.core.errors import ConfigError, explain
from linnet.core.files import explained_disk_errors, sweep, write_json, write_text
from linnet.core.spec import dump, load, refusal
from linnet.core.yaml import to_yaml
from linnet.data.loader import batches_of, weights_of
from linnet.data.mixture import Mixture, as_course, mixture_of
from linnet.interop.native import copy_terms, make_manifest, save_model
from linnet.model.count import count, packed_bytes
from linnet.model.describe import describe
from linnet.model.network import Network
from linnet.model.training_programs import TrainingPrograms
from linnet.tokenizer.chat import ChatTemplate
from linnet.train.begin import begun_from, belongings, check_tokens, fill
from linnet.train.checkpoint import Checkpoint
from linnet.train.clock import Clock
from linnet.train.compiling import compiled
from linnet.train.estimate import check_room, estimate, scorecard, validate_every
from linnet.train.evaluation import final_metrics, measured_for, rows_in_a_run, validator, yardsticks_of
from linnet.train.hooks import MetricsFile, tensorboard
from linnet.train.interrupt import interruptible
from linnet.train.loop import Training, fit
from linnet.train.machine import describe_machine, keep_freed_memory, measure_peak, pick_device
from linnet.train.precision import Precision
from linnet.train.probe import probe
from linnet.train.progress import TrainingProgress, clock_text
from linnet.train.record import check_same, locked, read_record, read_run
from linnet.train.resume import newest, prepared_before, progress_of, restore, restore_best, save
from linnet.train.sample import check_prompt, sampler
from linnet.train.settle import check_learns, check_sides, context_of, read_data, seconds_for_training, settle
from linnet.train.spec import RunSpec
from linnet.train.talk import Talk


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
    seconds: float | None = None,
) -> Result:
    """Run a spec in `folder`. With `resume`, go on from its newest whole checkpoint, bit for bit as if never stopped.

    asked   what the user wrote, kept in run.yaml beside what it came to
    began   `time.perf_counter()` when the command began: under a time budget everything since counts
    seconds what the loop alone has, under a time budget, in place of what the rest of the command leaves of it
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
        else:
            spec = begun_from(spec)
        talk = Talk(console, quiet=quiet)
        run = Run(spec, folder, asked, started, talk, time.perf_counter() if began is None else began)
        run.seconds = seconds
        return run.go()


class Run:
    """The wiring, step by step; lives as long as one command."""

    def __init__(self, spec: RunSpec, folder: Path, asked: Any, goes_on: bool, talk: Talk, began: float) -> None:
        self.spec, self.folder, self.asked, self.goes_on = spec, folder, asked, goes_on
        self.talk, self.began = talk, began
        self.seconds: float | None = None  # of the loop, where a time budget is said so
        self.checkpoints = folder / "checkpoints"
        self.device = pick_device(spec.train.device)
        keep_freed_memory()
        if spec.train.threads is not None:
            torch.set_num_threads(spec.train.threads)
        self.precision = Precision(spec.train.precision, self.device)

    def go(self) -> Result:
        saved = newest(self.checkpoints, self.talk.warn) if self.goes_on else None
        self.read()
        self.size_up()
        self.announce()
        run = self.build(saved)
        with contextlib.closing(self.metrics), self.progress, interruptible(run):
            why = fit(run)
        if why == "interrupted":
            self.talk.say(f"stopped at step {run.step:,} and saved; go on with: linnet train {self.folder} --resume")
            return Result(self.folder, why, run.step, None, None)
        return self.finish(run, why)

    # ---- before training ------------------------------------------------------------------------------------------

    def read(self) -> None:
        """The text as tokens, and what it costs without a neural network."""
        with self.talk.status("reading the text") as update:
            before = prepared_before(self.folder) if self.goes_on else None
            if before is not None:
                self.prepared = before
            else:
                self.spec, self.prepared = read_data(
                    self.spec, self.folder / "data", lambda done, what: update(what if done is None else f"{what} {done:.0%}")
                )
        self.objective = self.spec.objective.bound(self.prepared.tokenizer)
        if self.spec.weights is not None and not self.goes_on:
            check_tokens(Path(self.spec.weights), self.prepared.tokenizer)
        path = self.folder / "yardsticks.json"
        known = json.loads(path.read_text("utf-8")) if path.exists() else {}
        if known.get("data") != measured_for(self.prepared, self.objective):
            with self.talk.status("measuring what the same text costs without a neural network"):
                known = yardsticks_of(self.prepared, self.objective)
            write_json(path, known)
        self.yardsticks: list[dict[str, Any]] = known["rows"]

    def size_up(self) -> None:
        """Settle what was left open, write it down, estimate what the run will need."""
        try:
            check_learns(self.spec.model.sentence(self.prepared.tokenizer.vocab_size), self.spec.objective)
        except ValidationError as error:  # numbers that are each right and do not go together
            raise refusal(error, "model") from None
        self.peak_flops = measure_peak(self.device, self.precision.dtype)
        if not self.goes_on:
            with self.talk.status("timing a few steps of each size that could fit"):
                self.spec = settle(
                    self.spec,
                    self.asked,
                    self.prepared,
                    precision=self.precision,
                    began=self.began,
                    peak_flops=self.peak_flops,
                    say=self.talk.say,
                )
        spec, train = self.spec, self.spec.train
        self.sentence = spec.model.sentence(self.prepared.tokenizer.vocab_size)
        check_sides(self.sentence, spec.data.rows)
        self.context = context_of(spec, self.sentence)
        check_prompt(spec, self.sentence, self.prepared.tokenizer, self.context)
        self.cost = count(self.sentence, self.context)
        self.micro = min(train.micro_batch_size or train.batch_size, train.batch_size)
        self.read_rows = rows_in_a_run(self.micro, self.precision)
        check_room(self.folder, self.cost, self.micro, self.context, self.device.type)
        if not self.goes_on:  # from here on the folder holds a run; what was wrong with the question was said before
            record = {"asked": self.asked, "resolved": dump(spec), "data": self.prepared.fingerprint}
            if spec.weights is not None:  # which may be gone when the run ends
                record["weights"] = belongings(Path(spec.weights))
            write_text(self.folder / "run.yaml", to_yaml(record))
            if spec.weights is not None:
                copy_terms(Path(spec.weights), self.folder, template=self.prepared.spec.taught is None)
        with self.talk.status("timing a few steps"):
            probed = probe(
                self.sentence,
                self.objective,
                spec.optimizer,
                self.precision,
                train.batch_size,
                self.micro,
                self.context,
                recompute=train.recompute,
            )
        seconds = None if train.minutes is None else self.seconds_left()
        self.estimate = estimate(
            spec, self.folder, self.cost, probed, self.prepared.validation.tokens, self.context, self.began, seconds
        )

    def announce(self) -> None:
        """What will run, what it needs, what it has to beat."""
        train, cost, needs, tokenizer = self.spec.train, self.cost, self.estimate, self.prepared.tokenizer
        length = (
            f"{train.steps:,} steps"
            if train.minutes is None
            else f"{train.minutes:g} minute{'s' if train.minutes != 1 else ''} in all"
        )
        portion = f"{train.batch_size} × {self.context} tokens a step, {self.precision.name}"
        memory, disk = needs.memory / 2**20, needs.disk / 2**20
        mixture = mixture_of(weights_of(self.prepared.train))
        active = self.sentence.n_active_params()
        used = f", a token uses {active:,}" if active < cost.parameters else ""
        packed = packed_bytes(self.sentence)
        small = (
            ""
            if packed is None
            else f"; {packed / 2**20:,.1f} MiB packed, where bfloat16 takes {2 * cost.parameters / 2**20:,.1f}"
        )
        lines = {
            "data": self.prepared.card.announcement(),
            **({"mixture": self.course(mixture)} if mixture.moves else {}),
            "tokens": f"{tokenizer.vocab_size:,} ids, {self.prepared.train.bytes_per_token:.2f} bytes a token",
            "model": describe(self.sentence),
            "": f"{cost.parameters:,} parameters, {cost.body:,} of them in the layers{used}; "
            f"{cost.train_flops / 1e6:.1f} MFLOP a token to train{small}",
            "training": f"{length}, {portion}, {self.peak_flops / 1e9:.0f} GFLOP/s at most",
            "needs": f"about {clock_text(needs.seconds)}, {memory:,.0f} MiB of memory, {disk:,.0f} MiB of disk",
            **({"to beat": to_beat(self.yardsticks)} if self.yardsticks else {}),
        }
        for word, text in lines.items():
            self.talk.fact(word, text)

    def course(self, mixture: Mixture) -> str:
        """How the sources' shares of the rows go, where they change."""
        courses = zip(self.prepared.train.streams, mixture.courses())
        length = "the run" if self.spec.train.minutes is None else f"{self.estimate.steps:,} steps, as many as are expected"
        if self.goes_on and self.spec.train.minutes is not None:
            length = "as many steps as were expected when it began"
        shares = [f"{stream.source} {as_course([100 * share for share in course])} %" for stream, course in courses]
        return f"{', '.join(shares)} of the rows, over {length}"

    def seconds_left(self) -> float:
        """What a time budget leaves for the loop."""
        if self.seconds is not None:
            return self.seconds
        return seconds_for_training(self.spec, self.prepared, self.began, self.peak_flops)

    # ---- training -------------------------------------------------------------------------------------------------

    def build(self, saved: Checkpoint | None) -> Training:
        """Everything that the loop needs, standing where `saved` does. Opens the metrics file."""
        spec, train, before = self.spec, self.spec.train, progress_of(saved)
        planned = self.estimate.steps * train.batch_size
        self.source = batches_of(
            self.prepared.train,
            context_length=self.context,
            batch_size=train.batch_size,
            seed=spec.seed,
            document_mask=spec.data.document_mask,
            rows=spec.data.rows,
            run_rows=planned if train.minutes is None else before.source.get("run_rows", planned),  # as when it began
        )
        network = Network(self.sentence, seed=spec.seed)
        if spec.weights is not None and saved is None:
            fill(network, Path(spec.weights))
        network = network.to(self.device).train()
        for stack in network.stacks:
            stack.recompute = train.recompute
        optimizers = spec.optimizer.build(network)
        if not compiled(network, train.compile, self.precision, self.context, say=self.talk.say, warn=self.talk.warn):
            network.programs = TrainingPrograms()
        board = tensorboard(self.folder)  # seconds of importing, before the clock starts
        budget = before.budget
        if train.minutes is not None and budget is None:
            budget = self.seconds_left()
        clock = Clock(train.steps, budget, spent_before=before.seconds)
        every = before.validate_every or validate_every(spec, self.estimate.steps, self.context, self.prepared.validation.tokens)
        self.metrics = MetricsFile(self.folder, before.offsets)
        self.progress = TrainingProgress(self.talk.console, clock, quiet=self.talk.quiet)
        run = Training(
            network=network,
            objective=self.objective,
            optimizers=optimizers,
            schedule=spec.schedule,
            source=self.source,
            clock=clock,
            precision=self.precision,
            seed=spec.seed,
            micro_batch_size=self.micro,
            batch_size=train.batch_size,
            clip=train.clip,
            validate=validator(
                network,
                self.prepared.validation,
                self.context,
                document_mask=spec.data.document_mask,
                rows=spec.data.rows,
                batches=spec.validation.batches,
                learned_rows=self.read_rows,
                objective=self.objective,
            ),
            validate_every=every,
            sample=sampler(network, self.prepared, spec, self.context),
            save=partial(save, folder=self.checkpoints, keep_last=spec.checkpoint.keep_last, metrics=self.metrics),
            save_every=spec.checkpoint.every or every,
            keep_best=spec.checkpoint.keep_best,
            patience=spec.validation.patience,
            peak_flops=self.peak_flops,
            flops_per_token=self.cost.train_flops,
            listeners=[self.metrics, self.progress, *([board] if board is not None else [])],
        )
        if saved is not None:
            restore(run, saved)
        return run

    # ---- after training -------------------------------------------------------------------------------------------

    def finish(self, run: Training, why: str) -> Result:
        """Keep the best weights, write the model, measure it, and write down what came of it all."""
        network, prepared, mask = run.network, self.prepared, self.spec.data.document_mask
        restore_best(run, self.checkpoints, say=self.talk.say, warn=self.talk.warn)
        if run.keep_best and run.best_step not in (None, run.step) and mixture_of(weights_of(prepared.train)).moves:
            late = "what its mixture shows last is learned less; checkpoint.keep_best=false keeps the last step"
            self.talk.warn(f"the model is that of step {run.best_step:,} of {run.step:,}: {late}")
        network.eval()
        network.programs = None
        keep_freed_memory(False)  # there is no next step
        kept = read_record(self.folder).get("weights") or {}
        template = prepared.spec.taught
        if template is None and kept.get("template") is not None:
            template = load(ChatTemplate, kept["template"], path="weights.template", name=f"{self.folder}/run.yaml")
        manifest = make_manifest(
            network,
            prepared.tokenizer,
            context_length=self.context,
            document_mask=mask,
            data=prepared.fingerprint,
            template=template,
            begin=kept.get("begin", ()),
            stop=kept.get("stop", ()),
        )
        save_model(self.folder, network, prepared.tokenizer, manifest)
        with self.talk.status("reading the validation part once more, with intervals"):
            scored = final_metrics(network, prepared, self.context, document_mask=mask, objective=self.objective)
        write_json(
            self.folder / "evaluation.json",
            {"objective": dump(self.spec.objective), "model": scored.to_dict(), "yardsticks": self.yardsticks},
        )
        write_json(self.folder / "data_card.json", prepared.card.to_json())
        summary = {
            "parameters": self.cost.parameters,
            "flops_per_token": self.cost.train_flops,
            "family": getattr(self.spec.model, "kind", "sentence"),
            "size": getattr(self.spec.model, "size", ""),
            "sentence": to_yaml(dump(self.sentence)),
            "versions": manifest.versions,
            "machine": describe_machine(self.device),
            "warnings": self.talk.warnings,
            "rows_drawn": self.source.drawn(),
        }
        write_json(self.folder / "summary.json", summary)
        if not self.goes_on:  # a run in several sittings has no single estimate to score
            card = scorecard(self.spec, self.estimate, self.folder, run.step, self.began)
            write_json(self.folder / "scorecard.json", card)
        bits = scored.bits_per_byte.value if scored.bits_per_byte is not None else None
        return Result(self.folder, why, run.step, scored.nats_per_token.value, bits)


def to_beat(yardsticks: list[dict[str, Any]]) -> str:
    """The lowest of them: in bits a byte, or in nats a token where there are none."""
    measured = "nats_per_token" if any(row["bits_per_byte"] is None for row in yardsticks) else "bits_per_byte"
    value, name = min((row[measured], row["name"]) for row in yardsticks)
    unit = "nats a token" if measured == "nats_per_token" else "bits a byte"
    return f"{name}: {value:.3f} {unit} on the same text"

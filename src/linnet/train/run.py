"""The one place that wires a run: from a run file to a folder that explains itself.

    run.yaml            what was asked, and what it came to
    data/               prepared tokens, their card and tokenizer
    metrics.jsonl · timings.jsonl · tensorboard/
    checkpoints/        the last few and the best
    model.safetensors · tokenizer.json · manifest.json      the model, once it is done
    evaluation.json · scorecard.json · summary.json · data_card.json · report.html

Order: read and prepare data → choose what fits the budget → build → train (train/loop.py) → evaluate → report.
"""

from __future__ import annotations

import contextlib
import json
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from rich.console import Console

from linnet.core.errors import BudgetError, CheckpointError, ConfigError, LinnetError, explain
from linnet.core.files import sweep, write_json, write_text
from linnet.core.spec import dump, load
from linnet.core.yaml import read_yaml, to_yaml
from linnet.data.loader import PackedBatches
from linnet.data.prepare import Prepared, TokenizerTrainer, prepare
from linnet.generate.generate import generate
from linnet.generate.sampler import Sampling
from linnet.interop.native import make_manifest, save_model
from linnet.model.count import Cost, count
from linnet.model.network import Network
from linnet.model.spec import Model
from linnet.model.weights import model_tensors, restore_model
from linnet.tokenizer import load_tokenizer, train_tokenizer
from linnet.tokenizer.spec import BPE
from linnet.train import plan
from linnet.train.checkpoint import (
    Checkpoint,
    load_checkpoint,
    newest_checkpoint,
    optimizer_tensors,
    prune_checkpoints,
    restore_optimizers,
    save_checkpoint,
    steps_in,
)
from linnet.train.clock import Clock
from linnet.train.evaluation import final_metrics, measure_yardsticks, validator
from linnet.train.events import Notice, Sampled, Saved
from linnet.train.hooks import MetricsFile, tensorboard
from linnet.train.loop import Training, fit
from linnet.train.machine import available_memory, describe_machine, measure_peak, peak_memory_bytes, pick_device
from linnet.train.precision import Precision
from linnet.train.progress import TrainingProgress, clock_text
from linnet.train.spec import RunSpec
from linnet.zoo import Decoder

DEFAULT_CONTEXT = 256
DEFAULT_STEPS = 2_000


@dataclass(frozen=True)
class Result:
    """How a run ended: 'finished', 'early stop' or 'interrupted'; its folder; the last validation."""

    folder: Path
    why: str
    step: int
    loss: float
    bits_per_byte: float | None


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a run folder; two processes never write one run."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise LinnetError(explain(f"{folder} is being trained by another process", need="one process a run", hint="another --out")) from error
    try:
        yield
    finally:
        lock.release()


def read_run(folder: Path) -> RunSpec:
    """The resolved spec of a run folder."""
    table = read_yaml(Path(folder) / "run.yaml")
    if not isinstance(table, dict) or "resolved" not in table:
        raise ConfigError(explain(f"{folder}/run.yaml has no 'resolved' part", need="the run.yaml that linnet train wrote"))
    return load(RunSpec, table["resolved"], path="run")


def vocabulary_for(n_bytes: int) -> int:
    """A vocabulary for a corpus: the power of two nearest to √bytes, from 512 to 32,768."""
    size = 512
    while size < 32_768 and size * 1.5 < n_bytes**0.5:
        size *= 2
    return size


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
    began = time.perf_counter() if began is None else began
    console = console or Console(quiet=quiet)
    with locked(folder):
        sweep(folder)
        sweep(folder / "checkpoints")
        if not resume and (folder / "run.yaml").exists():
            raise ConfigError(
                explain(f"{folder} holds a run already", need="a new folder, or to go on with that run", hint=f"--out another, or linnet train --resume {folder}")
            )
        return _Run(spec, folder, asked, resume, console, quiet, began).go()


class _Run:
    """The wiring, step by step; lives as long as one command."""

    def __init__(self, spec: RunSpec, folder: Path, asked: Any, resume: bool, console: Console, quiet: bool, began: float) -> None:
        self.spec, self.folder, self.asked, self.resume = spec, folder, asked, resume
        self.console, self.quiet, self.began = console, quiet, began
        self.warnings: list[str] = []
        self.device = pick_device(spec.train.device)
        if spec.train.threads is not None:
            torch.set_num_threads(spec.train.threads)
        self.precision = Precision(spec.train.precision, self.device)

    def go(self) -> Result:
        saved = self._saved()
        self.prepared = self._prepare()
        self.peak_flops = measure_peak(self.device, self.precision.dtype)
        self.yardsticks = self._yardsticks()
        self.spec = self._settle(saved)
        self.sentence = self.spec.model.sentence(self.prepared.tokenizer.vocab_size)
        self.context = self._context()
        self.cost = count(self.sentence, self.context)
        if not self.resume or not (self.folder / "run.yaml").exists():
            write_text(self.folder / "run.yaml", to_yaml({"asked": self.asked, "resolved": dump(self.spec)}))
        self._estimate()
        self._announce()
        run, metrics_file, progress = self._build(saved)
        with progress, interruptible(run):
            why = fit(run)
        metrics_file.close()
        if why == "interrupted":
            self._say(f"stopped at step {run.step:,} and saved; go on with: linnet train --resume {self.folder}")
            return Result(self.folder, why, run.step, run.best, None)
        return self._finish(run, why)

    # ---- before training ------------------------------------------------------------------------------------------

    def _saved(self) -> Checkpoint | None:
        if not self.resume:
            return None
        saved, damaged = newest_checkpoint(self.folder / "checkpoints")
        for problem in damaged:
            self._warn(f"a damaged checkpoint was passed over: {problem}")
        if saved is None and damaged:
            raise CheckpointError(explain("no checkpoint of this run is whole", need="one to go on from", hint="starting again in a new folder"))
        return saved

    def _prepare(self) -> Prepared:
        shown = [""]

        def tell(done: float | None, message: str) -> None:
            text = message if done is None else f"{message} {done:.0%}"
            if text != shown[0] and status is not None:
                shown[0] = text
                status.update(text)

        spec = self.spec
        with self.console.status("reading the text") if not self.quiet else contextlib.nullcontext() as status:
            tokenizer_spec = spec.tokenizer

            def make(texts: Any) -> Any:
                chosen = tokenizer_spec
                if isinstance(chosen, BPE) and chosen.vocab_size is None:
                    kept = list(texts)
                    chosen = chosen.replace(vocab_size=vocabulary_for(sum(len(text.encode("utf-8", "surrogatepass")) for text in kept)))
                    texts = kept
                return train_tokenizer(chosen, texts)

            recipe = json.dumps(dump(tokenizer_spec), sort_keys=True)
            return prepare(spec.data, TokenizerTrainer(make, load_tokenizer, recipe), self.folder / "data", seed=spec.seed, progress=tell)

    def _yardsticks(self) -> list[dict[str, Any]]:
        path = self.folder / "yardsticks.json"
        with self.console.status("measuring unigram, 5-gram and xz on the same text") if not self.quiet else contextlib.nullcontext():
            if path.exists():
                found = json.loads(path.read_text("utf-8"))
                if found.get("data") == self.prepared.fingerprint:
                    return found["rows"]
            rows = measure_yardsticks(self.prepared)
        write_json(path, {"data": self.prepared.fingerprint, "rows": rows})
        return rows

    def _settle(self, saved: Checkpoint | None) -> RunSpec:
        """The spec with every choice made: size and batch under a time budget, steps without one."""
        spec = self.spec
        if self.resume or spec.train.minutes is None:
            if spec.train.steps is None and spec.train.minutes is None:
                spec = spec.replace(train=spec.train.replace(steps=DEFAULT_STEPS))
            return spec
        table = self.asked if isinstance(self.asked, dict) else {}
        asked_model = table.get("model")
        sized = not isinstance(spec.model, Decoder) or (isinstance(asked_model, dict) and bool({"size", "n_layers", "d_model"} & set(asked_model)))
        if sized:
            return spec
        assert isinstance(spec.model, Decoder)
        seconds = self._seconds_for_training()
        with self.console.status("timing a few steps of each size that could fit") if not self.quiet else contextlib.nullcontext():
            best, tried = plan.choose(
                spec.model,
                self.prepared.tokenizer.vocab_size,
                self.prepared.train.tokens,
                seconds,
                objective=spec.objective,
                optimizer=spec.optimizer,
                precision=self.precision,
                context=spec.train.context_length or spec.model.reads or DEFAULT_CONTEXT,
                peak_flops=self.peak_flops,
            )
        for choice in tried:
            mark = "→" if choice is best else " "
            self._say(
                f" {mark} {choice.family.size:7s} {choice.rows:4d} rows · {choice.steps:7,} steps · {choice.tokens / 1e6:8.2f} M tokens · {choice.epochs:6.1f} epochs"
                f" · promise {choice.promised:.3f}"
            )
        given_batch = isinstance(table.get("train"), dict) and "batch_size" in table["train"]
        rows = spec.train.batch_size if given_batch else best.rows
        return spec.replace(model=best.family, train=spec.train.replace(batch_size=rows))

    def _seconds_for_training(self) -> float:
        minutes = self.spec.train.minutes
        assert minutes is not None
        left = minutes * 60 - (time.perf_counter() - self.began) - self._reserve()
        if left <= 0:
            raise BudgetError(
                explain(
                    f"{minutes:g} minutes, of which reading the text and the final evaluation take {minutes * 60 - left:.0f} seconds",
                    need="time left to train",
                    hint=f"--minutes {(minutes * 60 - left) / 60 * 2:.1g}",
                )
            )
        return left

    def _reserve(self) -> float:
        """Seconds kept for the final evaluation and the report; reading costs a third of learning, at half the peak."""
        tokens = self.prepared.validation.tokens
        cost = count(self.spec.model.sentence(self.prepared.tokenizer.vocab_size), 256).forward_flops
        return 4.0 + tokens * cost / (0.4 * self.peak_flops)

    def _context(self) -> int:
        """Tokens a row."""
        wanted = self.spec.train.context_length or self.spec.model.reads or DEFAULT_CONTEXT
        longest = self.sentence.max_length
        if longest is not None and wanted > longest:
            raise ConfigError(explain(f"train.context_length = {wanted} for a model of {longest} positions", need=f"at most {longest}", hint=f"model.context_length: {wanted}"))
        return wanted

    def _estimate(self) -> None:
        """Time a few steps of what will run, then say what it will need: time, memory, disk."""
        train = self.spec.train
        micro = min(train.micro_batch_size or train.batch_size, train.batch_size)
        needed = self.cost.train_bytes + self.cost.activation_bytes * micro * self.context
        if self.device.type == "cpu" and needed > available_memory():
            raise BudgetError(
                explain(
                    f"this run needs about {needed / 2**30:.1f} GiB and {available_memory() / 2**30:.1f} GiB of memory are free",
                    need="a run that fits",
                    hint="train.micro_batch_size, train.recompute: true, or a smaller model",
                )
            )
        with self.console.status("timing a few steps") if not self.quiet else contextlib.nullcontext():
            self.probe = plan.probe(self.sentence, self.spec.objective, self.spec.optimizer, self.precision, train.batch_size, micro, self.context)
        tokens = train.batch_size * self.context
        validation = self.prepared.validation.tokens * self.probe.read_seconds / tokens
        setup = time.perf_counter() - self.began
        if train.steps is not None:
            validations = train.steps / self._validate_every(train.steps)
            self.estimated_seconds = setup + train.steps * self.probe.step_seconds + (validations + 1) * validation + 3
        else:
            assert train.minutes is not None
            self.estimated_seconds = train.minutes * 60
        self.validation_seconds = validation
        self.estimated_memory = max(self.probe.memory_bytes, peak_memory_bytes())
        checkpoints = self.spec.checkpoint.keep_last + (1 if self.spec.checkpoint.keep_best else 0)
        data = sum(f.stat().st_size for f in (self.folder / "data").rglob("*") if f.is_file())
        steps = train.steps or (train.minutes or 0) * 60 / self.probe.step_seconds
        moments = 3 * self.cost.weight_bytes  # weights and two moments
        self.estimated_disk = data + checkpoints * moments + self.cost.weight_bytes + int(steps * 330)
        free = __import__("shutil").disk_usage(self.folder).free
        if self.estimated_disk - data > free:
            raise BudgetError(
                explain(f"this run writes about {self.estimated_disk / 2**20:,.0f} MiB and {free / 2**20:,.0f} MiB of disk are free", need="room for it", hint="another --out")
            )

    def _announce(self) -> None:
        train = self.spec.train
        how_long = f"{train.steps:,} steps" if train.steps is not None else f"{train.minutes:g} minutes"
        best_yardstick = min((row["bits_per_byte"], row["name"]) for row in self.yardsticks)
        self._say(f"data      {self.prepared.card.announcement()}")
        self._say(f"tokenizer {type(self.prepared.tokenizer).__name__}, {self.prepared.tokenizer.vocab_size:,} ids, {self.prepared.train.bytes_per_token:.2f} bytes a token")
        self._say(f"model     {describe(self.sentence)}")
        self._say(
            f"          {self.cost.parameters:,} parameters ({self.cost.body:,} in the layers), {self.cost.train_flops / 1e6:.1f} MFLOP a token to train,"
            f" {self.cost.state_bytes / 2**10:,.0f} KiB of state a row"
        )
        self._say(f"training  {how_long}, {train.batch_size} × {self.context} tokens a step, {self.precision.name}, {self.peak_flops / 1e9:.0f} GFLOP/s measured peak")
        self._say(
            f"estimate  {clock_text(self.estimated_seconds)} in all, {self.estimated_memory / 2**20:,.0f} MiB of memory, {self.estimated_disk / 2**20:,.1f} MiB of disk"
        )
        self._say(f"to beat   {best_yardstick[1]} at {best_yardstick[0]:.3f} bits/byte")

    # ---- training -------------------------------------------------------------------------------------------------

    def _build(self, saved: Checkpoint | None) -> tuple[Training, MetricsFile, TrainingProgress]:
        spec, train = self.spec, self.spec.train
        network = Network(self.sentence, seed=spec.seed).to(self.device).train()
        network.decoder.recompute = train.recompute
        optimizers = spec.optimizer.build(network)
        mask = spec.data.document_mask
        source = PackedBatches(self.prepared.train, context_length=self.context, batch_size=train.batch_size, seed=spec.seed, document_mask=mask)
        if saved is not None:
            restore_model(network, saved.model)
            restore_optimizers(network, optimizers, saved.optimizer)
            source.load_state_dict(saved.progress["source"])
            self.precision.load_state_dict(saved.progress["precision"])
        spent = float(saved.progress["seconds"]) if saved is not None else 0.0
        seconds = None
        if train.minutes is not None:
            self.overhead = time.perf_counter() - self.began
            seconds = spent + self._seconds_for_training() if saved is None else float(saved.progress["budget"])
        clock = Clock(train.steps, seconds, spent_before=spent)
        expected = train.steps or max(1, int((seconds or 0) / self.probe.step_seconds))
        every = self._validate_every(expected)
        metrics_file = MetricsFile(self.folder, saved.progress["offsets"] if saved is not None else None)
        progress = TrainingProgress(self.console, clock, quiet=self.quiet)
        listeners = [metrics_file, progress]
        board = tensorboard(self.folder, saved.step if saved is not None else 0)
        run = Training(
            network=self._compiled(network),
            objective=spec.objective,
            optimizers=optimizers,
            schedule=spec.schedule,
            source=source,
            clock=clock,
            precision=self.precision,
            seed=spec.seed,
            micro_batch_size=min(train.micro_batch_size or train.batch_size, train.batch_size),
            clip=train.clip,
            validate=validator(network, self.prepared.validation, self.context, document_mask=mask, batches=spec.validation.batches),
            validate_every=every,
            sample=self._sampler(network),
            save=lambda run: self._save(run, metrics_file, seconds),
            save_every=spec.checkpoint.every or every,
            patience=spec.validation.patience,
            peak_flops=self.peak_flops,
            flops_per_token=self.cost.train_flops,
            listeners=listeners if board is None else [*listeners, board],
        )
        if saved is not None:
            run.step, run.tokens = saved.step, saved.progress["tokens"]
            run.best = saved.progress["best"] if saved.progress["best"] is not None else float("inf")
            run.best_step = saved.progress["best_step"]
            run.validations_without_better = saved.progress["validations_without_better"]
            run.emit(Notice(f"going on from step {run.step:,}"))
        return run, metrics_file, progress

    def _compiled(self, network: Network) -> Network:
        """The network, compiled where that was asked for or is known to pay; tried at once, so a failure costs no run."""
        wanted = self.spec.train.compile
        if wanted == "no" or (wanted == "auto" and self.device.type == "cpu"):
            return network
        try:
            started = time.perf_counter()
            network.decoder.compile()
            tokens = torch.zeros(1, self.context, dtype=torch.int64, device=self.device)
            with self.precision.autocast():
                network(tokens).hidden.sum().backward()
            network.zero_grad(set_to_none=True)
            self._say(f"compiled in {time.perf_counter() - started:.0f} s")
        except Exception as error:  # whatever the compiler raises, the eager path is still right
            self._warn(f"torch.compile failed ({str(error).splitlines()[0][:120]}); going on without it")
            network.decoder._compiled_call_impl = None
        return network

    def _validate_every(self, steps: int) -> int:
        """Steps between validations: as asked, or about twenty a run, fewer where reading the validation part is slow."""
        if self.spec.validation.every is not None:
            return self.spec.validation.every
        share = 0.05  # of the time at most
        one = getattr(self, "validation_seconds", self.prepared.validation.tokens * self.probe.read_seconds / (self.spec.train.batch_size * self.context))
        most = max(2.0, share * steps * self.probe.step_seconds / max(one, 1e-9))
        return max(1, round(steps / min(20.0, most)))

    def _sampler(self, network: Network) -> Callable[[int], Sampled | None]:
        asked, tokenizer = self.spec.sample, self.prepared.tokenizer

        def sample(step: int) -> Sampled | None:
            if asked.tokens == 0:
                return None
            written = generate(
                network,
                tokenizer,
                [asked.prompt],
                sampling=Sampling(temperature=asked.temperature),
                max_tokens=asked.tokens,
                seed=self.spec.seed,
                context_length=self.context,
                fresh_documents=self.spec.data.document_mask,
            )
            return Sampled(step, asked.prompt, written[0].text)

        return sample

    def _save(self, run: Training, metrics_file: MetricsFile, budget: float | None) -> None:
        progress = {
            "step": run.step,
            "tokens": run.tokens,
            "seconds": run.clock.spent if run.clock.seconds is not None else 0.0,
            "budget": budget,
            "best": None if run.best == float("inf") else run.best,
            "best_step": run.best_step,
            "validations_without_better": run.validations_without_better,
            "source": run.source.state_dict(),
            "precision": self.precision.state_dict(),
            "offsets": metrics_file.offsets(),
        }
        folder = self.folder / "checkpoints"
        checkpoint = Checkpoint(run.step, model_tensors(run.network), optimizer_tensors(run.network, run.optimizers), progress)
        path = save_checkpoint(folder, checkpoint)
        prune_checkpoints(folder, self.spec.checkpoint.keep_last, run.best_step if self.spec.checkpoint.keep_best else None)
        run.emit(Saved(run.step, path))

    # ---- after training -------------------------------------------------------------------------------------------

    def _finish(self, run: Training, why: str) -> Result:
        network = run.network
        best = self.folder / "checkpoints" / f"step-{run.best_step or 0:08d}"
        if run.best_step is not None and run.best_step != run.step and self.spec.checkpoint.keep_best and best.exists():
            restore_model(network, load_checkpoint(best).model)
            self._say(f"the model is that of step {run.best_step:,}, the best by validation")
        network.eval()
        mask = self.spec.data.document_mask
        manifest = make_manifest(network, self.prepared.tokenizer, context_length=self.context, document_mask=mask, data=self.prepared.fingerprint)
        save_model(self.folder, network, self.prepared.tokenizer, manifest)
        scored = final_metrics(network, self.prepared, self.context, document_mask=mask)
        write_json(self.folder / "evaluation.json", {"model": scored.to_dict(), "yardsticks": self.yardsticks})
        write_json(self.folder / "data_card.json", self.prepared.card.to_json())
        write_json(
            self.folder / "summary.json",
            {
                "parameters": self.cost.parameters,
                "flops_per_token": self.cost.train_flops,
                "family": getattr(self.spec.model, "kind", "sentence"),
                "size": getattr(self.spec.model, "size", ""),
                "sentence": to_yaml(dump(self.sentence)),
                "versions": manifest.versions,
                "machine": describe_machine(self.device),
                "warnings": self.warnings,
            },
        )
        self._score(run)
        bits = scored.bits_per_byte.value if scored.bits_per_byte is not None else None
        return Result(self.folder, why, run.step, scored.nats_per_token.value, bits)

    def _score(self, run: Training) -> None:
        """Write what was asked, estimated and measured side by side."""
        train = self.spec.train
        seconds = time.perf_counter() - self.began
        disk = sum(f.stat().st_size for f in self.folder.rglob("*") if f.is_file() and "tensorboard" not in f.parts)
        rows = [
            {"what": "time", "asked": None if train.minutes is None else train.minutes * 60, "estimated": self.estimated_seconds, "measured": seconds, "unit": "s"},
            {"what": "memory", "asked": None, "estimated": self.estimated_memory, "measured": peak_memory_bytes(), "unit": "bytes"},
            {"what": "disk", "asked": None, "estimated": self.estimated_disk, "measured": disk, "unit": "bytes"},
            {"what": "steps", "asked": train.steps, "estimated": None, "measured": run.step, "unit": ""},
        ]
        if not self.resume:
            write_json(self.folder / "scorecard.json", {"rows": rows})

    def _say(self, message: str) -> None:
        if not self.quiet:
            self.console.print(message, highlight=False)

    def _warn(self, message: str) -> None:
        self.warnings.append(message)
        if not self.quiet:
            self.console.print(f"! {message}", style="yellow", highlight=False)


@contextlib.contextmanager
def interruptible(run: Training) -> Iterator[None]:
    """While training, SIGINT and SIGTERM ask the loop to save and leave; a second one leaves at once."""

    def ask(number: int, frame: Any) -> None:
        if run.interrupted:
            raise KeyboardInterrupt
        run.interrupted = True

    before = {}
    with contextlib.suppress(ValueError):  # not in the main thread: no handlers, no harm
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, ask)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def describe(model: Model) -> str:
    """A sentence of the grammar in one line of words."""
    first = next(model.decoder.blocks())
    parts = " + ".join(getattr(sublayer.mixer, "kind", "?") for sublayer in first.sublayers)
    position = getattr(model.position, "kind", None) or getattr(getattr(first.sublayers[0].mixer, "position", None), "kind", None) or "no"
    return f"{model.decoder.n_layers} × ({parts}), width {model.d_model}, {position} positions, {model.vocab_size:,} ids, {'tied' if model.head.tied else 'free'} head"


def open_steps(folder: Path) -> list[int]:
    """Steps that a run has checkpoints of."""
    return [int(path.name.removeprefix("step-")) for path in steps_in(folder / "checkpoints")]

"""linnet plan: what would run, what it would cost, before anything is trained."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from linnet.cli.began import began
from linnet.cli.options import Minutes, Set, Steps, above_zero

if TYPE_CHECKING:
    from linnet.train.spec import RunSpec

FAMILY, VOCABULARY, CONTEXT = "linnet", 1024, 256  # of a text that is only imagined
LOSS = "loss: what is left to size and text by 2203.15556; only the order of sizes means something"


def plan(
    what: Annotated[
        list[str] | None,
        typer.Argument(
            help="A run file (.yaml), text files, folders or globs, [b]stories[/b], [b]python-docs[/b], [b]-[/b] for standard input, or a finished run folder.",
            show_default=False,
        ),
    ] = None,
    minutes: Minutes = None,
    steps: Steps = None,
    set: Set = None,
    tokens: Annotated[
        float | None,
        typer.Option(help="Without a text: how many different tokens there would be, e.g. 3e6.", callback=above_zero),
    ] = None,
    family: Annotated[str | None, typer.Option(help="Without a text: the family (linnet).")] = None,
    vocab_size: Annotated[int | None, typer.Option(min=1, help="Without a text: ids of the tokenizer (1,024).")] = None,
    context_length: Annotated[int | None, typer.Option(min=1, help="Without a text: tokens a row (256).")] = None,
) -> None:
    """Say what [b]linnet train[/b] would do, and train nothing.

    With a text or a run file, just as for [b]linnet train[/b]: it is read, what is
    left open is chosen, a few steps are timed here, and nothing is kept.

    [b]linnet plan notes/ --minutes 5[/b]           size, steps, time, memory, disk
    [b]linnet plan my.yaml[/b]                      the same for a run file
    [b]linnet plan runs/demo[/b]                    what a finished model costs

    Without a text, for one that you do not have yet:

    [b]linnet plan --minutes 30 --tokens 3e6[/b]    sizes timed here, the best of them
    [b]linnet plan --tokens 1e8[/b]                 the size for that much text, by rule
    """
    from linnet.core.errors import ConfigError, explain

    console = Console(highlight=False)
    imagined = {"tokens": tokens, "family": family, "vocab_size": vocab_size, "context_length": context_length}
    given = [f"--{name.replace('_', '-')}" for name, value in imagined.items() if value is not None]
    if what:
        if given:
            hint = "leaving it out, or --set model.context_length=…, --set model=llama"
            raise ConfigError(explain(f"{' and '.join(given)} beside a text", need="neither: they are the text's own", hint=hint))
        if len(what) == 1 and (Path(what[0]) / "manifest.json").is_file():
            plan_for_model(console, Path(what[0]), [minutes, steps, *(set or [])])
            return
        plan_for_text(console, what, minutes, steps, set or [])
        return
    if steps is not None or set:
        raise ConfigError(
            explain("--steps or --set without a text", need="a text, or a run file", hint="linnet plan notes/ --steps 500")
        )
    if minutes is None and tokens is None:
        need = "a text, or --minutes, or --tokens"
        raise ConfigError(explain("neither a text nor --minutes nor --tokens", need=need, hint="linnet plan notes/ --minutes 10"))
    plan_for_no_text(console, minutes, tokens, family or FAMILY, vocab_size or VOCABULARY, context_length or CONTEXT)


def plan_for_model(console: Console, folder: Path, asked: list[Any]) -> None:
    """What a finished model costs to use, and to train on: by count, from its manifest alone."""
    from linnet.core.errors import ConfigError, explain
    from linnet.core.spec import load
    from linnet.interop.native import read_manifest
    from linnet.model.count import count
    from linnet.model.describe import describe
    from linnet.model.spec import Model
    from linnet.train.plan import millions
    from linnet.train.talk import Talk

    if any(each is not None for each in asked):
        hint = f"linnet plan {folder}/run.yaml, where the run has one"
        raise ConfigError(explain(f"--minutes, --steps or --set beside the model in {folder}", need="none of them", hint=hint))
    manifest, talk = read_manifest(folder), Talk(console)
    spec = load(Model, manifest.model, path="model", name=f"{folder}/manifest.json")
    cost, length = count(spec, manifest.context_length), manifest.context_length
    talk.fact("model", describe(spec))
    talk.fact("size", f"{cost.parameters:,} parameters, {millions(cost.body)} of them without embedding and head")
    talk.fact("reads", f"{length:,} tokens; {cost.forward_flops / 1e6:,.1f} MFLOP a token")
    talk.fact("memory", f"{mib(cost.weight_bytes)} of weights, {mib(cost.state_bytes)} a text of {length:,} tokens, in float32")
    talk.fact(
        "training",
        f"{mib(cost.train_bytes)} with gradients and AdamW's moments, {mib(cost.activation_bytes * length)} a row beside",
    )


def mib(n_bytes: float) -> str:
    """Bytes as people read them."""
    return f"{n_bytes / 2**20:,.1f} MiB"


def plan_for_text(console: Console, what: list[str], minutes: float | None, steps: int | None, set: list[str]) -> None:
    """The run itself, up to its first step."""
    from linnet.asked import passed_over
    from linnet.command import ask, folder_of
    from linnet.data.walk import tokens_a_pass
    from linnet.train.plan import millions
    from linnet.train.rehearse import rehearse
    from linnet.train.talk import Talk

    asked = ask(what[0] if len(what) == 1 else what, minutes=minutes, steps=steps, set=set)
    folder, talk = folder_of(asked), Talk(console)
    for line in passed_over(what[0] if len(what) == 1 else what, asked.table):
        talk.say(line)
    run = rehearse(asked.spec, folder, asked=asked.table, talk=talk, began=began())
    read = run.estimate.steps * run.spec.train.batch_size * run.context
    once = tokens_a_pass(run.prepared.train, run.context, run.spec.data.rows)
    passes = f"the training text read {read / once:,.1f} times"
    talk.fact(
        "that is", f"{'' if run.spec.train.steps else 'about '}{run.estimate.steps:,} steps, {millions(read)} tokens: {passes}"
    )
    talk.fact("folder", str(folder))
    console.print(Text(f"\nNothing was trained. To do it:\n  linnet train {shlex.join(sys.argv[2:])}"), soft_wrap=True)


def plan_for_no_text(
    console: Console, minutes: float | None, tokens: float | None, family: str, vocab_size: int, context_length: int
) -> None:
    """Sizes for a text that is only imagined."""
    from linnet.core.errors import ConfigError, explain
    from linnet.core.spec import load
    from linnet.train.machine import measure_peak, pick_device
    from linnet.train.precision import Precision
    from linnet.train.settle import check_learns
    from linnet.train.spec import RunSpec
    from linnet.zoo import Decoder, Family

    chosen = load(Family, {"kind": family}, path="--family", name="the plan") if family != "sentence" else None  # type: ignore[type-abstract]
    if not isinstance(chosen, Decoder):
        raise ConfigError(explain(f"--family {family}", need="one with sizes", hint="--family linnet"))
    chosen = chosen.replace(context_length=context_length)
    length: dict[str, Any] = {"minutes": minutes} if minutes is not None else {"steps": 1}
    some_text = {"sources": [{"kind": "stories"}]}  # never read: what counts is how long the text is said to be
    spec = load(RunSpec, {"data": some_text, "train": length}).replace(model=chosen)
    check_learns(chosen.sentence(vocab_size), spec.objective)
    precision = Precision("auto", pick_device())
    with console.status("measuring this machine"):
        peak = measure_peak(precision.device, precision.dtype)
    if minutes is not None:
        timed(console, spec, int(tokens) if tokens else None, vocab_size, precision, peak)
    else:
        assert tokens is not None
        by_rule(console, spec, int(tokens), vocab_size, peak)


def timed(console: Console, spec: RunSpec, tokens: int | None, vocab_size: int, precision: Any, peak: float) -> None:
    """Sizes that could fit into the minutes, from timed steps."""
    from linnet.objective import NextToken
    from linnet.train import plan as planning
    from linnet.train.imagine import estimate_imagined
    from linnet.zoo import Decoder

    assert isinstance(spec.model, Decoder) and spec.train.minutes is not None
    context, seconds = spec.model.context_length, spec.train.minutes * 60
    with console.status("timing a few steps of each size that could fit"):
        best, tried = planning.choose(
            spec.model,
            vocab_size,
            tokens or 10**12,
            seconds,
            objective=NextToken(),
            optimizer=spec.optimizer,
            precision=precision,
            context=context,
            peak_flops=peak,
        )
    needs = [estimate_imagined(spec, each, tokens or each.tokens, vocab_size, context, began(), seconds) for each in tried]
    show(console, planning.table(tried, best, needs, context))
    console.print(
        f"\n→ {best.family.size}: about {best.steps:,} steps of {best.rows} × {context} tokens in {spec.train.minutes:g} minutes"
    )
    console.print(f"[dim]{LOSS}[/dim]")


def by_rule(console: Console, spec: RunSpec, tokens: int, vocab_size: int, peak: float) -> None:
    """All sizes beside the one for which there is as much text as is best, by count and without timing."""
    from linnet.train.imagine import sizes_by_rule

    name, lines = sizes_by_rule(spec, tokens, vocab_size, peak)
    show(console, lines)
    console.print(
        f"\n→ {name}: about 20 tokens a parameter (2203.15556), each read once. Times at half of this "
        f"machine's {peak / 1e9:.0f} GFLOP/s; memory and disk by count, with AdamW's moments."
    )
    console.print(f"[dim]{LOSS}[/dim]")


def show(console: Console, lines: list[str]) -> None:
    """A heading, and rows of which one may be the choice."""
    for number, line in enumerate(lines):
        style = "bold" if number == 0 else "bold green" if line.startswith("→") else ""
        console.print(line, style=style, soft_wrap=True, markup=False)

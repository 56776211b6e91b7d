"""linnet train: a run file, or any text, to a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from linnet.cli.began import began
from linnet.cli.options import Minutes, Set, Steps, What

if TYPE_CHECKING:
    from linnet.interop.native import Manifest


def train(
    what: What,
    minutes: Minutes = None,
    steps: Steps = None,
    out: Annotated[Path | None, typer.Option(help="The run folder. Without it: runs/NAME.")] = None,
    set: Set = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where the run stopped, bit for bit.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
) -> None:
    """Train a model from a run file, from any text, or from conversations.

    [b]linnet train book.txt --minutes 10[/b]         everything chosen, to end in time
    [b]linnet train notes/ --set model=llama[/b]      another architecture
    [b]linnet train chats.jsonl[/b]                   conversations; then linnet chat runs/chats
    [b]linnet train configs/shakespeare.yaml[/b]      a run that was written down
    [b]linnet train runs/notes --resume[/b]           go on after a crash or Ctrl-C
    [b]linnet train runs/notes/run.yaml[/b]           another run like that one

    [b]linnet plan[/b] says what it would do; [b]linnet words[/b], what a run file can say.
    """
    from linnet.command import run
    from linnet.interop.native import read_manifest

    console = Console(quiet=quiet)
    result = run(
        what[0] if len(what) == 1 else what,
        out,
        minutes=minutes,
        steps=steps,
        set=set or (),
        resume=resume,
        quiet=quiet,
        console=console,
        began=began(),
    )
    if result.why == "interrupted":
        raise typer.Exit(130)
    summarise(console, result.folder)
    console.print(Text(f"next      linnet {using(read_manifest(result.folder), result.folder)}"), soft_wrap=True)


def using(manifest: Manifest, folder: Path) -> str:
    """The words after `linnet` by which a model is used."""
    from linnet.core.spec import load
    from linnet.model.causal import sees_both_ways
    from linnet.model.spec import Model
    from linnet.tokenizer.mask import MASK, mask_among

    if manifest.model.get("encoder") is not None:
        return f'generate {folder} --source "TEXT"'
    if sees_both_ways(load(Model, manifest.model)):
        return f'generate {folder} "One day, a {mask_among(manifest.special) or MASK} went home."'
    return f"{'chat' if manifest.template is not None else 'generate'} {folder}"


def summarise(console: Console, folder: Path) -> None:
    """What came of a run: its numbers beside the yardsticks, its estimates beside what was measured, where things are."""
    import json

    from rich.table import Table

    from linnet.report.numbers import cell, error_percent, signed_percent

    evaluation = json.loads((folder / "evaluation.json").read_text("utf-8"))
    table = Table(
        "on the validation part", f"nats a {token_of(evaluation)}", "bits a byte", box=None, header_style="bold", pad_edge=False
    )
    model = evaluation["model"]
    bits = model.get("bits_per_byte") or {}
    table.add_row("[bold]this model[/bold]", interval(model["nats_per_token"]), interval(bits))
    for row in evaluation["yardsticks"]:
        table.add_row(row["name"], *(interval({"value": row[unit]}) for unit in ("nats_per_token", "bits_per_byte")))
    console.print(table)
    if (folder / "scorecard.json").exists():
        rows = json.loads((folder / "scorecard.json").read_text("utf-8"))["rows"]
        scored = Table("", "asked", "estimated", "measured", "", box=None, header_style="bold", pad_edge=False)
        for row in rows:
            off = error_percent(row["estimated"], row["measured"])
            shown = [cell(row[key], row["unit"]) for key in ("asked", "estimated", "measured")]
            scored.add_row(row["what"], *shown, "" if off is None else signed_percent(off))
        console.print(scored)
    report = folder / "report.html"
    where = f"report    {report}" if report.exists() else 'report    none: pip install "linnet[report]" brings what draws it'
    console.print(Text.assemble(("model", "bold"), f"     {folder}\n{where}"), soft_wrap=True)


def token_of(scores: dict[str, Any]) -> str:
    """What scores are a mean over: tokens, or masked ones."""
    return "masked token" if (scores.get("objective") or {}).get("kind") == "masked" else "token"


def interval(estimate: dict[str, float | None]) -> str:
    """1.234 (1.220 – 1.248)."""
    value, low, high = (estimate.get(key) for key in ("value", "low", "high"))
    if value is None:
        return "–"
    places = 3 if abs(value) < 1000 else 0
    shown = f"{value:,.{places}f}"
    return shown if low is None or high is None else f"{shown} ({low:,.{places}f} – {high:,.{places}f})"

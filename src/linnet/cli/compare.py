"""linnet compare: several models at one budget."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from linnet.cli.options import Set


def compare(
    what: Annotated[
        list[str] | None,
        typer.Argument(
            help="Run files, one a model; or one of them with --models; or the folder of a comparison, to go on with it; "
            "or a compare.json, to show it again.",
            show_default=False,
        ),
    ] = None,
    models: Annotated[
        str | None,
        typer.Option(help="Families, as in [b]gpt2,llama,mamba[/b]: each in the place of the run file's model, of its size."),
    ] = None,
    minutes: Annotated[float | None, typer.Option(help="The budget of each run: minutes in the training loop.")] = None,
    flops: Annotated[float | None, typer.Option(help="… or FLOPs of training, e.g. 1e13.")] = None,
    tokens: Annotated[float | None, typer.Option(help="… or tokens that are trained on, e.g. 1e6.")] = None,
    seeds: Annotated[
        int | None, typer.Option(help="Runs of each, which differ in their seed (3); intervals need two, better three.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The folder of the comparison (runs/compare).")] = None,
    baseline: Annotated[str | None, typer.Option(help="What the others are compared with (the first).")] = None,
    at_once: Annotated[int, typer.Option("--at-once", help="Runs that are trained side by side.")] = 1,
    threads: Annotated[int | None, typer.Option(help="Threads of each run; without it they share all cores.")] = None,
    ledger: Annotated[
        Path | None,
        typer.Option(help="Write this page, too: techniques, their papers, files, tests and effects.", show_default=False),
    ] = None,
    set: Set = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
) -> None:
    """Train several models at one budget, and say which is better and how sure that is.

    [b]linnet compare configs/compare/*.yaml --minutes 3[/b]
    [b]linnet compare my.yaml --models gpt2,llama,mamba --tokens 1e6 --seeds 2[/b]
    [b]linnet compare runs/compare[/b]                      go on after Ctrl-C or a crash
    [b]linnet compare runs/compare --ledger LEDGER.md[/b]   its table of techniques

    Runs are ordinary run folders. Those that are finished are not trained again.
    Ends with 1 where a run failed; one that diverged is a result, and shown as such.
    """
    from linnet.compare.verb import Wish, carry_out, place_of

    console = Console(quiet=quiet)
    wish = Wish(
        what=tuple(what or ()),
        models=tuple(name.strip() for name in models.split(",") if name.strip()) if models is not None else (),
        minutes=minutes,
        flops=flops,
        tokens=tokens,
        seeds=seeds,
        baseline=baseline,
        at_once=at_once,
        threads=threads,
        set=tuple(set or ()),
    )
    try:
        summary, written = carry_out(wish, out, ledger=ledger, console=console)
    except KeyboardInterrupt:
        console.print(Text(f"stopped and saved; go on with: linnet compare {place_of(wish, out)}"), soft_wrap=True)
        raise typer.Exit(130) from None
    show(console, summary)
    for path in written:
        console.print(Text(f"written   {path}"), soft_wrap=True)
    if any(seed["why"] in ("failed", "missing") for row in summary["entrants"] for seed in row["seeds"]):
        raise typer.Exit(1)


def show(console: Console, summary: dict) -> None:  # type: ignore[type-arg]
    """The table, and under what conditions it was made."""
    from rich.table import Column, Table

    from linnet.compare.pages import COSTS, RESULTS, conditions, costs, ranked, results, troubles

    rows = ranked(summary)
    for head, lines in ((RESULTS, [results(row, summary) for row in rows]), (COSTS, [costs(row) for row in rows])):
        columns = [Column(no_wrap=True), *(Column(Text(name), justify="right") for name in head)]
        table = Table(*columns, box=None, header_style="bold", pad_edge=False)
        for row, line in zip(rows, lines, strict=True):
            table.add_row(Text(row["name"]), *(Text(each) for each in line))
        console.print(table)
    for trouble in troubles(summary):
        console.print(Text(f"! {trouble}", style="yellow"), soft_wrap=not console.is_terminal)
    for condition in conditions(summary):
        console.print(Text(condition, style="dim"), soft_wrap=not console.is_terminal)

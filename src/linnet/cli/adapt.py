"""linnet adapt: a trained model with other attention, which begins as what it was."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text


def adapt(
    model: Annotated[Path, typer.Argument(help="A run folder.")],
    graft: Annotated[str, typer.Option(help="What attention becomes: [b]infini[/b].", show_default=False)],
    segment: Annotated[
        int | None, typer.Option(min=1, help="Tokens read in full. Without it: the model's window, or its context length.")
    ] = None,
    gate: Annotated[
        float | None,
        typer.Option(help="Where gates start. Without it: closed (-20); -2 lets 12 % of the memory in, and gradients with it."),
    ] = None,
    rule: Annotated[str, typer.Option(help="How the memory is written: [b]delta[/b] or [b]linear[/b].")] = "delta",
    out: Annotated[Path | None, typer.Option(help="The new folder. Without it: RUN-GRAFT beside the run.")] = None,
) -> None:
    """Turn a trained model's attention into another kind that starts as the same function.

    [b]linnet adapt runs/mistral --graft infini[/b]              closed gates: the same model
    [b]linnet adapt runs/mistral --graft infini --gate -2[/b]    gates ajar, to be trained on

    With gates ajar, go on with a run file that says [b]weights: runs/mistral-infini[/b].
    """
    from linnet.command import adapt_run
    from linnet.model.graft import CLOSED

    folder, spec = adapt_run(model, graft, out, segment=segment, gate=gate, rule=rule)
    console = Console()
    console.print(Text(f"model     {folder}: {spec}"), soft_wrap=True)
    if gate is None or gate <= CLOSED:
        words = f"linnet adapt {model} --graft {graft} --gate -2 --out {folder}-ajar"
        console.print(Text(f"gates     closed: no training opens them; to train, first: {words}"), soft_wrap=True)
    else:
        console.print(Text(f"next      weights: {folder} in a run file, then linnet train"), soft_wrap=True)

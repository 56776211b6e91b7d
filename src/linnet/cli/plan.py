"""linnet plan: what would run, what it would cost, before anything is trained."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table


def plan(
    minutes: Annotated[float | None, typer.Option(help="Time for training.")] = None,
    tokens: Annotated[
        float | None, typer.Option(help="Distinct tokens of text there are, e.g. 3e6. Without it: no limit.")
    ] = None,
    family: Annotated[str, typer.Option(help="The family, see [b]linnet words[/b].")] = "linnet",
    vocab_size: Annotated[int, typer.Option(help="Ids of the tokenizer.")] = 1024,
    context_length: Annotated[int, typer.Option(help="Tokens a row.")] = 256,
) -> None:
    """Say which size promises most: within a time on this machine, or for an amount of text.

    [b]linnet plan --minutes 30 --tokens 3e6[/b]   time a few steps of each size here, choose one
    [b]linnet plan --tokens 1e8[/b]                the compute-optimal size for that much text (2203.15556)
    """
    import math

    from linnet.core.errors import ConfigError, explain
    from linnet.core.spec import load
    from linnet.model.count import count
    from linnet.train import plan as planning
    from linnet.train.machine import measure_peak, pick_device
    from linnet.train.precision import Precision
    from linnet.train.spec import RunSpec
    from linnet.zoo import SIZES, Decoder, Family

    console = Console()
    chosen = load(Family, {"kind": family, "context_length": context_length}, path="family")  # type: ignore[type-abstract]
    if not isinstance(chosen, Decoder):
        raise ConfigError(explain(f"the family {family}", need="one with sizes", hint="linnet"))
    table = Table(
        "size",
        "parameters",
        "in layers",
        "MFLOP a token",
        "train memory",
        "tokens",
        "passes",
        "time",
        "reducible loss",
        box=None,
        header_style="bold",
    )
    device = pick_device()
    precision = Precision("auto", device)
    with console.status("measuring this machine"):
        peak = measure_peak(device, precision.dtype)
    if minutes is not None:
        defaults = RunSpec.model_fields
        with console.status("timing a few steps of each size that could fit"):
            best, tried = planning.choose(
                chosen,
                vocab_size,
                int(tokens or 10**12),
                minutes * 60,
                objective=defaults["objective"].default,
                optimizer=defaults["optimizer"].default,
                precision=precision,
                context=context_length,
                peak_flops=peak,
            )
        for choice in tried:
            cost = count(choice.family.sentence(vocab_size), context_length)
            mark = "[bold green]→[/bold green] " if choice is best else "  "
            passes = f"{choice.epochs:.1f}" if tokens else "–"
            table.add_row(
                mark + choice.family.size, f"{cost.parameters:,}", f"{cost.body:,}", f"{cost.train_flops / 1e6:.1f}", f"{choice.probe.memory_bytes / 2**20:,.0f} MiB",
                f"{choice.tokens / 1e6:.1f} M", passes, f"{minutes:g} min", f"{choice.promised:.3f}",
            )  # fmt: skip
        console.print(table)
        console.print(
            f"→ {best.family.size}: {best.rows} rows of {context_length} tokens a step, about {best.steps:,} steps",
            highlight=False,
        )
        return
    if tokens is None:
        raise ConfigError(explain("neither --minutes nor --tokens", need="one of them, or both", hint="linnet plan --minutes 10"))
    rows = []
    for name in SIZES:
        cost = count(chosen.replace(size=name).sentence(vocab_size), context_length)
        read = planning.tokens_for(cost.body)
        rows.append((abs(math.log(read / tokens)), name, cost, read))
    nearest = min(rows)[1]
    for _, name, cost, _ in rows:
        mark = "[bold green]→[/bold green] " if name == nearest else "  "
        hours = tokens * cost.train_flops / (0.5 * peak) / 3600
        loss = planning.reducible_loss(cost.body, tokens)
        table.add_row(
            mark + name, f"{cost.parameters:,}", f"{cost.body:,}", f"{cost.train_flops / 1e6:.1f}", f"{cost.train_bytes / 2**20:,.0f} MiB +",
            f"{tokens / 1e6:.1f} M", "1", f"{hours:.2f} h", f"{loss:.3f}",
        )  # fmt: skip
    console.print(table)
    console.print(
        f"→ {nearest}: about 20 tokens a parameter (2203.15556); times at half of {peak / 1e9:.0f} GFLOP/s", highlight=False
    )

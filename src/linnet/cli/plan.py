"""linnet plan: what would run, what it would cost, before anything is trained."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from linnet.cli.began import began


def plan(
    what: Annotated[
        list[str] | None,
        typer.Argument(help="What would be trained, as for [b]linnet train[/b]. Without it: sizes, for --tokens of any text."),
    ] = None,
    minutes: Annotated[float | None, typer.Option(help="Time for the whole run.")] = None,
    steps: Annotated[int | None, typer.Option(help="Steps of the run.")] = None,
    set: Annotated[
        list[str] | None, typer.Option("--set", metavar="a.b=c", help="Change one value of the run. May be given again.")
    ] = None,
    tokens: Annotated[float | None, typer.Option(help="Distinct tokens of text there are, e.g. 3e6; in place of a text.")] = None,
    family: Annotated[str, typer.Option(help="The family, see [b]linnet words[/b]; in place of a run file.")] = "linnet",
    vocab_size: Annotated[int, typer.Option(help="Ids of the tokenizer; in place of a text.")] = 1024,
    context_length: Annotated[int, typer.Option(help="Tokens a row; in place of a run file.")] = 256,
) -> None:
    """Say what a run would be and need, or which size promises most. Nothing is trained and nothing is left behind.

    [b]linnet plan notes/ --minutes 30[/b]         what [b]linnet train[/b] would do with that: it reads the text and times a few steps
    [b]linnet plan my.yaml[/b]                     the same for a run file
    [b]linnet plan --minutes 30 --tokens 3e6[/b]   times a few steps of each size, for text that is not there yet
    [b]linnet plan --tokens 1e8[/b]                the compute-optimal size for that much text (2203.15556), nothing timed
    """
    from linnet.core.errors import ConfigError, explain

    console = Console()
    if what:
        if tokens is not None:
            raise ConfigError(explain("a text and --tokens", need="one of them", hint="the text, whose tokens are counted"))
        from linnet.command import look_ahead

        look_ahead(
            what[0] if len(what) == 1 else what, minutes=minutes, steps=steps, set=set or (), console=console, began=began()
        )
        console.print(
            f"[bold]to train[/bold] linnet train {' '.join(what)} …, with the same options", highlight=False, soft_wrap=True
        )
        return
    if steps is not None or set:
        raise ConfigError(
            explain("--steps or --set without a text", need="what would be trained", hint="linnet plan notes/ --steps 500")
        )
    if minutes is None and tokens is None:
        hint = "linnet plan notes/, linnet plan --minutes 10"
        raise ConfigError(explain("neither a text nor --minutes nor --tokens", need="one of them", hint=hint))
    if minutes is not None:
        of_a_time(console, minutes, tokens, family, vocab_size, context_length)
    else:
        assert tokens is not None
        of_a_text(console, tokens, family, vocab_size, context_length)


def of_a_time(console: Console, minutes: float, tokens: float | None, family: str, vocab_size: int, context_length: int) -> None:
    """Time a few steps of each size that could fit, and show what each promises."""
    from linnet.model.count import count
    from linnet.train import plan as planning
    from linnet.train.estimate import disk_bytes
    from linnet.train.machine import measure_peak, pick_device
    from linnet.train.precision import Precision
    from linnet.train.spec import RunSpec

    device = pick_device()
    precision = Precision("auto", device)
    defaults = {name: field.default for name, field in RunSpec.model_fields.items()}
    with console.status("timing a few steps of each size that could fit"):
        best, tried = planning.choose(
            sized(family, context_length),
            vocab_size,
            int(tokens or 10**12),
            minutes * 60,
            objective=defaults["objective"],
            optimizer=defaults["optimizer"],
            precision=precision,
            context=context_length,
            peak_flops=measure_peak(device, precision.dtype),
        )
    table = new_table("tokens", "passes")
    for choice in tried:
        cost = count(choice.family.sentence(vocab_size), context_length)
        disk = disk_bytes(cost, choice.probe.optimizer_bytes, defaults["checkpoint"].kept, choice.steps, int(2 * (tokens or 0)))
        passes = f"{choice.epochs:.1f}" if tokens else "–"
        costs = (mib(choice.probe.memory_bytes), mib(disk), millions(choice.tokens), passes)
        table.add_row(*of_size(choice.family.size, choice is best, cost), *costs, f"{choice.promised:.3f}")
    console.print(table)
    console.print(
        f"→ {best.family.size}: {best.rows} rows of {context_length} tokens a step, about {best.steps:,} steps in {minutes:g} minute{'s' if minutes != 1 else ''}",
        highlight=False,
    )


def of_a_text(console: Console, tokens: float, family: str, vocab_size: int, context_length: int) -> None:
    """What reading so many tokens once would cost each size, the compute-optimal one marked."""
    import math

    from linnet.model.count import count
    from linnet.train import plan as planning
    from linnet.train.estimate import disk_bytes
    from linnet.train.machine import measure_peak, pick_device
    from linnet.train.precision import Precision
    from linnet.train.spec import RunSpec
    from linnet.zoo import SIZES

    chosen, device = sized(family, context_length), pick_device()
    with console.status("measuring this machine"):
        peak = measure_peak(device, Precision("auto", device).dtype)
    costs = {name: count(chosen.replace(size=name).sentence(vocab_size), context_length) for name in SIZES}
    nearest = min(costs, key=lambda name: abs(math.log(planning.tokens_for(costs[name].body) / tokens)))
    kept = RunSpec.model_fields["checkpoint"].default.kept
    table = new_table("tokens", "hours")
    for name, cost in costs.items():
        disk = disk_bytes(cost, cost.train_bytes - 2 * cost.weight_bytes, kept, planning.AIMED_STEPS, int(2 * tokens))
        hours = tokens * cost.train_flops / (0.5 * peak) / 3600
        spent = (f"{mib(cost.train_bytes)} +", mib(disk), millions(tokens), f"{hours:.2f}")
        table.add_row(*of_size(name, name == nearest, cost), *spent, f"{planning.reducible_loss(cost.body, tokens):.3f}")
    console.print(table)
    console.print(
        f"→ {nearest}: about 20 tokens a parameter (2203.15556); times at half of {peak / 1e9:.0f} GFLOP/s; memory without activations",
        highlight=False,
    )


def sized(family: str, context_length: int) -> Any:
    """A family that has sizes. Raises ConfigError for another."""
    from linnet.core.errors import ConfigError, explain
    from linnet.core.spec import load
    from linnet.zoo import Decoder, Family

    chosen = load(Family, {"kind": family, "context_length": context_length}, path="--family")  # type: ignore[type-abstract]
    if not isinstance(chosen, Decoder):
        raise ConfigError(explain(f"the family {family}", need="one with sizes", hint="linnet"))
    return chosen


def new_table(*own: str) -> Table:
    """Sizes and what they cost, in 80 columns. Loss to win: the part of it that size and data decide, lower is better."""
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 1))
    table.add_column("size")
    for name in ("weights", "in layers", "MFLOP a token", "memory MiB", "disk MiB", *own, "loss to win"):
        table.add_column(name, justify="right", overflow="fold")
    return table


def of_size(name: str, chosen: bool, cost: Any) -> tuple[str, ...]:
    """The cells that every table has."""
    mark = "[bold green]→[/bold green] " if chosen else "  "
    return mark + name, millions(cost.parameters), millions(cost.body), f"{cost.train_flops / 1e6:.1f}"


def millions(n: float) -> str:
    return f"{n / 1e6:.2f} M" if n < 1e7 else f"{n / 1e6:,.0f} M"


def mib(n: float) -> str:
    return f"{n / 2**20:,.0f}"

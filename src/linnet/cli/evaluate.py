"""linnet eval: how good a model is, with intervals, beside what needs no neural network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text


def evaluate(
    model: Annotated[Path, typer.Argument(help="A run folder.")],
    text: Annotated[Path | None, typer.Argument(help="A text file to score instead of the run's own validation part.")] = None,
    by_position: Annotated[bool, typer.Option("--by-position", help="Loss by how far into a document a token stands.")] = False,
    passkey: Annotated[
        bool, typer.Option("--passkey", help="Hide a key in stories and ask for it: how often it is found.")
    ] = False,
    length: Annotated[
        int | None,
        typer.Option(min=2, help="Tokens read at a time, with --by-position or --passkey. Without it: as in training."),
    ] = None,
    source: Annotated[
        Path | None, typer.Option(help="Of a model that translates: a file of texts to translate, one a line.")
    ] = None,
    target: Annotated[Path | None, typer.Option(help="What they are in the other language, line by line.")] = None,
    beams: Annotated[int, typer.Option(min=1, help="With --source: beginnings kept at a time; 1 is greedy.")] = 5,
    length_penalty: Annotated[
        float, typer.Option(min=0, max=10, help="With --source: above 0, longer texts are preferred.")
    ] = 1.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Score a model, beside n-grams and xz on the same text.

    Nats a token, perplexity, bits a byte, perplexity a word, each with a 95 %
    interval; beside them unigram, 5-gram (Kneser-Ney) and xz. Of a model that
    sees both ways: nats a masked token, beside the unigram.

    [b]linnet eval runs/demo[/b]              the run's own validation part
    [b]linnet eval runs/demo other.txt[/b]    any text

    [b]linnet eval runs/demo --by-position --length 1024[/b]   what later tokens cost
    [b]linnet eval runs/demo --passkey --length 1024[/b]       whether a key from far back is found
    [b]linnet eval runs/translate --source test.de --target test.en[/b]    BLEU
    """
    from linnet.command import evaluate_run, evaluate_translation, passkey_run, positions_run
    from linnet.core.errors import ConfigError, explain

    console = Console()
    if by_position and passkey:
        raise ConfigError(explain("--by-position and --passkey", need="one of them at a time"))
    if passkey and text is not None:
        raise ConfigError(
            explain(f"--passkey with {text}", need="no text: keys stand in texts of linnet's own", hint="leaving it out")
        )
    if length is not None and not (by_position or passkey):
        raise ConfigError(explain(f"--length {length} alone", need="--by-position or --passkey"))
    if by_position:
        buckets = positions_run(model, text, length=length)
        show_rows(
            console,
            ("positions", "tokens", "nats a token", "95 % interval"),
            [(f"{b.first:,} – {b.last:,}", f"{b.tokens:,}", *_in_two(b.nats.to_dict())) for b in buckets],
            {"by_position": [bucket.to_dict() for bucket in buckets]} if as_json else None,
        )
        return
    if passkey:
        from linnet.interop.native import read_manifest

        cells = passkey_run(model, [length or read_manifest(model).context_length])
        show_rows(
            console,
            ("tokens", "depth", "keys found", "95 % interval"),
            [(f"{c.length:,}", f"{c.depth:g}", f"{c.right} of {c.documents}", f"{c.low:.0%} – {c.high:.0%}") for c in cells],
            {"passkey": [cell.to_dict() for cell in cells]} if as_json else None,
        )
        return
    if source is not None or target is not None:
        scored = evaluate_translation(model, source, target, text, beams=beams, length_penalty=length_penalty)
        if as_json:
            print(json.dumps(scored, indent=2))
            return
        spread = "" if scored["low"] is None else f" ({scored['low']:.2f} to {scored['high']:.2f})"
        print(f"BLEU {scored['bleu']:.2f}{spread}   chrF {scored['chrf']:.2f}", end="   ")
        print(
            f"{scored['sentences']:,} sentence{'s' if scored['sentences'] != 1 else ''} in {scored['seconds']:.1f} s\n{scored['signature']}"
        )
        return
    scores = evaluate_run(model, text)
    if as_json:
        print(json.dumps(scores, indent=2))
        return
    show(console, scores, "the validation part" if text is None else str(text))


def show(console: Console, scores: dict, text: str) -> None:  # type: ignore[type-arg]
    """The scores of `text` as a table."""
    from rich.table import Column, Table

    from linnet.cli.train import interval, token_of

    token = token_of(scores)
    table = Table(Column(Text(f"on {text}")), "value", "95 % interval", box=None, header_style="bold", pad_edge=False)
    for name, title in (
        ("nats_per_token", f"nats a {token}"),
        ("perplexity", f"perplexity a {token}"),
        ("bits_per_byte", "bits a byte"),
        ("word_perplexity", "perplexity a word"),
    ):
        found = scores["model"].get(name)
        if found is not None:
            value, _, spread = interval(found).partition(" ")
            table.add_row(title, value, spread.strip("()"))
    console.print(table)
    if scores.get("yardsticks"):
        beside = Table("beside", "nats a token", "bits a byte", "", box=None, header_style="bold", pad_edge=False)
        for row in scores["yardsticks"]:
            values = (interval({"value": row[unit]}) for unit in ("nats_per_token", "bits_per_byte"))
            beside.add_row(row["name"], *values, f"[dim]{row['note']}[/dim]")
        console.print(beside)


def show_rows(console: Console, heading: tuple[str, ...], rows: list[tuple[str, ...]], plain: dict | None) -> None:  # type: ignore[type-arg]
    """Rows as a table, or `plain` as JSON where that is asked for."""
    from rich.table import Table

    if plain is not None:
        print(json.dumps(plain, indent=2))
        return
    table = Table(*heading, box=None, header_style="bold", pad_edge=False)
    for row in rows:
        table.add_row(*row)
    console.print(table)


def _in_two(estimate: dict[str, float | None]) -> tuple[str, str]:
    """A number and its interval, in cells of their own."""
    from linnet.cli.train import interval

    value, _, spread = interval(estimate).partition(" ")
    return value, spread.strip("()")

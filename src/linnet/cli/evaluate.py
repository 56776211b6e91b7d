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
    source: Annotated[
        Path | None, typer.Option(help="Of a model that translates: a file of texts to translate, one a line.")
    ] = None,
    target: Annotated[Path | None, typer.Option(help="What they are in the other language, line by line.")] = None,
    beams: Annotated[int, typer.Option(min=1, help="With --source: beginnings kept at a time; 1 is greedy.")] = 5,
    length_penalty: Annotated[float, typer.Option(min=0, help="With --source: above 0, longer texts are preferred.")] = 1.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Score a model, beside n-grams and xz on the same text.

    Nats a token, perplexity, bits a byte, perplexity a word, each with a 95 %
    interval; beside them unigram, 5-gram (Kneser-Ney) and xz.

    [b]linnet eval runs/demo[/b]              the run's own validation part
    [b]linnet eval runs/demo other.txt[/b]    any text
    [b]linnet eval runs/translate --source test.de --target test.en[/b]    BLEU
    """
    from linnet.command import evaluate_run, evaluate_translation

    console = Console()
    if source is not None or target is not None:
        scored = evaluate_translation(model, source, target, text, beams=beams, length_penalty=length_penalty)
        if as_json:
            print(json.dumps(scored, indent=2))
            return
        print(f"BLEU {scored['bleu']:.2f} ({scored['low']:.2f} to {scored['high']:.2f})   chrF {scored['chrf']:.2f}", end="   ")
        print(f"{scored['sentences']:,} sentences in {scored['seconds']:.1f} s\n{scored['signature']}")
        return
    scores = evaluate_run(model, text)
    if as_json:
        print(json.dumps(scores, indent=2))
        return
    show(console, scores, "the validation part" if text is None else str(text))


def show(console: Console, scores: dict, text: str) -> None:  # type: ignore[type-arg]
    """The scores of `text` as a table."""
    from rich.table import Column, Table

    from linnet.cli.train import interval

    table = Table(Column(Text(f"on {text}")), "value", "95 % interval", box=None, header_style="bold", pad_edge=False)
    for name, title in (
        ("nats_per_token", "nats a token"),
        ("perplexity", "perplexity a token"),
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
            beside.add_row(
                row["name"], f"{row['nats_per_token']:.3f}", f"{row['bits_per_byte']:.3f}", f"[dim]{row['note']}[/dim]"
            )
        console.print(beside)

"""linnet demo: from nothing to a small model that writes, in minutes, with no data and no network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from linnet.cli.began import began

STORIES_A_MINUTE = 2_000  # enough text that it is read once or twice
CHECKED = 100


def demo(
    minutes: Annotated[
        float, typer.Option(min=0.5, help="Time for everything but the check at the end, which takes some seconds.")
    ] = 4.0,
    out: Annotated[Path | None, typer.Option(help="The run folder. Without it: runs/demo.")] = None,
    seed: Annotated[int, typer.Option(help="Another seed makes other stories and another model.")] = 0,
) -> None:
    """Make stories, train a small model on them, let it write.

    Simple stories made by rule, a tokenizer and a model of one to two million
    parameters; a checker that knows the rules tells how well it learned them.
    """
    from linnet.command import free_folder, run

    console = Console()
    folder = out or free_folder("demo")
    count = max(4_000, int(STORIES_A_MINUTE * minutes))
    console.print(f"[bold]linnet demo[/bold]  {count:,} stories made by rule, then {minutes:g} minutes in all\n", highlight=False)
    table = {
        "name": "demo",
        "seed": seed,
        "data": {"sources": [{"kind": "stories", "count": count}], "validation": 0.02, "rows": "documents"},
        "tokenizer": {"kind": "bpe", "vocab_size": 2048},  # enough that each word of the stories is one token
        "model": {"kind": "linnet", "n_layers": 2, "n_heads": 6, "d_model": 192, "context_length": 320, "tied": True},
        "train": {"minutes": minutes, "batch_size": 5},
        "validation": {"every": 150, "batches": 1},
        "sample": {"tokens": 60, "temperature": 0.7},
    }
    result = run(table, folder, console=console, began=began())
    if result.why == "interrupted":
        raise typer.Exit(130)
    from linnet.cli.train import summarise

    summarise(console, folder)
    check_stories(console, folder)
    console.print("\n[bold]Three things to try next[/bold]")
    console.print(
        Text(
            f"""  linnet generate {folder} "Once upon a time" -n 3
  linnet train README.md --minutes 2            your own text: any file or folder
  linnet words                                  everything that a run can be made of"""
        )
    )


def check_stories(console: Console, folder: Path, count: int = CHECKED, temperature: float = 0.7) -> dict[str, float]:
    """Let the model write `count` stories, show one, and say how many keep to the rules; kept in stories.json."""
    import linnet
    from linnet.core.files import write_json
    from linnet.data.worlds.check import check

    model = linnet.load(folder)
    with console.status(f"writing and checking {count} stories"):
        written = model.complete([""], n=count, temperature=temperature, max_tokens=240, seed=1)
        reports = [check(story.text) for story in written]
    sentences = sum(len(report.sentences) for report in reports)
    of_world = sum(sum(sentence.of_world for sentence in report.sentences) for report in reports) / max(1, sentences)
    consistent = sum(report.consistent for report in reports) / count
    found = {
        "stories": count,
        "temperature": temperature,
        "sentences": sentences,
        "of_the_world": of_world,
        "consistent": consistent,
    }
    write_json(folder / "stories.json", found | {"texts": [story.text for story in written]})
    console.print(Text.assemble("\n", ("A story it wrote", "bold"), f"\n{written[0].text}\n"))
    console.print(
        f"Of {sentences:,} sentences in {count} stories, [bold]{of_world:.1%}[/bold] keep to the rules of the world;"
        f" [bold]{consistent:.0%}[/bold] of the stories hold together from beginning to end.",
        highlight=False,
    )
    return found

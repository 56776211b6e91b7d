"""linnet export: a run as a folder for others, with a certificate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

COLORS = {"equal": "green", "differs": "bold red", "not checked": "yellow", "does not apply": "dim"}


def export(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    to: Annotated[str, typer.Option(help="For whom: [b]hf[/b], a Hugging Face folder.")] = "hf",
    out: Annotated[Path | None, typer.Option(help="The folder to make; default: hf in the run's.", show_default=False)] = None,
    dtype: Annotated[str, typer.Option(help="Of the weights: float32, bfloat16 or float16.")] = "float32",
    unchecked: Annotated[
        bool,
        typer.Option(
            "--unchecked", help="Export though transformers is not installed; the certificate says what nobody checked."
        ),
    ] = False,
) -> None:
    """Write a run as a Hugging Face folder, and prove that it is the same model.

    [b]linnet export runs/demo --to hf[/b]                       runs/demo/hf
    [b]linnet export runs/demo --out demo-hf --dtype bfloat16[/b]

    The folder is read back, by linnet itself and by transformers: ids of 500 texts, logits,
    special tokens, the chat template, where writing stops. What was found stands in
    certificate.md; where one line differs, nothing is left of the export.
    """
    from linnet.cli.import_ import bar
    from linnet.core.errors import LinnetError, explain
    from linnet.interop.exporting import default_out, export_run

    if to != "hf":
        raise LinnetError(explain(f"--to {to}", need="hf, a Hugging Face folder", hint="--to hf"))
    console = Console(highlight=False)
    folder = out or default_out(run)
    with bar(console) as progress:
        certificate = export_run(run, folder, dtype=dtype, unchecked=unchecked, progress=progress)
    from rich.table import Table

    table = Table("what", "read by", "", "found", box=None, header_style="bold", pad_edge=False)
    for line in certificate.lines:
        table.add_row(line.what, line.reader, Text(line.verdict, style=COLORS[line.verdict]), Text(line.found))
    console.print(table)
    for word, text in certificate.facts.items():
        if "|Δ" in word:
            console.print(Text(f"{word}: {text}"), soft_wrap=True)
    console.print(Text(f"folder    {folder}\nproof     {folder / 'certificate.md'}"), soft_wrap=True)

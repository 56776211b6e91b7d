"""linnet import: a model of Hugging Face as a run folder."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text


def import_(
    path: Annotated[Path, typer.Argument(help="A Hugging Face folder: config.json, *.safetensors, the tokenizer's files.")],
    out: Annotated[
        Path | None, typer.Option(help="The run folder to make; default: runs/NAME of the folder.", show_default=False)
    ] = None,
) -> None:
    """Make a run folder of a Hugging Face folder that is on this machine.

    It is then a model like one that was trained here: every verb takes it.

    [b]linnet import ~/models/Qwen3-0.6B[/b]                    runs/Qwen3-0.6B
    [b]linnet import hf/demo --out runs/imported[/b]            another place
    [b]linnet generate runs/imported "Once upon a time"[/b]

    Weights (safetensors, in parts too), the tokenizer, the chat template where linnet writes
    the same, and where writing stops. What does not fit is said, all of it, before
    anything is written. Nothing of the folder is run; pickled weights (.bin) are refused.
    """
    from linnet.command import free_folder
    from linnet.interop.importing import import_folder
    from linnet.model.describe import describe

    console = Console(highlight=False)
    folder = out or free_folder(path.resolve().name)
    with bar(console) as progress:
        found = import_folder(path, folder, progress)
    spec, foreign = found.spec, found.foreign
    template = getattr(foreign.template, "kind", None) or "none"
    facts = {
        "family": found.family.model_type,
        "sentence": describe(spec),
        "parameters": f"{spec.n_params():,}",
        "weights": f"{found.dtype} → float32, every number as it was",
        "tokens": f"{foreign.tokenizer.vocab_size:,} ids, {foreign.tokenizer.kind}",
        "context": f"{found.context_length:,} tokens",
        "begins": said(foreign.tokenizer.special, foreign.begin) or "with nothing",
        "stops": said(foreign.tokenizer.special, (foreign.tokenizer.end_id, *foreign.stop)),
        "chat": template,
    }
    show(console, facts)
    for note in found.notes:
        console.print(Text(f"! {note}", style="yellow"), soft_wrap=not console.is_terminal)
    verb = "chat" if foreign.template is not None else "generate"
    console.print(Text(f"next      linnet {verb} {folder}"), soft_wrap=True)


def said(special: Mapping[str, int], ids: tuple[int, ...]) -> str:
    """The names of some ids, where they have one."""
    names = {token_id: name for name, token_id in special.items()}
    return ", ".join(f"{names.get(each, 'id')} ({each})" for each in ids)


def show(console: Console, facts: dict[str, str]) -> None:
    """A table of words and what there is to say on them."""
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    for word, text in facts.items():
        table.add_row(word, Text(text))
    console.print(table)


@contextlib.contextmanager
def bar(console: Console) -> Iterator[Callable[[str, int, int], None] | None]:
    """A bar that fills while weights are read and written, where there is a terminal to show it on."""
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    if not console.is_terminal:
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("looking it over", total=None)
        yield lambda what, done, total: progress.update(task, description=what, completed=done, total=total)

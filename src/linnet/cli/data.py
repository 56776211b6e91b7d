"""linnet data: look at text before and after it becomes tokens."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from linnet.cli.options import Pattern

if TYPE_CHECKING:
    from linnet.data.examine import Findings
    from linnet.tokenizer.chat import ChatTemplate

app = typer.Typer(
    help="Look at text before and after it becomes tokens: doctor, show, card.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

Paths = Annotated[list[str], typer.Argument(help="Text files, folders or globs.", show_default=False)]
Field = Annotated[str | None, typer.Option("--text", help="The field or column that holds the text.")]
SPEAKERS = {"system": "magenta", "user": "cyan", "assistant": "green", "chosen": "green", "rejected": "red"}
LONGEST_SHOWN = 600  # characters of a document or a turn
LEARNED = ("#caffbf", "#9ee493")  # two greens, so that one sees where a token ends


@app.command()
def doctor(
    paths: Paths,
    text: Field = None,
    separator: Annotated[str | None, typer.Option(help="For txt and md, the line between two documents.")] = None,
) -> None:
    """Find what is wrong with text, and say what to do. Nothing is changed; ends with 1 where something was found.

    [b]linnet data doctor notes/[/b]
    """
    from linnet.data.examine import examine
    from linnet.data.formats import Options

    found = examine(paths, Options(text, separator))
    report(Console(highlight=False), found)
    raise typer.Exit(int(bool(found.problems)))


def report(console: Console, found: Findings) -> None:
    """Sizes, then a paragraph a problem."""
    from linnet.data.examine import WAYS_OUT

    sizes = ((found.files, "file"), (found.documents, "document"), (found.characters, "character"))
    console.print(", ".join(f"{count:,} {what}{'s' * (count != 1)}" for count, what in sizes))
    most = max(found.lengths.values(), default=1)
    for power, count in sorted(found.lengths.items()):
        size = f"{2 ** (power - 1):,} to {2**power - 1:,}" if power else "0"
        console.print(f"  {size:>24} characters  {count:>9,}  [cyan]{'█' * max(1, round(30 * count / most))}[/cyan]")
    for kind, problem in found.problems.items():
        console.print(f"\n[bold]{kind}[/bold]  {problem.count:,}")
        for place in problem.places:
            console.print(Text(f"  {place}"), soft_wrap=True)
        if problem.count > len(problem.places):
            console.print(f"  … and {problem.count - len(problem.places):,} more", style="dim")
        console.print(Text(f"  try: {WAYS_OUT[kind]}"), style="dim", soft_wrap=True)
    if not found.problems:
        console.print("\nnothing is wrong with it")


@app.command()
def show(
    paths: Paths,
    tokenizer: Annotated[
        Path | None,
        typer.Option("--tokenizer", "-t", help="Show tokens; as for [b]linnet tokenizer[/b]: a run, a file.", show_default=False),
    ] = None,
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="How many.")] = 3,
    pattern: Pattern = None,
    template: Annotated[
        str | None,
        typer.Option(
            help="How conversations are written down: plain, chatml, llama3; by default as the run does, else chatml.",
            show_default=False,
        ),
    ] = None,
    text: Field = None,
) -> None:
    """Print the first documents or conversations as they are read; with a tokenizer as a model sees them: tokens that it learns are
    coloured, answers that are rejected left out.

    [b]linnet data show chats.jsonl[/b]
    [b]linnet data show chats.jsonl --tokenizer runs/chats[/b]
    """
    from linnet.data.samples import samples, template_called
    from linnet.report.tokens import as_text
    from linnet.tokenizer import load_tokenizer

    console = Console(highlight=False)
    if tokenizer is None:
        show_parsed(console, paths, count, text)
        return
    opened = load_tokenizer(tokenizer, pattern=pattern)
    chosen = template_called(template) if template is not None else template_beside(tokenizer)
    for sample in samples(paths, opened, count, template=chosen, text=text):
        learned = sum(sample.weights)
        said = f"{sample.form}, {len(sample.ids):,} tokens, {learned:,} of them learned"
        console.print(Text.assemble((sample.place, "bold"), "  ", (said, "dim")), soft_wrap=True)
        pieces = [opened.token_bytes(token) for token in sample.ids]
        console.print(as_text(pieces, LEARNED, sample.weights), soft_wrap=True, end="\n\n")


def template_beside(tokenizer: Path) -> ChatTemplate | None:
    """How the run whose tokenizer it is writes conversations down; None where it is of no run, or of one that was taught none."""
    from linnet.tokenizer.load import FILE_NAME

    folder = tokenizer.parent if tokenizer.name == FILE_NAME else tokenizer
    if not (folder / "manifest.json").is_file():
        return None
    from linnet.interop.native import read_manifest, template_of

    return template_of(read_manifest(folder), folder)


def show_parsed(console: Console, paths: list[str], count: int, text: str | None) -> None:
    """The first documents or conversations as they were read: who speaks is coloured, what is long is cut."""
    from linnet.data.records import also_text
    from linnet.data.samples import parsed

    for sample in parsed(paths, count, text=text):
        console.print(Text.assemble((sample.place, "bold"), "  ", (sample.form, "dim")), soft_wrap=True)
        for who, words in sample.parts:
            more = f" … and {len(words) - LONGEST_SHOWN:,} more characters" if len(words) > LONGEST_SHOWN else ""
            name = (f"{who}: ", f"bold {SPEAKERS[who]}") if who else ""
            console.print(Text.assemble(name, words[:LONGEST_SHOWN], (more, "dim")), soft_wrap=True)
        console.print()
    other = also_text(paths[0]).text if text is None else None
    if other is not None:
        console.print(Text(f"--text {other} shows its texts"), style="dim", soft_wrap=True)


@app.command()
def card(
    folder: Annotated[Path, typer.Argument(help="A run folder, or one of prepared data.")],
    html: Annotated[Path | None, typer.Option(help="Write a page to this file instead.")] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Read all shards again and compare their SHA-256.")] = False,
) -> None:
    """Print the data card: sources, documents, bytes, tokens, shares, licences, hashes.

    [b]linnet data card runs/demo[/b]
    """
    from linnet.data.card import markdown_page
    from linnet.data.prepared import find_card
    from linnet.data.shards import open_splits, read_index

    place, found = find_card(folder)
    if verify:
        open_splits(place, read_index(place), verify=True)
    if html is not None:
        from linnet.core.files import write_text

        write_text(html, markdown_page(found))
        print(html)
        return
    print(found.to_markdown())

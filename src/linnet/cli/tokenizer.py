"""linnet tokenizer: train one, turn text into ids and back, convert it, look at tokens, compare vocabularies."""

from __future__ import annotations

import sys
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text as Shown

from linnet.cli.options import PATTERN_NAMES, Pattern

if TYPE_CHECKING:
    from collections.abc import Iterator

    from linnet.tokenizer import Tokenizer

app = typer.Typer(
    help="Train a tokenizer, turn text into ids and back, convert it, look at tokens, compare vocabularies.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

Which = Annotated[
    Path,
    typer.Argument(
        help="A tokenizer.json, a run folder, a folder with GPT-2's encoder.json and vocab.bpe, tiktoken's ranks (*.tiktoken, also .gz), "
        "a SentencePiece model (*.model), or BERT's vocab.txt."
    ),
]
Text = Annotated[str, typer.Argument(help="The text; [b]-[/b] reads standard input.")]
SHOWN_SPECIAL = 5  # names, where there are more of them
COLORS = ("#ffd6a5", "#caffbf", "#9bf6ff", "#bdb2ff", "#ffadad")  # one after the other, so that neighbours differ


@app.command()
def train(
    what: Annotated[
        list[str], typer.Argument(help="Text files, folders or globs, [b]stories[/b], [b]python-docs[/b], [b]-[/b].")
    ],
    vocab_size: Annotated[int, typer.Option(help="All ids: 256 bytes, merges, special tokens.")] = 8192,
    pattern: Annotated[str, typer.Option(help=f"How text is split: {PATTERN_NAMES}.")] = "gpt4",
    special: Annotated[list[str] | None, typer.Option(help="A special token besides <|endoftext|>. May be given again.")] = None,
    out: Annotated[Path, typer.Option(help="The file to write.")] = Path("tokenizer.json"),
) -> None:
    """Learn a byte-level BPE from text and write its tokenizer.json.

    [b]linnet tokenizer train notes/ --vocab-size 4096[/b]
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from linnet.core.errors import ConfigError, explain
    from linnet.core.spec import load
    from linnet.tokenizer.spec import BPE, train_tokenizer

    if out.exists():
        raise ConfigError(explain(f"{out} exists already", need="a new file", hint="--out another.json"))
    console = Console()
    spec = load(BPE, {"vocab_size": vocab_size, "pattern": pattern, "special": special or []}, path="tokenizer")
    with Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=console
    ) as bar:
        task = bar.add_task("reading", total=None)

        def tell(stage: str, done: int, total: int | None) -> None:
            bar.update(task, description=stage, completed=done, total=total)

        made = train_tokenizer(spec, texts_of(what), progress=tell)
    made.save(out)
    said = f"  {made.vocab_size:,} ids, of them special: {', '.join(made.special)}"
    console.print(Shown.assemble((str(out), "bold"), said), soft_wrap=True)
    if made.vocab_size < vocab_size:
        console.print(
            f"fewer than the {vocab_size:,} asked: no two tokens stand beside each other twice any more", highlight=False
        )


@app.command()
def encode(
    which: Which,
    text: Text,
    special: Annotated[
        str,
        typer.Option(help="What names of special tokens in the text are: [b]text[/b], that [b]token[/b], or [b]refuse[/b] them."),
    ] = "text",
    pattern: Pattern = None,
) -> None:
    """Print the ids of a text.

    [b]linnet tokenizer encode runs/demo "Once upon a time"[/b]
    """
    print(*opened(which, pattern).encode(read(text), special=special))  # type: ignore[arg-type]


@app.command()
def decode(
    which: Which,
    ids: Annotated[list[str], typer.Argument(help="The ids; [b]-[/b] reads them from standard input.")],
    pattern: Pattern = None,
) -> None:
    """Print the text of some ids: exactly their bytes, and on a terminal a line end.

    [b]linnet tokenizer decode runs/demo 32 97[/b]
    """
    from linnet.core.errors import TokenizerError, explain

    words = (sys.stdin.read() if ids == ["-"] else " ".join(ids)).replace(",", " ").split()
    wrong = [word for word in words if not word.isdecimal() or len(word) > 18]
    if wrong:
        raise TokenizerError(
            explain(f"the id {wrong[0][:40]!r}", need="whole numbers", hint="linnet tokenizer encode, which prints them")
        )
    content = opened(which, pattern).decode_bytes([int(word) for word in words])
    sys.stdout.flush()
    sys.stdout.buffer.write(content + b"\n" * sys.stdout.isatty())


@app.command()
def convert(
    which: Which,
    out: Annotated[
        Path,
        typer.Argument(help="What to write: tokenizer[b].json[/b], ranks[b].tiktoken[/b], or a folder for GPT-2's two files."),
    ],
    pattern: Pattern = None,
) -> None:
    """Write a tokenizer in the format of another program, with the same ids; refused where it cannot say them.

    [b]linnet tokenizer convert runs/demo demo.tiktoken[/b]
    """
    from linnet.core.errors import ConfigError, TokenizerError, explain
    from linnet.tokenizer.ranks import PUBLISHED, save_gpt2, save_tiktoken

    if out.exists():
        raise ConfigError(explain(f"{out} exists already", need="a new file or folder", hint="another name"))
    if out.suffix not in (".json", ".tiktoken", ""):
        need = "an ending that says the format: .json, .tiktoken, or none for a folder with GPT-2's two files"
        raise ConfigError(explain(f"{out} to write a tokenizer to", need=need, hint=f"{out.with_suffix('.json')}"))
    tokenizer = opened(which, pattern)
    console = Console(highlight=False, soft_wrap=True)
    if out.suffix == ".json":
        tokenizer.save(out)
    elif out.suffix == "":
        save_gpt2(tokenizer, out)
    else:
        split, published = getattr(tokenizer, "pattern", None), PUBLISHED.get(out.stem)
        if split is not None and published is not None and published.pattern != split:
            got = f"{out}, whose name says that text is split by {published.pattern}, for a tokenizer that splits by {split}"
            raise TokenizerError(explain(got, need="another name", hint=f"{out.with_stem('ranks')}"))
        save_tiktoken(tokenizer, out)
    console.print(Shown.assemble((str(out), "bold"), f"  {tokenizer.vocab_size:,} ids"))
    if out.suffix == ".tiktoken":
        said = ", ".join(f"{name} = {token_id}" for name, token_id in islice(tokenizer.special.items(), SHOWN_SPECIAL))
        more = ", …" if len(tokenizer.special) > SHOWN_SPECIAL else ""
        console.print(Shown(f"not in it: how text is split (--pattern {split}), and the special tokens {said}{more}"))


@app.command()
def show(
    which: Which,
    text: Text,
    html: Annotated[Path | None, typer.Option(help="Write a page to this file instead.")] = None,
    pattern: Pattern = None,
) -> None:
    """Show how a text falls into tokens, one color a token; in the terminal, or as a page with ids to point at.

    [b]linnet tokenizer show runs/demo "Unbelievable!"[/b]
    """
    from linnet.report.tokens import as_html, as_text

    tokenizer = opened(which, pattern)
    ids = tokenizer.encode(read(text))
    pieces = [tokenizer.token_bytes(token) for token in ids]
    if html is not None:
        from linnet.core.files import write_text

        write_text(html, as_html(ids, pieces, COLORS))
        print(html)
        return
    console = Console()
    console.print(as_text(pieces, COLORS), soft_wrap=True)
    n_bytes = sum(map(len, pieces))
    console.print(
        f"{len(ids):,} tokens, {n_bytes:,} bytes, {n_bytes / max(1, len(ids)):.2f} bytes a token", style="dim", highlight=False
    )


@app.command()
def compare(
    which: Annotated[list[Path], typer.Argument(help="Two or more tokenizers; each as for the other verbs.")],
    text: Annotated[
        list[str], typer.Option("--text", help="A text file, folder or glob, stories, python-docs. May be given again.")
    ],
    pattern: Pattern = None,
) -> None:
    """Compare vocabularies on a text: how many tokens they need for it.

    [b]linnet tokenizer compare runs/a runs/b --text notes/[/b]
    """
    from rich.table import Table

    from linnet.core.errors import ConfigError, explain
    from linnet.tokenizer.comparison import compare as compared

    if len(set(which)) < 2:
        hint = f"linnet tokenizer compare {which[0]} ANOTHER"
        raise ConfigError(explain(f"one tokenizer, {which[0]}", need="two or more to compare", hint=hint))
    tokenizers = {str(path): opened(path, pattern) for path in which}
    n_bytes, n_words, counts = compared(list(tokenizers.values()), texts_of(text))
    table = Table("tokenizer", box=None, header_style="bold", pad_edge=False)
    for column in ("ids", "tokens", "bytes a token", "tokens a word", "ids used"):
        table.add_column(column, justify="right")
    for (name, tokenizer), (n_ids, n_used) in zip(tokenizers.items(), counts, strict=True):
        table.add_row(
            Shown(name),
            f"{tokenizer.vocab_size:,}",
            f"{n_ids:,}",
            f"{n_bytes / max(1, n_ids):.2f}",
            f"{n_ids / max(1, n_words):.2f}",
            f"{n_used / tokenizer.vocab_size:.0%}",
        )
    console = Console()
    console.print(table)
    console.print(f"on {n_bytes:,} bytes, {n_words:,} words", style="dim", highlight=False)


def opened(which: Path, pattern: str | None) -> Tokenizer:
    """The tokenizer that was named."""
    from linnet.tokenizer import load_tokenizer

    return load_tokenizer(which, pattern=pattern)


def read(text: str) -> str:
    """The text, or standard input's. Raises DataError where that is not UTF-8."""
    from linnet.cli.generate import given

    return given(text)


def texts_of(what: list[str]) -> Iterator[str]:
    """The documents of some sources, as `linnet train` reads them. Raises ConfigError or DataError."""
    from linnet.asked import asked_of
    from linnet.core.spec import load
    from linnet.data.spec import DataSpec

    table, _, _ = asked_of(what)
    for source in load(DataSpec, table["data"], path="data").sources:
        for document in source.documents(seed=0):
            yield document.text

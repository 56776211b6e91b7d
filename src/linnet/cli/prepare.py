"""linnet prepare: text to tokens on disk, once, by all cores; any number of runs train on them."""

from __future__ import annotations

import gc
import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer
from rich.console import Console
from rich.text import Text

from linnet.cli.options import PATTERN_NAMES, Set

if TYPE_CHECKING:
    from linnet.data.card import DataCard
    from linnet.data.corpus import Corpus

PREPARED = Path("prepared")
TABLES = 100_000  # new objects before garbage is looked for: a vocabulary is so many, and none of them is any


def prepare(
    what: Annotated[
        list[str],
        typer.Argument(
            help="Text files, folders or globs, a run file (.yaml), [b]stories[/b], [b]python-docs[/b], [b]-[/b] for standard input.",
            show_default=False,
        ),
    ],
    out: Annotated[Path | None, typer.Option(help="Where the folder of tokens goes. Without it: prepared/NAME.")] = None,
    tokenizer: Annotated[
        Path | None, typer.Option("--tokenizer", "-t", help="One that is there: a tokenizer.json, a run folder, ranks …")
    ] = None,
    vocab_size: Annotated[
        int | None, typer.Option(help="Else one is trained, of so many ids; by default as suits the text.")
    ] = None,
    pattern: Annotated[
        str | None,
        typer.Option(
            help=f"How text is split, for ranks whose name does not tell and for one that is trained: {PATTERN_NAMES}.",
            show_default=False,
        ),
    ] = None,
    text: Annotated[
        str | None,
        typer.Option(help="The field (jsonl) or column (csv, tsv, parquet) that holds the text; by default the first known."),
    ] = None,
    separator: Annotated[
        str | None,
        typer.Option(help="For txt and md, the line between two documents; '' for an empty one; by default <|endoftext|>."),
    ] = None,
    near: Annotated[bool, typer.Option("--near", help="Leave near copies out, too, not only equal texts.")] = False,
    against: Annotated[
        list[str] | None,
        typer.Option(help="Evaluation texts: what overlaps with one is left out. A file, folder or glob; may be given again."),
    ] = None,
    set: Set = None,
    engine: Annotated[
        str,
        typer.Option(help="Who works: [b]processes[/b] of this machine, [b]here[/b] (this one alone), [b]ray[/b] (a cluster)."),
    ] = "auto",
    workers: Annotated[int | None, typer.Option(min=1, help="How many processes; by default one a core.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but the folder, and errors.")] = False,
) -> None:
    """Read, clean, split and encode text or conversations, of any size, and say what is in it.

    [b]linnet prepare notes/[/b]                        a tokenizer is trained on it
    [b]linnet prepare wiki.jsonl -t tokenizer.json[/b]  with one that is there
    [b]linnet prepare posts.csv --text body[/b]         the column that holds the text
    [b]linnet prepare chats.jsonl[/b]                   conversations, told by the first: what assistants say is learned
    [b]linnet prepare my.yaml[/b]                       data: and tokenizer: of a run file
    [b]linnet prepare web/ --near --against exams/[/b]  without near copies, and what exams hold
    [b]linnet train prepared/notes[/b]                  then train on it, as often as you like

    Memory stays small however much text there is. Stopped or killed, the same command
    goes on where it was. Asked again, it finds what is there.
    """
    gc.set_threshold(TABLES)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # of numpy, which multiplies nothing here: its threads would wait busily
    from linnet.core.errors import ConfigError, explain
    from linnet.core.names import nearest
    from linnet.core.refusals import alternatives
    from linnet.data.corpus import prepare_corpus
    from linnet.data.engine import Engine
    from linnet.data.workplace import unfinished

    if engine not in get_args(Engine):
        engines = get_args(Engine)
        raise ConfigError(explain(f"--engine {engine}", need=alternatives(list(engines)), hint=nearest(engine, engines)))
    changes = [
        *([] if vocab_size is None else [f"tokenizer.vocab_size={vocab_size}"]),
        *([] if pattern is None else [f"tokenizer.pattern={pattern}"]),
        *(["data.near=true"] if near else []),
        *([f"data.against={json.dumps(against)}"] if against else []),
        *(set or []),
    ]
    if tokenizer is not None and vocab_size is not None:
        raise ConfigError(explain("--tokenizer and --vocab-size", need="one of them: one that is there, or one to train"))
    fields = {field: said for field, said in (("text", text), ("separator", separator)) if said is not None}
    console = Console(quiet=quiet)
    corpus, name = asked(what, tokenizer, changes, fields, say=lambda line: console.print(Text(line), soft_wrap=True))
    began = time.perf_counter()
    with Bar(console) as tell:
        prepared = prepare_corpus(corpus, out or PREPARED / name, tell, engine=engine, workers=workers)  # type: ignore[arg-type]
    show(console, prepared.card)
    took = time.perf_counter() - began
    size = sum(prepared.card.bytes.values())
    done = "found again" if prepared.reused else f"{took:.1f} s, {size / 1e6 / took:,.0f} MB/s"
    said = f"    {prepared.folder}  ({done})\nnext      linnet train {prepared.folder}"
    console.print(Text.assemble(("tokens", "bold"), said), soft_wrap=True)
    for left in unfinished(prepared.folder.parent):
        size = sum(file.stat().st_size for file in left.rglob("*") if file.is_file())
        said = f"left over  {left}  ({size / 1e6:,.0f} MB): another question's work, which goes on when that is asked again"
        console.print(Text(said), style="dim", soft_wrap=True)
    if quiet:
        print(prepared.folder)


def asked(
    what: list[str],
    tokenizer: Path | None,
    changes: list[str],
    fields: Mapping[str, str] = MappingProxyType({}),
    say: Callable[[str], None] = lambda line: None,
) -> tuple[Corpus, str]:
    """The corpus that was asked for, with some `a.b=c` changed and what all its files are told, and what its folder is called.

    say   told of what could have been read in another way

    Raises ConfigError.
    """
    from linnet.asked import RUN_FIELDS, asked_of, change, passed_over
    from linnet.core.errors import ConfigError, explain
    from linnet.core.spec import load
    from linnet.data.corpus import Corpus

    table, name, called = asked_of(what[0] if len(what) == 1 else what, as_text="text" in fields)
    if tokenizer is not None:
        table["tokenizer"] = {"kind": "file", "path": str(tokenizer)}
    if fields:
        files = [source for source in table["data"].get("sources", ()) if source.get("kind") == "files"]
        if not files:
            got = f"{' and '.join(f'--{field}' for field in fields)} for {', '.join(what)}, which has no files among its sources"
            raise ConfigError(explain(got, need="files of texts among them", hint="leaving that out"))
        for source in files:
            source |= fields
    change(Corpus, table, changes)
    for line in passed_over(what[0] if len(what) == 1 else what, table):
        say(line)
    corpus = load(Corpus, {key: value for key, value in table.items() if key not in RUN_FIELDS}, name=called)
    if table.get("objective") is not None:
        from linnet.objective import ObjectiveSpec

        objective = load(ObjectiveSpec, table["objective"], path="objective", name=called)  # type: ignore[type-abstract]
        corpus = corpus.replace(tokenizer=objective.with_special(corpus.tokenizer))
    if corpus.data.prepared is not None:
        raise ConfigError(
            explain(f"{called}: tokens that are prepared already", need="text", hint=f"linnet train {corpus.data.prepared}")
        )
    return corpus, str(table.get("name") or name)


class Bar:
    """A bar with the time left, where there is a terminal to show it on; a line for each stage elsewhere."""

    def __init__(self, console: Console) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        self.console, self.stage, self.shown = console, "", 0.0
        self.bar = Progress(
            BarColumn(bar_width=24),
            TextColumn("{task.fields[share]}"),
            TextColumn("{task.description}", markup=False),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=console.quiet or not console.is_terminal,
            auto_refresh=False,  # which takes a thread, and a process that has threads cannot be copied to work
        )
        self.task = self.bar.add_task("", total=None, share="")

    def __enter__(self) -> Bar:
        self.bar.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self.bar.__exit__(*error)

    def __call__(self, done: float | None, message: str) -> None:
        share = {"total": None, "share": ""} if done is None else {"total": 1.0, "completed": done, "share": f"{done:4.0%}"}
        now = time.perf_counter()
        self.bar.update(self.task, description=message, **share, refresh=now > self.shown + 0.25)
        self.shown = now if now > self.shown + 0.25 else self.shown
        stage = message.partition(":")[0]
        if stage != self.stage and not self.console.is_terminal and done != 1.0:
            self.console.print(stage, highlight=False)
        self.stage = stage


def show(console: Console, card: DataCard) -> None:
    """A line a source: what came of it."""
    from rich.table import Table

    from linnet.data.card import share
    from linnet.data.mixture import as_course

    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("source", overflow="fold")
    left_out = {"copies": "duplicates_dropped"}
    left_out |= {"near\ncopies": "near_dropped"} if card.near is not None else {}
    left_out |= {"overlaps": "overlaps_dropped"} if card.against else {}
    learned = ("learned\n%",) if card.learned else ()
    course = ("on the way\n%",) if any(source.asked_course for source in card.sources) else ()
    for title in ("documents", *left_out, "tokens", *learned, "asked %", *course, "actual %", "bytes/\ntoken"):
        table.add_column(title, justify="right", no_wrap=True)
    for source in card.sources:
        table.add_row(
            source.name,
            f"{source.documents_kept:,}",
            *(f"{getattr(source, name):,}" for name in left_out.values()),
            f"{sum(source.tokens.values()):,}",
            *(share(source.learned or source.tokens, source.tokens) for _ in learned),
            f"{source.asked_percent:.2f}",
            *(as_course(source.asked_course) for _ in course),
            f"{source.actual_percent:.2f}",
            f"{source.bytes_per_token:.2f}",
        )
    console.print(table)
    console.print(card.announcement(), highlight=False)

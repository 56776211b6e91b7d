"""linnet words: everything that a run file can say, what each means, and what it is where it is not said."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from linnet.core.spec import Spec


def words(
    word: Annotated[
        str | None, typer.Argument(help="A part of a run file (train) or a word (llama), to see all of it.", show_default=False)
    ] = None,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON schema of a run file, for editors.")] = False,
) -> None:
    """List everything that a run file can say: defaults, meanings.

    [b]linnet words[/b]          all parts, and the words that fit them
    [b]linnet words train[/b]    one part: its fields, and what each takes
    [b]linnet words llama[/b]    one word, in the same way; all that are called so
    """
    from linnet.core.errors import ConfigError, explain
    from linnet.core.names import nearest
    from linnet.core.spec import json_schema
    from linnet.train.catalogue import GROUPS, SENTENCE, tables
    from linnet.train.spec import RunSpec

    if schema:
        print(json.dumps(json_schema(RunSpec), indent=2))
        return
    console, known = Console(highlight=False), tables()
    if word is None:
        show_all(console)
        return
    name = next(
        (each for each in (word, word.partition(".")[0]) if each in known or each in GROUPS), None
    )  # of train.steps train
    if name is None:
        hint = nearest(word, {*known, *GROUPS})
        raise ConfigError(explain(f"no word {word!r}", need="a part or a word of a run file", hint=hint))
    if name in known:
        same = [each for each in known if each not in SENTENCE and each.endswith(f".{name}")]  # mamba is a family and a mixer
        for number, each in enumerate([name, *same]):
            if number:
                console.print()
            show_table(console, each, known[each])
    else:
        show_group(console, name, GROUPS[name])


def show_all(console: Console) -> None:
    """All of it, in the order in which a run file is read."""
    from linnet.core.meanings import meanings
    from linnet.train.catalogue import NOT_SAID, OF_A_SENTENCE, OF_DATA, PARTS, SENTENCE, TABLES_OF_DATA, default_of, is_table
    from linnet.train.spec import RunSpec
    from linnet.zoo import SIZES

    console.print(
        "A run file is YAML: its parts, in any order. It needs [b]data[/b] and nothing else; what is left out is as "
        f"shown ({NOT_SAID}: see what it means). For what a field takes: [b]linnet words train[/b], [b]linnet words llama[/b]."
    )
    means = meanings(RunSpec)
    for name, field in RunSpec.model_fields.items():
        plain = not is_table(field.annotation) and name not in PARTS and default_of(field) != NOT_SAID
        console.print(f"\n[b]{name}[/b]  {means[name]}" + (f"; default: {default_of(field)}" if plain else ""))
        if is_table(field.annotation):
            console.print(table_of(field.annotation))  # type: ignore[arg-type]
        elif name in PARTS:
            console.print(words_of(PARTS[name], field.default))
        if name == "data":
            for title, family in OF_DATA.items():
                show_group(console, title, family)
            for title, table in TABLES_OF_DATA.items():
                console.print(f"  [b]{title}[/b]")
                console.print(table_of(table, indent=4))
        if name == "model":
            shown = ", ".join(f"{size} {12 * s.n_layers * s.d_model**2 / 1e6:.1f} M" for size, s in SIZES.items())
            console.print(f"  sizes: {shown} (parameters in the layers)")
    console.print("\n[b]sentence[/b]  any model that the grammar can say, written out: model: {kind: sentence, model: …}")
    for name, cls in SENTENCE.items():
        console.print(f"  [b]{name}[/b]")
        console.print(table_of(cls, indent=4))
    for title, family in OF_A_SENTENCE.items():
        show_group(console, title, family)


def show_group(console: Console, title: str, family: type[Spec]) -> None:
    """The words of a family under its name."""
    console.print(f"  [b]{title}[/b], one of")
    console.print(words_of(family, None, indent=4))


def show_table(console: Console, name: str, cls: type[Spec]) -> None:
    """A part or a word: what it is, its fields, what each takes."""
    from linnet.core.meanings import summary

    console.print(f"[b]{name}[/b]  {escape(summary(cls))}")
    console.print(table_of(cls, takes=True))


def bare_table() -> Table:
    return Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))


def words_of(family: type[Spec], default: Any, *, indent: int = 2) -> Table:
    """The words of a family: each in one line, and the fields that it has."""
    from linnet.core.meanings import first_line
    from linnet.core.spec import words
    from linnet.train.catalogue import NOT_SAID, default_of, fields_of

    table = bare_table()
    for kind, cls in words(family).items():
        defaults = {name: default_of(field) for name, field in fields_of(cls).items()}
        fields = ", ".join(name if shown == NOT_SAID else f"{name}: {shown}" for name, shown in defaults.items())
        mark = " (default)" if kind == getattr(default, "kind", None) else ""
        below = f"\n[dim]{escape(fields)}[/dim]" if fields else ""
        table.add_row(" " * indent + kind, escape(first_line(cls)) + mark + below)
    return table


def table_of(cls: type[Spec], *, indent: int = 2, takes: bool = False) -> Table:
    """The fields of a spec: name, default, meaning; with `takes` also what can be written there."""
    from linnet.core.meanings import meanings
    from linnet.train.catalogue import accepted, default_of, fields_of

    table, means = bare_table(), meanings(cls)
    for name, field in fields_of(cls).items():
        below = f"\n[dim]{escape(accepted(field))}[/dim]" if takes else ""
        table.add_row(" " * indent + name, f"[cyan]{escape(default_of(field))}[/cyan]", escape(means.get(name, "")) + below)
    return table

"""linnet words: everything that a run file can say."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

PLAIN = {int: "a whole number", float: "a number", str: "text", bool: "true or false", None: "nothing"}


def words(
    word: Annotated[str | None, typer.Argument(help="A word, to see its fields and defaults.")] = None,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON schema of a run file, for editors.")] = False,
) -> None:
    """List everything that a run file can say: its parts, and the words for models, optimizers, data sources …

    [b]linnet words[/b]              all of them
    [b]linnet words attention[/b]    one word, with its fields and defaults
    [b]linnet words train[/b]        one part of a run file, likewise; [b]run[/b]: the file as a whole
    """
    from linnet.core.errors import ConfigError, explain
    from linnet.core.names import nearest
    from linnet.core.spec import first_line, json_schema
    from linnet.core.spec import words as words_of
    from linnet.data.clean import CleanStep
    from linnet.data.sources import Source
    from linnet.model.spec import AttentionPosition, ChannelMixer, InputPosition, Linear, Norm, TokenMixer
    from linnet.objective.next_token import ObjectiveSpec
    from linnet.tokenizer.spec import TokenizerSpec
    from linnet.train.optimizers import Optimizer
    from linnet.train.schedule import Schedule
    from linnet.train.spec import RunSpec
    from linnet.zoo import SIZES, Family

    console = Console()
    if schema:
        print(json.dumps(json_schema(RunSpec), indent=2))
        return
    groups = {
        "model": Family, "token mixer": TokenMixer, "channel mixer": ChannelMixer, "norm": Norm, "position, added": InputPosition,
        "position, in attention": AttentionPosition, "linear": Linear, "tokenizer": TokenizerSpec, "data source": Source, "cleaning": CleanStep,
        "objective": ObjectiveSpec, "optimizer": Optimizer, "schedule": Schedule,
    }  # fmt: skip
    parts = {name: field.annotation for name, field in RunSpec.model_fields.items() if is_part(field.annotation)}
    words = {kind: cls for family in groups.values() for kind, cls in words_of(family).items()}
    known: dict[str, Any] = words | parts | {"run": RunSpec}
    if word is None:
        table = Table("", "word", "", box=None, show_header=False, pad_edge=False)
        for index, (part, meaning) in enumerate(meanings(RunSpec).items()):
            table.add_row("[bold]run file[/bold]" if index == 0 else "", part, f"[dim]{meaning}[/dim]")
        for group, family in groups.items():
            for index, (kind, cls) in enumerate(words_of(family).items()):
                table.add_row(f"[bold]{group}[/bold]" if index == 0 else "", kind, f"[dim]{first_line(cls)}[/dim]")
        console.print(table)
        sizes = ", ".join(f"{name} {12 * s.n_layers * s.d_model**2 / 1e6:.1f} M" for name, s in SIZES.items())
        console.print(f"[bold]sizes[/bold]  {sizes} (parameters in the layers)", highlight=False)
        return
    if word not in known:
        raise ConfigError(explain(f"no word {word!r}", need="a word of the grammar", hint=nearest(word, known)))
    import inspect

    console.print(f"[bold]{word}[/bold]\n{escape(inspect.getdoc(known[word]) or '')}", highlight=False)
    table = Table("field", "what it takes", "default", box=None, header_style="bold", pad_edge=False)
    for name, field in known[word].model_fields.items():
        default = "needed" if field.is_required() else shown(field.get_default(call_default_factory=True))
        table.add_row(name, escape(taken(field.annotation)), escape(default))
    console.print(table)


def shown(default: Any) -> str:
    """A default as one would write it; a word without its fields, which have defaults of their own."""
    from linnet.core.spec import Spec, dump

    if isinstance(default, Spec):
        return str(getattr(default, "kind", ""))
    if isinstance(default, tuple) and default and all(isinstance(item, Spec) for item in default):
        return f"[{', '.join(map(shown, default))}]"
    return json.dumps(dump(default), ensure_ascii=False)


def is_part(annotation: Any) -> bool:
    """Whether a field of the run file is a table with fields of its own, and no word of a family."""
    from linnet.core.spec import Spec, is_family

    return isinstance(annotation, type) and issubclass(annotation, Spec) and not is_family(annotation)


def meanings(cls: type[Any]) -> dict[str, str]:
    """Field → what its spec's docstring says of it, on one line each: `name   meaning`."""
    import inspect

    found = {}
    for line in (inspect.getdoc(cls) or "").splitlines():
        name, _, meaning = line.partition("   ")
        if name in cls.model_fields:
            found[name] = meaning.strip()
    return found


def taken(annotation: Any) -> str:
    """What a field takes, as people say it: `a number or nothing`, `one of gpt2, gpt4`."""
    from types import NoneType, UnionType
    from typing import Annotated, Literal, Union, get_args, get_origin

    from linnet.core.spec import called, is_family

    if annotation in PLAIN:
        return PLAIN[annotation]
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return taken(inner[0])
    if origin in (Union, UnionType):
        return " or ".join([taken(each) for each in inner if each is not NoneType] + ["nothing"] * (NoneType in inner))
    if origin is Literal:
        return inner[0] if len(inner) == 1 else f"one of {', '.join(map(str, inner))}"
    if origin in (tuple, list):
        return f"a list of {taken(inner[0])}" if inner[-1:] == (...,) or origin is list else f"{len(inner)} numbers"
    if isinstance(annotation, type) and is_part(annotation):
        return f"a table, see linnet words {called(annotation)}"
    if isinstance(annotation, type) and hasattr(annotation, "model_fields") and is_family(annotation):
        return f"one of {', '.join(sorted(annotation._words))}"  # type: ignore[attr-defined]
    return str(annotation)

"""linnet words: everything that a run file can say."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table


def words(
    word: Annotated[str | None, typer.Argument(help="A word, to see its fields and defaults.")] = None,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON schema of a run file, for editors.")] = False,
) -> None:
    """List the words of the grammar: families, mixers, norms, optimizers, sources, and what each can be set to.

    [b]linnet words[/b]              all of them
    [b]linnet words attention[/b]    one, with its fields
    """
    from linnet.core.errors import ConfigError, explain
    from linnet.core.names import nearest
    from linnet.core.spec import dump, first_line, json_schema
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
    known = {kind: cls for family in groups.values() for kind, cls in words_of(family).items()}
    if word is None:
        table = Table("", "word", "", box=None, show_header=False, pad_edge=False)
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

    console.print(f"[bold]{word}[/bold]\n{inspect.getdoc(known[word]) or ''}", highlight=False)
    table = Table("field", "type", "default", box=None, header_style="bold", pad_edge=False)
    for name, field in known[word].model_fields.items():
        shown = getattr(field.annotation, "__name__", None) if not hasattr(field.annotation, "__args__") else None
        default = (
            "needed"
            if field.is_required()
            else json.dumps(dump(field.get_default(call_default_factory=True)), ensure_ascii=False)
        )
        table.add_row(name, shown or str(field.annotation).replace("typing.", ""), default)
    console.print(table)

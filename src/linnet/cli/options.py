"""What several verbs ask for in the same way."""

from __future__ import annotations

from typing import Annotated

import typer


def above_zero(value: float | None) -> float | None:
    """An option's value, refused where it is not more than 0 (typer's own limits let 0 itself through)."""
    if value is not None and not value > 0:
        raise typer.BadParameter(f"{value:g} is not more than 0")
    return value


PATTERN_NAMES = (
    "gpt2; gpt4 (Llama 3's, and GPT-4's as `tokenizers` has it); cl100k (GPT-4's as tiktoken has it, "
    "in which white space at a text's end stays in one piece); qwen; o200k (GPT-4o's)"
)
What = Annotated[
    list[str],
    typer.Argument(
        help="A run file (.yaml), text files, folders or globs, [b]stories[/b], [b]python-docs[/b], [b]-[/b] for standard input, "
        "or a run folder with --resume.",
        show_default=False,
    ),
]
Pattern = Annotated[
    str | None,
    typer.Option(help=f"How text is split, for ranks whose name does not tell: {PATTERN_NAMES}.", show_default=False),
]
Minutes = Annotated[
    float | None,
    typer.Option(help="End after so many minutes; size, batch and steps are chosen to fit.", callback=above_zero),
]
Steps = Annotated[int | None, typer.Option(min=1, help="End after so many steps.")]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="a.b=c", help="Change one value of the run, e.g. [b]--set model.size=mini[/b]. May be given again."
    ),
]

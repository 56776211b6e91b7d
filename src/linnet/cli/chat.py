"""linnet chat: talk to a model that was taught conversations."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from linnet.cli.options import above_zero

if TYPE_CHECKING:
    from linnet.language_model import LanguageModel
    from linnet.tokenizer.chat import Turn


def chat(
    model: Annotated[Path, typer.Argument(help="A run folder.")],
    message: Annotated[
        str | None,
        typer.Argument(help="Say this, print the reply and leave; [b]-[/b] reads it from standard input.", show_default=False),
    ] = None,
    system: Annotated[str | None, typer.Option(help="What the model is told before the conversation.")] = None,
    max_tokens: Annotated[
        int, typer.Option(min=1, help="A reply has at most so many tokens, and at most what is left of the model's context.")
    ] = 256,
    temperature: Annotated[
        float, typer.Option(min=0, help="0 takes the likeliest token; 1 draws from the model as it is.")
    ] = 0.8,
    top_p: Annotated[
        float, typer.Option(max=1, help="Keep the likeliest tokens with this mass together.", callback=above_zero)
    ] = 1.0,
    seed: Annotated[int, typer.Option(help="The same seed and words, the same replies.")] = 0,
) -> None:
    """Talk to a model that was trained on conversations; each line is a turn, an empty one or Ctrl-D ends it.

    [b]linnet chat runs/chats[/b]
    [b]linnet chat runs/chats "Who sings?"[/b]
    """
    import linnet
    from linnet.cli.generate import decoded, given
    from linnet.tokenizer.chat import Turn

    speaker = linnet.load(model)
    turns = [Turn("system", decoded(system))] if system is not None else []
    options = {"max_tokens": max_tokens, "temperature": temperature, "top_p": top_p, "seed": seed}
    if message is not None:
        reply(speaker, [*turns, Turn("user", given(message))], options)
        return
    if sys.stdin.isatty():
        print("an empty line or Ctrl-D ends the conversation", file=sys.stderr)
    while said := asked():
        turns.append(Turn("user", said))
        turns.append(Turn("assistant", reply(speaker, turns, options)))


def asked() -> str:
    """The next line of whoever sits there, or is piped in; empty at the end. Raises DataError where it is not UTF-8, which text of Python's
    own does not say in every locale."""
    from linnet.core.errors import DataError, explain

    try:
        typed = sys.stdin.isatty()
        line = input("> ").encode("utf-8", "surrogateescape") if typed else sys.stdin.buffer.readline()
        return line.decode("utf-8").strip()
    except EOFError:
        return ""
    except UnicodeDecodeError as error:
        raise DataError(explain("a line that is not UTF-8", need="text in UTF-8", hint="iconv -t utf-8")) from error


def reply(speaker: LanguageModel, turns: list[Turn], options: dict[str, float | int]) -> str:
    """Print what the model says next, as it comes; all of it."""
    pieces = []
    for piece in speaker.stream_chat(turns, **options):  # type: ignore[arg-type]
        pieces.append(piece)
        print(piece, end="", flush=True)
    print()
    return "".join(pieces)

"""linnet generate: let a model write."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from linnet.cli.options import above_zero

if TYPE_CHECKING:
    from linnet.language_model import LanguageModel


def given(text: str) -> str:
    """A text as it was written on the command line, or standard input's where it is `-`. Raises DataError where it is not UTF-8."""
    return decoded(sys.stdin.buffer.read(), "standard input") if text == "-" else decoded(text)


def decoded(text: str | bytes, where: str = "the text") -> str:
    """A text as Python reads it from the command line, or bytes of standard input, in UTF-8. Raises DataError where it is not."""
    from linnet.core.errors import DataError, explain

    content = text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")  # as Python reads arguments
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        got = f"byte {content[error.start]:#04x} at place {error.start:,} of {where}"
        raise DataError(explain(got, need="text in UTF-8", hint="iconv -t utf-8")) from error


def refuse_beside_source(prompt: str, source: str | None, source_file: Path | None) -> None:
    """Raise ConfigError for a prompt beside a source, and for two sources."""
    from linnet.core.errors import ConfigError, explain

    if prompt or (source is not None and source_file is not None):
        got = "a prompt and a source" if prompt else "--source and --source-file"
        raise ConfigError(explain(got, need="one of them"))


SAMPLING = (
    "temperature", "top_k", "top_p", "min_p", "repetition_penalty", "presence_penalty", "frequency_penalty", "stop", "stop_token", "n", "seed",
)  # fmt: skip
SEARCH = ("beams", "length_penalty")


def was_given(context: typer.Context, name: str) -> bool:
    """Whether an option was written, even if what was written is its default."""
    found = context.get_parameter_source(name)
    return found is not None and found.name == "COMMANDLINE"


def refuse_options_of_another_kind(context: typer.Context, *, source: bool, masked: bool = False) -> None:
    """Raise ConfigError for options that say how to draw a text beside a source, and for those of beam search without one; for all of
    them where masked places are filled."""
    from linnet.core.errors import ConfigError, explain

    unfit = (*SAMPLING, *SEARCH, "max_tokens") if masked else SAMPLING if source else SEARCH
    names = [name for name in unfit if was_given(context, name)]
    if names and masked:
        got = f"{', '.join(map(option, names))} for a model that fills masked places"
        raise ConfigError(explain(got, need="a text alone: nothing is drawn or searched"))
    if names:
        got = f"{', '.join(map(option, names))} {'with' if source else 'without'} a source"
        need = "of the options, --beams, --length-penalty and --max-tokens alone: it is a search, no drawing"
        raise ConfigError(explain(got, need=need if source else "--source TEXT for a search"))


def option(name: str) -> str:
    """As it is written on the command line."""
    return "-n" if name == "n" else "--" + name.replace("_", "-")


def sources_of(source: str | None, source_file: Path | None) -> list[str]:
    """The texts that a model is to read: one, or those of a file or of standard input, one a line. Raises DataError."""
    from linnet.data.pairs import lines_of

    if source_file is not None:
        return list(lines_of(source_file))
    assert source is not None
    return given(source).splitlines() if source == "-" else [given(source)]


def show_filled(model: LanguageModel, text: str) -> None:
    """A text with its masked places filled, and what is likeliest at each of them."""
    [filled] = model.fill([text])
    print(filled.text)
    for number, place in enumerate(filled.places, 1):
        print(f"{number}  " + "  ".join(f"{guess.text.strip() or repr(guess.text)} {guess.probability:.0%}" for guess in place))


def generate(
    context: typer.Context,
    model: Annotated[Path, typer.Argument(help="A run folder.")],
    prompt: Annotated[
        str, typer.Argument(help="What to go on from; [b]-[/b] reads it from standard input; empty begins a new document.")
    ] = "",
    max_tokens: Annotated[
        int, typer.Option(min=1, help="Write at most so many tokens; with a source, unless given, ten more than twice its own.")
    ] = 256,
    temperature: Annotated[
        float, typer.Option(min=0, help="0 takes the likeliest token; 1 draws from the model as it is.")
    ] = 0.8,
    top_k: Annotated[int, typer.Option(min=0, help="Keep the k likeliest tokens; 0 keeps all.")] = 0,
    top_p: Annotated[
        float, typer.Option(max=1, help="Keep the likeliest tokens with this mass together.", callback=above_zero)
    ] = 1.0,
    min_p: Annotated[
        float, typer.Option(min=0, max=1, help="Keep tokens with this share of the likeliest one's probability.")
    ] = 0.0,
    repetition_penalty: Annotated[
        float, typer.Option(help="Above 1: what was said becomes less likely.", callback=above_zero)
    ] = 1.0,
    presence_penalty: Annotated[
        float, typer.Option(min=-2, max=2, help="Taken off the score of a token that was written.")
    ] = 0.0,
    frequency_penalty: Annotated[float, typer.Option(min=-2, max=2, help="Taken off once for each time it was written.")] = 0.0,
    stop: Annotated[list[str] | None, typer.Option(help="End before this text. May be given again.")] = None,
    stop_token: Annotated[list[int] | None, typer.Option(help="End after this token (its id). May be given again.")] = None,
    n: Annotated[int, typer.Option("-n", min=1, help="Write so many texts.")] = 1,
    seed: Annotated[int, typer.Option(help="The same seed writes the same text.")] = 0,
    source: Annotated[
        str | None,
        typer.Option(help="A text for a model that reads a source, such as one to translate; [b]-[/b]: lines of standard input."),
    ] = None,
    source_file: Annotated[
        Path | None, typer.Option(help="A file of such texts, one a line; a line is written for each.")
    ] = None,
    beams: Annotated[int, typer.Option(min=1, help="With a source: beginnings kept at a time; 1 is greedy.")] = 5,
    length_penalty: Annotated[
        float, typer.Option(min=0, max=10, help="With a source: above 0, longer texts are preferred.")
    ] = 1.0,
) -> None:
    """Write text with a trained model; one text is streamed as it comes.

    [b]linnet generate runs/demo "Once upon a time"[/b]
    [b]linnet generate runs/demo -n 5 --temperature 0.7[/b]
    [b]linnet generate runs/translate --source "ein Hund"[/b]
    [b]linnet generate runs/bert "One day, a <|mask|> went home."[/b]     (a model that sees both ways fills what is masked)
    """
    import linnet
    from linnet.core.errors import LinnetError, explain
    from linnet.generate.decode import EMBED
    from linnet.model.causal import check_writes, writes
    from linnet.tokenizer.mask import has_mask

    if source is not None or source_file is not None:
        refuse_beside_source(prompt, source, source_file)
        refuse_options_of_another_kind(context, source=True)
        most = max_tokens if was_given(context, "max_tokens") else None
        texts = sources_of(source, source_file)
        for line in linnet.load(model).translate(texts, beams=beams, length_penalty=length_penalty, max_tokens=most):
            print(line)
        return
    writer = linnet.load(model)
    if not writes(writer.network) and has_mask(writer.tokenizer):
        refuse_options_of_another_kind(context, source=False, masked=True)
        show_filled(writer, given(prompt))
        return
    check_writes(writer.network.spec, "to write", hint=EMBED)
    prompt = given(prompt)
    if writer.network.encoder is not None:
        raise LinnetError(explain("a model that reads a source, and none", need="a text for it", hint='--source "ein Hund"'))
    refuse_options_of_another_kind(context, source=False)
    options = {
        "max_tokens": max_tokens, "temperature": temperature, "top_k": top_k, "top_p": top_p, "min_p": min_p, "repetition_penalty": repetition_penalty,
        "presence_penalty": presence_penalty, "frequency_penalty": frequency_penalty, "stop": tuple(stop or ()), "stop_tokens": tuple(stop_token or ()),
        "seed": seed,
    }  # fmt: skip
    if n == 1:
        pieces = writer.stream(prompt, **options)  # type: ignore[arg-type]
        print(prompt, end="", flush=True)
        for piece in pieces:
            print(piece, end="", flush=True)
        print()
        return
    for index, written in enumerate(writer.complete([prompt], n=n, **options), 1):  # type: ignore[arg-type]
        print(f"--- {index} of {n} ({written.reason.replace('_', ' ')})\n{prompt}{written.text}\n")

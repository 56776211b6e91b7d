"""`linnet <verb>`: one thin file a verb. Errors that a person can mend are printed without a traceback."""

from __future__ import annotations

import errno
import gc
import sys
import time

BEGAN = time.perf_counter()  # before torch is imported: under a time budget that counts too
gc.disable()  # while modules are loaded: nothing of them is garbage, and looking for it takes a tenth of the start

import typer  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.text import Text  # noqa: E402

from linnet.cli import (  # noqa: E402
    adapt,
    chat,
    compare,
    data,
    demo,
    doctor,
    evaluate,
    export,
    generate,
    import_,
    plan,
    prepare,
    tokenizer,
    train,
    words,
)
from linnet.core.errors import LinnetError, explain  # noqa: E402
from linnet.core.version import __version__  # noqa: E402

gc.enable()

app = typer.Typer(
    name="linnet",
    help="From a folder of text to a small language model that you understand, on one ordinary machine.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode="rich",
)


def show_version(wanted: bool) -> None:
    if wanted:
        print(f"linnet {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: bool = typer.Option(False, "--version", callback=show_version, is_eager=True, help="Print the version and leave."),
) -> None:
    """From a folder of text to a small language model that you understand, on one ordinary machine."""


app.command("demo")(demo.demo)
app.command("train")(train.train)
app.command("plan")(plan.plan)
app.command("prepare")(prepare.prepare)
app.command("generate")(generate.generate)
app.command("chat")(chat.chat)
app.command("eval")(evaluate.evaluate)
app.command("adapt")(adapt.adapt)
app.command("compare")(compare.compare)
app.command("import")(import_.import_)
app.command("export")(export.export)
app.add_typer(tokenizer.app, name="tokenizer")
app.add_typer(data.app, name="data")
app.command("words")(words.words)
app.command("doctor")(doctor.doctor)


def main() -> None:
    """The entry point."""
    try:
        app()
    except LinnetError as error:
        complain(str(error))
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(141)
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        complain(explain(f"the name {str(error.filename)[:60]}… is too long for this file system", need="a shorter one"))
        sys.exit(2)
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        hint = "a smaller train.micro_batch_size, train.recompute=true, or a smaller model"
        complain(explain("out of memory", need="a run that fits", hint=hint))
        sys.exit(2)
    finally:
        gc.freeze()  # what is left goes with the program: no looking through a vocabulary for garbage on the way out


def complain(message: str) -> None:
    """Say what is wrong: cut between words on a terminal, a line a problem where a program reads it."""
    console = Console(stderr=True)
    console.print(Text.assemble(("linnet:", "bold red"), f" {message}"), soft_wrap=not console.is_terminal)


def out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out; torch says it with a RuntimeError, in words."""
    return isinstance(error, MemoryError) or any(words in str(error) for words in ("can't allocate memory", "out of memory"))


if __name__ == "__main__":
    main()

"""What a run says to the person who started it, before and after training; meanwhile train/progress.py does."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.table import Table
from rich.text import Text


class Talk:
    """Lines, warnings and a spinner. With `quiet` nothing is shown; warnings are remembered in any case, for the report."""

    def __init__(self, console: Console | None = None, *, quiet: bool = False) -> None:
        self.console, self.quiet = console or Console(), quiet
        self.warnings: list[str] = []

    def say(self, message: str | Text) -> None:
        """A line, as it stands: what looks like markup is none."""
        if not self.quiet:
            self.console.print(Text() + message, soft_wrap=not self.console.is_terminal)

    def fact(self, word: str, text: str) -> None:
        """A word and what there is to say on it; on a terminal, long texts go on under their own beginning."""
        if self.quiet or not self.console.is_terminal:
            self.say(Text.assemble((f"{word:9s}", "bold"), text))
            return
        grid = Table.grid()
        grid.add_column(width=9, no_wrap=True)
        grid.add_column()
        grid.add_row(Text(word, style="bold"), Text(text))
        self.console.print(grid)

    def warn(self, message: str) -> None:
        self.warnings.append(message)
        self.say(Text(f"! {message}", style="yellow"))

    @contextlib.contextmanager
    def status(self, what: str) -> Iterator[Callable[[str], None]]:
        """A spinner with a word on what is going on, where there is a terminal to show it on; yields what changes the word."""
        if self.quiet or not self.console.is_terminal:
            yield lambda text: None
            return
        with self.console.status(what) as spinner:
            yield lambda text: spinner.update(Text(text))

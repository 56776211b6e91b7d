"""What a person sees while a model trains: a bar, the numbers that matter, what the model writes."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from linnet.train.clock import Clock
from linnet.train.events import Event, Notice, Sampled, Saved, Stepped, Validated


def clock_text(seconds: float | None) -> str:
    """0:07, 12:34, 1:02:03; a dash where nobody knows."""
    if seconds is None:
        return "–"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def printable(text: str) -> str:
    """Without control characters: what an untrained model writes must not move a terminal's cursor."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


class _Left(ProgressColumn):
    def __init__(self, left: Callable[[], float | None]) -> None:
        super().__init__()
        self.left = left

    def render(self, task: Task) -> Text:
        return Text(f"{clock_text(self.left())} left", style="cyan")


class TrainingProgress:
    """A listener that draws. Use it as a context manager; where output is no terminal, it prints validations only."""

    def __init__(self, console: Console, clock: Clock, *, quiet: bool = False) -> None:
        self.console, self.clock, self.quiet = console, clock, quiet
        self.step = 0
        self.loss = float("nan")
        self.speed = 0.0
        self.bits: float | None = None
        self.validation: float | None = None
        self.bar = Progress(
            TextColumn("[bold]step {task.fields[step]:,}"),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:3.0f}%"),
            TextColumn("{task.fields[numbers]}"),
            _Left(lambda: self.clock.seconds_left(self.step)),
            console=console,
            refresh_per_second=4,
            disable=quiet or not console.is_terminal,
        )
        self.task = self.bar.add_task("training", total=1.0, step=0, numbers="")

    def __enter__(self) -> TrainingProgress:
        self.bar.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.bar.__exit__(kind, error, trace)

    def __call__(self, event: Event) -> None:
        if isinstance(event, Stepped):
            self.step = event.step
            self.loss = event.loss if self.loss != self.loss else 0.95 * self.loss + 0.05 * event.loss
            self.speed = event.tokens_per_second if not self.speed else 0.95 * self.speed + 0.05 * event.tokens_per_second
            numbers = f"loss {self.loss:.3f}"
            if self.validation is not None:
                numbers += f" · val {self.validation:.3f}"
            numbers += f" · {self.speed:,.0f} tok/s"
            if event.utilisation is not None:
                numbers += f" · {event.utilisation:.0%} of peak"
            numbers += f" · {event.memory_bytes / 2**20:,.0f} MiB"
            self.bar.update(self.task, completed=self.clock.progress(event.step), step=event.step, numbers=numbers)
        elif self.quiet:
            return
        elif isinstance(event, Validated):
            self.validation = event.loss
            bits = "" if event.bits_per_byte is None else f" · {event.bits_per_byte:.3f} bits/byte"
            best = " · best" if event.best else ""
            self.console.print(
                f"[dim]step {event.step:,}[/dim]  train {self.loss:.3f} · [bold]val {event.loss:.4f}[/bold]{bits}{best}",
                highlight=False,
            )
        elif isinstance(event, Sampled):
            shown = " ".join((event.prompt + event.text).split())[:300]
            self.console.print(Text(f"    {printable(shown)}", style="italic dim"))
        elif isinstance(event, Notice):
            self.console.print(Text(("! " if event.warning else "") + event.message, style="yellow" if event.warning else ""))
        elif isinstance(event, Saved):
            pass  # a checkpoint is no news

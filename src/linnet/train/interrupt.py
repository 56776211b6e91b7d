"""Ctrl-C and SIGTERM while training: finish the step, save, leave."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from typing import Any

from linnet.train.loop import Training


@contextlib.contextmanager
def interruptible(run: Training) -> Iterator[None]:
    """SIGINT and SIGTERM ask the loop to save and leave; a second one leaves at once."""

    def ask(number: int, frame: Any) -> None:
        if run.interrupted:
            raise KeyboardInterrupt
        run.interrupted = True

    before: dict[signal.Signals, Any] = {}
    with contextlib.suppress(ValueError):  # not in the main thread: no handlers, no harm
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, ask)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

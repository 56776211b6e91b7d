"""What happens during a run, as values. The loop emits them; whoever listens (progress bar, metrics file, TensorBoard)
is a function of one event, and the loop does not know it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Stepped:
    """One optimizer step. loss in nats a token; seconds since the run began (earlier sittings counted in); more: what else the
    objective logs (routing)."""

    step: int
    tokens: int
    loss: float
    learning_rate: float
    grad_norm: float
    progress: float
    seconds: float
    step_seconds: float
    data_seconds: float
    tokens_per_second: float
    utilisation: float | None
    memory_bytes: int
    more: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Validated:
    """The whole validation part (or its first batches) read once."""

    step: int
    tokens: int
    loss: float
    bits_per_byte: float | None
    best: bool


@dataclass(frozen=True)
class Sampled:
    """What the model writes at this point."""

    step: int
    prompt: str
    text: str


@dataclass(frozen=True)
class Saved:
    """A checkpoint that is whole and on disk."""

    step: int
    path: Path


@dataclass(frozen=True)
class Notice:
    """Something the person at the keyboard should know."""

    message: str
    warning: bool = False


Event = Stepped | Validated | Sampled | Saved | Notice
Listener = Callable[[Event], None]

"""How far a run is, from 0 to 1: by steps, or by the time that it was given."""

from __future__ import annotations

import time
from dataclasses import dataclass, field


@dataclass
class Clock:
    """steps: planned optimizer steps, None under a time budget · seconds: time budget, None under a step budget.

    `spent` counts seconds of work, earlier sittings included. A step budget never asks what time it is, so that the
    run is the same on every machine; a time budget ends on time on a machine whose speed drifts.
    """

    steps: int | None = None
    seconds: float | None = None
    spent_before: float = 0.0
    started: float = field(default_factory=time.perf_counter)

    def __post_init__(self) -> None:
        assert (self.steps is None) != (self.seconds is None), "a run is planned in steps or in seconds"

    @property
    def spent(self) -> float:
        """Seconds of work so far."""
        return self.spent_before + time.perf_counter() - self.started

    def progress(self, step: int) -> float:
        """0 at the start, 1 when the plan is done."""
        if self.steps is not None:
            return step / self.steps
        assert self.seconds is not None
        return min(1.0, self.spent / self.seconds)

    def seconds_left(self, step: int) -> float | None:
        """An estimate from the progress so far; None before there is any."""
        if self.seconds is not None:
            return max(0.0, self.seconds - self.spent)
        progress = self.progress(step)
        return self.spent * (1 - progress) / progress if progress > 0 else None

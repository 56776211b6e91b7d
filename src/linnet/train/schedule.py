"""Learning-rate schedules: a factor between 0 and 1 for every step.

`progress` runs from 0 to 1 over the run: steps done over steps planned, or, under a time budget, time spent over time
given, so that a run of ten minutes ends its decay after ten minutes on a machine whose speed drifts.
"""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field

from linnet.core.spec import Spec


class Schedule(Spec):
    """Family: how the learning rate moves."""

    def factor(self, step: int, progress: float) -> float:
        """What the peak rate is multiplied by at `step` (from 0)."""
        raise NotImplementedError


def warm(step: int, warmup: int) -> float:
    """Linear warm-up over `warmup` steps; never zero, so that no step is lost."""
    return min(1.0, (step + 1) / warmup) if warmup else 1.0


class Cosine(Schedule):
    """Warm-up, then half a cosine down to `final` (1608.03983).

    warmup   steps until the peak rate
    final    the share of the peak rate at the end
    """

    kind: Literal["cosine"] = "cosine"
    warmup: int = Field(default=100, ge=0)
    final: float = Field(default=0.1, ge=0, le=1)

    def factor(self, step: int, progress: float) -> float:
        down = 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
        return warm(step, self.warmup) * (self.final + (1 - self.final) * down)


class LinearDecay(Schedule):
    """Warm-up, then a straight line down to `final`.

    warmup   steps until the peak rate
    final    the share of the peak rate at the end
    """

    kind: Literal["linear"] = "linear"
    warmup: int = Field(default=100, ge=0)
    final: float = Field(default=0.0, ge=0, le=1)

    def factor(self, step: int, progress: float) -> float:
        return warm(step, self.warmup) * (1 - (1 - self.final) * min(1.0, progress))


class WSD(Schedule):
    """Warm-up, stable, decay (2404.06395): the peak rate until the last `decay` of the run, then a line down to `final`.

    warmup   steps until the peak rate
    decay    the share of the run that the way down takes
    final    the share of the peak rate at the end
    """

    kind: Literal["wsd"] = "wsd"
    warmup: int = Field(default=50, ge=0)
    decay: float = Field(default=0.4, gt=0, le=1)
    final: float = Field(default=0.0, ge=0, le=1)

    def factor(self, step: int, progress: float) -> float:
        down = max(0.0, (min(1.0, progress) - (1 - self.decay)) / self.decay)
        return warm(step, self.warmup) * (1 - (1 - self.final) * down)


class Constant(Schedule):
    """Warm-up, then the peak rate for ever.

    warmup   steps until the peak rate
    """

    kind: Literal["constant"] = "constant"
    warmup: int = Field(default=0, ge=0)

    def factor(self, step: int, progress: float) -> float:
        return warm(step, self.warmup)

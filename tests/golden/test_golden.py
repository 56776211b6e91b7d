"""Law 16: the first twenty losses are the ones that were written down.

Within 1e-5 relative and not bit for bit: another number of threads or another BLAS adds up in another order (a few
1e-7 at the first step), and twenty steps let that grow. The mutant moves them by more than a hundred times as much.
"""

from __future__ import annotations

import json

import pytest
from regenerate import FAMILIES, FILE, OPTIMIZERS, STEPS, losses

GOLDEN = json.loads(FILE.read_text("utf-8"))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("family", FAMILIES)
def test_losses_are_those_written_down(family: str, optimizer: str) -> None:
    found, kept = losses(family, optimizer), GOLDEN[f"{family}/{optimizer}"]
    assert len(found) == len(kept) == STEPS
    assert found == pytest.approx(kept, rel=1e-5)
    assert found[-1] < found[0]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_another_learning_rate_is_caught(optimizer: str) -> None:
    kept = GOLDEN[f"linnet/{optimizer}"]
    worst = max(abs(a - b) / b for a, b in zip(losses("linnet", optimizer, rate=1.01), kept, strict=True))
    assert worst > 1e-4

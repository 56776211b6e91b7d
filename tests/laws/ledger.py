"""The ledger of the laws: what was measured, and over how many cases."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable

Hold = Callable[[str, float, float], None]
MEASURED: dict[str, list[float]] = defaultdict(list)


def insist(law: str, error: float, tolerance: float) -> None:
    """Write the error down and insist on it."""
    MEASURED[law].append(error)
    assert not math.isnan(error), f"{law}: not a number"
    assert error <= tolerance, f"{law}: {error:.2e} is more than {tolerance:.0e}"

"""When this command began."""

from __future__ import annotations

import sys
import time


def began() -> float:
    """`time.perf_counter()` at the start of the program, or now where linnet was not started as a command."""
    main = sys.modules.get("linnet.cli.main")
    return getattr(main, "BEGAN", time.perf_counter())

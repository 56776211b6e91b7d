"""One thread: with models this small a second one only waits, on a busy machine a hundred times longer than it works."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture(autouse=True)
def _two_threads() -> None:
    torch.set_num_threads(1)

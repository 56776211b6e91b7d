"""Fixtures of the laws."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def _two_threads() -> None:
    """One, in place of the two of the other tests: the laws are made of many tiny products."""
    torch.set_num_threads(1)


@pytest.fixture
def _small_buffers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Buffers that are full after a few tokens, so that tiny cases reach every branch."""
    from linnet.model import state

    monkeypatch.setattr(state, "FIRST_CAPACITY", 4)

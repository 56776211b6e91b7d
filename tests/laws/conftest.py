"""Fixtures of the laws; the ledger is printed after the run."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))

from ledger import MEASURED, Hold, insist


@pytest.fixture(autouse=True)
def _two_threads() -> None:
    """One, in place of the two of the other tests: the laws are made of many tiny products."""
    torch.set_num_threads(1)


@pytest.fixture
def hold() -> Hold:
    """hold(law, error, tolerance)"""
    return insist


@pytest.fixture
def _small_buffers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Buffers that are full after a few tokens, so that tiny cases reach every branch."""
    from linnet.model import state

    monkeypatch.setattr(state, "FIRST_CAPACITY", 4)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not MEASURED:
        return
    terminalreporter.write_sep("-", "laws: largest error, cases")
    for law, errors in sorted(MEASURED.items()):
        terminalreporter.write_line(f"{law:52} {max(errors):9.1e} {len(errors):6}")

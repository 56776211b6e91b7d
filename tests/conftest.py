"""Shared by all tests: where real data may lie, and a quiet, small torch."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]


def find_data() -> Path | None:
    """The shared corpora, beside the checkout (or one folder further up, where the checkout is a worktree)."""
    for parent in (ROOT.parent, ROOT.parent.parent):
        if (parent / "shared" / "data" / "README.md").exists():
            return parent / "shared" / "data"
    return None


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real corpora; tests that need it are skipped where it is absent."""
    found = find_data()
    if found is None:
        pytest.skip("the shared corpora (../shared/data) are not here")
    return found


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Tiny models gain nothing from threads, and on a busy machine threads that wait for each other lose a lot."""
    torch.set_num_threads(1)

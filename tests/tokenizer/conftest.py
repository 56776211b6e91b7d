"""Real text and real vocabularies for these tests; what is not there skips the test that wants it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("untimed", deadline=None)  # a timing is a benchmark, never a test
settings.load_profile("untimed")

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def real() -> Callable[[str], Path]:
    """The path of a real data file, by its name under shared/data beside the repository."""

    def find(name: str) -> Path:
        for folder in (REPOSITORY.parent, REPOSITORY.parent.parent):
            if (folder / "shared" / "data" / name).exists():
                return folder / "shared" / "data" / name
        pytest.skip(f"shared/data/{name} is not there")

    return find


@pytest.fixture(scope="session")
def shakespeare(real: Callable[[str], Path]) -> str:
    return real("shakespeare/input.txt").read_text("utf-8")

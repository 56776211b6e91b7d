"""A benchmark's folder comes first on the path of modules: none may be called as a module that it or its rivals import."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.parametrize("script", sorted(BENCHMARKS.glob("*.py")), ids=lambda path: path.name)
def test_no_benchmark_stands_before_a_module(script: Path) -> None:
    found = importlib.util.find_spec(script.stem)
    assert found is None or found.origin in (None, str(script))  # None: a folder that happens to be on the path

"""The example of the page on data runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest


def test_the_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "techniques" / "data.md"
    (example,) = re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    exec(compile(example, str(page), "exec"), {"__name__": "example"})
    printed = capsys.readouterr().out
    assert "# Data card" in printed
    assert "notes by hash" in printed

"""The examples of the page on data run as they stand, one after the other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest


def test_the_examples_run(capsys: pytest.CaptureFixture[str]) -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "techniques" / "data.md"
    names: dict[str, object] = {"__name__": "example"}
    for example in re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL):
        exec(compile(example, str(page), "exec"), names)
    printed = capsys.readouterr().out
    assert "# Data card" in printed
    assert "notes by hash" in printed

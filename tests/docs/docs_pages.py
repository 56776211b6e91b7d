"""The pages of the documentation and what stands in them, for the tests beside this file."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FIRST = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "configs/README.md")
PAGES = [ROOT / name for name in FIRST] + sorted((ROOT / "docs").rglob("*.md"))
TINY = ["train.batch_size=2", "train.context_length=32", "train.threads=1", "sample.tokens=8"]  # where a page trains
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def name_of(page: Path) -> str:
    """A page as it is called in messages."""
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a page in one language, in order."""
    return [body for marked, body in FENCE.findall(page.read_text("utf-8")) if marked == language]


def with_blocks(language: str) -> list[str]:
    """The names of the pages that have such blocks."""
    return [name_of(page) for page in PAGES if blocks(page, language)]

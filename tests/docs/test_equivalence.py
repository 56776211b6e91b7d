"""docs/equivalence.md is what the tests measured: every word and family has its rows, every error keeps to its tolerance."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from equivalence import Measured, page
from linnet.core.spec import words
from linnet.model.spec import ChannelMixer, TokenMixer
from linnet.zoo import Family
from linnet.zoo.family import HuggingFace

PAGE = Path(__file__).parents[2] / "docs" / "equivalence.md"


@pytest.fixture(scope="module")
def text() -> str:
    return PAGE.read_text("utf-8")


def subjects(text: str, heading: str) -> set[str]:
    """The first words of the rows under a heading."""
    section = text.split(f"## {heading}")[1].split("\n## ")[0]
    return {row.split()[0] for row in re.findall(r"^\| `([^`]+)` \|", section, flags=re.MULTILINE)}


def test_every_word_and_family_has_rows(text: str) -> None:
    measured = subjects(text, "Every word and every family")
    named = {kind for family in (TokenMixer, ChannelMixer, Family) for kind in words(family)}
    assert sorted(named - measured) == []


def test_every_family_of_hugging_face_has_rows(text: str) -> None:
    measured = subjects(text, "Hugging Face, both ways")
    foreign = {kind for kind, family in words(Family).items() if issubclass(family, HuggingFace)}
    assert sorted(foreign - measured) == []


def test_errors_keep_to_their_tolerances(text: str) -> None:
    rows = re.findall(r"^\| .+ \| (\d+) \| (\S+) \| (\S+) \|$", text, flags=re.MULTILINE)
    assert len(rows) > 30
    assert all(float(error) <= float(tolerance) for _, error, tolerance in rows)


def test_the_page_shows_the_worst_of_each() -> None:
    rows = [
        Measured("3 cut anywhere", "attention", 1e-7, 2e-5),
        Measured("3 cut anywhere", "attention", 4e-6, 2e-5),
        Measured("7 fast", "scan", 0.0, 1e-12),
        Measured("10 theirs here", "gpt2", 2e-6, 1e-4),
    ]
    made = page(rows)
    assert "| 3 cut anywhere | 2 | 4e-6 | 2e-5 |" in made
    assert "| `attention` | 4e-6 |" in made
    assert "| 7 fast | 1 | 0 | 1e-12 |" in made
    assert "| `gpt2` | 2e-6 |" in made
    assert subjects(made, "Every word and every family") == {"attention"}

"""A workplace like a reader's: notes of their own, a run called demo, the run files of this repository."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from docs_pages import ROOT, TINY

import linnet
from linnet.data.worlds.stories import story


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workplace, made once: notes, a book, conversations, run files, a run."""
    place = tmp_path_factory.mktemp("workplace")
    (place / "notes").mkdir()
    for day in range(6):
        told = [story(seed=0, index=10 * day + number).text for number in range(10)]
        (place / "notes" / f"day-{day}.md").write_text("\n\n".join(told), "utf-8")
    (place / "book.txt").write_text("\n\n".join(story(seed=1, index=index).text for index in range(40)), "utf-8")
    with open(place / "chats.jsonl", "w") as file:
        for number in range(60):
            said = [("user", f"Tell me story {number}."), ("assistant", story(seed=2, index=number).text)]
            file.write(json.dumps({"messages": [{"role": role, "content": content} for role, content in said]}) + "\n")
    shutil.copytree(ROOT / "configs", place / "configs")
    torch.set_num_threads(1)
    linnet.run({"name": "demo", **demo()}, place / "runs" / "demo", set=TINY, quiet=True)
    return place


def demo() -> dict[str, object]:
    """What `linnet demo` trains, with fewer stories, a small model and five steps."""
    return {
        "data": {"sources": [{"kind": "stories", "count": 60}]},
        "tokenizer": {"kind": "bpe", "vocab_size": 300},
        "model": {"kind": "linnet", "size": "nano"},
        "train": {"steps": 5},
    }


@pytest.fixture
def workplace(made: Path) -> Iterator[Path]:
    """Work in it; everything that a page leaves behind is there for the next one, as with a reader."""
    before = Path.cwd()
    torch.set_num_threads(1)
    os.chdir(made)
    yield made
    os.chdir(before)

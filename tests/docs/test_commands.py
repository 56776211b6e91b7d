"""Every command and every block of Python in the documentation runs, offline.

Blocks marked `sh` hold commands of linnet, a line each; those marked `python` and `yaml` are Python and run files.
Others (`console`, or none) are shown only: how to install, what is printed, the layout of a folder.

A test cannot train for five minutes. What is put in the place of what a page says is all in `shortened` and
`shortened_python`: training takes two steps on a small model, stories are sixty, plans are made for two minutes.
Names, options and order stay.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from docs_pages import ROOT, TINY, blocks, with_blocks

from linnet.cli import main as cli
from linnet.core.spec import load
from linnet.core.yaml import parse_yaml
from linnet.train.spec import RunSpec

STEPS = 2
NANO = "model.size=nano"
TESTED_ELSEWHERE = {"docs/techniques/data.md": "tests/data/test_data_docs.py"}


def shortened(command: str) -> list[str]:
    """The words of a command line, its comment left out, made short."""
    words = shlex.split(command, comments=True)
    verb = words[1]
    if verb == "train" or (verb == "plan" and any("/" in word for word in words[2:])):  # of a text
        words = without(words, "--minutes")
        if "--resume" not in words:
            changes = list(TINY)
            if ".yaml" not in command:
                named = any(word.startswith(("model=", "model.kind=")) for word in words)
                changes = [*([] if named else ["model=linnet"]), NANO, *changes]
            if "stories" in words:
                changes.append("data.sources.0.count=60")
            words = [*without(words, "--steps"), "--steps", str(STEPS)]
            words += [part for change in changes for part in ("--set", change)]
    elif verb == "compare" and any(word.endswith(".yaml") for word in words):
        words = [*without(without(words, "--tokens"), "--seeds"), "--tokens", str(STEPS * 64), "--seeds", "1"]
        words += [
            part for change in ["data.sources.0.count=60", "tokenizer.vocab_size=300", *TINY[:2]] for part in ("--set", change)
        ]
    elif verb in ("generate", "chat"):
        words = [*without(words, "--max-tokens"), "--max-tokens", "8"]
    elif verb == "plan" and "--minutes" in words:
        words = [*without(words, "--minutes"), "--minutes", "2"]
        if "--tokens" in words:  # no text: nothing else says how small all is
            words += ["--context-length", "64", "--vocab-size", "300"]
        else:
            words += ["--set", "model.context_length=32", "--set", "train.threads=1"]
    return words


def without(words: list[str], option: str) -> list[str]:
    """A command line without an option and its value."""
    if option not in words:
        return words
    place = words.index(option)
    return words[:place] + words[place + 2 :]


def shortened_python(code: str) -> str:
    """A block of Python in which nothing trains for minutes."""
    tiny = ", ".join(repr(each) for each in ["model=linnet", NANO, *TINY])
    return re.sub(r"minutes=\d+", f"steps={STEPS}, set=[{tiny}]", code)


def commands(page: str) -> list[str]:
    """The command lines of a page's `sh` blocks."""
    lines = [line.strip() for block in blocks(ROOT / page, "sh") for line in block.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


@contextmanager
def typed(words: list[str]) -> Iterator[None]:
    """The command line as the program sees it."""
    before = sys.argv
    sys.argv = words
    try:
        yield
    finally:
        sys.argv = before


@pytest.mark.parametrize("page", with_blocks("sh"))
def test_commands_run(page: str, workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in commands(page):
        words = shortened(command)
        assert words[0] == "linnet", f"{page}: a block marked sh holds commands of linnet, not {command!r}"
        missing = [word for word in words if word.endswith(".yaml") and not Path(word).exists()]
        assert not missing, f"{page}: {missing} is not there"
        if any("shakespeare" in word for word in words):  # its text is not in the repository
            words += ["--set", "data.sources.0.path=book.txt"]
        with typed(words):
            try:
                cli.main()
                code = 0
            except SystemExit as end:
                code = end.code or 0
        printed = capsys.readouterr()
        ran = f"{page}: `{command}`, run as `{shlex.join(words)}`, ended with {code}"
        assert code == 0, f"{ran}:\n{printed.out[-2000:]}\n{printed.err}"


@pytest.mark.parametrize("page", [page for page in with_blocks("python") if page not in TESTED_ELSEWHERE])
def test_python_runs(page: str, workplace: Path) -> None:
    names = {"__name__": "page"}
    for block in blocks(ROOT / page, "python"):
        exec(compile(shortened_python(block), page, "exec"), names)


@pytest.mark.parametrize("page", with_blocks("yaml"))
def test_run_files_are_valid(page: str) -> None:
    for block in blocks(ROOT / page, "yaml"):
        table = parse_yaml(block, name=page)
        load(RunSpec, {"data": {"sources": [{"kind": "stories"}]}} | table, path=page)


@pytest.mark.parametrize("page", list(TESTED_ELSEWHERE))
def test_pages_tested_elsewhere_are(page: str) -> None:
    assert Path(page).name in (ROOT / TESTED_ELSEWHERE[page]).read_text("utf-8")

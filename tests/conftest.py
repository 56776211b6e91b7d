"""Shared by all tests: where real data may lie, a quiet, small torch, and the errors that were measured, which are shown after the run."""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import astuple
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch

from equivalence import MEASURED, Hold, Measured, insist, page
from linnet.ops.kernels import VECTORS, limit_vectors, vectors_in_use

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


@pytest.fixture(autouse=True)
def _commands_begin_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that a test runs in this process began with the test, not when its module was first loaded."""
    if (main := sys.modules.get("linnet.cli.main")) is not None:
        monkeypatch.setattr(main, "BEGAN", time.perf_counter())


@pytest.fixture(params=list(product(VECTORS, (1, 2))), ids=lambda p: f"{p[0]}, {p[1]} threads")
def anywhere(request: pytest.FixtureRequest) -> Iterator[None]:
    """Each kind of vectors that this processor has, with one thread and with two."""
    vectors, threads = request.param
    try:
        limit_vectors(vectors)
        if vectors_in_use() != vectors:
            pytest.skip(f"this processor has no {vectors}")
        torch.set_num_threads(threads)
        yield
    finally:
        limit_vectors()
        torch.set_num_threads(1)


@pytest.fixture
def hold(request: pytest.FixtureRequest) -> Hold:
    """hold(law, error, tolerance): insist on it, and write it down for the page. Of what it was says the test's `name`, or its file's."""
    callspec, file = getattr(request.node, "callspec", None), request.node.path.stem.removeprefix("test_").removesuffix("_model")
    name = str(callspec.params.get("name", "")) if callspec else ""
    of_a_family = request.node.path.parent.name == "parity" and not name.startswith(file) and file != "huggingface"
    return partial(insist, subject=f"{file} {name}".strip() if of_a_family or not name else name)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--equivalence", type=Path, metavar="FILE", help="write what was measured to this page, if no test fails")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if (tell := getattr(session.config, "workeroutput", None)) is not None:  # one of several processes: the first one shows it
        tell["measured"] = [astuple(row) for row in MEASURED]
        return
    to: Path | None = session.config.getoption("--equivalence")
    if to is not None and exitstatus == 0:
        to.write_text(page(MEASURED), "utf-8")


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """Another process has done its tests: what it measured."""
    MEASURED.extend(Measured(*row) for row in getattr(node, "workeroutput", {}).get("measured", []))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not MEASURED:
        return
    errors: dict[str, list[float]] = defaultdict(list)
    for row in MEASURED:
        errors[row.law].append(row.error)
    terminalreporter.write_sep("-", "laws: largest error, cases")
    for law, measured in sorted(errors.items()):
        terminalreporter.write_line(f"{law:52} {max(measured):9.1e} {len(measured):6}")

"""A run of a second, for tests: a small model, a little text, and the probes of the machine answered by heart."""

from __future__ import annotations

import contextlib
import functools
import shutil
import sys
import tempfile
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from linnet.core.spec import load
from linnet.core.yaml import to_yaml
from linnet.train.probe import Probe
from linnet.train.run import Result, train
from linnet.train.spec import RunSpec

TINY: dict[str, Any] = {
    "data": {"sources": [{"kind": "stories", "count": 24}], "validation": 0.15},
    "tokenizer": {"kind": "byte"},
    "model": {"kind": "linnet", "n_layers": 2, "n_heads": 2, "d_model": 16, "context_length": 24, "dropout": 0.1},
    "train": {"steps": 12, "batch_size": 3, "threads": 1},
    "validation": {"every": 4, "batches": 1},
    "checkpoint": {"every": 2},
    "sample": {"tokens": 4},
}


def tiny(**changes: Any) -> dict[str, Any]:
    """The table of a tiny run; `train__steps=3` changes one value of it, `model={…}` a whole part."""
    table = deepcopy(TINY)
    for path, value in changes.items():
        node, *keys = table, *path.split("__")
        for key in keys[:-1]:
            node = node.setdefault(key, {})
        node[keys[-1]] = value
    return table


@contextlib.contextmanager
def no_probes() -> Iterator[pytest.MonkeyPatch]:
    """Say what the machine can do instead of measuring it: half a second less a run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("linnet.train.run.measure_peak", lambda *args, **options: 2e10)
        patch.setattr("linnet.train.run.probe", lambda *args, **options: Probe(0.01, 1e-6, 400 * 2**20, 2**20))
        yield patch


def go(folder: Path, table: dict[str, Any] | None = None, *, resume: bool = False, **options: Any) -> Result:
    """Train `table` in `folder`, quietly, without probes."""
    table = TINY if table is None else table
    with no_probes():
        return train(load(RunSpec, table), folder, asked=table, resume=resume, quiet=True, **options)


def write_yaml(path: Path, table: Any) -> Path:
    """A run file."""
    path.write_text(to_yaml(table), "utf-8")
    return path


@functools.cache
def _trained() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="linnet-tests-")) / "run"
    go(folder)
    return folder


def trained_copy(folder: Path) -> Path:
    """A finished tiny run, trained once for all tests and copied to `folder`."""
    shutil.copytree(_trained(), folder)
    return folder


def linnet(capsys: pytest.CaptureFixture[str], *words: str | Path) -> tuple[int, str, str]:
    """The real command line in this process: exit code, standard output, standard error."""
    from linnet.cli.main import main

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["linnet", *map(str, words)])
        try:
            main()
            code: Any = 0
        except SystemExit as leaving:
            code = leaving.code
    written = capsys.readouterr()
    return int(code or 0), written.out, written.err

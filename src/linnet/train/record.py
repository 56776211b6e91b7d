"""What a run folder records of its run, and whose it is while one process trains in it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from linnet.core.errors import ConfigError, LinnetError, explain, listing
from linnet.core.files import make_folder
from linnet.core.spec import dump, load
from linnet.core.yaml import read_yaml
from linnet.train.spec import RunSpec


def read_run(folder: Path) -> RunSpec:
    """The resolved spec of a run folder."""
    return load(RunSpec, read_record(folder)["resolved"], name=f"{folder}/run.yaml")


def read_record(folder: Path) -> dict[str, Any]:
    """run.yaml: what was asked, what it came to ('resolved'), the fingerprint of its prepared 'data', and what goes with the 'weights' it began from."""
    table = read_yaml(Path(folder) / "run.yaml")
    if not isinstance(table, dict) or "resolved" not in table:
        raise ConfigError(explain(f"{folder}/run.yaml has no 'resolved' part", need="the run.yaml that linnet train wrote"))
    return table


def check_same(asked: Any, now: RunSpec, before: RunSpec, folder: Path) -> None:
    """Raise ConfigError where a resume asks for anything that the run in `folder` is not; what is not said may differ."""
    found: list[str] = []

    def compare(asked: Any, now: Any, before: Any, path: str) -> None:
        if isinstance(asked, dict) and isinstance(now, dict) and isinstance(before, dict):
            for key in asked:
                compare(asked[key], now.get(key), before.get(key), f"{path}.{key}" if path else key)
        elif isinstance(asked, str) and isinstance(now, dict) and isinstance(before, dict):  # a word alone: its kind
            compare({"kind": asked}, now, before, path)
        elif asked is not None and now != before:
            found.append(f"{path} = {now!r}; the run has {before!r}")

    compare(asked, dump(now), dump(before), "")
    if found:
        hint = f"the run in {folder} goes on as it was begun: linnet train {folder} --resume, or another --out"
        raise ConfigError(listing([*found, f"try: {hint}"], f"{folder} holds another run than this one"))


BEFORE_IT_BEGINS = {".lock", "data", "yardsticks.json"}  # what a folder holds until run.yaml says what the run is


def never_began(folder: Path) -> bool:
    """Whether a folder holds nothing but an attempt: text that was read, and a lock that nobody holds."""
    if not (folder / ".lock").is_file() or not {path.name for path in folder.iterdir()} <= BEFORE_IT_BEGINS:
        return False
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    lock.release()
    return True


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a run folder; two processes never write one run."""
    make_folder(folder)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise LinnetError(
            explain(f"{folder} is being trained by another process", need="one process a run", hint="another --out")
        ) from error
    try:
        yield
    finally:
        lock.release()

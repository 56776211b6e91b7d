"""A run up to its first step: the text is read, all that was left open is chosen, a few steps are timed. Nothing is trained.

It is the run itself (train/run.py) in a folder that is gone afterwards, so that what is said here is what would happen.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

from linnet.core.files import existing_parent, explained_disk_errors
from linnet.train.begin import begun_from
from linnet.train.run import Run
from linnet.train.spec import RunSpec
from linnet.train.talk import Talk


def rehearse(spec: RunSpec, folder: Path, *, asked: Any, talk: Talk, began: float | None = None) -> Run:
    """Say what a run in `folder` would do and need. Gives the run, sized up: its `spec`, `cost`, `estimate`; its text is gone.

    Raises what the run would raise. The folder itself is not made: a temporary one beside it holds the text meanwhile.
    """
    with (
        explained_disk_errors(folder),
        tempfile.TemporaryDirectory(prefix=".plan-", dir=existing_parent(folder.parent), ignore_cleanup_errors=True) as place,
    ):
        run = Run(begun_from(spec), Path(place), asked, False, talk, time.perf_counter() if began is None else began)
        run.read()
        run.size_up()
        run.announce()
    return run

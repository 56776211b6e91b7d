"""The runs of a comparison, some at a time, each in its own process; what has come to an end before is not run again.

    trials → those without an outcome → processes (compare/trial.py) → outcomes

Ctrl-C asks all of them to save and waits for it; a kill of this process has the same effect, for they notice. Either way the same command goes
on with what is missing, and a run with a budget of time has what it had not used.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from linnet.compare.question import Trial
from linnet.core.files import make_folder, write_json

EVERY = 0.25  # seconds between looks
ENDS = ("finished", "early stop", "diverged")  # outcomes that another attempt would not change
Tell = Callable[[Sequence[Trial], dict[Trial, float]], None]  # trials that run, and the share that each has done


def outcome_of(trial: Trial) -> dict[str, Any] | None:
    """What came of a trial; None where nothing has yet."""
    try:
        found = json.loads(trial.outcome.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and "why" in found else None


def is_done(trial: Trial) -> bool:
    """Whether there is nothing left to try."""
    found = outcome_of(trial)
    return found is not None and found["why"] in ENDS


def done_share(trial: Trial) -> float:
    """How far a trial is, from 0 to 1, by the last line of its timings."""
    if is_done(trial):
        return 1.0
    line = last_line(trial.folder / "timings.jsonl")
    if trial.seconds is not None:
        return min(1.0, line.get("seconds", 0.0) / trial.seconds)
    return min(1.0, line.get("step", 0) / (trial.table["train"]["steps"] or 1))


def last_line(path: Path) -> dict[str, Any]:
    """The last whole line of a file of JSON objects; empty where there is none."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, path.stat().st_size - 2048))
            lines = file.read().split(b"\n")[:-1]
        found = json.loads(lines[-1])
    except (OSError, ValueError, IndexError):
        return {}
    return found if isinstance(found, dict) else {}


def race(trials: Sequence[Trial], at_once: int, tell: Tell) -> None:
    """Run what has no outcome yet. Raises KeyboardInterrupt, once all have saved, where it was asked to stop."""
    waiting = [trial for trial in trials if not is_done(trial)]
    for trial in waiting:
        trial.outcome.unlink(missing_ok=True)  # of an attempt that failed
    running: dict[Trial, subprocess.Popen[bytes]] = {}
    with leaving_together(running):
        while waiting or running:
            while waiting and len(running) < at_once:
                trial = waiting.pop(0)
                running[trial] = start(trial)
            time.sleep(EVERY)
            for trial, process in list(running.items()):
                if process.poll() is not None:
                    del running[trial]
                    close(trial, process)
            tell(list(running), {trial: done_share(trial) for trial in trials})


def start(trial: Trial) -> subprocess.Popen[bytes]:
    """Its process, with what it is to do on standard input, which then stays open."""
    make_folder(trial.folder.parent)
    order = {
        "folder": str(trial.folder), "table": trial.table, "seconds": trial.seconds, "threads": trial.threads, "outcome": str(trial.outcome)
    }  # fmt: skip
    environment = os.environ.copy()
    if trial.threads is not None:
        environment["OMP_NUM_THREADS"] = str(trial.threads)  # also for what begins before torch is told
    with open(trial.log, "ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "linnet.compare.trial"], stdin=subprocess.PIPE, stdout=log, stderr=log, env=environment,
            start_new_session=True,  # Ctrl-C is for the parent, which passes it on once
        )  # fmt: skip
    assert process.stdin is not None
    with suppress(BrokenPipeError):
        process.stdin.write((json.dumps(order) + "\n").encode())
        process.stdin.flush()
    return process


def close(trial: Trial, process: subprocess.Popen[bytes]) -> None:
    """Let go of a process that has ended; one that said nothing of its end has failed."""
    assert process.stdin is not None
    with suppress(BrokenPipeError):
        process.stdin.close()
    if process.returncode != 0 and outcome_of(trial) is None:
        said = trial.log.read_text("utf-8", errors="replace").strip().splitlines()
        how = f"killed by signal {-process.returncode}" if process.returncode < 0 else f"ended with {process.returncode}"
        write_json(trial.outcome, {"why": "failed", "message": f"{how}: {said[-1] if said else trial.log}"})


@contextmanager
def leaving_together(running: dict[Trial, subprocess.Popen[bytes]]) -> Iterator[None]:
    """Whatever ends this block ends the processes in it: each saves, and is waited for. A second Ctrl-C does not wait."""
    try:
        yield
    finally:
        for process in running.values():
            assert process.stdin is not None
            with suppress(BrokenPipeError):
                process.stdin.close()
        try:
            for process in running.values():
                process.wait()
        except KeyboardInterrupt:
            for process in running.values():
                process.kill()
            raise

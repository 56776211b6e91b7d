"""Kill a run again and again, let it go on, and compare: the end has to be the same, byte for byte.

    python scripts/kill_resume.py --kills 50

One run is left alone. Others are killed with SIGKILL, which no program can answer: at any moment (reading, training,
writing the model), while a checkpoint is being written, and before a file operation picked by lot (open, mkdir, rename,
remove); then they are started again until they end. Weights, the last checkpoint's optimizer, metrics and written text
are compared with those of the run that was left alone. Each sitting is a fork of this process, which has done nothing
but import linnet: that saves the seconds of a fresh interpreter (and needs a system that can fork).
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

ASKED: dict[str, Any] = {
    "data": {"sources": [{"kind": "stories", "count": 40}], "validation": 0.1},
    "tokenizer": {"kind": "bpe", "vocab_size": 300},
    "model": {"kind": "linnet", "n_layers": 2, "n_heads": 2, "d_model": 32, "context_length": 32, "dropout": 0.1},
    "optimizer": {"kind": "muon"},  # Muon for the matrices, AdamW for the rest
    "train": {"steps": 60, "batch_size": 4, "threads": 1},
    "validation": {"every": 10, "batches": 2},
    "checkpoint": {"every": 4},
    "sample": {"tokens": 16},
}
KINDS = ("any moment", "in a save", "a file operation")
OPERATIONS = {"os.rename", "os.mkdir", "os.remove", "os.rmdir", "shutil.rmtree"}  # audit events; writing `open`s are added
ROOT_FILES = ("model.safetensors", "tokenizer.json", "manifest.json", "evaluation.json", "metrics.jsonl", "written.txt")


def differences(left: Path, right: Path) -> list[str]:
    """What of two runs' outcome is not the same, byte for byte."""
    last = [max((run / "checkpoints").glob("step-????????"), default=run) for run in (left, right)]
    pairs = [(left / name, right / name) for name in ROOT_FILES]
    pairs += [(last[0] / name, last[1] / name) for name in ("model.safetensors", "optimizer.safetensors")]
    found = [] if last[0].name == last[1].name else [f"the last checkpoint ({last[0].name}, {last[1].name})"]
    for one, other in pairs:
        if not one.is_file() and not other.is_file():
            continue
        if not one.is_file() or not other.is_file() or one.read_bytes() != other.read_bytes():
            found.append(one.relative_to(left).as_posix())
    return found


def train_here(folder: Path, asked: dict[str, Any] = ASKED) -> None:
    """One sitting in this process: begin the run in `folder`, or go on with it; at its end let the model write."""
    import linnet
    from linnet.core.files import write_text
    from linnet.core.spec import load
    from linnet.train.run import train
    from linnet.train.spec import RunSpec

    train(load(RunSpec, asked), folder, asked=asked, resume=True, quiet=True)
    write_text(folder / "written.txt", linnet.load(folder).generate("Once", max_tokens=40, seed=1))


def count_operations(at: Callable[[int], None]) -> None:
    """Call `at` with 1, 2, 3 … before each file operation of this process."""
    done = 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal done
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if event in OPERATIONS or writes:
            done += 1
            at(done)

    sys.addaudithook(hook)


def fork(folder: Path, at: Callable[[int], None] | None = None) -> int:
    """Start a sitting; returns its process id. Its exit status is 0 where the run is done."""
    child = os.fork()
    if child:
        return child
    try:
        if at is not None:
            count_operations(at)
        train_here(folder)
    except BaseException:
        import traceback

        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def wait(child: int, seconds: float | None = None) -> int | None:
    """The exit status of a child, minus the signal that ended it; None where `seconds` went by before."""
    end = None if seconds is None else time.monotonic() + seconds
    while True:
        done, status = os.waitpid(child, 0 if end is None else os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if end is not None and time.monotonic() >= end:
            return None
        time.sleep(0.002)


def kill(child: int) -> int:
    """End a child at once; returns its status, which is 0 where it was done just before."""
    os.kill(child, signal.SIGKILL)
    status = wait(child)
    assert status is not None
    return status


def sit(folder: Path, kind: str, luck: random.Random, seconds: float, operations: int) -> int:
    """One sitting that is killed if it lives long enough: 0 where the run was done, -9 where it was killed."""
    if kind == "a file operation":
        fatal = luck.randint(1, operations)
        return wait(fork(folder, lambda n: os.kill(os.getpid(), signal.SIGKILL) if n == fatal else None)) or 0
    child = fork(folder)
    if kind == "any moment":
        status = wait(child, luck.uniform(0, seconds))
        return kill(child) if status is None else status
    saves, was_writing = luck.randint(1, 8), False  # the last of so many is cut short
    while (status := wait(child, 0)) is None:
        writing = any((folder / "checkpoints").glob("*.writing"))
        saves -= writing and not was_writing
        was_writing = writing
        if saves <= 0:
            time.sleep(luck.uniform(0, 0.03))
            return kill(child)
    return status


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0, help="decides where the kills are aimed")
    parser.add_argument("--folder", type=Path, help="where the runs are kept; without it they are deleted at the end")
    options = parser.parse_args()
    if not hasattr(os, "fork"):
        print("this script forks, which this system cannot; needed: Linux or macOS")
        return 2
    with tempfile.TemporaryDirectory() as temporary:
        return torture(options.kills, random.Random(options.seed), options.folder or Path(temporary))


def torture(kills: int, luck: random.Random, place: Path) -> int:
    """The whole procedure; 0 where every run ended as the one that was left alone."""
    for module in ("linnet.train.run", "linnet.language_model", "torch._dynamo", "torch.utils.tensorboard"):
        with contextlib.suppress(ImportError):
            importlib.import_module(module)  # before the first fork, so that no sitting pays for it

    alone, counter = place / "alone", place / "operations"
    began = time.monotonic()
    tally = os.open(counter, os.O_WRONLY | os.O_CREAT)
    status = wait(fork(alone, lambda n: os.truncate(tally, n)))
    seconds, operations = time.monotonic() - began, int(counter.stat().st_size)
    if status != 0:
        print(f"the run that was to be left alone failed (status {status})")
        return 1
    print(f"left alone: {seconds:.1f} s, {operations} file operations", flush=True)
    killed: Counter[str] = Counter()
    torn = runs = bad = 0
    folder = place / "run-1"
    while True:
        over = killed.total() >= kills
        kind = KINDS[(killed.total() + runs) % len(KINDS)]
        status = wait(fork(folder)) if over else sit(folder, kind, luck, seconds, operations)
        if status == -signal.SIGKILL:
            killed[kind] += 1
            half = sorted((path.relative_to(folder).as_posix() for path in folder.rglob("*.writing")), key=len)
            torn += bool(half)
            done = max((path.name for path in (folder / "checkpoints").glob("step-????????")), default="no checkpoint")
            rest = f" · half written: {half[0]}" if half else ""
            print(
                f"  kill {killed.total():3d} of {kills} · {kind:16s} · run {runs + 1} at {done}{rest}",
                flush=True,
            )
            continue
        found = [f"exit status {status}"] if status else differences(alone, folder)
        runs, bad = runs + 1, bad + bool(found)
        print(f"  run {runs} ended: {'DIFFERENT: ' + ', '.join(found) if found else 'identical'}", flush=True)
        if over:
            break
        folder = place / f"run-{runs + 1}"
    print(f"\n{'killed':20s}kills")
    for kind in KINDS:
        print(f"{kind:20s}{killed[kind]:5d}")
    print(f"{'together':20s}{killed.total():5d}   of them {torn} left something half written")
    print(f"{runs} runs came of them in {time.monotonic() - began:.0f} s: {runs - bad} identical, {bad} different")
    return 1 if bad else 0


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: a fork keeps no threads of its parent
    sys.exit(main())

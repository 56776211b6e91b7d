"""One run of a comparison, in a process of its own: `python -m linnet.compare.trial`, which its parent starts and feeds.

    standard input   a line of JSON: folder, table, seconds, threads, outcome; then nothing, for as long as the parent lives

Where the parent goes, however it goes, standard input ends, and the run saves and leaves: nothing trains on unseen. A process of its own has
its own threads, its own peak of memory, and takes nobody with it when it fails.
"""

from __future__ import annotations

import json
import shutil
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from linnet.core.errors import DivergedError, LinnetError

INTERRUPTED = 130
WAIT = 120.0  # seconds for a run that another process is just leaving


def main() -> None:
    order = json.loads(sys.stdin.readline())
    threading.Thread(target=leave_with_parent, daemon=True).start()
    sys.exit(0 if carry_out(order) else INTERRUPTED)


def leave_with_parent() -> None:
    """Ask this process to save and leave when standard input ends."""
    sys.stdin.read()
    signal.raise_signal(signal.SIGTERM)


def carry_out(order: dict[str, Any]) -> bool:
    """Train, or go on training, and write down what came of it; False where the run was interrupted."""
    import torch

    from linnet.core.files import make_folder, write_json
    from linnet.core.spec import load
    from linnet.train.machine import peak_memory_bytes
    from linnet.train.run import train
    from linnet.train.spec import RunSpec

    folder, outcome = Path(order["folder"]), Path(order["outcome"])
    peak = folder.parent / f"{folder.name}.memory"  # of earlier sittings
    if order["threads"] is not None:
        torch.set_num_threads(order["threads"])
    make_folder(folder)
    wait_for(folder)
    found: dict[str, Any] = {}
    try:
        spec = load(RunSpec, order["table"])
        result = train(spec, folder, asked=order["table"], resume=True, quiet=True, seconds=order["seconds"])
        if result.why != "interrupted":
            found = {"why": result.why, "step": result.step, "loss": result.loss, "bits_per_byte": result.bits_per_byte}
    except DivergedError as error:
        found = {"why": "diverged", "message": str(error)}
    except LinnetError as error:
        found = {"why": "failed", "message": str(error)}
    memory = max(peak_memory_bytes(), int(peak.read_text()) if peak.is_file() else 0)
    if not found:
        peak.write_text(str(memory))
        return False
    write_json(outcome, found | {"memory_bytes": memory})
    peak.unlink(missing_ok=True)
    if found["why"] == "finished":
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)  # what they were for is done; the model stays
    return True


def wait_for(folder: Path) -> None:
    """Wait while another process holds the run: one whose parent was killed is still saving."""
    from filelock import FileLock, Timeout

    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=WAIT)
    except Timeout:
        return  # the run itself will say who holds it
    lock.release()


if __name__ == "__main__":
    main()

"""Who does the work: this process, others on this machine, or a cluster through Ray. What comes out is the same.

    engine(units)  →  (number of the unit, event), …, (number, None) when a unit is done

A worker is this file run by another interpreter. It is told one unit a line, as JSON, and answers with a line an event; nothing
is pickled, and a worker whose master was killed ends with its next word.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import linnet.core.errors as errors
from linnet.core.errors import LinnetError, explain
from linnet.core.extras import need
from linnet.data.work import Event, Unit, Work
from linnet.tokenizer.native import n_cores

Engine = Literal["auto", "here", "processes", "ray"]
Told = Iterator[tuple[int, Event | None]]

FEW_BYTES = 2**25  # so little text is read before other processes have started


class WorkerLost(LinnetError):
    """A worker ended without a word; what was done so far is kept."""


class Here:
    """One unit after the other, in this process."""

    def __init__(self, work: Work) -> None:
        self.work = work

    def __call__(self, units: Sequence[Unit]) -> Told:
        for number, unit in enumerate(units):
            for event in self.work.do(unit):
                yield number, event
            yield number, None

    def close(self) -> None:
        """Nothing to do."""


class Processes:
    """Several workers on this machine, each with one unit at a time; those that come first are given out first."""

    def __init__(self, work: Work, n: int) -> None:
        self.setup = json.dumps(work.to_json()) + "\n"
        self.n = n
        self.workers: list[subprocess.Popen[str]] = []

    def __call__(self, units: Sequence[Unit]) -> Told:
        waiting = deque(enumerate(units))
        events: queue.Queue[tuple[int, Event | None]] = queue.Queue()
        while len(self.workers) < min(self.n, len(units)):
            self.workers.append(self.start())
        for worker in self.workers:
            threading.Thread(target=serve, args=(worker, waiting, events), daemon=True).start()
        left = len(units)
        while left:
            number, event = events.get()
            if event is not None and "error" in event:
                waiting.clear()
                raise as_exception(event)
            left -= event is None
            yield number, event

    def start(self) -> subprocess.Popen[str]:
        """Another worker, which knows what it works on."""
        command = [sys.executable, "-m", "linnet.data.engine"]
        worker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8")
        assert worker.stdin is not None
        worker.stdin.write(self.setup)
        worker.stdin.flush()
        return worker

    def close(self) -> None:
        """End all workers."""
        for worker in self.workers:
            worker.kill()
        for worker in self.workers:
            worker.wait()
            for pipe in (worker.stdin, worker.stdout):
                assert pipe is not None
                pipe.close()
        self.workers.clear()


def serve(worker: subprocess.Popen[str], waiting: deque[tuple[int, Unit]], events: queue.Queue[tuple[int, Event | None]]) -> None:
    """Give one worker units until there are none left, and pass on what it says."""
    assert worker.stdin is not None
    assert worker.stdout is not None
    while waiting:
        try:
            number, unit = waiting.popleft()
        except IndexError:
            return
        try:
            worker.stdin.write(json.dumps(unit) + "\n")
            worker.stdin.flush()
            for line in worker.stdout:
                event = json.loads(line)
                events.put((number, event))
                if event is None or "error" in event:
                    break
            else:
                raise BrokenPipeError
        except (OSError, ValueError):
            code = worker.wait()
            got = f"a process that prepares data ended with code {code}" + (
                " (killed, perhaps for its memory)" if code == -9 else ""
            )
            message = explain(
                got,
                need="it to finish",
                hint="the same command again, which goes on where this one stopped, with fewer --workers",
            )
            events.put((number, {"error": "WorkerLost", "message": message}))
            return


def as_exception(event: Event) -> Exception:
    """What a worker raised."""
    if event["error"] == "WorkerLost":
        return WorkerLost(event["message"])
    kind = getattr(errors, event["error"], None)
    if isinstance(kind, type) and issubclass(kind, LinnetError):
        return kind(event["message"])
    if event["error"] == "OSError":
        return OSError(event["number"], event["message"])
    return RuntimeError(event["message"])


def as_event(error: BaseException) -> Event:
    """An exception as JSON."""
    if isinstance(error, LinnetError):
        return {"error": type(error).__name__, "message": str(error)}
    if isinstance(error, OSError) and error.errno is not None:
        return {"error": "OSError", "number": error.errno, "message": error.strerror}
    import traceback

    return {"error": type(error).__name__, "message": "".join(traceback.format_exception(error))}


class Ray:
    """A cluster, through Ray Data: every unit is a row. All machines see the folder where the work is done."""

    def __init__(self, work: Work) -> None:
        self.ray = need("ray", extra="ray", to="prepare data on a cluster")
        self.data = need("ray.data", extra="ray", to="prepare data on a cluster")
        self.setup = work.to_json()
        if not self.ray.is_initialized():
            self.ray.init(log_to_driver=False, include_dashboard=False)

    def __call__(self, units: Sequence[Unit]) -> Told:
        setup = json.dumps(self.setup)
        rows = [{"number": number, "setup": setup, "unit": json.dumps(unit)} for number, unit in enumerate(units)]
        done = self.data.from_items(rows, override_num_blocks=len(rows)).map(row_done)
        for row in done.iter_rows():
            for event in json.loads(row["events"]):
                if "error" in event:
                    raise as_exception(event)
                yield row["number"], event
            yield row["number"], None

    def close(self) -> None:
        """The cluster is left as it is."""


def row_done(row: dict[str, Any]) -> dict[str, Any]:
    """A unit and everything that came of it, for Ray."""
    events: list[Event] = []
    try:
        for event in Work.from_json(json.loads(row["setup"])).do(json.loads(row["unit"])):
            if "bytes" not in event:
                events.append(event)
    except Exception as error:  # passed on as what it is
        events.append(as_event(error))
    return {"number": row["number"], "events": json.dumps(events)}


def engine_for(kind: Engine, work: Work, workers: int | None, *, alone: bool, n_bytes: int | None) -> Here | Processes | Ray:
    """Who is to do the work.

    workers   processes; None: one a core
    alone     whether only this process knows the sources and the tokenizer
    n_bytes   how much text there is, if that is known: a little is read before others have started
    """
    n = workers or n_cores()
    if kind == "ray":
        return Ray(work)
    if kind == "processes" or (kind == "auto" and not alone and n > 1 and (n_bytes is None or n_bytes > FEW_BYTES)):
        return Processes(work, n)
    return Here(work)


def main() -> None:
    """A worker: the first line says what all units belong to, every other one is a unit."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who is interrupted is the master
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever prints must not speak in between
    work: Work | None = None
    for line in sys.stdin:
        if work is None:
            work = Work.from_json(json.loads(line))
            continue
        try:
            for event in work.do(json.loads(line)):
                print(json.dumps(event), file=answers, flush=True)
            print("null", file=answers, flush=True)
        except BrokenPipeError:
            os._exit(1)  # the master is gone
        except Exception as error:  # passed on as what it is
            print(json.dumps(as_event(error)), file=answers, flush=True)


if __name__ == "__main__":
    main()

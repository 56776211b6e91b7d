"""Who does the work: this process, others on this machine, or a cluster through Ray. What comes out is the same.

    engine(units)  →  (number of the unit, event), …, (number, None) when a unit is done

A worker is told one unit a line, as JSON, and answers with a line an event; nothing is pickled, and a worker whose master was
killed ends with its next word.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import logging
import os
import queue
import signal
import subprocess
import sys
import threading
import uuid
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import IO, Any, BinaryIO, Literal, NoReturn

import linnet.core.errors as errors
from linnet.core.errors import LinnetError, explain
from linnet.core.extras import need
from linnet.data.work import Event, Unit, Work
from linnet.tokenizer.native import n_cores

Engine = Literal["auto", "here", "processes", "ray"]
Told = Iterator[tuple[int, Event | None]]

AGAIN = "the same command again, which goes on where this one stopped"
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
KEPT_BYTES = 2**26  # twice the largest M_MMAP_THRESHOLD that all of its versions take
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


class Worker:
    """Another process that works; it is given a unit a line, and answers with a line an event.

    It is a copy of this one where that is safe: nothing has to be imported or loaded again. Where torch has started threads of its
    own, which a copy would lack, it is another interpreter.
    """

    told: IO[bytes]
    answers: IO[bytes]

    def __init__(self, work: Work, others: Sequence[Worker]) -> None:
        if hasattr(os, "fork") and "torch" not in sys.modules and threading.active_count() == 1:
            reads, told = os.pipe()
            answers, says = os.pipe()
            self.process: subprocess.Popen[bytes] | None = None
            self.pid = os.fork()
            if not self.pid:
                for other in others:  # or none of them would notice that this process has ended
                    os.close(other.told.fileno())
                    os.close(other.answers.fileno())
                os.close(told)
                os.close(answers)
                as_copy(work, reads, says)
            os.close(reads)
            os.close(says)
            self.told, self.answers = os.fdopen(told, "wb"), os.fdopen(answers, "rb")
            return
        command = [sys.executable, "-m", "linnet.data.engine"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.pid, self.told, self.answers = self.process.pid, self.process.stdin, self.process.stdout
        self.tell(work.to_json())

    def tell(self, what: Unit) -> None:
        """A line for it."""
        self.told.write(json.dumps(what).encode("utf-8") + b"\n")
        self.told.flush()

    def wait(self) -> int:
        """Its exit code, when it has ended: below 0 for the signal that ended it."""
        return self.process.wait() if self.process is not None else os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def end(self) -> None:
        """Kill it."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            self.wait()
        for pipe in (self.told, self.answers):
            with contextlib.suppress(OSError):
                pipe.close()


class Processes:
    """Several workers on this machine, each with one unit at a time; those that come first are given out first."""

    def __init__(self, work: Work, n: int) -> None:
        self.work, self.n = work, n
        self.workers: list[Worker] = []

    def __call__(self, units: Sequence[Unit]) -> Told:
        waiting = deque(enumerate(units))
        events: queue.Queue[tuple[int, Event | None]] = queue.Queue()
        while len(self.workers) < min(self.n, len(units)):
            self.workers.append(Worker(self.work, self.workers))
        threads = [threading.Thread(target=serve, args=(worker, waiting, events), daemon=True) for worker in self.workers]
        for thread in threads:
            thread.start()
        left = len(units)
        while left:
            number, event = events.get()
            if event is not None and "error" in event:
                waiting.clear()
                raise as_exception(event)
            left -= event is None
            yield number, event
        for thread in threads:
            thread.join()

    def renew(self) -> None:
        """Let those that are copies of this process be copied anew, with what it knows by now."""
        for worker in [worker for worker in self.workers if worker.process is None]:
            worker.end()
            self.workers.remove(worker)

    def close(self) -> None:
        """End all workers."""
        for worker in self.workers:
            worker.end()
        self.workers.clear()


def serve(worker: Worker, waiting: deque[tuple[int, Unit]], events: queue.Queue[tuple[int, Event | None]]) -> None:
    """Give one worker units until there are none left, and pass on what it says."""
    while waiting:
        try:
            number, unit = waiting.popleft()
        except IndexError:
            return
        try:
            worker.tell(unit)
            for line in worker.answers:
                event = json.loads(line)
                events.put((number, event))
                if event is None or "error" in event:
                    break
            else:
                raise BrokenPipeError
        except (OSError, ValueError):
            try:
                code = worker.wait()
            except ChildProcessError:
                return  # the master has ended it, and waits for nothing
            killed = " (killed, perhaps for its memory)" if code == -signal.SIGKILL else ""
            message = explain(
                f"a process that prepares data ended with code {code}{killed}",
                need="it to finish",
                hint=f"{AGAIN}, with fewer --workers",
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
    """A cluster, through Ray Data: every unit is a row. All machines see the folder where the work is done.

    n   processors to start Ray with, where it does not run yet; None: as many as there are
    """

    def __init__(self, work: Work, n: int | None) -> None:
        self.ray = need("ray", extra="ray", to="prepare data on a cluster")
        self.data = need("ray.data", extra="ray", to="prepare data on a cluster")
        self.setup = json.dumps({**work.to_json(), "of": uuid.uuid4().hex})  # no other one's, though it may be the same work
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        self.data.DataContext.get_current().enable_progress_bars = False
        self.started = not self.ray.is_initialized()
        if self.started:
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nobody is told
            self.ray.init(num_cpus=n, log_to_driver=False, include_dashboard=False, logging_level=logging.WARNING)

    def __call__(self, units: Sequence[Unit]) -> Told:
        rows = [{"number": number, "setup": self.setup, "unit": json.dumps(unit)} for number, unit in enumerate(units)]
        done = self.data.from_items(rows, override_num_blocks=len(rows)).map(row_done)
        try:
            for row in done.iter_rows():
                for event in json.loads(row["events"]):
                    if "error" in event:
                        raise as_exception(event)
                    yield row["number"], event
                yield row["number"], None
        except self.ray.exceptions.RayError as error:
            lost = f"a Ray worker was lost ({str(error).strip().splitlines()[-1]})"
            raise WorkerLost(explain(lost, need="it to finish", hint=AGAIN)) from error

    def close(self) -> None:
        """Leave the cluster as it was."""
        if self.started:
            self.ray.shutdown()


@lru_cache(1)
def work_of(setup: str) -> Work:
    """What all units of a worker share: a tokenizer, evaluation texts."""
    return Work.from_json(json.loads(setup))


def row_done(row: dict[str, Any]) -> dict[str, Any]:
    """A unit and everything that came of it, for Ray."""
    events: list[Event] = []
    try:
        for event in work_of(row["setup"]).do(json.loads(row["unit"])):
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
    if alone:
        return Here(work)
    if kind == "ray":
        return Ray(work, workers)
    if kind == "processes" or (kind == "auto" and n > 1 and (n_bytes is None or n_bytes > FEW_BYTES)):
        return Processes(work, n)
    return Here(work)


def as_copy(work: Work, reads: int, says: int) -> NoReturn:
    """What a copied process does, until its master has nothing more to say."""
    code = 1
    try:
        answer(work, os.fdopen(reads, "rb"), os.fdopen(says, "wb"))
        code = 0
    finally:
        os._exit(code)  # without what the master would do on leaving


def answer(work: Work, units: Iterable[bytes], answers: BinaryIO) -> None:
    """Do one unit after the other, and tell what comes of each."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who is interrupted is the master
    work.n_threads = 1
    keep_memory()

    def tell(event: Event | None) -> None:
        answers.write(json.dumps(event).encode("utf-8") + b"\n")
        answers.flush()

    for line in units:
        try:
            for event in work.do(json.loads(line)):
                tell(event)
            tell(None)
        except BrokenPipeError:
            return  # the master is gone
        except Exception as error:  # passed on as what it is
            tell(as_event(error))


def keep_memory() -> None:
    """Let what is freed stay with this process, where the C library can be told: the next batch takes as much, and new pages cost as much as
    copying does."""
    with contextlib.suppress(OSError, AttributeError, TypeError):  # another C library
        mallopt = ctypes.CDLL(None).mallopt
        if mallopt(M_MMAP_THRESHOLD, KEPT_BYTES // 2):
            mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)


def main() -> None:
    """A worker in an interpreter of its own: the first line says what all units belong to, every other one is a unit."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever prints must not speak in between
    answer(Work.from_json(json.loads(sys.stdin.buffer.readline())), sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()

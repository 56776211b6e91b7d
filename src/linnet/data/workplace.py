"""The folder in which one corpus is prepared: one process at a time, there again after a kill, gone after success or an error."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from linnet.core.errors import LinnetError
from linnet.core.files import TEMPORARY, explained_disk_errors, make_folder
from linnet.data.engine import WorkerLost
from linnet.data.files import UNFINISHED

Progress = Callable[[float | None, str], None]  # part done, 0 … 1 or None where nobody knows, and what is going on


@contextlib.contextmanager
def made_folder(folder: Path) -> Iterator[None]:
    """A folder, made where it is missing. Where what is done in it raises and leaves nothing there, what was made is gone again."""
    new = [place for place in (folder, *folder.parents) if not place.exists()]
    make_folder(folder)
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):  # something is in it
            for place in new:
                place.rmdir()
        raise


@contextlib.contextmanager
def work_folder(folder: Path, name: str | None, tell: Progress) -> Iterator[Path]:
    """Where the work for one question is done. It stays after a kill, an interruption or the loss of a worker, for whoever
    asks the same again; nothing stays after success or an error, nor where nobody can know that the question is the same
    (name None). Who asks while another process works on it waits for that."""
    for leftover in folder.glob(f"*.*{TEMPORARY}"):
        owner = leftover.name.removesuffix(TEMPORARY).rpartition(".")[2]
        if owner.isdigit() and not psutil.pid_exists(int(owner)):
            shutil.rmtree(leftover, ignore_errors=True)
    place = folder / (f"spool.{os.getpid()}{TEMPORARY}" if name is None else f"{name}{UNFINISHED}")
    with explained_disk_errors(place):
        if name is None:
            shutil.rmtree(place, ignore_errors=True)
        lock = _locked(place, tell)
        try:
            yield place
        except (LinnetError, OSError) as error:
            if name is None or not isinstance(error, WorkerLost):
                shutil.rmtree(place, ignore_errors=True)
            raise
        except BaseException:
            if name is None:
                shutil.rmtree(place, ignore_errors=True)
            raise
        else:
            shutil.rmtree(place, ignore_errors=True)
        finally:
            lock.release()


def sweep_unfinished(place: Path) -> None:
    """Delete a work folder whose work is done, which a kill at the very end has left, unless somebody is in it."""
    with contextlib.suppress(Timeout, OSError), FileLock(place / "lock", timeout=0):
        shutil.rmtree(place, ignore_errors=True)


def unfinished(folder: Path) -> list[Path]:
    """The work folders that kills have left, for whoever asks the same again."""
    return sorted(folder.glob(f"*{UNFINISHED}"))


def _locked(place: Path, tell: Progress) -> FileLock:
    """The lock of a work folder, once it is this process's; what it was made for may be there by then."""
    waits = False
    while True:
        place.mkdir(exist_ok=True)
        lock = FileLock(place / "lock")
        with contextlib.suppress(Timeout, FileNotFoundError):  # the second: whoever had it has just deleted the folder
            lock.acquire(timeout=int(waits))
        if lock.is_locked:
            if (place / "lock").exists():
                return lock
            lock.release()
        elif not waits:
            tell(None, "another process prepares the same: waiting for it")
        waits = True

"""Files that are whole or absent: written under a temporary name, synced, renamed.

A reader never sees half a file and a crash never costs the old one, because `os.replace` is atomic on one file
system. Only JSON, YAML and safetensors are ever read back: no pickle anywhere.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from linnet.core.errors import LinnetError, explain

if TYPE_CHECKING:
    from torch import Tensor

TEMPORARY = ".writing"  # suffix of everything that is not finished; such names may be deleted at any time


def sync_file(path: Path) -> None:
    """Make what was written into a file, by whichever process, survive a power cut."""
    with open(path, "rb") as handle:
        os.fsync(handle.fileno())


def sync_folder(folder: Path) -> None:
    """Make renames inside `folder` survive a power cut (POSIX; a no-op where folders cannot be opened)."""
    with contextlib.suppress(OSError, PermissionError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextlib.contextmanager
def explained_disk_errors(target: Path) -> Iterator[None]:
    """Turn 'no space left', 'permission denied' and the like into an error that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            free = shutil.disk_usage(existing_parent(target)).free
            what = "a file grew over the allowed size" if error.errno == errno.EFBIG else "the disk is full"
            raise LinnetError(
                explain(
                    f"{what}: {target} could not be written ({free / 2**20:,.0f} MiB free)",
                    need="room for it; what was there before is untouched",
                    hint="free some space, or another --out folder",
                )
            ) from error
        nowhere = error.errno == errno.ENOENT and error.filename == str(temporary_name(target))  # where files cannot be made
        if nowhere or error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.EISDIR, errno.ENAMETOOLONG):
            got = f"{target} cannot be written ({error.strerror})"
            raise LinnetError(explain(got, need="a name in a folder that is yours to write", hint="another --out")) from error
        raise


def make_folder(folder: Path) -> None:
    """Make a folder, and those that it is in, where they are not there. Raises LinnetError where that cannot be."""
    with explained_disk_errors(folder):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError, FileNotFoundError) as error:
            there = existing_parent(folder)
            why = error.strerror if there.is_dir() else f"{there} is a file"
            raise LinnetError(
                explain(f"no folder can be made at {folder} ({why})", need="a place for it", hint="another --out")
            ) from error


def existing_parent(path: Path) -> Path:
    """The nearest folder above `path` that exists."""
    path = Path(path).absolute()
    while not path.exists():
        path = path.parent
    return path


def umask() -> int:
    """The permissions that this process takes off new files; the system only tells it on being given another."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def temporary_name(path: Path) -> Path:
    """Where this process writes what is to be called `path`; `sweep` deletes what is left there."""
    return path.with_name(f"{path.name}.{os.getpid()}{TEMPORARY}")


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success sync it and rename it over `path`, else delete it.

    For writers that want a file name of their own, such as safetensors.
    """
    path = Path(path)
    make_folder(path.parent)
    temporary = temporary_name(path)
    with explained_disk_errors(path):
        try:
            yield temporary
            os.chmod(temporary, 0o666 & ~umask())  # some writers make files that nobody else may read
            sync_file(temporary)
            os.replace(temporary, path)
            sync_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


class Unnamed:
    """A file that gets its name when it is whole. It is not synced: whoever relies on it after a power cut does that, or looks whether it is there.

    hashed   whether `close` gives its SHA-256
    """

    def __init__(self, path: Path, *, hashed: bool = False) -> None:
        self.path, self.temporary = path, temporary_name(path)
        self.handle: BinaryIO = open(self.temporary, "wb", buffering=2**20)  # noqa: SIM115
        self.digest = hashlib.sha256() if hashed else None

    def write(self, content: bytes | memoryview) -> None:
        """Append something."""
        if self.digest is not None:
            self.digest.update(content)
        self.handle.write(content)

    def close(self) -> str:
        """Give it its name. Returns the SHA-256, or nothing where it is not hashed."""
        self.handle.close()
        os.replace(self.temporary, self.path)
        return self.digest.hexdigest() if self.digest is not None else ""

    def abandon(self) -> None:
        """Delete it, unless it has its name."""
        self.handle.close()
        self.temporary.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Replace the file at `path` in one step."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    """Replace the file at `path` in one step; UTF-8, line ends as given."""
    write_bytes(path, content.encode("utf-8"))


def write_json(path: Path, content: Any) -> None:
    """Replace a JSON file in one step; keys keep their order, NaN is refused."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write a safetensors file in place. What the disk refuses is an OSError, as for any other file; safetensors says it
    in words alone."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file  # here: processes that only read text do without torch

    try:
        save_file({name: tensor.detach().contiguous() for name, tensor in tensors.items()}, path, metadata)
    except SafetensorError as error:
        number = re.search(r"os error (\d+)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from error


@contextlib.contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty temporary folder; on success sync everything in it and rename it to `folder`, else delete it.

    `folder` must not exist: a folder cannot be replaced in one step, so callers give each version its own name.
    """
    folder = Path(folder)
    if os.path.lexists(folder):  # a link to nothing, too
        raise FileExistsError(f"{folder} exists; a finished folder is never overwritten")
    make_folder(folder.parent)
    temporary = temporary_name(folder)
    shutil.rmtree(temporary, ignore_errors=True)
    with explained_disk_errors(folder):
        try:
            temporary.mkdir()
            yield temporary
            for file in sorted(temporary.rglob("*")):
                if file.is_file():
                    with open(file, "rb") as handle:
                        os.fsync(handle.fileno())
                else:
                    sync_folder(file)
            sync_folder(temporary)
            os.replace(temporary, folder)
            sync_folder(folder.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def sweep(folder: Path) -> None:
    """Delete what interrupted writers left in `folder` (not in its sub-folders)."""
    for leftover in Path(folder).glob(f"*{TEMPORARY}"):
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)


def sha256_bytes(content: bytes) -> str:
    """Hex SHA-256 of some bytes."""
    return hashlib.sha256(content).hexdigest()


def sha256_file(path: Path) -> str:
    """Hex SHA-256 of a file, read in pieces."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def read_json(path: Path, *, what: str, error: type[LinnetError] = LinnetError) -> Any:
    """Read a JSON file, or raise `error` naming `what` it should have been."""
    try:
        return json.loads(Path(path).read_text("utf-8"))
    except FileNotFoundError as problem:
        raise error(explain(f"{path} does not exist", need=what)) from problem
    except OSError as problem:  # a folder, or a file of somebody else
        raise error(explain(f"{path} cannot be read ({problem.strerror})", need=what)) from problem
    except (ValueError, RecursionError) as problem:  # no JSON, no UTF-8, a number of thousands of digits, nested too deeply
        raise error(explain(f"{path} is not valid JSON ({problem})", need=what, hint="an undamaged copy of it")) from problem

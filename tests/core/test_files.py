"""Files are whole or absent, whatever happens to the writer."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from linnet.core import files
from linnet.core.errors import CheckpointError, LinnetError
from linnet.core.files import (
    atomic_folder,
    atomic_path,
    make_folder,
    read_json,
    sha256_bytes,
    sha256_file,
    sweep,
    write_bytes,
    write_json,
    write_text,
)


class Stop(BaseException):
    """Like a keyboard interrupt: no `except Exception` catches it."""


def fail_after_writing(path: Path, problem: BaseException) -> None:
    path.write_text("half of the n")
    raise problem


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    "problem", [ValueError("x"), Stop(), OSError(errno.ENOSPC, "full"), OSError(errno.EACCES, "no")], ids=repr
)
def test_a_writer_that_fails_leaves_the_old_file(tmp_path: Path, problem: BaseException) -> None:
    target = tmp_path / "a.json"
    write_text(target, "old")
    expected = LinnetError if isinstance(problem, OSError) else type(problem)
    with pytest.raises(expected), atomic_path(target) as temporary:
        fail_after_writing(temporary, problem)
    assert target.read_text() == "old"
    assert names(tmp_path) == ["a.json"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_disk_that_fills_up_while_saving(tmp_path: Path, call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "a.json"
    write_text(target, "old")

    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, call, full)
    with pytest.raises(LinnetError, match=r"the disk is full: .*what was there before is untouched"):
        write_text(target, "new")
    assert target.read_text() == "old"
    assert names(tmp_path) == ["a.json"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_disk_that_fills_up_while_a_folder_is_written(tmp_path: Path, call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, call, full)
    with pytest.raises(LinnetError, match="the disk is full"), atomic_folder(tmp_path / "one") as temporary:
        (temporary / "a").write_text("x")
    assert names(tmp_path) == []


def test_folders_that_cannot_be_made_and_files_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "deep" / "x"):
        with pytest.raises(LinnetError, match=rf"no folder can be made at {folder} \({tmp_path}/file is a file\)"):
            make_folder(folder)
    with pytest.raises(LinnetError, match="no folder can be made"):
        write_text(tmp_path / "file" / "a.json", "x")
    with pytest.raises(LinnetError, match="no folder can be made"), atomic_folder(tmp_path / "file" / "a"):
        pass
    for path, why in ((tmp_path, "directory"), (tmp_path / ("x" * 250), "name too long")):
        with pytest.raises(LinnetError, match=f"(?i)cannot be written .*{why}.*another --out"):
            write_text(path, "x")

    def read_only(*arguments: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(files.os, "mkdir", read_only)
    with pytest.raises(LinnetError, match="Read-only file system"):
        write_text(tmp_path / "b" / "t.json", "x")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="there is no /proc")
def test_where_nothing_can_be_made() -> None:
    with pytest.raises(LinnetError, match=r"/proc/x \(No such file or directory\)"):
        make_folder(Path("/proc/x"))
    with pytest.raises(LinnetError, match=r"/proc/x\.json cannot be written \(No such file or directory\)"):
        write_text(Path("/proc/x.json"), "x")


def test_another_problem_of_the_system_is_left_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="odd"), atomic_path(tmp_path / "a"):
        raise OSError(errno.EIO, "odd")


def test_a_killed_writer_leaves_the_old_file_and_sweep_clears_up(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    write_text(target, "old")
    code = f"""
import os, signal
from pathlib import Path
from linnet.core.files import atomic_path
with atomic_path(Path({str(target)!r})) as temporary:
    temporary.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    environment = os.environ | {"PYTHONPATH": str(Path(files.__file__).parents[2])}
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == -9
    assert target.read_text() == "old"
    assert len(names(tmp_path)) == 2
    sweep(tmp_path)
    assert names(tmp_path) == ["a.txt"]


def test_folders_are_whole_or_absent_and_never_overwritten(tmp_path: Path) -> None:
    with pytest.raises(Stop), atomic_folder(tmp_path / "one") as temporary:
        fail_after_writing(temporary / "a", Stop())
    assert names(tmp_path) == []
    with atomic_folder(tmp_path / "deep" / "one") as temporary:
        (temporary / "sub").mkdir()
        (temporary / "sub" / "a").write_text("x")
        assert not (tmp_path / "deep" / "one").exists()
    assert (tmp_path / "deep" / "one" / "sub" / "a").read_text() == "x"
    with pytest.raises(FileExistsError), atomic_folder(tmp_path / "deep" / "one"):
        pass
    assert names(tmp_path / "deep") == ["one"]


def test_sweep_takes_only_what_is_unfinished(tmp_path: Path) -> None:
    (tmp_path / f"x.1{files.TEMPORARY}").mkdir()
    (tmp_path / f"y.1{files.TEMPORARY}").write_text("")
    (tmp_path / "z.writing.txt").write_text("")
    sweep(tmp_path)
    assert names(tmp_path) == ["z.writing.txt"]


def test_json(tmp_path: Path) -> None:
    target = tmp_path / "new" / "a.json"
    write_json(target, {"b": 1, "a": ["ö", None]})
    assert target.read_text("utf-8").startswith('{\n  "b"')
    assert "ö" in target.read_text("utf-8")
    assert read_json(target, what="x") == {"b": 1, "a": ["ö", None]}
    with pytest.raises(ValueError, match="JSON"):
        write_json(target, {"loss": float("nan")})
    assert read_json(target, what="x") == {"b": 1, "a": ["ö", None]}
    for content in (b"{", b"\xff\xfe", b"9" * 5000, b"[" * 200_000):
        write_bytes(target, content)
        with pytest.raises(CheckpointError, match="not valid JSON"):
            read_json(target, what="a manifest", error=CheckpointError)
    with pytest.raises(LinnetError, match="does not exist; needed: a manifest"):
        read_json(tmp_path / "no", what="a manifest")


def test_hashes(tmp_path: Path) -> None:
    write_bytes(tmp_path / "a", b"abc")
    published = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, appendix B.1
    assert sha256_file(tmp_path / "a") == sha256_bytes(b"abc") == published


def test_a_folder_is_not_written_where_a_link_to_nothing_is(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(FileExistsError, match="never overwritten"), atomic_folder(tmp_path / "link"):
        pass
    assert names(tmp_path) == ["link"]


def test_json_that_is_a_folder(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"cannot be read \(Is a directory\); needed: a table"):
        read_json(tmp_path, what="a table", error=CheckpointError)

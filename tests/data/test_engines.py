"""Whoever does the work, what comes out is the same: this process, others, a cluster; after a kill, too."""

from __future__ import annotations

import importlib
import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from data_helpers import small_parts, spec_of

from linnet.core.errors import DataError, LinnetError, TokenizerError
from linnet.core.files import sha256_file
from linnet.core.spec import dump
from linnet.data import engine as engines
from linnet.data.engine import Here, Processes, Worker, WorkerLost, as_event, as_exception
from linnet.data.journal import Journal
from linnet.data.prepare import prepare
from linnet.data.prepared import Prepared
from linnet.data.spec import DataSpec
from linnet.data.work import Work
from linnet.tokenizer.simple import ByteTokenizer

ROOT = Path(__file__).resolve().parents[2]
TEXTS = [f"document {number} " + "word " * (number % 37) for number in range(400)]


@pytest.fixture
def spec(tmp_path: Path) -> DataSpec:
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    (tmp_path / "b.txt").write_text("\n<|endoftext|>\n".join(f"the other {text}" for text in TEXTS[::3]))
    (tmp_path / "exam.txt").write_text("Document 77, word word word word word word word word word word word.")
    sources = [{"kind": "files", "path": str(tmp_path / "a.jsonl")}, {"kind": "files", "path": str(tmp_path / "b.txt")}]
    return spec_of(*sources, near={"threshold": 1.0}, against=[str(tmp_path / "exam.txt")])


def hashes(prepared: Prepared) -> dict[str, str]:
    files = (path for path in prepared.folder.rglob("*") if path.is_file())
    return {path.relative_to(prepared.folder).as_posix(): sha256_file(path) for path in files}


@pytest.mark.parametrize("forks", [True, False], ids=["copies", "interpreters"])
def test_processes_write_what_one_process_writes(
    tmp_path: Path, spec: DataSpec, monkeypatch: pytest.MonkeyPatch, forks: bool
) -> None:
    if not forks:
        monkeypatch.delattr(os, "fork")
    elif not hasattr(os, "fork"):
        pytest.skip("this system does not fork")
    else:
        monkeypatch.setattr(engines, "sys", type("modules", (), {"modules": {}, "executable": sys.executable}))
    monkeypatch.setattr("linnet.data.sources.portion_size", lambda total: 2000)
    here = prepare(spec, ByteTokenizer(), tmp_path / "here", engine="here")
    others = prepare(spec, ByteTokenizer(), tmp_path / "others", engine="processes", workers=3)
    assert not others.reused
    assert hashes(others) == hashes(here)
    assert sum(name.endswith(".bin") for name in hashes(here)) > 20  # so there was something to share out


def test_ray_writes_what_one_process_writes(tmp_path: Path, spec: DataSpec) -> None:
    pytest.importorskip("ray", reason="Ray is not installed: the extra `ray` brings it")
    pytest.importorskip("ray.data")
    script = f"""
import sys
from pathlib import Path
from linnet.core.spec import load
from linnet.data.prepare import prepare
from linnet.data.spec import DataSpec
from linnet.tokenizer.simple import ByteTokenizer
import json
spec = load(DataSpec, json.loads({json.dumps(json.dumps(dump(spec)))}))
print(prepare(spec, ByteTokenizer(), Path({str(tmp_path / "ray")!r}), engine="ray", workers=2).folder.name)
try:
    prepare(load(DataSpec, {{"sources": [{{"kind": "files", "path": {str(tmp_path / "bad.jsonl")!r}}}]}}), ByteTokenizer(),
            Path({str(tmp_path / "ray")!r}), engine="ray", workers=2)
except Exception as error:
    print(type(error).__name__, error)
"""
    (tmp_path / "bad.jsonl").write_text('{"text": "fine"}\n{"text": 1}\n')
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    here = prepare(spec, ByteTokenizer(), tmp_path / "here", engine="here")
    ray = prepare(spec, ByteTokenizer(), tmp_path / "ray", engine="here")
    name, error = done.stdout.strip().splitlines()[-2:]
    assert (ray.reused, ray.folder.name) == (True, name)
    assert hashes(ray) == hashes(here)
    assert error.startswith("DataError")  # what went wrong in a worker is what the user reads
    assert "line 2" in error


def test_an_error_of_a_worker_names_the_place(tmp_path: Path) -> None:
    """Also where the broken line is far behind the beginning of its portion."""
    lines = [json.dumps({"text": text}) for text in TEXTS]
    lines[300] = '{"text": 12}'
    (tmp_path / "a.jsonl").write_text("\n".join(lines) + "\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("linnet.data.sources.portion_size", lambda total: 1000)
        with pytest.raises(DataError, match=r"a\.jsonl.*line 301"):
            prepare(
                spec_of({"kind": "files", "path": str(tmp_path / "a.jsonl")}),
                ByteTokenizer(),
                tmp_path / "out",
                engine="processes",
                workers=2,
            )
    assert not (tmp_path / "out").exists()


def test_a_lost_worker_keeps_what_is_done(tmp_path: Path, spec: DataSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("linnet.data.sources.portion_size", lambda total: 2000)
    started: list[int] = []
    start = Worker.__init__

    def remember(self: Worker, *arguments: object) -> None:
        start(self, *arguments)  # type: ignore[arg-type]
        started.append(self.pid)

    def kill_one(done: float | None, message: str) -> None:
        if message.startswith("encoding") and started:
            os.kill(started.pop(), signal.SIGKILL)
            started.clear()

    monkeypatch.setattr(Worker, "__init__", remember)
    with pytest.raises(WorkerLost, match=r"killed.*goes on where this one stopped"):
        prepare(spec, ByteTokenizer(), tmp_path / "out", engine="processes", workers=2, progress=kill_one)
    (unfinished,) = (tmp_path / "out").iterdir()
    before = (unfinished / "journal.jsonl").read_text().splitlines()
    assert sum('"end/' in line for line in before) == sum('"key": "end' in line for line in before) > 3  # all is read
    read = [0]

    class Counted(Work):
        def read(self, unit: dict[str, object]):  # type: ignore[no-untyped-def]
            read[0] += 1
            return super().read(unit)

    monkeypatch.setattr("linnet.data.prepare.Work", Counted)
    again = prepare(spec, ByteTokenizer(), tmp_path / "out", engine="here")
    assert read == [0]  # nothing is read twice
    assert list((tmp_path / "out").iterdir()) == [again.folder]
    assert hashes(again) == hashes(prepare(spec, ByteTokenizer(), tmp_path / "here", engine="here"))
    assert read[0] > 0


def test_errors_cross_the_border_as_what_they_are() -> None:
    for error in (DataError("a"), TokenizerError("b"), LinnetError("c"), OSError(28, "No space left on device")):
        back = as_exception(json.loads(json.dumps(as_event(error))))
        assert (type(back), str(back)) == (type(error), str(error))
    odd = as_exception(as_event(ZeroDivisionError("x")))
    assert type(odd) is RuntimeError
    assert "ZeroDivisionError" in str(odd)


def test_who_works(tmp_path: Path, spec: DataSpec) -> None:
    """A little text is not worth a process; a source or tokenizer that another process would not know neither."""
    work = Work(spec, 0, tmp_path)
    assert type(engines.engine_for("auto", work, 2, alone=False, n_bytes=10)) is Here
    assert type(engines.engine_for("auto", work, 2, alone=False, n_bytes=2**30)) is Processes
    assert type(engines.engine_for("auto", work, 2, alone=False, n_bytes=None)) is Processes
    assert type(engines.engine_for("auto", work, 2, alone=True, n_bytes=2**30)) is Here
    assert type(engines.engine_for("auto", work, 1, alone=False, n_bytes=2**30)) is Here
    assert type(engines.engine_for("processes", work, 1, alone=False, n_bytes=0)) is Processes
    assert type(engines.engine_for("processes", work, 1, alone=True, n_bytes=0)) is Here  # standard input, which nobody else has


def test_a_damaged_journal_ends_at_its_first_bad_line(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    journal.add("a", {"n": 1})
    journal.close()
    whole = path.read_bytes()
    for damage in (b"\0\0\0\0\n", b'{"key": "b", "n\0\0: 2}\n', b"[1]\n", b'{"n": 3}\n', b"3\n"):
        path.write_bytes(whole + damage + b'{"key": "c", "n": 3}\n')
        journal = Journal(path)
        assert set(journal.entries) == {"boot", "a"}
        journal.add("d", {"n": 4})
        journal.close()
        again = Journal(path)
        assert set(again.entries) == {"boot", "a", "d"}
        again.close()


def test_a_folder_that_a_kill_left_at_the_very_end_is_deleted(tmp_path: Path, spec: DataSpec) -> None:
    prepared = prepare(spec, ByteTokenizer(), tmp_path / "out")
    left = tmp_path / "out" / f"{prepared.folder.name}.unfinished"
    left.mkdir()
    (left / "text").write_text("spooled")
    assert prepare(spec, ByteTokenizer(), tmp_path / "out").reused
    assert not left.exists()


def test_a_journal_that_was_cut_goes_on_behind_its_last_whole_line(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    journal.add("a", {"n": 1})
    journal.add("b", {"n": 2})
    journal.close()
    whole = path.read_bytes()
    for cut in range(len(whole) + 1):
        path.write_bytes(whole[:cut])
        journal = Journal(path)
        expected = {line["key"] for line in map(json.loads, whole[:cut].split(b"\n")[:-1])} | {"boot"}
        assert set(journal.entries) == expected
        journal.add("c", {"n": 3})
        journal.close()
        again = Journal(path)
        assert (set(again.entries), again.rebooted) == (expected | {"c"}, False)
        again.close()


@pytest.mark.parametrize("what", ["text", "records"])
def test_a_part_that_was_lost_with_the_machine_is_read_again(
    tmp_path: Path, spec: DataSpec, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """After a power cut files may hold other bytes than the journal thinks, at the same length."""

    def stop(done: float | None, message: str) -> None:
        if message.startswith("encoding"):
            raise KeyboardInterrupt

    with small_parts():
        with pytest.raises(KeyboardInterrupt):
            prepare(spec, ByteTokenizer(), tmp_path / "out", engine="here", progress=stop)
        (unfinished,) = (tmp_path / "out").iterdir()
        broken = min((unfinished / "spool").glob(f"*.{what}"))
        broken.write_bytes(b"\0" * broken.stat().st_size)
        monkeypatch.setattr("linnet.data.journal.boot", lambda: "another")
        again = prepare(spec, ByteTokenizer(), tmp_path / "out", engine="here")
        assert hashes(again) == hashes(prepare(spec, ByteTokenizer(), tmp_path / "here", engine="here"))


CHILD = """
import json, sys
from pathlib import Path
from linnet.core.spec import load
from linnet.data import files, sources, spool
from linnet.data.prepare import prepare
from linnet.data.spec import DataSpec
from linnet.tokenizer.simple import ByteTokenizer

spool.PART, files.BATCH, sources.portion_size = 3000, 10, lambda total: 20_000
text, out, engine = sys.argv[1:]
prepare(load(DataSpec, {"sources": [{"kind": "files", "path": text}]}), ByteTokenizer(), Path(out), engine=engine, workers=2)
"""


@pytest.mark.parametrize("engine", ["here", "processes"])
def test_killed_anywhere_it_goes_on(tmp_path: Path, engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """scripts/kill_prepare.py, small: portions and parts of a few documents."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    kill_prepare = importlib.import_module("kill_prepare")
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": f"{text}{i}"}) + "\n" for i in range(20) for text in TEXTS))

    def command(out: str) -> list[str]:
        return [sys.executable, "-c", CHILD, str(tmp_path / "a.jsonl"), str(tmp_path / out), engine]

    subprocess.run(command("once"), check=True)
    kills = kill_prepare.killed(command("again"), tmp_path / "again", 6, 500, random.Random(0), moment=0.02)
    assert kills >= 3
    assert kill_prepare.hashes(tmp_path / "again") == kill_prepare.hashes(tmp_path / "once")
    assert len(list((tmp_path / "again").iterdir())) == 1

"""linnet plan: what it says is what a run says of itself, it leaves nothing behind, it fits 80 columns."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import tiny_run


def plan_notes(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """`linnet plan` of a small text of its own, without timing."""
    Path("notes").mkdir(exist_ok=True)
    (Path("notes") / "day.txt").write_text("".join(f"This is line {n} of what I wrote.\n" for n in range(400)), "utf-8")
    with tiny_run.no_probes():
        return tiny_run.linnet(capsys, "plan", "notes", *words)


def test_a_plan_for_a_text_is_what_its_run_says_of_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("linnet.command.has", lambda module: False)
    options = ["--steps", "2", "--set", "model.size=nano", "--set", "train.batch_size=2", "--set", "model.context_length=64"]
    code, planned, problem = plan_notes(capsys, *options)
    assert (code, problem) == (0, "")
    assert [path.name for path in tmp_path.iterdir()] == ["notes"], "a plan leaves nothing behind"
    assert "that is  2 steps, 256 tokens" in planned
    assert "Nothing was trained. To do it:\n  linnet train notes --steps 2 --set model.size=nano" in planned
    with tiny_run.no_probes():
        code, trained, problem = tiny_run.linnet(capsys, "train", "notes", *options)
    assert (code, problem) == (0, "")
    facts = ("data", "tokens", "model", "training", "to beat")

    def said(out: str) -> list[str]:
        return [line for line in out.splitlines() if line.startswith(facts)][: len(facts)]

    assert said(planned) == said(trained)
    assert len(said(planned)) == len(facts)
    needs = [[float(n) for n in re.findall(r"([\d.]+) MiB", out.split("needs")[1])][:2] for out in (planned, trained)]
    assert needs[0][1] == pytest.approx(needs[1][1], abs=1), "disk"
    assert "\nfolder   runs/notes\n" in planned


def test_a_plan_in_minutes_shows_the_sizes_in_eighty_columns(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from linnet.train.estimate import disk_bytes
    from linnet.train.probe import Probe

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("linnet.train.plan.probe", lambda *args, **options: Probe(0.02, 1e-6, 400 * 2**20, 2**20))
    disks: list[int] = []
    monkeypatch.setattr("linnet.train.estimate.disk_bytes", lambda *args: disks.append(disk_bytes(*args)) or disks[-1])
    code, out, problem = plan_notes(capsys, "--minutes", "5")
    assert (code, problem) == (0, "")
    lines = out.splitlines()
    heading, *sizes = lines[: lines.index(next(line for line in lines if line.startswith("the text is read")))]
    assert heading.split() == ["size", "params", "batch", "steps", "tokens", "passes", "memory", "disk", "loss"]
    assert all(len(line) <= 79 for line in [heading, *sizes])
    assert [line[0] for line in sizes].count("→") == 1
    assert f" {disks[0] / 2**20:,.0f} MiB" in sizes[0]
    assert "about 5:00" in out
    assert "training 5 minutes in all" in out
    assert not (tmp_path / "runs").exists()


def test_a_plan_without_a_text(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from linnet.train.probe import Probe

    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("linnet.train.machine.measure_peak", lambda *args: 2e10)
    monkeypatch.setattr("linnet.train.plan.probe", lambda *args, **options: Probe(0.02, 1e-6, 400 * 2**20, 2**20))
    for words in (["--tokens", "1e8"], ["--tokens", "1e12", "--family", "gpt2", "--vocab-size", "100000"], ["--minutes", "5"]):
        code, out, problem = tiny_run.linnet(capsys, "plan", *words)
        assert (code, problem) == (0, "")
        assert max(map(len, out.splitlines())) <= 80
        assert "disk" in out.splitlines()[0]
        assert [line[0] for line in out.splitlines() if line.startswith(("→ nano ", "→ micro ", "→ mini ", "→ tiny ", "→ base "))]
    for words, part in (
        ([], "neither a text nor --minutes nor --tokens"),
        (["notes.txt", "--tokens", "3"], "--tokens beside a text"),
        (["--steps", "3"], "--steps or --set without a text"),
        (["--tokens", "1e6", "--family", "sentence"], "--family sentence; needed: one with sizes"),
        (["--tokens", "-5"], "'--tokens': -5 is not more than 0"),
        (["--minutes", "0"], "'--minutes': 0 is not more than 0"),
        (["nowhere/"], "nowhere/ does not exist"),
    ):
        code, _, problem = tiny_run.linnet(capsys, "plan", *words)
        assert code == 2
        assert part in problem, problem

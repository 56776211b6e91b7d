"""A run whose mixture changes: what it says of itself, that it resumes as if uninterrupted, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tiny_run
from linnet.core.errors import CheckpointError, ConfigError
from linnet.core.spec import load
from linnet.core.yaml import to_yaml
from linnet.report.contents import read_contents
from linnet.train import run
from linnet.train.checkpoint import newest_checkpoint
from linnet.train.probe import Probe
from linnet.train.record import read_record
from linnet.train.run import train
from linnet.train.spec import RunSpec

SOURCES = [
    {"kind": "stories", "count": 24, "weight": {"from": 3, "to": 1}},
    {"kind": "stories", "count": 24, "seed": 5, "name": "late", "weight": {"from": 0, "to": 1, "begin": 0.5}},
]


def ramped(**changes: Any) -> dict[str, Any]:
    return tiny_run.tiny(data__sources=SOURCES, **changes)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    tiny_run.go(folder, ramped())
    return folder


def stop_at(monkeypatch: pytest.MonkeyPatch, number: int, folder: Path, table: dict[str, Any]) -> None:
    """Train until so many checkpoints are written, then fall over."""
    right: Callable[..., None] = run.save
    saves = 0

    def save(*args: Any, **options: Any) -> None:
        nonlocal saves
        right(*args, **options)
        saves += 1
        if saves == number:
            raise RuntimeError("pulled the plug")

    with monkeypatch.context() as patch:
        patch.setattr(run, "save", save)
        with pytest.raises(RuntimeError, match="pulled the plug"):
            tiny_run.go(folder, table)


def newest(folder: Path) -> dict[str, Any]:
    """What the newest checkpoint knows of its place in the data."""
    saved, _ = newest_checkpoint(folder / "checkpoints")
    assert saved is not None
    return saved.progress["source"]


@pytest.mark.parametrize("checkpoint", [1, 2, 4])
def test_resumed_is_uninterrupted(checkpoint: int, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before, within and behind the begin of a ramp. A mutant that does not put back what was asked has other weights."""
    folder = tmp_path / "run"
    stop_at(monkeypatch, checkpoint, folder, ramped())
    tiny_run.go(folder, ramped(), resume=True)
    assert (folder / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    assert (folder / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()
    assert newest(folder) == newest(whole)


def test_what_was_drawn_is_what_was_asked(whole: Path) -> None:
    """36 rows: none of the second source in the first half, then from 0 to half of the rows."""
    source = newest(whole)
    drawn = {name: place["drawn"] for name, place in source["sources"].items()}
    assert source["run_rows"] == sum(drawn.values()) == 12 * 3
    assert all(abs(source["asked"][name] - drawn[name]) <= 0.5 for name in drawn)
    assert 4 <= drawn["late"] <= 6
    assert json.loads((whole / "summary.json").read_text())["rows_drawn"] == drawn
    assert [row["rows_drawn"] for row in read_contents(whole).sources] == list(drawn.values())
    card = json.loads((whole / "data_card.json").read_text())
    assert [row["asked_course"] for row in card["sources"]] == [[100.0, 50.0], [0.0, 50.0]]


def test_another_number_of_steps_is_refused(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "run"
    stop_at(monkeypatch, 2, folder, ramped())
    with pytest.raises(ConfigError, match=r"train\.steps = 24; the run has 12"):
        tiny_run.go(folder, ramped(train__steps=24), resume=True)
    record = read_record(folder)  # and where someone writes it into the folder, too
    record["resolved"]["train"]["steps"] = record["asked"]["train"]["steps"] = 24
    (folder / "run.yaml").write_text(to_yaml(record))
    with pytest.raises(CheckpointError, match=r"run_rows 36; needed: .*run_rows 72.* number of steps"):
        tiny_run.go(folder, ramped(train__steps=24), resume=True)


def test_minutes_are_as_many_rows_as_were_expected_when_the_run_began(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second sitting expects other numbers, and keeps to the first one's: the course of the mixture does not jump."""
    table = ramped(train__minutes=0.1)
    del table["train"]["steps"]
    folder = tmp_path / "run"
    stop_at(monkeypatch, 2, folder, table)
    rows = newest(folder)["run_rows"]
    assert rows % 3 == 0
    assert 30 < rows < 0.1 * 60 / 0.01 * 3  # steps of 10 ms, as tiny_run says
    slower = Probe(0.05, 1e-6, 400 * 2**20, 2**20)
    with tiny_run.no_probes() as patch:
        patch.setattr("linnet.train.run.probe", lambda *args, **options: slower)
        train(load(RunSpec, table), folder, asked=table, resume=True, quiet=True)
    assert newest(folder)["run_rows"] == rows


def test_it_says_how_the_mixture_goes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    tiny_run.write_yaml(tmp_path / "run.yaml", ramped())
    with tiny_run.no_probes():
        code, out, problem = tiny_run.linnet(capsys, "plan", "run.yaml", "--set", "data.sources.1.weight.to=3")
        assert (code, problem) == (0, "")
        assert "stories 100 → 25 %, late 0 → 75 % of the rows, over the run" in out
        code, _, problem = tiny_run.linnet(capsys, "plan", "run.yaml", "--set", "data.sources.1.weight.form=3")
        assert code != 0
        assert "data.sources[1].weight.form: is not known here; did you mean 'from'?" in problem
        plain = tiny_run.write_yaml(tmp_path / "plain.yaml", tiny_run.tiny())
        assert "\nmixture" not in tiny_run.linnet(capsys, "plan", plain)[1]
    code, out, problem = tiny_run.linnet(capsys, "prepare", "run.yaml")
    assert (code, problem) == (0, "")
    assert "100 → 50" in out

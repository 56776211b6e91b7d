"""A run that has come to its end is shown again, not computed again; another one like it is one command away."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import linnet
import tiny_run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny_run.trained_copy(tmp_path / "run")


def test_a_finished_run_is_shown_and_not_computed_again(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def trained(*args: object, **options: object) -> None:
        pytest.fail("it is trained again")

    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    kept = json.loads((folder / "evaluation.json").read_text("utf-8"))["model"]["nats_per_token"]["value"]
    monkeypatch.setattr("linnet.command.has", lambda module: False)
    with monkeypatch.context() as patch:
        patch.setattr("linnet.command.train", trained)
        code, out, problem = tiny_run.linnet(capsys, "train", folder, "--resume")
        assert (code, problem) == (0, "")
        assert f"{folder} is finished, after 12 steps" in out
        assert f"linnet train {folder}/run.yaml --steps 24" in out
        assert f"{kept:.3f}" in out
        result = linnet.run(folder, resume=True, quiet=True)
        assert (result.why, result.step, result.loss) == ("finished", 12, kept)
        assert capsys.readouterr().out == ""
        after = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
        assert {path: time for path, time in after.items() if path.name != ".lock"} == {
            path: time for path, time in before.items() if path.name != ".lock"
        }
        path = tiny_run.write_yaml(folder.parent / "same.yaml", tiny_run.TINY)
        assert "is finished" in tiny_run.linnet(capsys, "train", path, "--out", folder, "--resume")[1]
        other = tiny_run.write_yaml(folder.parent / "other.yaml", tiny_run.tiny(train__batch_size=7))
        code, _, problem = tiny_run.linnet(capsys, "train", other, "--out", folder, "--resume")
        assert code == 2
        assert "train.batch_size = 7; the run has 3" in problem


@pytest.mark.parametrize("lost", ["evaluation.json", "summary.json", "model.safetensors", "metrics.jsonl"])
def test_a_run_whose_end_is_damaged_is_not_finished(folder: Path, lost: str) -> None:
    from linnet.train.finished import finished

    assert finished(folder) is not None
    (folder / lost).write_bytes(b"")
    assert finished(folder) is None
    with tiny_run.no_probes() as patch:
        patch.setattr("linnet.command.has", lambda module: False)
        if lost != "metrics.jsonl":  # without it there is no telling where the run stood
            assert linnet.run(folder, resume=True, quiet=True).step == 12
            assert finished(folder) is not None


def test_a_run_file_of_a_run_asks_for_another_one_like_it(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from linnet.command import ask

    monkeypatch.chdir(tmp_path)
    asked = ask(folder / "run.yaml", steps=3)
    assert asked.name == folder.name
    assert asked.table == tiny_run.tiny(train__steps=3)
    (folder / "run.yaml").write_text("asked: 3\nresolved: {}\n", "utf-8")
    code, _, problem = tiny_run.linnet(capsys, "train", folder / "run.yaml")
    assert code == 2
    assert "holds a number" in problem

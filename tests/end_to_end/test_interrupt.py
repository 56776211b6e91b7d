"""Ctrl-C and SIGTERM: the step is finished, a checkpoint saved, the way back said; then the run goes on as if never stopped."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

import tiny_run
from linnet.core.errors import ConfigError, LinnetError
from linnet.train.events import Stepped, Validated
from linnet.train.hooks import MetricsFile
from linnet.train.record import locked


def signal_at(patch: pytest.MonkeyPatch, kind: type, step: int, *numbers: int) -> None:
    written = MetricsFile.__call__

    def listen(self: MetricsFile, event: Any) -> None:
        written(self, event)
        if isinstance(event, kind) and event.step == step:
            for number in numbers:
                os.kill(os.getpid(), number)

    patch.setattr(MetricsFile, "__call__", listen)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_leaves_with_130_and_resume_is_identical(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], number: int
) -> None:
    config = tiny_run.write_yaml(tmp_path / "tiny.yaml", tiny_run.TINY)
    folder = tmp_path / "run"
    handlers = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    with tiny_run.no_probes() as patch:
        signal_at(patch, Stepped, 5, number)  # step 5 is no checkpoint step
        code, out, err = tiny_run.linnet(capsys, "train", config, "--out", folder)
    assert code == 130
    assert "stopped at step 5 and saved" in out
    assert f"linnet train {folder} --resume" in out.replace("\n", "")
    assert "Traceback" not in out + err
    assert (folder / "checkpoints" / "step-00000005" / "checkpoint.json").is_file()
    assert not (folder / "model.safetensors").exists()
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == handlers
    with tiny_run.no_probes() as patch:
        patch.setattr("linnet.command.has", lambda module: False)  # no report: it is tested elsewhere
        code, out, _ = tiny_run.linnet(capsys, "train", folder, "--resume")
    assert code == 0
    assert "this model" in out
    alone = tiny_run.go(tmp_path / "alone").folder
    for name in ("model.safetensors", "metrics.jsonl", "checkpoints/step-00000012/optimizer.safetensors"):
        assert (folder / name).read_bytes() == (alone / name).read_bytes(), name


def test_a_signal_at_the_last_step_leaves_and_resume_finishes(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        signal_at(patch, Validated, 12, signal.SIGINT)
        assert tiny_run.go(tmp_path / "run").why == "interrupted"
    assert tiny_run.go(tmp_path / "run", resume=True).why == "finished"


def test_a_signal_that_comes_during_a_save_takes_one_more_step_and_saves_that(tmp_path: Path) -> None:
    """`saved` is never said of a step that was not."""
    from linnet.train.checkpoint import save_checkpoint

    with pytest.MonkeyPatch.context() as patch:

        def save(folder: Path, checkpoint: Any) -> Path:
            if checkpoint.step == 4:
                os.kill(os.getpid(), signal.SIGINT)
            return save_checkpoint(folder, checkpoint)

        patch.setattr("linnet.train.resume.save_checkpoint", save)
        result = tiny_run.go(tmp_path / "run")
    assert (result.why, result.step) == ("interrupted", 5)
    assert (tmp_path / "run" / "checkpoints" / "step-00000005").is_dir()


def test_a_second_signal_leaves_at_once_and_loses_nothing(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        signal_at(patch, Stepped, 5, signal.SIGINT, signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            tiny_run.go(tmp_path / "run")
    assert sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir()) == ["step-00000002", "step-00000004"]
    assert tiny_run.go(tmp_path / "run", resume=True).why == "finished"


def test_one_process_a_run(tmp_path: Path) -> None:
    with locked(tmp_path / "run"), pytest.raises(LinnetError, match="being trained by another process"):
        tiny_run.go(tmp_path / "run")
    assert tiny_run.go(tmp_path / "run", tiny_run.tiny(train__steps=1)).why == "finished"  # and the lock is let go


def test_a_finished_folder_is_not_written_again(tmp_path: Path) -> None:
    folder = tiny_run.trained_copy(tmp_path / "run")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(ConfigError, match="holds a run already"):
        tiny_run.go(folder)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_resume_refuses_another_run_and_accepts_the_same(tmp_path: Path) -> None:
    folder = tiny_run.trained_copy(tmp_path / "run")
    with pytest.raises(ConfigError) as refused:
        tiny_run.go(folder, tiny_run.tiny(train__steps=99, seed=3, tokenizer="char"), resume=True)
    text = str(refused.value)
    assert "train.steps = 99; the run has 12" in text
    assert "seed = 3; the run has 0" in text
    assert "tokenizer.kind = 'char'; the run has 'byte'" in text
    short = {"data": tiny_run.TINY["data"], "tokenizer": "byte"}  # what is left out may be anything
    assert tiny_run.go(folder, short, resume=True).step == 12


def test_resume_does_not_need_the_text_any_more(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("The wind blew and the old door sang. " * 60 + "\n" + "A gull came by. " * 60, "utf-8")
    table = tiny_run.tiny(data={"sources": [{"kind": "files", "path": str(text)}], "validation": 0.2})
    alone = tiny_run.go(tmp_path / "alone", table).folder
    with pytest.MonkeyPatch.context() as patch:
        signal_at(patch, Stepped, 5, signal.SIGINT)
        tiny_run.go(tmp_path / "run", table)
    text.unlink()
    tiny_run.go(tmp_path / "run", table, resume=True)
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == (alone / "model.safetensors").read_bytes()


def test_resume_of_what_never_began_begins(tmp_path: Path) -> None:
    assert tiny_run.go(tmp_path / "run", tiny_run.tiny(train__steps=1), resume=True).why == "finished"

"""Law 13: a run that was killed and went on is the run that was left alone, byte for byte."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

import tiny_run
from linnet.core.seeds import generator
from linnet.train.hooks import MetricsFile

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "kill_resume.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("kill_resume", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="the script forks")
def test_five_runs_killed_with_sigkill_end_like_the_one_left_alone() -> None:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        [sys.executable, SCRIPT, "--kills", "5"], capture_output=True, text=True, env=environment, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "  kill   5 of 5" in done.stdout
    assert ", 0 different" in done.stdout


class Killed(Exception):
    """Stands for a kill in this process."""


@pytest.fixture(scope="module", params=["muon", "adamw"])
def left_alone(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path, Path]:
    """(what was asked, the whole run, the same run killed at step 7, with a checkpoint of step 6 and more metrics than that)."""
    table = tiny_run.tiny(optimizer=request.param)
    place = tmp_path_factory.mktemp(request.param)
    tiny_run.go(place / "alone", table)
    kill_at(place / "killed", table, 7)
    return table, place / "alone", place / "killed"


def kill_at(folder: Path, table: dict[str, Any], step: int, **options: Any) -> None:
    """Train until just after `step` was written to the metrics."""
    written = MetricsFile.__call__

    def listen(self: MetricsFile, event: Any) -> None:
        written(self, event)
        if getattr(event, "step", 0) == step:
            raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MetricsFile, "__call__", listen)
        with pytest.raises(Killed):
            tiny_run.go(folder, table, **options)


def go_on(killed: Path, folder: Path, table: dict[str, Any]) -> Path:

    shutil.copytree(killed, folder)
    tiny_run.go(folder, table, resume=True)
    return folder


def test_going_on_after_a_kill_is_identical(left_alone: Any, script: ModuleType, tmp_path: Path) -> None:
    table, alone, killed = left_alone
    assert (killed / "metrics.jsonl").read_bytes() != (alone / "metrics.jsonl").read_bytes()
    assert script.differences(alone, go_on(killed, tmp_path / "run", table)) == []
    again = go_on(tmp_path / "run", tmp_path / "finished", table)  # a run that is done, resumed, stays as it is
    assert script.differences(alone, again) == []


@pytest.mark.parametrize("dropout", [0.1, 0.0])  # without it steps and validations go through training programs
def test_a_kill_at_every_step_is_identical(script: ModuleType, tmp_path: Path, dropout: float) -> None:
    table = tiny_run.tiny(model__dropout=dropout)
    tiny_run.go(tmp_path / "alone", table)
    folder = tmp_path / "run"
    for step in (1, 3, 4, 5, 8, 11, 12):
        kill_at(folder, table, step, resume=True)
    tiny_run.go(folder, table, resume=True)
    assert script.differences(tmp_path / "alone", folder) == []


def forget_position(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("linnet.data.loader.PackedBatches.load_state_dict", lambda self, state: None)


def forget_optimizer(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("linnet.train.resume.restore_optimizers", lambda *args: None)


def forget_one_moment(patch: pytest.MonkeyPatch) -> None:
    from linnet.train.checkpoint import restore_optimizers

    def restore(network: Any, optimizers: Any, tensors: dict[str, torch.Tensor]) -> None:
        name = max(tensors)
        restore_optimizers(network, optimizers, tensors | {name: torch.zeros_like(tensors[name])})

    patch.setattr("linnet.train.resume.restore_optimizers", restore)


def forget_offsets(patch: pytest.MonkeyPatch) -> None:
    def opened(folder: Path, offsets: Any) -> MetricsFile:
        return MetricsFile(folder, dict.fromkeys(("metrics", "timings"), 10**9))

    patch.setattr("linnet.train.run.MetricsFile", opened)


def forget_streams(patch: pytest.MonkeyPatch) -> None:
    """Dropout drawn from one stream a sitting instead of one a step."""
    stream = generator(0, "dropout")
    patch.setattr("linnet.train.loop.generator", lambda *args: stream)


def forget_tokens(patch: pytest.MonkeyPatch) -> None:
    from linnet.train.checkpoint import newest_checkpoint

    def newest(folder: Path) -> Any:
        found, damaged = newest_checkpoint(folder)
        assert found is not None
        found.progress.update(tokens=0)
        return found, damaged

    patch.setattr("linnet.train.resume.newest_checkpoint", newest)


def forget_weights(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("linnet.train.resume.restore_model", lambda network, tensors: None)


MUTANTS = {
    "data position": (forget_position, "metrics.jsonl"),
    "optimizer state": (forget_optimizer, "optimizer.safetensors"),
    "one moment": (forget_one_moment, "optimizer.safetensors"),
    "metrics offset": (forget_offsets, "metrics.jsonl"),
    "random stream": (forget_streams, "model.safetensors"),
    "token count": (forget_tokens, "metrics.jsonl"),
    "weights": (forget_weights, "model.safetensors"),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_resume_that_forgets_something_is_caught(left_alone: Any, script: ModuleType, tmp_path: Path, name: str) -> None:
    table, alone, killed = left_alone
    forget, where = MUTANTS[name]
    with pytest.MonkeyPatch.context() as patch:
        forget(patch)
        folder = go_on(killed, tmp_path / "run", table)
    found = script.differences(alone, folder)
    assert any(where in name for name in found), found


def test_the_comparison_sees_one_byte(left_alone: Any, script: ModuleType, tmp_path: Path) -> None:
    _, alone, _ = left_alone
    for name in ("model.safetensors", "metrics.jsonl", "checkpoints/step-00000012/optimizer.safetensors"):
        copy = tmp_path / name.replace("/", "-")

        shutil.copytree(alone, copy)
        content = bytearray((copy / name).read_bytes())
        content[len(content) // 2] ^= 1
        (copy / name).write_bytes(bytes(content))
        assert script.differences(alone, copy) == [name]


def test_resume_goes_on_after_early_stopping_without_another_step(script: ModuleType, tmp_path: Path) -> None:
    table = tiny_run.tiny(
        optimizer={"kind": "adamw", "learning_rate": 1e-9}, validation={"every": 1, "batches": 1, "patience": 2}, train__steps=30
    )
    table["model"]["dropout"] = 0.0
    first = tiny_run.go(tmp_path / "run", table)
    assert first.why == "early stop"
    assert first.step < 30
    before = {name: (tmp_path / "run" / name).read_bytes() for name in ("metrics.jsonl", "model.safetensors")}
    again = tiny_run.go(tmp_path / "run", table, resume=True)
    assert (again.why, again.step) == ("early stop", first.step)
    assert {name: (tmp_path / "run" / name).read_bytes() for name in before} == before


def test_a_run_of_steps_never_writes_the_time_into_what_is_compared(left_alone: Any) -> None:
    _, alone, _ = left_alone
    progress = json.loads((alone / "checkpoints" / "step-00000012" / "progress.json").read_text("utf-8"))
    assert progress["seconds"] == 0
    assert all("seconds" not in json.loads(line) for line in (alone / "metrics.jsonl").read_text("utf-8").splitlines())


def with_experts() -> dict[str, Any]:
    """A tiny run whose routing biases move at every step; validation reads in between."""
    from linnet.core.spec import dump
    from linnet.model import GLU, MoE
    from linnet.zoo import Llama

    model = Llama(n_layers=2, n_heads=2, d_model=16, context_length=24).sentence(257)
    table = dump(model)
    experts = MoE(expert=GLU(d_ff=8), n_experts=4, top_k=2, balance="bias", bias_step=0.01)
    table["decoder"]["layers"][0]["pattern"][0]["sublayers"][1]["mixer"] = dump(experts)
    return tiny_run.tiny(model={"kind": "sentence", "model": table}, train__context_length=24)


def test_routing_biases_go_on_where_they_were(script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from linnet.model import weights

    table = with_experts()
    tiny_run.go(tmp_path / "alone", table)
    kill_at(tmp_path / "killed", table, 7)
    assert script.differences(tmp_path / "alone", go_on(tmp_path / "killed", tmp_path / "run", table)) == []

    def zeros(network: torch.nn.Module, tensors: Any) -> None:
        weights.restore_model(network, tensors)
        for name, tensor in weights.model_tensors(network).items():
            if name.endswith("mixer.bias"):
                tensor.zero_()

    monkeypatch.setattr("linnet.train.resume.restore_model", zeros)  # the mutant: biases begin again
    assert script.differences(tmp_path / "alone", go_on(tmp_path / "killed", tmp_path / "mutant", table)) != []

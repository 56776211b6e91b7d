"""Precision: what is computed in 16 bits, and a loss scale that survives a checkpoint. Listeners that write."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

import tiny_run
from linnet.core.extras import has
from linnet.train.events import Sampled, Stepped, Validated
from linnet.train.hooks import MetricsFile, tensorboard
from linnet.train.precision import Precision
from linnet.train.progress import clock_text, printable

CPU = torch.device("cpu")


def test_float32_on_a_cpu_unless_asked() -> None:
    assert Precision("auto", CPU).name == "float32"
    assert Precision("auto", CPU).scaler is None


@pytest.mark.parametrize("name", ["bfloat16", "float16"])
def test_a_run_in_16_bits_learns_as_one_in_32(tmp_path: Path, name: str) -> None:
    table = tiny_run.tiny(train__precision=name, optimizer={"kind": "adamw", "learning_rate": 0.01}, schedule="constant")
    table["model"] |= {"dropout": 0.0, "kind": "llama"}
    half = tiny_run.go(tmp_path / name, table)
    table["train"]["precision"] = "float32"
    full = tiny_run.go(tmp_path / "float32", table)
    assert half.loss is not None
    assert full.loss is not None
    assert half.loss == pytest.approx(full.loss, rel=0.02)  # 8 bits of mantissa over 12 steps
    assert half.loss != full.loss


@pytest.mark.parametrize("name", ["bfloat16", "float16"])
def test_resume_in_16_bits_is_identical(tmp_path: Path, name: str) -> None:
    table = tiny_run.tiny(train__precision=name)
    alone = tiny_run.go(tmp_path / "alone", table).folder
    folder = tmp_path / "run"
    import shutil

    shutil.copytree(alone, folder)
    for path in sorted((folder / "checkpoints").iterdir())[1:]:
        shutil.rmtree(path)  # back to the oldest that is left
    tiny_run.go(folder, table, resume=True)
    for file in ("model.safetensors", "metrics.jsonl"):
        assert (folder / file).read_bytes() == (alone / file).read_bytes()


def test_a_loss_scale_survives_a_checkpoint() -> None:
    one, other = Precision("float16", CPU), Precision("float16", CPU)
    layer = nn.Linear(2, 2)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    one.backward(layer(torch.ones(1, 2)).sum() * math.inf)
    before = layer.weight.detach().clone()
    one.step([optimizer], 1.0)
    assert torch.equal(layer.weight, before), "a step that overflows is skipped"
    state = json.loads(json.dumps(one.state_dict()))
    other.load_state_dict(state)
    assert other.state_dict() == one.state_dict()
    assert other.scaler is not None
    assert other.scaler.get_scale() == 2.0**15  # half of the first one
    assert Precision("float32", CPU).state_dict() == {}


def test_the_norm_is_that_before_clipping_and_the_step_that_after() -> None:
    layer = nn.Linear(3, 1, bias=False)
    with torch.no_grad():
        layer.weight.zero_()
    precision = Precision("float32", CPU)
    precision.backward((layer(torch.tensor([[3.0, 0.0, 4.0]]))).sum())
    norm = precision.step([torch.optim.SGD(layer.parameters(), lr=1.0)], 1.0)
    assert float(norm) == pytest.approx(5)
    assert torch.allclose(layer.weight, torch.tensor([[-0.6, 0.0, -0.8]]), atol=1e-5)
    assert layer.weight.grad is None


# ---- metrics.jsonl ---------------------------------------------------------------------------------------------------

STEP = Stepped(1, 10, 2.5, 0.1, 1.5, 0.5, 1.0, 0.1, 0.01, 100.0, None, 7)


def test_metrics_are_lines_and_cut_at_an_offset(tmp_path: Path) -> None:
    file = MetricsFile(tmp_path)
    file(STEP)
    file(Validated(1, 10, 2.0, 1.1, True))
    offsets = file.offsets()
    kept = {name: (tmp_path / f"{name}.jsonl").read_bytes() for name in ("metrics", "timings")}
    assert offsets == {name: len(content) for name, content in kept.items()}
    file(Sampled(1, "p", "ü\n"))
    file(replace(STEP, step=2))
    file.close()
    assert (tmp_path / "metrics.jsonl").stat().st_size > offsets["metrics"]
    again = MetricsFile(tmp_path, offsets)
    assert {name: (tmp_path / f"{name}.jsonl").read_bytes() for name in kept} == kept
    again(replace(STEP, step=2, grad_norm=math.inf))
    again.close()
    lines = [
        json.loads(line, parse_constant=lambda text: pytest.fail(text))
        for line in (tmp_path / "metrics.jsonl").read_text("utf-8").splitlines()
    ]
    assert [(line["event"], line["step"]) for line in lines] == [("train", 1), ("validation", 1), ("train", 2)]
    assert lines[-1]["grad_norm"] is None


def test_metrics_without_a_checkpoint_begin_anew(tmp_path: Path) -> None:
    first = MetricsFile(tmp_path)
    first(STEP)
    first.close()
    MetricsFile(tmp_path).close()
    assert (tmp_path / "metrics.jsonl").read_bytes() == b""
    cut = MetricsFile(tmp_path, {"metrics": 100, "timings": 100})  # a file shorter than that was cut by someone else
    cut.close()
    assert (tmp_path / "metrics.jsonl").read_bytes() == b""


def test_tensorboard_gets_what_happened(tmp_path: Path) -> None:
    if not has("tensorboard"):
        assert tensorboard(tmp_path) is None
        return
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    listen = tensorboard(tmp_path)
    assert listen is not None
    listen(STEP)
    listen(Validated(1, 10, 2.0, 1.1, True))
    listen(Sampled(1, "p", "text"))
    found = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert found.Scalars("train/loss")[0].value == 2.5
    assert found.Scalars("validation/bits_per_byte")[0].value == pytest.approx(1.1)
    assert "sample/text_summary" in found.Tags()["tensors"]


def test_what_people_read() -> None:
    assert [clock_text(s) for s in (None, 7, 754.9, 3723)] == ["–", "0:07", "12:34", "1:02:03"]
    assert printable("a\x1b[2Jé\x07") == "a\N{REPLACEMENT CHARACTER}[2Jé\N{REPLACEMENT CHARACTER}"

"""Checkpoints: whole or absent, verified, the damaged ones passed over, nothing deleted that is still needed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

import tiny_run
from linnet.core.errors import CheckpointError, LinnetError
from linnet.train.checkpoint import (
    Checkpoint,
    load_checkpoint,
    newest_checkpoint,
    optimizer_tensors,
    problems_of,
    prune_checkpoints,
    restore_optimizers,
    save_checkpoint,
    steps_in,
)
from linnet.train.optimizers import AdamW, Muon


def small(step: int = 3) -> Checkpoint:
    draws = torch.Generator().manual_seed(step)
    model = {"a": torch.randn(3, 4, generator=draws), "b": torch.randn(5, generator=draws)}
    return Checkpoint(step, model, {"0/a/momentum": torch.randn(3, 4, generator=draws)}, {"step": step, "text": "ü"})


def same(left: Checkpoint, right: Checkpoint) -> bool:
    tensors = all(
        set(a) == set(b) and all(torch.equal(a[k], b[k]) for k in a)
        for a, b in ((left.model, right.model), (left.optimizer, right.optimizer))
    )
    return tensors and (left.step, left.progress) == (right.step, right.progress)


def test_what_is_saved_is_read_back(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, small())
    assert path.name == "step-00000003"
    assert same(load_checkpoint(path), small())
    assert problems_of(path) == []
    assert not list(tmp_path.rglob("*.writing"))


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-2])


def empty(file: Path) -> None:
    file.write_bytes(b"")


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 4
    file.write_bytes(bytes(content))


def lose(file: Path) -> None:
    file.unlink()


@pytest.mark.parametrize("damage", [truncate, empty, flip, lose])
@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "progress.json", "checkpoint.json"])
def test_any_damage_is_found(tmp_path: Path, damage: Any, name: str) -> None:
    path = save_checkpoint(tmp_path, small())
    damage(path / name)
    with pytest.raises(CheckpointError, match=name):
        load_checkpoint(path)


def test_no_flipped_bit_of_the_index_goes_by_unseen_or_unexplained(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, small())
    index = path / "checkpoint.json"
    whole = index.read_bytes()
    for place in range(len(whole)):
        content = bytearray(whole)
        content[place] ^= 1 << (place % 7)
        index.write_bytes(bytes(content))
        try:
            assert same(load_checkpoint(path), small())  # a flip in white space or in `step`, which is not read
        except CheckpointError:
            continue


def test_the_newest_whole_one_is_found_and_the_damaged_are_named_and_kept(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        save_checkpoint(tmp_path, small(step))
    truncate(tmp_path / "step-00000003" / "model.safetensors")
    found, damaged = newest_checkpoint(tmp_path)
    assert found is not None
    assert found.step == 2
    assert len(damaged) == 1
    assert "step-00000003" in damaged[0]
    assert "truncated" in damaged[0]
    assert len(steps_in(tmp_path)) == 3
    assert newest_checkpoint(tmp_path / "nowhere") == (None, [])


def test_saving_over_a_damaged_one_mends_it_and_over_a_whole_one_does_nothing(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, small())
    before = (path / "model.safetensors").stat().st_mtime_ns
    save_checkpoint(tmp_path, small())
    assert (path / "model.safetensors").stat().st_mtime_ns == before
    flip(path / "model.safetensors")
    save_checkpoint(tmp_path, small())
    assert same(load_checkpoint(path), small())


def names(folder: Path) -> list[int]:
    return [int(path.name[5:]) for path in steps_in(folder)]


def test_pruning_keeps_the_last_and_the_best(tmp_path: Path) -> None:
    for step in (1, 2, 3, 4, 5):
        save_checkpoint(tmp_path, small(step))
    prune_checkpoints(tmp_path, 5, 2, best_step=1)
    assert names(tmp_path) == [1, 4, 5]
    prune_checkpoints(tmp_path, 5, 1, best_step=None)
    assert names(tmp_path) == [5]


def test_pruning_never_counts_a_damaged_later_one(tmp_path: Path) -> None:
    """A resume from step 2 past a damaged step 9: what it saves must not be what is deleted."""
    for step in (1, 2, 9):
        save_checkpoint(tmp_path, small(step))
    save_checkpoint(tmp_path, small(3))
    prune_checkpoints(tmp_path, 3, 1, best_step=None)
    assert names(tmp_path) == [3, 9]


def test_steps_of_nine_digits_sort_as_numbers(tmp_path: Path) -> None:
    for step in (99_999_999, 100_000_000):
        save_checkpoint(tmp_path, small(step))
    assert names(tmp_path) == [99_999_999, 100_000_000]


@pytest.mark.parametrize("optimizer", [AdamW(), Muon()])
def test_optimizer_state_goes_out_and_in_bit_for_bit(optimizer: AdamW | Muon) -> None:
    from linnet.model import Network
    from linnet.zoo import Linnet

    def build() -> tuple[Network, list[torch.optim.Optimizer]]:
        network = Network(Linnet(n_layers=1, n_heads=2, d_model=8).sentence(11), seed=0)
        return network, optimizer.build(network)

    def step(network: Network, optimizers: list[torch.optim.Optimizer], seed: int) -> None:
        draws = torch.Generator().manual_seed(seed)
        for parameter in network.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=draws)
        for each in optimizers:
            each.step()

    one, ones = build()
    step(one, ones, 1)
    tensors = {name: tensor.clone() for name, tensor in optimizer_tensors(one, ones).items()}
    other, others = build()
    other.load_state_dict(one.state_dict())
    restore_optimizers(other, others, tensors)
    for network, optimizers in ((one, ones), (other, others)):
        step(network, optimizers, 2)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    with pytest.raises(CheckpointError, match="optimizer state for 0/nothing/momentum"):
        restore_optimizers(other, others, {"0/nothing/momentum": torch.zeros(1)})
    with pytest.raises(CheckpointError, match="optimizer state for 7/"):
        restore_optimizers(other, others, {"7/" + next(iter(tensors))[2:]: torch.zeros(1)})


# ---- in a run --------------------------------------------------------------------------------------------------------


@pytest.fixture
def stopped(tmp_path: Path) -> Path:
    """A run that stands at step 12 of 12 without its model; checkpoints of 10, 12 (and the best)."""
    folder = tiny_run.trained_copy(tmp_path / "run")
    (folder / "model.safetensors").unlink()
    return folder


@pytest.mark.parametrize("damage", [truncate, flip, lose])
def test_a_run_passes_over_its_damaged_newest_checkpoint_with_a_warning(stopped: Path, tmp_path: Path, damage: Any) -> None:
    alone = tiny_run.trained_copy(tmp_path / "alone")
    damage(stopped / "checkpoints" / "step-00000012" / "optimizer.safetensors")
    result = tiny_run.go(stopped, resume=True)
    warnings = json.loads((stopped / "summary.json").read_text("utf-8"))["warnings"]
    assert any("damaged checkpoint was passed over" in warning and "step-00000012" in warning for warning in warnings)
    assert result.step == 12
    for name in ("model.safetensors", "metrics.jsonl", "checkpoints/step-00000012/optimizer.safetensors"):
        assert (stopped / name).read_bytes() == (alone / name).read_bytes(), name


def test_a_run_without_a_whole_checkpoint_says_so_and_deletes_nothing(stopped: Path) -> None:
    for path in steps_in(stopped / "checkpoints"):
        truncate(path / "model.safetensors")
    before = sorted(path for path in stopped.rglob("*") if path.is_file())
    metrics = (stopped / "metrics.jsonl").read_bytes()
    with pytest.raises(CheckpointError, match="no checkpoint of this run is whole"):
        tiny_run.go(stopped, resume=True)
    assert sorted(path for path in stopped.rglob("*") if path.is_file()) == before
    assert (stopped / "metrics.jsonl").read_bytes() == metrics


def test_a_damaged_best_checkpoint_costs_the_best_and_not_the_run(tmp_path: Path) -> None:
    table = tiny_run.tiny(
        validation={"every": 1, "batches": 1}, checkpoint={"every": 100}, optimizer={"kind": "adamw", "learning_rate": 0.5}
    )
    table["schedule"] = {"kind": "constant"}
    folder = tiny_run.go(tmp_path / "run", table).folder
    progress = load_checkpoint(steps_in(folder / "checkpoints")[-1]).progress
    best = folder / "checkpoints" / f"step-{progress['best_step']:08d}"
    assert progress["best_step"] < 12, "the case needs a run that becomes worse"
    kept = (folder / "model.safetensors").read_bytes()
    assert torch.equal(load_checkpoint(best).model["embedding.weight"], load_weights(folder)["embedding.weight"])
    truncate(best / "model.safetensors")
    (folder / "summary.json").unlink()  # as where it was stopped before its end
    tiny_run.go(folder, table, resume=True)
    assert "the best checkpoint is damaged" in (folder / "summary.json").read_text("utf-8")
    assert (folder / "model.safetensors").read_bytes() != kept


def load_weights(folder: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


def test_a_full_disk_during_a_save_is_said_and_the_checkpoint_before_stays(tmp_path: Path) -> None:
    import errno

    from linnet.core.files import write_tensors

    folder = tmp_path / "run"

    def full(path: Path, tensors: Any, metadata: Any = None) -> None:
        if "step-00000006" in str(path):
            path.write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        write_tensors(path, tensors, metadata)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("linnet.train.checkpoint.write_tensors", full)
        with pytest.raises(LinnetError, match="the disk is full"):
            tiny_run.go(folder)
    assert names(folder / "checkpoints")[-1] == 4
    assert not list(folder.rglob("*.writing"))
    assert tiny_run.go(folder, resume=True).why == "finished"
    shutil.rmtree(folder)

"""Checkpoints: whole or absent, verified when read, the last few and the best kept.

    checkpoints/step-00001000/  model.safetensors · optimizer.safetensors · progress.json · checkpoint.json

`checkpoint.json` holds size and SHA-256 of the other files. The folder is written under a temporary name, synced and
renamed, so a run that is killed at any moment leaves the checkpoint before it untouched. Nothing is ever unpickled.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from linnet.core.errors import CheckpointError, explain, listing
from linnet.core.files import atomic_folder, read_json, sha256_file, write_json, write_tensors

FORMAT = 1
TENSORS = ("model.safetensors", "optimizer.safetensors")
FILES = (*TENSORS, "progress.json")


@dataclass(frozen=True)
class Checkpoint:
    """Everything a run needs to go on as if nothing had happened."""

    step: int
    model: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    progress: dict[str, Any]


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> Path:
    """Write `folder`/step-…; returns its path. A finished checkpoint of that step is left as it is."""
    target = step_folder(folder, checkpoint.step)
    if target.exists():
        if not problems_of(target):
            return target
        shutil.rmtree(target)
    with atomic_folder(target) as temporary:
        for name, tensors in zip(TENSORS, (checkpoint.model, checkpoint.optimizer), strict=True):
            write_tensors(temporary / name, tensors)
        write_json(temporary / "progress.json", checkpoint.progress)
        files = {path.name: {"bytes": path.stat().st_size, "sha256": sha256_file(path)} for path in sorted(temporary.iterdir())}
        write_json(temporary / "checkpoint.json", {"format": FORMAT, "step": checkpoint.step, "files": files})
    return target


def problems_of(path: Path) -> list[str]:
    """What is wrong with the checkpoint in `path`, by size and hash; empty if it is whole."""
    try:
        index = read_json(path / "checkpoint.json", what="the index of a checkpoint", error=CheckpointError)
    except CheckpointError as error:
        return [str(error)]
    if not isinstance(index, dict) or index.get("format") != FORMAT:
        return [f"checkpoint.json has format {index.get('format') if isinstance(index, dict) else index!r}; needed: {FORMAT}"]
    files = index.get("files")
    if (
        not isinstance(files, dict)
        or set(files) != set(FILES)
        or not all(isinstance(f, dict) and {"bytes", "sha256"} <= set(f) for f in files.values())
    ):
        return [f"checkpoint.json does not say size and SHA-256 of {', '.join(FILES)}"]
    found = []
    for name, facts in files.items():
        file = path / name
        if not file.is_file():
            found.append(f"{name} is missing")
        elif file.stat().st_size != facts["bytes"]:
            found.append(f"{name} has {file.stat().st_size:,} bytes; needed: {facts['bytes']:,} (truncated?)")
        elif sha256_file(file) != facts["sha256"]:
            found.append(f"{name} was changed: its SHA-256 is not the one it was saved with")
    return found


def load_checkpoint(path: Path) -> Checkpoint:
    """Read and verify one checkpoint; raises CheckpointError with all that is wrong."""
    path = Path(path)
    if not path.is_dir():
        raise CheckpointError(
            explain(
                f"there is no checkpoint at {path}",
                need="a folder step-…",
                hint="one of " + ", ".join(p.name for p in steps_in(path.parent)),
            )
        )
    found = problems_of(path)
    if found:
        raise CheckpointError(listing(found, f"checkpoint {path}"))
    try:
        model, optimizer = (load_file(path / name) for name in TENSORS)
    except SafetensorError as error:
        raise CheckpointError(explain(f"{path} cannot be read ({error})", need="safetensors files")) from error
    progress = json.loads((path / "progress.json").read_text("utf-8"))
    return Checkpoint(int(progress["step"]), model, optimizer, progress)


def steps_in(folder: Path) -> list[Path]:
    """The finished checkpoints of a run, oldest first."""
    if not Path(folder).is_dir():
        return []
    return sorted((p for p in Path(folder).iterdir() if re.fullmatch(r"step-\d{8,}", p.name)), key=step_of)


def step_folder(folder: Path, step: int) -> Path:
    """Where in `folder` the checkpoint of a step lies, or would."""
    return Path(folder) / f"step-{step:08d}"


def step_of(path: Path) -> int:
    """The step in a checkpoint's name."""
    return int(path.name.removeprefix("step-"))


def newest_checkpoint(folder: Path) -> tuple[Checkpoint | None, list[str]]:
    """The newest checkpoint that is whole, and what was wrong with newer ones; (None, …) where there is none."""
    damaged: list[str] = []
    for path in reversed(steps_in(folder)):
        try:
            return load_checkpoint(path), damaged
        except CheckpointError as error:
            damaged.append(str(error))
    return None, damaged


def prune_checkpoints(folder: Path, newest: int, keep_last: int, best_step: int | None) -> None:
    """Delete all but the best and, besides it, the last `keep_last` up to step `newest`, which was saved just now. So a
    run takes the same room whether its best step comes early or late. (Later ones than `newest` were damaged and passed
    over by a resume: they count for nothing, and are written again when their step comes.)"""
    paths = [path for path in steps_in(folder) if step_of(path) <= newest and step_of(path) != best_step]
    for path in paths[:-keep_last]:
        shutil.rmtree(path, ignore_errors=True)


def optimizer_tensors(network: nn.Module, optimizers: list[torch.optim.Optimizer]) -> dict[str, Tensor]:
    """All optimizer state, by name: `0/decoder.layers.0…weight/exp_avg`."""
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    tensors: dict[str, Tensor] = {}
    for index, optimizer in enumerate(optimizers):
        for parameter, state in optimizer.state.items():
            for key, value in state.items():
                tensors[f"{index}/{names[id(parameter)]}/{key}"] = value
    return tensors


def restore_optimizers(network: nn.Module, optimizers: list[torch.optim.Optimizer], tensors: Mapping[str, Tensor]) -> None:
    """Put optimizer state back; raises CheckpointError for state of parameters that are not there."""
    parameters = dict(network.named_parameters())
    for name, tensor in tensors.items():
        index, _, rest = name.partition("/")
        parameter_name, _, key = rest.rpartition("/")
        if parameter_name not in parameters or int(index) >= len(optimizers):
            raise CheckpointError(
                explain(f"optimizer state for {name}", need="the model and optimizer the checkpoint was made with")
            )
        parameter = parameters[parameter_name]
        device = "cpu" if key == "step" and parameter.device.type == "cpu" else parameter.device
        optimizers[int(index)].state[parameter][key] = tensor.to(device)

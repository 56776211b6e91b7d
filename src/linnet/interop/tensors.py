"""The safetensors of a Hugging Face folder: looked over without being read, read one by one, written in parts.

    model.safetensors   or   model.safetensors.index.json  →  model-00001-of-00002.safetensors …

Only the beginning of a file says what is in it, so that everything that does not fit is found before a number is read.
Pickled weights (.bin, .pt) can run code on being read: they are named and refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from linnet.core.errors import CheckpointError, explain
from linnet.core.files import read_json, write_json, write_tensors

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
LARGEST_FILE = 5 * 10**9  # bytes: above it weights are written in parts
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.h5", "*.msgpack")
DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}  # which float32 holds without rounding
Progress = Callable[[str, int, int], None]  # (what, done, all)


@dataclass(frozen=True)
class Header:
    """What a file says of one tensor: its shape, its dtype as safetensors spells it, and the file."""

    shape: tuple[int, ...]
    dtype: str
    file: Path


def look_over(folder: Path) -> tuple[dict[str, Header], list[str]]:
    """Name → header of all tensors of a folder, and everything that is wrong with its files."""
    files, placed, problems = files_of(folder)
    headers: dict[str, Header] = {}
    for file in files:
        try:
            with safe_open(file, framework="pt") as opened:
                for name in opened.keys():  # noqa: SIM118
                    part = opened.get_slice(name)
                    if name in headers:
                        problems.append(f"{name} is in {headers[name].file.name} and in {file.name}")
                    headers[name] = Header(tuple(part.get_shape()), str(part.get_dtype()), file)
        except (SafetensorError, OSError) as error:
            problems.append(f"{file.name} cannot be read ({error}); needed: a whole safetensors file; try: an undamaged copy")
    if placed is not None and not problems:
        for name, file_name in placed.items():
            if name not in headers or headers[name].file.name != file_name:
                problems.append(f"{INDEX} says that {name} is in {file_name}, which does not have it")
        problems += [
            f"{name} is in {header.file.name}, but not in {INDEX}" for name, header in headers.items() if name not in placed
        ]
    return headers, problems


def files_of(folder: Path) -> tuple[list[Path], dict[str, str] | None, list[str]]:
    """The files of a folder's weights, where its index says that tensors are, and what is wrong."""
    if (folder / SINGLE).is_file():
        return [folder / SINGLE], None, []
    if (folder / INDEX).is_file():
        try:
            index = read_json(folder / INDEX, what="the index of sharded weights", error=CheckpointError)
        except CheckpointError as error:
            return [], None, [str(error)]
        placed = index.get("weight_map") if isinstance(index, dict) else None
        if not isinstance(placed, dict) or not all(isinstance(name, str) and Path(name).name == name for name in placed.values()):
            return [], None, [f"{INDEX} has no weight_map of tensors and files beside it"]
        names = sorted(set(placed.values()))
        missing = [name for name in names if not (folder / name).is_file()]
        problems = [f"{name} is missing, which {INDEX} names; try: fetching it again" for name in missing]
        return [folder / name for name in names if name not in missing], placed, problems
    others = sorted(path.name for pattern in PICKLES for path in folder.glob(pattern))
    if others:
        got = f"the weights are in {', '.join(others)}, which no safetensors are: reading a pickle can run code"
        hint = "the safetensors version of this model, or model.save_pretrained(…) where you trust the file"
        return [], None, [explain(got, need=SINGLE, hint=hint)]
    parts = sorted(path.name for path in folder.glob("*.safetensors"))
    beside = f" (there are {', '.join(parts)})" if parts else ""
    return [], None, [explain(f"there is no {SINGLE}{beside}", need=f"it, or {INDEX} and its parts")]


def wrong_dtypes(headers: Mapping[str, Header]) -> list[str]:
    """What cannot be held in float32 as it is: weights that were quantized, whole numbers, doubles."""
    by_dtype: dict[str, list[str]] = {}
    for name, header in headers.items():
        if header.dtype not in DTYPES:
            by_dtype.setdefault(header.dtype, []).append(name)
    return [
        f"{names[0]}{f' and {len(names) - 1:,} more' if len(names) > 1 else ''} of dtype {dtype}; needed: {', '.join(DTYPES)}"
        for dtype, names in by_dtype.items()
    ]


def each_tensor(headers: Mapping[str, Header], progress: Progress | None = None) -> Iterator[tuple[str, Tensor]]:
    """The tensors, one by one, in float32."""
    by_file: dict[Path, list[str]] = {}
    for name, header in headers.items():
        by_file.setdefault(header.file, []).append(name)
    done = 0
    for file, names in by_file.items():
        with safe_open(file, framework="pt") as opened:
            for name in names:
                yield name, opened.get_tensor(name).to(torch.float32)
                done += 1
                if progress is not None:
                    progress("reading weights", done, len(headers))


def write_parts(
    folder: Path, tensors: Mapping[str, Tensor], *, largest: int = LARGEST_FILE, progress: Progress | None = None
) -> None:
    """model.safetensors; above `largest` bytes in parts, with their index."""
    parts: list[dict[str, Tensor]] = [{}]
    room = largest
    for name, tensor in tensors.items():
        if parts[-1] and tensor.nbytes > room:
            parts.append({})
            room = largest
        parts[-1][name] = tensor
        room -= tensor.nbytes
    names = [SINGLE] if len(parts) == 1 else [f"model-{i:05d}-of-{len(parts):05d}.safetensors" for i in range(1, len(parts) + 1)]
    for done, (file, part) in enumerate(zip(names, parts, strict=True), 1):
        write_tensors(folder / file, part, {"format": "pt"})
        if progress is not None:
            progress("writing weights", done, len(parts))
    if len(parts) > 1:
        placed = {name: file for file, part in zip(names, parts, strict=True) for name in part}
        facts: dict[str, Any] = {"total_size": sum(tensor.nbytes for tensor in tensors.values())}
        write_json(folder / INDEX, {"metadata": facts, "weight_map": placed})

"""What a model is fed: the one thing that data, objectives and the loop share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """A rectangle of tokens and what is to be learned from it.

    tokens     (B, T) int64    what the model reads
    targets    (B, T) int64    what it should say at each place: the next token, already shifted, or the one that was hidden there
    weights    (B, T) float32  0 = not learned (padding, prompts, other roles)
    documents  (B, T) int32    only equal numbers may attend to each other; -1 = padding; None: one document a row
    source     the encoder's side, where there is one
    extra      what an objective needs beyond that
    """

    tokens: Tensor
    targets: Tensor
    weights: Tensor
    documents: Tensor | None = None
    source: Batch | None = None
    extra: Mapping[str, Tensor] = field(default_factory=dict)

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on another device."""
        moved: dict[str, Any] = {}
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, (Tensor, Batch)):
                moved[item.name] = value.to(device)
        moved["extra"] = {name: value.to(device) for name, value in self.extra.items()}
        return replace(self, **moved)

    def rows(self, start: int, stop: int) -> Batch:
        """Rows start … stop - 1, for micro-batches."""
        cut: dict[str, Any] = {}
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, Tensor):
                cut[item.name] = value[start:stop]
            elif isinstance(value, Batch):
                cut[item.name] = value.rows(start, stop)
        cut["extra"] = {name: value[start:stop] for name, value in self.extra.items()}
        return replace(self, **cut)


@runtime_checkable
class BatchSource(Protocol):
    """Anything that yields batches for ever and can say, and be told, exactly where it stands."""

    def __iter__(self) -> Iterator[Batch]: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None: ...

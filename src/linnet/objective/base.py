"""What a training method is: a loss over a batch, never a trainer.

`count` is known before the backward pass, so the loop can divide by the learned tokens of the whole step: how the
batch is cut into micro-batches, or dealt to machines, never changes the loss.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from linnet.data.batch import Batch
from linnet.model.network import Network


class Loss(NamedTuple):
    """total: a sum, never a mean, with a graph · logs: name → (sum, count), which add up exactly over micro-batches."""

    total: Tensor
    logs: Mapping[str, tuple[Tensor, Tensor]]


class Objective(Protocol):
    """One training method."""

    def count(self, batch: Batch) -> Tensor:
        """How much is learned from a batch: the number that the sum is divided by."""
        ...

    def __call__(self, network: Network, batch: Batch, generator: torch.Generator | None = None) -> Loss:
        """The loss of a batch; `generator` feeds dropout."""
        ...

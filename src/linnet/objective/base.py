"""What a training method is: a loss over a batch, never a trainer.

`count` is known before the backward pass, so the loop can divide by the learned tokens of the whole step: how the
batch is cut into micro-batches, or dealt to machines, never changes the loss.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import ClassVar, NamedTuple, Protocol

import torch
from torch import Tensor

from linnet.core.spec import Spec
from linnet.data.batch import Batch
from linnet.model.network import Network
from linnet.model.spec import Model
from linnet.tokenizer.base import Tokenizer
from linnet.tokenizer.spec import TokenizerSpec


class Loss(NamedTuple):
    """total: a sum, never a mean, with a graph · logs: name → (sum, count), which add up exactly over micro-batches."""

    total: Tensor
    logs: Mapping[str, tuple[Tensor, Tensor]]


class Objective(Protocol):
    """One training method.

    adds_up   whether the losses of a text's tokens add up to -log p of the text, so that bits a byte can be said
    """

    adds_up: ClassVar[bool] = True

    def posed(self, batches: Iterable[Batch], seed: int, first: int = 0) -> Iterator[Batch]:
        """Batches of text, on the CPU, with what is asked of the network in them.

        seed, first   of chance, and the number of the first batch: batch n is asked the same whatever came before it
        """
        return iter(batches)

    def count(self, batch: Batch) -> Tensor:
        """How much is learned from a batch: the number that the sum is divided by."""
        ...

    def __call__(self, network: Network, batch: Batch, generator: torch.Generator | None = None) -> Loss:
        """The loss of a batch as it was posed; `generator` feeds dropout."""
        ...


class ObjectiveSpec(Spec):
    """Family: training methods, as a run file says them."""

    def with_special(self, tokenizer: TokenizerSpec) -> TokenizerSpec:
        """A tokenizer with the special tokens that it needs, where it is trained for the run."""
        return tokenizer

    def bound(self, tokenizer: Tokenizer) -> Objective:
        """The method for a tokenizer's ids. Raises TokenizerError where it lacks a special token."""
        raise NotImplementedError

    def check(self, model: Model) -> None:
        """Raise ConfigError for a model that cannot learn so."""

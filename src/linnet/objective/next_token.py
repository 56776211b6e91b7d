"""Next-token prediction, the pretraining objective: Σ_t w_t · -log p(x_{t+1} | x_1 … x_t), and p(x_{t+1} | x_1 … x_t, source) of pairs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from linnet.data.batch import Batch
from linnet.model.causal import check_writes
from linnet.model.network import Network
from linnet.model.spec import Model
from linnet.objective.base import Loss, Objective, ObjectiveSpec
from linnet.objective.token_loss import token_loss
from linnet.tokenizer.base import Tokenizer


class NextToken(ObjectiveSpec):
    """Predict the next token at every place that has a weight; of pairs those of the target, given the source.

    label_smoothing   the share of a target's probability that is dealt out to all tokens alike (1512.00567, section 7); what is logged
                      is the loss without it
    """

    kind: Literal["next_token"] = "next_token"
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    adds_up: ClassVar[bool] = True

    @classmethod
    def examples(cls) -> tuple[NextToken, ...]:
        return cls(), cls(label_smoothing=0.1)

    def bound(self, tokenizer: Tokenizer) -> Objective:
        return self

    def check(self, model: Model) -> None:
        """Refuse a model that sees what it is to predict, whose loss falls to nothing and means nothing."""
        hint = "causal: true, or another family, such as model: llama; what sees both ways learns by objective: masked"
        check_writes(model, "to learn to predict the next token", hint=hint)

    def posed(self, batches: Iterable[Batch], seed: int, first: int = 0) -> Iterator[Batch]:
        """The batches as they are."""
        return iter(batches)

    def count(self, batch: Batch) -> Tensor:
        """Sum of the weights: learned tokens."""
        return batch.weights.sum()

    def __call__(self, network: Network, batch: Batch, generator: torch.Generator | None = None) -> Loss:
        return token_loss(network, batch, self.count(batch), generator, self.label_smoothing, sparse=batch.source is not None)

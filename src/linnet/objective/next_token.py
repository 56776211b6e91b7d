"""Next-token prediction, the pretraining objective: Σ_t w_t · -log p(x_{t+1} | x_1 … x_t), and p(x_{t+1} | x_1 … x_t, source) of pairs."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from linnet.core.spec import Spec
from linnet.data.batch import Batch
from linnet.model.network import Network
from linnet.model.state import Source
from linnet.objective.base import Loss
from linnet.ops.loss import chunk_rows, linear_cross_entropy, smoothing_term


class ObjectiveSpec(Spec):
    """Family: training methods; each is an Objective (objective/base.py)."""

    def count(self, batch: Batch) -> Tensor:
        raise NotImplementedError

    def __call__(self, network: Network, batch: Batch, generator: torch.Generator | None = None) -> Loss:
        raise NotImplementedError


class NextToken(ObjectiveSpec):
    """Predict the next token at every place that has a weight; of pairs those of the target, given the source.

    label_smoothing   the share of a target's probability that is dealt out to all tokens alike (1512.00567, section 7); what is logged
                      is the loss without it
    """

    kind: Literal["next_token"] = "next_token"
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)

    @classmethod
    def examples(cls) -> tuple[NextToken, ...]:
        return cls(), cls(label_smoothing=0.1)

    def count(self, batch: Batch) -> Tensor:
        """Sum of the weights: learned tokens."""
        return batch.weights.sum()

    def __call__(self, network: Network, batch: Batch, generator: torch.Generator | None = None) -> Loss:
        source = source_of(network, batch, generator)
        hidden, _, aux = network(batch.tokens, documents=batch.documents, generator=generator, source=source)  # (B, T, D)
        hidden, targets, weights = hidden.flatten(0, 1), batch.targets.flatten(), batch.weights.flatten()
        if batch.source is not None:  # padding costs no scores
            taught = weights.nonzero()[:, 0]
            hidden, targets, weights = hidden[taught], targets[taught], weights[taught]
        total = next_token_loss(network, hidden, targets, weights)
        count, plain = self.count(batch), total.detach()
        if self.label_smoothing:
            total = total + self.label_smoothing * smoothing(network, hidden, targets, weights)
        for name, extra in aux.items():
            if name.startswith("loss/"):  # a number a token
                total = total + extra * count
        logs = {name: (pair[0], pair[1]) for name, pair in aux.items() if not name.startswith("loss/")}
        return Loss(total, {"loss": (plain, count), **logs})


def source_of(network: Network, batch: Batch, generator: torch.Generator | None = None) -> Source | None:
    """What the network's encoder makes of a batch's sources; None where there are none."""
    given = batch.source
    return None if given is None else network.read(given.tokens, documents=given.documents, generator=generator)


def next_token_loss(network: Network, hidden: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Weighted sum of cross entropies, in chunks. hidden (N, D), targets (N,), weights (N,) → scalar."""
    if network.head_matrix is not None:
        return linear_cross_entropy(hidden, network.head_matrix, targets, weights)

    def piece(h: Tensor, y: Tensor, w: Tensor) -> Tensor:
        scores = network.logits(h)
        scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
        return (torch.nn.functional.cross_entropy(scores, y, reduction="none") * w).sum()

    chunk = chunk_rows(network.spec.vocab_size, hidden.shape[0])
    rows = zip(hidden.split(chunk), targets.split(chunk), weights.split(chunk), strict=True)
    return torch.stack([checkpoint(piece, h, y, w, use_reentrant=False) for h, y, w in rows]).sum()


def smoothing(network: Network, hidden: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """What label smoothing adds, for a share of 1. hidden (N, D), targets (N,), weights (N,) → scalar."""
    if network.head_matrix is not None:
        return smoothing_term(hidden, network.head_matrix, targets, weights)

    def piece(h: Tensor, y: Tensor, w: Tensor) -> Tensor:
        scores = network.logits(h)
        scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
        return ((scores.gather(-1, y[:, None])[:, 0] - scores.mean(-1)) * w).sum()

    chunk = chunk_rows(network.spec.vocab_size, hidden.shape[0])
    rows = zip(hidden.split(chunk), targets.split(chunk), weights.split(chunk), strict=True)
    return torch.stack([checkpoint(piece, h, y, w, use_reentrant=False) for h, y, w in rows]).sum()

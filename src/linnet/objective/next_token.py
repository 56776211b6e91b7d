"""Next-token prediction, the pretraining objective: Σ_t w_t · -log p(x_{t+1} | x_1 … x_t)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from linnet.core.spec import Spec
from linnet.data.batch import Batch
from linnet.model.network import Network
from linnet.objective.base import Loss
from linnet.ops.loss import chunk_rows, linear_cross_entropy


class ObjectiveSpec(Spec):
    """Family: training methods; each is an Objective (objective/base.py)."""

    def count(self, batch: Batch) -> Tensor:
        raise NotImplementedError

    def __call__(self, network: Network, batch: Batch, generator: torch.Generator | None = None) -> Loss:
        raise NotImplementedError


class NextToken(ObjectiveSpec):
    """Predict the next token at every place that has a weight."""

    kind: Literal["next_token"] = "next_token"

    def count(self, batch: Batch) -> Tensor:
        """Sum of the weights: learned tokens."""
        return batch.weights.sum()

    def __call__(self, network: Network, batch: Batch, generator: torch.Generator | None = None) -> Loss:
        given = batch.source
        source = None if given is None else network.read(given.tokens, documents=given.documents, generator=generator)
        hidden, _, aux = network(batch.tokens, documents=batch.documents, generator=generator, source=source)  # (B, T, D)
        total = next_token_loss(network, hidden.flatten(0, 1), batch.targets.flatten(), batch.weights.flatten())
        count, plain = self.count(batch), total.detach()
        for name, extra in aux.items():
            if name.startswith("loss/"):  # a number a token
                total = total + extra * count
        logs = {name: (pair[0], pair[1]) for name, pair in aux.items() if not name.startswith("loss/")}
        return Loss(total, {"loss": (plain, count), **logs})


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

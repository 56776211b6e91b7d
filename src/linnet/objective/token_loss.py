"""What a batch's targets cost a network: Σ w · -log p(target), the sum that objectives over tokens share."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.utils.checkpoint import checkpoint

from linnet.data.batch import Batch
from linnet.model.network import Network
from linnet.model.state import Source
from linnet.objective.base import Loss
from linnet.ops.loss import chunk_rows, linear_cross_entropy, smoothing_term


def source_of(network: Network, batch: Batch, generator: torch.Generator | None = None) -> Source | None:
    """What the network's encoder makes of a batch's sources; None where there are none."""
    given = batch.source
    return None if given is None else network.read(given.tokens, documents=given.documents, generator=generator)


def token_loss(
    network: Network,
    batch: Batch,
    count: Tensor,
    generator: torch.Generator | None = None,
    label_smoothing: float = 0.0,
    *,
    sparse: bool,
) -> Loss:
    """Σ w · -log p(target) over a batch's places, and what its layers add to it.

    count    what that is to be divided by, and what layers add is multiplied with
    sparse   whether many places have no weight: scores are then made for the others alone
    """
    source = source_of(network, batch, generator)
    hidden, _, aux = network(batch.tokens, documents=batch.documents, generator=generator, source=source)  # (B, T, D)
    hidden, targets, weights = hidden.flatten(0, 1), batch.targets.flatten(), batch.weights.flatten()
    if sparse:
        taught = weights.nonzero()[:, 0]
        hidden, targets, weights = hidden[taught], targets[taught], weights[taught]
    total = cross_entropy_sum(network, hidden, targets, weights)
    plain = total.detach()
    if label_smoothing:
        total = total + label_smoothing * smoothing(network, hidden, targets, weights)
    for name, extra in aux.items():
        if name.startswith("loss/"):  # a number a token
            total = total + extra * count
    logs = {name: (pair[0], pair[1]) for name, pair in aux.items() if not name.startswith("loss/")}
    return Loss(total, {"loss": (plain, count), **logs})


def cross_entropy_sum(network: Network, hidden: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Weighted sum of cross entropies, in chunks. hidden (N, D), targets (N,), weights (N,) → scalar."""
    if network.head_matrix is not None:
        return linear_cross_entropy(hidden, network.head_matrix, targets, weights)
    return score_sum(network, lambda scores, y: cross_entropy(scores, y, reduction="none"), hidden, targets, weights)


def smoothing(network: Network, hidden: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """What label smoothing adds, for a share of 1. hidden (N, D), targets (N,), weights (N,) → scalar."""
    if network.head_matrix is not None:
        return smoothing_term(hidden, network.head_matrix, targets, weights)
    return score_sum(network, lambda scores, y: scores.gather(-1, y[:, None])[:, 0] - scores.mean(-1), hidden, targets, weights)


def score_sum(
    network: Network, cost: Callable[[Tensor, Tensor], Tensor], hidden: Tensor, targets: Tensor, weights: Tensor
) -> Tensor:
    """Σ w · cost(scores (n, V), targets (n,)), scores made for some places at a time and again on the way back; see above for shapes."""

    def piece(h: Tensor, y: Tensor, w: Tensor) -> Tensor:
        scores = network.logits(h)
        return (cost(scores.to(torch.promote_types(scores.dtype, torch.float32)), y) * w).sum()

    chunk = chunk_rows(network.spec.vocab_size, hidden.shape[0])
    rows = zip(hidden.split(chunk), targets.split(chunk), weights.split(chunk), strict=True)
    return torch.stack([checkpoint(piece, h, y, w, use_reentrant=False) for h, y, w in rows]).sum()

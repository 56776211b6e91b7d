"""Loss by position: what a token costs, by how far into its document it stands.

    nats(bucket) = Σ nats / Σ tokens over the tokens whose position is in the bucket        buckets 0, 1–2, 3–6 … or of one width

A model that uses what it has read says later tokens more cheaply; one that breaks beyond the length it was trained on shows
where. Intervals are block bootstraps over runs of neighbouring rows (bootstrap.py), for tokens of one row are alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from linnet.core.errors import LinnetError, explain
from linnet.data.batch import Batch
from linnet.evaluate.bootstrap import Estimate, neighbours, ratio_interval
from linnet.model.context import document_begins
from linnet.model.network import Network
from linnet.ops.loss import token_losses


@dataclass(frozen=True)
class Bucket:
    """Positions first … last, how many tokens were scored there, and their mean loss in nats."""

    first: int
    last: int
    tokens: int
    nats: Estimate

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return {"first": self.first, "last": self.last, "tokens": self.tokens, **self.nats.to_dict()}


def doubling(length: int) -> list[int]:
    """Where buckets of 1, 2, 4 … positions begin, up to `length`: early positions differ most."""
    edges = [0]
    while edges[-1] < length:
        edges.append(min(length, 2 * edges[-1] + 1))
    return edges


def even(length: int, count: int) -> list[int]:
    """Where `count` buckets of one width begin (fewer for a shorter length), and where the last one ends."""
    return sorted({round(length * i / count) for i in range(count + 1)})


def positions_of(batch: Batch) -> torch.Tensor:
    """(B, T) the position of each token in its document, or in its row where rows are not told apart."""
    index = torch.arange(batch.tokens.shape[1]).expand(batch.tokens.shape)
    return index if batch.documents is None else index - document_begins(batch.documents.cpu())


@torch.inference_mode()
def losses_by_bucket(
    network: Network, batches: Iterable[Batch], edges: Sequence[int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sums of nats and numbers of tokens, (N, K) twice: N rows, K buckets of positions edges[k] … edges[k + 1] - 1."""
    if len(edges) < 2 or any(a >= b for a, b in pairwise(edges)):
        raise LinnetError(explain(f"buckets that begin at {list(edges)}", need="at least two numbers, rising"))
    borders, n = torch.tensor(list(edges)), len(edges) - 1
    sums, counts = [], []
    for batch in batches:
        nats = (nats_of(network, batch.to(network.device)).cpu().double() * batch.weights).numpy()  # (B, T)
        bucket = (torch.bucketize(positions_of(batch).contiguous(), borders, right=True) - 1).numpy()  # (B, T)
        live = batch.weights.numpy() * ((bucket >= 0) & (bucket < n))
        for row, at in enumerate(bucket.clip(0, n - 1)):
            sums.append(np.bincount(at, weights=nats[row] * live[row], minlength=n))
            counts.append(np.bincount(at, weights=live[row], minlength=n))
    if not sums:
        raise LinnetError(explain("no rows", need="at least one to score"))
    return np.stack(sums), np.stack(counts)


def nats_of(network: Network, batch: Batch) -> torch.Tensor:
    """-log p (B, T) of a batch's targets."""
    hidden, targets = network(batch.tokens, documents=batch.documents).hidden.flatten(0, 1), batch.targets.flatten()
    matrix = network.head_matrix
    if matrix is not None:
        return token_losses(hidden, matrix, targets).view_as(batch.weights)
    return torch.nn.functional.cross_entropy(network.logits(hidden).float(), targets, reduction="none").view_as(batch.weights)


def by_position(network: Network, batches: Iterable[Batch], edges: Sequence[int]) -> list[Bucket]:
    """Mean loss by position with 95 % intervals; buckets that no token is in are left out."""
    sums, counts = losses_by_bucket(network, batches, edges)
    blocks = neighbours(len(sums))
    return [
        Bucket(first, after - 1, int(counts[:, k].sum()), ratio_interval(sums[:, k], counts[:, k], blocks=blocks))
        for k, (first, after) in enumerate(pairwise(edges))
        if counts[:, k].sum() > 0
    ]

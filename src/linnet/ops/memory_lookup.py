"""Reading a large table by product keys (1907.05242): the best k of n² keys, found among 2 · n.

    key (i, j) = (a_i, b_j)      score_ij = q₁ · a_i + q₂ · b_j      the best k pairs lie in best k of a × best k of b

Were i not among the best k of the first half, then k others with the same j would be better than (i, j), or as good. So k² sums are
looked at instead of n²; `best_pairs_reference` looks at all.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def half_scores(queries: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
    """queries (N, H, K), keys (2, H, n, K / 2) → the scores of both halves, (N, H, n) each."""
    first, second = queries.transpose(0, 1).chunk(2, -1)  # (H, N, K / 2)
    a, b = keys.to(queries.dtype)
    return (first @ a.mT).transpose(0, 1), (second @ b.mT).transpose(0, 1)


def best_pairs_reference(first: Tensor, second: Tensor, top_k: int) -> tuple[Tensor, Tensor]:
    """scores (…, k), largest first, and indices (…, k) int64 = i · n + j, from all sums of first and second (…, n)."""
    sums = (first[..., :, None] + second[..., None, :]).flatten(-2)  # (…, n²)
    scores, index = sums.topk(top_k, -1)
    return scores, index


def best_pairs(first: Tensor, second: Tensor, top_k: int) -> tuple[Tensor, Tensor]:
    """The same, from the best of both halves."""
    n = first.shape[-1]
    few = min(top_k, n)
    a, i = first.topk(few, -1)
    b, j = second.topk(few, -1)
    scores, place = (a[..., :, None] + b[..., None, :]).flatten(-2).topk(top_k, -1)  # (…, k) of few²
    return scores, i.gather(-1, place // few) * n + j.gather(-1, place % few)


def read_reference(values: Tensor, index: Tensor, weights: Tensor) -> Tensor:
    """Σ_m weights_m · values[index_m]. values (n², D), index and weights (N, M) → (N, D)."""
    return (values[index] * weights[..., None]).sum(-2)


def read(values: Tensor, index: Tensor, weights: Tensor) -> Tensor:
    """The same, rows added as they are read: (N, M, D) is never written down."""
    if values.dtype not in (torch.float32, torch.float64) or weights.dtype != values.dtype:
        return read_reference(values, index, weights)
    return F.embedding_bag(index, values, per_sample_weights=weights, mode="sum")

"""Attention by content and by distance (Transformer-XL, 1901.02860, section 3.3).

    score_ij = (q_i + u) · k_j  +  (q_i + w) · r_{i-j}          r_d = Wr R_d: what a distance looks like, u and w the same everywhere

R_d are waves of falling frequency. The second product is needed for each pair, but its r only for each distance:
q times all distances is one product, after which row i is moved by i places, so that each score comes to stand with its key.

relative_attention_reference   writes out the distance of every pair
relative_attention             moves rows: lay an empty column before the distances, and read the same numbers in rows one longer
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from linnet.ops.rope import first_cosine


def distance_waves(n: int, d_model: int, like: Tensor) -> Tensor:
    """R (n, D) of the distances 0 … n - 1: D / 2 sines, then D / 2 cosines, of waves 2π … 10,000 · 2π long."""
    first_cosine()
    half = torch.arange(0, d_model, 2, dtype=torch.float32, device=like.device)
    angle = torch.arange(n, dtype=torch.float32, device=like.device)[:, None] * 10_000.0 ** (-half / d_model)
    return torch.cat((angle.sin(), angle.cos()), -1).to(like.dtype)


def relative_attention_reference(
    q: Tensor, k: Tensor, v: Tensor, r: Tensor, u: Tensor, w: Tensor, allowed: Tensor, *, scale: float
) -> Tensor:
    """The last W of C places look at all C of them, or at those that are allowed: none after their own.

    q (B, H, W, K), k and v (B, G, C, K), r (H, C, K) by distance, u and w (H, K), allowed (R, W, C) bool, R = B or 1
    → (B, H, W, K). A query that is allowed nothing gets numbers without a meaning.
    """
    n_queries, n_keys = q.shape[2], k.shape[2]
    shared = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(shared, 1), v.repeat_interleave(shared, 1)
    rows = []
    for i in range(n_queries):
        here = n_keys - n_queries + i
        query = q[:, :, i]  # (B, H, K)
        scores = []
        for j in range(n_keys):
            by_content = ((query + u) * k[:, :, j]).sum(-1)
            by_distance = ((query + w) * r[:, abs(here - j)]).sum(-1)
            scores.append((by_content + by_distance) * scale)
        score = torch.stack(scores, -1).masked_fill(~allowed[:, None, i], torch.finfo(q.dtype).min)  # (B, H, C)
        rows.append((score.softmax(-1)[:, :, None] @ v)[:, :, 0])
    return torch.stack(rows, 2)


def relative_attention(
    q: Tensor, k: Tensor, v: Tensor, r: Tensor, u: Tensor, w: Tensor, allowed: Tensor, *, scale: float
) -> Tensor:
    """The same in two products and a shift."""
    batch, heads, n_queries, width = q.shape
    groups, n_keys = k.shape[1], k.shape[2]
    if groups == heads:
        by_content = (q + u[:, None]) @ k.transpose(-2, -1)  # (B, H, W, C)
    else:
        grouped = (q + u[:, None]).reshape(batch, groups, -1, width)  # (B, G, H/G · W, K)
        by_content = (grouped @ k.transpose(-2, -1)).view(batch, heads, n_queries, n_keys)
    by_distance = shifted((q + w[:, None]) @ r.flip(1).transpose(-2, -1))  # (B, H, W, C), far to near
    score = (by_content + by_distance) * scale
    weights = score.masked_fill(~allowed[:, None], torch.finfo(score.dtype).min).softmax(-1)
    if groups == heads:
        return weights @ v
    return (weights.reshape(batch, groups, -1, n_keys) @ v).view(batch, heads, n_queries, width)


def shifted(x: Tensor) -> Tensor:
    """(…, W, C) → (…, W, C): row i moved W - 1 - i places to the left; what moves in at the right is other numbers, of no use."""
    n_rows, n_columns = x.shape[-2:]
    longer = pad(x, (1, 0)).view(*x.shape[:-2], n_columns + 1, n_rows)
    return longer[..., 1:, :].reshape(x.shape)

"""Attention to the nearest of many remembered places (Memorizing Transformers, 2203.08913, section 3.1).

    y_t = Σ_{s ∈ near(t)} softmax_{s ∈ near(t)}( q_t · k_s · scale ) v_s
    near(t): the `top_k` places s of begin_t ≤ s < end_t with the largest q_t · k_s, head by head

What is remembered gets no gradient: keys and values are read as constants, and only queries learn. A query that has
nothing to read gets zeros. Deliberately exact: no index is built that finds most of the nearest most of the time.

recall_reference   one query after the other, all scores sorted
recall             scores of some queries at a time, so that memory stays bounded however long the text is
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from linnet.ops.backward import own_backward

NUMBERS = 2**22  # written down at a time: scores, or the keys and values chosen


def recall_reference(q: Tensor, k: Tensor, v: Tensor, begin: Tensor, end: Tensor, *, top_k: int, scale: float) -> Tensor:
    """The formula as it stands: every score of every query, sorted.

    q (B, H, T, K), k and v (B, H, S, K), begin and end (B or 1, T) int64 index among the keys → (B, H, T, K).
    """
    k, v = k.detach(), v.detach()
    begin, end = (x.expand(q.shape[0], -1) for x in (begin, end))
    rows = []
    for row in range(q.shape[0]):
        for t in range(q.shape[2]):
            places = slice(int(begin[row, t]), max(int(begin[row, t]), int(end[row, t])))
            score = (k[row, :, places] * q[row, :, t, None]).sum(-1) * scale  # (H, number of places)
            best, order = score.sort(-1, descending=True)
            weight = best[:, :top_k].softmax(-1)  # (H, at most top_k)
            chosen = v[row, :, places].gather(1, order[:, :top_k, None].expand(-1, -1, v.shape[-1]))
            rows.append((weight[:, :, None] * chosen).sum(1))  # (H, K)
    return torch.stack(rows).unflatten(0, (q.shape[0], q.shape[2])).transpose(1, 2)


def recall(q: Tensor, k: Tensor, v: Tensor, begin: Tensor, end: Tensor, *, top_k: int, scale: float) -> Tensor:
    """The same, some queries at a time; what they chose is kept for the way back, and no score besides.

    Costs 2 · K products for each place between the first begin and the last end of such a group of queries, and 2 · K
    for each one chosen; a group holds at most `NUMBERS` numbers (or one query).
    """
    k, v = k.to(q.dtype), v.to(q.dtype)  # under autocast a state may hold them in another type
    if own_backward(q):
        return _Recall.apply(q, k, v, begin, end, top_k, scale)
    return _recalled(q, k, v, begin, end, top_k, scale)[0]


def _groups(q: Tensor, n_keys: int, top_k: int) -> Iterator[slice]:
    """Queries so many at a time that neither their scores nor what they choose takes too much room."""
    batch, heads, n_queries, width = q.shape
    size = max(1, NUMBERS // max(1, batch * heads * max(n_keys, min(top_k, n_keys) * width)))
    return (slice(start, min(start + size, n_queries)) for start in range(0, n_queries, size))


def _chosen(x: Tensor, index: Tensor) -> Tensor:
    """Places `index` (B, H, T, k) of x (B, H, S, K) → (B, H, T, k, K)."""
    batch, heads, n, width = x.shape
    offset = torch.arange(batch * heads, device=x.device).view(batch, heads, 1, 1) * n
    return x.reshape(-1, width)[index + offset]


def _recalled(
    q: Tensor, k: Tensor, v: Tensor, begin: Tensor, end: Tensor, top_k: int, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    """y (B, H, T, K), which places were chosen and how they were weighed, both (B, H, T, k)."""
    most = min(top_k, k.shape[2])
    y, weights = torch.zeros_like(q), q.new_zeros(*q.shape[:3], most)
    index = torch.zeros(*q.shape[:3], most, dtype=torch.int64, device=q.device)
    something = end > begin  # (B, T)
    earliest = torch.where(something, begin, k.shape[2]).amin(0)  # (T,) where no query of a row has anything: the very end
    latest = torch.where(something, end, 0).amax(0)
    groups = list(_groups(q, k.shape[2], top_k))
    spans = torch.stack([torch.stack((earliest[group].min(), latest[group].max())) for group in groups]).tolist()
    for group, (first, last) in zip(groups, spans, strict=True):
        if last <= first:
            continue
        places = torch.arange(first, last, device=q.device)
        seen = (places >= begin[:, group, None]) & (places < end[:, group, None])  # (B, c, S)
        score = q[:, :, group] @ k[:, :, first:last].transpose(-2, -1) * scale  # (B, H, c, S)
        score = score.masked_fill_(~seen[:, None], float("-inf"))
        best, order = score.topk(min(top_k, last - first), sorted=False)
        weight = best.softmax(-1).masked_fill_(~something[:, None, group, None], 0)  # of nothing at all it would be NaN
        order += first
        y[:, :, group] = (weight[..., None, :] @ _chosen(v, order))[..., 0, :]
        weights[:, :, group, : order.shape[-1]], index[:, :, group, : order.shape[-1]] = weight, order
    return y, index, weights


class _Recall(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, begin: Tensor, end: Tensor, top_k: int, scale: float) -> Tensor:
        y, index, weights = _recalled(q, k, v, begin, end, top_k, scale)
        ctx.save_for_backward(q, k, v, index, weights)
        ctx.scale = scale
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> Any:
        """∂score = w ⊙ (∂w - Σ w ∂w), ∂w = g · v of the chosen; ∂q = scale · Σ ∂score k of the chosen."""
        q, k, v, index, weights = ctx.saved_tensors
        of_q = torch.empty_like(q)
        for group in _groups(q, k.shape[2], index.shape[-1]):
            order, weight = index[:, :, group], weights[:, :, group]
            of_weight = (_chosen(v, order) @ g[:, :, group, :, None])[..., 0]  # (B, H, c, k)
            of_score = weight * (of_weight - (weight * of_weight).sum(-1, keepdim=True))
            of_q[:, :, group] = (of_score[..., None, :] @ _chosen(k, order))[..., 0, :] * ctx.scale
        return of_q, None, None, None, None, None, None

"""Attention by tiles, written out (FlashAttention 2205.14135; queries in the outer loop as in FlashAttention-2, 2307.08691).

Keys come in tiles. Of each query it remembers the largest score m so far, the sum ℓ of the exponentials and the unfinished
output a, and corrects them when a larger score comes:

    m' = max(m, max_s s_ts)      ℓ' = ℓ e^(m-m') + Σ_s e^(s_ts-m')      a' = a e^(m-m') + Σ_s e^(s_ts-m') v_s      y = a / ℓ

Of the forward pass only y and L = m + log ℓ are kept, one number a query and head. The backward pass computes the scores of each
tile again, p_ts = e^(s_ts-L_t). So memory grows with T and not with T². A tile that nobody sees is left out. This is the readable
version, at the speed of PyTorch's products; deliberately not the fastest (ops/attention.py has those).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from linnet.ops.attention import Kernel, attention_reference
from linnet.ops.backward import own_backward
from linnet.ops.mask import Mask

QUERIES, KEYS = 128, 256  # of a tile; 32,768 scores a head fit a core's cache


def flash_attention_reference(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Mask,
    *,
    first_query: int,
    first_key: int = 0,
    slopes: Tensor | None = None,
    scale: float,
) -> Tensor:
    """The formula with every score and the whole mask written out.

    q (B, H, T, K), k and v (B, G, S, K) → (B, H, T, K). first_query and first_key are the stream indices that the mask is asked
    with. slopes (H,): -slope · distance is added to the scores of a head (ALiBi, 2108.12409). Each query has to see a key.
    """
    queries = torch.arange(first_query, first_query + q.shape[2], device=q.device)
    keys = torch.arange(first_key, first_key + k.shape[2], device=q.device)
    distance = (queries[:, None] - keys[None, :]).abs()  # (T, S)
    bias = None if slopes is None else -slopes.to(q.dtype)[:, None, None] * distance  # (H, T, S)
    return attention_reference(q, k, v, allowed=mask.dense(queries, keys), bias=bias, scale=scale)


def flash_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Mask,
    *,
    first_query: int,
    first_key: int = 0,
    slopes: Tensor | None = None,
    scale: float,
    tile: tuple[int, int] = (QUERIES, KEYS),
) -> Tensor:
    """The same by tiles of (queries, keys). Neither T · S scores nor a mask of that size ever stand in memory."""
    work = _Work(mask, first_query, first_key, scale, tile)
    if own_backward(q, k, v):
        return _Flash.apply(q, k, v, slopes, work)
    return _forward(q, k, v, slopes, work)[0]


def flash_kernel(
    mask: Mask,
    *,
    first_query: int,
    first_key: int = 0,
    slopes: Tensor | None = None,
    scale: float,
    tile: tuple[int, int] = (QUERIES, KEYS),
) -> Kernel:
    """What `flash_attention` is made of, for who wants the sums."""
    work = _Work(mask, first_query, first_key, scale, tile)

    def forward(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        y, log_sums = _forward(q, k, v, slopes, work)
        return y, log_sums.flatten(1, 2)  # (B, H, T)

    def backward(g: Tensor, q: Tensor, k: Tensor, v: Tensor, y: Tensor, log_sums: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return _backward(g, q, k, v, y, _grouped(log_sums, k.shape[1]), slopes, work)

    return Kernel(forward, backward)


@dataclass(frozen=True)
class _Work:
    """What is not a tensor that learns; its tiles."""

    mask: Mask
    first_query: int
    first_key: int
    scale: float
    tile: tuple[int, int]

    def rows(self, n_queries: int) -> Iterator[slice]:
        step = self.tile[0]
        return (slice(start, min(start + step, n_queries)) for start in range(0, n_queries, step))

    def columns(self, rows: slice, n_keys: int) -> Iterator[slice]:
        """The tiles of keys that some of these queries may see."""
        step = self.tile[1]
        for start in range(0, n_keys, step):
            keys = slice(start, min(start + step, n_keys))
            if not self.mask.part(rows, keys).sees_none(*self._here(rows, keys)):
                yield keys

    def _here(self, rows: slice, keys: slice) -> tuple[int, int, int, int]:
        n_queries, n_keys = rows.stop - rows.start, keys.stop - keys.start
        return self.first_query + rows.start, n_queries, self.first_key + keys.start, n_keys

    def scores(self, q: Tensor, k: Tensor, slopes: Tensor | None, rows: slice, keys: slice) -> Tensor | None:
        """q (B, G, R, t, K), k (B, G, s, K), a tile of each → (B, G, R, t, s), -inf where nothing is seen; None: nowhere."""
        first_query, n_queries, first_key, n_keys = here = self._here(rows, keys)
        places = torch.arange(first_query, first_query + n_queries, device=q.device)
        others = torch.arange(first_key, first_key + n_keys, device=q.device)
        allowed = None
        if not self.mask.sees_all(*here):
            allowed = self.mask.part(rows, keys).dense(places, others)  # (t, s) or (B, t, s)
            if not allowed.any():
                return None
        score = _by_group(q, k.mT).mul_(self.scale)
        if slopes is not None:  # (G, R, 1, 1) · (t, s)
            score -= slopes.to(score.dtype).view(k.shape[1], -1, 1, 1) * (places[:, None] - others[None, :]).abs()
        if allowed is not None:
            score.masked_fill_(~(allowed if allowed.dim() == 2 else allowed[:, None, None]), float("-inf"))
        return score


def _by_group(x: Tensor, y: Tensor) -> Tensor:
    """x (B, G, R, t, n) @ y (B, G, n, m) → (B, G, R, t, m): the R heads of a group stand under each other, and y is not repeated."""
    return (x.flatten(2, 3) @ y).unflatten(2, x.shape[2:4])


def _grouped(x: Tensor, groups: int) -> Tensor:
    """(B, H, T, …) → (B, G, R, T, …)."""
    return x.unflatten(1, (groups, -1))


def _precise(*tensors: Tensor) -> list[Tensor]:
    """In float32 where they are coarser: sums over many tiles are kept in it."""
    return [x.to(torch.promote_types(x.dtype, torch.float32)) for x in tensors]


def _forward(q: Tensor, k: Tensor, v: Tensor, slopes: Tensor | None, work: _Work) -> tuple[Tensor, Tensor]:
    """y (B, H, T, K) and L = log Σ e^s (B, G, R, T)."""
    y = torch.empty_like(q)
    grouped = _grouped(q, k.shape[1])  # (B, G, R, T, K)
    log_sums = grouped.new_empty(grouped.shape[:-1], dtype=torch.promote_types(q.dtype, torch.float32))
    for rows in work.rows(q.shape[2]):
        (query,) = _precise(grouped[..., rows, :])
        done = torch.zeros_like(query)  # a, (B, G, R, t, K)
        total = query.new_zeros(query.shape[:-1])  # ℓ, (B, G, R, t)
        largest = torch.full_like(total, float("-inf"))  # m
        for keys in work.columns(rows, k.shape[2]):
            key, value = _precise(k[:, :, keys], v[:, :, keys])
            score = work.scores(query, key, slopes, rows, keys)
            if score is None:
                continue
            larger = torch.maximum(largest, score.detach().amax(-1))  # y is the same for any m
            base = larger.masked_fill(larger == float("-inf"), 0)  # of a query that has seen nothing yet
            share = (score - base[..., None]).exp()  # (B, G, R, t, s); not in place: torch.compile makes its own way back
            earlier = (largest - base).exp()
            total = total * earlier + share.sum(-1)
            done = done * earlier[..., None] + _by_group(share, value)
            largest = larger
        _grouped(y, k.shape[1])[..., rows, :] = done / total[..., None]
        log_sums[..., rows] = largest + total.log()
    return y, log_sums


def _backward(
    g: Tensor, q: Tensor, k: Tensor, v: Tensor, y: Tensor, log_sums: Tensor, slopes: Tensor | None, work: _Work
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of q, k and v, from that of y: the scores of each tile once more (2205.14135, appendix B.4).

    With p = e^(s - L):  ∂v_s = Σ_t p_ts g_t,   ∂s_ts = p_ts (g_t · v_s - g_t · y_t),   ∂q_t = scale Σ_s ∂s_ts k_s,   ∂k_s likewise
    """
    groups = k.shape[1]
    q, g, y = _grouped(q, groups), _grouped(g, groups), _grouped(y, groups)
    grad_q = torch.empty_like(q)
    grad_k, grad_v = (x.new_zeros(x.shape, dtype=log_sums.dtype) for x in (k, v))
    for rows in work.rows(q.shape[3]):
        query, up, out = _precise(q[..., rows, :], g[..., rows, :], y[..., rows, :])
        mean = (up * out).sum(-1, keepdim=True)  # g · y, (B, G, R, t, 1)
        grad_query = torch.zeros_like(query)
        for keys in work.columns(rows, k.shape[2]):
            key, value = _precise(k[:, :, keys], v[:, :, keys])
            score = work.scores(query, key, slopes, rows, keys)
            if score is None:
                continue
            share = score.sub_(log_sums[..., rows, None]).exp_()  # p
            grad_v[:, :, keys] += share.flatten(2, 3).mT @ up.flatten(2, 3)
            grad_score = share.mul_(_by_group(up, value.mT).sub_(mean)).mul_(work.scale)
            grad_query += _by_group(grad_score, key)
            grad_k[:, :, keys] += grad_score.flatten(2, 3).mT @ query.flatten(2, 3)
        grad_q[..., rows, :] = grad_query
    return grad_q.flatten(1, 2), grad_k.to(k.dtype), grad_v.to(v.dtype)


class _Flash(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, slopes: Tensor | None, work: _Work) -> Tensor:
        y, log_sums = _forward(q, k, v, slopes, work)
        ctx.save_for_backward(q, k, v, y, log_sums, slopes)
        ctx.work = work
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> Any:
        q, k, v, y, log_sums, slopes = ctx.saved_tensors
        return *_backward(g, q, k, v, y, log_sums, slopes, ctx.work), None, None

"""Scaled dot-product attention (1706.03762, eq. 1): the definition, and two fast ways to the same.

    y_t = Σ_s softmax_s( q_t · k_s · scale + bias_ts ) v_s      over the keys s that the mask allows

Queries come in H heads, keys and values in G groups; H / G query heads share one group (2305.13245). Values may be of
another width than keys (latent attention); kernels for one width get the narrower ones filled up with zeros.

attention            any mask and bias, through PyTorch's fused kernels
attention_from       causal, each query from a first key on: whole rows, windows and packed documents. On a CPU a kernel
                     of our own skips every block of keys that nobody sees (native/src/kernels/attention/)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from linnet.ops.backward import own_backward
from linnet.ops.kernels import attention_backward, attention_forward, kernels_take


def seen_from(first: Tensor | None, n_queries: int, n_keys: int, device: torch.device) -> Tensor:
    """Which keys the last T of S places see, each from `first` (B, T) to its own place: (T, S) or (B, T, S) bool."""
    keys = torch.arange(n_keys, device=device)
    places = keys[n_keys - n_queries :]
    seen = keys <= places[:, None]  # (T, S)
    return seen if first is None else seen & (keys >= first.minimum(places)[:, :, None])  # (B, T, S)


def within_triangle(allowed: Tensor | None, n_queries: int, n_keys: int, device: torch.device) -> Tensor:
    """`allowed`, and of that only what does not lie ahead."""
    triangle = seen_from(None, n_queries, n_keys, device)
    return triangle if allowed is None else allowed & triangle


def attention_reference(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    allowed: Tensor | None = None,
    causal: bool = False,
    bias: Tensor | None = None,
    scale: float,
) -> Tensor:
    """The formula as it stands; every score is written out.

    q (B, H, T, K), k (B, G, S, K), v (B, G, S, V), allowed (T, S) or (B, T, S) bool, bias (H, T, S) → (B, H, T, V).
    causal: the lower triangle, for T = S.
    """
    score = scores_reference(q, k, allowed=allowed, causal=causal, bias=bias, scale=scale)
    return score.softmax(-1) @ v.repeat_interleave(q.shape[1] // k.shape[1], 1)


def scores_reference(q: Tensor, k: Tensor, *, allowed: Tensor | None, causal: bool, bias: Tensor | None, scale: float) -> Tensor:
    """Every score, -inf where nothing may be seen: shapes as there → (B, H, T, S)."""
    k = k.repeat_interleave(q.shape[1] // k.shape[1], 1)  # (B, H, S, K)
    score = q @ k.transpose(-2, -1) * scale
    if bias is not None:
        score = score + bias.to(score.dtype)
    if causal:
        allowed = within_triangle(allowed, q.shape[2], k.shape[2], q.device)
    if allowed is not None:
        score = score.masked_fill(~(allowed if allowed.dim() == 2 else allowed[:, None]), float("-inf"))
    return score


def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    allowed: Tensor | None = None,
    causal: bool = False,
    bias: Tensor | None = None,
    scale: float,
) -> Tensor:
    """The same through `scaled_dot_product_attention`, which never writes the scores to memory where it can help it."""
    n_heads, groups, n_queries, d_value = q.shape[1], k.shape[1], q.shape[2], v.shape[3]
    if d_value != q.shape[3] and q.device.type == "cpu":  # whose fused kernel knows one width
        y = attention(*of_one_width(q, k, v), allowed=allowed, causal=causal, bias=bias, scale=scale)
        return y[..., :d_value]
    mask = allowed if allowed is None or allowed.dim() == 2 else allowed[:, None]  # (T, S) or (B, 1, T, S)
    if causal and (mask is not None or bias is not None):  # kernels take a mask or their own triangle, never both
        mask, causal = within_triangle(mask, n_queries, k.shape[2], q.device), False
    if bias is not None:
        mask = bias if mask is None else bias.masked_fill(~mask, float("-inf"))
        mask = mask.to(q.dtype)
    if groups == n_heads:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal, scale=scale)
    if n_queries == 1 and mask is None:  # decoding: the heads of a group become its queries, and nothing is copied
        batch, width = q.shape[0], q.shape[3]
        y = F.scaled_dot_product_attention(q.reshape(batch, groups, n_heads // groups, width), k, v, scale=scale)
        return y.reshape(batch, n_heads, 1, d_value)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal, scale=scale, enable_gqa=True)


def of_one_width(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """q, k (…, K) and v (…, V) with zeros behind the narrower ones: scores stay what they are, and values get zeros behind."""
    more = k.shape[-1] - v.shape[-1]
    return (q, k, F.pad(v, (0, more))) if more >= 0 else (F.pad(q, (0, -more)), F.pad(k, (0, -more)), v)


def attention_from_reference(q: Tensor, k: Tensor, v: Tensor, first: Tensor | None = None, *, scale: float) -> Tensor:
    """Causal attention of the last T of S places: each sees the keys from `first` to its own place.

    q (B, H, T, K), k (B, G, S, K), v (B, G, S, V), first (B, T) int64 index among the keys (None: 0) → (B, H, T, V).
    """
    return attention_reference(q, k, v, allowed=seen_from(first, q.shape[2], k.shape[2], q.device), scale=scale)


class _AttentionFrom(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, first: Tensor | None, scale: float) -> Tensor:
        y, log_sums = attention_forward(q, k, v, first, scale, log_sums=True)
        ctx.save_for_backward(q, k, v, y, log_sums, first)
        ctx.scale = scale
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> Any:
        q, k, v, y, log_sums, first = ctx.saved_tensors
        return *attention_backward(q, k, v, y, log_sums, first, ctx.scale, _in_one_piece(g)), None, None


def _in_one_piece(x: Tensor) -> Tensor:
    """x with vectors of K whose numbers lie side by side."""
    return x if x.stride(-1) == 1 else x.contiguous()


def attention_from(q: Tensor, k: Tensor, v: Tensor, first: Tensor | None = None, *, scale: float) -> Tensor:
    """`attention_from_reference` by the kernel, or by `attention` where there is none."""
    if not kernels_take(q, k, v):
        return attention(q, k, v, allowed=seen_from(first, q.shape[2], k.shape[2], q.device), scale=scale)
    if v.shape[3] != q.shape[3]:
        return attention_from(*of_one_width(q, k, v), first, scale=scale)[..., : v.shape[3]]
    q, k, v = _in_one_piece(q), _in_one_piece(k), _in_one_piece(v)
    if own_backward(q, k, v):
        return _AttentionFrom.apply(q, k, v, first, scale)
    return attention_forward(q, k, v, first, scale, log_sums=False)[0]


class Kernel(NamedTuple):
    """A kernel of attention that says the logarithm L (B, H, T) of each query's sum.

    forward    q, k, v → y, L
    backward   g, q, k, v, y, L → the gradients of q, k and v
    """

    forward: Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
    backward: Callable[[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]


def kernel_from(first: Tensor | None, *, scale: float) -> Kernel:
    """What `attention_from` is made of, for who wants the sums: of queries, keys and values that `kernels_take`."""

    def forward(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        y, log_sums = attention_forward(_in_one_piece(q), _in_one_piece(k), _in_one_piece(v), first, scale, log_sums=True)
        assert log_sums is not None
        return y, log_sums

    def backward(g: Tensor, q: Tensor, k: Tensor, v: Tensor, y: Tensor, log_sums: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v, g = (_in_one_piece(x) for x in (q, k, v, g))
        return attention_backward(q, k, v, y, log_sums, first, scale, g)

    return Kernel(forward, backward)

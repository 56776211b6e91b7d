"""Attention beside persistent tokens: keys and values that no text has said, seen by all (Titans, 2501.00663, section 3.3).

    y_t = (Σ_s e^{q_t · k_s} v_s + Σ_p e^{u_t · k_p} v_p) / (Σ_s e^{q_t · k_s} + Σ_p e^{u_t · k_p})        all scores scaled

over the keys s that the mask allows and all persistent p. u is q before rotary positions turned it: what is learned stands
nowhere, is as near to the millionth token as to the first, and no window or document hides it.

attention_with_reference   every score written out
attention_with             through PyTorch's fused kernels. Where q was turned, [q, u] is asked and [k, 0], [0, k_p] answer
joined                     beside any kernel that says L = log Σ_s e^{q_t · k_s}. With the L of both kinds of keys, the kernel's
                           own backward pass is right: a share of a key is e^{score - L}, whoever else is in L
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import pad

from linnet.ops.attention import Kernel, attention, scores_reference, within_triangle
from linnet.ops.backward import own_backward


class Persistent(NamedTuple):
    """queries (B, H, T, K) as no position has turned them; keys and values (G, P, K)."""

    queries: Tensor
    keys: Tensor
    values: Tensor


def attention_with_reference(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    persistent: Persistent,
    *,
    allowed: Tensor | None = None,
    causal: bool = False,
    bias: Tensor | None = None,
    scale: float,
) -> Tensor:
    """q (B, H, T, K), k and v (B, G, S, K), allowed (T, S) or (B, T, S) bool, bias (H, T, S) → (B, H, T, K); causal as there."""
    shared = q.shape[1] // k.shape[1]
    keys, values = (x.repeat_interleave(shared, 0).expand(len(q), -1, -1, -1) for x in persistent[1:])  # (B, H, P, K)
    score = scores_reference(q, k, allowed=allowed, causal=causal, bias=bias, scale=scale)  # (B, H, T, S)
    always = persistent.queries @ keys.transpose(-2, -1) * scale  # (B, H, T, P)
    return torch.cat((always, score), -1).softmax(-1) @ torch.cat((values, v.repeat_interleave(shared, 1)), 2)


def attention_with(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    persistent: Persistent,
    *,
    allowed: Tensor | None = None,
    causal: bool = False,
    bias: Tensor | None = None,
    scale: float,
) -> Tensor:
    """The same by one call of `attention`, whose first P keys are the persistent ones."""
    plain, keys, values = persistent
    n, width = keys.shape[1], q.shape[3]
    keys, values = keys.expand(len(q), -1, -1, -1), values.expand(len(q), -1, -1, -1)  # (B, G, P, K)
    if causal:
        allowed = within_triangle(allowed, q.shape[2], k.shape[2], q.device)
    if allowed is not None:
        allowed = pad(allowed, (n, 0), value=True)
    if bias is not None:
        bias = pad(bias, (n, 0))
    if plain is not q:
        q, k, keys = torch.cat((q, plain), -1), pad(k, (0, width)), pad(keys, (width, 0))
    return attention(q, torch.cat((keys, k), 2), torch.cat((values, v), 2), allowed=allowed, bias=bias, scale=scale)


def joined(q: Tensor, k: Tensor, v: Tensor, persistent: Persistent, kernel: Kernel, *, scale: float) -> Tensor:
    """What `attention_with_reference` gives, the text's keys by this kernel, which knows who sees whom."""
    if own_backward(q, k, v, *persistent):
        return _Joined.apply(q, k, v, *persistent, kernel, scale)
    return _join(*kernel.forward(q, k, v), persistent, scale)[0]


class _Joined(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, q: Tensor, k: Tensor, v: Tensor, plain: Tensor, keys: Tensor, values: Tensor, kernel: Kernel, scale: float
    ) -> Tensor:
        y, log_sums = _join(*kernel.forward(q, k, v), Persistent(plain, keys, values), scale)
        ctx.save_for_backward(q, k, v, plain, keys, values, y, log_sums)
        ctx.kernel, ctx.scale = kernel, scale
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> Any:
        q, k, v, plain, keys, values, y, log_sums = ctx.saved_tensors
        of_text = ctx.kernel.backward(g, q, k, v, y, log_sums)
        groups = len(keys)
        up, out, asked = (_by_group(x, groups) for x in (g, y, plain))  # (B, G, R · T, K)
        share = (_scores(asked, keys, ctx.scale) - log_sums.view(len(q), groups, -1, 1)).exp()  # (B, G, R · T, P)
        grad_score = share * (up @ values.mT.to(up.dtype) - (up * out).sum(-1, keepdim=True)) * ctx.scale
        grad_plain = (grad_score @ keys.to(up.dtype)).view(plain.shape).to(plain.dtype)
        grad_keys, grad_values = (grad_score.mT @ asked).sum(0), (share.mT @ up).sum(0)  # (G, P, K)
        return *of_text, grad_plain, grad_keys.to(keys.dtype), grad_values.to(values.dtype), None, None


def _join(y: Tensor, log_sums: Tensor, persistent: Persistent, scale: float) -> tuple[Tensor, Tensor]:
    """y (B, H, T, K) and L (B, H, T) with the persistent keys in both."""
    plain, keys, values = persistent
    score = _scores(_by_group(plain, len(keys)), keys, scale)  # (B, G, R · T, P)
    of_text = log_sums.reshape(*score.shape[:-1], 1)
    total = torch.logaddexp(of_text, score.logsumexp(-1, keepdim=True))
    both = (of_text - total).exp() * _by_group(y, len(keys)) + (score - total).exp() @ values.to(score.dtype)
    return both.view(y.shape).to(y.dtype), total.view(log_sums.shape)


def _scores(plain: Tensor, keys: Tensor, scale: float) -> Tensor:
    return plain @ keys.mT.to(plain.dtype) * scale


def _by_group(x: Tensor, groups: int) -> Tensor:
    """(B, H, T, K) → (B, G, R · T, K), in at least 32 bits."""
    batch, heads, n, width = x.shape
    return x.to(torch.promote_types(x.dtype, torch.float32)).reshape(batch, groups, heads // groups * n, width)

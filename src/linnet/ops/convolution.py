"""A short causal convolution, channel by channel: the definition, and the same with a backward pass written out.

    y_t = Σ_{j < width} taps_j ⊙ x_{t-j} · near_tj        near: 1, or 0 where x_{t-j} is of another document

    ∂x_t = Σ_j taps_j ⊙ g_{t+j} · near_{t+j,j}            ∂taps_j = Σ_t g_t ⊙ x_{t-j} · near_tj

Deliberately not `conv1d`: a few shifted multiply-adds are faster for so few taps. Written out they add into one result
in place; autograd of the same sum would pad, copy and add a tensor for every tap and back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from linnet.ops.backward import own_backward


def convolve_reference(x: Tensor, taps: Tensor, documents: Tensor | None = None) -> Tensor:
    """The definition, place by place. x (B, T, D), taps (W, D), documents (B, T) → (B, T, D)."""
    y = torch.zeros_like(x)
    for t in range(x.shape[1]):
        for back in range(min(taps.shape[0], t + 1)):
            here = x[:, t - back] * taps[back]
            if documents is not None:
                here = here * (documents[:, t] == documents[:, t - back])[:, None]
            y[:, t] = y[:, t] + here
    return y


def convolve(x: Tensor, taps: Tensor, near: Sequence[Tensor | None]) -> Tensor:
    """x (B, T, D), taps (W, D) → (B, T, D). near[j - 1]: (B, T) of ones and zeros for the tap j places back, None for ones."""
    return _Convolve.apply(x, taps, *near) if own_backward(x, taps) else _convolved(x, taps, near)


def _convolved(x: Tensor, taps: Tensor, near: Sequence[Tensor | None]) -> Tensor:
    y = x * taps[0]
    for back in range(1, min(taps.shape[0], x.shape[1])):
        y[:, back:].addcmul_(_masked(x[:, :-back], near[back - 1], back), taps[back])
    return y


class _Convolve(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, taps: Tensor, *near: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, taps, *near)
        return _convolved(x, taps, near)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> Any:
        x, taps, *near = ctx.saved_tensors
        grad_x, grad_taps = g * taps[0], torch.zeros_like(taps)
        grad_taps[0] = (g * x).sum((0, 1))
        for back in range(1, min(taps.shape[0], x.shape[1])):
            later = _masked(g[:, back:], near[back - 1], back)  # (B, T - back, D)
            grad_x[:, :-back].addcmul_(later, taps[back])
            grad_taps[back] = (later * x[:, :-back]).sum((0, 1))
        return grad_x, grad_taps, *(None for _ in near)


def _masked(part: Tensor, near: Tensor | None, back: int) -> Tensor:
    """(B, T - back, D) without what reaches into another document."""
    return part if near is None else part * near[:, back:, None]

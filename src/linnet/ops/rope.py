"""Rotary positions (RoFormer, 2104.09864): queries and keys are turned by an angle that grows with their position.

    (a, b) → (a cos θ - b sin θ, a sin θ + b cos θ),   θ_i(p) = p · base^(-2i/R)

so that a score depends on the difference of two positions alone. The pairs are (i, i + R/2): the "half" layout of
GPT-NeoX and Llama's Hugging Face weights. Deliberately no interleaved layout: importers permute instead.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from linnet.ops.backward import own_backward


@cache
def first_cosine() -> None:
    """One cosine by one thread. The first ones of a process, when two threads ask for them at once, were seen to come from a
    coarser kind of PyTorch's vector library: 1.5e-4 off for half of them, in one process of twenty."""
    torch.ones(1).cos(), torch.ones(1).sin()


def rotary_table(positions: Tensor, d_rotary: int, base: float) -> tuple[Tensor, Tensor]:
    """positions (..., T) → cos, sin (..., T, d_rotary), each half repeated; float32."""
    first_cosine()
    frequency = base ** (-torch.arange(0, d_rotary, 2, dtype=torch.float32, device=positions.device) / d_rotary)  # (R/2,)
    angle = positions.to(torch.float32).unsqueeze(-1) * frequency  # (..., T, R/2)
    angle = torch.cat((angle, angle), -1)  # (..., T, R)
    return angle.cos(), angle.sin()


def rotate_reference(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """The definition, pair by pair. x (..., T, K), cos and sin (..., T, R), R ≤ K; the rest of K is left alone."""
    d_rotary = cos.shape[-1]
    half = d_rotary // 2
    a, b, rest = x[..., :half], x[..., half:d_rotary], x[..., d_rotary:]
    c, s = cos[..., :half], sin[..., :half]
    return torch.cat((a * c - b * s, a * s + b * c, rest), -1)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """The same in fewer passes, forward and backward: x · cos + turned(x) · sin, where turned swaps the halves and negates
    one. The way back of a rotation is the rotation by -θ."""
    d_rotary = cos.shape[-1]
    if d_rotary < x.shape[-1]:
        return torch.cat((rotate(x[..., :d_rotary], cos, sin), x[..., d_rotary:]), -1)
    return _Rotate.apply(x, cos, sin) if own_backward(x) else _rotated(x, cos, sin)


def _rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    a, b = x.chunk(2, -1)
    return torch.addcmul(x * cos, torch.cat((-b, a), -1), sin)


class _Rotate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        return _rotated(x, cos, sin)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> Any:
        cos, sin = ctx.saved_tensors
        return _rotated(g, cos, -sin), None, None

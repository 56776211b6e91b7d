"""Activations by name. GELU (1606.08415) comes exact and in the tanh form that GPT-2 was trained with.

    gelu_tanh(x) = ½ x (1 + tanh(u)) = x · σ(z),   z = 2u = a x + b x³,   a = 2√(2/π), b = 0.044715 a
    its derivative = σ + 3 σ (1 - σ) (z - ⅔ a x)

On a CPU PyTorch's kernel pays for a tanh in the forward pass and for another in the backward one: 0.67 and 0.74 ms for
768 × 512 numbers on one core. A sigmoid costs a quarter of a tanh (0.17 ms), and once σ is there the derivative is a
few passes; written down in the forward pass, in pieces that stay in the cache, both take 0.55 ms and the backward pass
is one product (0.08 ms). It is kept in place of x, so nothing more is remembered.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from linnet.ops.backward import own_backward

ActivationName = Literal["relu", "relu2", "gelu", "gelu_tanh", "silu", "sigmoid"]

A = 2 * math.sqrt(2 / math.pi)
B = 0.044715 * A
PIECE = 1 << 17  # numbers: three buffers of 512 KiB fit the caches of two cores
MIN_NUMBERS = 1 << 14  # below (decoding) one kernel is faster than many calls


def relu2_reference(x: Tensor) -> Tensor:
    """max(x, 0)² (Primer, 2109.08668)."""
    return F.relu(x).square()


class _ReLU2(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        r = F.relu(x)
        ctx.save_for_backward(r)
        return r * r

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> Tensor:
        (r,) = ctx.saved_tensors
        return (g * r).mul_(2)


def relu2(x: Tensor) -> Tensor:
    """The same; its gradient, 2 g max(x, 0), in two passes over the numbers where autograd of the formula takes four."""
    return _ReLU2.apply(x) if own_backward(x) else relu2_reference(x)


def gelu_tanh_reference(x: Tensor) -> Tensor:
    """½ x (1 + tanh(√(2/π) (x + 0.044715 x³)))."""
    return F.gelu(x, approximate="tanh")


class _GeluTanh(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        y, slope = torch.empty_like(x), torch.empty_like(x)
        flat = (x.view(-1), y.view(-1), slope.view(-1))
        for piece, out, d in zip(*(numbers.split(PIECE) for numbers in flat), strict=True):
            z = (piece * piece).mul_(B).add_(A).mul_(piece)
            sigmoid = torch.sigmoid(z)
            torch.mul(piece, sigmoid, out=out)
            z.add_(piece, alpha=-2 / 3 * A)
            torch.ops.aten.sigmoid_backward.grad_input(z, sigmoid, grad_input=d)  # (z - ⅔ a x) σ (1 - σ)
            torch.add(sigmoid, d, alpha=3, out=d)
        ctx.save_for_backward(slope)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> Tensor:
        (slope,) = ctx.saved_tensors
        return g * slope


def gelu_tanh(x: Tensor) -> Tensor:
    """The same, fast where a gradient is wanted on a CPU."""
    if own_backward(x) and x.device.type == "cpu" and x.dtype == torch.float32 and x.numel() >= MIN_NUMBERS:
        return _GeluTanh.apply(x.contiguous())
    return gelu_tanh_reference(x)


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "relu2": relu2,
    "gelu": F.gelu,
    "gelu_tanh": gelu_tanh,
    "silu": F.silu,
    "sigmoid": torch.sigmoid,
}

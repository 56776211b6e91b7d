"""Activations by name. GELU (1606.08415) comes exact and in the tanh form that GPT-2 was trained with.

    gelu_tanh(x) = ½ x (1 + tanh(u)) = x · σ(z),   z = 2u = a x + b x³,   a = 2√(2/π), b = 0.044715 a
    its derivative = σ + 3 σ (1 - σ) (z - ⅔ a x)

On a CPU PyTorch's kernel pays for a tanh in each pass: 0.32 and 0.35 ms for 768 × 512 numbers on two cores. One e^-z is
all that either pass needs (native/src/kernels/gelu.rs): 0.07 and 0.10 ms.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from linnet.ops.backward import own_backward
from linnet.ops.kernels import gelu_backward, gelu_forward, kernels_take

ActivationName = Literal["relu", "relu2", "gelu", "gelu_tanh", "silu", "sigmoid"]


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
    if own_backward(x):
        return _ReLU2.apply(x)
    return relu2_reference(x) if torch.is_grad_enabled() else F.relu(x).square_()


def gelu_tanh_reference(x: Tensor) -> Tensor:
    """½ x (1 + tanh(√(2/π) (x + 0.044715 x³)))."""
    return F.gelu(x, approximate="tanh")


class _GeluTanh(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return gelu_forward(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return gelu_backward(x, g.contiguous())


def gelu_tanh(x: Tensor) -> Tensor:
    """The same in one pass each way, where the Rust library is there."""
    if not kernels_take(x):
        return gelu_tanh_reference(x)
    x = x.contiguous()
    return _GeluTanh.apply(x) if own_backward(x) else gelu_forward(x)


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "relu2": relu2,
    "gelu": F.gelu,
    "gelu_tanh": gelu_tanh,
    "silu": F.silu,
    "sigmoid": torch.sigmoid,
}


def activation_name(activation: Callable[[Tensor], Tensor]) -> str:
    """What an activation is called; empty for one that is none of these."""
    return next((name for name, known in ACTIVATIONS.items() if known is activation), "")

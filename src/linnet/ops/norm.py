"""RMSNorm (1910.07467, eq. 4): the formula, a kernel with its backward pass, and the same written out for where there is none.

    y = x · s · w,   s = 1 / √(mean(x²) + ε)
    ∂x = s · (g·w - x·s · mean(g·w · x·s))          ∂w = Σ g · x · s

PyTorch has no fused kernel for it on a CPU: its autograd keeps and re-reads five intermediates. The Rust library's reads the
numbers once each way (native/src/kernels/norm.rs). LayerNorm is PyTorch's own, which is as fast as ours.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from linnet.ops.backward import own_backward
from linnet.ops.kernels import kernels_take, rms_norm_backward, rms_norm_forward


def rms_norm_reference(x: Tensor, weight: Tensor | None, eps: float) -> Tensor:
    """The formula as it stands. x (..., D), weight (D,) → (..., D)."""
    y = x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)
    return y if weight is None else y * weight


class _RMSNormKernel(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor | None, eps: float) -> Tensor:
        y, scale = rms_norm_forward(x, weight, eps, scales=True)
        ctx.save_for_backward(x, weight, scale)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> Any:
        x, weight, scale = ctx.saved_tensors
        return *rms_norm_backward(x, weight, scale, g.contiguous(), weight_too=ctx.needs_input_grad[1]), None


class _RMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor | None, eps: float) -> Tensor:
        width = x.shape[-1]
        r = torch.linalg.vector_norm(x, dim=-1, keepdim=True).square_().div_(width).add_(eps).rsqrt_()  # (..., 1)
        ctx.save_for_backward(x, weight, r)
        return x * r if weight is None else (x * r).mul_(weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> Any:
        x, weight, r = ctx.saved_tensors
        xr = x * r
        grad_weight = None
        if weight is not None:
            grad_weight = (g * xr).reshape(-1, x.shape[-1]).sum(0)
            g = g * weight
        along = (g * xr).mean(-1, keepdim=True)  # (..., 1)
        return torch.addcmul(g, xr, along, value=-1).mul_(r), grad_weight, None


def rms_norm(x: Tensor, weight: Tensor | None, eps: float) -> Tensor:
    """x (..., D), weight (D,) or None → (..., D), in x's dtype; statistics in float32 or better."""
    given = (x,) if weight is None else (x, weight)
    if kernels_take(*given) and (weight is None or (weight.is_contiguous() and weight.shape == x.shape[-1:])):
        return _RMSNormKernel.apply(x, weight, eps) if own_backward(*given) else rms_norm_forward(x, weight, eps, scales=False)[0]
    if x.device.type == "cpu" and x.dtype == torch.float32 and not torch.compiler.is_compiling():
        return _RMSNorm.apply(x, weight, eps)
    if x.dtype in (torch.bfloat16, torch.float16):
        return rms_norm_reference(x.float(), weight, eps).to(x.dtype)
    return rms_norm_reference(x, weight, eps)

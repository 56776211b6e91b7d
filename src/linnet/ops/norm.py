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


class _RMSNorm(torch.autograd.Function):
    """By the kernel, or by PyTorch's operations where it does not take what it is given, in either direction."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor | None, eps: float) -> Tensor:
        if _kernel_takes(x, weight):
            y, scale = rms_norm_forward(x, weight, eps, scales=True)
        else:
            scale = torch.linalg.vector_norm(x, dim=-1, keepdim=True).square_().div_(x.shape[-1]).add_(eps).rsqrt_()  # (..., 1)
            y = x * scale if weight is None else (x * scale).mul_(weight)
        ctx.save_for_backward(x, weight, scale)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> Any:
        x, weight, scale = ctx.saved_tensors
        many = torch._C._functorch.is_legacy_batchedtensor(g)  # is_grads_batched
        if not many and _kernel_takes(x, weight) and kernels_take(g, scale):
            return *rms_norm_backward(x, weight, scale, g.contiguous(), weight_too=ctx.needs_input_grad[1]), None
        scaled = x * scale.reshape(*x.shape[:-1], 1)
        grad_weight = None
        if weight is not None:
            grad_weight = (g * scaled).reshape(-1, x.shape[-1]).sum(0)
            g = g * weight
        along = (g * scaled).mean(-1, keepdim=True)  # (..., 1)
        return torch.addcmul(g, scaled, along, value=-1).mul_(scale.reshape(*x.shape[:-1], 1)), grad_weight, None


def _kernel_takes(x: Tensor, weight: Tensor | None) -> bool:
    if weight is not None and not (kernels_take(weight) and weight.is_contiguous() and weight.shape == x.shape[-1:]):
        return False
    return x.dim() > 0 and kernels_take(x)


def rms_norm(x: Tensor, weight: Tensor | None, eps: float) -> Tensor:
    """x (..., D), weight (D,) or None → (..., D), in x's dtype; statistics in float32 or better."""
    if _kernel_takes(x, weight) and not own_backward(*((x,) if weight is None else (x, weight))):
        return rms_norm_forward(x, weight, eps, scales=False)[0]
    if x.device.type == "cpu" and x.dtype == torch.float32 and not torch.compiler.is_compiling():
        return _RMSNorm.apply(x, weight, eps)
    if x.dtype in (torch.bfloat16, torch.float16):
        return rms_norm_reference(x.float(), weight, eps).to(x.dtype)
    return rms_norm_reference(x, weight, eps)

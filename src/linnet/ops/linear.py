"""y = x Wᵀ + b: PyTorch's own, and the same through oneDNN where that is faster.

On x86 CPUs PyTorch multiplies float32 matrices with MKL. oneDNN's inner product runs 5-20 % closer to the machine's
peak for `x Wᵀ` and for `∂x = g W`; for `∂W = gᵀ x` it has to reorder its operands and MKL stays ahead
(benchmarks/linear.py prints all three). So forward and ∂x go to oneDNN, ∂W stays.

With few rows (decoding) the time is that of reading W, and the plain product reads it at half the speed of the memory.
One row goes through a batch of products with 32 rows of W each, which does not. Several rows want W laid out for them
beforehand: model/packed.py.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

MIN_ROWS = 32  # fewer rows (decoding) are bound by reading W, where F.linear has less overhead
PANEL = 32  # rows of W a product, for a single row of x


def linear_reference(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x (..., D), weight (F, D), bias (F,) → (..., F)."""
    return F.linear(x, weight, bias)


def onednn_available() -> bool:
    """Whether this build of PyTorch carries the oneDNN inner product for plain CPU tensors."""
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def _product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.has_bias = bias is not None
        return _product(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> Any:
        x, weight = ctx.saved_tensors
        g = g.contiguous()
        rows = g.flatten(0, -2)  # (N, F)
        grad_x = _product(g, weight.t(), None) if ctx.needs_input_grad[0] else None
        grad_weight = rows.t() @ x.flatten(0, -2) if ctx.needs_input_grad[1] else None
        grad_bias = rows.sum(0) if ctx.has_bias and ctx.needs_input_grad[2] else None
        return grad_x, grad_weight, grad_bias


def matrix_vector(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """One row: x (..., D) with D numbers in all, weight (F, D), bias (F,) → (..., F).

    768 → 3072 takes 0.43 ms on one core, as F.linear 0.80; 12.6 MB at 22 GB/s are 0.43 ms.
    """
    n, d = weight.shape
    panels, column = n // PANEL, x.reshape(1, d).t()  # (D, 1); as x.reshape(d, 1) MKL takes a kernel five times slower
    y = torch.bmm(weight[: panels * PANEL].view(panels, PANEL, d), column.expand(panels, d, 1)).view(-1)
    if n % PANEL:
        y = torch.cat((y, weight[panels * PANEL :].mv(column[:, 0])))
    return (y if bias is None else y + bias).view(*x.shape[:-1], n)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x (..., D), weight (F, D), bias (F,) → (..., F); the fastest way for this device, dtype and number of rows."""
    if (
        x.device.type != "cpu"
        or not x.dtype == weight.dtype == torch.float32
        or torch.compiler.is_compiling()
        or torch.is_autocast_enabled("cpu")
    ):
        return F.linear(x, weight, bias)
    if x.numel() == x.shape[-1] and weight.is_contiguous() and weight.shape[0] >= 2 * PANEL and not torch.is_grad_enabled():
        return matrix_vector(x, weight, bias)
    if x.numel() >= MIN_ROWS * x.shape[-1] and onednn_available():
        x = x.contiguous()
        if torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad or (bias is not None and bias.requires_grad)):
            return _Linear.apply(x, weight, bias)
        return _product(x, weight.detach(), None if bias is None else bias.detach())
    return F.linear(x, weight, bias)

"""y = x Wᵀ + b: PyTorch's own product, and one for a few rows of x (decoding).

With few rows the time is that of reading W once. PyTorch's product takes up to twice as long: for one row on some
processors, for several rows on both that were tried (docs/log.md). Ours is in native/src/kernels/few_rows.rs.

`product` is one of whole matrices, into a place that there is already; on AMD's processors ours is a tenth faster than MKL's
(native/src/kernels/large_product.rs).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from linnet.ops.kernels import MOST_ROWS, few_rows, kernels_take, kernels_take_whole, matmul


def linear_reference(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x (..., D), weight (F, D), bias (F,) → (..., F)."""
    return F.linear(x, weight, bias)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """The same, the fastest way for this device, dtype and number of rows."""
    matrix = (weight, bias)
    return few_rows(x.contiguous(), [matrix])[0] if takes_few_rows(x, [matrix]) else F.linear(x, weight, bias)


def takes_few_rows(x: Tensor, matrices: Sequence[tuple[Tensor, Tensor | None]]) -> bool:
    """Whether x (..., D) with each of some W (F, D) and b (F,) is for the kernel: decoding, without gradients, on a CPU."""
    if torch.is_grad_enabled() or x.numel() > MOST_ROWS * x.shape[-1] or torch.is_autocast_enabled("cpu"):
        return False
    for weight, bias in matrices:
        if not kernels_take(weight) or weight.dim() != 2 or weight.shape[1] != x.shape[-1] or not weight.is_contiguous():
            return False
        if bias is not None and not (kernels_take(bias) and bias.shape == weight.shape[:1] and bias.is_contiguous()):
            return False
    return kernels_take(x)


def product(
    a: Tensor, b: Tensor, to: Tensor | None = None, *, a_turned: bool = False, b_turned: bool = False, add: bool = False
) -> Tensor:
    """A B (M, N), in `to` if given, added to what is there if `add`. a (M, K), or (K, M) if turned; b (K, N), or (N, K). No
    gradients."""
    if kernels_take_whole((a, b) if to is None else (a, b, to)) and not torch.is_autocast_enabled("cpu"):
        if to is None:
            to = a.new_empty(a.shape[int(a_turned)], b.shape[int(not b_turned)])
        matmul(a, b, to, a_turned=a_turned, b_turned=b_turned, add=add)
        return to
    a, b = a.t() if a_turned else a, b.t() if b_turned else b
    if to is None:
        return a @ b
    if not add:
        return torch.mm(a, b, out=to)
    return to.addmm_(a, b) if to.dtype == a.dtype else to.add_(a @ b)

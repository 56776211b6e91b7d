"""y = x Wᵀ + b: PyTorch's own product, and one for a few rows of x (decoding).

With few rows the time is that of reading W once. PyTorch's product takes up to twice as long: for one row on some
processors, for several rows on both that were tried (docs/log.md). Ours is in native/src/kernels/few_rows.rs.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from linnet.ops.kernels import MOST_ROWS, few_rows, kernels_take


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

"""y = x Wᵀ + b: PyTorch's own product, and one for a few rows of x (decoding).

With few rows the time is that of reading W once. PyTorch's product reads it at half of the memory's speed, for one row on
some processors and for several rows on all that were tried (docs/log.md); ours reads it once, at all of it
(native/src/kernels/few_rows.rs).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from linnet.ops.kernels import MOST_ROWS, few_rows, kernels_take


def linear_reference(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x (..., D), weight (F, D), bias (F,) → (..., F)."""
    return F.linear(x, weight, bias)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """The same, the fastest way for this device, dtype and number of rows."""
    if takes_few_rows(x, weight):
        return few_rows(x.contiguous(), [(weight, bias)])[0]
    return F.linear(x, weight, bias)


def takes_few_rows(x: Tensor, *weights: Tensor) -> bool:
    """Whether x (..., D) times each of the weights (F, D) is for the kernel: decoding, without gradients, on a CPU."""
    if torch.is_grad_enabled() or not 0 < x.numel() <= MOST_ROWS * x.shape[-1] or not kernels_take(x, *weights):
        return False
    return all(weight.is_contiguous() for weight in weights) and not torch.is_autocast_enabled("cpu")

"""When a backward pass that is written out here takes the place of autograd's."""

from __future__ import annotations

import torch
from torch import Tensor


def own_backward(*inputs: Tensor) -> bool:
    """Whether a gradient through one of these will be asked for, outside of `torch.compile`, which makes its own."""
    return torch.is_grad_enabled() and any(x.requires_grad for x in inputs) and not torch.compiler.is_compiling()

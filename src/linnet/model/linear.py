"""Weight matrices. The grammar's `linear` field says how they are held; `dense` is the plain one."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from linnet.model.spec import Linear
from linnet.ops.linear import linear


class Dense(Linear):
    """A plain matrix of floating-point numbers."""

    kind: Literal["dense"] = "dense"


class LinearLayer(nn.Linear):
    """`nn.Linear` (same parameters, same names) on linnet's own product; weights are filled by model/init.py."""

    def __init__(self, d_in: int, d_out: int, bias: bool = False, *, writes_residual: bool = False) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = d_in, d_out
        self.writes_residual = writes_residual  # its output is added to the stream: model/init.py treats it apart
        self.weight = nn.Parameter(torch.empty(d_out, d_in))
        self.bias = nn.Parameter(torch.empty(d_out)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias)  # (..., d_in) → (..., d_out)


def build_linear(spec: Linear, d_in: int, d_out: int, *, bias: bool = False, writes_residual: bool = False) -> nn.Module:
    """The layer for one weight matrix."""
    if isinstance(spec, Dense):
        return LinearLayer(d_in, d_out, bias, writes_residual=writes_residual)
    raise NotImplementedError(f"no layer for linear kind {type(spec).__name__}")

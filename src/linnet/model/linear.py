"""Weight matrices. The grammar's `linear` field says how they are held: `dense` is the plain one, `ternary` BitNet's (ops/ternary.py)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from linnet.model.spec import Linear
from linnet.ops.kernels import few_rows
from linnet.ops.linear import linear, takes_few_rows
from linnet.ops.program import Program, untouched
from linnet.ops.ternary import ternary_linear, ternary_linears

TOGETHER_ROWS = 256  # fewer rows and laying the matrices together costs more than it saves


class Dense(Linear):
    """A plain matrix of floating-point numbers."""

    kind: Literal["dense"] = "dense"

    def layer(self, d_in: int, d_out: int, bias: bool, writes_residual: bool) -> nn.Module:
        return LinearLayer(d_in, d_out, bias, writes_residual=writes_residual)


class Ternary(Linear):
    """Weights of -1, 0 and 1 times one number a matrix, activations of 8 bits: BitNet b1.58. What is learned are the full weights."""

    kind: Literal["ternary"] = "ternary"

    @property
    def bits(self) -> int:
        return TernaryLayer.bits

    def layer(self, d_in: int, d_out: int, bias: bool, writes_residual: bool) -> nn.Module:
        return TernaryLayer(d_in, d_out, bias, writes_residual=writes_residual)


class LinearLayer(nn.Linear):
    """`nn.Linear` (same parameters, same names) on linnet's own product; weights are filled by model/init.py."""

    def __init__(self, d_in: int, d_out: int, bias: bool = False, *, writes_residual: bool = False) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = d_in, d_out
        self.writes_residual = writes_residual  # its output is added to the stream: model/init.py treats it apart
        self.weight = nn.Parameter(torch.empty(d_out, d_in))
        self.bias = nn.Parameter(torch.empty(d_out)) if bias else None  # type: ignore[assignment]

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias)  # (..., d_in) → (..., d_out)

    def lower(self, program: Program, x: Tensor) -> Tensor:
        return program.linear(x, self.weight, self.bias)


class TernaryLayer(LinearLayer):
    """The same parameters, rounded at each call. Its class has no `lower`: programs multiply matrices as they are."""

    bits = 2  # of a weight that is stored as small as it can be

    def forward(self, x: Tensor) -> Tensor:
        return ternary_linear(x, self.weight, self.bias)  # (..., d_in) → (..., d_out)


def build_linear(spec: Linear, d_in: int, d_out: int, *, bias: bool = False, writes_residual: bool = False) -> nn.Module:
    """The layer for one weight matrix."""
    return spec.layer(d_in, d_out, bias, writes_residual)


def project(x: Tensor, layers: Sequence[nn.Module]) -> list[Tensor]:
    """What each layer makes of the same x (..., D): plain matrices are multiplied together.

    In training, laid together they are one product: (768, 128) by three (128, 128) costs 3.1 ms with its gradients on one
    core, by (128, 384) 2.6 ms, and ∂x needs no sums. In decoding, one call reads them one after the other.
    Ternary ones round x once. A layer of any other kind, or that is listened to by a hook, is called as it stands.
    """
    if all(type(layer) is TernaryLayer and untouched(layer) for layer in layers):
        return ternary_linears(x, [(layer.weight, layer.bias) for layer in layers])  # type: ignore[misc]
    plain = all(type(layer) is LinearLayer and untouched(layer) for layer in layers)
    if not plain:
        return [layer(x) for layer in layers]
    weights, biases = [layer.weight for layer in layers], [layer.bias for layer in layers]
    matrices: Any = list(zip(weights, biases, strict=True))
    if takes_few_rows(x, matrices):
        return few_rows(x.contiguous(), matrices)
    alike = len({bias is None for bias in biases}) == 1
    if not (alike and torch.is_grad_enabled() and x.device.type == "cpu" and x.numel() >= TOGETHER_ROWS * x.shape[-1]):
        return [layer(x) for layer in layers]
    bias = None if biases[0] is None else torch.cat(biases)  # type: ignore[arg-type]
    y = linear(x, torch.cat(weights), bias)  # type: ignore[arg-type]
    return list(y.split([layer.out_features for layer in layers], -1))

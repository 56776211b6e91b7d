"""Norms: LayerNorm (1607.06450) and RMSNorm (1910.07467).

layer: (x - mean) / √(var + ε) · w + b          rms: x / √(mean(x²) + ε) · w
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from linnet.model.spec import Norm
from linnet.ops.norm import rms_norm
from linnet.ops.program import Program


class LayerNorm(Norm):
    """LayerNorm: zero mean and unit variance, then a scale and a shift (`learned: false` leaves out both).

    eps       added to the variance, so that nothing is divided by zero
    bias      with a shift
    learned   with a scale, and a shift where bias says so
    """

    kind: Literal["layer_norm"] = "layer_norm"
    eps: float = Field(default=1e-5, gt=0)
    bias: bool = True
    learned: bool = True

    @classmethod
    def examples(cls) -> tuple[LayerNorm, ...]:
        return cls(), cls(bias=False, eps=0.1), cls(learned=False)

    def build(self, d_model: int) -> nn.Module:
        return LayerNormLayer(d_model, eps=self.eps, elementwise_affine=self.learned, bias=self.bias)

    def n_params(self, d_model: int) -> int:
        return d_model * (2 if self.bias else 1) if self.learned else 0


class LayerNormLayer(nn.LayerNorm):
    """PyTorch's, and how a program writes it."""

    def lower(self, program: Program, x: Tensor) -> Tensor:
        return program.layer_norm(x, self.normalized_shape[0], self.weight, self.bias, self.eps)


class RMSNorm(Norm):
    """RMSNorm: unit root mean square, then a scale (which `learned: false` leaves out).

    eps       added to the mean square, so that nothing is divided by zero
    learned   with a scale
    """

    kind: Literal["rms_norm"] = "rms_norm"
    eps: float = Field(default=1e-6, gt=0)
    learned: bool = True

    @classmethod
    def examples(cls) -> tuple[RMSNorm, ...]:
        return cls(), cls(learned=False, eps=0.1)

    def build(self, d_model: int) -> nn.Module:
        return RMSNormLayer(d_model, self.eps, self.learned)

    def n_params(self, d_model: int) -> int:
        return d_model if self.learned else 0


class RMSNormLayer(nn.Module):
    def __init__(self, d_model: int, eps: float, learned: bool) -> None:
        super().__init__()
        self.width, self.eps = d_model, eps
        self.weight = nn.Parameter(torch.ones(d_model)) if learned else None

    def forward(self, x: Tensor) -> Tensor:
        return rms_norm(x, self.weight, self.eps)  # (..., D)

    def lower(self, program: Program, x: Tensor) -> Tensor:
        return program.rms_norm(x, self.width, self.weight, self.eps)

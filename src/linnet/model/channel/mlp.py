"""Feed-forward layers: each place thinks by itself.

mlp: act(x W₁) W₂ (1706.03762, section 3.3)        glu: (act(x Wg) · x W₁) W₂ (2002.05202)
"""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import Field
from torch import Tensor, nn

from linnet.model.linear import Dense, build_linear
from linnet.model.norm import RMSNorm
from linnet.model.spec import FeedForward, Linear, Norm
from linnet.ops.activation import ACTIVATIONS, ActivationName, activation_name
from linnet.ops.program import Program, lower


class MLP(FeedForward):
    """Two matrices with an activation between them.

    d_ff         width between the matrices
    activation   what stands between them
    bias         biases on both
    sub_norm     a norm before the second matrix (2210.06423); default: none
    linear       how matrices are held
    """

    kind: Literal["mlp"] = "mlp"
    d_ff: int = Field(ge=1)
    activation: ActivationName = "gelu_tanh"
    bias: bool = False
    sub_norm: Norm | None = None
    linear: Linear = Dense()

    @classmethod
    def examples(cls) -> tuple[MLP, ...]:
        return (
            *(cls(d_ff=48, activation=name) for name in get_args(ActivationName)),
            cls(d_ff=20, bias=True),
            cls(d_ff=24, sub_norm=RMSNorm()),
        )

    def build(self, d_model: int) -> nn.Module:
        return MLPLayer(self, d_model)

    def n_params(self, d_model: int) -> int:
        return 2 * d_model * self.d_ff + (self.d_ff + d_model if self.bias else 0) + norm_params(self)

    def flops(self, d_model: int, context: int) -> float:
        return 4 * d_model * self.d_ff

    def activation_numbers(self, d_model: int, context: int) -> float:
        return d_model + (2 + (self.sub_norm is not None)) * self.d_ff


class MLPLayer(nn.Module):
    def __init__(self, spec: MLP, d_model: int) -> None:
        super().__init__()
        self.up = build_linear(spec.linear, d_model, spec.d_ff, bias=spec.bias)
        self.down = build_linear(spec.linear, spec.d_ff, d_model, bias=spec.bias, writes_residual=True)
        self.activation = ACTIVATIONS[spec.activation]
        self.sub_norm = spec.sub_norm.build(spec.d_ff) if spec.sub_norm is not None else None

    def forward(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        y = self.activation(self.up(x))  # (B, T, D) → (B, T, F)
        return self.down(y if self.sub_norm is None else self.sub_norm(y)), {}  # (B, T, D)

    def lower(self, program: Program, x: Tensor) -> Tensor:
        y = program.pointwise(activation_name(self.activation), lower(self.up, program, x))
        return lower(self.down, program, y if self.sub_norm is None else lower(self.sub_norm, program, y))


class GLU(FeedForward):
    """Three matrices: one product gates the other (SwiGLU with silu, GEGLU with gelu).

    d_ff         width between the matrices
    activation   what the gate goes through
    bias         biases on all three
    sub_norm     a norm before the last matrix (2210.06423); default: none
    linear       how matrices are held
    """

    kind: Literal["glu"] = "glu"
    d_ff: int = Field(ge=1)
    activation: ActivationName = "silu"
    bias: bool = False
    sub_norm: Norm | None = None
    linear: Linear = Dense()

    @classmethod
    def examples(cls) -> tuple[GLU, ...]:
        return (
            *(cls(d_ff=48, activation=name) for name in get_args(ActivationName)),
            cls(d_ff=20, bias=True),
            cls(d_ff=24, sub_norm=RMSNorm()),
        )

    def build(self, d_model: int) -> nn.Module:
        return GLULayer(self, d_model)

    def n_params(self, d_model: int) -> int:
        return 3 * d_model * self.d_ff + (2 * self.d_ff + d_model if self.bias else 0) + norm_params(self)

    def flops(self, d_model: int, context: int) -> float:
        return 6 * d_model * self.d_ff

    def activation_numbers(self, d_model: int, context: int) -> float:
        return d_model + (4 + (self.sub_norm is not None)) * self.d_ff


class GLULayer(nn.Module):
    def __init__(self, spec: GLU, d_model: int) -> None:
        super().__init__()
        self.gate = build_linear(spec.linear, d_model, spec.d_ff, bias=spec.bias)
        self.up = build_linear(spec.linear, d_model, spec.d_ff, bias=spec.bias)
        self.down = build_linear(spec.linear, spec.d_ff, d_model, bias=spec.bias, writes_residual=True)
        self.activation = ACTIVATIONS[spec.activation]
        self.sub_norm = spec.sub_norm.build(spec.d_ff) if spec.sub_norm is not None else None

    def forward(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        y = self.activation(self.gate(x)) * self.up(x)  # (B, T, F)
        return self.down(y if self.sub_norm is None else self.sub_norm(y)), {}  # (B, T, D)

    def lower(self, program: Program, x: Tensor) -> Tensor:
        gate = program.pointwise(activation_name(self.activation), lower(self.gate, program, x))
        y = program.pointwise("multiply", gate, lower(self.up, program, x))
        return lower(self.down, program, y if self.sub_norm is None else lower(self.sub_norm, program, y))


def norm_params(spec: MLP | GLU) -> int:
    """Parameters of the norm before the last matrix."""
    return 0 if spec.sub_norm is None else spec.sub_norm.n_params(spec.d_ff)

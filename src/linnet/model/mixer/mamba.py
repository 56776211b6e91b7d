"""Mamba: a recurrence that chooses, token by token, what it keeps and what it reads (S6, 2312.00752).

    x, z = u Wx, u Wz        x ← silu(convolution(x))        Δ, B, C = softplus(x W W_Δ + bias), x W_B, x W_C
    h_t = exp(Δ_t A) ⊙ h_{t-1} + Δ_t x_t B_tᵀ        y_t = (h_t C_t + D ⊙ x_t) ⊙ silu(z_t) Wo         (see ops/scan.py)

A large Δ writes the token into the state and forgets what was there, a small one passes it by: that choice is the paper's step beyond
linear, time-invariant state spaces (S4). Cost grows with T and not T², the state stays the same size however long the text is, and a
sublayer stands for a transformer's token mixer and MLP in one. Deliberately not Mamba-2, which has one A for a whole head.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import silu, softplus

from linnet.model.context import Context
from linnet.model.linear import Dense, build_linear, project
from linnet.model.mixer.convolution import ConvolutionLayer, Recent
from linnet.model.norm import RMSNorm
from linnet.model.spec import Linear, Norm, TokenMixer
from linnet.model.state import OneMore, Tail
from linnet.ops.program import Program, lower
from linnet.ops.scan import LEAST_PLACES, selective_scan, selective_scan_alone


class Mamba(TokenMixer):
    """A selective state space behind a short convolution, gated.

    d_state      numbers that each channel remembers (N)
    d_conv       places that the convolution reaches over
    expand       channels (E) for each number of the stream
    dt_rank      width through which the steps Δ go; default: d_model / 16, rounded up
    bias         biases on the way in and on the way out
    conv_bias    a bias behind the convolution
    dt_min       the shortest step Δ at the start
    dt_max       the longest step Δ at the start
    inner_norm   a norm on the steps' input, on B and on C (Jamba 2403.19887); default: none
    linear       how matrices are held
    """

    kind: Literal["mamba"] = "mamba"
    d_state: int = Field(default=16, ge=1)
    d_conv: int = Field(default=4, ge=2)
    expand: int = Field(default=2, ge=1)
    dt_rank: int | None = Field(default=None, ge=1)
    bias: bool = False
    conv_bias: bool = True
    dt_min: float = Field(default=1e-3, gt=0)
    dt_max: float = Field(default=0.1, gt=0)
    inner_norm: Norm | None = None
    linear: Linear = Dense()

    @classmethod
    def examples(cls) -> tuple[Mamba, ...]:
        return (
            cls(d_state=4),
            cls(d_state=3, d_conv=2, expand=1, dt_rank=5, conv_bias=False),
            cls(d_state=4, bias=True, inner_norm=RMSNorm(), dt_min=0.01, dt_max=0.5),
            cls(),
        )

    def channels(self, d_model: int) -> int:
        """E, the number of channels."""
        return self.expand * d_model

    def rank(self, d_model: int) -> int:
        """R, the width through which the steps go."""
        return self.dt_rank or math.ceil(d_model / 16)

    def problems(self, d_model: int) -> list[str]:
        if self.dt_min < self.dt_max:
            return []
        return [f"mamba: dt_min = {self.dt_min} is not below dt_max = {self.dt_max}; needed: dt_min < dt_max"]

    def build(self, d_model: int) -> nn.Module:
        return MambaLayer(self, d_model)

    def n_params(self, d_model: int) -> int:
        e, r, n = self.channels(d_model), self.rank(d_model), self.d_state
        matrices = 3 * d_model * e + e * (r + 2 * n) + (r + 1) * e
        biases = (2 * e + d_model if self.bias else 0) + (e if self.conv_bias else 0)
        norms = 0 if self.inner_norm is None else self.inner_norm.n_params(r) + 2 * self.inner_norm.n_params(n)
        return matrices + biases + norms + self.d_conv * e + e * n + e

    def flops(self, d_model: int, context: int) -> float:
        e, r, n = self.channels(d_model), self.rank(d_model), self.d_state
        return 2 * e * (3 * d_model + (r + 2 * n) + r + n)  # the last n: the sum with C

    def state_bytes(self, d_model: int, length: int, number: int) -> int:
        recent = min(length, self.d_conv - 1) * number
        return self.channels(d_model) * (recent + self.d_state * max(4, number))  # h is held in float32 at least

    def activation_numbers(self, d_model: int, context: int) -> float:
        e = self.channels(d_model)
        kept = e * self.d_state / LEAST_PLACES  # states at which blocks begin
        return d_model + 9 * e + 2 * (self.rank(d_model) + 2 * self.d_state) + kept


@dataclass(frozen=True, eq=False)
class Selected(OneMore):
    """What Mamba remembers: the last inputs of the convolution, and h (B, E, N), which is replaced and never written to."""

    recent: Recent
    h: Tensor

    def tails(self) -> tuple[Tail, ...]:
        return self.recent.tails()

    def replaced(self) -> tuple[Tensor, ...]:
        return (self.h,)

    def longer(self) -> Selected:
        return Selected(self.recent.longer(), torch.empty_like(self.h))

    def select(self, rows: Tensor) -> Selected:
        return Selected(self.recent.select(rows), self.h[rows])

    def reclaim(self) -> Selected:
        return Selected(self.recent.reclaim(), self.h)

    def detach(self) -> Selected:
        return Selected(self.recent.detach(), self.h.detach())

    def nbytes(self) -> int:
        return self.recent.nbytes() + self.h.numel() * self.h.element_size()


class MambaLayer(nn.Module):
    """Wx and Wz (E, D), selection (R + 2N, E), W_Δ (E, R) with its bias, log(-A) (E, N), D (E), Wo (D, E)."""

    own_init = frozenset({"a_log", "dt.bias"})

    def __init__(self, spec: Mamba, d_model: int) -> None:
        super().__init__()
        self.spec = spec
        e, n, rank = spec.channels(d_model), spec.d_state, spec.rank(d_model)
        self.widths = [rank, n, n]
        self.x = build_linear(spec.linear, d_model, e, bias=spec.bias)
        self.gate = build_linear(spec.linear, d_model, e, bias=spec.bias)
        self.convolution = ConvolutionLayer(spec.d_conv, e)
        self.convolution_bias = nn.Parameter(torch.zeros(e)) if spec.conv_bias else None
        self.selection = build_linear(spec.linear, e, sum(self.widths))
        self.norms = None if spec.inner_norm is None else nn.ModuleList(spec.inner_norm.build(width) for width in self.widths)
        self.dt = build_linear(spec.linear, rank, e, bias=True)
        self.a_log = nn.Parameter(torch.arange(1.0, n + 1).log().expand(e, n).clone())  # S4D-real (2206.11893): A = -1 … -N
        self.a_log.no_decay = True  # type: ignore[attr-defined]
        self.skip = nn.Parameter(torch.ones(e))
        self.o = build_linear(spec.linear, e, d_model, bias=spec.bias, writes_residual=True)
        self.uniform_init = {"convolution.taps": spec.d_conv**-0.5, "dt.weight": rank**-0.5}
        with torch.no_grad():
            self.dt.bias.copy_(first_steps(spec.dt_min, spec.dt_max, e))  # type: ignore[union-attr, operator, arg-type]

    def new_state(self, batch: int, like: Tensor, capacity: int | None = None) -> Selected:
        """An empty memory for `batch` rows, of `like`'s dtype and device."""
        h = torch.zeros(batch, *self.a_log.shape, dtype=at_least_single(like.dtype), device=like.device)
        return Selected(self.convolution.new_state(batch, like, capacity), h)

    def forward(self, x: Tensor, context: Context, state: Selected | None = None) -> tuple[Tensor, Selected | None]:
        x, gate = project(x, (self.x, self.gate))  # type: ignore[list-item]  # (B, T, E) twice
        x, recent = self.convolution(x, context, None if state is None else state.recent)
        x = silu(x if self.convolution_bias is None else x + self.convolution_bias)
        parts = self.selection(x).split(self.widths, -1)  # (B, T, R), (B, T, N), (B, T, N)
        if self.norms is not None:
            parts = tuple(norm(part) for norm, part in zip(self.norms, parts, strict=True))
        number = at_least_single(x.dtype)
        steps, a = softplus(self.dt(parts[0]).to(number)), -self.a_log.to(number).exp()  # (B, T, E), (E, N)
        inputs = (x.to(number), steps, a, parts[1].to(number), parts[2].to(number), self.skip.to(number))
        first = context.once("begins", lambda: begins(context))
        if state is None:
            y, h = selective_scan_alone(*inputs, first), None
        else:
            y, h = selective_scan(*inputs, state.h.to(number), first)
        y = y.to(x.dtype) * silu(gate)
        return self.o(y), None if recent is None or h is None else Selected(recent, h)  # (B, T, D)

    def lower(self, program: Program, x: Tensor) -> Tensor:
        gate = program.pointwise("silu", lower(self.gate, program, x))
        bias = () if self.convolution_bias is None else (self.convolution_bias,)
        x = program.pointwise("silu", lower(self.convolution, program, lower(self.x, program, x), *bias))
        parts = program.split(lower(self.selection, program, x), self.widths)
        if self.norms is not None:
            parts = [lower(norm, program, part) for norm, part in zip(self.norms, parts, strict=True)]
        rank, b, c = parts
        y = program.scan_step(program.held(), x, lower(self.dt, program, rank), self.a_log, b, c, self.skip)
        return lower(self.o, program, program.pointwise("multiply", y, gate))


def begins(context: Context) -> Tensor | None:
    """(B, T) whether a document begins with a place; None: nowhere but where the state begins too."""
    return None if context.documents is None else (context.positions == 0).expand(context.documents.shape)


def at_least_single(dtype: torch.dtype) -> torch.dtype:
    """The type in which a state is carried: float32, or float64. In bfloat16 a small step would be rounded away."""
    return torch.promote_types(dtype, torch.float32)


def first_steps(shortest: float, longest: float, n: int) -> Tensor:
    """The bias (n,) with which softplus gives steps spread evenly, by their logarithm, from the shortest to the longest.

    The paper draws them; what is taken here are the quantiles of that distribution, which need no chance.
    """
    steps = torch.exp(math.log(shortest) + (torch.arange(n) + 0.5) / n * math.log(longest / shortest))
    return steps + torch.log(-torch.expm1(-steps))

"""A short causal convolution: each place takes a little of the few places before it, channel by channel.

    y_t = Σ_{j < width} taps_j ⊙ x_{t-j}            (places of another document count as zero)

Attention has to learn to look one place back before it can learn "what followed this word the last time" (induction,
2209.11895). A depthwise convolution gives it that step: Primer puts one behind every projection (2109.08668), Mamba
before its scan (2312.00752), Canon layers beside every sublayer (Allen-Zhu 2025). As a sublayer of its own it costs
`width` · D parameters and starts as nothing at all: its taps are zero. See ops/convolution.py for the sum.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import pad

from linnet.model.context import Context
from linnet.model.spec import TokenMixer
from linnet.model.state import Tail, Tails
from linnet.ops.convolution import convolve
from linnet.ops.program import Program


class Convolution(TokenMixer):
    """A short causal convolution, channel by channel: a little of the few places before.

    width   places that it reaches over, this one counted in
    """

    kind: Literal["convolution"] = "convolution"
    width: int = Field(default=3, ge=2)

    @classmethod
    def examples(cls) -> tuple[Convolution, ...]:
        return cls(), cls(width=2), cls(width=5)

    def build(self, d_model: int) -> nn.Module:
        return ConvolutionLayer(self.width, d_model)

    def n_params(self, d_model: int) -> int:
        return self.width * d_model

    def flops(self, d_model: int, context: int) -> float:
        return 0.0  # matrix products are counted, and it has none: a few multiply-adds, as in a norm

    def state_bytes(self, d_model: int, length: int, number: int) -> int:
        return min(length, self.width - 1) * d_model * number

    def activation_numbers(self, d_model: int, context: int) -> float:
        return d_model


@dataclass(frozen=True, eq=False)
class Recent(Tails):
    """What a convolution remembers: the last inputs (B, S, D)."""

    inputs: Tail


class ConvolutionLayer(nn.Module):
    """taps (width, D): row j weighs the input j places back."""

    own_init = frozenset({"taps"})

    def __init__(self, width: int, d_model: int) -> None:
        super().__init__()
        self.width = width
        self.taps = nn.Parameter(torch.zeros(width, d_model))

    def new_state(self, batch: int, like: Tensor, capacity: int | None = None) -> Recent:
        """An empty memory for `batch` rows, of `like`'s dtype and device."""
        shape = torch.empty(batch, 0, self.taps.shape[1], dtype=like.dtype, device=like.device)
        return Recent(Tail.empty(shape, window=self.width, capacity=capacity))

    def forward(self, x: Tensor, context: Context, state: Recent | None = None) -> tuple[Tensor, Recent | None]:
        near = [context.same_document(back) for back in range(1, self.width)]  # (B, T) or None
        if state is None:
            return convolve(x, self.taps, near), None  # (B, T, D)
        before = state.inputs.last(min(state.inputs.length, self.width - 1))  # (B, P, D), P < width
        n_before = before.shape[1]
        near = [None if mask is None else pad(mask, (n_before, 0), value=1.0) for mask in near]
        y = convolve(torch.cat((before, x), 1), self.taps, near)[:, n_before:]
        return y, Recent(state.inputs.append(x))

    def lower(self, program: Program, x: Tensor, bias: Tensor | None = None) -> Tensor:
        inputs = program.memory()
        program.remember(inputs, x, x.shape[1])
        return program.convolve(inputs, self.taps, bias)

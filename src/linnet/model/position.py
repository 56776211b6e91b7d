"""Positions: added to the embedding (learned, sinusoidal), or acting inside attention (rope, alibi).

No position at all is a choice too (`position: null`): a causal mask alone already breaks the symmetry (2203.16634).
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from linnet.core.errors import LinnetError, explain
from linnet.model.rope_scaling import LinearScaling, Llama3Scaling, NTKScaling, YarnScaling
from linnet.model.spec import AttentionPosition, InputPosition, RopeScaling
from linnet.ops.program import Program
from linnet.ops.rope import first_cosine, rotary_table


class Learned(InputPosition):
    """One learned vector for each position up to `max_length` (GPT-2, BERT).

    max_length   how many: the longest text that the model can read
    """

    kind: Literal["learned"] = "learned"
    max_length: int = Field(ge=1)

    @classmethod
    def examples(cls) -> tuple[Learned, ...]:
        return cls(max_length=96), cls(max_length=128)

    def build(self, d_model: int) -> nn.Module:
        return LearnedLayer(self.max_length, d_model)

    def n_params(self, d_model: int) -> int:
        return self.max_length * d_model


class LearnedLayer(nn.Module):
    def __init__(self, max_length: int, d_model: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(max_length, d_model))

    def forward(self, positions: Tensor) -> Tensor:
        n = self.weight.shape[0]
        if positions.numel() and int(positions.max()) >= n:
            raise LinnetError(
                explain(
                    f"position {int(positions.max())} in a model that learned {n} positions",
                    need=f"at most {n} tokens",
                    hint="a shorter text, or a model with rope or alibi positions",
                )
            )
        return nn.functional.embedding(positions, self.weight)  # (..., T, D)

    def lower(self, program: Program, x: Tensor) -> Tensor:
        return program.add_position(x, self.weight)


class Sinusoidal(InputPosition):
    """Fixed waves of falling frequency (1706.03762, section 3.5): sin in even places, cos in odd ones.

    base     the longest wave is about 6 times this many places
    halves   all sines in the first half and all cosines in the second, as Marian has them
    """

    kind: Literal["sinusoidal"] = "sinusoidal"
    base: float = Field(default=10_000.0, gt=1)
    halves: bool = False

    @classmethod
    def examples(cls) -> tuple[Sinusoidal, ...]:
        return cls(), cls(base=50.0), cls(halves=True)

    def build(self, d_model: int) -> nn.Module:
        return SinusoidalLayer(d_model, self.base, self.halves)

    def n_params(self, d_model: int) -> int:
        return 0

    def problems(self, d_model: int) -> list[str]:
        return [f"sinusoidal positions with d_model = {d_model}; needed: an even width"] if d_model % 2 else []


class SinusoidalLayer(nn.Module):
    def __init__(self, d_model: int, base: float, halves: bool = False) -> None:
        super().__init__()
        self.d_model, self.base, self.halves = d_model, base, halves

    def forward(self, positions: Tensor) -> Tensor:
        first_cosine()
        half = torch.arange(0, self.d_model, 2, dtype=torch.float32, device=positions.device)  # (D/2,)
        angle = positions.to(torch.float32).unsqueeze(-1) * self.base ** (-half / self.d_model)  # (..., T, D/2)
        if self.halves:
            return torch.cat((angle.sin(), angle.cos()), -1)  # (..., T, D)
        return torch.stack((angle.sin(), angle.cos()), -1).flatten(-2)  # (..., T, D)

    def lower(self, program: Program, x: Tensor) -> Tensor:
        return program.add_position(x, self, "sinusoidal")


class Rope(AttentionPosition):
    """Rotary positions (2104.09864); `fraction` of each head is turned (GPT-NeoX turns a quarter).

    base       the larger, the slower the slowest turn
    fraction   the share of each head that is turned
    scaling    slower turns for texts longer than those of training; default: none
    """

    kind: Literal["rope"] = "rope"
    base: float = Field(default=10_000.0, gt=1)
    fraction: float = Field(default=1.0, gt=0, le=1)
    scaling: RopeScaling | None = None

    @classmethod
    def examples(cls) -> tuple[Rope, ...]:
        scaled = (LinearScaling(), NTKScaling(), YarnScaling.examples()[0], Llama3Scaling.examples()[0])
        return cls(), cls(base=50.0), cls(fraction=0.5), *(cls(scaling=scaling) for scaling in scaled)

    def d_rotary(self, d_head: int) -> int:
        """How many numbers of a head are turned: an even count."""
        return int(d_head * self.fraction) // 2 * 2

    def table(self, positions: Tensor, d_head: int) -> tuple[Tensor, Tensor]:
        """cos and sin of positions (..., T) for heads of that width, (..., T, R); the scaling's frequencies and multiplier in them."""
        return rotary_table(positions, self.d_rotary(d_head), self.base, self.scaling)


class Alibi(AttentionPosition):
    """A penalty that grows with distance, with another slope for each head (2108.12409).

    max_slope   the last head has slope 2 to the power of minus this
    """

    kind: Literal["alibi"] = "alibi"
    max_slope: float = Field(default=8.0, gt=0)

    @classmethod
    def examples(cls) -> tuple[Alibi, ...]:
        return cls(), cls(max_slope=3.0)

    def slopes(self, n_heads: int) -> Tensor:
        """(H,) geometric slopes 2^(-8/n), 2^(-16/n) …; for n not a power of two as in the paper's code (section 3)."""

        def powers(n: int) -> list[float]:
            return [2 ** (-self.max_slope * (i + 1) / n) for i in range(n)]

        below = 2 ** math.floor(math.log2(n_heads))
        slopes = powers(below)
        if below < n_heads:
            slopes += powers(2 * below)[0::2][: n_heads - below]
        return torch.tensor(slopes)

    def bias(self, n_heads: int, queries: Tensor, keys: Tensor) -> Tensor:
        """Stream indices (T,) and (S,) → what is added to the scores, (H, T, S)."""
        distance = (queries[:, None] - keys[None, :]).abs()  # (T, S)
        return -self.slopes(n_heads).to(queries.device)[:, None, None] * distance

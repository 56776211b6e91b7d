"""Two token mixers side by side, one the gate of the other: memory as a gate (Titans, 2501.00663, section 4.2).

    y = norm(mixer(x)) ⊙ σ(norm(gate(x)))

These are eq. 26 to 28, "Gated Memory". In Titans the mixer is attention over the last few places and the gate a neural
memory of all that came before: what is near is seen exactly, and what is far decides how much of it counts. Any two token
mixers fit. Each has a norm of its own, with a scale that is learned.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from linnet.model.context import Context
from linnet.model.mixer.attention import Attention
from linnet.model.mixer.convolution import Convolution
from linnet.model.mixer.cross import Cross
from linnet.model.mixer.neural_memory import NeuralMemory
from linnet.model.norm import RMSNorm
from linnet.model.position import Rope
from linnet.model.spec import Norm, TokenMixer
from linnet.model.state import LayerState


class Gated(TokenMixer):
    """A token mixer whose output another one gates.

    mixer   what is gated: attention, most often within a window
    gate    what gates it: a neural memory, most often
    norm    a norm on each of the two before they meet; null: none
    """

    kind: Literal["gated"] = "gated"
    mixer: TokenMixer
    gate: TokenMixer
    norm: Norm | None = Field(default=RMSNorm())

    @classmethod
    def examples(cls) -> tuple[Gated, ...]:
        attention, memory = Attention(n_heads=4, position=Rope()), NeuralMemory(chunk=5)
        return (
            cls(mixer=attention, gate=memory),
            cls(mixer=attention.replace(window=6), gate=memory.replace(depth=2, n_heads=2), norm=None),
            cls(mixer=memory, gate=Convolution()),
            cls(mixer=Cross(n_heads=4), gate=attention),
        )

    @property
    def reads_source(self) -> bool:
        return self.mixer.reads_source or self.gate.reads_source

    @property
    def has_global_places(self) -> bool:
        return self.mixer.has_global_places or self.gate.has_global_places

    @property
    def sees_ahead(self) -> bool:
        return self.mixer.sees_ahead or self.gate.sees_ahead

    def problems(self, d_model: int) -> list[str]:
        return [f"gated: {problem}" for part in (self.mixer, self.gate) for problem in part.problems(d_model)]

    def build(self, d_model: int) -> nn.Module:
        return GatedLayer(self, d_model)

    def n_params(self, d_model: int) -> int:
        norms = 0 if self.norm is None else 2 * self.norm.n_params(d_model)
        return self.mixer.n_params(d_model) + self.gate.n_params(d_model) + norms

    def flops(self, d_model: int, context: int) -> float:
        return self.mixer.flops(d_model, context) + self.gate.flops(d_model, context)

    def state_bytes(self, d_model: int, length: int, number: int) -> int:
        return sum(part.state_bytes(d_model, length, number) for part in (self.mixer, self.gate))

    def activation_numbers(self, d_model: int, context: int) -> float:
        return sum(part.activation_numbers(d_model, context) for part in (self.mixer, self.gate)) + 4 * d_model


@dataclass(frozen=True, eq=False)
class Pair:
    """What two mixers side by side remember."""

    mixer: LayerState
    gate: LayerState

    def select(self, rows: Tensor) -> Pair:
        return Pair(self.mixer.select(rows), self.gate.select(rows))

    def reclaim(self) -> Pair:
        return Pair(self.mixer.reclaim(), self.gate.reclaim())

    def detach(self) -> Pair:
        return Pair(self.mixer.detach(), self.gate.detach())

    def nbytes(self) -> int:
        return self.mixer.nbytes() + self.gate.nbytes()


class GatedLayer(nn.Module):
    """The two mixers as they are built alone, and their norms."""

    def __init__(self, spec: Gated, d_model: int) -> None:
        super().__init__()
        self.mixer, self.gate = spec.mixer.build(d_model), spec.gate.build(d_model)
        self.mixer_norm = spec.norm.build(d_model) if spec.norm is not None else None
        self.gate_norm = spec.norm.build(d_model) if spec.norm is not None else None

    def new_state(self, batch: int, like: Tensor, capacity: int | None = None) -> Pair:
        """An empty memory of each for `batch` rows."""
        return Pair(*(part.new_state(batch, like, capacity) for part in (self.mixer, self.gate)))  # type: ignore[operator]

    def forward(self, x: Tensor, context: Context, state: Pair | None = None) -> tuple[Tensor, Pair | None]:
        y, of_mixer = self.mixer(x, context, None if state is None else state.mixer)  # (B, T, D)
        gate, of_gate = self.gate(x, context, None if state is None else state.gate)  # (B, T, D)
        if self.mixer_norm is not None and self.gate_norm is not None:
            y, gate = self.mixer_norm(y), self.gate_norm(gate)
        return y * gate.sigmoid(), None if state is None else Pair(of_mixer, of_gate)

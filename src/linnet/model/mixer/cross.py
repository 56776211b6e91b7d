"""Cross attention: a decoder looks at what an encoder has read (1706.03762, section 3.2.3).

    q = x Wq        k, v = source Wk, source Wv        y = attention(q, k, v) Wo

The source is read once (`Network.read`) and stands in the context of every pass; its keys and values are made once and kept in the
state. There is no order in time between the two sides, so nothing is masked but padding and other documents' sources; a place whose
document has no source reads zeros. Positions, if any, are in the source's hidden states: none act in here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from linnet.core.errors import LinnetError, explain
from linnet.model.context import Context
from linnet.model.linear import Dense, build_linear, project
from linnet.model.mixer.heads import GroupedHeads, head_problems
from linnet.model.spec import Linear, TokenMixer
from linnet.ops.attention import attention


class Cross(GroupedHeads, TokenMixer):
    """Attention to what an encoder has read.

    n_heads       heads
    n_kv_heads    key-value heads, which groups of heads share; default: one a head
    d_head        width of a head; default: d_model / n_heads
    bias          biases on queries, keys, values and the output
    scale         what scores are multiplied by; default: 1 / √(width of a head)
    linear        how matrices are held
    """

    kind: Literal["cross"] = "cross"
    n_heads: int = Field(ge=1)
    n_kv_heads: int | None = Field(default=None, ge=1)
    d_head: int | None = Field(default=None, ge=1)
    bias: bool = False
    scale: float | None = Field(default=None, gt=0)
    linear: Linear = Dense()

    @classmethod
    def examples(cls) -> tuple[Cross, ...]:
        return cls(n_heads=4), cls(n_heads=4, n_kv_heads=2, bias=True), cls(n_heads=3, d_head=6, scale=1.0)

    @property
    def reads_source(self) -> bool:
        return True

    def problems(self, d_model: int) -> list[str]:
        return head_problems("cross", d_model, self.n_heads, self.groups, self.d_head)

    def build(self, d_model: int) -> nn.Module:
        return CrossLayer(self, d_model)

    def n_params(self, d_model: int) -> int:
        q, kv = self.n_heads * self.width(d_model), self.groups * self.width(d_model)
        return d_model * (q + 2 * kv) + q * d_model + (q + 2 * kv + d_model if self.bias else 0)

    def flops(self, d_model: int, context: int) -> float:
        """As for a source as long as the context."""
        k = self.width(d_model)
        return 2 * d_model * k * (2 * self.n_heads + 2 * self.groups) + 4 * self.n_heads * k * context

    def state_bytes(self, d_model: int, length: int, number: int) -> int:
        """As for a source of that length."""
        return 2 * self.groups * self.width(d_model) * length * number

    def activation_numbers(self, d_model: int, context: int) -> float:
        return 2 * d_model + 2 * (self.n_heads + self.groups) * self.width(d_model)


@dataclass(frozen=True, eq=False)
class SourceKeyValue:
    """What cross attention keeps of a source: its keys and values (B, G, S, K); None as long as nobody has looked."""

    keys: Tensor | None = None
    values: Tensor | None = None

    def select(self, rows: Tensor) -> SourceKeyValue:
        return self._each(lambda held: held[rows])

    def reclaim(self) -> SourceKeyValue:
        return self  # nothing is ever added to it

    def detach(self) -> SourceKeyValue:
        return self._each(lambda held: held.detach())

    def nbytes(self) -> int:
        return sum(held.nbytes for held in (self.keys, self.values) if held is not None)

    def _each(self, change: Callable[[Tensor], Tensor]) -> SourceKeyValue:
        if self.keys is None or self.values is None:
            return self
        return replace(self, keys=change(self.keys), values=change(self.values))


class CrossLayer(nn.Module):
    """Wq (H·K, D), Wk and Wv (G·K, D), Wo (D, H·K)."""

    def __init__(self, spec: Cross, d_model: int) -> None:
        super().__init__()
        self.d_head = spec.width(d_model)
        self.scale = spec.scale or self.d_head**-0.5
        inner, shared = spec.n_heads * self.d_head, spec.groups * self.d_head
        self.q = build_linear(spec.linear, d_model, inner, bias=spec.bias)
        self.k = build_linear(spec.linear, d_model, shared, bias=spec.bias)
        self.v = build_linear(spec.linear, d_model, shared, bias=spec.bias)
        self.o = build_linear(spec.linear, inner, d_model, bias=spec.bias, writes_residual=True)

    def new_state(self, batch: int, like: Tensor, capacity: int | None = None) -> SourceKeyValue:
        """Nothing yet: the first pass fills it."""
        return SourceKeyValue()

    def forward(self, x: Tensor, context: Context, state: SourceKeyValue | None = None) -> tuple[Tensor, SourceKeyValue | None]:
        q = self._heads(self.q(x))  # (B, H, T, K)
        if state is None or state.keys is None or state.values is None:
            if context.source is None:
                raise LinnetError(
                    explain("tokens without a source", need="what the encoder has read", hint="source=network.read(tokens)")
                )
            k, v = map(self._heads, project(context.source.hidden, (self.k, self.v)))  # (B, G, S, K)
        else:
            k, v = state.keys, state.values
        allowed, some = context.source_mask()  # (B, T, S), (B, T)
        y = attention(q, k, v, allowed=allowed, scale=self.scale).transpose(1, 2).flatten(-2)  # (B, T, H·K)
        if some is not None:
            y = y * some[:, :, None]
        return self.o(y), None if state is None else SourceKeyValue(k, v)

    def _heads(self, x: Tensor) -> Tensor:
        """(B, T, H·K) → (B, H, T, K)"""
        return x.unflatten(-1, (-1, self.d_head)).transpose(1, 2)

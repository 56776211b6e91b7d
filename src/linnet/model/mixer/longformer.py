"""Longformer's attention (2004.05150): a window, and a few global places that see and are seen by all.

    t sees s    if |t - s| < window,  or t is global,  or s is global      (and s ≤ t where it is causal)

The first `n_global` tokens of each document are global: in an encoder the one that stands for the whole text. What they ask is
another question than what their neighbours ask, so they may have projections of their own (section 3.1): a global query meets all
keys and values as `k_global` and `v_global` make them. T places cost T · (2 window + n_global) scores and not T²: see ops/longformer.py.

A pass over whole texts may name other global places instead (`Network.forward(marked=…)`: the words of a question, say).
Deliberately without rope: positions are added to the embedding, as in the paper.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from linnet.model.context import Context
from linnet.model.linear import Dense, build_linear, project
from linnet.model.spec import Linear, TokenMixer
from linnet.model.state import KeyValue, Tail, Tails
from linnet.ops.longformer import longformer, longformer_scores


class Longformer(TokenMixer):
    """Attention within a window, and a few global places.

    n_heads    heads
    window     how far a place sees to each side, itself included
    n_global   tokens at the beginning of each document that see and are seen by all of it, where a pass names no others
    separate   global places have projections of their own
    causal     a place sees only places before it
    bias       biases on queries, keys, values and the output
    linear     how matrices are held
    """

    kind: Literal["longformer"] = "longformer"
    n_heads: int = Field(ge=1)
    window: int = Field(default=128, ge=1)
    n_global: int = Field(default=1, ge=1)
    separate: bool = True
    causal: bool = False
    bias: bool = False
    linear: Linear = Dense()

    @classmethod
    def examples(cls) -> tuple[Longformer, ...]:
        return (
            cls(n_heads=4, window=3),
            cls(n_heads=2, window=2, n_global=2, bias=True),
            cls(n_heads=4, window=4, separate=False),
            cls(n_heads=4, window=3, n_global=2, causal=True),
            cls(n_heads=2, window=1, causal=True, separate=False, bias=True),
        )

    @property
    def has_global_places(self) -> bool:
        return True

    def problems(self, d_model: int) -> list[str]:
        if d_model % self.n_heads == 0:
            return []
        return [f"longformer: n_heads = {self.n_heads} does not divide d_model = {d_model}; needed: a divisor"]

    def build(self, d_model: int) -> nn.Module:
        return LongformerLayer(self, d_model)

    def n_params(self, d_model: int) -> int:
        inner = 7 if self.separate else 4
        return inner * (d_model * d_model + (d_model if self.bias else 0))

    def flops(self, d_model: int, context: int) -> float:
        scores = longformer_scores(context, self.window, self.n_global, causal=self.causal) / context
        share = min(self.n_global, context) / context  # of places that ask as global ones
        own = 2 * d_model * d_model * (2 + share) if self.separate else 0
        return 8 * d_model * d_model + own + 4 * d_model * scores

    def state_bytes(self, d_model: int, length: int, number: int) -> int:
        return (4 if self.separate else 2) * d_model * length * number

    def activation_numbers(self, d_model: int, context: int) -> float:
        return (7 if self.separate else 5) * d_model


@dataclass(frozen=True, eq=False)
class Marked(Tails):
    """What it remembers where global places have keys and values of their own: both pairs, (B, H, S, K)."""

    keys: Tail
    values: Tail
    global_keys: Tail
    global_values: Tail


class LongformerLayer(nn.Module):
    """Wq, Wk, Wv, Wo (D, D), and where they are separate Wq, Wk, Wv once more for global places."""

    def __init__(self, spec: Longformer, d_model: int) -> None:
        super().__init__()
        self.spec = spec
        self.d_head = d_model // spec.n_heads
        held, bias = spec.linear, spec.bias
        self.q, self.k, self.v = (build_linear(held, d_model, d_model, bias=bias) for _ in range(3))
        self.o = build_linear(held, d_model, d_model, bias=bias, writes_residual=True)
        if spec.separate:
            self.q_global, self.k_global, self.v_global = (build_linear(held, d_model, d_model, bias=bias) for _ in range(3))

    def new_state(self, batch: int, like: Tensor, capacity: int | None = None) -> KeyValue | Marked:
        """An empty memory for `batch` rows, of `like`'s dtype and device. All places are kept: global ones are seen by all."""
        shape = torch.empty(batch, self.spec.n_heads, 0, self.d_head, dtype=like.dtype, device=like.device)
        tails = [Tail.empty(shape, capacity=capacity) for _ in range(4 if self.spec.separate else 2)]
        return Marked(*tails) if self.spec.separate else KeyValue(*tails)

    def forward(
        self, x: Tensor, context: Context, state: KeyValue | Marked | None = None
    ) -> tuple[Tensor, KeyValue | Marked | None]:
        spec, end = self.spec, context.first + context.n_tokens
        layers = (self.k, self.v, self.k_global, self.v_global) if spec.separate else (self.k, self.v)
        q, *held = (self._heads(part) for part in project(x, (self.q, *layers)))  # (B, H, T, K) each
        if state is not None:
            state = type(state)(*(tail.append(new) for tail, new in zip(state.tails(), held, strict=True)))
            held = [tail.view()[:, :, :end] for tail in state.tails()]  # a state of fixed size shows places after them, too
        k, v, k_global, v_global = held if spec.separate else held * 2  # (B, H, S, K) each
        mask = context.seen(causal=spec.causal, window=spec.window, first_key=0, n_keys=end)
        mask = replace(mask, everyone=context.everyone(spec.n_global))
        columns = context.once(("global columns", spec.n_global), lambda: mask.everyone[0].any(0).nonzero()[:, 0])  # type: ignore[index]
        asked = self._heads(self.q_global(x[:, columns])) if spec.separate else q[:, :, columns]  # (B, H, M, K)
        y = longformer(
            q, k, v, asked, columns, k_global, v_global, mask, first_query=context.first, scale=self.d_head**-0.5
        )  # (B, H, T, K)
        return self.o(y.transpose(1, 2).flatten(2)), state  # (B, T, D)

    def _heads(self, x: Tensor) -> Tensor:
        """(B, T, D) → (B, H, T, K)."""
        return x.unflatten(2, (self.spec.n_heads, self.d_head)).transpose(1, 2)

"""Infini-attention: a segment is read in full, what came before it from a memory of bounded size (2404.07143).

    y = (1 - g) · attention within the segment  +  g · σ(q) M / σ(q) z          g = sigmoid(gate), one for each head

M and z hold all segments of the document that have ended, as linear attention does (see ops/compressive_memory.py); they
take as much room after a million tokens as after one segment. The paper gives the memory's queries and keys no position,
so that it holds what was said and not where: rope turns those of the local part alone. Gradients flow through the memory.
Sections 3.1 (the mixture is eq. 10) and 4.1 (positions, gradients), as the version that has a section of background counts them.

Names are attention's: with a gate far below zero this is attention within segments, and an attention's weights fit.
Deliberately no normaliser of its own for the values, as some later work adds: the paper's formula as it stands.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from linnet.model.context import Context
from linnet.model.linear import Dense, build_linear, project
from linnet.model.mixer.heads import GroupedHeads, head_problems, rope_problems, rotation
from linnet.model.norm import LayerNorm, RMSNorm
from linnet.model.position import Alibi, Rope
from linnet.model.spec import AttentionPosition, Linear, Norm, TokenMixer
from linnet.model.state import Tail
from linnet.ops.attention import attention_from
from linnet.ops.compressive_memory import Memory, Rule, compressive_memory
from linnet.ops.rope import rotate
from linnet.ops.segments import pieces_of, segments_of


class Infini(GroupedHeads, TokenMixer):
    """Attention within segments, and a compressive memory of those before.

    n_heads       heads
    n_kv_heads    key-value heads, each with a memory, which groups of heads share; default: one a head
    d_head        width of a head; default: d_model / n_heads
    segment       tokens that are read in full, and after which the memory is written
    rule          linear adds what is new; delta only what the memory does not say already
    gate          where the gates start: the memory's share is the sigmoid of it, a half at 0, 2 % at -4, nothing at -20
    position      positions that act in the local part, rope; default: none
    qk_norm       a norm on queries and keys; default: none
    bias          biases on queries, keys, values and the output
    linear        how matrices are held
    """

    kind: Literal["infini"] = "infini"
    n_heads: int = Field(ge=1)
    n_kv_heads: int | None = Field(default=None, ge=1)
    d_head: int | None = Field(default=None, ge=1)
    segment: int = Field(default=64, ge=1)
    rule: Rule = "delta"
    gate: float = Field(default=0.0, ge=-1000, le=1000)
    position: AttentionPosition | None = None
    qk_norm: Norm | None = None
    bias: bool = False
    linear: Linear = Dense()

    @classmethod
    def examples(cls) -> tuple[Infini, ...]:
        return (
            cls(n_heads=4, segment=5, rule="linear", position=Rope()),
            cls(n_heads=4, segment=4, rule="delta", position=Rope()),
            cls(n_heads=4, n_kv_heads=2, segment=3, rule="linear", qk_norm=RMSNorm(), gate=-1.0),
            cls(n_heads=2, n_kv_heads=1, d_head=6, segment=7, rule="delta", qk_norm=LayerNorm(), bias=True),
            cls(n_heads=4, segment=1, rule="linear"),
            cls(n_heads=4, segment=64, position=Rope(fraction=0.5)),
        )

    def problems(self, d_model: int) -> list[str]:
        found = head_problems("infini", d_model, self.n_heads, self.groups, self.d_head)
        if isinstance(self.position, Alibi):
            found.append("infini: position alibi; needed: rope or none; try: position: rope")
        return found + rope_problems("infini", self.position, self.width(d_model))

    def build(self, d_model: int) -> nn.Module:
        return InfiniLayer(self, d_model)

    def n_params(self, d_model: int) -> int:
        k = self.width(d_model)
        q, kv = self.n_heads * k, self.groups * k
        biases = q + 2 * kv + d_model if self.bias else 0
        norms = 2 * self.qk_norm.n_params(k) if self.qk_norm is not None else 0
        return d_model * (q + 2 * kv) + q * d_model + biases + norms + self.n_heads

    def flops(self, d_model: int, context: int) -> float:
        k = self.width(d_model)
        matrices = 2 * d_model * k * (2 * self.n_heads + 2 * self.groups)
        n_pieces, width = pieces_of(context, self.segment)
        full, rest = divmod(context, self.segment)
        seen = (full * self.segment * (self.segment + 1) + rest * (rest + 1)) / 2 / context  # keys a query sees, on average
        writes = self.groups * (1 if self.rule == "linear" else 2)  # the delta rule reads before it writes
        memory = 2 * k * (k + 1) * (self.n_heads + writes) * n_pieces * width / context
        return matrices + 4 * self.n_heads * k * seen + memory

    def state_bytes(self, d_model: int, length: int, number: int) -> int:
        k = self.width(d_model)
        local = 2 * self.groups * k * min(length, self.segment) * number
        return local + 2 * self.groups * k * (k + 1) * max(number, 4)

    def activation_numbers(self, d_model: int, context: int) -> float:
        k = self.width(d_model)
        vectors = d_model + 6 * self.n_heads * k + 5 * self.groups * k
        return vectors + 2 * self.groups * k * (k + 1) / self.segment


@dataclass(frozen=True, eq=False)
class InfiniState:
    """keys, values (B, G, S, K) of the segment under way, and the memory (B, G, K, K + 1), which is replaced, never written to."""

    keys: Tail
    values: Tail
    memory: Memory

    def select(self, rows: Tensor) -> InfiniState:
        memory = Memory(self.memory.written[rows], self.memory.pending[rows])
        return InfiniState(self.keys.select(rows), self.values.select(rows), memory)

    def reclaim(self) -> InfiniState:
        return replace(self, keys=self.keys.reclaim(), values=self.values.reclaim())

    def detach(self) -> InfiniState:
        memory = Memory(self.memory.written.detach(), self.memory.pending.detach())
        return InfiniState(self.keys.detach(), self.values.detach(), memory)

    def nbytes(self) -> int:
        tensors = (self.memory.written, self.memory.pending)
        return self.keys.nbytes() + self.values.nbytes() + sum(x.numel() * x.element_size() for x in tensors)


class InfiniLayer(nn.Module):
    """Wq (H·K, D), Wk and Wv (G·K, D), Wo (D, H·K), gate (H,)."""

    def __init__(self, spec: Infini, d_model: int) -> None:
        super().__init__()
        self.spec = spec
        self.d_head = spec.width(d_model)
        self.scale = self.d_head**-0.5
        inner, shared = spec.n_heads * self.d_head, spec.groups * self.d_head
        self.q = build_linear(spec.linear, d_model, inner, bias=spec.bias)
        self.k = build_linear(spec.linear, d_model, shared, bias=spec.bias)
        self.v = build_linear(spec.linear, d_model, shared, bias=spec.bias)
        self.o = build_linear(spec.linear, inner, d_model, bias=spec.bias, writes_residual=True)
        self.q_norm = spec.qk_norm.build(self.d_head) if spec.qk_norm is not None else None
        self.k_norm = spec.qk_norm.build(self.d_head) if spec.qk_norm is not None else None
        self.gate = nn.Parameter(torch.full((spec.n_heads,), spec.gate))

    def new_state(self, batch: int, like: Tensor, capacity: int | None = None) -> InfiniState:
        """An empty memory for `batch` rows, of `like`'s dtype and device."""
        shape = torch.empty(batch, self.spec.groups, 0, self.d_head, dtype=like.dtype, device=like.device)
        return InfiniState(
            Tail.empty(shape, window=self.spec.segment, capacity=capacity),
            Tail.empty(shape, window=self.spec.segment, capacity=capacity),
            Memory.empty(batch, self.spec.groups, self.d_head, like),
        )

    def forward(self, x: Tensor, context: Context, state: InfiniState | None = None) -> tuple[Tensor, InfiniState | None]:
        batch, n_tokens, _ = x.shape  # (B, T, D)
        length = self.spec.segment
        segments = context.once(("segments", length), lambda: segments_of(context.positions, length))
        q, k, v = (
            part.view(batch, n_tokens, -1, self.d_head) for part in project(x, (self.q, self.k, self.v))
        )  # (B, T, H | G | G, K)
        if self.q_norm is not None and self.k_norm is not None:
            q, k = self.q_norm(q), self.k_norm(k)
        q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)  # (B, H, T, K), (B, G, T, K) twice

        memory = Memory.empty(batch, self.spec.groups, self.d_head, k) if state is None else state.memory
        said, memory = compressive_memory(q, k, v, segments, memory, self.spec.rule)  # (B, H, T, K)

        if isinstance(self.spec.position, Rope):
            cos, sin = rotation(self.spec.position, context, self.d_head, q.dtype)
            q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        if state is not None:
            state = InfiniState(state.keys.append(k), state.values.append(v), memory)
            n_keys = min(state.keys.length, n_tokens + length - 1)
            k, v = state.keys.last(n_keys), state.values.last(n_keys)  # (B, G, S, K)
        first = segments.first_seen(k.shape[2]).expand(batch, -1).contiguous()
        near = attention_from(q, k, v, first, scale=self.scale)

        y = torch.lerp(near, said, torch.sigmoid(self.gate).to(near.dtype)[:, None, None])
        return self.o(y.transpose(1, 2).reshape(batch, n_tokens, -1)), state  # (B, T, D)

"""Attention with a memory of the nearest (Memorizing Transformers, 2203.08913).

    y_t = g · recall(q_t, memory) + (1 - g) · attention(q_t, segment)        g = sigmoid(b), one b a head

A document is cut into segments. A place attends to its own segment up to itself, and besides to the `top_k` nearest
keys among the last `capacity` places of the segments that are finished. What stands in the memory gets no gradient, so
that it may be large: it costs a search and no way back (see ops/knn.py). Queries and keys are normalised (2010.04245),
so that old keys stay comparable with new ones. Where nothing is finished yet the gate is shut: g = 0.

The memory is no buffer of its own. Segment and memory are two ranges of one tail of keys and values, found from the
positions alone, so that it begins anew with every document and can be rolled back like any other state. Deliberately
without an approximate index, and without the cache of the segment before: its places are in the memory.
"""

from __future__ import annotations

from functools import partial
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from linnet.model.context import Context
from linnet.model.linear import Dense, build_linear, project
from linnet.model.mixer.heads import Heads, head_problems, rope_problems, rotation_at
from linnet.model.norm import LayerNorm, RMSNorm
from linnet.model.position import Rope
from linnet.model.spec import AttentionPosition, Linear, Norm, TokenMixer
from linnet.model.state import KeyValue, Tail
from linnet.ops.attention import attention_from
from linnet.ops.knn import recall
from linnet.ops.rope import rotate


class KNN(Heads, TokenMixer):
    """Attention within a segment, and to the nearest keys of finished segments of the same document.

    n_heads    heads
    segment    places of a segment, counted from where the document begins
    top_k      remembered places that each head reads
    capacity   places that are remembered besides the segment; the oldest are let go
    d_head     width of a head; default: d_model / n_heads
    position   rotary positions within the segment, which what is remembered does not have; default: none
    qk_norm    the norm on queries and keys
    linear     how matrices are held
    """

    kind: Literal["knn"] = "knn"
    n_heads: int = Field(ge=1)
    segment: int = Field(default=512, ge=1)
    top_k: int = Field(default=32, ge=1)
    capacity: int = Field(default=8192, ge=1)
    d_head: int | None = Field(default=None, ge=1)
    position: AttentionPosition | None = None
    qk_norm: Norm = RMSNorm()
    linear: Linear = Dense()

    @classmethod
    def examples(cls) -> tuple[KNN, ...]:
        return (
            cls(n_heads=4, segment=4, top_k=3, capacity=64),
            cls(n_heads=4, segment=3, top_k=2, capacity=5, position=Rope()),
            cls(n_heads=2, segment=1, top_k=1, capacity=1, position=Rope(base=50.0)),
            cls(n_heads=3, segment=5, top_k=50, capacity=7, d_head=6, qk_norm=LayerNorm(learned=False)),
            cls(n_heads=1),
        )

    def problems(self, d_model: int) -> list[str]:
        found = head_problems("knn", d_model, self.n_heads, self.n_heads, self.d_head)
        if self.position is not None and not isinstance(self.position, Rope):
            found.append("knn: position is not rope; needed: positions that turn queries and keys, or none; try: position: rope")
        return found + rope_problems("knn", self.position, self.width(d_model))

    def build(self, d_model: int) -> nn.Module:
        return KNNLayer(self, d_model)

    def n_params(self, d_model: int) -> int:
        k = self.width(d_model)
        return 4 * d_model * self.n_heads * k + 2 * self.qk_norm.n_params(k) + self.n_heads

    def remembered(self, context: int) -> list[tuple[int, int]]:
        """(places, what each of them can recall) of every segment of a document of `context` places."""
        starts = range(0, context, self.segment)
        return [(min(self.segment, context - start), min(self.capacity, start)) for start in starts]

    def flops(self, d_model: int, context: int) -> float:
        k = self.width(d_model)
        products = 0  # of K numbers: a query with a key, or a weight with a value
        for places, memory in self.remembered(context):
            products += places * (places + 1)  # its own segment up to itself: keys, then values
            products += places * (memory + min(memory, self.top_k))
        return 8 * d_model * self.n_heads * k + 2 * self.n_heads * k * products / context

    def state_bytes(self, d_model: int, length: int, number: int) -> int:
        return 2 * self.n_heads * self.width(d_model) * min(length, self.capacity + self.segment) * number

    def activation_numbers(self, d_model: int, context: int) -> float:
        return d_model + 8 * self.n_heads * self.width(d_model) + 2 * self.n_heads * min(self.top_k, context)


class KNNLayer(nn.Module):
    """Wq, Wk, Wv (H·K, D), Wo (D, H·K), gate (H,)."""

    def __init__(self, spec: KNN, d_model: int) -> None:
        super().__init__()
        self.spec = spec
        self.d_head = spec.width(d_model)
        self.scale = self.d_head**-0.5  # normalised keys have length √K; a learned norm is what makes scores sharper
        inner = spec.n_heads * self.d_head
        self.q = build_linear(spec.linear, d_model, inner)
        self.k = build_linear(spec.linear, d_model, inner)
        self.v = build_linear(spec.linear, d_model, inner)
        self.o = build_linear(spec.linear, inner, d_model, writes_residual=True)
        self.q_norm = spec.qk_norm.build(self.d_head)
        self.k_norm = spec.qk_norm.build(self.d_head)
        self.gate = nn.Parameter(torch.zeros(spec.n_heads))  # half and half

    def new_state(self, batch: int, like: Tensor, capacity: int | None = None) -> KeyValue:
        """An empty memory for `batch` rows, of `like`'s dtype and device."""
        shape = torch.empty(batch, self.spec.n_heads, 0, self.d_head, dtype=like.dtype, device=like.device)
        empty = partial(Tail.empty, shape, window=self.reach, capacity=capacity)
        return KeyValue(empty(), empty())

    @property
    def reach(self) -> int:
        """Places that a query can need, itself included."""
        return self.spec.capacity + self.spec.segment

    def forward(self, x: Tensor, context: Context, state: KeyValue | None = None) -> tuple[Tensor, KeyValue | None]:
        batch, n_tokens, _ = x.shape  # (B, T, D)
        q, k, v = (part.view(batch, n_tokens, -1, self.d_head) for part in project(x, (self.q, self.k, self.v)))  # (B, T, H, K)
        q, k, v = self.q_norm(q).transpose(1, 2), self.k_norm(k).transpose(1, 2), v.transpose(1, 2)  # (B, H, T, K)
        if state is not None:
            state = KeyValue(state.keys.append(k), state.values.append(v))
            held = min(state.keys.stop - state.keys.start, n_tokens + self.reach - 1)
            k, v = state.keys.last(held), state.values.last(held)  # (B, H, S, K)
        local = self._attend(q, k, v, context)  # (B, H, T, K)
        begin, end = self._memory(context, k.shape[2])
        memory = recall(q, k.detach(), v.detach(), begin, end, top_k=self.spec.top_k, scale=self.scale)  # (B, H, T, K)
        gate = self.gate.sigmoid()[:, None, None] * (end > begin)[:, None, :, None].to(q.dtype)  # (B or 1, H, T, 1)
        y = local + gate * (memory - local)
        return self.o(y.transpose(1, 2).reshape(batch, n_tokens, -1)), state  # (B, T, D)

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, context: Context) -> Tensor:
        """Attention of q (B, H, T, K) within segments; k and v (B, H, S, K) end with the last query."""
        batch, n_tokens = len(q), q.shape[2]
        near = min(k.shape[2], n_tokens + self.spec.segment - 1)  # no query sees an earlier place
        k, v = k[:, :, k.shape[2] - near :], v[:, :, v.shape[2] - near :]
        if isinstance(self.spec.position, Rope):
            cos, sin = self._rotation(self.spec.position, context, near, q.dtype)
            q, k = rotate(q, cos[..., near - n_tokens :, :], sin[..., near - n_tokens :, :]), rotate(k, cos, sin)

        def make() -> Tensor:
            places = torch.arange(near - n_tokens, near, device=context.positions.device)
            return (places - context.positions % self.spec.segment).expand(batch, -1).contiguous()

        first = context.once(("segment", batch, self.spec.segment, near), make)  # (B, T)
        return attention_from(q, k, v, first, scale=self.scale)

    def _memory(self, context: Context, n_keys: int) -> tuple[Tensor, Tensor]:
        """The range of keys that each query may recall, (B or 1, T) twice, counted from the first of the S held."""

        def make() -> tuple[Tensor, Tensor]:
            positions = context.positions if context.positions.dim() == 2 else context.positions[None]
            places = torch.arange(n_keys - context.n_tokens, n_keys, device=positions.device)
            end = places - positions % self.spec.segment  # where its own segment begins
            return (places - positions).maximum(end - self.spec.capacity), end

        return context.once(("memory", self.spec.segment, self.spec.capacity, n_keys), make)

    def _rotation(self, rope: Rope, context: Context, n_keys: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """cos and sin of the last S places: (S, R), or (B, 1, S, R) where rows differ.

        Places before these tokens count back from the first one. Where it begins a document they are of another one, which
        nobody sees.
        """

        def make() -> tuple[Tensor, Tensor]:
            before = torch.arange(context.n_tokens - n_keys, 0, device=context.positions.device)
            positions = torch.cat((context.positions[..., :1] + before, context.positions), -1)
            return rotation_at(positions, rope, self.d_head, dtype)

        return context.once((rope, self.d_head, dtype, n_keys), make)

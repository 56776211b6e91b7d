"""Transformer-XL: a segment sees the one before it, and learns nothing through it (1901.02860).

    q = x Wq            k, v = [stop(memory), x] Wk, Wv          y = relative_attention(q, k, v) Wo

The memory are the inputs of this very layer at the places before the segment. Wk and Wv learn by them, the layers below do
not: the gradient stops at the border of a segment, also within a row that holds several, so that where a text is cut
makes no difference to what is learned. Through layers one sees n_layers · memory places back. Positions are
distances, by waves that a matrix of their own reads (see ops/relative_attention.py).

What is stopped is what the layer is given: a norm before it learns by its own segment only. In the paper's order, norms
after each sublayer, that is no difference. Keys and values are remembered in place of inputs: they are what is read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from linnet.model.context import Context
from linnet.model.linear import Dense, build_linear, project
from linnet.model.mixer.heads import GroupedHeads, head_problems
from linnet.model.spec import Linear, TokenMixer
from linnet.model.state import KeyValue, Tail
from linnet.ops.relative_attention import distance_waves, relative_attention
from linnet.ops.segments import Segments, pieces_of, segments_of


class XL(GroupedHeads, TokenMixer):
    """Attention within a segment and to a memory before it, by relative positions; no gradient goes into the memory.

    n_heads       heads
    n_kv_heads    key-value heads, which groups of heads share; default: one a head
    d_head        width of a head; default: d_model / n_heads
    segment       tokens after which a segment ends
    memory        places before its segment that each token sees; 0: none
    linear        how matrices are held
    """

    kind: Literal["xl"] = "xl"
    n_heads: int = Field(ge=1)
    n_kv_heads: int | None = Field(default=None, ge=1)
    d_head: int | None = Field(default=None, ge=1)
    segment: int = Field(default=64, ge=1)
    memory: int = Field(default=64, ge=0)
    linear: Linear = Dense()

    @classmethod
    def examples(cls) -> tuple[XL, ...]:
        return (
            cls(n_heads=4, segment=4, memory=4),
            cls(n_heads=4, n_kv_heads=2, segment=5, memory=3),
            cls(n_heads=2, n_kv_heads=1, d_head=6, segment=3, memory=7),
            cls(n_heads=4, segment=6, memory=0),
            cls(n_heads=4, segment=1, memory=2),
            cls(n_heads=4),
        )

    def problems(self, d_model: int) -> list[str]:
        found = head_problems("xl", d_model, self.n_heads, self.groups, self.d_head)
        if d_model % 2:
            found.append(f"xl: d_model = {d_model} has no half for sines and half for cosines; needed: an even width")
        return found

    def build(self, d_model: int) -> nn.Module:
        return XLLayer(self, d_model)

    def n_params(self, d_model: int) -> int:
        k = self.width(d_model)
        return d_model * k * (3 * self.n_heads + 2 * self.groups) + 2 * self.n_heads * k

    def flops(self, d_model: int, context: int) -> float:
        k = self.width(d_model)
        matrices = 2 * d_model * k * (2 * self.n_heads + 2 * self.groups)
        n_pieces, width = pieces_of(context, self.segment)
        keys = context if n_pieces == 1 else self.segment + self.memory  # of a piece, hidden ones counted in
        distances = 2 * d_model * k * self.n_heads * keys / context
        return matrices + distances + 6 * self.n_heads * k * keys * n_pieces * width / context

    def state_bytes(self, d_model: int, length: int, number: int) -> int:
        return 2 * self.groups * self.width(d_model) * min(length, self.segment + self.memory) * number

    def activation_numbers(self, d_model: int, context: int) -> float:
        k = self.width(d_model)
        n_pieces, width = pieces_of(context, self.segment)
        keys = context if n_pieces == 1 else self.segment + self.memory
        scores = 3 * self.n_heads * keys * n_pieces * width / context
        copies = 2 * self.groups * k * keys * n_pieces / context
        return d_model + 4 * self.n_heads * k + 4 * self.groups * k + copies + scores


@dataclass(frozen=True, eq=False)
class XLState:
    """Keys and values of the segment under way and of the memory before it.

    live      as they are: the segment under way learns through them
    stopped   the same numbers, made of inputs through which nothing learns; None as long as no gradients were recorded
    r         (H, L + M, K) what each distance looks like, of no row: made by the first step without gradients, for later ones
    made_of   how often the weights had been written to when r was made: after that it is made anew
    """

    live: KeyValue
    stopped: KeyValue | None = None
    r: Tensor | None = None
    made_of: int = 0

    def select(self, rows: Tensor) -> XLState:
        return self._each(lambda held: held.select(rows))

    def reclaim(self) -> XLState:
        return self._each(KeyValue.reclaim)

    def detach(self) -> XLState:
        return self._each(KeyValue.detach)

    def nbytes(self) -> int:
        held = self.live.nbytes() + (0 if self.stopped is None else self.stopped.nbytes())
        return held + (0 if self.r is None else self.r.nbytes)

    def _each(self, change: Callable[[KeyValue], KeyValue]) -> XLState:
        return replace(self, live=change(self.live), stopped=None if self.stopped is None else change(self.stopped))


class XLLayer(nn.Module):
    """Wq and Wr (H·K, D), Wk and Wv (G·K, D), Wo (D, H·K), content_bias u and distance_bias w (H·K,)."""

    def __init__(self, spec: XL, d_model: int) -> None:
        super().__init__()
        self.spec, self.d_model = spec, d_model
        self.d_head = spec.width(d_model)
        self.scale = self.d_head**-0.5
        inner, shared = spec.n_heads * self.d_head, spec.groups * self.d_head
        self.q = build_linear(spec.linear, d_model, inner)
        self.k = build_linear(spec.linear, d_model, shared)
        self.v = build_linear(spec.linear, d_model, shared)
        self.r = build_linear(spec.linear, d_model, inner)
        self.o = build_linear(spec.linear, inner, d_model, writes_residual=True)
        self.content_bias = nn.Parameter(torch.zeros(inner))
        self.distance_bias = nn.Parameter(torch.zeros(inner))

    def new_state(self, batch: int, like: Tensor, capacity: int | None = None) -> XLState:
        """An empty memory for `batch` rows, of `like`'s dtype and device."""
        shape = torch.empty(batch, self.spec.groups, 0, self.d_head, dtype=like.dtype, device=like.device)
        window = self.spec.segment + self.spec.memory
        tails = (Tail.empty(shape, window=window, capacity=capacity) for _ in range(2))
        return XLState(KeyValue(*tails))

    def forward(self, x: Tensor, context: Context, state: XLState | None = None) -> tuple[Tensor, XLState | None]:
        batch, n_tokens, _ = x.shape  # (B, T, D)
        length, memory = self.spec.segment, self.spec.memory
        segments = context.once(("segments", length), lambda: segments_of(context.positions, length))
        q, *live = (self._by_head(part) for part in project(x, (self.q, self.k, self.v)))  # (B, H, T, K), (B, G, T, K) twice
        stopped = live
        if torch.is_grad_enabled() and memory and (state is not None or segments.n_pieces > 1):
            stopped = [self._by_head(part) for part in project(x.detach(), (self.k, self.v))]

        if state is not None:
            state = self._longer(state, live, stopped)
            new = n_tokens - 1 if segments.n_pieces > 1 else 0  # a piece sees no further than that
            n_keys = min(state.live.keys.length, new + length + memory)
            live = [tail.last(n_keys) for tail in state.live.tails()]  # (B, G, S, K) twice
            stopped = (
                live
                if state.stopped is None or not torch.is_grad_enabled()
                else [tail.last(n_keys) for tail in state.stopped.tails()]
            )
        first = context.once(("xl", length, memory), lambda: segments.first_seen(live[0].shape[2], memory))  # (R, T)
        u, w = (bias.view(-1, self.d_head) for bias in (self.content_bias, self.distance_bias))
        attend, n_seen = (self._in_one_piece, live[0].shape[2]) if segments.n_pieces == 1 else (self._in_pieces, length + memory)
        r, state = self._distances(n_seen, q, state)
        y = attend(q, live, stopped, first, segments, (r, u, w))  # (B, H, T, K)
        return self.o(y.transpose(1, 2).reshape(batch, n_tokens, -1)), state  # (B, T, D)

    def _by_head(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:2], -1, self.d_head).transpose(1, 2)

    def _longer(self, state: XLState, live: list[Tensor], stopped: list[Tensor]) -> XLState:
        """The state with these keys and values at its end."""

        def append(to: KeyValue, new: list[Tensor]) -> KeyValue:
            return KeyValue(*(tail.append(part) for tail, part in zip(to.tails(), new, strict=True)))

        before = state.stopped
        if before is None and torch.is_grad_enabled() and self.spec.memory:
            before = state.live  # so far nothing was recorded: there is nothing to stop
        return replace(state, live=append(state.live, live), stopped=None if before is None else append(before, stopped))

    def _distances(self, n: int, like: Tensor, state: XLState | None) -> tuple[Tensor, XLState | None]:
        """r (H, n, K) of the distances 0 … n - 1, and the state that remembers them where nothing learns."""
        remember = state is not None and not torch.is_grad_enabled()
        now = sum(weight._version for weight in self.r.parameters() if not weight.is_inference())
        if state is not None and remember and state.r is not None and state.made_of == now:
            return state.r[:, :n], state
        made = self.spec.segment + self.spec.memory if remember else n
        r = self.r(distance_waves(made, self.d_model, like)).view(made, -1, self.d_head).transpose(0, 1)
        return r[:, :n], replace(state, r=r, made_of=now) if state is not None and remember else state

    def _in_one_piece(
        self,
        q: Tensor,
        live: list[Tensor],
        stopped: list[Tensor],
        first: Tensor,
        segments: Segments,
        ruw: tuple[Tensor, Tensor, Tensor],
    ) -> Tensor:
        """Each row stands within one segment, and reads the same keys all along."""
        n_keys, n_tokens = live[0].shape[2], q.shape[2]
        keys = torch.arange(n_keys, device=q.device)
        if stopped is not live:
            own = (keys >= n_keys - n_tokens + segments.starts)[:, None, :, None]  # (R, 1, S, 1), of the segment under way
            live = [torch.where(own, a, b) for a, b in zip(live, stopped, strict=True)]
        allowed = (keys >= first[:, :, None]) & (keys <= keys[n_keys - n_tokens :, None])  # (R, T, S)
        return relative_attention(q, live[0], live[1], *ruw, allowed, scale=self.scale)

    def _in_pieces(
        self,
        q: Tensor,
        live: list[Tensor],
        stopped: list[Tensor],
        first: Tensor,
        segments: Segments,
        ruw: tuple[Tensor, Tensor, Tensor],
    ) -> Tensor:
        """Each piece reads the keys of its own segment and of the memory before it: the pieces are rows of one product."""
        length, memory = self.spec.segment, self.spec.memory
        n_keys, batch = live[0].shape[2], len(q)
        index = (segments.starts + n_keys - q.shape[2])[:, :, None] + torch.arange(-memory, length, device=q.device)  # (R, N, C)

        def gather(x: Tensor, of: Tensor) -> Tensor:
            """(B, G, S, K) at index (R, N, c) → (B, N, G, c, K)"""
            of = of.clamp(0, n_keys - 1)
            if len(of) == 1:
                picked = x.index_select(2, of.flatten())
            else:
                picked = x.gather(2, of.flatten(1)[:, None, :, None].expand(-1, x.shape[1], -1, x.shape[3]))
            return picked.view(*x.shape[:2], *of.shape[1:], x.shape[3]).transpose(1, 2)

        both = [
            torch.cat((gather(b, index[..., :memory]), gather(a, index[..., memory:])), 3).flatten(0, 1)
            for a, b in zip(live, stopped, strict=True)
        ]  # (B · N, G, C, K) twice
        places = torch.arange(length, device=q.device)
        here = index[..., memory:, None]  # (R, N, W, 1) each query's own key
        from_first = segments.split(first[:, None, :, None])[:, 0]  # (R, N, W, 1), 0 where there is no token
        allowed = (index[:, :, None] >= from_first) & (index[:, :, None] <= here)  # (R, N, W, C)
        allowed = allowed | (places[:, None] + memory == torch.arange(memory + length, device=q.device))  # itself, always
        allowed = allowed.expand(batch, -1, -1, -1).flatten(0, 1)
        queries = segments.split(q).transpose(1, 2).flatten(0, 1)  # (B · N, H, W, K)
        y = relative_attention(queries, both[0], both[1], *ruw, allowed, scale=self.scale)
        return segments.join(y.view(batch, segments.n_pieces, *y.shape[1:]).transpose(1, 2))

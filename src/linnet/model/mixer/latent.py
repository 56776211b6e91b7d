"""Multi-head latent attention: keys and values are made of one short vector a place, and that alone is remembered.

    c_t = norm(x_t W_c)   r_t = rope(x_t W_r)        k_t = [U_k c_t ; r_t]   v_t = U_v c_t
    q_t = [U_q d_t ; rope(U_r d_t)]   d_t = norm(x_t W_d), or x_t itself     y = attention(q, k, v) Wo

DeepSeek-V2 (2405.04434, section 2.1), DeepSeek-V3 (2412.19437). Rope cannot pass through U_k (a turn depends on the
place, and U_k stands between it and the latent), so it has a key of its own, r, which all heads share. A place costs C + R
numbers of state, whatever the number of heads. Training and prefill write keys and values out; decoding reads the latents
alone (ops/latent.py has both). Deliberately no window and no sight of later places.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from linnet.model.context import Context
from linnet.model.linear import Dense, LinearLayer, build_linear, project
from linnet.model.mixer.heads import rotation
from linnet.model.norm import LayerNorm, RMSNorm
from linnet.model.position import Rope
from linnet.model.rope_scaling import YarnScaling
from linnet.model.spec import AttentionPosition, Linear, Norm, TokenMixer
from linnet.model.state import Tail, Tails
from linnet.ops.attention import attention, attention_from
from linnet.ops.kernels import kernels_take
from linnet.ops.latent import Attend, absorbing_pays, latent_attention, with_shared_key
from linnet.ops.program import Program, insist, lower, untouched
from linnet.ops.rope import rotate


class Widths(NamedTuple):
    """Of one head: N of queries and keys that are not turned, R of those that are, V of values."""

    nope: int
    rope: int
    v: int

    @property
    def qk(self) -> int:
        """Width of a query: N + R."""
        return self.nope + self.rope


class LatentAttention(TokenMixer):
    """Multi-head latent attention: keys and values of all heads are made of one short vector a place.

    n_heads          heads
    d_latent         width of the vector that keys and values are made of
    d_query_latent   width of one that queries are made of; default: they are made of the input itself
    d_nope           width of a head's queries and keys, without the turned part; default: d_model / n_heads
    d_rope           width of the turned part, whose key all heads share; default: half of d_nope
    d_v              width of a head's values; default: as d_nope
    position         how the shared key and its queries are turned: rope, or null for not at all
    norm             a norm on both latents; null: none
    scale            what scores are multiplied by; default: 1 / √(d_nope + d_rope)
    linear           how matrices are held
    """

    kind: Literal["latent"] = "latent"
    n_heads: int = Field(ge=1)
    d_latent: int = Field(ge=1)
    d_query_latent: int | None = Field(default=None, ge=1)
    d_nope: int | None = Field(default=None, ge=1)
    d_rope: int | None = Field(default=None, ge=1)
    d_v: int | None = Field(default=None, ge=1)
    position: AttentionPosition | None = Rope()
    norm: Norm | None = RMSNorm()
    scale: float | None = Field(default=None, gt=0)
    linear: Linear = Dense()

    @classmethod
    def examples(cls) -> tuple[LatentAttention, ...]:
        return (
            cls(n_heads=4, d_latent=12),
            cls(n_heads=4, d_latent=12, d_query_latent=20),
            cls(n_heads=2, d_latent=4, d_nope=6, d_rope=8, d_v=10),  # absorbing pays for many queries, too
            cls(n_heads=3, d_latent=16, d_query_latent=10, d_nope=8, d_rope=4, d_v=4, position=Rope(base=50.0)),
            cls(n_heads=4, d_latent=12, d_rope=8, position=Rope(scaling=YarnScaling(original_length=24, beta_fast=3.0))),
            cls(n_heads=4, d_latent=12, d_rope=8, position=Rope(fraction=0.5), norm=LayerNorm()),
            cls(n_heads=4, d_latent=12, position=None, norm=None, scale=0.4),
        )

    def widths(self, d_model: int) -> Widths:
        """N, R and V."""
        nope = self.d_nope or d_model // self.n_heads
        return Widths(nope, self.d_rope or max(2, nope // 4 * 2), self.d_v or nope)

    def problems(self, d_model: int) -> list[str]:
        found = []
        if self.d_nope is None and d_model % self.n_heads:
            found.append(
                f"latent: n_heads = {self.n_heads} does not divide d_model = {d_model}; needed: a divisor, or d_nope given"
            )
        if self.position is not None and not isinstance(self.position, Rope):
            found.append(f"latent: position = {getattr(self.position, 'kind', '?')!r}; needed: rope, or null for none")
        rope = self.widths(d_model).rope
        if isinstance(self.position, Rope) and self.position.d_rotary(rope) < 2:
            found.append(
                f"latent: rope turns pairs, but fraction {self.position.fraction} of d_rope = {rope} is less than one pair"
            )
        return found

    def build(self, d_model: int) -> nn.Module:
        return LatentAttentionLayer(self, d_model)

    def _matrices(self, d_model: int) -> int:
        """Numbers in all matrices: every one of them is multiplied by each place once."""
        width, h, c, d = self.widths(d_model), self.n_heads, self.d_latent, self.d_query_latent
        queries = d_model * h * width.qk if d is None else d_model * d + d * h * width.qk
        return queries + d_model * (c + width.rope) + c * h * (width.nope + width.v) + h * width.v * d_model

    def n_params(self, d_model: int) -> int:
        latents = (self.d_latent,) if self.d_query_latent is None else (self.d_latent, self.d_query_latent)
        return self._matrices(d_model) + (sum(map(self.norm.n_params, latents)) if self.norm is not None else 0)

    def flops(self, d_model: int, context: int) -> float:
        width = self.widths(d_model)
        seen = (context + 1) / 2  # keys that a query sees, on average
        return 2 * self._matrices(d_model) + 2 * self.n_heads * (width.qk + width.v) * seen

    def state_bytes(self, d_model: int, length: int, number: int) -> int:
        return (self.d_latent + self.widths(d_model).rope) * length * number

    def activation_numbers(self, d_model: int, context: int) -> float:
        width = self.widths(d_model)
        latents = 2 * (self.d_latent + (self.d_query_latent or 0)) + width.rope  # as they are, and normalised
        return d_model + latents + self.n_heads * (3 * width.qk + 2 * width.v)


@dataclass(frozen=True, eq=False)
class Latents(Tails):
    """What latent attention remembers: of each place its latent and the shared key, side by side (B, 1, S, C + R)."""

    rows: Tail


class LatentAttentionLayer(nn.Module):
    """latent W_c (C, D), key W_r (R, D), k_up U_k (H·N, C), v_up U_v (H·V, C), o Wo (D, H·V).

    Queries: q (H·(N + R), D), or q_latent W_d (Q, D) and q_up (H·(N + R), Q); of each head first N, then R rows.
    """

    def __init__(self, spec: LatentAttention, d_model: int) -> None:
        super().__init__()
        self.spec, self.width = spec, spec.widths(d_model)
        self.scale = spec.scale or self.width.qk**-0.5
        n, r, v = self.width
        heads, c, held = spec.n_heads, spec.d_latent, spec.linear
        if spec.d_query_latent is None:
            self.q = build_linear(held, d_model, heads * (n + r))
        else:
            self.q_latent = build_linear(held, d_model, spec.d_query_latent)
            self.q_norm = spec.norm.build(spec.d_query_latent) if spec.norm is not None else None
            self.q_up = build_linear(held, spec.d_query_latent, heads * (n + r))
        self.latent = build_linear(held, d_model, c)
        self.key = build_linear(held, d_model, r)
        self.norm = spec.norm.build(c) if spec.norm is not None else None
        self.k_up = build_linear(held, c, heads * n)
        self.v_up = build_linear(held, c, heads * v)
        self.o = build_linear(held, heads * v, d_model, writes_residual=True)

    def new_state(self, batch: int, like: Tensor, capacity: int | None = None) -> Latents:
        """An empty memory for `batch` rows, of `like`'s dtype and device."""
        shape = torch.empty(batch, 1, 0, self.spec.d_latent + self.width.rope, dtype=like.dtype, device=like.device)
        return Latents(Tail.empty(shape, capacity=capacity))

    def forward(self, x: Tensor, context: Context, state: Latents | None = None) -> tuple[Tensor, Latents | None]:
        batch, n_tokens, _ = x.shape  # (B, T, D)
        q, rows = self._project(x, context)  # (B, H, T, N + R), (B, 1, T, C + R)
        first_key = context.first
        if state is not None:
            state = Latents(state.rows.append(rows))
            rows, first_key = state.rows.view(), state.rows.first  # (B, 1, S, C + R)
        attend = partial(self._attend, context=context, first_key=first_key)
        if self.absorbs(n_tokens, rows.shape[2]):
            y = latent_attention(q, rows, *self._by_head(), attend)  # (B, H, T, V)
        else:
            y = self._expanded(q, rows, attend)
        return self.o(y.transpose(1, 2).reshape(batch, n_tokens, -1)), state  # (B, T, D)

    def lower(self, program: Program, x: Tensor) -> Tensor:
        """The absorbed form: what is remembered is looked at as it is, and its latent is its own value."""
        heads, (n, r, _), c = self.spec.n_heads, self.width, self.spec.d_latent
        insist(self._plain(), "matrices of heads that are not plain ones")
        if self.spec.d_query_latent is None:
            q = lower(self.q, program, x)
        else:
            q = lower(self.q_latent, program, x)
            q = lower(self.q_up, program, q if self.q_norm is None else lower(self.q_norm, program, q))
        own, turned = program.split(q, (n, r), heads)
        latent, key = lower(self.latent, program, x), lower(self.key, program, x)
        latent = latent if self.norm is None else lower(self.norm, program, latent)
        rope = self.spec.position
        if isinstance(rope, Rope):
            turned, key = (
                program.rotate(each, r, partial(rope.table, d_head=r), (rope, rope.d_rotary(r))) for each in (turned, key)
            )
        rows = program.memory()
        program.remember(rows, program.join((latent, key)), c + r)
        q = program.join((program.by_head(own, self.k_up.weight, heads, turned=True), turned), heads)  # type: ignore[arg-type]
        y, _ = program.split(program.attend(q, rows, rows, 1, c + r, self.scale, None), (c, r), heads)
        return lower(self.o, program, program.by_head(y, self.v_up.weight, heads))  # type: ignore[arg-type]

    def _plain(self) -> bool:
        return all(type(up) is LinearLayer and untouched(up) for up in (self.k_up, self.v_up))

    def absorbs(self, n_queries: int, n_keys: int) -> bool:
        """Whether U_k and U_v go to the side of the queries: fewer of them than keys, less work, and plain matrices."""
        fewer = n_queries < n_keys and absorbing_pays(n_queries, n_keys, self.spec.d_latent, *self.width)
        return fewer and self._plain()

    def _project(self, x: Tensor, context: Context) -> tuple[Tensor, Tensor]:
        """Of places x (B, T, D) the queries (B, H, T, N + R), and what is remembered (B, 1, T, C + R)."""
        if self.spec.d_query_latent is None:
            q, latent, key = project(x, (self.q, self.latent, self.key))  # (B, T, H·(N + R)), (B, T, C), (B, T, R)
        else:
            q, latent, key = project(x, (self.q_latent, self.latent, self.key))
            q = self.q_up(q if self.q_norm is None else self.q_norm(q))
        latent, key = (latent if self.norm is None else self.norm(latent))[:, None], key[:, None]  # (B, 1, T, C), (B, 1, T, R)
        q = q.view(*x.shape[:2], self.spec.n_heads, self.width.qk).transpose(1, 2)  # (B, H, T, N + R)
        if isinstance(self.spec.position, Rope):
            cos, sin = rotation(self.spec.position, context, self.width.rope, q.dtype)
            own, turned = q.split((self.width.nope, self.width.rope), -1)
            q, key = torch.cat((own, rotate(turned, cos, sin)), -1), rotate(key, cos, sin)
        return q, torch.cat((latent, key), -1)

    def _expanded(self, q: Tensor, rows: Tensor, attend: Attend) -> Tensor:
        """`latent_attention_reference` by whatever holds the matrices."""
        latent, key = rows.split((self.spec.d_latent, self.width.rope), -1)  # (B, 1, S, C), (B, 1, S, R)
        shape = (rows.shape[0], rows.shape[2], self.spec.n_heads, -1)
        k, v = (part.view(shape).transpose(1, 2) for part in project(latent, (self.k_up, self.v_up)))  # (B, H, S, N | V)
        return attend(q, with_shared_key(k, key), v)

    def _by_head(self) -> tuple[Tensor, Tensor]:
        """U_k (H, N, C) and U_v (H, V, C)."""
        shape = (self.spec.n_heads, -1, self.spec.d_latent)
        return self.k_up.weight.view(shape), self.v_up.weight.view(shape)  # type: ignore[operator]

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, context: Context, first_key: int) -> Tensor:
        """q (B, H, T, K), k (B, G, S, K) and v (B, G, S, V), of which the first has stream index `first_key` → (B, H, T, V)."""
        n_keys = k.shape[2]
        if kernels_take(q, k, v):
            known, first = context.first_seen(batch=len(q), window=None, first_key=first_key, n_keys=n_keys)
            if known:
                return attention_from(q, k, v, first, scale=self.scale)
        allowed, causal = context.mask(causal=True, window=None, first_key=first_key, n_keys=n_keys)
        return attention(q, k, v, allowed=allowed, causal=causal, scale=self.scale)

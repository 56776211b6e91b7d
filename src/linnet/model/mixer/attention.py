"""Attention: every place reads from the places before it (1706.03762).

    q, k, v = x Wq, x Wk, x Wv        y = attention(q, k, v) Wo        (see ops/attention.py for the formula)

All heads in one parallel layer. Fewer key-value heads than heads: grouped-query attention (2305.13245), one of them:
multi-query (1911.02150). A `window` lets each place see only the last so many (Longformer 2004.05150, Mistral
2310.06825). QK-norm (2302.05442) normalises queries and keys by head before they are turned and compared.
Persistent tokens (Titans 2501.00663, section 3.3) are learned and stand before every sequence: all see them, within any
window; no position acts on them (see ops/persistent.py).
Deliberately one class: what used to be classes are fields here.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from linnet.model.context import Context
from linnet.model.linear import Dense, build_linear, project
from linnet.model.mixer.heads import GroupedHeads, head_problems, rope_problems, rotation
from linnet.model.norm import LayerNorm, RMSNorm
from linnet.model.position import Alibi, Rope
from linnet.model.spec import AttentionPosition, Linear, Norm, TokenMixer
from linnet.model.state import KeyValue, Tail
from linnet.ops.attention import attention, attention_from, attention_reference, kernel_from
from linnet.ops.flash import flash_attention, flash_kernel
from linnet.ops.flex import flex
from linnet.ops.kernels import kernels_take
from linnet.ops.persistent import Persistent, attention_with, attention_with_reference, joined
from linnet.ops.program import CannotRun, Program, lower
from linnet.ops.rope import rotate


class Attention(GroupedHeads, TokenMixer):
    """Multi-head, grouped-query or multi-query attention, full or within a window.

    n_heads       heads
    n_kv_heads    key-value heads, which groups of heads share; default: one a head
    d_head        width of a head; default: d_model / n_heads
    causal        a place sees only places before it
    window        places that each one sees; default: all
    position      positions that act inside attention; default: none
    persistent    learned tokens that every place sees beside those of the text; 0: none
    qk_norm       a norm on queries and keys; default: none
    bias          biases on queries, keys, values and the output
    output_bias   a bias on the output; default: as bias says
    sub_norm      a norm on what all heads say, before the output's matrix (2210.06423); default: none
    scale         what scores are multiplied by; default: 1 / √(width of a head)
    kernel        how it is computed: the fastest for these tensors (auto), PyTorch's fused kernels (sdpa), by tiles in plain PyTorch
                  (flash), every score written out (reference), or FlexAttention, which trains on a GPU alone (flex)
    linear        how matrices are held
    """

    kind: Literal["attention"] = "attention"
    n_heads: int = Field(ge=1)
    n_kv_heads: int | None = Field(default=None, ge=1)
    d_head: int | None = Field(default=None, ge=1)
    causal: bool = True
    window: int | None = Field(default=None, ge=1)
    position: AttentionPosition | None = None
    persistent: int = Field(default=0, ge=0)
    qk_norm: Norm | None = None
    bias: bool = False
    output_bias: bool | None = None
    sub_norm: Norm | None = None
    scale: float | None = Field(default=None, gt=0)
    kernel: Literal["auto", "sdpa", "flash", "reference", "flex"] = "auto"
    linear: Linear = Dense()

    @classmethod
    def examples(cls) -> tuple[Attention, ...]:
        positions = tuple(cls(n_heads=4, position=position) for position in (*Rope.examples(), *Alibi.examples()))
        return (
            *positions,
            cls(n_heads=4),
            cls(n_heads=3, d_head=6, position=Alibi()),  # heads that are no power of two
            cls(n_heads=4, n_kv_heads=2, position=Rope()),
            cls(n_heads=4, n_kv_heads=1, position=Alibi()),
            cls(n_heads=4, window=5, position=Rope()),
            cls(n_heads=4, n_kv_heads=2, window=1),
            cls(n_heads=2, n_kv_heads=1, window=7, position=Alibi()),
            cls(n_heads=4, position=Rope(), qk_norm=RMSNorm()),
            cls(n_heads=4, qk_norm=LayerNorm(), scale=0.7),
            cls(n_heads=4, bias=True, position=Rope(fraction=0.5)),
            cls(n_heads=4, bias=True, output_bias=False),
            cls(n_heads=4, d_head=6, position=Rope(), sub_norm=RMSNorm()),
            cls(n_heads=4, output_bias=True, d_head=10, n_kv_heads=2),
            cls(n_heads=4, causal=False, position=Rope()),
            cls(n_heads=4, causal=False, window=3),
            cls(n_heads=4, n_kv_heads=2, position=Rope(), kernel="flash"),
            cls(n_heads=4, window=5, position=Alibi(), kernel="flash"),
            cls(n_heads=4, causal=False, kernel="flash"),
            cls(n_heads=4, window=5, position=Rope(), kernel="sdpa"),
            cls(n_heads=4, n_kv_heads=1, position=Alibi(), kernel="reference"),
            cls(n_heads=4, persistent=3),
            cls(n_heads=4, n_kv_heads=2, window=5, position=Rope(), persistent=4),
            cls(n_heads=4, n_kv_heads=2, position=Alibi(), persistent=2, qk_norm=RMSNorm()),
            cls(n_heads=4, window=5, position=Rope(), persistent=1, kernel="flash"),
            cls(n_heads=2, n_kv_heads=1, d_head=6, window=5, position=Rope(), persistent=2, bias=True, kernel="reference"),
            cls(n_heads=4, causal=False, window=3, persistent=2, position=Rope(fraction=0.5), kernel="sdpa"),
        )  # flex asks for a GPU

    def problems(self, d_model: int) -> list[str]:
        found = head_problems("attention", d_model, self.n_heads, self.groups, self.d_head)
        if self.persistent and self.kernel == "flex":
            found.append("attention: persistent tokens with kernel flex; needed: another kernel; try: kernel: auto")
        return found + rope_problems("attention", self.position, self.width(d_model))

    def build(self, d_model: int) -> nn.Module:
        return AttentionLayer(self, d_model)

    def n_params(self, d_model: int) -> int:
        k = self.width(d_model)
        q, kv = self.n_heads * k, self.groups * k
        biases = (q + 2 * kv if self.bias else 0) + (d_model if self.writes_bias else 0)
        norms = 2 * self.qk_norm.n_params(k) if self.qk_norm is not None else 0
        norms += self.sub_norm.n_params(q) if self.sub_norm is not None else 0
        return d_model * (q + 2 * kv) + q * d_model + biases + norms + self.persistent * d_model

    @property
    def writes_bias(self) -> bool:
        """Whether Wo has a bias."""
        return self.bias if self.output_bias is None else self.output_bias

    def flops(self, d_model: int, context: int) -> float:
        k = self.width(d_model)
        matrices = 2 * d_model * k * (2 * self.n_heads + 2 * self.groups)
        window = min(context, self.window or context)
        before = (window - 1) * (1 - window / (2 * context))  # keys before a query that it sees, on average
        average = 1 + before * (1 if self.causal else 2) + self.persistent
        return matrices + 4 * self.n_heads * k * average + self.persistent_flops(d_model) / context

    def persistent_flops(self, d_model: int) -> float:
        """Of keys and values of the persistent tokens, once a pass."""
        return 4 * self.persistent * d_model * self.groups * self.width(d_model)

    def state_bytes(self, d_model: int, length: int, number: int) -> int:
        return 2 * self.groups * self.width(d_model) * min(length, self.window or length) * number

    def activation_numbers(self, d_model: int, context: int) -> float:
        k = self.width(d_model)
        scores = 2 * self.n_heads * (context + self.persistent) if self.kernel == "reference" else 0
        return (
            d_model
            + scores
            + (2 + (2 if self.position is not None or self.qk_norm is not None else 0)) * self.n_heads * k
            + (self.n_heads * k if self.sub_norm is not None else 0)
            + 2 * self.groups * k
        )


class AttentionLayer(nn.Module):
    """Wq (H·K, D), Wk and Wv (G·K, D), Wo (D, H·K), persistent (P, D) where there are any."""

    def __init__(self, spec: Attention, d_model: int) -> None:
        super().__init__()
        self.spec = spec
        self.d_head = spec.width(d_model)
        self.scale = spec.scale or self.d_head**-0.5
        inner, shared = spec.n_heads * self.d_head, spec.groups * self.d_head
        self.q = build_linear(spec.linear, d_model, inner, bias=spec.bias)
        self.k = build_linear(spec.linear, d_model, shared, bias=spec.bias)
        self.v = build_linear(spec.linear, d_model, shared, bias=spec.bias)
        self.o = build_linear(spec.linear, inner, d_model, bias=spec.writes_bias, writes_residual=True)
        self.q_norm = spec.qk_norm.build(self.d_head) if spec.qk_norm is not None else None
        self.k_norm = spec.qk_norm.build(self.d_head) if spec.qk_norm is not None else None
        self.persistent = nn.Parameter(torch.empty(spec.persistent, d_model)) if spec.persistent else None
        self.sub_norm = spec.sub_norm.build(inner) if spec.sub_norm is not None else None

    def new_state(self, batch: int, like: Tensor, capacity: int | None = None) -> KeyValue:
        """An empty memory for `batch` rows, of `like`'s dtype and device."""
        shape = torch.empty(batch, self.spec.groups, 0, self.d_head, dtype=like.dtype, device=like.device)
        return KeyValue(
            Tail.empty(shape, window=self.spec.window, capacity=capacity),
            Tail.empty(shape, window=self.spec.window, capacity=capacity),
        )

    def forward(self, x: Tensor, context: Context, state: KeyValue | None = None) -> tuple[Tensor, KeyValue | None]:
        batch, n_tokens, _ = x.shape  # (B, T, D)
        q, k, v = (
            part.view(batch, n_tokens, -1, self.d_head) for part in project(x, (self.q, self.k, self.v))
        )  # (B, T, H | G | G, K)
        if self.q_norm is not None and self.k_norm is not None:
            q, k = self.q_norm(q), self.k_norm(k)
        q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)  # (B, H, T, K), (B, G, T, K) twice
        plain = q
        if isinstance(self.spec.position, Rope):
            cos, sin = rotation(self.spec.position, context, self.d_head, q.dtype)
            q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        first_key = context.first
        if state is not None:
            state = KeyValue(state.keys.append(k), state.values.append(v))
            k, v, first_key = state.keys.view(), state.values.view(), state.keys.first  # (B, G, S, K)
        y = self._attend(q, k, v, context, first_key, self.always_seen(plain))  # (B, H, T, K)
        y = y.transpose(1, 2).reshape(batch, n_tokens, -1)  # (B, T, H·K)
        return self.o(y if self.sub_norm is None else self.sub_norm(y)), state  # (B, T, D)

    def always_seen(self, plain: Tensor) -> Persistent | None:
        """The persistent tokens' keys and values, for queries (B, H, T, K) that no position has turned yet."""
        if self.persistent is None:
            return None
        k, v = (layer(self.persistent).view(-1, self.spec.groups, self.d_head) for layer in (self.k, self.v))  # (P, G, K)
        if self.k_norm is not None:
            k = self.k_norm(k)
        return Persistent(plain, k.transpose(0, 1), v.transpose(0, 1))

    def lower(self, program: Program, x: Tensor) -> Tensor:
        spec, width = self.spec, self.d_head
        if not spec.causal or isinstance(spec.position, Alibi):
            raise CannotRun("attention with a bias, or to places that come later")
        if spec.kernel != "auto":
            raise CannotRun("attention by another kernel than the fastest")
        if self.persistent is not None:
            raise CannotRun("attention with persistent tokens")
        q, k, v = (lower(layer, program, x) for layer in (self.q, self.k, self.v))
        if self.q_norm is not None and self.k_norm is not None:
            q, k = lower(self.q_norm, program, q), lower(self.k_norm, program, k)
        if isinstance(spec.position, Rope):
            rope, turned = spec.position, spec.position.d_rotary(width)
            q, k = (program.rotate(x, width, partial(rope.table, d_head=width), (rope, turned)) for x in (q, k))
        keys, values = program.memory(), program.memory()
        program.remember(keys, k, width)
        program.remember(values, v, width)
        y = program.attend(q, keys, values, spec.groups, width, self.scale, spec.window)
        return lower(self.o, program, y if self.sub_norm is None else lower(self.sub_norm, program, y))

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, context: Context, first_key: int, always: Persistent | None) -> Tensor:
        """q (B, H, T, K) and the keys and values (B, G, S, K), of which the first has stream index `first_key` → (B, H, T, K)."""
        n_keys, window, kernel = k.shape[2], self.spec.window, self.spec.kernel
        if kernel in ("flash", "flex"):
            return self._by_places(q, k, v, context, first_key, always)
        if kernel == "auto" and self.spec.causal and not isinstance(self.spec.position, Alibi) and kernels_take(q, k, v):
            known, first = context.first_seen(batch=len(q), window=window, first_key=first_key, n_keys=n_keys)
            if known and always is not None:
                return joined(q, k, v, always, kernel_from(first, scale=self.scale), scale=self.scale)
            if known:
                return attention_from(q, k, v, first, scale=self.scale)
        allowed, causal = context.mask(causal=self.spec.causal, window=window, first_key=first_key, n_keys=n_keys)
        seen: dict[str, Any] = {"allowed": allowed, "causal": causal, "bias": self._bias(context, first_key, n_keys)}
        if always is not None:
            way = attention_with_reference if kernel == "reference" else attention_with
            return way(q, k, v, always, **seen, scale=self.scale)
        return (attention_reference if kernel == "reference" else attention)(q, k, v, **seen, scale=self.scale)

    def _by_places(self, q: Tensor, k: Tensor, v: Tensor, context: Context, first_key: int, always: Persistent | None) -> Tensor:
        """By a kernel that is told who sees whom by places, and writes out no mask."""
        written = context.first + context.n_tokens - first_key  # a state of fixed size shows places after them, too
        k, v = k[:, :, :written], v[:, :, :written]
        mask = context.seen(causal=self.spec.causal, window=self.spec.window, first_key=first_key, n_keys=k.shape[2])
        alibi = self.spec.position if isinstance(self.spec.position, Alibi) else None
        slopes = None if alibi is None else alibi.slopes(self.spec.n_heads).to(q.device)
        where: dict[str, Any] = {"first_query": context.first, "first_key": first_key, "slopes": slopes, "scale": self.scale}
        if always is not None:
            return joined(q, k, v, always, flash_kernel(mask, **where), scale=self.scale)
        return (flash_attention if self.spec.kernel == "flash" else flex)(q, k, v, mask, **where)

    def _bias(self, context: Context, first_key: int, n_keys: int) -> Tensor | None:
        if not isinstance(self.spec.position, Alibi):
            return None
        alibi = self.spec.position
        device = context.positions.device

        def make() -> Tensor:
            queries = torch.arange(context.first, context.first + context.n_tokens, device=device)
            keys = torch.arange(first_key, first_key + n_keys, device=device)
            return alibi.bias(self.spec.n_heads, queries, keys)

        return context.once((alibi, self.spec.n_heads, first_key, n_keys), make)

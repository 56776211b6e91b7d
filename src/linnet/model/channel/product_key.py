"""Product-key memory (1907.05242): a table of n_keys² values, of which each token reads a few.

    q = x W_q      I = the best k of q · key_ij, key_ij = (a_i, b_j)      y = Σ_heads Σ_{(i, j) ∈ I} softmax(score_I)_ij · value_ij

Heads have their own queries and keys, and share the values. It has many parameters and reads few: the cost grows with n_keys, the
table with its square. Gated it is memory+ (2412.09764, section 2.2): y ← (y ⊙ silu(x W_gate)) W_out. One table for several layers,
and a table that is learned sparsely, are not here.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from linnet.core.errors import explain
from linnet.model.linear import LinearLayer
from linnet.model.norm import RMSNorm
from linnet.model.spec import ChannelMixer, Norm
from linnet.ops.memory_lookup import best_pairs, half_scores, read


class ProductKey(ChannelMixer):
    """A table that is read by product keys.

    n_keys       keys of each half; the table has n_keys² values
    top_k        values that each head reads
    n_heads      queries a token
    d_key        width of a query, of which each half takes half
    query_norm   a norm on each query; default: none
    gated        what was read is gated by the input and goes through one more matrix (memory+)
    """

    kind: Literal["product_key"] = "product_key"
    n_keys: int = Field(ge=1)
    top_k: int = Field(ge=1)
    n_heads: int = Field(default=4, ge=1)
    d_key: int = Field(default=128, ge=2)
    query_norm: Norm | None = None
    gated: bool = False

    @classmethod
    def examples(cls) -> tuple[ProductKey, ...]:
        return (
            cls(n_keys=7, top_k=3, n_heads=2, d_key=16),
            cls(n_keys=6, top_k=5, n_heads=3, d_key=8, query_norm=RMSNorm(), gated=True),
            cls(n_keys=2, top_k=4, n_heads=1, d_key=10),  # all values, more than either half has keys
        )

    def build(self, d_model: int) -> nn.Module:
        return ProductKeyLayer(self, d_model)

    def problems(self, d_model: int) -> list[str]:
        found = []
        if self.d_key % 2:
            found.append(explain(f"d_key = {self.d_key}", need="two halves", hint=str(self.d_key + 1)))
        if self.top_k > self.n_keys**2:
            found.append(
                explain(f"top_k = {self.top_k} of {self.n_keys}² = {self.n_keys**2} values", need="no more than there are")
            )
        return found + (self.query_norm.problems(self.d_key) if self.query_norm is not None else [])

    def n_params(self, d_model: int) -> int:
        return self._beside_values(d_model) + self.n_keys**2 * d_model

    def n_active_params(self, d_model: int) -> int:
        return self._beside_values(d_model) + min(self.n_heads * self.top_k, self.n_keys**2) * d_model

    def _beside_values(self, d_model: int) -> int:
        queries, keys = d_model * self.n_heads * self.d_key, self.n_heads * self.n_keys * self.d_key
        norm = self.query_norm.n_params(self.d_key) if self.query_norm is not None else 0
        return queries + keys + norm + (2 * d_model**2 if self.gated else 0)

    def flops(self, d_model: int, context: int) -> float:
        """The values that are read are added, which is no matrix product: 2 · n_heads · top_k · D are not counted."""
        return 2 * self.n_heads * self.d_key * (d_model + self.n_keys) + (4 * d_model**2 if self.gated else 0)

    def activation_numbers(self, d_model: int, context: int) -> float:
        search = self.n_heads * ((2 if self.query_norm is not None else 1) * self.d_key + 8 * self.top_k + self.top_k**2)
        return 2 * d_model + search + (3 * d_model if self.gated else 0)


class ProductKeyLayer(nn.Module):
    """keys (2, H, n, K / 2): a and b of each head; values (n², D): row i · n + j is that of the key (a_i, b_j)."""

    def __init__(self, spec: ProductKey, d_model: int) -> None:
        super().__init__()
        self.spec = spec
        self.query = LinearLayer(d_model, spec.n_heads * spec.d_key)
        self.query_norm = spec.query_norm.build(spec.d_key) if spec.query_norm is not None else None
        self.keys = nn.Parameter(torch.empty(2, spec.n_heads, spec.n_keys, spec.d_key // 2))
        self.values = nn.Parameter(torch.empty(spec.n_keys**2, d_model))
        self.gate = LinearLayer(d_model, d_model) if spec.gated else None
        self.out = LinearLayer(d_model, d_model, writes_residual=True) if spec.gated else None

    def forward(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        spec, flat = self.spec, x.reshape(-1, x.shape[-1])  # (N, D)
        queries = self.query(flat).unflatten(-1, (spec.n_heads, spec.d_key))  # (N, H, K)
        if self.query_norm is not None:
            queries = self.query_norm(queries)
        scores, index = best_pairs(*half_scores(queries, self.keys), spec.top_k)  # (N, H, k)
        weights = scores.softmax(-1).to(self.values.dtype)
        y = read(self.values, index.flatten(1), weights.flatten(1))  # (N, D)
        if self.gate is not None and self.out is not None:
            y = self.out(y * torch.nn.functional.silu(self.gate(flat)))
        return y.view_as(x), {}

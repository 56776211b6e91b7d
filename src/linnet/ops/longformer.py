"""A window and a few global places (Longformer, 2004.05150): the definition, and the same without scores that nobody needs.

y_t = attention(q_t, k, v) over what the mask lets t see            of an ordinary place t
y_t = attention(q'_t, k', v') over all                              of a global one, with projections of its own
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from linnet.ops.attention import attention_reference
from linnet.ops.flash import flash_attention, flash_attention_reference
from linnet.ops.mask import Mask


def longformer_reference(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    asked: Tensor,
    columns: Tensor,
    k_global: Tensor,
    v_global: Tensor,
    mask: Mask,
    *,
    first_query: int,
    scale: float,
) -> Tensor:
    """Both kinds of place with the whole mask written out.

    q (B, H, T, K), k, v, k_global and v_global (B, H, S, K); columns (M,): the queries that are global in some row, by their index
    among the T, and asked (B, H, M, K) what they ask. mask.everyone says who is global in which row → (B, H, T, K).
    """
    assert mask.everyone is not None
    everywhere = torch.zeros_like(q).index_copy(2, columns, asked)
    here = {"first_query": first_query, "scale": scale}
    ordinary = flash_attention_reference(q, k, v, mask, **here)  # type: ignore[arg-type]
    whole = flash_attention_reference(everywhere, k_global, v_global, mask, **here)  # type: ignore[arg-type]
    return torch.where(mask.everyone[0][:, None, :, None], whole, ordinary)


def longformer(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    asked: Tensor,
    columns: Tensor,
    k_global: Tensor,
    v_global: Tensor,
    mask: Mask,
    *,
    first_query: int,
    scale: float,
) -> Tensor:
    """The same: the window by tiles, of which those that nobody sees are left out, and M · S scores of global places."""
    assert mask.everyone is not None
    of_query, of_key = mask.everyone
    near = replace(mask, everyone=(torch.zeros_like(of_query), of_key))
    y = flash_attention(q, k, v, near, first_query=first_query, scale=scale)
    keys = torch.arange(k.shape[2], device=q.device)
    allowed = mask.part(columns, slice(None)).dense(first_query + columns, keys)  # (B, M, S)
    whole = attention_reference(asked, k_global, v_global, allowed=allowed, scale=scale)  # (B, H, M, K)
    marked = of_query[:, None, columns, None]  # a place may be global in one row and not in another
    return y.index_copy(2, columns, torch.where(marked, whole, y[:, :, columns]))


def longformer_scores(n: int, window: int, n_global: int, *, causal: bool) -> int:
    """How many scores count for a row of n places: those within the mask, and those of the first n_global places with all."""

    def at_most(n: int, most: int) -> int:  # Σ_{t < n} min(t + 1, most)
        most = min(n, most)
        return n * most - most * (most - 1) // 2 if n > 0 else 0

    marked = min(n, n_global)
    before = at_most(n, window) + at_most(n - window, marked)  # within the window, and global places before it
    if causal:
        return before + marked * (marked + 1) // 2
    beyond = max(marked - window, 0)  # global places that come after the window of an earlier one
    return before + at_most(n, window) - n + beyond * (beyond + 1) // 2 + marked * n

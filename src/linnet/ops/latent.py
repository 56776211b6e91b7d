"""Latent attention (DeepSeek-V2 2405.04434, section 2.1): keys and values that are made of one short vector a place.

    k_s = [U_k c_s ; r_s]        v_s = U_v c_s        c_s (C): the latent, r_s (R): a turned key that all heads share

The definition writes keys and values out. The other way never does: a product may be taken in any order,

    q · U_k c_s = (U_kᵀ q) · c_s        Σ_s p_s U_v c_s = U_v Σ_s p_s c_s

so U_k goes into the query and U_v comes after the sum, and all heads read the same rows [c_s ; r_s], as multi-query
attention reads its one key. That is less work where few queries meet many places: decoding.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]  # q (B, H, T, K), k (B, G, S, K), v (B, G, S, V) → (B, H, T, V)


def latent_attention_reference(q: Tensor, rows: Tensor, up_k: Tensor, up_v: Tensor, attend: Attend) -> Tensor:
    """Expanded: keys and values of every head are written out.

    q (B, H, T, N + R), rows (B, 1, S, C + R), up_k (H, N, C), up_v (H, V, C) → (B, H, T, V); `attend` knows mask and scale.
    """
    latent, turned = rows.split((up_k.shape[-1], rows.shape[-1] - up_k.shape[-1]), -1)
    k = latent @ up_k.transpose(-2, -1)  # (B, H, S, N)
    v = latent @ up_v.transpose(-2, -1)  # (B, H, S, V)
    return attend(q, with_shared_key(k, turned), v)


def with_shared_key(k: Tensor, turned: Tensor) -> Tensor:
    """Keys k (B, H, S, N) and the one (B, 1, S, R) that all heads share, side by side: (B, H, S, N + R)."""
    return torch.cat((k, turned.expand(-1, k.shape[1], -1, -1)), -1)


def latent_attention(q: Tensor, rows: Tensor, up_k: Tensor, up_v: Tensor, attend: Attend) -> Tensor:
    """Absorbed: the same, and of the places only the rows are read.

    The rows are keys and values at once; what the shared key adds to a value is left out behind the sum, which costs less
    than a copy of the latents would.
    """
    _, d_nope, d_latent = up_k.shape
    own, turned = q.split((d_nope, q.shape[-1] - d_nope), -1)
    q = torch.cat((own @ up_k, turned), -1)  # (B, H, T, C + R)
    y = attend(q, rows, rows)[..., :d_latent]  # (B, H, T, C)
    return y @ up_v.transpose(-2, -1)


def absorbing_pays(n_queries: int, n_keys: int, d_latent: int, d_nope: int, d_rope: int, d_v: int) -> bool:
    """Whether the absorbed way multiplies less than the expanded one, a head:

    T·C·(N + V) + T·S·2(C + R)  <  S·C·(N + V) + T·S·(N + R + V)
    """
    expanding = (n_keys - n_queries) * d_latent * (d_nope + d_v)
    return expanding > n_queries * n_keys * (2 * d_latent + d_rope - d_nope - d_v)

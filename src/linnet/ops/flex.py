"""Attention by PyTorch's FlexAttention: a mask and a bias given as functions of two places, compiled into one kernel for a GPU.

On a CPU it is run as written, without gradients: PyTorch has no backward pass for it there. ops/flash.py says the same by tiles
in plain PyTorch and runs everywhere.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor

from linnet.core.errors import LinnetError, explain
from linnet.ops.backward import own_backward
from linnet.ops.mask import Mask


@cache
def _compiled() -> Callable[..., Any]:
    from torch.nn.attention.flex_attention import flex_attention

    return torch.compile(flex_attention)


def flex(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Mask,
    *,
    first_query: int,
    first_key: int = 0,
    slopes: Tensor | None = None,
    scale: float,
) -> Tensor:
    """What `flash_attention_reference` computes, with the same arguments. Raises LinnetError for gradients on a CPU."""
    if q.device.type == "cpu" and own_backward(q, k, v):
        raise LinnetError(
            explain(
                "kernel: flex, to train on a CPU",
                need="a GPU: FlexAttention has no gradients on a CPU",
                hint="kernel: flash, or auto",
            )
        )

    from torch.nn.attention.flex_attention import create_block_mask, flex_attention  # only who asks for it waits for it

    everyone = None if mask.everyone is None else [marked.expand(len(q), -1) for marked in mask.everyone]

    def seen(row: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        distance = query + first_query - key - first_key
        allowed = distance == distance if mask.window is None else distance.abs() < mask.window
        if everyone is not None:
            allowed = allowed | everyone[0][row, query] | everyone[1][row, key]
        if mask.causal:
            allowed = allowed & (distance >= 0)
        if mask.prefix is not None:
            allowed = allowed | ((query + first_query < mask.prefix[row]) & (key + first_key < mask.prefix[row]))
        if mask.documents is not None:
            allowed = allowed & (mask.documents[0][row, query] == mask.documents[1][row, key])
        return allowed

    def biased(score: Tensor, row: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        assert slopes is not None
        return score - slopes[head] * (query + first_query - key - first_key).abs()

    rows = None if mask.documents is None and mask.prefix is None and everyone is None else len(q)
    blocks = create_block_mask(seen, rows, None, q.shape[2], k.shape[2], device=q.device)
    way: Any = _compiled() if q.is_cuda and not torch.compiler.is_compiling() else flex_attention
    score_mod, shared = (biased if slopes is not None else None), q.shape[1] != k.shape[1]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="flex_attention called without torch.compile")  # said above
        y = way(q, k, v, score_mod=score_mod, block_mask=blocks, scale=scale, enable_gqa=shared)
    assert isinstance(y, Tensor)
    return y

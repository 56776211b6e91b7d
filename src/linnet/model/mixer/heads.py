"""What mixers with heads share: their widths, what has to divide what, and the table by which queries and keys are turned."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from linnet.model.context import Context
from linnet.model.position import Rope
from linnet.model.spec import AttentionPosition


class Heads:
    """A spec with the fields n_heads and d_head, which divide its width."""

    if TYPE_CHECKING:  # the fields stand in each spec, where their meanings do
        n_heads: int
        d_head: int | None

    def width(self, d_model: int) -> int:
        """K, the width of a head."""
        return self.d_head or d_model // self.n_heads


class GroupedHeads(Heads):
    """The same with n_kv_heads, each of which a group of heads shares."""

    if TYPE_CHECKING:
        n_kv_heads: int | None

    @property
    def groups(self) -> int:
        """G, the number of key-value heads."""
        return self.n_kv_heads or self.n_heads


def head_problems(word: str, d_model: int, n_heads: int, groups: int, d_head: int | None) -> list[str]:
    """Heads that do not divide what they have to divide."""
    found = []
    if d_head is None and d_model % n_heads:
        found.append(f"{word}: n_heads = {n_heads} does not divide d_model = {d_model}; needed: a divisor, or d_head given")
    if n_heads % groups:
        found.append(f"{word}: n_kv_heads = {groups} does not divide n_heads = {n_heads}; needed: a divisor of {n_heads}")
    return found


def rope_problems(word: str, position: AttentionPosition | None, width: int) -> list[str]:
    """Rotary positions that turn nothing of a head of that width."""
    if not isinstance(position, Rope) or position.d_rotary(width) >= 2:
        return []
    return [f"{word}: rope turns pairs, but fraction {position.fraction} of d_head = {width} is less than one pair"]


def rotation(rope: Rope, context: Context, width: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """cos and sin of this pass's positions that broadcast over heads of that width: (T, R), or (B, 1, T, R) where rows differ."""
    return context.once((rope, width, dtype), lambda: rotation_at(context.positions, rope, width, dtype))


def rotation_at(positions: Tensor, rope: Rope, width: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """The same of any positions (T,) or (B, T)."""
    cos, sin = rope.table(positions, width)
    if cos.dim() == 3:
        cos, sin = cos[:, None], sin[:, None]
    return cos.to(dtype), sin.to(dtype)

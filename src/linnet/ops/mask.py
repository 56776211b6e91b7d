"""The mask is a value: who may attend to whom, said once and written out only where something needs it written out.

A place is known by its index in the stream (how many tokens came before it). Query t may see key s when

    causal:     s ≤ t                         window w:  t - w < s  (w keys, itself included)
    documents:  both belong to one document (padding is document -1: it sees only itself)
    everyone:   a place so marked sees and is seen by all that a window alone would hide (Longformer's global places, 2004.05150)
    prefix p:   also where both stand before p, however far apart (a prefix LM: 1910.10683, section 3.2.1)
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Mask:
    """causal, window (keys seen, itself included), documents: queries' (B, T) and keys' (B, S), or None, prefix: (B,) how
    many places at the beginning of each row see each other both ways, or None, and everyone: queries' and keys' again, bool."""

    causal: bool = True
    window: int | None = None
    documents: tuple[Tensor, Tensor] | None = None
    prefix: Tensor | None = None
    everyone: tuple[Tensor, Tensor] | None = None

    def dense(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Stream indices (T,) and (S,) → True where a query may see a key: (T, S), or (B, T, S) with documents, prefix or everyone."""
        distance = queries[:, None] - keys[None, :]  # (T, S)
        allowed = torch.ones_like(distance, dtype=torch.bool)
        if self.window is not None:
            allowed &= distance.abs() < self.window
        if self.everyone is not None:
            of_query, of_key = self.everyone
            allowed = allowed | of_query[:, :, None] | of_key[:, None, :]  # (B, T, S)
        if self.causal:
            allowed &= distance >= 0
        if self.prefix is not None:
            ends = self.prefix[:, None, None]  # (B, 1, 1)
            allowed = allowed | ((queries[:, None] < ends) & (keys[None, :] < ends))  # (B, T, S)
        if self.documents is None:
            return allowed
        of_query, of_key = self.documents
        same = of_query[:, :, None] == of_key[:, None, :]  # (B, T, S)
        return allowed & same

    def sees_all(self, first_query: int, n_queries: int, first_key: int, n_keys: int) -> bool:
        """Whether every query sees every key, so that no mask is needed. False where documents or a prefix would have to be read."""
        if self.documents is not None or self.prefix is not None:
            return False
        if self.causal and first_key + n_keys - 1 > first_query:
            return False
        if not self.causal and self.window is not None and first_key + n_keys - 1 - first_query >= self.window:
            return False
        return self.window is None or first_query + n_queries - 1 - first_key < self.window

    def is_square_causal(self, first_query: int, n_queries: int, first_key: int, n_keys: int) -> bool:
        """Whether it is the plain lower triangle, which kernels know by heart."""
        aligned = first_query == first_key and n_queries == n_keys
        plain = self.documents is None and self.prefix is None
        return self.causal and plain and aligned and (self.window is None or n_keys <= self.window)

    def sees_none(self, first_query: int, n_queries: int, first_key: int, n_keys: int) -> bool:
        """Whether no query sees any key, by their places alone: what documents hide is not looked at."""
        if self.prefix is not None:
            return False
        if self.causal and first_key > first_query + n_queries - 1:
            return True
        if self.window is None or (self.everyone is not None and any(bool(marked.any()) for marked in self.everyone)):
            return False
        before = first_query - (first_key + n_keys - 1)  # from the last key to the first query
        after = first_key - (first_query + n_queries - 1)
        return before >= self.window or after >= self.window

    def part(self, queries: slice | Tensor, keys: slice | Tensor) -> Mask:
        """The mask for some of its queries and keys, for which `dense` is then asked."""
        if self.documents is None and self.everyone is None:
            return self
        documents, everyone = (
            None if pair is None else (pair[0][:, queries], pair[1][:, keys]) for pair in (self.documents, self.everyone)
        )
        return replace(self, documents=documents, everyone=everyone)

"""What every layer needs to know of the tokens it is given, said once a forward pass.

Layers ask it for a rotary table or a mask; each distinct one is made once and shared by all layers of the pass.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import torch
from torch import Tensor

from linnet.model.state import Source
from linnet.ops.mask import Mask


def document_begins(documents: Tensor) -> Tensor:
    """For each place of some rows (B, T) the index where its stretch of one document began, (B, T) int64."""
    index = torch.arange(documents.shape[1], device=documents.device).expand(documents.shape)
    starts = torch.ones_like(documents, dtype=torch.bool)
    starts[:, 1:] = documents[:, 1:] != documents[:, :-1]
    return torch.where(starts, index, torch.zeros_like(index)).cummax(1).values


class Context:
    """Made by the network for one forward pass over T tokens.

    first          stream index of the first token (the length of the state)
    positions      (T,) or (B, T) position of each token in its document
    documents      (B, T) document of each token, None: one a row
    key_documents  (B, S) the same for every token the state holds and these
    generator      where dropout draws from; None: no dropout
    source         what an encoder has read, where there is one
    marked         (B, T) bool: places that see and are seen by all of their document; None: as each layer has it
    """

    def __init__(
        self,
        first: int,
        n_tokens: int,
        positions: Tensor,
        documents: Tensor | None = None,
        key_documents: Tensor | None = None,
        generator: torch.Generator | None = None,
        source: Source | None = None,
    ) -> None:
        self.first, self.n_tokens = first, n_tokens
        self.positions, self.documents, self.key_documents = positions, documents, key_documents
        self.generator, self.source = generator, source
        self.marked: Tensor | None = None
        self._made: dict[Hashable, Any] = {}

    def once(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """`make()`, at most once a forward pass for each key."""
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    def seen(self, *, causal: bool, window: int | None, first_key: int, n_keys: int) -> Mask:
        """The mask of these tokens and the keys first_key … first_key + n_keys - 1, as a value that nothing has written out."""
        documents = None
        if self.documents is not None and self.key_documents is not None:
            held = self.key_documents[:, first_key : first_key + n_keys]
            if held.shape[1] < n_keys:  # a fixed-capacity state shows places that are not written yet
                held = torch.nn.functional.pad(held, (0, n_keys - held.shape[1]), value=-2)
            documents = (self.documents, held)
        return Mask(causal, window, documents)

    def mask(self, *, causal: bool, window: int | None, first_key: int, n_keys: int) -> tuple[Tensor | None, bool]:
        """(allowed, is_causal) for keys with stream indices first_key … first_key + n_keys - 1.

        allowed is (T, S) or (B, T, S), or None where nothing has to be hidden; is_causal says that the plain lower
        triangle, which kernels know by heart, is all there is.
        """

        def make() -> tuple[Tensor | None, bool]:
            mask = self.seen(causal=causal, window=window, first_key=first_key, n_keys=n_keys)
            here = (self.first, self.n_tokens, first_key, n_keys)
            end = self.first + self.n_tokens
            unwritten = not causal and first_key + n_keys > end  # a causal mask hides them by itself
            if mask.is_square_causal(*here):
                return None, True
            if mask.sees_all(*here) and not unwritten:
                return None, False
            device = self.positions.device
            queries = torch.arange(self.first, self.first + self.n_tokens, device=device)
            keys = torch.arange(first_key, first_key + n_keys, device=device)
            allowed = mask.dense(queries, keys)
            return (allowed & (keys < end) if unwritten else allowed), False

        return self.once(("mask", causal, window, first_key, n_keys), make)

    def source_mask(self) -> tuple[Tensor | None, Tensor | None]:
        """(allowed, any): what each place may see of the source, (B, T, S), or None: all of it; and whether it sees any, (B, T).

        A place that may see nothing is allowed to see all, because a softmax over nothing is no number: its reader has to drop
        what it reads.
        """
        source = self.source
        if source is None or source.documents is None:
            return None, None
        of_source, rows = source.documents, len(source.documents)

        def make() -> tuple[Tensor | None, Tensor | None]:
            own = self.documents if self.documents is not None else of_source.new_zeros(rows, self.n_tokens)
            seen = (own[:, :, None] == of_source[:, None, :]) & (of_source[:, None, :] != -1)  # (B, T, S)
            some = seen.any(-1)
            return seen | ~some[:, :, None], some

        return self.once("source mask", make)

    def first_seen(self, *, batch: int, window: int | None, first_key: int, n_keys: int) -> tuple[bool, Tensor | None]:
        """(known, first): the first of the keys first_key … first_key + n_keys - 1 that each query sees under a causal mask.

        first is (B, T) int64, counted from first_key, or None: all see the very first. (False, None): it takes more than that
        to say what is seen, because the keys do not end with the last query, or a document is not one stretch of its row.
        """

        def make() -> tuple[bool, Tensor | None]:
            if first_key + n_keys != self.first + self.n_tokens:
                return False, None
            first = None
            if self.documents is not None and self.key_documents is not None:
                held = self.key_documents[:, first_key : first_key + n_keys]  # (B, S)
                if bool((held[:, 1:] < held[:, :-1]).any()):
                    return False, None
                first = document_begins(held)[:, n_keys - self.n_tokens :]  # (B, T)
            if window is not None and n_keys > window:
                earliest = torch.arange(n_keys - self.n_tokens, n_keys, device=self.positions.device) - window + 1
                earliest = earliest.clamp(min=0).expand(batch, -1)
                first = earliest if first is None else first.maximum(earliest)
            return True, first if first is None else first.contiguous()

        return self.once(("first seen", batch, window, first_key, n_keys), make)

    def same_document(self, back: int) -> Tensor | None:
        """(B, T) 1 where the token `back` places earlier is of the same document, else 0; None: always, as far as there is one."""
        if self.documents is None or self.key_documents is None:
            return None
        documents, everything = self.documents, self.key_documents

        def make() -> Tensor:
            index = torch.arange(self.first - back, self.first - back + self.n_tokens, device=documents.device)
            earlier = everything[:, index.clamp(min=0)]  # (B, T)
            return ((earlier == documents) & (index >= 0)).to(torch.float32)

        return self.once(("same document", back), make)

    def begins(self, n: int) -> tuple[Tensor, Tensor]:
        """Which of these tokens and of all keys so far are among the first n of their document: (B, T) and (B, S) bool, or with
        one row for all."""

        def make() -> tuple[Tensor, Tensor]:
            if self.key_documents is None:
                first = (torch.arange(self.first + self.n_tokens, device=self.positions.device) < n)[None]  # (1, S)
            else:
                places = torch.arange(self.key_documents.shape[1], device=self.positions.device)
                first = places - document_begins(self.key_documents) < n  # (B, S)
            return first[:, self.first :], first

        return self.once(("begins", n), make)

    def everyone(self, n: int) -> tuple[Tensor, Tensor]:
        """Which of these tokens and of all keys so far see and are seen by all: those that are marked, else the first n of each document."""
        return self.begins(n) if self.marked is None else (self.marked, self.marked)

    def real(self) -> Tensor | None:
        """(B, T) bool: which places are no padding; None: all."""
        documents = self.documents
        return None if documents is None else self.once("real", lambda: documents != -1)

    def dropout(self, x: Tensor, rate: float) -> Tensor:
        """Inverted dropout (1207.0580) from this pass's own generator; the rate is met to within 1 / 131,072.

        A CPU draws one number after another, and that costs more than the layer: one draw of 64 bits decides four places.
        """
        if rate == 0.0 or self.generator is None:
            return x
        bits = torch.empty(-(-x.numel() // 4), dtype=torch.int64, device=x.device).random_(
            -(2**63), None, generator=self.generator
        )
        dropped = min(round(rate * 2**16), 2**16 - 1)  # of the 65,536 values of 16 bits
        keep = (bits.view(torch.int16)[: x.numel()] >= dropped - 2**15).view(x.shape).to(x.dtype)
        return x * keep.mul_(1 / (1 - dropped / 2**16))

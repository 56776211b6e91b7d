"""Memory is a value: a mixer takes a state and hands back a new one; nothing is remembered on a module.

`Tail` is the one append-only buffer behind key-value caches, windows, latents and unfinished segments. Handles to it
share storage: the newest one writes in place; an older one that is appended to copies first, so every handle stays
right for ever: a beam, a rejected draft or a cached prompt need no code in the mixers.

    append   O(new) while you hold the newest handle, O(all) for an older one, and for all where gradients are recorded
    reclaim  "I gave up every later handle": the older one writes in place again, and a stale one raises
    window   only the last `window` places are ever needed; the rest is let go
    capacity a fixed mode: storage of one size for ever, whole in every view, for kernels that need static shapes
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from typing import Protocol, Self, runtime_checkable
from weakref import WeakSet

import torch
from torch import Tensor

from linnet.core.errors import LinnetError, explain

FIRST_CAPACITY = 256  # places of a new growing buffer, which the system gives as they are written to; it doubles when full
READ_ONLY = -1  # the tip of a line that nobody may write to: its storage belongs to a graph


@runtime_checkable
class LayerState(Protocol):
    """What one mixer remembers of some rows."""

    def select(self, rows: Tensor) -> Self: ...

    def reclaim(self) -> Self: ...

    def detach(self) -> Self: ...

    def nbytes(self) -> int: ...


class _Line:
    """Storage that several handles share.

    tip      how far it is written
    kept     handles beyond it were given up
    sharers  all lines over the same storage: those that reclaim() made of one another
    """

    __slots__ = ("__weakref__", "kept", "sharers", "store", "tip")

    def __init__(self, store: Tensor, tip: int, sharers: WeakSet[_Line] | None = None) -> None:
        self.store, self.tip = store, tip
        self.kept: int | None = None
        self.sharers: WeakSet[_Line] = WeakSet() if sharers is None else sharers
        self.sharers.add(self)


@dataclass(frozen=True, eq=False)
class Tail:
    """A handle to the live places start … stop - 1 of a line; time is the last but one dimension.

    first   stream index of the first live place (how many were let go)
    """

    line: _Line
    start: int
    stop: int
    first: int = 0
    window: int | None = None
    capacity: int | None = None

    @staticmethod
    def empty(like: Tensor, *, window: int | None = None, capacity: int | None = None) -> Tail:
        """An empty tail for numbers shaped like `like` (..., n, K), of which only the other sizes count."""
        store = _storage(like, capacity or first_capacity(window))
        if capacity:
            store.zero_()  # all of it is read, and what is masked out is still multiplied by 0
        return Tail(_Line(store, 0), 0, 0, 0, None if capacity else window, capacity)

    @property
    def length(self) -> int:
        """Stream index after the last live place: how many were ever appended."""
        return self.first + self.stop - self.start

    def view(self) -> Tensor:
        """The live places (..., S, K) without a copy; in the fixed mode all `capacity` places, written or not."""
        self._check()
        return self.line.store if self.capacity else self.line.store.narrow(-2, self.start, self.stop - self.start)

    def last(self, n: int) -> Tensor:
        """The last n live places (..., n, K), in either mode."""
        self._check()
        return self.line.store[..., self.stop - n : self.stop, :]

    def append(self, new: Tensor) -> Tail:
        """A handle with `new` (..., n, K) at the end."""
        self._check()
        if self.capacity is not None:
            return self._append_fixed(new)
        n = new.shape[-2]
        if torch.is_grad_enabled() and new.is_floating_point():
            # writing in place would change what the backward pass reads, if only for the queries' sake
            return self._grown(_Line(torch.cat((self.view(), new), -2), READ_ONLY), 0, self.stop - self.start, n)
        longer = self.reserve(n, new)
        longer.line.store.narrow(-2, longer.stop - n, n).copy_(new)
        return longer

    def reserve(self, n: int, like: Tensor | None = None) -> Tail:
        """A handle with room for n more places at the end, which the caller writes before anybody reads them.

        Not in the fixed mode. New storage is of `like`'s dtype and device, which are this tail's own by default.
        """
        self._check()
        line, start, stop = self.line, self.start, self.stop
        branch = stop != line.tip or line.kept is not None
        if branch or stop + n > line.store.shape[-2]:
            keep = self.view()
            if self.window is not None and keep.shape[-2] >= self.window:
                keep = keep[..., keep.shape[-2] - self.window + 1 :, :]
            start, stop = 0, keep.shape[-2]
            room = stop + n if self.window is None else self.window  # to grow into: as much again, or one more window
            capacity = stop + n + max(first_capacity(self.window), room)
            line = _Line(_storage(line.store if like is None else like, capacity), stop)
            line.store[..., :stop, :] = keep
        line.tip = stop + n
        return self._grown(line, start, stop, n)

    def _grown(self, line: _Line, start: int, stop: int, n: int) -> Tail:
        """The handle to places start … stop - 1 of a line and n new ones, without those that have left the window."""
        stop += n
        if self.window is not None:  # n new queries see at most n + window - 1 keys
            start = max(start, stop - (n + self.window - 1))
        return Tail(line, start, stop, self.length + n - (stop - start), self.window)

    def _append_fixed(self, new: Tensor) -> Tail:
        n = new.shape[-2]
        if self.stop + n > (self.capacity or 0):
            raise LinnetError(
                explain(
                    f"{self.stop + n} places in a state made for {self.capacity}",
                    need="a larger capacity",
                    hint=f"capacity={2 * (self.stop + n)}",
                )
            )
        line, recorded = self.line, torch.is_grad_enabled() and new.is_floating_point()
        if not recorded and (self.stop != line.tip or line.kept is not None):
            line = _Line(line.store.clone(), self.stop)
        if recorded:
            line = _Line(torch.cat((line.store[..., : self.stop, :], new, line.store[..., self.stop + n :, :]), -2), READ_ONLY)
        else:
            line.store[..., self.stop : self.stop + n, :] = new
            line.tip = self.stop + n
        return replace(self, line=line, stop=self.stop + n)

    def select(self, rows: Tensor) -> Tail:
        """The rows named (a copy; a row may be named twice or not at all)."""
        whole = self.line.store if self.capacity else self.view()
        self._check()
        line = _Line(whole[rows], self.stop - self.start)
        return replace(self, line=line, start=0, stop=self.stop - self.start)

    def reclaim(self) -> Tail:
        """This handle again, as the newest: every handle made from it since is given up and raises when it is read."""
        self._check()
        old = self.line
        for line in old.sharers:
            line.kept = self.stop if line.kept is None else min(line.kept, self.stop)
        return replace(self, line=_Line(old.store, READ_ONLY if old.tip == READ_ONLY else self.stop, old.sharers))

    def detach(self) -> Tail:
        """The same numbers, cut off from the graph."""
        self._check()
        if not self.line.store.requires_grad:
            return self
        return replace(self, line=_Line(self.line.store.detach(), READ_ONLY))

    def nbytes(self) -> int:
        """Bytes of the storage behind this handle."""
        return self.line.store.numel() * self.line.store.element_size()

    def _check(self) -> None:
        if self.line.kept is not None and self.stop > self.line.kept:
            raise RuntimeError(
                explain(
                    f"a state of length {self.length} that was given up",
                    need="a handle that reclaim() left alive",
                    hint="keep the older handle without reclaim(); appending to it copies by itself",
                )
            )


def first_capacity(window: int | None) -> int:
    """Places of a new growing buffer: few where only a small window is ever kept."""
    return FIRST_CAPACITY if window is None else min(FIRST_CAPACITY, 16 * window)


def _storage(like: Tensor, places: int) -> Tensor:
    """Room for so many places, nothing in it."""
    return torch.empty(*like.shape[:-2], places, like.shape[-1], dtype=like.dtype, device=like.device)


def uncounted_places(batch: int, like: Tensor, capacity: int | None = None) -> Tail:
    """A tail of places of no width, (B, S, 0): no bytes, but a state that keeps one knows when it was given up.

    For states whose numbers are replaced and never written in place.
    """
    return Tail.empty(torch.empty(batch, 0, 0, dtype=torch.uint8, device=like.device), capacity=capacity)


class OneMore(ABC):
    """A state to which somebody else may add a token (model/one_token.py)."""

    @abstractmethod
    def tails(self) -> tuple[Tail, ...]:
        """What grows by a place with each token."""

    @abstractmethod
    def replaced(self) -> tuple[Tensor, ...]:
        """What is another tensor after each token."""

    @abstractmethod
    def longer(self) -> Self:
        """After one more token; the last places and what is replaced are to be written before anybody reads them."""


class Tails(OneMore):
    """A state that is made of tails and of nothing else: a dataclass whose fields they are."""

    def tails(self) -> tuple[Tail, ...]:
        """All of them, in the order of the fields."""
        return tuple(vars(self).values())

    def replaced(self) -> tuple[Tensor, ...]:
        return ()

    def longer(self) -> Self:
        return type(self)(*(tail.reserve(1) for tail in self.tails()))

    def select(self, rows: Tensor) -> Self:
        return type(self)(*(tail.select(rows) for tail in self.tails()))

    def reclaim(self) -> Self:
        return type(self)(*(tail.reclaim() for tail in self.tails()))

    def detach(self) -> Self:
        return type(self)(*(tail.detach() for tail in self.tails()))

    def nbytes(self) -> int:
        return sum(tail.nbytes() for tail in self.tails())


@dataclass(frozen=True, eq=False)
class KeyValue(Tails):
    """What attention remembers: keys and values (B, G, S, K)."""

    keys: Tail
    values: Tail


@dataclass(frozen=True, eq=False)
class Source:
    """What an encoder has read, for a decoder to look at.

    hidden      (B, S, D)
    documents   (B, S) int64: a place of the decoder sees those of its own document, -1 is padding; None: all of them
    aux         what the encoder's layers want in the loss or log, for the first pass that looks at it
    """

    hidden: Tensor
    documents: Tensor | None = None
    aux: dict[str, Tensor] = field(default_factory=dict)

    def select(self, rows: Tensor) -> Source:
        """Those of some rows, in any order; a copy, which wants nothing in the loss: that was of all rows."""
        return Source(self.hidden[rows], None if self.documents is None else self.documents[rows])

    def detach(self) -> Source:
        """The same numbers, cut off from the graph."""
        return Source(self.hidden.detach(), self.documents)

    def nbytes(self) -> int:
        """Bytes of what it holds."""
        return sum(held.nbytes for held in (self.hidden, self.documents) if held is not None)


@dataclass(frozen=True, eq=False)
class State:
    """What a network remembers of some rows.

    layers       one entry for each sublayer, None where nothing is remembered
    length       tokens read so far, the same for every row (rows of different length are padded, document -1)
    documents    (B, 1, S, 1) document of each token read, None as long as each row is one document
    positions    (B,) next position within the current document, None as long as it equals `length`
    source       what an encoder has read, where there is one
    """

    layers: tuple[LayerState | None, ...]
    length: int = 0
    documents: Tail | None = None
    positions: Tensor | None = None
    source: Source | None = None

    def select(self, rows: Tensor) -> State:
        """The state of some rows, in any order; a copy."""
        return replace(
            self,
            layers=tuple(None if layer is None else layer.select(rows) for layer in self.layers),
            documents=None if self.documents is None else self.documents.select(rows),
            positions=None if self.positions is None else self.positions[rows],
            source=None if self.source is None else self.source.select(rows),
        )

    def reclaim(self) -> State:
        """Come back to this state and give up all later ones (see Tail.reclaim)."""
        return replace(
            self,
            layers=tuple(None if layer is None else layer.reclaim() for layer in self.layers),
            documents=None if self.documents is None else self.documents.reclaim(),
        )

    def detach(self) -> State:
        """The same numbers, cut off from the graph."""
        return replace(
            self,
            layers=tuple(None if layer is None else layer.detach() for layer in self.layers),
            source=None if self.source is None else self.source.detach(),
        )

    def nbytes(self) -> int:
        """Bytes of storage held."""
        parts = [held for held in (*self.layers, self.documents, self.source) if held is not None]
        return sum(part.nbytes() for part in parts)

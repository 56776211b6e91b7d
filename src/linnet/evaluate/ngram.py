"""Unigram and interpolated modified Kneser-Ney n-grams: the yardstick that a neural model must beat.

The formulas are in `ngram_reference.py`, the readable oracle; here they run over whole arrays. An n-gram has a number:
its place among the sorted keys of its order,

    key(n-gram that ends at t) = number((n-1)-gram that ends at t-1) · V + token[t]

so each order is one sort of int64 keys, a lookup is one binary search, and no n-gram is ever spelled out. About 40 bytes
per training token and order at the peak. Chen & Goodman 1999; Heafield et al. 2013 for the counts at a text's left edge.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from linnet.core.errors import LinnetError, explain

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

FALLBACK = (0.5, 1.0, 1.5)  # discounts where the counts of counts cannot give any, as in KenLM


@dataclass(frozen=True)
class Order:
    """All n-grams of one length, G of them, over the C n-grams that are one shorter."""

    keys: Ints  # (G,) sorted
    kept: Floats  # (G,) adjusted count minus its discount
    total: Floats  # (C,) sum of adjusted counts per context; 0 where nothing follows
    taken: Floats  # (C,) sum of discounts per context


class KneserNey:
    """A modified Kneser-Ney model of token ids.

        model = KneserNey(train_tokens, vocab_size, order=5, end_id=tokenizer.end_id)
        model.nats(valid_tokens).sum() / n_bytes / ln 2        bits per byte

    tokens (N,)   ids in 0 … vocab_size - 1, N ≥ 1
    order         longest n-gram; 1 is the unigram model
    end_id        a context reaches back to the last end token (kept as the mark of a start) and never beyond it; None:
                  one long text

    Every token gets a probability above zero: what was never seen gets its part of the uniform share. Raises LinnetError
    for ids out of range, and where keys would not fit 63 bits.
    """

    def __init__(self, tokens: ArrayLike, vocab_size: int, order: int = 5, end_id: int | None = None) -> None:
        if order < 1 or vocab_size < 1:
            raise LinnetError(explain(f"order = {order}, vocab_size = {vocab_size}", need="both at least 1"))
        self.vocab_size, self.order, self.end_id = vocab_size, order, end_id
        text, reach = self._prepare(tokens)
        if len(reach) == 0:
            raise LinnetError(explain("no training tokens", need="at least one"))
        if (len(text) + 1) * vocab_size >= 2**63:
            raise LinnetError(explain(f"{len(text)} tokens of {vocab_size} kinds", need="fewer: their keys must fit 63 bits"))
        self.orders: list[Order] = []
        self._count(text, reach)

    def nats(self, tokens: ArrayLike) -> Floats:
        """-ln p of every token given those before it (M,), as training text would be read."""
        text, reach = self._prepare(tokens)
        places = np.arange(len(text) - len(reach), len(text))
        p = np.full(len(reach), 1 / self.vocab_size)
        number = text  # (·,) number of the n-gram of this order that ends here; -1: never seen, or reaches too far
        for n, order in enumerate(self.orders, start=1):
            if n == 1:
                p = self._interpolate(order, np.zeros(len(reach), np.int64), number[places], p)[0]
                continue
            context = np.where(reach >= n - 1, number[places - 1], -1)
            p, gram = self._interpolate(order, context, text[places], p)
            number = np.full(len(text), -1)
            number[places] = gram
        return -np.log(p)

    def probabilities(self, context: ArrayLike) -> Floats:
        """p of every token (V,) after some context, of which at most order - 1 tokens since the last end token count."""
        words = np.asarray(context, dtype=np.int64)[-(self.order - 1) :] if self.order > 1 else np.empty(0, np.int64)
        words = words[max(np.flatnonzero(words == self.end_id), default=0) :] if self.end_id is not None else words
        everything = np.arange(self.vocab_size)
        p = np.full(self.vocab_size, 1 / self.vocab_size)
        for n, order in enumerate(self.orders, start=1):
            if n - 1 > len(words):
                break
            p = self._interpolate(order, np.full(self.vocab_size, self._number(words[len(words) - n + 1 :])), everything, p)[0]
        return p

    def _number(self, gram: Ints) -> int:
        """The number of one n-gram, -1 if it was never seen; the empty one is number 0."""
        number = 0
        for n, token in enumerate(gram):
            found = _find(self.orders[n].keys, np.array([number * self.vocab_size + token])) if n else np.array([token])
            number = int(found[0])
            if number < 0:
                break
        return number

    def _interpolate(self, order: Order, context: Ints, token: Ints, lower: Floats) -> tuple[Floats, Ints]:
        """(kept + taken · lower) / total where the context is known, else `lower`; and the n-grams' numbers. All (M,)."""
        known = context >= 0
        gram = np.where(known, _find(order.keys, context * self.vocab_size + token), -1)
        safe = np.where(known, context, 0)
        total = np.where(known, order.total[safe], 0.0)
        kept = np.where(gram >= 0, order.kept[np.maximum(gram, 0)], 0.0)
        mixed = (kept + order.taken[safe] * lower) / np.where(total > 0, total, 1.0)
        return np.where(total > 0, mixed, lower), gram

    def _prepare(self, tokens: ArrayLike) -> tuple[Ints, Ints]:
        """The text, with an end token put before it where documents are kept apart; and how many tokens of context each
        given token has (N,)."""
        given = np.asarray(tokens)
        if given.ndim != 1 or (given.size and not np.issubdtype(given.dtype, np.integer)):
            raise LinnetError(explain(f"tokens of shape {given.shape} and type {given.dtype}", need="one row of token ids"))
        given = given.astype(np.int64)
        if given.size and (given.min() < 0 or given.max() >= self.vocab_size):
            raise LinnetError(explain(f"token ids {given.min()} … {given.max()}", need=f"0 … {self.vocab_size - 1} (vocab_size)"))
        if self.end_id is None:
            return given, np.minimum(np.arange(len(given)), self.order - 1)
        text = np.concatenate([[self.end_id], given])
        place = np.arange(len(text))
        last_end = np.maximum.accumulate(np.where(text == self.end_id, place, 0))  # at or before each place
        return text, np.minimum(place[1:] - last_end[:-1], self.order - 1)

    def _count(self, text: Ints, reach: Ints) -> None:
        """Fill `orders`: number the n-grams of each length, then adjust the counts of the length before."""
        places = np.arange(len(text) - len(reach), len(text))
        number, keys, next_keys, contexts = (
            text,
            np.arange(self.vocab_size),
            np.empty(0, np.int64),
            1,
        )  # order 1: every token has a number, seen or not
        for n in range(1, self.order + 1):
            ends = places[reach >= n - 1]  # where an n-gram ends
            whole = ends if n == self.order else places[reach == n - 1]  # those that occurrences are counted of
            adjusted = np.bincount(number[whole], minlength=len(keys))
            if n < self.order:
                longer = places[reach >= n]
                next_keys, first, inverse = np.unique(
                    number[longer - 1] * self.vocab_size + text[longer], return_index=True, return_inverse=True
                )
                adjusted += np.bincount(number[longer][first], minlength=len(keys))  # one per different left neighbour
            self.orders.append(self._order(keys, adjusted, contexts))
            if n < self.order:
                if len(next_keys) == 0:
                    break  # a text too short for anything longer
                contexts, keys = len(keys), next_keys
                number = np.full(len(text), -1)
                number[longer] = inverse

    def _order(self, keys: Ints, adjusted: Ints, contexts: int) -> Order:
        discount = np.array([0.0, *discounts(adjusted)])[np.minimum(adjusted, 3)]
        context = keys // self.vocab_size
        return Order(
            keys=keys,
            kept=adjusted - discount,
            total=np.bincount(context, weights=adjusted, minlength=contexts).astype(np.float64),
            taken=np.bincount(context, weights=discount, minlength=contexts).astype(np.float64),
        )


def discounts(adjusted: NDArray[Any]) -> tuple[float, float, float]:
    """D for counts of 1, 2 and ≥ 3, from how many n-grams have each count (Chen & Goodman 1999, eq. 26).

    `FALLBACK` where one of the first four counts does not occur, as with characters, or a discount leaves (0, its count].
    """
    n = np.bincount(np.minimum(adjusted, 5), minlength=6)[1:5].astype(float)
    if (n == 0).any():
        return FALLBACK
    y = n[0] / (n[0] + 2 * n[1])
    one, two, three = (k - (k + 1) * y * n[k] / n[k - 1] for k in (1, 2, 3))
    return (one, two, three) if 0 < one <= 1 and 0 < two <= 2 and 0 < three <= 3 else FALLBACK


def _find(keys: Ints, wanted: Ints) -> Ints:
    """The place of each wanted key among the sorted keys, -1 where it is not there."""
    if len(keys) == 0:
        return np.full(len(wanted), -1)
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[place] == wanted, place, -1)

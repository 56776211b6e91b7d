"""Interpolated modified Kneser-Ney, written out with dictionaries: the oracle of `ngram.py`.

    p(w | c) = (a(cw) - D(a(cw))) / A(c)  +  γ(c) · p(w | c without its first token)
    p(w | nothing) ends in the uniform share 1 / V

    a(g)   of the longest n-grams, and of those with nothing to their left: how often g occurs;
           of shorter ones: how many different tokens stand to its left
    D(a)   one discount for a = 1, one for 2, one for 3 and more;  A(c) = sum of a(cw) over w
    γ(c)   what the discounts took from c's continuations, divided by A(c), so that everything sums to one

Chen & Goodman 1999, "An empirical study of smoothing techniques for language modeling", section 3 (eq. 26, discounts);
counts at the left edge as in Heafield et al. 2013. Slow on purpose; nothing but tests calls it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

FALLBACK = (0.5, 1.0, 1.5)  # discounts where the counts of counts cannot give any, as in KenLM

Gram = tuple[int, ...]


def context_at(tokens: Sequence[int], t: int, order: int, end_id: int | None) -> Gram:
    """Up to order - 1 tokens before place t, reaching back to the last end token (kept as the mark of a start)."""
    context: list[int] = []
    while len(context) < order - 1:
        t -= 1
        if t < 0:
            if end_id is not None:
                context.insert(0, end_id)  # an end token stands before the first document, too
            break
        context.insert(0, tokens[t])
        if tokens[t] == end_id:
            break
    return tuple(context)


def discounts(adjusted: Counter[Gram]) -> tuple[float, float, float]:
    """Chen & Goodman's estimate from how many n-grams have a count of 1, 2, 3 and 4."""
    n = [sum(1 for a in adjusted.values() if a == k) for k in range(1, 5)]
    if 0 in n:
        return FALLBACK
    y = n[0] / (n[0] + 2 * n[1])
    found = tuple(k - (k + 1) * y * n[k] / n[k - 1] for k in (1, 2, 3))
    return found if all(0 < d <= k for k, d in enumerate(found, 1)) else FALLBACK  # type: ignore[return-value]


class ReferenceKneserNey:
    """The same model as `KneserNey`, one dictionary per order."""

    def __init__(self, tokens: Sequence[int], vocab_size: int, order: int, end_id: int | None = None) -> None:
        self.vocab_size, self.order, self.end_id = vocab_size, order, end_id
        occurrences: Counter[Gram] = Counter()  # full-length n-grams, and shorter ones with nothing to their left
        left: dict[Gram, set[int]] = defaultdict(set)
        for t, token in enumerate(tokens):
            gram = (*context_at(tokens, t, order, end_id), token)
            occurrences[gram] += 1
            while len(gram) > 1:
                left[gram[1:]].add(gram[0])
                gram = gram[1:]
        self.adjusted: list[Counter[Gram]] = [Counter() for _ in range(order + 1)]
        for gram, count in occurrences.items():
            self.adjusted[len(gram)][gram] += count
        for gram, tokens_left in left.items():
            self.adjusted[len(gram)][gram] += len(tokens_left)
        self.discounts = [(0.0, 0.0, 0.0)] + [discounts(counts) for counts in self.adjusted[1:]]
        self.following: dict[Gram, dict[int, int]] = defaultdict(dict)
        for table in self.adjusted:
            for gram, count in table.items():
                self.following[gram[:-1]][gram[-1]] = count

    def probability(self, token: int, context: Gram) -> float:
        """p(token | context), the context at most order - 1 tokens long."""
        lower = self.probability(token, context[1:]) if context else 1 / self.vocab_size
        following = self.following.get(context)
        if not following:
            return lower
        d = self.discounts[len(context) + 1]
        taken = {w: d[min(a, 3) - 1] for w, a in following.items()}
        kept = following[token] - taken[token] if token in following else 0.0
        return (kept + sum(taken.values()) * lower) / sum(following.values())

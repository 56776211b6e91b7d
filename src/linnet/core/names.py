"""The nearest valid word: every strict door uses it to turn a refusal into help."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint for a word that is not known: the closest known one, or the list of them all.

    >>> nearest("n_haeds", ["n_heads", "window"])
    "did you mean 'n_heads'?"
    >>> nearest("zzz", ["b", "a"])
    'known: a, b'
    """
    words = sorted(set(known))
    folded = {w.lower(): w for w in words}
    asked = str(word).lower()
    close = difflib.get_close_matches(asked, folded, n=3, cutoff=0.6)
    if close:  # of equally close ones, the one with the same letters: top_k, not top_p, for topk_
        letters: Counter[str] = Counter(asked)
        best = max(close, key=lambda w: (difflib.SequenceMatcher(None, w, asked).ratio(), (letters & Counter(w)).total()))
        return f"did you mean {folded[best]!r}?"
    return f"known: {', '.join(words)}" if words else "nothing is known here"

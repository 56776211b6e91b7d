"""The nearest valid word: every strict door uses it to turn a refusal into help."""

from __future__ import annotations

import difflib
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
    close = difflib.get_close_matches(str(word).lower(), folded, n=1, cutoff=0.6)
    if close:
        return f"did you mean {folded[close[0]]!r}?"
    return f"known: {', '.join(words)}" if words else "nothing is known here"

"""Loss said in four ways, each with its interval.

    nats per token    L = sum(-ln p) / tokens            what training minimises; depends on the tokenizer
    perplexity        exp(L)                             the same, as "how many equally likely choices"
    bits per byte     sum(-ln p) / (ln 2 · bytes)        comparable between tokenizers, and with compressors
    word perplexity   exp(sum(-ln p) / words)            comparable between tokenizers; words are what whitespace separates

The numerator is the same total everywhere: every scored token, end-of-document tokens counted in, so no way of cutting
text looks better by hiding some. Bytes and words are totals of the text itself (UTF-8), without special tokens.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from linnet.core.errors import LinnetError, explain
from linnet.evaluate.bootstrap import Estimate, ratio_interval

MAX_EXPONENT = 700.0  # exp of more does not fit a float64


@dataclass(frozen=True)
class Metrics:
    """What a model's loss on a text amounts to.

    A metric is None where it cannot be said: no bytes, no words, or (per word) beyond what a float holds, as in text
    without spaces.
    """

    nats_per_token: Estimate
    perplexity: Estimate | None
    bits_per_byte: Estimate | None
    word_perplexity: Estimate | None
    n_windows: int
    n_tokens: int
    n_bytes: int
    n_words: int
    level: float

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data: {metric: {value, low, high} or null, …, counts}."""
        return {
            name: value.to_dict() if isinstance(value, Estimate) else value
            for name in self.__dataclass_fields__
            for value in [getattr(self, name)]
        }


def count_words(text: str) -> int:
    """Words are maximal runs of characters between (Unicode) whitespace, as `str.split` has them.

    >>> count_words("To be, or not\\n to be: ")
    6
    """
    return len(text.split())


def metrics(
    nats: ArrayLike,
    tokens: ArrayLike,
    *,
    n_bytes: int,
    n_words: int,
    blocks: ArrayLike | None = None,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Metrics:
    """All four metrics from the loss per window.

    nats (N,)      sum of -ln p over the window's scored tokens
    tokens (N,)    how many were scored
    n_bytes, n_words   of the whole scored text, in UTF-8
    blocks, level, resamples, seed   see `ratio_interval`

    One set of resamples serves all: bytes and words per token are taken as fixed, so each interval is that of
    nats per token, carried through its formula. Raises LinnetError for input that makes no ratio.
    """
    if n_bytes < 0 or n_words < 0:
        raise LinnetError(explain(f"n_bytes = {n_bytes}, n_words = {n_words}", need="sizes of the scored text"))
    per_token = ratio_interval(nats, tokens, blocks=blocks, level=level, resamples=resamples, seed=seed)
    counts = np.asarray(tokens)
    n_tokens = round(float(counts.sum()))
    return Metrics(
        nats_per_token=per_token,
        perplexity=_exp(per_token),
        bits_per_byte=_scale(per_token, n_tokens / n_bytes / math.log(2)) if n_bytes else None,
        word_perplexity=_exp(_scale(per_token, n_tokens / n_words)) if n_words else None,
        n_windows=len(counts),
        n_tokens=n_tokens,
        n_bytes=n_bytes,
        n_words=n_words,
        level=level,
    )


def _scale(estimate: Estimate, factor: float) -> Estimate:
    low, high = (None if end is None else end * factor for end in (estimate.low, estimate.high))
    return Estimate(estimate.value * factor, low, high)


def _exp(estimate: Estimate) -> Estimate | None:
    """exp is monotone: the interval's ends map to the interval's ends."""
    if max(estimate.value, estimate.high or 0.0) > MAX_EXPONENT:
        return None
    low, high = (None if end is None else math.exp(end) for end in (estimate.low, estimate.high))
    return Estimate(math.exp(estimate.value), low, high)

"""BLEU and chrF of translations, by sacrebleu, with the signature that says exactly what was computed (1804.08771).

BLEU = BP · exp( ¼ Σ_{n=1…4} log p_n )        p_n: shares of n-grams that the reference has, too; BP: a penalty for being short
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from linnet.core.errors import DataError, explain
from linnet.core.extras import need
from linnet.core.seeds import numpy_generator

RESAMPLES = 1000


@dataclass(frozen=True)
class TranslationScore:
    """bleu: 0 … 100 · low, high: its 95 % interval by 1,000 resamples of the sentences, None for one sentence · chrf: likewise 0 … 100 · signature: sacrebleu's of BLEU."""

    bleu: float
    low: float | None
    high: float | None
    chrf: float
    sentences: int
    signature: str

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def translation_score(hypotheses: Sequence[str], references: Sequence[str]) -> TranslationScore:
    """Scores of some translations beside one reference each. Raises DataError for lists of unequal length, or none at all."""
    if len(hypotheses) != len(references) or not references:
        got = f"{len(hypotheses):,} translations and {len(references):,} references"
        raise DataError(explain(got, need="one reference for each, and at least one"))
    sacrebleu = need("sacrebleu", extra="translation", to="score translations")
    bleu, sides = sacrebleu.BLEU(), (list(hypotheses), [list(references)])
    score = bleu.corpus_score(*sides).score
    low, high = interval(bleu, *sides)
    chrf = sacrebleu.CHRF().corpus_score(*sides)
    return TranslationScore(score, low, high, chrf.score, len(references), str(bleu.get_signature()))


def interval(
    bleu: Any, hypotheses: Sequence[str], references: Sequence[Sequence[str]]
) -> tuple[float, float] | tuple[None, None]:
    """The percentile interval (Efron 1979) of a BLEU over sentences that are drawn again: their counts are added up, and scored once a draw.
    One sentence says nothing of the spread."""
    n = len(hypotheses)
    if n < 2:
        return None, None
    alone = [bleu.corpus_score([said], [[each]]) for said, each in zip(hypotheses, references[0], strict=True)]
    counts = np.array([[*each.counts, *each.totals, each.sys_len, each.ref_len] for each in alone], dtype=np.int64)
    order = bleu.max_ngram_order
    draws, scores = numpy_generator(0, "evaluate/translation"), np.empty(RESAMPLES)
    for number in range(RESAMPLES):
        sums = counts[draws.integers(0, n, size=n)].sum(0).tolist()
        scores[number] = bleu.compute_bleu(
            sums[:order],
            sums[order : 2 * order],
            *sums[2 * order :],
            smooth_method=bleu.smooth_method,
            smooth_value=bleu.smooth_value,
        ).score
    low, high = np.quantile(scores, [0.025, 0.975])
    return max(0.0, float(low)), min(100.0, float(high))  # their sums may be 100.00000000000004

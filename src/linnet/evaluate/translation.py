"""BLEU and chrF of translations, by sacrebleu, with the signature that says exactly what was computed (1804.08771).

BLEU = BP · exp( ¼ Σ_{n=1…4} log p_n )        p_n: shares of n-grams that the reference has, too; BP: a penalty for being short
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from linnet.core.errors import DataError, explain
from linnet.core.extras import need


@dataclass(frozen=True)
class TranslationScore:
    """bleu: 0 … 100, with its 95 % interval by 1,000 resamples of the sentences · chrf: likewise 0 … 100 · signature: sacrebleu's of BLEU."""

    bleu: float
    low: float
    high: float
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
    again = sacrebleu.BLEU().corpus_score(*sides, n_bootstrap=1000) if len(references) > 1 else None
    spread = 0.0 if again is None else again._ci
    low, high = max(0.0, score - spread), min(100.0, score + spread)
    chrf = sacrebleu.CHRF().corpus_score(*sides)
    return TranslationScore(score, low, high, chrf.score, len(references), str(bleu.get_signature()))

"""The mask: the special token that stands where a model that sees both ways is to say what belongs there."""

from __future__ import annotations

from collections.abc import Collection

from linnet.core.errors import TokenizerError, explain
from linnet.tokenizer.base import Tokenizer

MASK = "<|mask|>"
MASKS = (MASK, "[MASK]", "<mask>")  # what it may be called in files of others


def has_mask(tokenizer: Tokenizer) -> bool:
    """Whether a tokenizer has a mask."""
    return mask_among(tokenizer.special) is not None


def mask_among(names: Collection[str]) -> str | None:
    """What the mask is called among the names of special tokens; None where there is none."""
    return next((name for name in MASKS if name in names), None)


def mask_name(tokenizer: Tokenizer) -> str:
    """What the mask is called. Raises TokenizerError for a tokenizer that has none."""
    name = mask_among(tokenizer.special)
    if name is None:
        got, need = f"a tokenizer without {MASK}", f"a special token of that name, or {' or '.join(MASKS[1:])}"
        hint = f'one that the run trains, which gets it, or tokenizer: {{kind: bpe, vocab_size: 4096, special: ["{MASK}"]}}'
        raise TokenizerError(explain(got, need=need, hint=hint))
    return name


def mask_id(tokenizer: Tokenizer) -> int:
    """Its id. Raises TokenizerError for a tokenizer that has none."""
    return tokenizer.special[mask_name(tokenizer)]

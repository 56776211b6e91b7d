"""The mask: the special token that stands where a model that sees both ways is to say what belongs there."""

from __future__ import annotations

from linnet.core.errors import TokenizerError, explain
from linnet.tokenizer.base import Tokenizer

MASK = "<|mask|>"
MASKS = (MASK, "[MASK]", "<mask>")  # what it may be called in files of others


def has_mask(tokenizer: Tokenizer) -> bool:
    """Whether a tokenizer has a mask."""
    return any(name in tokenizer.special for name in MASKS)


def mask_name(tokenizer: Tokenizer) -> str:
    """What the mask is called. Raises TokenizerError for a tokenizer that has none."""
    if not has_mask(tokenizer):
        got, need = f"a tokenizer without {MASK}", f"a special token of that name, or {' or '.join(MASKS[1:])}"
        hint = f'one that the run trains, which gets it, or tokenizer: {{kind: bpe, vocab_size: 4096, special: ["{MASK}"]}}'
        raise TokenizerError(explain(got, need=need, hint=hint))
    return next(name for name in MASKS if name in tokenizer.special)


def mask_id(tokenizer: Tokenizer) -> int:
    """Its id. Raises TokenizerError for a tokenizer that has none."""
    return tokenizer.special[mask_name(tokenizer)]

"""xz as a language model: how many bits per byte does a general compressor need?

    alone             8 · xz(valid) / bytes
    given training    8 · (xz(train + valid) - xz(train)) / bytes

The second is the fair opponent of a trained model: the compressor has seen the training text, too, within a dictionary
as large as everything it is given. A model that does not beat it has learned less than repetition.
"""

from __future__ import annotations

import lzma
from dataclasses import dataclass

from linnet.core.errors import LinnetError, explain

MIB = 2**20
MAX_TRAIN = 32 * MIB  # bytes of training text that the compressor sees; about a second per MiB, twice
MAX_VALID = 8 * MIB


@dataclass(frozen=True)
class XzScore:
    """Bits per byte of the validation text by xz, and how much text that was measured on."""

    alone: float
    given_training: float
    train_bytes: int  # used; the last ones where there were more
    valid_bytes: int  # used; the first ones where there were more


def xz_size(content: bytes) -> int:
    """Size in bytes of xz -9e with a dictionary as long as the content, so that nothing is out of reach.

    The encoder's memory is about eleven times the dictionary: 450 MB for 40 MiB.
    """
    dictionary = max(4096, len(content))
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": dictionary}]
    return len(lzma.compress(content, format=lzma.FORMAT_XZ, check=lzma.CHECK_NONE, filters=filters))


def xz_bits_per_byte(train: bytes, valid: bytes, *, max_train: int = MAX_TRAIN, max_valid: int = MAX_VALID) -> XzScore:
    """Bits per byte of `valid`, alone and after `train`.

    Bounded: only the last `max_train` bytes of the training text (those next to the validation text) and the first
    `max_valid` of the validation text are used; the score says how many. Raises LinnetError for an empty validation text.
    """
    if not valid or max_valid < 1 or max_train < 0:
        raise LinnetError(explain(f"{len(valid)} bytes of validation text, at most {max_valid} used", need="at least one byte"))
    train, valid = train[max(0, len(train) - max_train) :], valid[:max_valid]
    given = xz_size(train + valid) - xz_size(train)
    return XzScore(8 * xz_size(valid) / len(valid), 8 * given / len(valid), len(train), len(valid))

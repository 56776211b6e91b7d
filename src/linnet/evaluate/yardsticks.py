"""Honest yardsticks beside every number: what the same text costs without a neural network.

Unigram (how often each token occurs), a modified Kneser-Ney 5-gram over the model's own tokens, and xz. All in nats per
token and bits per byte of the same validation text that the model is scored on.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from linnet.core.errors import LinnetError, explain
from linnet.evaluate.compressors import MIB, xz_bits_per_byte
from linnet.evaluate.ngram import KneserNey

MAX_TOKENS = 5_000_000  # training tokens that an n-gram should be given: about 10 s and 1 GB


def yardsticks(
    train_tokens: ArrayLike,
    valid_tokens: ArrayLike,
    vocab_size: int,
    train_bytes: bytes,
    valid_bytes: bytes,
    *,
    end_id: int | None = None,
    order: int = 5,
    learned: NDArray[np.bool_] | None = None,
    whole: tuple[int, int, int, int] | None = None,
) -> list[dict[str, Any]]:
    """Rows {"name", "nats_per_token", "bits_per_byte", "note"}, plain JSON data.

    train_tokens, valid_tokens (N,)   ids of the model's tokenizer, end tokens counted in as the model scores them
    train_bytes, valid_bytes          the same texts in UTF-8, without special tokens
    end_id, order                     see `KneserNey`
    learned (N,)                      which validation tokens the model is scored on; None: all. valid_bytes are those of these alone
    whole                             how long these were, (training tokens, validation tokens, training bytes, validation
                                      bytes), before the caller took their beginnings; None: as they are

    Where the model is scored on some tokens only, so are the n-grams, which see the others before them as it does; and there is no
    xz: it cannot be asked what some bytes of a text cost it. What was cut, here by xz (`xz_bits_per_byte`) or before, is said in the notes.
    Validation tokens and bytes are of the same text, cut or not: what a token costs is said for a byte by their ratio.

    Raises LinnetError for an empty validation text or ids out of range.
    """
    train, valid = np.asarray(train_tokens), np.asarray(valid_tokens)
    if len(valid) == 0 or len(valid_bytes) == 0:
        raise LinnetError(explain(f"{len(valid)} validation tokens, {len(valid_bytes)} bytes", need="some of both"))
    of_train, of_valid, of_train_bytes, of_valid_bytes = whole or (len(train), len(valid), len(train_bytes), len(valid_bytes))
    n_scored = len(valid) if learned is None else int(np.count_nonzero(learned))
    bits_per_nat_per_token = n_scored / len(valid_bytes) / math.log(2)  # bits per byte = this · nats per token
    cut = f"; the first {len(train):,} of {of_train:,} training tokens" if len(train) < of_train else ""
    cut += f"; the first {len(valid):,} of {of_valid:,} validation tokens" if len(valid) < of_valid else ""
    if learned is not None:
        cut += f"; on the {n_scored:,} tokens that are learned, for which xz has no number"
    rows = []
    for name, n, what in (
        ("unigram", 1, "how often each token occurs"),
        (f"{order}-gram", order, "modified Kneser-Ney, interpolated"),
    ):
        costs = KneserNey(train, vocab_size, n, end_id).nats(valid)
        nats = float((costs if learned is None else costs[learned]).mean())
        rows.append(_row(name, nats, nats * bits_per_nat_per_token, what + cut))
    if learned is not None:
        return rows
    xz = xz_bits_per_byte(train_bytes, valid_bytes)
    cuts = [
        f"the {side} {used / MIB:.3g} of {length / MIB:.3g} MiB of {what} text"
        for side, used, length, what in (
            ("last" if xz.train_bytes < len(train_bytes) else "first", xz.train_bytes, of_train_bytes, "training"),
            ("first", xz.valid_bytes, of_valid_bytes, "validation"),
        )
        if used < length
    ]
    for name, bits, what in (
        ("xz + training", xz.given_training, "xz -9e, has read the training text"),
        ("xz", xz.alone, "xz -9e alone"),
    ):
        rows.append(_row(name, bits / bits_per_nat_per_token, bits, "; ".join([what, *cuts])))
    return rows


def unigram(train: ArrayLike, valid: ArrayLike, vocab_size: int, special: Collection[int]) -> list[dict[str, Any]]:
    """The row of what a token costs that nothing is known about but how often it occurs, special ones left out; ids (N,) as for `yardsticks`. No row where there are only
    special ones."""
    ids = np.asarray(valid)
    costs = KneserNey(np.asarray(train), vocab_size, 1).nats(ids)
    ordinary = ~np.isin(ids, list(special))
    if not ordinary.any():
        return []
    return [_row("unigram", float(costs[ordinary].mean()), None, "how often each token occurs; special tokens left out")]


def _row(name: str, nats: float, bits: float | None, note: str) -> dict[str, Any]:
    return {"name": name, "nats_per_token": nats, "bits_per_byte": bits, "note": note}

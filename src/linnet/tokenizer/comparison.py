"""How many ids several tokenizers need for one text, and how many different ones.

The text is read once, a few megabytes at a time, however long it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from linnet.tokenizer.base import Tokenizer
from linnet.tokenizer.pretokenize import text_to_bytes

BATCH_CHARACTERS = 2**22  # of texts that are encoded together


class Need(NamedTuple):
    """What a tokenizer needs for a text: ids, and different ones among them."""

    n_ids: int
    n_used: int


def compare(
    tokenizers: Sequence[Tokenizer], texts: Iterable[str], *, at_once: int = BATCH_CHARACTERS
) -> tuple[int, int, list[Need]]:
    """Bytes and words of some texts, and what each tokenizer needs for them.

    texts     read once; a word is what stands between white space
    at_once   characters that are held in memory, or one text where that is longer
    """
    n_bytes = n_words = 0
    n_ids = [0] * len(tokenizers)
    used = [np.zeros(tokenizer.vocab_size, bool) for tokenizer in tokenizers]
    for batch in batches(texts, at_once):
        n_bytes += sum(len(text_to_bytes(text)) for text in batch)
        n_words += sum(len(text.split()) for text in batch)
        for place, tokenizer in enumerate(tokenizers):
            ids, _ = tokenizer.encode_to_arrays(batch)
            n_ids[place] += len(ids)
            used[place][ids] = True
    return n_bytes, n_words, [Need(n, int(each.sum())) for n, each in zip(n_ids, used, strict=True)]


def batches(texts: Iterable[str], at_once: int) -> Iterator[list[str]]:
    """Texts in their order, in lists of about so many characters, each list with one text at least."""
    batch: list[str] = []
    waiting = 0
    for text in texts:
        batch.append(text)
        waiting += len(text)
        if waiting >= at_once:
            yield batch
            batch, waiting = [], 0
    if batch:
        yield batch

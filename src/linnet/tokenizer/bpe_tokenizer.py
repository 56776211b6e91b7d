"""The byte-level BPE tokenizer: split the text (`pretokenize`), then merge the bytes of each chunk (`bpe`).

Ids of a tokenizer that is trained here:

    0 … 255           the bytes, each its own value
    256 …             merges, in the order in which they were learned
    the last ones     special tokens: <|endoftext|>, then the others in their given order

A `tokenizer.json` from elsewhere may order its ids in any other way (GPT-2's bytes stand in another order, and
`tokenizers` puts special tokens first): the tables hold whatever the file says.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from linnet.core.errors import TokenizerError, explain
from linnet.core.native import native_available
from linnet.tokenizer import native
from linnet.tokenizer.bpe import FIRST_MERGE, OnMerge, Pair, learn_merges, merge_chunk
from linnet.tokenizer.pretokenize import PATTERNS, chunks_of, chunks_of_bytes, splitter, text_to_bytes, unknown_pattern
from linnet.tokenizer.vocabulary import Progress, VocabularyTokenizer, special_names

CACHE_CHUNKS = 65_536  # remembered chunks; when they are that many, all are forgotten
MANY = 1000  # ids
CACHE_LENGTH = 64  # characters; a longer chunk hardly ever comes again


class BPETokenizer(VocabularyTokenizer):
    """Byte-level BPE over a table of tokens.

    tokens    bytes → id; all 256 single bytes among them
    merges    pairs of ids in the order of their rank; the token that a pair makes is the one of their joined bytes
    pattern   a name of `pretokenize.PATTERNS`
    special   name → id
    whole     whether a chunk that is a token stays one, whatever the merges make of it (`ignore_merges` in tokenizer.json)
    """

    kind = "bpe"

    def __init__(
        self,
        tokens: Mapping[bytes, int],
        merges: Sequence[Pair],
        *,
        pattern: str,
        special: Mapping[str, int],
        whole: bool = False,
    ) -> None:
        super().__init__(tokens, special)
        if pattern not in PATTERNS:
            raise unknown_pattern(pattern)
        missing = [byte for byte in range(256) if bytes([byte]) not in self.tokens]
        if missing:
            raise TokenizerError(
                explain(f"a vocabulary without the bytes {missing[:5]}", need="all 256 single bytes, or some text has no ids")
            )
        self.pattern = pattern
        self.merges = tuple(merges)
        self.whole = whole
        self._split = splitter(pattern)
        self._byte_ids = tuple(self.tokens[bytes([byte])] for byte in range(256))
        self._cache: dict[str, list[int]] = {}
        self._merge_table = self._ranked_merges()

    @classmethod
    def from_merges(cls, merges: Sequence[Pair], *, pattern: str = "gpt4", special: Sequence[str] = ()) -> BPETokenizer:
        """The tokenizer of learned merges, with ids as at the top of this file.

        Raises TokenizerError where a special token is spelled like a learned one.
        """
        spelled = [bytes([byte]) for byte in range(256)]
        for rank, (a, b) in enumerate(merges):
            if not (0 <= a < len(spelled) and 0 <= b < len(spelled)):
                raise TokenizerError(
                    explain(f"merge {rank} joins {a} and {b}", need=f"ids from 0 to {len(spelled) - 1}, which are there by then")
                )
            spelled.append(spelled[a] + spelled[b])
        names = special_names(special)
        return cls(
            {token: token_id for token_id, token in enumerate(spelled)},
            merges,
            pattern=pattern,
            special={name: token_id for token_id, name in enumerate(names, len(spelled))},
        )

    def _ranked_merges(self) -> dict[Pair, tuple[int, int]]:
        """(a, b) → (rank, id of the token that they make). Raises TokenizerError for a merge that makes no token."""
        table: dict[Pair, tuple[int, int]] = {}
        ordinary = set(self.tokens.values())
        for rank, (a, b) in enumerate(self.merges):
            merged = self.tokens.get(self._table[a] + self._table[b]) if a in ordinary and b in ordinary else None
            if merged is None:
                raise TokenizerError(
                    explain(f"merge {rank} joins {a} and {b}", need="two ordinary tokens, and a token for what they make")
                )
            table.setdefault((a, b), (rank, merged))
        return table

    @cached_property
    def _encoder(self) -> native.Encoder | None:
        """The same in Rust, where that is there and takes a vocabulary of this size."""
        if not native_available() or len(self._table) > native.MOST_IDS or len(self.merges) > native.MOST_MERGES:
            return None
        tokens = list(self._table)
        for token_id in self.special.values():
            tokens[token_id] = b""
        by_rank = [(a, b, merged) for (a, b), (_, merged) in self._merge_table.items()]  # in whose order the table was made
        return native.Encoder(self.pattern, tokens, by_rank, whole=self.whole)

    @property
    def in_rust(self) -> native.Encoder | None:
        return self._encoder

    def encode_ordinary(self, text: str) -> list[int]:
        if self._encoder is None:
            return self.encode_plainly(text)
        return self._as_list(self._encoder.encode(text_to_bytes(text)))

    def _as_list(self, ids: NDArray[np.uint32]) -> list[int]:
        """Ids (N,) as Python's numbers."""
        numbers: list[int] = ids.tolist() if len(ids) < MANY else self._numbers.of(ids)
        return numbers

    @cached_property
    def _numbers(self) -> native.Numbers:
        return native.Numbers(self.vocab_size)

    def encode_bytes(self, data: bytes) -> list[int]:
        """The ids of bytes that need not be UTF-8, such as a part of a file: a byte of no character is a chunk's as a mark is."""
        if self._encoder is not None:
            return self._as_list(self._encoder.encode(data))
        return [token for chunk in chunks_of_bytes(data, self.pattern) for token in self._merge(chunk)]

    def encode_to_arrays(self, texts: Sequence[str]) -> tuple[NDArray[np.uint32], NDArray[np.uint64]]:
        if self._encoder is None:
            return super().encode_to_arrays(texts)
        return self._encoder.encode_batch([text_to_bytes(text) for text in texts])

    def encode_joined(
        self, joined: bytes | memoryview, ends: NDArray[np.uint64], *, n_threads: int | None = None
    ) -> tuple[NDArray[np.uint32], NDArray[np.uint64]]:
        if self._encoder is None:
            return super().encode_joined(joined, ends)
        return self._encoder.encode_joined(joined, ends, n_threads)

    def encode_plainly(self, text: str) -> list[int]:
        """`encode_ordinary` in Python: every chunk by itself. What was met before is remembered."""
        cache = self._cache
        ids: list[int] = []
        for chunk in self._split(text):
            known = cache.get(chunk)
            ids += known if known is not None else self._encode_chunk(chunk)
        return ids

    def _encode_chunk(self, chunk: str) -> list[int]:
        return remember(self._cache, chunk, self._merge(text_to_bytes(chunk)))

    def _merge(self, chunk: bytes) -> list[int]:
        if self.whole and chunk in self.tokens:
            return [self.tokens[chunk]]
        return merge_chunk([self._byte_ids[byte] for byte in chunk], self._merge_table)

    def rules(self) -> dict[str, Any]:
        return {"pattern": PATTERNS[self.pattern], "merges": self.merges} | ({"whole": True} if self.whole else {})


def remember(cache: dict[str, list[int]], chunk: str, ids: list[int]) -> list[int]:
    """Keep the ids of a chunk for the next time, unless it is long; gives them."""
    if len(chunk) <= CACHE_LENGTH:
        if len(cache) >= CACHE_CHUNKS:
            cache.clear()
        cache[chunk] = ids
    return ids


def train_bpe(
    texts: Iterable[str], vocab_size: int, *, pattern: str = "gpt4", special: Sequence[str] = (), progress: Progress | None = None
) -> BPETokenizer:
    """Train a tokenizer with `vocab_size` ids in all: 256 bytes, merges, special tokens.

    Texts are read once, one at a time; memory grows with the number of *different* chunks in them. Where no pair
    occurs twice any more, training ends with fewer ids: ask the tokenizer for its `vocab_size`.

    Raises TokenizerError for a size without room for bytes and special tokens, and where there is no text at all.
    """
    names = special_names(special)
    n_merges = vocab_size - FIRST_MERGE - len(names)
    if n_merges < 0:
        need = f"at least {FIRST_MERGE + len(names)}: 256 bytes and {len(names)} special token(s)"
        raise TokenizerError(explain(f"vocab_size = {vocab_size}", need=need, hint="1024 for a small text, 8192 for a large one"))
    on_merge = (lambda done: progress("merging", done, n_merges)) if progress is not None else None
    if native_available():
        merges = _learn_natively(texts, n_merges, pattern, progress, on_merge)
    else:
        merges = learn_merges(count_chunks(texts, pattern, progress), n_merges, on_merge)
    return BPETokenizer.from_merges(merges, pattern=pattern, special=special)


def _learn_natively(
    texts: Iterable[str], n_merges: int, pattern: str, progress: Progress | None, on_merge: OnMerge | None
) -> list[Pair]:
    """`count_chunks` and `learn_merges` in Rust."""
    n_bytes = 0

    def encoded() -> Iterator[bytes]:
        nonlocal n_bytes
        for text in checked_texts(texts):
            data = text_to_bytes(text)
            n_bytes += len(data)
            yield data

    on_text = (lambda done: progress("reading", done, None)) if progress is not None else None
    merges = native.count_and_learn(encoded(), n_merges, pattern, on_text=on_text, on_merge=on_merge)
    if not n_bytes:
        raise no_text()
    return merges


def count_chunks(texts: Iterable[str], pattern: str, progress: Progress | None = None) -> dict[bytes, int]:
    """How often each chunk occurs in some texts, in the order of first appearance. Raises TokenizerError for no text."""
    counts: Counter[str] = Counter()
    for done, text in enumerate(checked_texts(texts), 1):
        counts.update(chunks_of(text, pattern))
        if progress is not None:
            progress("reading", done, None)
    if not counts:
        raise no_text()
    return {text_to_bytes(chunk): count for chunk, count in counts.items()}


def no_text() -> TokenizerError:
    return TokenizerError(explain("no text to learn from", need="at least one that is not empty"))


def checked_texts(texts: Iterable[str]) -> Iterable[str]:
    """`texts`, unless it is one text: a string is an iterable of characters, which nobody means."""
    if isinstance(texts, str):
        raise TokenizerError(explain("one string", need="several texts", hint="[text]"))
    return texts

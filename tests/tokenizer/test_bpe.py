"""Learning and applying merges: the fast way does what the plain way does, and what `tokenizers` does."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linnet.tokenizer import bpe
from linnet.tokenizer.bpe import (
    Pair,
    learn_merges,
    learn_merges_by_recounting,
    merge_by_heap,
    merge_by_scanning,
    merge_chunk,
    merge_table,
)
from linnet.tokenizer.bpe_tokenizer import count_chunks
from linnet.tokenizer.pretokenize import PATTERNS
from linnet.tokenizer.spelling import SYMBOL_OF

Learn = Callable[[Mapping[bytes, int], int], list[Pair]]

FEW_LETTERS = st.lists(st.sampled_from(b"abc"), max_size=20).map(bytes)  # few letters: many ties and runs
CHUNKS = st.dictionaries(FEW_LETTERS | st.binary(max_size=12), st.integers(1, 4), max_size=12)
TIES = {b"ba": 3, b"ab": 3, b"dc": 3, b"cd": 2, b"aaaa": 1}


def learns_like_recounting(learn: Learn, chunks: Mapping[bytes, int], n_merges: int) -> bool:
    """The law of learning."""
    return learn(chunks, n_merges) == learn_merges_by_recounting(chunks, n_merges)


@given(CHUNKS)
@settings(max_examples=300)
def test_the_index_learns_what_recounting_learns(chunks: dict[bytes, int]) -> None:
    assert learns_like_recounting(learn_merges, chunks, 40)


def test_the_same_merges_on_real_text(shakespeare: str) -> None:
    assert learns_like_recounting(learn_merges, count_chunks([shakespeare[:30_000]], "gpt4"), 250)


def test_the_law_finds_the_wrong_order_of_ties() -> None:
    def highest_pair_first(chunks: Mapping[bytes, int], n_merges: int) -> list[Pair]:
        """Bytes mirrored, learned, and mirrored back: the same counts, the opposite order of equals."""
        mirror = bytes(range(255, -1, -1))
        merges = learn_merges({chunk.translate(mirror): count for chunk, count in chunks.items()}, n_merges)
        return [tuple(255 - side if side < 256 else side for side in pair) for pair in merges]  # type: ignore[misc]

    assert learns_like_recounting(learn_merges, TIES, 1)
    assert not learns_like_recounting(highest_pair_first, TIES, 1)


def test_the_law_finds_counts_that_are_not_kept_up(monkeypatch: pytest.MonkeyPatch) -> None:
    class Forgetful(bpe._Line):
        def merge(self, pair: Pair, merged: int) -> set[Pair]:
            before = dict(self.counts)
            fresh = super().merge(pair, merged)
            self.counts.update({old: count for old, count in before.items() if old != pair})
            return fresh

    chunks = {b"abc": 5, b"bc": 1, b"xy": 2}  # (b, c) stands in 6 places, and leaves (a, b) none of its 5
    assert learns_like_recounting(learn_merges, chunks, 9)
    monkeypatch.setattr(bpe, "_Line", Forgetful)
    assert not learns_like_recounting(learn_merges, chunks, 9)


def test_the_law_finds_runs_that_merge_from_the_right(monkeypatch: pytest.MonkeyPatch) -> None:
    chunks = {b"aaab": 3, b"ab": 1}
    assert learns_like_recounting(learn_merges, chunks, 9)
    monkeypatch.setattr(bpe, "sorted", lambda places: sorted(places, reverse=True), raising=False)
    assert not learns_like_recounting(learn_merges, chunks, 9)


def test_learning_ends_when_nothing_occurs_twice() -> None:
    assert learn_merges({b"abcd": 1}, 10) == []
    assert learn_merges({b"ab": 2}, 10) == [(97, 98)]
    assert learn_merges({b"aaa": 1}, 10) == [(97, 97)]  # two places that overlap count as two
    assert learn_merges({}, 10) == []
    assert learn_merges({b"": 9, b"a": 9}, 10) == []


@given(CHUNKS)
def test_no_two_merges_spell_the_same(chunks: dict[bytes, int]) -> None:
    spelled = [bytes([byte]) for byte in range(256)]
    for a, b in learn_merges(chunks, 60):
        spelled.append(spelled[a] + spelled[b])
    assert len(set(spelled)) == len(spelled)


@pytest.mark.parametrize(
    "name", ["shakespeare/input.txt", "multilingual/ru.txt", "multilingual/zh.txt", "multilingual/emoji_text.txt"]
)
def test_tokenizers_learns_the_same_merges(real, name: str) -> None:
    """Ties included. `tokenizers` numbers bytes by their printed form, so ours are renumbered alike before learning."""
    tokenizers = pytest.importorskip("tokenizers")
    text = real(name).read_text("utf-8")[:200_000]
    theirs = tokenizers.Tokenizer(tokenizers.models.BPE())
    split = tokenizers.pre_tokenizers.Split(tokenizers.Regex(PATTERNS["gpt4"]), "isolated")
    byte_level = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    theirs.pre_tokenizer = tokenizers.pre_tokenizers.Sequence([split, byte_level])
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    theirs.train_from_iterator(
        [text], tokenizers.trainers.BpeTrainer(vocab_size=1256, min_frequency=2, initial_alphabet=alphabet, show_progress=False)
    )
    their_ids = theirs.get_vocab()

    renumbered = bytes(their_ids[SYMBOL_OF[byte]] for byte in range(256))
    chunks = {chunk.translate(renumbered): count for chunk, count in count_chunks([text], "gpt4").items()}
    spelling = sorted(SYMBOL_OF.values(), key=their_ids.__getitem__)
    merges = learn_merges(chunks, 1000)
    for a, b in merges:
        spelling.append(spelling[a] + spelling[b])
    assert len(merges) == 1000
    assert {token: token_id for token_id, token in enumerate(spelling)} == their_ids


def heap_agrees(merge: Callable[[bytes, dict], list[int]], chunk: bytes, table: dict) -> bool:
    """The law of applying."""
    return merge(chunk, table) == merge_by_scanning(chunk, table)


@given(CHUNKS, FEW_LETTERS | st.binary(max_size=200))
@settings(max_examples=300)
def test_the_heap_merges_what_scanning_merges(chunks: dict[bytes, int], chunk: bytes) -> None:
    table = merge_table(learn_merges(chunks, 40))
    assert heap_agrees(merge_by_heap, chunk, table)


@given(
    st.lists(st.tuples(st.integers(97, 105), st.integers(97, 105)), max_size=30),
    st.lists(st.sampled_from(b"abc"), max_size=30).map(bytes),
)
def test_also_for_ranks_in_an_order_that_nobody_learned(pairs: list[Pair], chunk: bytes) -> None:
    table = {pair: (rank, 97 + rank % 9) for rank, pair in enumerate(dict.fromkeys(pairs))}
    assert heap_agrees(merge_by_heap, chunk, table)


def test_the_law_finds_the_rightmost_of_equals() -> None:
    def from_the_right(chunk: bytes, table: dict) -> list[int]:
        symbols = list(chunk)
        while found := [(table[pair][0], -i, table[pair][1]) for i, pair in enumerate(pairwise(symbols)) if pair in table]:
            _, i, merged = min(found)
            symbols[-i : -i + 2] = [merged]
        return symbols

    table = merge_table([(97, 97)])
    assert heap_agrees(merge_by_heap, b"aaa", table)
    assert not heap_agrees(from_the_right, b"aaa", table)


def test_the_law_finds_a_heap_that_heeds_no_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    table = merge_table([(97, 98), (98, 99)])
    assert heap_agrees(merge_by_heap, b"abc", table)
    monkeypatch.setattr(heapq, "heappush", lambda heap, entry: heap.append(entry))
    monkeypatch.setattr(heapq, "heappop", lambda heap: heap.pop())
    assert not heap_agrees(merge_by_heap, b"abc", table)


def test_a_megabyte_without_a_space_is_merged_at_once() -> None:
    table = merge_table(learn_merges({b"abab": 2, b"aa": 3}, 10))
    assert len(merge_chunk(b"ab" * 100_000, table)) == 50_000  # by scanning this would take an hour

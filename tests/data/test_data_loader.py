"""Batches: each equals what plain Python makes of the same windows, and any position is restored bit for bit."""

from __future__ import annotations

import json
from collections import Counter
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import pytest
import torch
from data_helpers import prepared_texts, small_parts
from hypothesis import given, settings
from hypothesis import strategies as st

from linnet.core.errors import CheckpointError, DataError
from linnet.data.batch import Batch, BatchSource
from linnet.data.loader import PackedBatches, document_numbers, evaluation_batches
from linnet.data.prepared import Prepared
from linnet.data.shuffle import Permutation
from linnet.data.walk import Walk, tokens_a_pass

END = 256


@cache
def corpus(sources: int = 1) -> Prepared:
    """Short documents of unequal length; one, two or three sources of unequal size. Made once."""
    lists = [[f"{'abc'[s]}{i} " * (1 + i % 5) for i in range((400, 90, 60)[s])] for s in range(sources)]
    with small_parts():
        return prepared_texts(Path(mkdtemp(prefix="linnet-test-")), *lists, weights=(3, 1, 0.5)[:sources])


def batches(sources: int = 1, **options: object) -> PackedBatches:
    return PackedBatches(corpus(sources).train, **({"context_length": 8, "batch_size": 5, "seed": 1} | options))  # type: ignore[arg-type]


def take(source: PackedBatches, count: int) -> list[Batch]:
    iterator = iter(source)
    return [next(iterator) for _ in range(count)]


def same(a: Batch, b: Batch) -> bool:
    documents = (a.documents is None) == (b.documents is None) and (a.documents is None or torch.equal(a.documents, b.documents))  # type: ignore[arg-type]
    return (
        documents and torch.equal(a.tokens, b.tokens) and torch.equal(a.targets, b.targets) and torch.equal(a.weights, b.weights)
    )


@given(st.integers(1, 3000), st.integers(0, 2**60))
@settings(deadline=None, max_examples=60)
def test_permutation_is_a_bijection(n: int, seed: int) -> None:
    order = Permutation(n, seed, "x")
    whole = order(np.arange(n, dtype=np.uint64))
    assert sorted(whole.tolist()) == list(range(n))
    half = order(np.arange(n // 2, n, dtype=np.uint64))
    assert half.tolist() == whole.tolist()[n // 2 :]


def test_permutation_mixes() -> None:
    whole = Permutation(10_000, 0, "x")(np.arange(10_000, dtype=np.uint64)).astype(float)
    assert abs(np.corrcoef(whole[1:], whole[:-1])[0, 1]) < 0.05
    assert abs(np.corrcoef(whole, np.arange(10_000))[0, 1]) < 0.05
    assert (whole != Permutation(10_000, 1, "x")(np.arange(10_000, dtype=np.uint64))).mean() > 0.99
    big = Permutation(2**40, 0, "x")(np.arange(1000, dtype=np.uint64))  # no memory in proportion to n
    assert len(set(big.tolist())) == 1000


def test_batches_have_the_shapes_and_types_of_the_contract() -> None:
    source = batches()
    assert isinstance(source, BatchSource)
    batch = source.next_batch()
    assert batch.tokens.shape == batch.targets.shape == batch.weights.shape == (5, 8)
    assert (batch.tokens.dtype, batch.targets.dtype, batch.weights.dtype) == (torch.int64, torch.int64, torch.float32)
    assert batch.tokens.is_contiguous()
    assert batch.documents is not None
    assert batch.documents.dtype == torch.int32
    assert bool((batch.weights == 1).all())


def test_an_epoch_is_every_window_once() -> None:
    source = batches(batch_size=1)
    walk = source.walks[0]
    stream = walk.stream.read(0, walk.stream.tokens).tolist()
    for _ in range(3):
        epoch, offset, windows = walk.epoch, walk.offset, walk.windows
        assert 0 <= offset < 8
        assert windows == (len(stream) - 1 - offset) // 8
        expected = Counter(tuple(stream[offset + 8 * i : offset + 8 * i + 9]) for i in range(windows))
        rows = [(*batch.tokens[0].tolist(), batch.targets[0, -1].item()) for batch in take(source, windows)]
        assert Counter(rows) == expected
        assert rows != sorted(rows)
        assert source.state_dict()["sources"]["corpus0"] == {"epoch": epoch, "position": windows, "drawn": walk.drawn}
        walk.take(0)
        source.next_batch()  # the first of the next epoch …
        assert walk.epoch == epoch + 1
        walk.stand({"epoch": epoch + 1, "position": 0, "drawn": walk.drawn})  # … which is then drawn from its start
    assert len({Walk(walk.stream, 8, seed).offset for seed in range(50)}) == 8


def test_targets_and_documents_against_plain_python() -> None:
    for batch in take(batches(context_length=17), 20):
        assert batch.documents is not None
        for tokens, targets, documents in zip(batch.tokens.tolist(), batch.targets.tolist(), batch.documents.tolist()):
            assert targets[:-1] == tokens[1:]
            number, expected = 0, []
            for token in tokens:
                expected.append(number)
                number += token == END  # the end token itself still belongs to the document that it ends
            assert documents == expected


def test_documents_are_left_out_where_nothing_needs_masking() -> None:
    rows = np.array([[1, 2, 3, END], [4, 5, 6, 7]])
    assert document_numbers(rows == END) is None  # an end in the last place divides nothing
    assert document_numbers(np.array([[1, END, 3, 4], [1, 2, 3, 4]]) == END).tolist() == [[0, 0, 1, 1], [0, 0, 0, 0]]  # type: ignore[union-attr]
    assert all(batch.documents is None for batch in take(batches(document_mask=False), 10))


@given(
    cut=st.integers(0, 60),
    sources=st.integers(1, 3),
    batch_size=st.integers(1, 7),
    context_length=st.sampled_from([3, 8, 40]),
    after=st.integers(0, 25),
)
@settings(deadline=None, max_examples=60)
def test_any_position_is_restored_bit_for_bit(cut: int, sources: int, batch_size: int, context_length: int, after: int) -> None:
    """Cut anywhere, also inside an epoch and in mixtures; the state goes through JSON; the receiver stood elsewhere."""
    options = {"batch_size": batch_size, "context_length": context_length}
    whole = take(batches(sources, **options), cut + 6)
    first = batches(sources, **options)
    take(first, cut)
    state = json.loads(json.dumps(first.state_dict()))
    second = batches(sources, **options)
    take(second, after)
    second.load_state_dict(state)
    assert all(same(a, b) for a, b in zip(take(second, 6), whole[cut:]))
    assert first.state_dict() == state


def test_the_law_of_restoring_kills_a_loader_that_forgets(monkeypatch: pytest.MonkeyPatch) -> None:
    law = test_any_position_is_restored_bit_for_bit.hypothesis.inner_test  # type: ignore[attr-defined]
    arguments = {"cut": 7, "sources": 2, "batch_size": 5, "context_length": 8, "after": 3}
    law(**arguments)
    right = Walk.stand
    mutants = [
        lambda self, place: right(self, {**place, "position": 0}),
        lambda self, place: right(self, {**place, "epoch": 0}),
        lambda self, place: right(self, {**place, "drawn": 0}),
    ]
    for arguments["cut"], mutant in zip((7, 300, 7), mutants):
        monkeypatch.setattr(Walk, "stand", mutant)
        with pytest.raises(AssertionError):
            law(**arguments)


def test_mixture_keeps_its_shares_at_every_moment() -> None:
    source = batches(3, batch_size=1)
    shares = np.array([3, 1, 0.5]) / 4.5
    for step in range(1, 200):
        source.next_batch()
        drawn = np.array(list(source.drawn().values()))
        assert drawn.sum() == step
        assert np.abs(drawn - shares * step).max() < 1.5
    rows = Counter(
        chr(max(row))
        for b in take(batches(3, context_length=30), 90)
        for row in [[t for t in r if t < 256] for r in b.tokens.tolist()]
    )
    assert rows["c"] == 50
    other = batches(2, weights={"corpus0": 1.0, "corpus1": 1.0})
    take(other, 10)
    assert other.drawn() == {"corpus0": 25, "corpus1": 25}
    with pytest.raises(DataError, match="corpus1"):
        batches(2, weights={"corpus0": 1.0})


@pytest.mark.parametrize("sources", [1, 3])
def test_two_ranks_see_what_one_sees(sources: int) -> None:
    one = batches(sources, batch_size=6)
    ranks = [batches(sources, batch_size=2, rank=rank, world_size=3) for rank in range(3)]
    for _ in range(40):
        batch = one.next_batch()
        parts = [rank.next_batch() for rank in ranks]
        assert torch.equal(batch.tokens, torch.cat([part.tokens for part in parts]))
        assert torch.equal(batch.targets, torch.cat([part.targets for part in parts]))
    assert all(rank.state_dict() == one.state_dict() for rank in ranks)
    ranks[1].load_state_dict(one.state_dict())
    one.load_state_dict(ranks[0].state_dict())  # a position is good for any number of ranks
    assert torch.equal(one.next_batch().tokens[2:4], ranks[1].next_batch().tokens)


def test_foreign_positions_are_refused() -> None:
    state = batches(2).state_dict()
    for other, word in [(batches(1), "data"), (batches(2, seed=2), "seed"), (batches(2, context_length=9), "context_length")]:
        with pytest.raises(CheckpointError, match=word):
            other.load_state_dict(state)
    for place in (
        {"epoch": 0, "position": 10**9, "drawn": 0},
        {"epoch": -1, "position": 0, "drawn": 0},
        {"epoch": 0},
        {"epoch": 0, "position": 0.5, "drawn": 1},
    ):
        with pytest.raises(CheckpointError):
            batches(2).load_state_dict({**state, "sources": {**state["sources"], "corpus1": place}})
    with pytest.raises(CheckpointError, match="sources"):
        batches(2).load_state_dict({**state, "sources": {}})


def test_a_corpus_shorter_than_a_context_is_refused() -> None:
    tokens = corpus().train.tokens
    exactly = batches(context_length=tokens - 1, batch_size=2).next_batch()
    assert exactly.tokens.shape == (2, tokens - 1)
    with pytest.raises(DataError, match=rf"{tokens:,} tokens to train on; needed: at least {tokens + 1:,}"):
        batches(context_length=tokens)
    with pytest.raises(DataError, match="rank"):
        batches(rank=2, world_size=2)


@pytest.mark.parametrize("sources", [1, 2])
@pytest.mark.parametrize(("context_length", "batch_size"), [(8, 4), (7, 3), (100_000, 2), (1, 50)])
def test_evaluation_predicts_every_token_once(sources: int, context_length: int, batch_size: int) -> None:
    split = corpus(sources).validation
    stream = [token for s in split.streams for token in s.read(0, s.tokens).tolist()]
    found = list(evaluation_batches(split, context_length, batch_size))
    predicted, read = [], []
    for batch in found:
        assert len(batch.tokens) <= batch_size
        predicted += batch.targets[batch.weights == 1].tolist()
        read += batch.tokens[batch.weights == 1].tolist()
        assert set(batch.weights.unique().tolist()) <= {0.0, 1.0}
        if batch.documents is not None:
            assert torch.equal(batch.documents == -1, batch.weights == 0)
    assert predicted == stream[1:]
    assert read == stream[:-1]
    assert all(len(batch.tokens) == batch_size for batch in found[:-1])
    assert all(same(a, b) for a, b in zip(found, evaluation_batches(split, context_length, batch_size)))
    assert all(batch.documents is None for batch in evaluation_batches(split, context_length, batch_size, document_mask=False))


def test_rows_that_begin_with_documents() -> None:
    """One epoch is one row from the end token before each document that leaves room; each row is the stream from there on."""
    stream = corpus().train.streams[0]
    whole = stream.read(0, stream.tokens)
    beginnings = [int(start) - 1 for start in stream.starts[1 : stream.documents] if start + 8 <= stream.tokens]
    assert all(whole[start] == END for start in beginnings)
    source = batches(rows="documents", batch_size=1)
    drawn = [batch.tokens[0].tolist() for batch in take(source, len(beginnings))]
    assert sorted(drawn) == sorted(whole[start : start + 8].tolist() for start in beginnings)
    assert drawn != [whole[start : start + 8].tolist() for start in beginnings], "in a random order"
    assert source.epoch == 1
    assert tokens_a_pass(corpus().train, 8, "documents") == 8 * len(beginnings) != stream.tokens
    assert tokens_a_pass(corpus().train, 8, "windows") == stream.tokens
    cut = batches(rows="windows", batch_size=1)
    mutant = [batch.tokens[0].tolist() for batch in take(cut, len(beginnings))]
    assert sorted(mutant) != sorted(drawn), "windows cut end to end are told apart"


def test_rows_are_part_of_a_position() -> None:
    source = batches(rows="documents")
    take(source, 7)
    again = batches(rows="documents")
    again.load_state_dict(json.loads(json.dumps(source.state_dict())))
    assert all(same(a, b) for a, b in zip(take(source, 90), take(again, 90)))
    with pytest.raises(CheckpointError, match="rows"):
        batches(rows="windows").load_state_dict(source.state_dict())


@pytest.mark.parametrize("sources", [1, 2])
@pytest.mark.parametrize(("context_length", "batch_size"), [(40, 4), (16, 3), (7, 2), (100_000, 2)])
def test_evaluation_by_documents_predicts_every_token_once_from_its_own_beginning(
    sources: int, context_length: int, batch_size: int
) -> None:
    split = corpus(sources).validation
    stream = [token for s in split.streams for token in s.read(0, s.tokens).tolist()]
    predicted, whole, seen = [], 0, 0
    for batch in evaluation_batches(split, context_length, batch_size, rows="documents"):
        for tokens, targets, weights in zip(batch.tokens, batch.targets, batch.weights):
            scored = int(weights.sum())
            assert weights[:scored].eq(1).all()
            assert weights[scored:].eq(0).all()
            predicted += targets[:scored].tolist()
            whole += predicted[-1] == END or len(predicted) == len(stream) - 1  # the row ends where a document does
            seen += 1
            assert len(predicted) == scored or tokens[0] == stream[len(predicted) - scored]
    assert predicted == stream[1:]
    longest = max(len(part) for part in "".join("." if t == END else "x" for t in stream).split("."))
    assert longest + 1 > context_length or whole == seen, "no document that fits a row is cut"


def test_a_corpus_of_one_document_has_no_rows_by_document() -> None:
    one = prepared_texts(Path(mkdtemp(prefix="linnet-test-")), ["a long text " * 50])
    with pytest.raises(DataError, match="rows: windows"):
        PackedBatches(one.train, context_length=8, batch_size=2, seed=0, rows="documents")

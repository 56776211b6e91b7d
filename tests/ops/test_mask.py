"""The mask against a loop over batch, query and key; its shortcuts against the written-out mask."""

from __future__ import annotations

import itertools

import pytest
import torch

from linnet.model.context import Context
from linnet.ops.mask import Mask

DOCUMENTS = torch.tensor([[0, 0, 1, 1, 1, 2, 2], [-1, -1, -1, 5, 5, 5, 3]])


@pytest.mark.parametrize("window", [None, 1, 2, 5])
@pytest.mark.parametrize("causal", [True, False])
def test_dense_is_the_definition(causal: bool, window: int | None) -> None:
    for first in (0, 3, 6):
        queries, keys = torch.arange(first, 7), torch.arange(7)
        got = Mask(causal, window, (DOCUMENTS[:, first:], DOCUMENTS)).dense(queries, keys)
        plain = Mask(causal, window).dense(queries, keys)
        for b, t, s in itertools.product(range(2), range(first, 7), range(7)):
            near = (s <= t or not causal) and (window is None or abs(t - s) < window)
            assert plain[t - first, s] == near
            assert got[b, t - first, s] == (near and DOCUMENTS[b, t] == DOCUMENTS[b, s])
        assert got.any(-1).all(), "a query that sees nothing"


def test_the_shortcuts_say_what_the_written_mask_says() -> None:
    found = set()
    for causal, window in itertools.product([True, False], [None, 1, 2, 4]):
        for here in itertools.product(range(4), range(1, 5), range(4), range(1, 6)):
            first_query, n_queries, first_key, n_keys = here
            mask = Mask(causal, window)
            dense = mask.dense(torch.arange(first_query, first_query + n_queries), torch.arange(first_key, first_key + n_keys))
            if mask.sees_all(*here):
                assert dense.all(), (causal, window, here)
                found.add("all")
            if causal:
                assert mask.sees_all(*here) == dense.all().item()
            if mask.is_square_causal(*here):
                assert torch.equal(dense, torch.ones_like(dense).tril())
                found.add("square")
    assert found == {"all", "square"}


def test_documents_forbid_both_shortcuts() -> None:
    mask = Mask(documents=(DOCUMENTS, DOCUMENTS))
    assert not mask.sees_all(6, 1, 0, 7)
    assert not mask.is_square_causal(0, 7, 0, 7)


@pytest.mark.parametrize("causal", [True, False])
def test_places_that_are_not_written_yet_are_hidden(causal: bool) -> None:
    """A state of fixed size shows 9 places when 5 are written."""
    here = Context(3, 2, torch.arange(3, 5))
    allowed, triangle = here.mask(causal=causal, window=None, first_key=0, n_keys=9)
    assert not triangle
    assert allowed is not None
    assert allowed[:, :4].all()
    assert not allowed[:, 5:].any()


def test_a_mask_is_made_once_a_pass() -> None:
    here = Context(3, 2, torch.arange(3, 5))
    first = here.mask(causal=True, window=2, first_key=0, n_keys=5)
    assert here.mask(causal=True, window=2, first_key=0, n_keys=5)[0] is first[0]
    assert here.mask(causal=True, window=3, first_key=0, n_keys=5)[0] is not first[0]


@pytest.mark.parametrize("window", [None, 1, 3])
def test_a_prefix_sees_itself_both_ways(window: int | None) -> None:
    """The definition, place by place; every row its own prefix, and no longer than its document."""
    lengths = torch.tensor([0, 4])
    for first, documents in itertools.product((0, 2, 5), (None, DOCUMENTS)):
        queries, keys = torch.arange(first, 7), torch.arange(7)
        pair = None if documents is None else (documents[:, first:], documents)
        mask = Mask(True, window, pair, prefix=lengths)
        got = mask.dense(queries, keys)
        assert got.shape == (2, 7 - first, 7)
        for b, t, s in itertools.product(range(2), range(first, 7), range(7)):
            near = s <= t and (window is None or t - s < window)
            both = max(t, s) < lengths[b]
            same = documents is None or DOCUMENTS[b, t] == DOCUMENTS[b, s]
            assert got[b, t - first, s] == ((near or both) and same)
        assert not mask.sees_all(first, 7 - first, 0, 7)
        assert not mask.is_square_causal(0, 7, 0, 7)


def test_a_prefix_of_all_is_a_mask_both_ways_and_one_of_nothing_is_causal() -> None:
    places = torch.arange(6)
    for length, right in ((6, Mask(causal=False)), (0, Mask()), (1, Mask())):
        got = Mask(prefix=torch.tensor([length])).dense(places, places)
        assert torch.equal(got[0], right.dense(places, places))


def test_tiles_that_nobody_sees() -> None:
    """`sees_none` is right wherever it says so, and says so of every such tile where no prefix is."""
    found = set()
    for causal, window, prefix in itertools.product([True, False], [None, 1, 2, 4], [None, torch.tensor([3])]):
        mask = Mask(causal, window, prefix=prefix)
        for here in itertools.product(range(7), range(1, 4), range(7), range(1, 4)):
            first_query, n_queries, first_key, n_keys = here
            dense = mask.dense(torch.arange(first_query, first_query + n_queries), torch.arange(first_key, first_key + n_keys))
            none = not dense.any()
            assert mask.sees_none(*here) <= none
            if prefix is None:
                assert mask.sees_none(*here) == none
                found.add(none)
    assert found == {True, False}


def test_a_part_of_a_mask_is_that_part_of_it() -> None:
    mask, places = Mask(window=3, documents=(DOCUMENTS, DOCUMENTS), prefix=torch.tensor([2, 5])), torch.arange(7)
    got = mask.part(slice(2, 5), slice(1, 6)).dense(places[2:5], places[1:6])
    assert torch.equal(got, mask.dense(places, places)[:, 2:5, 1:6])

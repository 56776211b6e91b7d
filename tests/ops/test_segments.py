"""Where segments are cut, against a walk along each row."""

from __future__ import annotations

import pytest
import torch

from linnet.ops.segments import Segments, pieces_of, segments_of

# what is left of a document that began before, then documents of some lengths
ROWS = {
    "one phase": [(0, [17])],
    "one phase, from the middle": [(7, [17])],
    "less than a segment": [(5, [3])],
    "a single token": [(9, [1])],
    "rows of different phases": [(0, [17]), (3, [17]), (11, [17])],
    "documents": [(0, [1, 9, 7]), (2, [6, 10, 1]), (4, [17])],
    "one row of documents": [(6, [4, 13])],
    "one piece in every row": [(0, [3]), (1, [3]), (10, [3])],
}


def positions_of(name: str) -> torch.Tensor:
    """(T,) where all rows are alike, else (B, T)."""
    rows = [
        torch.cat([torch.arange(n) + (first if i == 0 else 0) for i, n in enumerate(lengths)]) for first, lengths in ROWS[name]
    ]
    return rows[0] if len(rows) == 1 and len(ROWS[name][0][1]) == 1 else torch.stack(rows)


@pytest.mark.parametrize("length", [1, 4, 5, 64])
@pytest.mark.parametrize("name", ROWS)
def test_pieces_are_those_of_a_walk(name: str, length: int) -> None:
    positions = positions_of(name)
    segments = segments_of(positions, length)
    rows = positions if positions.dim() == 2 else positions[None]
    most = 0
    for b, row in enumerate(rows.tolist()):
        pieces: list[list[int]] = []
        for t, position in enumerate(row):
            if t == 0 or position % length == 0:
                pieces.append([])
            pieces[-1].append(t)
        most = max(most, len(pieces))
        for n, piece in enumerate(pieces):
            first = row[piece[0]]
            assert segments.starts[b, n] == piece[0] - first % length
            assert segments.opens[b, n] == (first % length == 0)
            assert segments.begins[b, n] == (first == 0)
        assert not segments.opens[b, len(pieces) :].any()
        assert not segments.begins[b, len(pieces) :].any()
        n_keys, back = len(row) + 6, 3
        for t, position in enumerate(row):
            begun = position - min(position, position % length + back)  # the first position it may see
            assert segments.first_seen(n_keys, back)[b, t] == max(0, 6 + t - (position - begun))
    assert segments.n_pieces == most
    if positions.dim() == 1 and positions[0] == 0:
        assert (segments.n_pieces, segments.width) == pieces_of(len(positions), length)


@pytest.mark.parametrize("length", [1, 4, 5, 64])
@pytest.mark.parametrize("name", ROWS)
def test_what_was_laid_out_comes_back_and_nothing_stands_between(name: str, length: int) -> None:
    positions = positions_of(name)
    segments = segments_of(positions, length)
    x = torch.rand(max(2, len(ROWS[name])) if positions.dim() == 1 else len(positions), 3, positions.shape[-1], 2) + 1
    laid = segments.split(x)
    assert laid.shape == (len(x), 3, segments.n_pieces, segments.width, 2)
    assert torch.equal(segments.join(laid), x)
    assert (laid > 0).sum() == x.numel()  # each token once, and zeros elsewhere
    index = segments.split(torch.arange(x.shape[2]).view(1, 1, -1, 1).expand(x.shape) + 1)[:, 0, ..., 0] - 1
    if segments.n_pieces > 1:  # a token stands in its piece where its phase says
        for b in range(len(x)):
            row = b if len(segments.phase) > 1 else 0
            for n in range(segments.n_pieces):
                for w in range(segments.width):
                    t = int(index[b, n, w])
                    assert t < 0 or (segments.phase[row, t] == w and segments.starts[row, n] + w == t)


def test_a_mutant_that_counts_from_the_row_is_another() -> None:
    right = segments_of(positions_of("documents"), 4)
    wrong: Segments = segments_of(torch.arange(17).expand(3, -1), 4)
    assert not torch.equal(right.phase, wrong.phase)
    assert right.n_pieces != wrong.n_pieces

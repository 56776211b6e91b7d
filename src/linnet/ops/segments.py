"""Segments: what a memory that is written every L tokens needs to know of where its tokens stand.

    segment of a token = position // L        phase = position mod L        (positions count within the document)

A *piece* is a stretch of one row within one segment of one document: a row is cut where a segment ends, where a document
begins, and where the tokens at hand begin and end. Rows may be cut in different places. `split` lays the pieces out
as one more dimension, each of the same width, so that whatever is done by segment is done for all of them at once:

    all rows in one phase       zeros at both ends, and a view
    rows of different phases    each token is moved to its place
    one piece in every row      nothing is moved
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad


@dataclass(frozen=True, eq=False)
class Segments:
    """T tokens cut into at most N pieces a row, each W wide.

    length      L, tokens of a segment
    positions   (R, T) position of each token in its document; R is the number of rows, or 1 where all are alike
    phase       (R, T) places since its segment began
    n_pieces    N
    width       W: T where there is one piece, else L, and a token stands in its piece where its phase says
    starts      (R, N) index, among these tokens, at which the segment of the piece began (negative: before them);
                T for a piece that a row does not have
    opens       (R, N) bool: the piece is the first of its segment
    begins      (R, N) bool: the piece is the first of its document
    slots       (R, T) place of each token in the layout, None where all rows are alike or nothing is moved
    alike       all rows stand in one phase and hold one document, from before these tokens or from the first of them on
    """

    length: int
    positions: Tensor
    phase: Tensor
    n_pieces: int
    width: int
    starts: Tensor
    opens: Tensor
    begins: Tensor
    slots: Tensor | None
    alike: bool

    @property
    def n_tokens(self) -> int:
        return self.positions.shape[1]

    def split(self, x: Tensor) -> Tensor:
        """(B, G, T, K) → (B, G, N, W, K), zeros where a piece has no token."""
        batch, groups, n, width = x.shape
        if self.n_pieces == 1:
            return x[:, :, None]
        places = self.n_pieces * self.width
        if self.slots is None:
            lead = -int(self.starts[0, 0])
            return pad(x, (0, 0, lead, places - lead - n)).view(batch, groups, self.n_pieces, self.width, width)
        index = self.slots[:, None, :, None].expand(x.shape)
        out = x.new_zeros(batch, groups, places, width).scatter(2, index, x)
        return out.view(batch, groups, self.n_pieces, self.width, width)

    def join(self, y: Tensor) -> Tensor:
        """(B, G, N, W, K) → (B, G, T, K): the tokens back in their rows."""
        flat = y.flatten(2, 3)
        if self.n_pieces == 1:
            return flat
        if self.slots is None:
            return flat.narrow(2, -int(self.starts[0, 0]), self.n_tokens)
        return flat.gather(2, self.slots[:, None, :, None].expand(*y.shape[:2], -1, y.shape[-1]))

    def first_seen(self, n_keys: int, back: int = 0) -> Tensor:
        """(R, T) the first of the last S places that each token sees: `back` before its segment, never before its document."""
        index = torch.arange(n_keys - self.n_tokens, n_keys, device=self.positions.device)
        return (index - self.positions.minimum(self.phase + back)).clamp(min=0)


def segments_of(positions: Tensor, length: int) -> Segments:
    """Positions (T,) or (B, T) within documents, cut into segments of `length`."""
    n = positions.shape[-1]
    index = torch.arange(n, device=positions.device)
    if positions.dim() == 1:
        lead = int(positions[0]) % length
        n_pieces = -(-(lead + n) // length)
        starts = torch.arange(n_pieces, device=positions.device)[None] * length - lead
        here, slots = positions[None], None
        begins = (starts == 0) & (positions[0] == 0)
    else:
        here = positions
        phase = here % length
        cut = phase == 0
        cut[:, 0] = True
        piece = cut.cumsum(1) - 1  # (B, T)
        n_pieces = int(piece[:, -1].max()) + 1
        starts = torch.full((len(here), n_pieces), n, device=here.device).scatter_(1, piece, index - phase)
        begun = torch.full_like(starts, -1).scatter_(1, piece, index - here)
        begins = (begun == starts) & (starts >= 0)
        slots = piece * length + phase if n_pieces > 1 else None
    opens = (starts >= 0) & (starts < n)
    return Segments(
        length, here, here % length, n_pieces, n if n_pieces == 1 else length, starts, opens, begins, slots, positions.dim() == 1
    )


def pieces_of(n_tokens: int, length: int) -> tuple[int, int]:
    """(N, W) of one document of so many tokens, read at once."""
    n_pieces = -(-n_tokens // length)
    return n_pieces, n_tokens if n_pieces == 1 else length

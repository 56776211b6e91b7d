"""Memory as a context: a memory's answers are tokens that attention sees (Titans, 2501.00663, section 4.1, eq. 21 to 25).

    h_t = M_s(q_t)         M_s: the memory as it stood where t's segment began
    y_t = attention of x_t over [persistent | h_a … h_t | x_a … x_t]         a: where t's segment began
    M_t = M_{t-1} trained on y_t                                             z_t = M_t(query of y_t)

A segment is done at once: its answers are one product, its attention one call, and its memory is trained by chunks.
Segments go one after another, because the answers wait for what was made of the segment before. Of an unfinished segment one
has to know the keys and values read so far, of both kinds, and M_s: so a text may be cut anywhere.

memory_context_reference   a row and a token at a time, each score written out
memory_context             pieces: stretches within which no row begins a segment or a document
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from linnet.ops.attention import attention
from linnet.ops.neural_memory import Memory, Tokens, Weights, apply, recall, recall_reference
from linnet.ops.persistent import Persistent, attention_with
from linnet.ops.segments import segments_of


class Inputs(NamedTuple):
    """What is known of each of T tokens before anything is read.

    queries, plain   (B, H, T, K) of attention, turned by their position and not; the same tensor where nothing turns
    keys, values     (B, G, T, K) of attention
    asked            (B, M, T, N) what the memory is asked, in its M heads
    """

    queries: Tensor
    plain: Tensor
    keys: Tensor
    values: Tensor
    asked: Tensor

    def split(self, sizes: list[int]) -> list[Inputs]:
        """So many tokens after one another."""
        queries, *others = (x.split(sizes, 2) for x in (self.queries, *self[2:]))
        plain = queries if self.plain is self.queries else self.plain.split(sizes, 2)
        return [Inputs(*parts) for parts in zip(queries, plain, *others, strict=True)]


class Parts(NamedTuple):
    """The layers around the memory and attention, each of which looks at a token alone.

    shows        the memory's answers (B, M, T, N) at positions (T,) or (B, T) → keys, values (B, G, T, K) of attention
    found        what attention found (B, H, T, K) → y (B, T, D), and what the memory is told of it
    persistent   keys and values (G, P, K), or None
    scale        of attention's scores
    """

    shows: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
    found: Callable[[Tensor], tuple[Tensor, Tokens]]
    persistent: tuple[Tensor, Tensor] | None
    scale: float


@dataclass(frozen=True)
class Reading:
    """Where the reading of some rows stands.

    memory         as it is now
    before         M_s, as it stood where the segment under way began
    keys, values   (B, 2G, S, K) of the last S places, all of the segment under way among them: those of answers, then of tokens
    """

    memory: Memory
    before: Weights
    keys: Tensor
    values: Tensor


def memory_context_reference(
    inputs: Inputs, positions: Tensor, parts: Parts, initial: Weights, *, segment: int, chunk: int
) -> tuple[Tensor, Tensor]:
    """(y (B, T, D), z (B, M, T, N)) of rows that begin here.

    positions   (T,) or (B, T) within the document: 0 begins one, multiples of `segment` and `chunk` begin a segment, a chunk
    initial     weights that a document's memory begins with, each (M, out, in)
    """
    batch, heads, n, _ = inputs.queries.shape
    shared = heads // inputs.keys.shape[1]
    ys, zs = [], []
    for row in range(batch):
        memory = Memory.begin(tuple(w[None] for w in initial))
        before = memory.weights
        held: list[tuple[Tensor, Tensor]] = []
        for t in range(n):
            position = positions.expand(batch, n)[row, t][None]  # (1,)
            q, plain, k, v, asked = (x[row : row + 1, :, t : t + 1] for x in inputs)
            if position == 0:
                memory = Memory.begin(tuple(w[None] for w in initial))
            if position % segment == 0:
                before, held = memory.weights, []
            held += [parts.shows(apply(before, asked), position), (k, v)]
            keys, values = (torch.cat(x, 2).repeat_interleave(shared, 1) for x in zip(*held, strict=True))  # (1, H, 2·S, K)
            score = q @ keys.mT
            if parts.persistent is not None:
                first, others = (x[None].repeat_interleave(shared, 1) for x in parts.persistent)  # (1, H, P, K)
                score, values = torch.cat((plain @ first.mT, score), -1), torch.cat((others, values), 2)
            y, told = parts.found((score * parts.scale).softmax(-1) @ values)
            z, memory = recall_reference(told, segments_of(position, chunk), initial, memory)
            ys.append(y)
            zs.append(z)
    y, z = torch.cat(ys), torch.cat(zs)  # (B · T, 1, D), (B · T, M, 1, N)
    return y.view(batch, n, -1), z.view(batch, n, *z.shape[1:]).squeeze(3).transpose(1, 2)


def memory_context(
    inputs: Inputs,
    positions: Tensor,
    parts: Parts,
    initial: Weights,
    reading: Reading | None = None,
    *,
    segment: int,
    chunk: int,
) -> tuple[Tensor, Tensor, Reading]:
    """What `memory_context_reference` gives, and where the reading stands then, with the keys and values of these T places.

    reading   where an earlier piece ended; None: the first token begins a document
    """
    batch = len(inputs.queries)
    begin = tuple(w.expand(batch, *w.shape) for w in initial)
    if reading is None:
        nothing = torch.cat((inputs.keys, inputs.keys), 1)[:, :, :0]
        reading = Reading(Memory.begin(begin), begin, nothing, nothing)
    memory, before, seen = reading.memory, reading.before, (reading.keys, reading.values)
    ys, zs, read = [], [], []
    cut = pieces(positions, segment)
    for (start, stop), piece in zip(cut, inputs.split([stop - start for start, stop in cut]), strict=True):
        here = positions[..., start]  # () or (B,)
        before = _entered(here, segment, begin, memory.weights, before)
        phase = here % segment
        answers = parts.shows(apply(before, piece.asked), positions[..., start:stop])
        new = (torch.cat((answers[0], piece.keys), 1), torch.cat((answers[1], piece.values), 1))  # (B, 2G, n, K) twice
        back = int(phase.max())  # places before these that some row sees
        seen = (_longer(seen[0], back, new[0]), _longer(seen[1], back, new[1]))
        y, told = parts.found(_attend(piece, *seen, phase, parts))
        z, memory = recall(told, segments_of(positions[..., start:stop], chunk), initial, memory)
        ys.append(y)
        zs.append(z)
        read.append(new)
    keys, values = (torch.cat(x, 2) for x in zip(*read, strict=True))
    return torch.cat(ys, 1), torch.cat(zs, 2), Reading(memory, before, keys, values)


def pieces(positions: Tensor, segment: int) -> list[tuple[int, int]]:
    """Stretches [start, stop) of T tokens within which no row of positions (T,) or (B, T) begins a segment or a document."""
    n = positions.shape[-1]
    begins = positions % segment == 0
    cut = (begins if begins.dim() == 1 else begins.any(0)).nonzero().flatten().tolist()
    at = [0, *(t for t in cut if t > 0), n]
    return [(a, b) for a, b in pairwise(at) if b > a]


def _entered(positions: Tensor, segment: int, begin: Weights, now: Weights, before: Weights) -> Weights:
    """M_s of a piece that begins at positions () or (B,): what a document begins with, the memory now, or as it was."""
    fresh, first = positions == 0, positions % segment == 0
    if positions.dim() == 0:
        return begin if bool(fresh) else now if bool(first) else before
    fresh, first = fresh[:, None, None, None], first[:, None, None, None]
    return tuple(torch.where(fresh, a, torch.where(first, b, c)) for a, b, c in zip(begin, now, before, strict=True))


def _longer(held: Tensor, back: int, new: Tensor) -> Tensor:
    """The last `back` places of (B, 2G, S, K), and the new ones."""
    return torch.cat((held[:, :, held.shape[2] - back :], new), 2)


def _attend(piece: Inputs, keys: Tensor, values: Tensor, phase: Tensor, parts: Parts) -> Tensor:
    """What the last T of S places find (B, H, T, K): the first of them stands `phase` () or (B,) places within its segment."""
    n, back = piece.queries.shape[2], keys.shape[2] - piece.queries.shape[2]
    keys, values = (torch.cat(x.chunk(2, 1), 2) for x in (keys, values))  # (B, G, 2 · S, K)
    allowed = None
    if n > 1 or phase.dim():
        places = torch.arange(back + n, device=keys.device)
        allowed = places <= places[back:, None]  # (T, S)
        if phase.dim():
            allowed = allowed & (places >= back - phase[:, None, None])  # (B, T, S)
        allowed = torch.cat((allowed, allowed), -1)
    if parts.persistent is None:
        return attention(piece.queries, keys, values, allowed=allowed, scale=parts.scale)
    always = Persistent(piece.plain, *parts.persistent)
    return attention_with(piece.queries, keys, values, always, allowed=allowed, scale=parts.scale)

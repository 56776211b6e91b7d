"""A memory of bounded size that is written once a segment and read by linear attention (Infini-attention, 2404.07143).

Section "Compressive Memory", 3.1.2 in the version that has a section of background: eq. 7 reads, 8 and 9 write.

    read    A_t = σ(q_t) M / σ(q_t) z                            σ(x) = ELU(x) + 1
    write   M ← M + Σ σ(k_s)ᵀ v_s,  z ← z + Σ σ(k_s)             linear rule, over the tokens s of a segment that has ended
            M ← M + Σ σ(k_s)ᵀ (v_s - σ(k_s) M / σ(k_s) z)        delta rule: only what the memory does not say already

A token reads what the segments before its own wrote, of its own document alone; nothing written yet reads as zero.
Here z is one more column of M: the value of every key is [v, 1]. What an unfinished segment has to write is summed
up at once, beside M, so that no key has to be kept for it; that is the same, for both rules write by the M they began with.

compressive_memory_reference   token by token, as it is read out loud
compressive_memory             all segments of a row at once; the linear rule as a running sum
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import pad

from linnet.ops.segments import Segments

Rule = Literal["linear", "delta"]


@dataclass(frozen=True, eq=False)
class Memory:
    """written, pending (B, G, K, K + 1): what ended segments wrote, and what the one under way will. At least float32."""

    written: Tensor
    pending: Tensor

    @staticmethod
    def empty(batch: int, groups: int, width: int, like: Tensor) -> Memory:
        dtype = torch.promote_types(like.dtype, torch.float32)  # sums over a whole text outgrow 8 bits
        zeros = torch.zeros(batch, groups, width, width + 1, dtype=dtype, device=like.device)
        return Memory(zeros, zeros)


def feature(x: Tensor) -> Tensor:
    """σ(x) = ELU(x) + 1 > 0, without the rounding of (eˣ - 1) + 1."""
    return torch.where(x > 0, x + 1, x.clamp(max=0).exp())


def ratio(read: Tensor) -> Tensor:
    """(…, K + 1) → (…, K): by its last number, the normaliser; an empty memory gives zero."""
    total = read[..., -1:]
    return read[..., :-1] / torch.where(total > 0, total, torch.ones_like(total))


def compressive_memory_reference(
    q: Tensor, k: Tensor, v: Tensor, segments: Segments, memory: Memory, rule: Rule
) -> tuple[Tensor, Memory]:
    """q (B, H, T, K), k and v (B, G, T, K) → what the memory says (B, H, T, K), and the memory after these tokens."""
    batch, heads, n_tokens, _ = q.shape
    shared = heads // k.shape[1]
    dtype = memory.written.dtype
    said, after = [], []
    for row in range(batch):
        written, pending = memory.written[row], memory.pending[row]  # (G, K, K + 1)
        positions = segments.positions[row % len(segments.positions)]
        ys = []
        for t in range(n_tokens):
            position = int(positions[t])
            if position == 0:  # a document begins
                written, pending = torch.zeros_like(written), torch.zeros_like(pending)
            elif position % segments.length == 0:  # a segment has ended
                written, pending = written + pending, torch.zeros_like(pending)
            key, value = feature(k[row, :, t].to(dtype)), v[row, :, t].to(dtype)  # (G, K) twice
            query = feature(q[row, :, t].to(dtype))  # (H, K)
            ys.append(ratio((query[:, None] @ written.repeat_interleave(shared, 0))[:, 0]))
            if rule == "delta":
                value = value - ratio((key[:, None] @ written)[:, 0])
            pending = pending + key[:, :, None] * pad(value, (0, 1), value=1.0)[:, None]
        said.append(torch.stack(ys, 1))
        after.append((written, pending))
    states = Memory(torch.stack([w for w, _ in after]), torch.stack([p for _, p in after]))
    return torch.stack(said).to(q.dtype), states


def compressive_memory(q: Tensor, k: Tensor, v: Tensor, segments: Segments, memory: Memory, rule: Rule) -> tuple[Tensor, Memory]:
    """The same by whole segments."""
    batch, heads, _, width = q.shape
    groups, dtype = k.shape[1], memory.written.dtype
    key = segments.split(feature(k.to(dtype)))  # (B, G, N, W, K), zeros where there is no token
    value = segments.split(v.to(dtype))
    if rule == "linear":
        new = key.transpose(-2, -1) @ pad(value, (0, 1), value=1.0)  # (B, G, N, K, K + 1)
        if segments.alike:
            seen, memory = _running_sums(new, segments, memory)
        else:
            seen, memory = _one_by_one(key, value, new, segments, memory)
    else:
        seen, memory = _one_by_one(key, value, None, segments, memory)
    query = segments.split(feature(q.to(dtype)))  # (B, H, N, W, K)
    by_group = query.view(batch, groups, heads // groups, *query.shape[2:]).transpose(2, 3)  # (B, G, N, H/G, W, K)
    read = by_group.flatten(3, 4) @ seen  # (B, G, N, H/G · W, K + 1)
    read = read.view(*by_group.shape[:-1], width + 1).transpose(2, 3).reshape(*query.shape[:-1], width + 1)
    return segments.join(ratio(read)).to(q.dtype), memory


def _running_sums(new: Tensor, segments: Segments, memory: Memory) -> tuple[Tensor, Memory]:
    """What each piece reads (B, G, N, K, K + 1), for one document in one phase: all that was written before it."""
    written, pending = memory.written, memory.pending
    if segments.begins[0, 0]:
        written, pending = torch.zeros_like(written), torch.zeros_like(pending)
    elif segments.opens[0, 0]:
        written, pending = written + pending, torch.zeros_like(pending)
    first = pending + new[:, :, 0]
    if new.shape[2] == 1:
        return written[:, :, None], Memory(written, first)
    steps = torch.cat((written[:, :, None], first[:, :, None], new[:, :, 1:-1]), 2)
    seen = steps.cumsum(2)
    return seen, Memory(seen[:, :, -1], new[:, :, -1])


def _one_by_one(key: Tensor, value: Tensor, new: Tensor | None, segments: Segments, memory: Memory) -> tuple[Tensor, Memory]:
    """The same where documents begin in between, rows differ, or, with `new` None, for the delta rule."""
    written, pending = memory.written, memory.pending
    seen = []
    opens = segments.opens[:, :, None, None, None]  # (R, N, 1, 1, 1)
    begins = segments.begins[:, :, None, None, None]
    keys, values = key.unbind(2), value.unbind(2)  # (B, G, W, K) each; in one call, for slices would cost N² on the way back
    added = None if new is None else new.unbind(2)
    for n in range(segments.n_pieces):
        written = torch.where(opens[:, n], written + pending, written).masked_fill(begins[:, n], 0)
        pending = pending.masked_fill(opens[:, n], 0)
        seen.append(written)
        if added is not None:
            pending = pending + added[n]
        else:
            left = values[n] - ratio(keys[n] @ written)
            pending = pending + keys[n].mT @ pad(left, (0, 1), value=1.0)
    return torch.stack(seen, 2), Memory(written, pending)

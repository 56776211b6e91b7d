"""The selective scan (Mamba, 2312.00752, algorithm 2): the definition, and the same in blocks that stay in the cache.

    h_t = exp(Δ_t A) ⊙ h_{t-1} + Δ_t x_t B_tᵀ        y_t = h_t C_t + D ⊙ x_t        (h_t = the second term alone where a document begins)

There are B·T·E·N numbers h (N = 16 for each channel), each of which costs an exponential: written down they are what a scan costs, 134 MB
for 4,096 tokens of 512 channels, and autograd would keep five tensors of that size. `selective_scan` goes through time in blocks: what
needs no order (exponentials, products, sums over n or e) is one call a block, and the recurrence itself is one multiply-add a place. A block
is small enough for the cache, and of the states only those at which blocks begin are kept; the way back computes the others again.

    forward, passes over the numbers of a block     Δ A · exp · u B · the multiply-adds · sum with C                              5
    backward                                        the first four again · G = C g + decay G · ∂C ∂B ∂u · ∂(Δ A) and its sums     15

Each of those passes is a call of PyTorch. For float32 on a CPU a kernel does all of them while the numbers are in registers
(native/src/kernels/scan.rs), a few channels at a time. On a GPU `selective_scan_alone` asks mamba-ssm's kernel, if that is there.

Nothing is divided by: decays lie between 0 and 1 and are multiplied in the order of time, so none can overflow and a vanished one is 0.
Deliberately no parallel prefix sum: log T passes over memory cost more than T short calls, as long as a CPU runs them.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from linnet.ops.backward import own_backward
from linnet.ops.kernels import kernels_take
from linnet.ops.scan_fused import fused_scan
from linnet.ops.scan_kernel import scan_backward, scan_forward

BLOCK = 1 << 19  # numbers of a block: two MiB in float32, and two to four such tensors are in use
LEAST_PLACES = 8  # of a block, so that the states that are kept are few; wide layers and many rows take rows in turns


def selective_scan_reference(
    x: Tensor, step: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor, state: Tensor | None = None, begins: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The definition, place by place.

    x, step (B, T, E), a (E, N), b, c (B, T, N), d (E,), state (B, E, N): zeros by default, begins (B, T) bool: where a document
    begins → y (B, T, E), the last state (B, E, N).
    """
    h = x.new_zeros(x.shape[0], *a.shape) if state is None else state  # (B, E, N)
    rows = []
    for t in range(x.shape[1]):
        if begins is not None:
            h = torch.where(begins[:, t, None, None], torch.zeros_like(h), h)
        decay = torch.exp(step[:, t, :, None] * a)  # (B, E, N)
        h = decay * h + (step[:, t] * x[:, t])[:, :, None] * b[:, t, None, :]
        rows.append((h @ c[:, t, :, None]).squeeze(-1) + d * x[:, t])
    y = torch.stack(rows, 1) if rows else torch.zeros_like(x)
    return y, h


def selective_scan(
    x: Tensor, step: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor, state: Tensor | None = None, begins: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """What `selective_scan_reference` computes, in blocks."""
    if state is None:
        state = x.new_zeros(x.shape[0], *a.shape)
    recorded = own_backward(x, step, a, b, c, d, state)
    simple = not x.numel() or (x.shape[1] == 1 and not recorded)
    if torch.compiler.is_compiling() or simple:  # a compiler makes a backward pass of its own
        return selective_scan_reference(x, step, a, b, c, d, state, begins)
    if recorded:
        return _SelectiveScan.apply(x, step, a, b, c, d, state, begins)  # type: ignore[no-any-return]
    way = scan_forward if kernels_take(x, step, a, b, c, d, state) else _scan
    y, state, _ = way(x, step, a, b, c, d, state, begins, keep=False)
    return y, state


def selective_scan_alone(
    x: Tensor, step: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor, begins: Tensor | None = None
) -> Tensor:
    """y (B, T, E) from an empty state, where nobody asks for the last one: on a GPU by mamba-ssm's kernel, if it is installed."""
    y = fused_scan(x, step, a, b, c, d) if begins is None and not torch.compiler.is_compiling() else None
    return selective_scan(x, step, a, b, c, d, None, begins)[0] if y is None else y


def _rows_and_places(batch: int, n_tokens: int, numbers: int) -> tuple[int, int]:
    """Rows and places of a block for states of so many numbers."""
    rows = min(batch, max(1, BLOCK // (LEAST_PLACES * numbers)))
    return rows, min(n_tokens, max(LEAST_PLACES, BLOCK // (rows * numbers)))


def _by_time(part: Tensor, rows: slice) -> Tensor:
    """Some rows of (B, T, …) as (T, R, …)."""
    return part[rows].transpose(0, 1).contiguous()


class _Blocks:
    """Some rows, with time first and channels last, so that products with a number a channel or a number an n run along memory."""

    def __init__(
        self, x: Tensor, step: Tensor, a: Tensor, b: Tensor, c: Tensor, begins: Tensor | None, rows: slice, n_places: int
    ) -> None:
        self.x, self.step, self.b, self.c = (_by_time(part, rows) for part in (x, step, b, c))  # (T, R, E | E | N | N)
        self.begins = None if begins is None else _by_time(begins, rows)[:, :, None, None]  # (T, R, 1, 1)
        self.a, self.written = a.t().contiguous(), self.x * self.step  # (N, E), u (T, R, E)
        self.exponents = self.a / math.log(2)  # exp(z) = 2^(z / log 2), and powers of two take a third of the time
        shape = (n_places, *self.x.shape[1:2], *self.a.shape)  # (S, R, N, E)
        self.decays, self.states = x.new_empty(shape), x.new_empty(shape)
        self.decay_places, self.state_places = self.decays.unbind(), self.states.unbind()
        self.spans = [slice(start, min(start + n_places, len(self.x))) for start in range(0, len(self.x), n_places)]

    def run(self, here: slice, state: Tensor) -> tuple[Tensor, Tensor]:
        """exp(Δ A) and h (S, R, N, E) of the places `here` after `state` (R, N, E), in buffers that the next block takes."""
        n = here.stop - here.start
        decays, states = self.decays[:n], self.states[:n]
        torch.mul(self.step[here, :, None], self.exponents, out=decays).exp2_()
        if self.begins is not None:
            decays.masked_fill_(self.begins[here], 0.0)
        torch.mul(self.written[here, :, None], self.b[here, :, :, None], out=states)
        for decay, place in zip(self.decay_places[:n], self.state_places[:n], strict=True):
            state = place.addcmul_(decay, state)
        return decays, states


def _scan(
    x: Tensor, step: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor, state: Tensor, begins: Tensor | None, *, keep: bool
) -> tuple[Tensor, Tensor, Tensor | None]:
    """(y, the last state, the states (blocks, B, N, E) before each block if they are to be kept)."""
    batch, n_tokens, width = x.shape
    n_rows, n_places = _rows_and_places(batch, n_tokens, a.numel())
    y, last = torch.empty_like(x), torch.empty_like(state)
    kept = x.new_empty(-(-n_tokens // n_places), batch, a.shape[1], width) if keep else None
    for first in range(0, batch, n_rows):
        rows = slice(first, min(first + n_rows, batch))
        blocks = _Blocks(x, step, a, b, c, begins, rows, n_places)
        h, read = state[rows].transpose(1, 2).contiguous(), torch.empty_like(blocks.x)
        for i, here in enumerate(blocks.spans):
            if kept is not None:
                kept[i, rows] = h
            states = blocks.run(here, h)[1]
            torch.bmm(blocks.c[here].flatten(0, 1)[:, None], states.flatten(0, 1), out=read[here].view(-1, 1, width))
            h.copy_(states[-1])
        y[rows] = read.addcmul_(blocks.x, d).transpose(0, 1)
        last[rows] = h.transpose(1, 2)
    return y, last, kept


class _SelectiveScan(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, step: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor, state: Tensor, begins: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        ctx.by_kernel = kernels_take(x, step, a, b, c, d, state)
        y, last, kept = (scan_forward if ctx.by_kernel else _scan)(x, step, a, b, c, d, state, begins, keep=True)
        ctx.save_for_backward(x, step, a, b, c, d, begins, kept)
        return y, last

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_y: Tensor, grad_last: Tensor) -> Any:
        x, step, a, b, c, d, begins, kept = ctx.saved_tensors
        if ctx.by_kernel:
            return *scan_backward(x, step, a, b, c, d, begins, kept, grad_y, grad_last), None
        batch, n_tokens, _ = x.shape
        n_rows, n_places = _rows_and_places(batch, n_tokens, a.numel())
        grad_x, grad_step, grad_b, grad_c = (torch.empty_like(part) for part in (x, step, b, c))
        grad_a, grad_d, grad_state = torch.zeros_like(a), torch.zeros_like(d), torch.empty_like(grad_last)
        for first in range(0, batch, n_rows):
            rows = slice(first, min(first + n_rows, batch))
            blocks = _Blocks(x, step, a, b, c, begins, rows, n_places)
            g, carried = _by_time(grad_y, rows), grad_last[rows].transpose(1, 2).contiguous()  # (T, R, E), (R, N, E)
            of_x, of_step, of_b, of_c, of_a = _scan_back(blocks, kept[:, rows], g, carried)
            grad_x[rows] = of_x.addcmul_(g, d).transpose(0, 1)
            grad_step[rows], grad_b[rows], grad_c[rows] = (part.transpose(0, 1) for part in (of_step, of_b, of_c))
            grad_a += of_a.t()
            grad_d += g.mul_(blocks.x).sum((0, 1))
            grad_state[rows] = carried.transpose(1, 2)
        return grad_x, grad_step, grad_a, grad_b, grad_c, grad_d, grad_state, None


def _scan_back(blocks: _Blocks, kept: Tensor, g: Tensor, carried: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The gradients with respect to x, Δ, B, C (T, R, …) and A (N, E), from g (T, R, E) = ∂(h C).

    carried (R, N, E): the gradient of the last state; afterwards that of the first one.
    """
    of_written, of_step = torch.empty_like(blocks.x), torch.empty_like(blocks.x)
    of_b, of_c = torch.empty_like(blocks.b), torch.empty_like(blocks.c)
    of_a, buffer = torch.zeros_like(kept[0]), torch.empty_like(blocks.states)
    buffer_places, step_places = buffer.unbind(), blocks.step[:, :, None].unbind()
    for i in reversed(range(len(blocks.spans))):
        here, before = blocks.spans[i], kept[i]
        decays, states = blocks.run(here, before)
        adjoint = buffer[: len(states)]  # G_t = ∂h_t = g_t C_tᵀ + exp(Δ_{t+1} A) ⊙ G_{t+1}
        torch.mul(g[here, :, None], blocks.c[here, :, :, None], out=adjoint)
        places = buffer_places[: len(states)]
        places[-1].add_(carried)
        for place, decay, later in zip(places[-2::-1], blocks.decay_places[len(states) - 1 : 0 : -1], places[:0:-1], strict=True):
            place.addcmul_(decay, later)
        torch.mul(decays[0], places[0], out=carried)
        flat, n = adjoint.flatten(0, 1), blocks.b.shape[2]  # (S·R, N, E)
        # a row times a turned matrix: the same sum as a matrix times a column, at a tenth of its time
        torch.bmm(g[here].flatten(0, 1)[:, None], states.flatten(0, 1).mT, out=of_c[here].view(-1, 1, n))
        torch.bmm(blocks.written[here].flatten(0, 1)[:, None], flat.mT, out=of_b[here].view(-1, 1, n))
        torch.bmm(blocks.b[here].flatten(0, 1)[:, None], flat, out=of_written[here].view(len(flat), 1, -1))
        adjoint.mul_(decays)  # from here on the gradient of Δ A, which is G ⊙ exp(Δ A) ⊙ h_{t-1}
        adjoint[1:].mul_(states[:-1])
        adjoint[0].mul_(before)
        for place, step in zip(places, step_places[here], strict=True):
            of_a.addcmul_(place, step)
        torch.sum(adjoint.mul_(blocks.a), 2, out=of_step[here])
    of_step.addcmul_(of_written, blocks.x)
    return of_written.mul_(blocks.step), of_step, of_b, of_c, of_a.sum(0)

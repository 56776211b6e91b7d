"""The kernel of the selective scan for float32 on a CPU (native/src/kernels/scan.rs), called with tensors. `scan.py` defines it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from linnet.core.native import opened
from linnet.ops.kernels import call, insist, kernels_take, numbers, or_null

# places of a block: one state in so many is kept, and what the way back needs of a block, 64 KiB for 16 numbers a channel, stays in the cache
PLACES = 16
# channels that a thread takes at a time: some for every thread also of one row, and ∂B, ∂C are written once for so many
GROUP = 128


def scan_forward(
    x: Tensor, step: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor, state: Tensor, begins: Tensor | None, *, keep: bool
) -> tuple[Tensor, Tensor, Tensor | None]:
    """x, step (B, T, E), a (E, N), b, c (B, T, N), d (E,), state (B, E, N), begins (B, T) bool → y (B, T, E), the last state
    (B, E, N), and if asked for what the backward pass needs of the states.
    """
    (batch, n_tokens, width), n = x.shape, a.shape[1]
    state, y, last = state.mT.contiguous(), x.new_empty(x.shape), x.new_empty(batch, n, width)
    kept = x.new_empty(-(-n_tokens // PLACES), batch, n, width) if keep else None
    given = _given(x, step, a, b, c, d, begins)
    call("linnet_scan_forward", _task(given, state, y, last, kept))
    return y, last.mT.contiguous(), kept


def scan_backward(
    x: Tensor,
    step: Tensor,
    a: Tensor,
    b: Tensor,
    c: Tensor,
    d: Tensor,
    begins: Tensor | None,
    kept: Tensor,
    grad_y: Tensor,
    grad_last: Tensor,
) -> tuple[Tensor, ...]:
    """The gradients of x, step, a, b, c, d and the first state, from those of y and of the last state and from what was kept."""
    (batch, n_tokens, width), n, groups = x.shape, a.shape[1], -(-x.shape[2] // GROUP)
    # hooks on what is saved may hand out other tensors
    whole = kept.is_contiguous() and kernels_take(x, step, a, b, c, d, kept, grad_y, grad_last)
    insist(whole, "what was saved, or a gradient, in another type, on another device, or not in one piece")
    insist(
        grad_y.shape == x.shape and grad_last.shape == (batch, width, n),
        f"gradients of {tuple(grad_y.shape)} and {tuple(grad_last.shape)}",
    )
    grad_y, grad_last = grad_y.contiguous(), grad_last.mT.contiguous()
    of_x, of_step, of_state = x.new_empty(x.shape), x.new_empty(x.shape), x.new_empty(batch, n, width)
    of_b, of_c = (x.new_empty(groups, batch, n_tokens, n) for _ in range(2))
    of_a, of_d = x.new_empty(batch, n, width), x.new_empty(batch, width)
    written = (of_x, of_step, of_a, of_b, of_c, of_d, of_state)
    gradients = opened()[0].new("linnet_scan_gradients *", tuple(numbers(part) for part in (grad_y, grad_last, *written)))
    given = _given(x, step, a, b, c, d, begins)
    task = _task(given, of_state, of_x, of_state, kept)  # states and y are not looked at on the way back: anything of their shape
    call("linnet_scan_backward", task, gradients)
    return of_x, of_step, of_a.sum(0).t(), of_b.sum(0), of_c.sum(0), of_d.sum(0), of_state.mT


def _given(x: Tensor, step: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor, begins: Tensor | None) -> tuple[Any, ...]:
    """What both passes read, as the kernel wants it, each in one piece."""
    (batch, n_tokens, width), n = x.shape, a.shape[1]
    insist(
        step.shape == x.shape and a.shape == (width, n) and d.shape == (width,),
        f"x {tuple(x.shape)}, step {tuple(step.shape)}, a {tuple(a.shape)}, d {tuple(d.shape)}",
    )
    insist(b.shape == c.shape == (batch, n_tokens, n), f"b {tuple(b.shape)} and c {tuple(c.shape)} for x {tuple(x.shape)}")
    if begins is not None:
        insist(begins.dtype is torch.bool and begins.is_cpu, f"begins in {begins.dtype} on {begins.device}")
        begins = begins.expand(batch, n_tokens).contiguous()
    return (*(part.contiguous() for part in (x, step, a.t(), b, c, d)), begins)


def _task(given: tuple[Any, ...], state: Tensor, y: Tensor, last: Tensor, kept: Tensor | None) -> Any:
    ffi, (*arrays, begins) = opened()[0], given
    (batch, n_tokens, width), n = arrays[0].shape, arrays[2].shape[0]
    insist(state.shape == last.shape == (batch, n, width), f"states of {tuple(state.shape)} for {batch} rows of ({n}, {width})")
    insist(kept is None or kept.shape == (-(-n_tokens // PLACES), batch, n, width), "other states than it kept")
    begun = ffi.NULL if begins is None else ffi.cast("uint8_t *", begins.data_ptr())
    sizes = (batch, n_tokens, width, n, PLACES, GROUP)
    return ffi.new(
        "linnet_scan *", (*sizes, *map(numbers, arrays), begun, numbers(state), numbers(y), numbers(last), or_null(kept))
    )

"""Law 7 for the kernel of the selective scan: on every kind of processor and any number of threads it is the definition.

The definition runs in float64. Errors are relative to the largest number of each answer; tolerance: 3e-6, for a gradient of A
or D is a sum over all tokens.
"""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from equivalence import Hold
from linnet.core.native import native_problem, opened
from linnet.ops import kernels, scan, scan_kernel
from linnet.ops.kernels import kernels_available
from linnet.ops.scan import selective_scan, selective_scan_reference

pytestmark = pytest.mark.skipif(not kernels_available(), reason=f"no kernels: {native_problem() or 'no GNU OpenMP'}")
TOLERANCE = 3e-6
NAMES = ("y", "state", "x", "step", "a", "b", "c", "d", "first state")
SHAPES = [  # batch, tokens, channels, state
    (1, 1, 1, 1),
    (3, 13, 5, 4),  # one block, less than a vector of channels
    (2, 16, 16, 16),  # one block, one vector
    (2, 50, 300, 16),  # three groups of channels, the last one shorter; four blocks, the last one shorter
    (1, 33, 128, 7),
]


def given(batch: int, tokens: int, channels: int, n: int) -> list[Tensor]:
    draws = torch.Generator().manual_seed(batch + tokens + channels + n)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=draws)

    step, a = 0.3 * normal(batch, tokens, channels).exp(), -normal(channels, n).exp()
    x, b, c = normal(batch, tokens, channels), normal(batch, tokens, n), normal(batch, tokens, n)
    return [x, step, a, b, c, normal(channels), normal(batch, channels, n)]


def some_begins(batch: int, tokens: int) -> Tensor:
    return torch.rand(batch, tokens, generator=torch.Generator().manual_seed(3)) < 0.2


def answers(run: object, inputs: list[Tensor], begins: Tensor | None) -> dict[str, Tensor]:
    """y, the last state, and the gradients of all inputs of a sum that asks for both."""
    leaves = [part.clone().requires_grad_() for part in inputs]
    y, state = run(*leaves, begins)  # type: ignore[operator]
    draws = torch.Generator().manual_seed(9)
    asked = sum((part * torch.randn(part.shape, generator=draws).to(part.dtype)).sum() for part in (y, state))
    return dict(zip(NAMES, [y, state, *torch.autograd.grad(asked, leaves)], strict=True))  # type: ignore[arg-type]


def errors(inputs: list[Tensor], begins: Tensor | None) -> dict[str, float]:
    got = answers(selective_scan, inputs, begins)
    right = answers(selective_scan_reference, [part.double() for part in inputs], begins)
    assert all(got[name].shape == right[name].shape and got[name].dtype is torch.float32 for name in NAMES)
    return {name: ((got[name] - right[name]).abs().max() / right[name].abs().max().clamp(min=0.1)).item() for name in NAMES}


@pytest.mark.usefixtures("anywhere")
@pytest.mark.parametrize("packed", [False, True], ids=["one document", "packed"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_kernel_is_the_definition(shape: tuple[int, ...], packed: bool, hold: Hold) -> None:
    begins = some_begins(*shape[:2]) if packed else None
    for error in errors(given(*shape), begins).values():
        hold("7 kernel selective scan", error, TOLERANCE)


def test_without_gradients_nothing_is_kept_and_all_is_the_same() -> None:
    inputs = given(2, 50, 300, 16)
    y, state = selective_scan(*inputs)
    recorded = selective_scan(*(part.requires_grad_() for part in inputs))
    assert torch.equal(y, recorded[0])
    assert torch.equal(state, recorded[1])


def test_any_number_of_threads_gives_the_same_bits() -> None:
    inputs = given(8, 20, 1024, 16)  # sums of so many numbers PyTorch itself shares among threads
    one = answers(selective_scan, inputs, None)
    for threads in (2, 3):
        torch.set_num_threads(threads)
        assert all(torch.equal(part, one[name]) for name, part in answers(selective_scan, inputs, None).items())


def test_cut_anywhere_is_one_pass() -> None:
    inputs, begins = given(2, 40, 20, 5), some_begins(2, 40)
    right, end = selective_scan(*inputs, begins)
    state, rows = inputs[6], []
    for first, last in pairwise((0, 1, 16, 17, 40)):
        x, step, b, c = (inputs[i][:, first:last] for i in (0, 1, 3, 4))
        y, state = selective_scan(x, step, inputs[2], b, c, inputs[5], state, begins[:, first:last])
        rows.append(y)
    assert torch.allclose(torch.cat(rows, 1), right, atol=1e-5)
    assert torch.allclose(state, end, atol=1e-5)


def test_tensors_that_lie_in_no_one_piece() -> None:
    """What splits, turns and gradients of sums leave behind."""
    inputs = given(2, 20, 24, 4)
    x, step, a, b, c, d, state = inputs
    both = torch.cat((b, c), -1)
    odd = [x.mT.contiguous().mT, step, a.t().contiguous().t(), both[..., :4], both[..., 4:], d, state.mT.contiguous().mT]
    assert all(
        torch.equal(p, q)
        for p, q in zip(answers(selective_scan, odd, None).values(), answers(selective_scan, inputs, None).values(), strict=True)
    )
    leaf = x.clone().requires_grad_()
    selective_scan(leaf, *inputs[1:])[0].sum().backward()  # a gradient that is one number, expanded
    assert leaf.grad is not None
    assert leaf.grad.isfinite().all()


def test_what_vanishes_is_zero_and_nothing_overflows() -> None:
    inputs = given(2, 30, 4, 3)
    inputs[1], inputs[2] = torch.full_like(inputs[1], 1e4), torch.full_like(inputs[2], -1e3)
    got = answers(selective_scan, inputs, None)
    x, step, _, b, c, d = inputs[:6]
    assert torch.allclose(got["y"], (step * (b * c).sum(-1, keepdim=True) + d) * x, rtol=1e-4, atol=1.0)
    assert all(part.isfinite().all() for part in got.values())


def test_what_no_number_is_does_not_pass_the_beginning_of_a_document() -> None:
    inputs, begins = given(1, 20, 8, 4), torch.zeros(1, 20, dtype=torch.bool)
    inputs[0][0, 3], begins[0, 10] = float("nan"), True
    leaves = [part.requires_grad_() for part in inputs]
    y, state = selective_scan(*leaves, begins)
    assert y[0, 3:10].isnan().all()
    assert y[0, 10:].isfinite().all()
    step, first = torch.autograd.grad(y[0, 10:].sum() + state.sum(), (leaves[1], leaves[6]))
    assert step[0, 10:].isfinite().all()
    assert not first.any()


def test_a_gradient_that_is_none_does_not_pass_the_beginning_either() -> None:
    leaves = [part.requires_grad_() for part in given(1, 20, 8, 4)]
    begins = torch.zeros(1, 20, dtype=torch.bool)
    begins[0, 10] = True
    y, _ = selective_scan(*leaves, begins)
    odd = torch.zeros_like(y)
    odd[0, 15] = float("inf")
    x, step, first = torch.autograd.grad(y, (leaves[0], leaves[1], leaves[6]), odd)
    assert not x[0, :10].any()
    assert not step[0, :10].any()
    assert not first.any()


def test_saved_tensors_that_come_back_as_others_are_refused() -> None:
    leaves = [part.requires_grad_() for part in given(2, 20, 24, 4)]
    with torch.autograd.graph.saved_tensors_hooks(lambda t: t.half(), lambda t: t):
        y, _ = selective_scan(*leaves)
    with pytest.raises(ValueError, match="what was saved"):
        y.sum().backward()


def test_one_row_says_where_documents_begin_for_all() -> None:
    inputs, begins = given(3, 20, 8, 4), some_begins(1, 20)
    right, _ = selective_scan_reference(*inputs, begins.expand(3, 20))
    assert torch.allclose(selective_scan(*inputs, begins)[0], right, atol=1e-5)


def test_mutants_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs, begins = given(2, 50, 20, 4), some_begins(2, 50)

    def wrong() -> set[str]:
        return {name for name, error in errors(inputs, begins).items() if not error <= TOLERANCE}

    assert wrong() == set()
    forward, backward = scan.scan_forward, scan.scan_backward
    monkeypatch.setattr(scan, "scan_forward", lambda *parts, keep: forward(*parts[:-1], None, keep=keep))
    assert {"y", "state"} <= wrong()  # documents run into one another
    monkeypatch.setattr(scan, "scan_forward", forward)
    monkeypatch.setattr(scan, "scan_backward", lambda *parts: backward(*parts[:7], torch.zeros_like(parts[7]), *parts[8:]))
    assert {"a", "c", "step"} <= wrong()  # every block is taken for the first
    monkeypatch.setattr(scan, "scan_backward", lambda *parts: backward(*parts[:9], torch.zeros_like(parts[9])))
    assert {"x", "step", "b"} <= wrong()  # nothing comes back from the last state


@pytest.mark.parametrize("which", range(7), ids=["x", "step", "a", "b", "c", "d", "state"])
def test_shapes_that_do_not_fit_do_not_reach_it(which: int) -> None:
    inputs = given(2, 5, 8, 4)
    inputs[which] = inputs[which][..., :-1]
    with pytest.raises(ValueError, match="a kernel was given"):
        selective_scan(*inputs)


def test_bad_arguments_are_codes_and_not_crashes() -> None:
    ffi, lib, _ = opened()
    threads, task, gradients = kernels._threads(1), ffi.new("linnet_scan *"), ffi.new("linnet_scan_gradients *")
    assert lib.linnet_scan_forward(ffi.NULL, threads) == -1
    assert lib.linnet_scan_forward(task, threads) == -1
    assert lib.linnet_scan_backward(task, gradients, threads) == -1
    inputs = scan_kernel._given(*given(2, 5, 8, 4)[:6], None)
    state, y, last = torch.zeros(2, 4, 8), torch.zeros(2, 5, 8), torch.zeros(2, 4, 8)  # kept by their names
    whole = scan_kernel._task(inputs, state, y, last, None)
    assert lib.linnet_scan_forward(whole, threads) == 0
    assert lib.linnet_scan_backward(whole, gradients, threads) == -1  # nothing was kept

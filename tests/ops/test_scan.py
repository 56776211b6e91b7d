"""The selective scan in blocks against its definition, place by place: outputs and every gradient; and what the definition is."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from equivalence import Hold
from linnet.ops import scan, scan_fused
from linnet.ops.scan import selective_scan, selective_scan_alone, selective_scan_reference

TOLERANCE = 1e-12  # float64; the largest measured is 2e-14
NAMES = ("y", "state", "x", "step", "a", "b", "c", "d", "first state")
SHAPES = [  # batch, places, channels, state, numbers of a block, least places of one
    (3, 13, 5, 4, 1 << 18, 8),  # all in one block
    (3, 13, 5, 4, 100, 2),  # row by row, blocks of 5 places, the last one shorter
    (5, 9, 3, 2, 24, 2),  # two rows at a time, the last one alone
    (2, 9, 3, 2, 1, 1),  # blocks of one place
    (3, 1, 5, 4, 1 << 18, 8),  # one place
]


def inputs(batch: int, places: int, channels: int, n: int, seed: int = 0) -> list[Tensor]:
    draws = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=draws, dtype=torch.float64)

    step, a = normal(batch, places, channels).exp(), -normal(channels, n).exp()
    x, b, c = normal(batch, places, channels), normal(batch, places, n), normal(batch, places, n)
    return [x, step, a, b, c, normal(channels), normal(batch, channels, n)]


def answers(run: Callable[..., tuple[Tensor, Tensor]], given: list[Tensor], begins: Tensor | None) -> list[Tensor]:
    """y, the last state, and the gradients of all inputs of a sum that asks for both."""
    given = [part.clone().requires_grad_() for part in given]
    y, state = run(*given, begins)
    draws = torch.Generator().manual_seed(9)
    asked = sum((part * torch.randn(part.shape, generator=draws, dtype=part.dtype)).sum() for part in (y, state))
    return [y, state, *torch.autograd.grad(asked, given)]  # type: ignore[arg-type]


def some_begins(batch: int, places: int) -> Tensor:
    return torch.rand(batch, places, generator=torch.Generator().manual_seed(3)) < 0.3


def differs(run: Callable[..., tuple[Tensor, Tensor]], begins: Tensor | None) -> set[str]:
    """Which of the answers are not the definition's, over a few blocks."""
    given = inputs(*SHAPES[1][:4])
    right = answers(selective_scan_reference, given, begins)
    return {name for name, a, b in zip(NAMES, answers(run, given, begins), right, strict=True) if (a - b).abs().max() > 1e-9}


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "BLOCK", 100)
    monkeypatch.setattr(scan, "LEAST_PLACES", 2)
    monkeypatch.setattr(
        scan, "kernels_take", lambda *tensors: False
    )  # float32 too: tests/laws/test_7_scan_kernel.py has the kernel


@pytest.mark.parametrize("packed", [False, True], ids=["one document", "packed"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_blocks_are_the_definition(shape: tuple[int, ...], packed: bool, monkeypatch: pytest.MonkeyPatch, hold: Hold) -> None:
    *sizes, block, least = shape
    monkeypatch.setattr(scan, "BLOCK", block)
    monkeypatch.setattr(scan, "LEAST_PLACES", least)
    given, begins = inputs(*sizes), some_begins(*sizes[:2]) if packed else None
    right = answers(selective_scan_reference, given, begins)
    for name, got, expected in zip(NAMES, answers(selective_scan, given, begins), right, strict=True):
        assert got.shape == expected.shape, name
        hold(
            "7 selective scan, by blocks = by tokens, float64",
            ((got - expected).abs().max() / expected.abs().max().clamp(min=1.0)).item(),
            TOLERANCE,
        )
    with torch.no_grad():
        for got, expected in zip(selective_scan(*given, begins), right, strict=False):
            assert (got - expected).abs().max() <= TOLERANCE


def test_gradients_are_finite_differences() -> None:
    given = [part.requires_grad_() for part in inputs(2, 5, 3, 2)]
    assert torch.autograd.gradcheck(lambda *parts: selective_scan(*parts, some_begins(2, 5)), given)


def test_a_constant_step_is_a_geometric_sum() -> None:
    """With one channel and all constant, h_t = u (1 - r^t) / (1 - r), a closed form."""
    n, step, a = 12, 0.3, -0.7
    ones = torch.ones(1, n, 1, dtype=torch.float64)
    y, _ = selective_scan(ones, step * ones, a * ones[0, 0][None], ones, ones, torch.zeros(1, dtype=torch.float64))
    r = torch.exp(torch.tensor(step * a, dtype=torch.float64))
    right = step * (1 - r ** torch.arange(1, n + 1)) / (1 - r)
    assert torch.allclose(y[0, :, 0], right, rtol=1e-12)


def test_what_vanishes_is_zero_and_nothing_overflows() -> None:
    """Steps so long that all decays are 0 in float32: only the token itself is left, and gradients are finite."""
    given = [part.float() for part in inputs(2, 30, 4, 3)]
    given[1], given[2] = torch.full_like(given[1], 1e4), torch.full_like(given[2], -1e3)
    y, _, *gradients = answers(selective_scan, given, None)
    x, step, _, b, c, d = given[:6]
    assert torch.allclose(y, (step * (b * c).sum(-1, keepdim=True) + d) * x, rtol=1e-4, atol=1.0)
    assert all(torch.isfinite(part).all() for part in gradients)


def test_no_token_leaves_the_state() -> None:
    given = inputs(2, 0, 3, 2)
    y, state = selective_scan(*given)
    assert y.shape == (2, 0, 3)
    assert torch.equal(state, given[6])
    given[6].requires_grad_()
    selective_scan(*given)[1].sum().backward()
    assert torch.equal(given[6].grad, torch.ones_like(given[6]))  # type: ignore[arg-type]


def forget_begins(*given: Tensor | None) -> tuple[Tensor, Tensor]:
    return selective_scan(*given[:-1], None)  # type: ignore[arg-type]


def forget_the_state(*given: Tensor | None) -> tuple[Tensor, Tensor]:
    *rest, state, begins = given
    assert state is not None
    return selective_scan(*rest, 0 * state, begins)  # type: ignore[arg-type]


def test_mutants_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    begins = some_begins(3, 13)
    assert differs(selective_scan, begins) == set()
    assert "state" in differs(forget_begins, begins)
    assert {"y", "first state"} <= differs(forget_the_state, None)
    back = scan._scan_back

    def cut_between_blocks(blocks: scan._Blocks, kept: Tensor, g: Tensor, carried: Tensor) -> tuple[Tensor, ...]:
        """No block sends anything back to the one before it."""
        return back(blocks, torch.zeros_like(kept), g, carried)

    monkeypatch.setattr(scan, "_scan_back", cut_between_blocks)
    assert {"a", "c", "step"} <= differs(selective_scan, None)


def as_mamba_ssm(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor) -> Tensor:
    """What selective_scan_fn of mamba-ssm promises: u and delta (B, E, T), A (E, N), B and C (B, N, T), D (E,) → (B, E, T)."""
    assert all(part.stride(-1) == 1 for part in (u, delta, B, C))
    h, columns = u.new_zeros(*u.shape[:2], A.shape[1]), []
    for t in range(u.shape[2]):
        h = torch.einsum("be,en->ben", delta[..., t], A).exp() * h + torch.einsum(
            "be,bn->ben", delta[..., t] * u[..., t], B[..., t]
        )
        columns.append(torch.einsum("ben,bn->be", h, C[..., t]) + D * u[..., t])
    return torch.stack(columns, -1)


def test_mamba_ssm_is_asked_on_a_gpu_for_one_document_and_no_state(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def kernel(*parts: Tensor) -> Tensor:
        asked.append(parts)
        return as_mamba_ssm(*parts)

    given = [part.float() for part in inputs(2, 9, 5, 3)[:6]]
    right, _ = selective_scan(*given)
    assert torch.equal(selective_scan_alone(*given), right)  # no GPU
    monkeypatch.setattr(scan_fused, "on_cuda", lambda x: True)
    scan_fused.fused_kernel.cache_clear()
    assert torch.equal(selective_scan_alone(*given), right)  # not installed
    monkeypatch.setattr(scan_fused, "fused_kernel", lambda: kernel)
    assert torch.allclose(selective_scan_alone(*given), right, rtol=1e-4, atol=1e-4)
    assert len(asked) == 1
    begins = some_begins(2, 9)
    assert torch.equal(selective_scan_alone(*given, begins), selective_scan(*given, None, begins)[0])
    assert len(asked) == 1  # it knows of no documents

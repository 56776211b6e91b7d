"""The products: fast ways against F.linear, values and all gradients."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from linnet.ops import linear as module
from linnet.ops.linear import MIN_ROWS, PANEL, linear, linear_reference, matrix_vector

ROUNDING = 2e-6  # of the largest number: sums of at most 96 products in another order, 16 units in the last place
SHAPES = [((3, MIN_ROWS, 24), 40), ((MIN_ROWS, 8), 8), ((2, 5, 24), 40)]


def made(shape: tuple[int, ...], d_out: int, bias: bool) -> list[Tensor | None]:
    draws = torch.Generator().manual_seed(0)
    x, weight, b = (torch.randn(size, generator=draws).requires_grad_() for size in (shape, (d_out, shape[-1]), (d_out,)))
    return [x, weight, b if bias else None]


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("shape", "d_out"), SHAPES)
def test_linear_equals_its_oracle(shape: tuple[int, ...], d_out: int, bias: bool) -> None:
    inputs = made(shape, d_out, bias)
    wanted = [item for item in inputs if item is not None]
    y, oracle = linear(*inputs), linear_reference(*inputs)  # type: ignore[arg-type]
    torch.testing.assert_close(y, oracle, rtol=1e-5, atol=1e-5)
    g = torch.randn(y.shape, generator=torch.Generator().manual_seed(1))
    for mine, theirs in zip(torch.autograd.grad(y, wanted, g), torch.autograd.grad(oracle, wanted, g), strict=True):
        assert (mine - theirs).abs().max() <= ROUNDING * theirs.abs().max()


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("d_out", [PANEL, 3 * PANEL, 3 * PANEL + 1, 5 * PANEL - 1])
def test_one_row_equals_its_oracle(d_out: int, bias: bool) -> None:
    x, weight, b = (None if item is None else item.detach() for item in made((1, 1, 48), d_out, bias))
    assert x is not None
    assert weight is not None
    torch.testing.assert_close(matrix_vector(x, weight, b), linear_reference(x, weight, b), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(matrix_vector(x[0, 0], weight, b), linear_reference(x[0, 0], weight, b), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "wrong", [lambda w: w.roll(1, 0), lambda w: w.flip(1), lambda w: torch.cat((w[:-1], w[:1]))], ids=["rows", "columns", "rest"]
)
def test_one_row_of_other_weights_is_seen(wrong: Callable[[Tensor], Tensor]) -> None:
    x, weight, _ = (None if item is None else item.detach() for item in made((1, 1, 48), 3 * PANEL + 1, False))
    assert (matrix_vector(x, wrong(weight)) - linear_reference(x, weight)).abs().max() > 0.1  # type: ignore[arg-type]


def test_one_row_takes_the_panels_only_without_a_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(module, "matrix_vector", lambda *inputs: calls.append(1) or linear_reference(*inputs))
    inputs = made((1, 48), 3 * PANEL, True)
    linear(*inputs)  # type: ignore[arg-type]
    assert not calls
    with torch.no_grad():
        linear(*inputs)  # type: ignore[arg-type]
    assert calls

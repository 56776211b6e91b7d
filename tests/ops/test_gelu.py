"""The fast tanh-GELU is the formula: values and gradients against PyTorch's kernel and against float64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from linnet.ops import activation
from linnet.ops.activation import MIN_NUMBERS, PIECE, gelu_tanh, gelu_tanh_reference

SHAPES = [(MIN_NUMBERS,), (7, 33, 128), (3, PIECE // 2)]  # one piece, an odd shape, a last piece that is shorter


def numbers(shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    draws = torch.Generator().manual_seed(0)
    x = torch.randn(shape, generator=draws) * 4
    x.view(-1)[:8] = torch.tensor([0.0, -0.0, 1e-20, -1e-20, 60.0, -60.0, 1e4, -1e4])  # both tails, where σ is 0 or 1
    return x, torch.randn(shape, generator=draws)


def value_and_gradient(function: object, x: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
    x = x.clone().requires_grad_()
    y = function(x)  # type: ignore[operator]
    return y.detach(), torch.autograd.grad(y, x, g)[0]


@pytest.mark.parametrize("shape", SHAPES)
def test_gelu_tanh_equals_its_oracle(shape: tuple[int, ...]) -> None:
    x, g = numbers(shape)
    y, gradient = value_and_gradient(gelu_tanh, x, g)
    for wide in (False, True):
        oracle = value_and_gradient(gelu_tanh_reference, x.double() if wide else x, g.double() if wide else g)
        torch.testing.assert_close(y, oracle[0].float(), rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(gradient, oracle[1].float(), rtol=1e-5, atol=1e-5)  # measured: 4e-6 at |x g| of 20


def test_a_strided_input_is_read_right() -> None:
    x, g = numbers((96, 256))
    y, gradient = value_and_gradient(lambda x: gelu_tanh(x.t()), x, g.t())
    torch.testing.assert_close(y, gelu_tanh_reference(x.t()), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(gradient, value_and_gradient(gelu_tanh_reference, x, g)[1], rtol=1e-5, atol=1e-5)


def test_a_wrong_constant_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activation, "B", activation.B * 1.001)
    with pytest.raises(AssertionError):
        test_gelu_tanh_equals_its_oracle((7, 33, 128))

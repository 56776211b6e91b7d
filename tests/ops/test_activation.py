"""Activations against their formulas."""

from __future__ import annotations

import math
from typing import get_args

import pytest
import torch

from linnet.ops.activation import ACTIVATIONS, ActivationName

FORMULAS = {
    "relu": lambda x: max(x, 0.0),
    "relu2": lambda x: max(x, 0.0) ** 2,
    "gelu": lambda x: x * 0.5 * (1 + math.erf(x / 2**0.5)),
    "gelu_tanh": lambda x: 0.5 * x * (1 + math.tanh((2 / math.pi) ** 0.5 * (x + 0.044715 * x**3))),
    "silu": lambda x: x / (1 + math.exp(-x)),
    "sigmoid": lambda x: 1 / (1 + math.exp(-x)),
}


def test_every_name_has_a_function() -> None:
    assert set(get_args(ActivationName)) == set(ACTIVATIONS) == set(FORMULAS)


@pytest.mark.parametrize("name", FORMULAS)
def test_activation(name: str) -> None:
    x = torch.linspace(-4, 4, 33, dtype=torch.float64)
    right = torch.tensor([FORMULAS[name](value) for value in x.tolist()], dtype=torch.float64)
    assert torch.allclose(ACTIVATIONS[name](x), right, atol=1e-12)

"""Attention by distance: the shift against every distance written out, and against the formula of the paper, term by term."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from equivalence import Hold
from linnet.ops.relative_attention import distance_waves, relative_attention, relative_attention_reference, shifted

EXACT = 1e-12  # float64, relative to the largest number
SHAPES = {  # heads, groups, queries, keys
    "square": (4, 4, 5, 5),
    "memory": (4, 4, 3, 8),
    "groups": (4, 2, 3, 8),
    "one group": (3, 1, 4, 7),
    "one query": (4, 4, 1, 6),
    "one key": (2, 2, 1, 1),
}


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def case(shape: str, rows: int = 2) -> tuple[list[Tensor], Tensor]:
    heads, groups, n, c = SHAPES[shape]
    inputs = [
        draw(2, heads, n, 3, seed=1),
        draw(2, groups, c, 3, seed=2),
        draw(2, groups, c, 3, seed=3),
        draw(heads, c, 3, seed=4),
    ]
    inputs += [draw(heads, 3, seed=5), draw(heads, 3, seed=6)]
    keys = torch.arange(c)
    allowed = (keys <= keys[c - n :, None]).expand(rows, -1, -1).clone()
    allowed[0, -1, : c - 1] = False  # the last query of the first row sees itself alone
    return inputs, allowed


def apart(shape: str, fast: Callable[..., Tensor] = relative_attention, rows: int = 2) -> float:
    results = []
    for function in (fast, relative_attention_reference):
        inputs, allowed = case(shape, rows)
        leaves = [x.requires_grad_() for x in inputs]
        y = function(*leaves, allowed, scale=0.6)
        gradients = torch.autograd.grad((y * draw(*y.shape, seed=7)).sum(), leaves)
        results.append([y, *gradients])
    return max(((a - b).abs().max() / b.abs().max().clamp(min=1e-3)).item() for a, b in zip(*results, strict=True))


@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_shift_is_every_distance_written_out(shape: str, rows: int, hold: Hold) -> None:
    hold("7 relative attention, shifted = written out, float64", apart(shape, rows=rows), EXACT)


def test_the_four_terms_of_the_paper() -> None:
    """Content, distance, and both biases apart; r is a matrix times a wave of the distance."""
    d_model, heads, n = 6, 2, 4
    (q, k, v), matrix = (draw(1, heads, n, 3, seed=seed) for seed in range(3)), draw(heads, 3, d_model, seed=3)
    u, w = draw(heads, 3, seed=4), draw(heads, 3, seed=5)
    waves = distance_waves(n, d_model, q)
    r = torch.stack([waves @ matrix[h].T for h in range(heads)])
    allowed = torch.ones(n, n).tril().bool()[None]
    got = relative_attention(q, k, v, r, u, w, allowed, scale=0.5)
    for h in range(heads):
        for i in range(n):
            scores = []
            for j in range(i + 1):
                angle = torch.tensor([(i - j) * 10_000 ** (-2 * f / d_model) for f in range(d_model // 2)]).double()
                far = matrix[h] @ torch.cat((angle.sin(), angle.cos()))
                scores.append(q[0, h, i] @ k[0, h, j] + q[0, h, i] @ far + u[h] @ k[0, h, j] + w[h] @ far)
            expected = (torch.stack(scores) * 0.5).softmax(0) @ v[0, h, : i + 1]
            assert torch.allclose(got[0, h, i], expected, atol=1e-6)  # waves are made in float32


def without(which: int) -> Callable[..., Tensor]:
    """One of r, u, w is ignored."""

    def mutant(*inputs: Tensor, scale: float) -> Tensor:
        return relative_attention(*(0 * x if i == which else x for i, x in enumerate(inputs)), scale=scale)

    return mutant


def near_to_far(q: Tensor, k: Tensor, v: Tensor, r: Tensor, *rest: Tensor, scale: float) -> Tensor:
    return relative_attention(q, k, v, r.flip(1), *rest, scale=scale)


@pytest.mark.parametrize("mutant", [without(3), without(4), without(5), near_to_far], ids=["no r", "no u", "no w", "near to far"])
def test_mutants_are_caught(mutant: Callable[..., Tensor]) -> None:
    assert apart("memory", mutant) > 1e-3


def test_shifted_moves_each_row_by_its_own() -> None:
    x = torch.arange(12.0).view(3, 4)
    assert shifted(x)[0, :2].tolist() == [2, 3]
    assert shifted(x)[1, :3].tolist() == [5, 6, 7]
    assert shifted(x)[2].tolist() == [8, 9, 10, 11]

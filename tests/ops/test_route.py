"""Routing and dispatch: the fast path is the oracle, choices are those that the papers say, mutants are caught."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from linnet.ops import route as module
from linnet.ops.route import balance_loss, entropy, load, mix, mix_reference, route

N, D, E = 23, 6, 5
DRAWS = torch.Generator().manual_seed(0)
MATRICES = torch.randn(E, D, D, generator=DRAWS, dtype=torch.float64)
Mix = Callable[[Tensor, Any, Tensor, Tensor], Tensor]


def outputs_and_gradients(mix: Mix, top_k: int, experts: int = E) -> list[Tensor]:
    """What a mixture of `experts` small layers says, and the gradients of x, router and layers."""
    draws = torch.Generator().manual_seed(1)
    x = torch.randn(N, D, generator=draws, dtype=torch.float64, requires_grad=True)
    router = torch.randn(D, experts, generator=draws, dtype=torch.float64, requires_grad=True)
    matrices = MATRICES.clone().requires_grad_()
    layers = [lambda rows, m=m: torch.tanh(rows @ m) for m in matrices[:experts]]
    chosen, weights, _ = route(x @ router, top_k)
    y = mix(x, layers, chosen, weights)
    return [y, *torch.autograd.grad(y.sin().sum(), (x, router, matrices))]


def assert_is_the_oracle(mix: Mix, top_k: int, experts: int = E) -> None:
    for got, right in zip(
        outputs_and_gradients(mix, top_k, experts), outputs_and_gradients(mix_reference, top_k, experts), strict=True
    ):
        torch.testing.assert_close(got, right, rtol=1e-12, atol=1e-12)  # float64


@pytest.mark.parametrize("top_k", [1, 2, 3, E])
def test_the_fast_path_is_the_oracle(top_k: int) -> None:
    assert_is_the_oracle(mix, top_k)


def test_one_expert_alone_is_itself() -> None:
    assert_is_the_oracle(mix, 1, experts=1)


def test_an_expert_that_nobody_chose_has_zeros_for_gradients() -> None:
    x = torch.randn(4, D, dtype=torch.float64)
    matrices = MATRICES.clone().requires_grad_()
    layers = [lambda rows, m=m: rows @ m for m in matrices]
    chosen = torch.tensor([[0, 3]] * 4)
    y = mix(x, layers, chosen, torch.full((4, 2), 0.5, dtype=torch.float64))
    torch.testing.assert_close(y, x @ (MATRICES[0] + MATRICES[3]) / 2)
    (gradient,) = torch.autograd.grad(y.sum(), matrices)
    assert gradient[[0, 3]].abs().min() > 0
    assert not gradient[[1, 2, 4]].any()


def test_gradients_by_finite_differences() -> None:
    x = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    weights = torch.rand(5, 2, dtype=torch.float64, requires_grad=True)
    chosen = torch.tensor([[0, 1], [2, 1], [2, 0], [1, 0], [1, 2]])
    layers = [torch.tanh, torch.sin, torch.exp]
    assert torch.autograd.gradcheck(lambda x, w: mix(x, layers, chosen, w), (x, weights))


def wrong_place(ctx: Any, said: Tensor, weights: Tensor, order: Tensor, back: Tensor) -> Tensor:
    ctx.save_for_backward(said, weights, order, back)
    return (said.unflatten(0, weights.shape) * weights[..., None]).sum(1)  # left in the order of the experts


def weights_of_others(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    said, weights, order, _ = ctx.saved_tensors
    of_place = grad.index_select(0, order // weights.shape[1])
    return of_place * weights.flatten()[order][:, None], (said * of_place).sum(-1).view_as(weights), None, None


def the_first_choice_alone(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    (back,) = ctx.saved_tensors
    return grad.index_select(0, back).unflatten(0, (-1, ctx.top_k))[:, 0], None, None, None


@pytest.mark.parametrize(
    ("of", "name", "mutant"),
    [
        ("_Collect", "forward", wrong_place),
        ("_Collect", "backward", weights_of_others),
        ("_Deal", "backward", the_first_choice_alone),
    ],
)
def test_mutants_of_the_dispatch_are_caught(of: str, name: str, mutant: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(getattr(module, of), name, staticmethod(mutant))
    with pytest.raises(AssertionError):
        assert_is_the_oracle(mix, 2)


# ---- who is chosen ---------------------------------------------------------------------------------------------------

LOGITS = torch.randn(40, 12, generator=torch.Generator().manual_seed(3), dtype=torch.float64) * 2


def test_renormalised_softmax_is_a_softmax_over_the_chosen() -> None:
    chosen, weights, scores = route(LOGITS, 3)
    torch.testing.assert_close(weights, LOGITS.gather(1, chosen).softmax(-1))
    torch.testing.assert_close(scores.sum(-1), torch.ones(40, dtype=torch.float64))
    _, raw, _ = route(LOGITS, 3, normalise=False, scale=2.0)
    torch.testing.assert_close(raw, 2 * LOGITS.softmax(-1).gather(1, chosen))


def test_a_bias_decides_who_is_chosen_and_never_enters_the_weights() -> None:
    bias = torch.zeros(12)
    bias[7] = 10.0
    logits = LOGITS.clone().requires_grad_()
    chosen, weights, _ = route(logits, 3, score="sigmoid", scale=2.5, bias=bias)
    assert (chosen == 7).any(1).all()
    mine = LOGITS.sigmoid().gather(1, chosen)
    torch.testing.assert_close(weights, 2.5 * mine / mine.sum(-1, keepdim=True))
    torch.testing.assert_close(weights.sum(-1), torch.full((40,), 2.5, dtype=torch.float64))


def by_hand(scores: list[float], bias: list[float], top_k: int, n_groups: int, top_groups: int) -> set[int]:
    """The experts of one token, in plain Python."""
    choice = [s + b for s, b in zip(scores, bias, strict=True)]
    size = len(choice) // n_groups
    groups = [range(g * size, (g + 1) * size) for g in range(n_groups)]
    worth = [sum(sorted((choice[e] for e in group), reverse=True)[:2]) for group in groups]
    best = sorted(range(n_groups), key=lambda g: -worth[g])[:top_groups]
    allowed = [e for g in best for e in groups[g]]
    return set(sorted(allowed, key=lambda e: -choice[e])[:top_k])


@pytest.mark.parametrize(("n_groups", "top_groups", "top_k"), [(4, 2, 3), (3, 1, 4), (2, 2, 5), (6, 3, 6), (12, 4, 4)])
def test_groups(n_groups: int, top_groups: int, top_k: int) -> None:
    bias = torch.randn(12, generator=torch.Generator().manual_seed(4), dtype=torch.float64) / 4
    chosen, _, scores = route(LOGITS, top_k, score="sigmoid", bias=bias, n_groups=n_groups, top_groups=top_groups)
    for mine, row in zip(chosen.tolist(), scores.tolist(), strict=True):
        assert len(set(mine)) == top_k
        assert set(mine) == by_hand(row, bias.tolist(), top_k, n_groups, top_groups)


def test_16_bits_are_chosen_among_in_32() -> None:
    chosen, weights, scores = route(LOGITS.bfloat16(), 3)
    assert weights.dtype == scores.dtype == torch.float32
    torch.testing.assert_close(scores, LOGITS.bfloat16().float().softmax(-1))
    assert chosen.shape == (40, 3)


# ---- balance ---------------------------------------------------------------------------------------------------------


def test_balance_is_one_where_all_are_alike_and_e_where_one_has_all() -> None:
    alike, chosen = torch.full((8, 4), 0.25), torch.arange(16).view(8, 2) % 4
    assert balance_loss(alike, chosen).item() == pytest.approx(1)
    alone = torch.tensor([[1.0, 0, 0, 0]]).expand(8, 4)
    assert balance_loss(alone, torch.zeros(8, 1, dtype=torch.int64)).item() == pytest.approx(4)
    assert entropy(alike).tolist() == pytest.approx([1.3862944] * 8)
    assert entropy(alone).tolist() == [0.0] * 8
    assert load(chosen, 5).tolist() == [4, 4, 4, 4, 0]


def test_balance_is_the_formula() -> None:
    """Written out: f from counting in Python, P from a mean; sigmoid scores are shares only once they are divided."""
    for score in ("softmax", "sigmoid"):
        chosen, _, scores = route(LOGITS, 2, score=score)  # type: ignore[arg-type]
        f = [sum(row.count(e) for row in chosen.tolist()) / 80 for e in range(12)]
        p = (scores / scores.sum(-1, keepdim=True)).mean(0).tolist()
        assert balance_loss(scores, chosen).item() == pytest.approx(12 * sum(a * b for a, b in zip(f, p, strict=True)))

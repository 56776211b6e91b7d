"""Ternary weights and 8-bit activations: by whole numbers = as the formula stands = what transformers does; and mutants of each part."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from linnet.ops import ternary
from linnet.ops.ternary import (
    eight_bits,
    full_weights,
    ternary_linear,
    ternary_linear_reference,
    ternary_linears,
    ternary_weights,
    unpacked,
)

Patch = pytest.MonkeyPatch
Way = Callable[..., Tensor]
EXACT = 1e-12  # float64: the reference adds and takes away what was rounded


def drawn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def case(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    """Tokens of very different sizes, one of them nothing; weights and a bias."""
    sizes = torch.tensor([1.0, 1e-3, 50.0, 0.0, 3.0], dtype=torch.float64)[:, None]
    return (drawn(2, 5, 24) * sizes).to(dtype), drawn(13, 24, seed=1, dtype=dtype) * 0.3, drawn(13, seed=2, dtype=dtype)


def outcome(way: Way, *given: Tensor) -> list[Tensor]:
    """What a way answers, and every gradient."""
    leaves = [x.clone().requires_grad_() for x in given]
    y = way(*leaves)
    return [y.detach(), *torch.autograd.grad((y * drawn(*y.shape, seed=3, dtype=y.dtype)).sum(), leaves)]


def distance(got: list[Tensor], right: list[Tensor]) -> float:
    return max(((a - b).abs().max() / b.abs().max().clamp(min=1e-9)).item() for a, b in zip(got, right, strict=True))


def by_loops(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The paper's equations, number by number."""
    gamma = sum(abs(w) for row in weight.tolist() for w in row) / weight.numel()
    rows = []
    for token in x.flatten(0, -2).tolist():
        scale = 127 / max(max(abs(v) for v in token), 1e-5)
        rounded = [round(v * scale) / scale for v in token]
        rows.append(
            [
                sum(v * max(-1, min(1, round(w / gamma))) * gamma for v, w in zip(rounded, row, strict=True)) + b
                for row, b in zip(weight.tolist(), bias.tolist(), strict=True)
            ]
        )
    return torch.tensor(rows, dtype=x.dtype).view(*x.shape[:-1], -1)


def test_the_reference_is_the_papers_equations() -> None:
    x, weight, bias = case()
    assert distance([ternary_linear_reference(x, weight, bias)], [by_loops(x, weight, bias)]) < EXACT


def test_gradients_are_those_of_a_product_of_what_was_rounded() -> None:
    """Straight through: as if the rounded numbers had been the leaves."""
    x, weight, bias = case()
    (codes, gamma), (numbers, scale) = ternary_weights(weight), eight_bits(x)
    right = outcome(F.linear, numbers / scale, codes * gamma, bias)
    assert distance(outcome(ternary_linear_reference, x, weight, bias), right) < EXACT


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
def test_by_whole_numbers_is_the_reference(dtype: torch.dtype) -> None:
    given = case(dtype)
    tolerance = {torch.float64: EXACT, torch.float32: 1e-5, torch.bfloat16: 0.03}[dtype]  # bfloat16 has 8 bits, in other places
    right = outcome(ternary_linear_reference, *given)
    got = outcome(ternary_linear, *given)
    assert all(a.dtype == dtype for a in got)
    assert distance([a.double() for a in got], [b.double() for b in right]) < tolerance
    with torch.no_grad():  # decoding takes a third way
        assert distance([ternary_linear(*given).double()], [right[0].double()]) < tolerance


@pytest.mark.parametrize("autocast", [False, True])
def test_sums_of_many_numbers_fit_in_float16(autocast: bool) -> None:
    """2048 numbers of 127 are 260,096, and float16 ends at 65,504."""
    dtype = torch.float32 if autocast else torch.float16
    x, weight = torch.ones(3, 2048, dtype=dtype), drawn(4, 2048, dtype=dtype).abs() + 0.5
    right = ternary_linear_reference(x.float(), weight.float())
    assert right.abs().min() > 1000
    with torch.autocast("cpu", torch.float16, enabled=autocast):
        ways = [outcome(ternary_linear, x, weight)[0]]
        with torch.no_grad():
            ways.append(ternary_linear(x, weight))
    for y in ways:
        assert y.dtype == torch.float16
        assert distance([y.float()], [right]) < 1e-3


def test_several_matrices_are_each_by_itself() -> None:
    x, weight, bias = case()
    weights = [weight, 5 * weight[:4].flip(1), weight[:1]]

    def together(x: Tensor, *weights: Tensor) -> Tensor:
        return torch.cat(ternary_linears(x, [(w, bias[: len(w)]) for w in weights]), -1)

    def apart(x: Tensor, *weights: Tensor) -> Tensor:
        return torch.cat([ternary_linear_reference(x, w, bias[: len(w)]) for w in weights], -1)

    assert distance(outcome(together, x, *weights), outcome(apart, x, *weights)) < EXACT
    frozen = ternary_linears(x.clone().requires_grad_(), [(weight, None), (weight[:2], None)])
    assert frozen[1].requires_grad, "frozen weights let the gradient through"


def test_values_are_three_and_numbers_are_of_8_bits() -> None:
    x, weight, _ = case(torch.float32)
    codes, gamma = ternary_weights(weight)
    assert set(codes.unique().tolist()) == {-1.0, 0.0, 1.0}
    assert gamma == weight.abs().mean()
    numbers, scale = eight_bits(x)
    assert torch.equal(numbers, numbers.to(torch.int8).float())
    largest = numbers.abs().amax(-1)
    assert set(largest[x.abs().amax(-1) > 1e-5].tolist()) == {127.0}
    assert torch.equal(numbers[:, 3], torch.zeros(2, 24)), "nothing stays nothing"
    assert ((numbers / scale - x).abs() <= 0.5001 / scale).all(), "to the nearest"
    assert torch.equal(ternary_linear(x, torch.zeros_like(weight)), torch.zeros(2, 5, 13))


def test_a_pass_cut_anywhere_has_the_same_bits() -> None:
    """Sums of whole numbers are exact, and a token's scale is its own: also in float32, wherever it is cut, in any company."""
    x, weight = drawn(40, 300, dtype=torch.float32), drawn(50, 300, seed=1, dtype=torch.float32)
    whole = ternary_linear(x, weight)
    for n in (1, 3, 17):
        assert torch.equal(torch.cat([ternary_linear(part, weight) for part in x.split(n)]), whole)
    shuffled = torch.randperm(300, generator=torch.Generator().manual_seed(4))
    numbers, codes = eight_bits(x)[0], ternary_weights(weight)[0]
    assert torch.equal(numbers[:, shuffled] @ codes[:, shuffled].t(), numbers @ codes.t()), "in any order"
    dense = F.linear(x, weight)
    assert not torch.equal(x[:, shuffled] @ weight[:, shuffled].t(), dense), "which full numbers do not have"


def test_full_weights_are_rounded_to_what_they_were_made_of() -> None:
    codes, _ = ternary_weights(drawn(16, 24, dtype=torch.float32))
    found, gamma = ternary_weights(full_weights(codes, 0.37))
    assert torch.equal(found, codes)
    assert gamma.item() == pytest.approx(0.37, rel=1e-6)
    assert torch.equal(full_weights(torch.zeros(2, 3), 0.5), torch.zeros(2, 3))


# what transformers does ------------------------------------------------------------------------------------------------


def theirs() -> object:
    pytest.importorskip("transformers")
    from transformers.integrations import bitnet

    return bitnet


@pytest.mark.parametrize("bias", [True, False])
def test_theirs_in_training(bias: bool) -> None:
    """AutoBitLinear, online: outputs and gradients."""
    module = theirs()
    x, weight, b = case(torch.float32)
    layer = module.AutoBitLinear(24, 13, bias=bias, online_quant=True)  # type: ignore[attr-defined]
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(b) if bias else None
    x = x.requires_grad_()
    with torch.compiler.set_stance("force_eager"):
        y = layer(x)
        pull = drawn(*y.shape, seed=3, dtype=torch.float32)
        (y * pull).sum().backward()
    leaves = [x.detach().requires_grad_(), weight.requires_grad_(), *([b.requires_grad_()] if bias else [])]
    ours = ternary_linear(*leaves)
    (ours * pull).sum().backward()
    right = [y, x.grad, layer.weight.grad, *([layer.bias.grad] if bias else [])]
    assert distance([ours, *(leaf.grad for leaf in leaves)], right) < 1e-5  # type: ignore[list-item]


def test_theirs_packed() -> None:
    """BitLinear: weights of 2 bits and 1 / γ beside them."""
    module = theirs()
    x, weight = drawn(5, 24, dtype=torch.float32), drawn(16, 24, seed=1, dtype=torch.float32)
    codes, gamma = ternary_weights(weight)
    layer = module.BitLinear(24, 16, bias=False, dtype=torch.float32)  # type: ignore[attr-defined]
    packed = module.pack_weights(codes.clone())  # type: ignore[attr-defined]
    layer.weight, layer.weight_scale = packed, 1 / gamma
    assert torch.equal(unpacked(packed), codes.to(torch.int8))
    with torch.compiler.set_stance("force_eager"):
        right = layer(x)
    assert distance([ternary_linear(x, weight)], [right]) < 1e-6


# mutants ---------------------------------------------------------------------------------------------------------------


def no_straight_through(patch: Patch) -> None:
    patch.setattr(ternary, "straight_through", lambda x, rounded: rounded.detach() + 0 * x)


def scale_forgotten(patch: Patch) -> None:
    right = ternary_weights
    patch.setattr(ternary, "ternary_weights", lambda w: (right(w)[0], torch.ones((), dtype=w.dtype)))


def rounded_up(patch: Patch) -> None:
    patch.setattr(
        ternary,
        "ternary_weights",
        lambda w: ((w / w.abs().mean()).ceil().clamp(-1, 1), w.abs().mean()),
    )


def scale_of_all_tokens(patch: Patch) -> None:
    def mutant(x: Tensor) -> tuple[Tensor, Tensor]:
        scale = (127 / x.abs().max().clamp(min=1e-5)).expand(*x.shape[:-1], 1)
        return (x * scale).round(), scale

    patch.setattr(ternary, "eight_bits", mutant)


def largest_weight(patch: Patch) -> None:
    patch.setattr(ternary, "ternary_weights", lambda w: ((w / w.abs().max()).round(), w.abs().max()))


@pytest.mark.parametrize("mutant", [scale_forgotten, rounded_up, scale_of_all_tokens, largest_weight])
def test_the_equations_kill(mutant: Callable[[Patch], None], monkeypatch: Patch) -> None:
    given = case()
    right = by_loops(*given)
    mutant(monkeypatch)
    assert distance([ternary_linear_reference(*given)], [right]) > 1e-3
    assert distance([ternary_linear(*given)], [right]) > 1e-3


def test_gradients_kill_a_rounding_that_nothing_goes_through(monkeypatch: Patch) -> None:
    given = case()
    right = outcome(ternary_linear, *given)
    no_straight_through(monkeypatch)
    assert distance(outcome(ternary_linear_reference, *given), right) > 0.9


def test_cuts_kill_a_scale_of_all_tokens(monkeypatch: Patch) -> None:
    scale_of_all_tokens(monkeypatch)
    x, weight = drawn(40, 30), drawn(50, 30, seed=1)
    cut = torch.cat([ternary_linear(part, weight) for part in x.split(3)])
    assert distance([cut], [ternary_linear(x, weight)]) > 1e-3


def test_gradients_kill_a_backward_pass_that_forgets_a_scale(monkeypatch: Patch) -> None:
    given = case()
    right = outcome(ternary_linear_reference, *given)
    backward = ternary._TernaryLinears.backward

    def mutant(ctx: object, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        of_x, *of_weights = backward(ctx, *gradients)
        return of_x / 0.3, *of_weights  # type: ignore[operator, arg-type]

    monkeypatch.setattr(ternary._TernaryLinears, "backward", staticmethod(mutant))
    assert distance(outcome(ternary_linear, *given), right) > 0.1

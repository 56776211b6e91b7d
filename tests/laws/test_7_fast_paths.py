"""Law 7: a fast path is its oracle, in its output and in all its gradients.

Errors are relative to the largest number of the right answer. float32 sums of some hundred terms: 2e-5.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from equivalence import Hold
from linnet.ops.activation import relu2, relu2_reference
from linnet.ops.attention import attention, attention_from, attention_from_reference, attention_reference
from linnet.ops.convolution import convolve, convolve_reference
from linnet.ops.linear import linear_reference
from linnet.ops.loss import cross_entropy_reference, linear_cross_entropy, token_losses
from linnet.ops.mask import Mask
from linnet.ops.norm import rms_norm, rms_norm_reference
from linnet.ops.rope import rotary_table, rotate, rotate_reference
from linnet.train.optimizers import MuonOptimizer, orthogonalise

ROUNDING = 2e-5


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.empty(shape).normal_(generator=torch.Generator().manual_seed(seed + sum(shape)))


def apart(fast: Callable[..., Tensor], oracle: Callable[..., Tensor], inputs: Mapping[str, Tensor | None], **fixed: Any) -> float:
    """The largest relative error of fast(**inputs, **fixed): output, and gradients of every input."""
    results = []
    for function in (fast, oracle):
        leaves = {name: None if x is None else x.detach().requires_grad_() for name, x in inputs.items()}
        y = function(**leaves, **fixed)
        wanted = [x for x in leaves.values() if x is not None]
        (y * torch.linspace(0.5, 2, y.numel(), dtype=y.dtype).view(y.shape)).sum().backward()
        assert all(x.grad is not None for x in wanted), "an input without a gradient"
        results.append([y.detach(), *(x.grad for x in wanted if x.grad is not None)])
    errors = [(a - b).abs().max() / b.abs().max().clamp(min=1e-6) for a, b in zip(*results, strict=True)]
    return torch.stack(errors).max().item()  # NaN where one is


# attention

SHAPES = {
    "heads": (4, 4, 7, 7),
    "grouped": (4, 2, 7, 7),
    "multi-query": (4, 1, 7, 7),
    "decode": (4, 4, 1, 9),
    "grouped decode": (6, 2, 1, 9),
    "piece": (4, 2, 3, 9),
}


def attention_case(shape: str, hidden: str, bias: bool) -> tuple[dict[str, Tensor], dict[str, Any]]:
    heads, groups, n, s = SHAPES[shape]
    inputs = {"q": draw(2, heads, n, 8), "k": draw(2, groups, s, 8, seed=1), "v": draw(2, groups, s, 8, seed=2)}
    queries, keys = torch.arange(s - n, s), torch.arange(s)
    documents = torch.tensor([[0] * 4 + [1] * (s - 4), [2] * (s - 2) + [5] * 2])
    allowed = {
        "nothing": None,
        "causal": None,
        "mask": Mask(True, 3).dense(queries, keys),
        "documents": Mask(True, None, (documents[:, s - n :], documents)).dense(queries, keys),
        "mask and causal": Mask(False, 3).dense(queries, keys),
    }[hidden]
    fixed = {"allowed": allowed, "causal": "causal" in hidden, "scale": 0.4}
    return inputs, fixed | ({"bias": draw(heads, n, s, seed=3)} if bias else {})


@pytest.mark.parametrize("bias", [False, True], ids=["", "bias"])
@pytest.mark.parametrize("hidden", ["nothing", "causal", "mask", "documents", "mask and causal"])
@pytest.mark.parametrize("shape", SHAPES)
def test_attention(shape: str, hidden: str, bias: bool, hold: Hold) -> None:
    *_, n, s = SHAPES[shape]
    if "causal" in hidden and n != s:
        pytest.skip("the triangle is for as many queries as keys")
    inputs, fixed = attention_case(shape, hidden, bias)
    hold("7 attention", apart(attention, attention_reference, inputs, **fixed), ROUNDING)


def test_attention_reference_is_the_formula_and_differentiable() -> None:
    inputs, fixed = attention_case("grouped", "documents", True)
    double = tuple(x.double().requires_grad_() for x in inputs.values())
    fixed["bias"] = fixed["bias"].double()
    q, k, v = (x.detach() for x in double)
    y = attention_reference(q, k, v, **fixed)
    for b, h, t in [(0, 0, 3), (1, 3, 6), (0, 2, 6)]:
        seen = [s for s in range(7) if fixed["allowed"][b, t, s]]
        score = torch.stack([q[b, h, t] @ k[b, h // 2, s] * 0.4 + fixed["bias"][h, t, s] for s in seen]).exp()
        by_hand = sum(w * v[b, h // 2, s] for w, s in zip(score / score.sum(), seen, strict=True))
        assert torch.allclose(y[b, h, t], by_hand)  # type: ignore[arg-type]
    assert torch.autograd.gradcheck(lambda q, k, v: attention_reference(q, k, v, **fixed), double)
    assert torch.autograd.gradcheck(lambda q, k, v: attention(q, k, v, **fixed), double)


# norm and rope


@pytest.mark.parametrize("learned", [True, False])
@pytest.mark.parametrize("shape", [(5,), (3, 8), (2, 3, 4, 8)], ids=str)
def test_rms_norm(shape: tuple[int, ...], learned: bool, hold: Hold) -> None:
    inputs = {"x": draw(*shape), "weight": draw(shape[-1], seed=1) if learned else None}
    hold("7 rms_norm", apart(rms_norm, rms_norm_reference, inputs, eps=1e-3), ROUNDING)
    strided = draw(*shape, 2)[..., 0] * 100
    far = {"x": strided, "weight": inputs["weight"]}
    hold("7 rms_norm", apart(rms_norm, rms_norm_reference, far, eps=1e-6), ROUNDING)


def test_rms_norm_in_other_types() -> None:
    x, w = draw(4, 8).double().requires_grad_(), draw(8).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x, w: rms_norm(x, w, 1e-3), (x, w))
    assert torch.equal(rms_norm(x, w, 1e-3), rms_norm_reference(x, w, 1e-3))
    low = x.detach().bfloat16()
    assert rms_norm(low, None, 1e-3).dtype == torch.bfloat16
    assert (rms_norm(low, None, 1e-3).double() - rms_norm_reference(low.double(), None, 1e-3)).abs().max() < 2**-7
    assert torch.isfinite(rms_norm(torch.zeros(2, 4), None, 1e-6)).all()


# squared ReLU and convolution


@pytest.mark.parametrize("shape", [(5,), (3, 8), (2, 3, 4, 8)], ids=str)
def test_relu2(shape: tuple[int, ...], hold: Hold) -> None:
    hold("7 relu2", apart(relu2, relu2_reference, {"x": draw(*shape)}), ROUNDING)


PACKED = torch.tensor([[0, 0, 0, 1, 1, 2, 2], [0, 1, 1, 1, 1, 1, 3]])


def near(documents: Tensor, width: int) -> list[Tensor]:
    """1 where the place so many back is of the same document."""
    return [
        torch.cat([torch.zeros(len(documents), back), (documents[:, back:] == documents[:, :-back]).float()], 1)
        for back in range(1, width)
    ]


@pytest.mark.parametrize("width", [2, 3, 5])
@pytest.mark.parametrize("documents", [None, PACKED], ids=["one document", "packed"])
def test_convolution(width: int, documents: Tensor | None, hold: Hold) -> None:
    inputs, masks = {"x": draw(2, 7, 6), "taps": draw(width, 6)}, [None] * width if documents is None else near(documents, width)
    error = apart(lambda x, taps: convolve(x, taps, masks), lambda x, taps: convolve_reference(x, taps, documents), inputs)
    hold("7 convolve", error, ROUNDING)
    short = {"x": draw(2, 2, 6), "taps": inputs["taps"]}  # fewer places than taps
    hold("7 convolve", apart(lambda x, taps: convolve(x, taps, [None] * width), convolve_reference, short), ROUNDING)


@pytest.mark.parametrize("rotated", [2, 4, 8])
def test_rope(rotated: int, hold: Hold) -> None:
    cos, sin = rotary_table(torch.tensor([[0, 1, 5, 0], [7, 300, 2, 3]]), rotated, 10_000.0)
    hold("7 rotate", apart(rotate, rotate_reference, {"x": draw(2, 3, 4, 8)}, cos=cos[:, None], sin=sin[:, None]), ROUNDING)


def test_rope_depends_on_the_difference_alone_and_keeps_lengths() -> None:
    q, k = draw(1, 8).double(), draw(1, 8, seed=1).double()

    def score(t: int, s: int) -> Tensor:
        turned = [rotate(x, *(part.double() for part in rotary_table(torch.tensor([p]), 8, 100.0))) for x, p in ((q, t), (k, s))]
        assert torch.allclose(turned[0].norm(), q.norm(), rtol=1e-5)
        return (turned[0] * turned[1]).sum()

    assert torch.allclose(score(3, 1), score(102, 100), atol=1e-4)
    assert not torch.allclose(score(3, 1), score(3, 2), atol=1e-2)
    by_hand = torch.tensor([1.0, 0, 0, 0]) @ torch.tensor([[0.5403, 0, 0.8415, 0]] * 4)
    cos, sin = rotary_table(torch.tensor([1]), 4, 10_000.0)
    assert torch.allclose(
        rotate(torch.tensor([[1.0, 0, 0, 0]]), cos, sin)[0], by_hand, atol=1e-4
    )  # an angle of 1: (cos 1, sin 1)


# loss


@pytest.mark.parametrize("chunk", [1, 3, 7, 100, None])
def test_loss_in_pieces(chunk: int | None, hold: Hold) -> None:
    targets, weights = torch.tensor([1, 0, 10, 3, 3, 7, 2]), torch.tensor([1, 0, 0.25, 3, 1, 0, 2])
    inputs = {"hidden": draw(7, 5), "weight": draw(11, 5)}
    fast = lambda hidden, weight: linear_cross_entropy(hidden, weight, targets, weights, chunk)  # noqa: E731
    oracle = lambda hidden, weight: cross_entropy_reference(hidden, weight, targets, weights)  # noqa: E731
    hold("7 loss in pieces", apart(fast, oracle, inputs), ROUNDING)
    losses = token_losses(inputs["hidden"], inputs["weight"], targets, chunk)
    assert torch.allclose((losses * weights).sum(), oracle(**inputs), rtol=1e-5)
    double = (inputs["hidden"].double().requires_grad_(), inputs["weight"].double().requires_grad_())
    assert torch.autograd.gradcheck(fast, double)
    hidden, tied = draw(7, 5), draw(11, 5)  # tied: the matrix is read as an embedding too

    def through(loss: Callable[..., Tensor]) -> Callable[[Tensor], Tensor]:
        return lambda weight: loss(hidden * weight[targets].sin(), weight)

    hold("7 loss in pieces", apart(through(fast), through(oracle), {"weight": tied}), ROUNDING)
    assert linear_cross_entropy(hidden[:0], tied, targets[:0], weights[:0]).item() == 0


# Muon


@pytest.mark.parametrize("shape", [(16, 16), (12, 40), (40, 12), (1, 9)], ids=str)
def test_orthogonalise(shape: tuple[int, int], hold: Hold) -> None:
    from torch.optim._muon import _zeropower_via_newtonschulz as theirs

    many = torch.stack([draw(*shape, seed=i) * 10.0**-i for i in range(3)])
    got = orthogonalise(many, 5)
    for one, result in zip(many, got, strict=True):
        right = theirs(one, (3.4445, -4.7750, 2.0315), 5, 1e-7).float()  # in bfloat16: 8 bits through 15 products
        hold("7 orthogonalise = torch.optim.Muon's", ((result - right).norm() / right.norm()).item(), 0.05)
        u, s, v = torch.linalg.svd(one, full_matrices=False)
        value = s / one.norm()
        for _ in range(5):  # what the quintic makes of each singular value by itself
            value = 3.4445 * value - 4.7750 * value**3 + 2.0315 * value**5
        hold(
            "7 orthogonalise = the quintic of singular values",
            (u.t() @ result @ v.t() - value.diag()).abs().max().item(),
            ROUNDING,
        )
        large = value[s > s.max() / 10]
        assert 0.67 < large.min() <= large.max() < 1.21, "outside the known band"


@pytest.mark.parametrize("nesterov", [True, False], ids=["nesterov", ""])
@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_muon_steps_as_pytorch_does(nesterov: bool, decay: float, hold: Hold) -> None:
    """Their `match_rms_adamw` is our 0.2 √max(rows, columns); they iterate in bfloat16, hence 5 % of the way gone."""
    hold("7 Muon's steps = torch.optim.Muon's", muon_apart(nesterov, decay), 0.05)


def muon_apart(nesterov: bool, decay: float, changed: dict[str, Any] | None = None) -> float:
    """The largest difference after four steps, relative to the way gone; `changed` is what ours does otherwise."""
    start = [draw(12, 20), draw(20, 12), draw(12, 20, seed=4), draw(8, 8)]
    ours, theirs = [nn.Parameter(x.clone()) for x in start], [nn.Parameter(x.clone()) for x in start]
    common = {"lr": 0.05, "momentum": 0.9, "nesterov": nesterov, "weight_decay": decay}
    fast = MuonOptimizer(ours, **({"steps": 5} | common | (changed or {})))
    oracle = torch.optim.Muon(theirs, **common, adjust_lr_fn="match_rms_adamw")
    for step in range(4):
        for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            a.grad = draw(*a.shape, seed=10 * step + i)
            b.grad = a.grad.clone()
        fast.step()
        oracle.step()
    return max(((a - b).norm() / (b - x).norm()).item() for a, b, x in zip(ours, theirs, start, strict=True))


@pytest.mark.parametrize("changed", [{"nesterov": False}, {"weight_decay": 0.0}, {"momentum": 0.8}, {"steps": 2}], ids=str)
def test_the_law_kills_another_muon(changed: dict[str, Any]) -> None:
    assert muon_apart(True, 0.3, changed) > 0.05


# mutants


class _NormWithoutProjection(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        r = torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-3)
        ctx.save_for_backward(r)
        return x * r

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:  # type: ignore[override]
        return g * ctx.saved_tensors[0]


class _HalfSlope(torch.autograd.Function):
    """Squared ReLU that forgets the 2 of its derivative."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return relu2_reference(x)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:
        return g * ctx.saved_tensors[0].clamp(min=0)


def _groups_in_turn(q: Tensor, k: Tensor, v: Tensor, **fixed: Any) -> Tensor:
    return attention(q, k.repeat(1, q.shape[1] // k.shape[1], 1, 1), v.repeat(1, q.shape[1] // v.shape[1], 1, 1), **fixed)


def _unweighted(hidden: Tensor, weight: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    return linear_cross_entropy(hidden, weight, targets, (weights > 0).float() * weights.mean(), 3)


def test_the_law_kills_a_wrong_gradient_a_wrong_group_and_a_forgotten_weight() -> None:
    assert apart(_NormWithoutProjection.apply, lambda x: rms_norm_reference(x, None, 1e-3), {"x": draw(3, 8)}) > 1e-2
    inputs, fixed = attention_case("grouped", "causal", False)
    assert apart(_groups_in_turn, attention_reference, inputs, **fixed) > 1e-2
    loss = {"targets": torch.tensor([1, 2, 3]), "weights": torch.tensor([1.0, 0.5, 2.0])}
    assert apart(_unweighted, cross_entropy_reference, {"hidden": draw(3, 5), "weight": draw(11, 5)}, **loss) > 1e-2
    with pytest.raises(AssertionError, match="without a gradient"):
        apart(lambda x, weight: linear_reference(x, weight.detach()), linear_reference, {"x": draw(40, 8), "weight": draw(6, 8)})
    assert apart(_HalfSlope.apply, relu2_reference, {"x": draw(3, 8)}) > 1e-2
    inputs = {"x": draw(2, 7, 6), "taps": draw(3, 6)}  # a convolution that reaches into another document
    assert (
        apart(lambda x, taps: convolve(x, taps, [None] * 3), lambda x, taps: convolve_reference(x, taps, PACKED), inputs) > 1e-2
    )
    turned = rotary_table(torch.arange(4), 8, 100.0)
    assert apart(lambda x: rotate(x, turned[0], -turned[1]), lambda x: rotate_reference(x, *turned), {"x": draw(2, 4, 8)}) > 1e-2


# values of another width than keys


@pytest.mark.parametrize("d_value", [3, 8, 13])
@pytest.mark.parametrize("hidden", ["nothing", "mask", "documents"])
@pytest.mark.parametrize("shape", SHAPES)
def test_attention_with_values_of_another_width(shape: str, hidden: str, d_value: int, hold: Hold) -> None:
    inputs, fixed = attention_case(shape, hidden, bias=False)
    inputs["v"] = draw(*inputs["v"].shape[:3], d_value, seed=4)
    hold("7 attention, values of another width", apart(attention, attention_reference, inputs, **fixed), ROUNDING)
    first = torch.tensor([[0] * SHAPES[shape][2], [2] * SHAPES[shape][2]])
    fast, oracle = (partial(function, first=first, scale=0.4) for function in (attention_from, attention_from_reference))
    hold("7 attention, values of another width", apart(fast, oracle, inputs), ROUNDING)

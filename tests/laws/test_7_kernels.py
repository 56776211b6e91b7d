"""Law 7 for the kernels of the Rust library: on every kind of processor and any number of threads they are their oracles.

The oracles run in float64. Errors are relative to the largest number of the right answer; what float32 allows grows with
the number of terms that are summed, at most 1,536 here: 3e-6.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from equivalence import Hold, insist
from linnet.core.native import native_problem, opened
from linnet.ops import kernels
from linnet.ops.activation import gelu_tanh, gelu_tanh_reference
from linnet.ops.attention import attention_from, attention_from_reference
from linnet.ops.kernels import MOST_ROWS, kernels_available
from linnet.ops.linear import linear, linear_reference
from linnet.ops.norm import rms_norm, rms_norm_reference

pytestmark = pytest.mark.skipif(not kernels_available(), reason=f"no kernels: {native_problem() or 'no GNU OpenMP'}")
ROUNDING = 3e-6


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.empty(shape).normal_(generator=torch.Generator().manual_seed(seed + sum(shape)))


def worst(got: list[Tensor], right: list[Tensor], least: float = 0.1) -> float:
    """The largest error of some tensors, each relative to the largest number of the right one, or to `least`; NaN if one is."""
    errors = [(a.double() - b).abs().max() / b.abs().max().clamp(min=least) for a, b in zip(got, right, strict=True)]
    return torch.stack(errors).max().item()


def with_gradients(function: Callable[..., Tensor], inputs: list[Tensor], double: bool) -> list[Tensor]:
    """The output and the gradient of each input, where the output's gradient is a matrix of no pattern."""
    leaves = [(x.double() if double else x.clone()).detach().requires_grad_() for x in inputs]
    y = function(*leaves)
    return [y.detach(), *torch.autograd.grad(y, leaves, draw(*y.shape, seed=9).to(y.dtype))]


def apart(fast: Callable[..., Tensor], oracle: Callable[..., Tensor], inputs: list[Tensor], least: float = 0.1) -> float:
    return worst(with_gradients(fast, inputs, False), with_gradients(oracle, inputs, True), least)


# GELU


@pytest.mark.usefixtures("anywhere")
@pytest.mark.parametrize("n", [1, 5, 16, 33, 3 * 2**14 + 7])
def test_gelu(n: int, hold: Hold) -> None:
    x = draw(n) * 4
    x[:3] = torch.tensor([0.0, -60.0, 60.0])[:n]  # both tails, where σ is 0 or 1
    hold("7 kernel GELU", apart(gelu_tanh, gelu_tanh_reference, [x]), ROUNDING)


@pytest.mark.usefixtures("anywhere")
def test_gelu_of_what_is_no_number() -> None:
    odd = torch.tensor([float("nan"), float("inf"), -float("inf"), 1e30, -1e30])
    assert torch.equal(gelu_tanh(odd).isnan(), torch.tensor([True, False, False, False, False]))
    assert torch.allclose(gelu_tanh(odd)[1:], torch.tensor([float("inf"), 0, 1e30, 0]), atol=1e-30)
    (slope,) = torch.autograd.grad(gelu_tanh(odd.requires_grad_()).nan_to_num().sum(), odd)
    assert slope[0].isnan()
    assert torch.allclose(slope[3:], torch.tensor([1.0, 0.0]))


@pytest.mark.usefixtures("anywhere")
def test_gelu_of_a_strided_tensor(hold: Hold) -> None:
    x = draw(9, 40)
    hold("7 kernel GELU", apart(lambda x: gelu_tanh(x.t()), lambda x: gelu_tanh_reference(x.t()), [x]), ROUNDING)


# RMSNorm

NORM_SHAPES = [(5,), (3, 16), (2, 3, 4, 8), (700, 33), (2, 1500), (1, 1, 1)]


def norm_apart(inputs: list[Tensor], fast: Callable[..., Tensor] = rms_norm) -> float:
    def call(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        return lambda x, weight=None: function(x, weight, 1e-3)

    return apart(call(fast), call(rms_norm_reference), inputs, least=1.0)


@pytest.mark.usefixtures("anywhere")
@pytest.mark.parametrize("shape", NORM_SHAPES, ids=str)
def test_rms_norm(shape: tuple[int, ...], hold: Hold) -> None:
    x, weight = draw(*shape), draw(shape[-1], seed=1) + 1
    for inputs in ([x, weight], [x], [x + 10, weight]):
        hold("7 kernel RMSNorm", norm_apart(inputs), ROUNDING)


@pytest.mark.usefixtures("anywhere")
@pytest.mark.parametrize(
    "cut",
    [
        lambda x: x[..., 24:48].view(3, 5, 4, 6),  # heads as a joint projection leaves them
        lambda x: x[..., :24].view(3, 5, 4, 6).transpose(1, 2),
        lambda x: x[..., ::2],
        lambda x: x[:1, :, :6].expand(3, 5, 6),
        lambda x: x[:1, :, 8:16].view(1, 5, 2, 4),
    ],
    ids=["side by side", "transposed", "every other", "expanded", "a batch of one"],
)
def test_rms_norm_of_strided_vectors(cut: Callable[[Tensor], Tensor], hold: Hold) -> None:
    joint = draw(3, 5, 96)
    inputs = [joint, draw(cut(joint).shape[-1], seed=1)]
    error = apart(
        lambda x, weight: rms_norm(cut(x), weight, 1e-3), lambda x, weight: rms_norm_reference(cut(x), weight, 1e-3), inputs, 1.0
    )
    hold("7 kernel RMSNorm, strided", error, ROUNDING)


def test_rms_norm_of_what_is_no_number_and_of_nothing() -> None:
    bad = draw(3, 40)
    bad[1, 7] = float("nan")
    y = rms_norm(bad, None, 1e-3)
    assert y[1].isnan().all()
    assert torch.isfinite(y[[0, 2]]).all()
    assert rms_norm(torch.zeros(2, 40), None, 1e-6).abs().max() == 0
    right = torch.nn.functional.rms_norm(bad[:1].double(), (40,), None, 1e-3)
    assert torch.allclose(rms_norm_reference(bad[:1].double(), None, 1e-3), right, atol=1e-12)


def test_rms_norm_where_the_kernel_cannot_go_back() -> None:
    """Batches of gradients, and saved tensors that come back as something else."""
    x, weight = draw(4, 6).requires_grad_(), draw(6, seed=1).requires_grad_()
    y = rms_norm(x, weight, 1e-3)
    many = torch.eye(24).reshape(24, 4, 6)
    (together,) = torch.autograd.grad(y, x, many, is_grads_batched=True, retain_graph=True)
    (single,) = torch.autograd.grad(y, x, many[7])
    assert torch.allclose(together[7], single, atol=1e-6)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: t.half(), lambda t: t):
        y = rms_norm(x, None, 1e-3)
    (coarse,) = torch.autograd.grad(y.sum(), x)
    (right,) = torch.autograd.grad(rms_norm_reference(x, None, 1e-3).sum(), x)
    assert torch.allclose(coarse, right, atol=2e-2)


class _NormMutant(torch.autograd.Function):
    """RMSNorm's backward pass with something left out."""

    without = ""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        y, scale = kernels.rms_norm_forward(x, weight, eps, scales=True)
        ctx.save_for_backward(x, weight, scale)
        return y

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:  # type: ignore[override]
        x, weight, scale = ctx.saved_tensors
        scale = torch.ones_like(scale) if _NormMutant.without == "scale" else scale
        weight = None if _NormMutant.without == "weight" else weight
        grad_x, grad_weight = kernels.rms_norm_backward(x, weight, scale, g.contiguous(), weight_too=True)
        return grad_x, grad_weight, None


@pytest.mark.parametrize("without", ["scale", "weight"])
def test_the_law_kills_another_norm(without: str, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = [draw(30, 24), draw(24, seed=1) + 1]
    assert norm_apart(inputs, _NormMutant.apply) < ROUNDING
    monkeypatch.setattr(_NormMutant, "without", without)
    assert norm_apart(inputs, _NormMutant.apply) > 1e-3


# attention

# rows, heads, groups, queries, keys, width of a head
ATTENTION = {
    "square": (2, 2, 2, 64, 64, 32),
    "one block and a bit": (1, 2, 2, 33, 33, 16),
    "long, two vectors a block": (1, 1, 1, 150, 150, 16),
    "grouped": (2, 6, 2, 20, 20, 16),
    "odd width": (1, 2, 1, 37, 37, 5),
    "wide and odd": (1, 1, 1, 10, 10, 72),
    "after a state": (2, 2, 1, 6, 50, 24),
    "decode": (3, 4, 2, 1, 40, 64),
    "decode, odd width": (2, 2, 2, 3, 7, 21),
    "one key": (1, 1, 1, 1, 1, 8),
}


def attention_inputs(shape: str, layout: str) -> list[Tensor]:
    """q, k and v; laid out by place: as a projection gives them, by head: as a state keeps them."""
    rows, heads, groups, queries, keys, width = ATTENTION[shape]

    def one(heads: int, places: int, seed: int) -> Tensor:
        if layout == "by head":
            return draw(rows, heads, places, width, seed=seed)
        return draw(rows, places, heads, width, seed=seed).transpose(1, 2)

    return [one(heads, queries, 0), one(groups, keys, 1), one(groups, keys, 2)]


def attention_firsts(shape: str, begins: str) -> Tensor | None:
    rows, _, _, queries, keys, _ = ATTENTION[shape]
    places = torch.arange(keys - queries, keys)
    if begins == "start":
        return None
    if begins == "window":
        return (places - 4).clamp(min=0).expand(rows, -1).contiguous()
    return torch.stack([places // (5 + row) * (5 + row) for row in range(rows)])  # documents of 5, 6 … tokens


@pytest.mark.usefixtures("anywhere")
@pytest.mark.parametrize("begins", ["start", "window", "documents"])
@pytest.mark.parametrize("layout", ["by place", "by head"])
@pytest.mark.parametrize("shape", ATTENTION)
def test_attention_from(shape: str, layout: str, begins: str, hold: Hold) -> None:
    inputs, first = attention_inputs(shape, layout), attention_firsts(shape, begins)
    fast = lambda q, k, v: attention_from(q, k, v, first, scale=0.3)  # noqa: E731
    oracle = lambda q, k, v: attention_from_reference(q, k, v, first, scale=0.3)  # noqa: E731
    hold("7 kernel attention", apart(fast, oracle, inputs), ROUNDING)
    with torch.no_grad():
        right = oracle(*(x.double() for x in inputs))
        hold("7 kernel attention", worst([fast(*inputs)], [right]), ROUNDING)


@pytest.mark.usefixtures("anywhere")
def test_attention_of_large_scores_and_of_nan(hold: Hold) -> None:
    inputs = attention_inputs("square", "by head")
    loud = [inputs[0] * 100, *inputs[1:]]  # scores in the hundreds: e to their power alone would overflow
    fast = lambda q, k, v: attention_from(q, k, v, scale=1.0)  # noqa: E731
    right = attention_from_reference(*(x.double() for x in loud), scale=1.0)
    hold("7 kernel attention, large scores", worst([fast(*loud)], [right]), 1e-4)  # a score of 3,000 is known to 2e-4
    inputs[1][0, 1, 20] = float("nan")
    y = fast(*inputs)
    assert y[0, 1, 20:].isnan().all(), "a key that is no number has to be seen"
    assert torch.isfinite(y[1]).all()
    assert torch.isfinite(y[0, :, :20]).all()


@pytest.mark.usefixtures("anywhere")
@pytest.mark.parametrize(("queries", "keys"), [(1, 6), (2, 6), (4, 6), (6, 6), (40, 50)])
def test_a_first_key_beyond_the_own_place_is_the_own_place(queries: int, keys: int, hold: Hold) -> None:
    inputs = [draw(2, 2, queries, 16), draw(2, 2, keys, 16, seed=1), draw(2, 2, keys, 16, seed=2)]
    first = torch.full((2, queries), keys - 1)
    fast = lambda q, k, v: attention_from(q, k, v, first, scale=0.3)  # noqa: E731
    oracle = lambda q, k, v: attention_from_reference(q, k, v, first, scale=0.3)  # noqa: E731
    error = apart(fast, oracle, inputs, least=1.0)  # who sees one key has gradients of 0: differences of equal numbers of size 5
    hold("7 kernel attention", error, ROUNDING)
    with torch.no_grad():
        hold("7 kernel attention", worst([fast(*inputs)], [oracle(*(x.double() for x in inputs))]), ROUNDING)


def test_the_oracle_is_the_formula() -> None:
    q, k, v = (x.double() for x in attention_inputs("after a state", "by head"))
    first = attention_firsts("after a state", "documents")
    y = attention_from_reference(q, k, v, first, scale=0.3)
    for b, h, t in [(0, 0, 0), (1, 1, 5), (0, 1, 3)]:
        place = 50 - 6 + t
        begin = place // (5 + b) * (5 + b)
        score = (k[b, 0, begin : place + 1] @ q[b, h, t] * 0.3).exp()
        assert torch.allclose(y[b, h, t], score / score.sum() @ v[b, 0, begin : place + 1])


# a few rows


@pytest.mark.usefixtures("anywhere")
@pytest.mark.parametrize("bias", [False, True], ids=["", "bias"])
@pytest.mark.parametrize("rows", [1, 2, 4, 7, 16, MOST_ROWS])
@pytest.mark.parametrize("shape", [(16, 16), (37, 45), (65, 384), (1, 3), (24, 1536)], ids=str)
def test_few_rows(shape: tuple[int, int], rows: int, bias: bool, hold: Hold) -> None:
    d_out, d_in = shape
    x, weight, b = draw(rows, 1, d_in), draw(d_out, d_in, seed=1), draw(d_out, seed=2) if bias else None
    right = linear_reference(x.double(), weight.double(), None if b is None else b.double())
    with torch.no_grad():
        hold("7 kernel few rows", worst([linear(x, weight, b)], [right]), ROUNDING)


def test_rows_are_for_the_kernel_only_without_a_graph_and_when_they_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    from linnet.ops import linear as module

    calls: list[int] = []
    monkeypatch.setattr(module, "few_rows", lambda x, matrices: calls.append(1) or [linear_reference(x, *matrices[0])])
    x, weight = draw(3, 8), draw(6, 8).requires_grad_()
    linear(x, weight)
    with torch.no_grad():
        linear(draw(MOST_ROWS + 1, 8), weight)
        linear(x.double(), weight.double())
        linear(x, draw(8, 6).t())
        assert not calls
        linear(x, weight)
    assert calls


# AdamW


def adamw_apart(changed: dict[str, Any] | None = None) -> float:
    """The largest error after four steps, beside PyTorch's own in float64, relative to the way gone."""
    start = [draw(3, 40), draw(7), draw(2**14 + 5), draw(1)]
    ours, theirs = [x.clone() for x in start], [torch.nn.Parameter(x.double()) for x in start]
    means, squares, steps = [x * 0 for x in start], [x * 0 for x in start], [torch.zeros(()) for _ in start]
    how: dict[str, Any] = {"eps": 1e-8, "weight_decay": 0.3, "betas": (0.9, 0.95)}
    oracle = torch.optim.AdamW(theirs, lr=1.0, **how)
    for step in range(4):
        rate = 0.02 / (step + 1)
        gradients = [draw(*x.shape, seed=20 + step) for x in start]
        for p, g in zip(theirs, gradients, strict=True):
            p.grad = g.double()
        oracle.param_groups[0]["lr"] = rate
        oracle.step()
        rows = list(zip(ours, gradients, means, squares, steps, strict=True))
        kernels.adamw_step(rows, **({"learning_rate": rate} | how | (changed or {})))
    way = [(b.detach() - x).abs().max() for b, x in zip(theirs, start, strict=True)]
    return torch.stack([(a - b.detach()).abs().max() / w for a, b, w in zip(ours, theirs, way, strict=True)]).max().item()


@pytest.mark.usefixtures("anywhere")
def test_adamw_steps_as_pytorch_does(hold: Hold) -> None:
    hold("7 kernel AdamW", adamw_apart(), 1e-5)  # of a way of 0.05, where values of 3 are rounded to 2e-7


@pytest.mark.parametrize(
    "changed", [{"weight_decay": 0.0}, {"betas": (0.9, 0.99)}, {"betas": (0.8, 0.95)}, {"eps": 1e-2}], ids=str
)
def test_the_law_kills_another_adamw(changed: dict[str, Any]) -> None:
    assert adamw_apart(changed) > 1e-3


@pytest.mark.usefixtures("anywhere")
@pytest.mark.parametrize("sizes", [(1,), (3, 2**14 + 77, 64), (10**6,)], ids=str)
def test_the_norm_of_gradients(sizes: tuple[int, ...], hold: Hold) -> None:
    gradients = [draw(n, seed=n) for n in sizes]
    whole = torch.cat(gradients).double()
    right = whole.norm().item()
    for at_most in (math.inf, 2 * right, 0.3):
        hold("7 kernel gradient norm", abs(kernels.clip_in_place(gradients, at_most) - right) / right, 1e-6)
        scaled = whole * min(1.0, at_most / (right + 1e-6))
        hold("7 kernel clipping", worst([torch.cat(gradients)], [scaled]), 1e-6)


@pytest.mark.usefixtures("anywhere")
def test_gradients_that_are_no_numbers_are_seen() -> None:
    for bad in (math.nan, math.inf):
        for at_most in (1.0, math.inf):
            gradients = [draw(40), torch.tensor([1.0, bad])]
            assert not math.isfinite(kernels.clip_in_place(gradients, at_most))
            assert not gradients[1].isfinite().all()
    assert kernels.clip_in_place([], 1.0) == 0


def test_clipping_is_pytorch_s() -> None:
    from linnet.train.precision import clip_gradients

    for clip in (0.5, 1e3, None):
        mine, theirs = ([torch.nn.Parameter(draw(n)) for n in (5, 40)] for _ in range(2))
        for group in (mine, theirs):
            for p in group:
                p.grad = draw(*p.shape, seed=3)
        norm = clip_gradients(mine, clip)
        right = torch.nn.utils.clip_grad_norm_(theirs, clip if clip is not None else float("inf"))
        assert torch.allclose(norm, right)
        assert all(torch.allclose(a.grad, b.grad) for a, b in zip(mine, theirs, strict=True))  # type: ignore[arg-type]


def test_the_optimizer_steps_as_pytorch_does_through_a_checkpoint_and_without_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Groups with and without decay, a parameter without a gradient, a changing rate, state saved and loaded."""
    from linnet.train import optimizers
    from linnet.train.optimizers import AdamW, set_rate

    shapes = [(3, 8), (8,), (5, 2), (4,)]
    mine, theirs = ([torch.nn.Parameter(draw(*shape)) for shape in shapes] for _ in range(2))
    spec = AdamW(learning_rate=0.05, weight_decay=0.3)
    ours = spec.over(mine)
    groups = [
        {"params": [p for p in theirs if p.dim() == 2], "weight_decay": 0.3},
        {"params": [p for p in theirs if p.dim() < 2]},
    ]
    oracle = torch.optim.AdamW(groups, lr=0.05, betas=(0.9, 0.95), weight_decay=0.0)
    for step in range(6):
        for i, (a, b) in enumerate(zip(mine, theirs, strict=True)):
            a.grad = b.grad = None if i == 3 and step < 2 else draw(*a.shape, seed=30 + step)
        if step == 2:
            state, ours = ours.state_dict(), spec.over(mine)
            ours.load_state_dict(state)
        with monkeypatch.context() as without:
            if step == 4:
                without.setattr(optimizers, "kernels_take_whole", lambda tensors: False)
            set_rate([ours], 1 / (step + 1))
            for group in oracle.param_groups:
                group["lr"] = 0.05 / (step + 1)
            ours.step()
            oracle.step()
    assert all(torch.allclose(a, b, rtol=1e-5, atol=1e-6) for a, b in zip(mine, theirs, strict=True))


def test_an_overflow_in_float16_leaves_the_weights_alone() -> None:
    from linnet.train.optimizers import AdamW
    from linnet.train.precision import Precision

    p = torch.nn.Parameter(torch.ones(3))
    precision, optimizer = Precision("float16", torch.device("cpu")), AdamW(learning_rate=0.1).over([p])
    precision.backward((p * 1e36).sum())
    precision.step([optimizer], 1.0)
    assert torch.equal(p, torch.ones(3))
    precision.backward(p.sum())
    precision.step([optimizer], 1.0)
    assert torch.isfinite(p).all()
    assert not torch.equal(p, torch.ones(3))


def test_a_step_on_what_the_kernel_does_not_take_is_pytorch_s() -> None:
    from linnet.train.optimizers import AdamW

    mine, theirs = torch.nn.Parameter(draw(4, 6).double()), torch.nn.Parameter(draw(4, 6).double())
    ours = AdamW(learning_rate=0.1).over([mine])
    oracle = torch.optim.AdamW([theirs], lr=0.1, betas=(0.9, 0.95), weight_decay=0.1)
    for p in (mine, theirs):
        p.grad = draw(4, 6, seed=1).double()
    ours.step()
    oracle.step()
    assert torch.allclose(mine, theirs)


def test_a_state_of_another_shape_is_refused() -> None:
    from linnet.core.errors import LinnetError
    from linnet.train.optimizers import AdamW

    p = torch.nn.Parameter(draw(1000))
    p.grad = draw(1000, seed=1)
    optimizer = AdamW().over([p])
    optimizer.step()
    p.grad = draw(1000, seed=1)
    optimizer.state[p]["exp_avg"] = torch.zeros(10)
    with pytest.raises(LinnetError, match="1000"):
        optimizer.step()


# whatever happens


def _adamw_once(*start: Tensor) -> Tensor:
    rows = [(x.clone(), x * 2, x * 0, x * 0, torch.zeros(())) for x in start]
    kernels.adamw_step(rows, learning_rate=0.1, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1)
    return torch.cat([row[0] for row in rows])


def _clipped(*start: Tensor) -> list[Tensor]:
    gradients = [x.clone() for x in start]
    return [torch.tensor(kernels.clip_in_place(gradients, 0.7)), *gradients]


def test_threads_do_not_change_a_bit() -> None:
    many = draw(3 * 2**14 + 7)
    made: list[Callable[[], list[Tensor]]] = [
        lambda: with_gradients(lambda q, k, v: attention_from(q, k, v, scale=0.3), attention_inputs("square", "by place"), False),
        lambda: with_gradients(gelu_tanh, [many], False),
        lambda: kernels.few_rows(draw(5, 384), [(draw(65, 384), draw(65)), (draw(100, 384, seed=1), None)]),
        lambda: _clipped(many, draw(5)),
        lambda: [_adamw_once(many, draw(7))],
    ]
    for make in made:
        results = []
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            results.append(make())
        torch.set_num_threads(1)
        assert all(torch.equal(a, b) for other in results[1:] for a, b in zip(results[0], other, strict=True))


def test_what_the_kernel_cannot_read_is_pytorch_s() -> None:
    """Wrong shapes raise as ever; gaps, other dtypes and nothing at all give what PyTorch gives."""
    x, weight, bias = draw(3, 8), draw(6, 8), draw(12)
    with torch.no_grad():
        with pytest.raises(RuntimeError):
            linear(x, draw(6, 9))
        with pytest.raises(RuntimeError):
            linear(x, weight, draw(5))
        assert torch.equal(linear(x, weight, bias[::2]), linear_reference(x, weight, bias[::2]))
        assert linear(x[:0], weight).shape == (0, 6)
    assert gelu_tanh(x[:0]).shape == (0, 8)
    nobody = draw(2, 4, 5, 8)[:0]
    assert attention_from(nobody, nobody, nobody, scale=1.0).shape == (0, 4, 5, 8)
    q, k, v = attention_inputs("square", "by head")
    wide = attention_from(q.double(), k.double(), v.double(), attention_firsts("square", "documents"), scale=0.3)
    right = attention_from_reference(q.double(), k.double(), v.double(), attention_firsts("square", "documents"), scale=0.3)
    assert torch.allclose(wide, right)
    for first in (torch.zeros(1, 64, dtype=torch.int64), torch.zeros(2, 64), torch.zeros(2, 128, dtype=torch.int64)[:, ::2]):
        with pytest.raises(ValueError, match="first"):
            attention_from(q, k, v, first, scale=0.3)
    with pytest.raises(ValueError, match="queries"):
        attention_from(q, k[:, :, :5], v[:, :, :5], scale=0.3)


def test_who_traces_or_transforms_sees_pytorch_s_operations() -> None:
    x, weight = draw(3, 8), draw(6, 8)
    traced = torch.jit.trace(gelu_tanh, draw(2, 8, seed=5))
    assert torch.allclose(traced(x), gelu_tanh_reference(x), atol=1e-6)
    _, tangent = torch.func.jvp(gelu_tanh, (x,), (torch.ones_like(x),))
    assert torch.allclose(tangent, torch.func.vmap(torch.func.vmap(torch.func.grad(gelu_tanh_reference)))(x), atol=1e-5)
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(x, torch.ones_like(x))
        assert torch.allclose(torch.autograd.forward_ad.unpack_dual(gelu_tanh(dual)).tangent, tangent, atol=1e-5)
    with torch.no_grad():
        rows = torch.func.vmap(lambda row: linear(row[None], weight)[0])(x)
    assert torch.allclose(rows, linear_reference(x, weight), atol=1e-6)


def test_another_default_dtype_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    q, k, v = attention_inputs("square", "by head")
    x, weight = draw(3, 8), draw(6, 8)
    with torch.no_grad():
        right = [attention_from(q, k, v, scale=0.3), linear(x, weight)]
        torch.set_default_dtype(torch.float64)
        try:
            got = [attention_from(q, k, v, scale=0.3), linear(x, weight)]
        finally:
            torch.set_default_dtype(torch.float32)
    assert all(torch.equal(a, b) for a, b in zip(got, right, strict=True))


def test_bad_arguments_are_codes_and_not_crashes() -> None:
    ffi, lib, _ = opened()
    threads = kernels._threads(1)
    assert lib.linnet_gelu_forward(ffi.NULL, ffi.NULL, 3, threads) == -1
    assert lib.linnet_attention_forward(ffi.NULL, threads) == -1
    assert lib.linnet_few_rows(ffi.NULL, 1, threads) == -1
    assert lib.linnet_few_rows(ffi.new("linnet_few_rows_task[]", 1), 1, threads) == -1
    empty = ffi.new("linnet_attention *")
    assert lib.linnet_attention_forward(empty, threads) == -1
    nothing, gradients = ffi.new("linnet_norm *"), ffi.new("linnet_norm_gradients *")
    assert lib.linnet_norm_forward(nothing, threads) == -1
    assert lib.linnet_norm_backward(nothing, gradients, threads) == -1
    assert lib.linnet_attention_backward(empty, ffi.new("linnet_attention_gradients *"), threads) == -1


def test_without_the_library_pytorch_does_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from linnet.ops import activation, norm
    from linnet.ops import attention as attention_module
    from linnet.ops import linear as module
    from linnet.train import optimizers, precision

    for place in (activation, attention_module, module, norm):
        monkeypatch.setattr(place, "kernels_take", lambda *tensors: False)
    for place in (optimizers, precision):
        monkeypatch.setattr(place, "kernels_take_whole", lambda tensors: False)
    x, weight = draw(3, 8), draw(6, 8)
    with torch.no_grad():
        assert torch.equal(linear(x, weight), linear_reference(x, weight))
        assert torch.equal(gelu_tanh(x), gelu_tanh_reference(x))
    assert norm_apart([x, weight[0]]) < ROUNDING
    with torch.no_grad():
        inputs, first = attention_inputs("grouped", "by place"), attention_firsts("grouped", "documents")
        right = attention_from_reference(*inputs, first, scale=0.3)
        assert torch.allclose(attention_from(*inputs, first, scale=0.3), right, atol=1e-6)
    test_clipping_is_pytorch_s()
    test_a_step_on_what_the_kernel_does_not_take_is_pytorch_s()


# mutants


def _shifted(q: Tensor, k: Tensor, v: Tensor, first: Tensor | None) -> Tensor:
    """Every query sees one key too many at the beginning."""
    assert first is not None
    return attention_from(q, k, v, (first - 1).clamp(min=0), scale=0.3)


def _wrong_group(q: Tensor, k: Tensor, v: Tensor, first: Tensor | None) -> Tensor:
    return attention_from(q, k.flip(1), v, first, scale=0.3)


def _forgotten_first(q: Tensor, k: Tensor, v: Tensor, first: Tensor | None) -> Tensor:
    return attention_from(q, k, v, None, scale=0.3)


@pytest.mark.parametrize("mutant", [_shifted, _wrong_group, _forgotten_first])
def test_the_law_kills_another_attention(mutant: Any) -> None:
    inputs, first = attention_inputs("grouped", "by place"), attention_firsts("grouped", "documents")
    oracle = lambda q, k, v: attention_from_reference(q, k, v, first, scale=0.3)  # noqa: E731
    assert apart(lambda q, k, v: mutant(q, k, v, first), oracle, inputs) > 1e-2


def test_the_law_kills_a_wrong_constant_and_other_rows() -> None:
    x = draw(40) * 2
    assert apart(lambda x: gelu_tanh(x * 1.0001) / 1.0001, gelu_tanh_reference, [x]) > ROUNDING
    x, weight = draw(3, 8), draw(6, 8)
    with torch.no_grad():
        right = [linear_reference(x.double(), weight.double())]
        assert worst(kernels.few_rows(x, [(weight.roll(1, 0), None)]), right) > 1e-2
        assert worst(kernels.few_rows(x.flip(0), [(weight, None)]), right) > 1e-2


class _HalfGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return kernels.gelu_forward(x)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:  # type: ignore[override]
        return kernels.gelu_backward(ctx.saved_tensors[0], g) * 0.999


class _NoNumbers(_HalfGradient):
    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:  # type: ignore[override]
        return g * float("nan")


def test_the_law_kills_a_wrong_gradient_and_one_that_is_no_number() -> None:
    assert apart(_HalfGradient.apply, gelu_tanh_reference, [draw(40)]) > ROUNDING
    with pytest.raises(AssertionError):
        insist("7 a mutant", apart(_NoNumbers.apply, gelu_tanh_reference, [draw(40)]), ROUNDING)

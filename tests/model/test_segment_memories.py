"""Transformer-XL and Infini-attention as layers: against the papers' way, segment after segment, and what a gate and a border do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from equivalence import Hold
from linnet.core.errors import ConfigError
from linnet.core.spec import load
from linnet.model import XL, Alibi, Attention, Infini, Rope
from linnet.model.context import Context
from linnet.model.mixer.infini import InfiniLayer
from linnet.model.mixer.xl import XLLayer
from linnet.model.spec import TokenMixer
from linnet.ops.relative_attention import distance_waves, relative_attention_reference

WIDTH, EXACT = 8, 1e-12  # float64, relative to the largest number


def built(spec: TokenMixer, seed: int = 0) -> Any:
    layer = spec.build(WIDTH).double()
    draws = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_(0, 0.5, generator=draws)
    return layer


def text(n: int, rows: int = 2) -> Tensor:
    return torch.randn(rows, n, WIDTH, dtype=torch.float64, generator=torch.Generator().manual_seed(n))


def read(layer: nn.Module, x: Tensor) -> Tensor:
    y: Tensor = layer(x, Context(0, x.shape[1], torch.arange(x.shape[1])))[0]
    return y


def apart(layer: nn.Module, got: Tensor, right: Tensor, x: Tensor) -> float:
    """The largest relative error of an output and of the gradients of x and of every weight."""
    wanted = [x, *layer.parameters()]
    weight = torch.linspace(0.5, 2, got.numel(), dtype=got.dtype).view(got.shape)
    ours, theirs = (torch.autograd.grad((y * weight).sum(), wanted, retain_graph=True) for y in (got, right))
    pairs = [(got, right), *zip(ours, theirs, strict=True)]
    return max(((a - b).abs().max() / b.abs().max()).item() for a, b in pairs)


def by_segment(layer: XLLayer, x: Tensor) -> Tensor:
    """Section 3.2 of 1901.02860: segments one after the other; what is cached are hidden states, without their gradient."""
    spec, k = layer.spec, layer.d_head
    cached, ys = x[:, :0], []
    for h in x.split(spec.segment, 1):
        both = torch.cat((cached, h), 1)
        q, keys, values = (y.view(*y.shape[:2], -1, k).transpose(1, 2) for y in (layer.q(h), layer.k(both), layer.v(both)))
        r = layer.r(distance_waves(both.shape[1], WIDTH, h)).view(-1, spec.n_heads, k).transpose(0, 1)
        u, w = layer.content_bias.view(-1, k), layer.distance_bias.view(-1, k)
        seen = torch.ones(h.shape[1], both.shape[1]).tril(cached.shape[1]).bool()
        y = relative_attention_reference(q, keys, values, r, u, w, seen[None], scale=layer.scale)
        ys.append(layer.o(y.transpose(1, 2).flatten(2)))
        cached = both[:, max(0, both.shape[1] - spec.memory) :].detach()
    return torch.cat(ys, 1)


XL_SPECS = [spec for spec in XL.examples() if spec.n_heads == 4 or spec.d_head]


@pytest.mark.parametrize("n", [1, 4, 19])
@pytest.mark.parametrize("spec", XL_SPECS, ids=lambda spec: f"segment {spec.segment} memory {spec.memory} groups {spec.groups}")
def test_xl_is_the_papers_recurrence(spec: XL, n: int, hold: Hold) -> None:
    layer, x = built(spec), text(n).requires_grad_()
    hold("7 xl = the paper's recurrence, float64", apart(layer, read(layer, x), by_segment(layer, x), x), EXACT)


def test_a_gradient_that_is_not_stopped_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    layer, x = built(XL(n_heads=4, segment=4, memory=4)), text(19).requires_grad_()
    right = by_segment(layer, x)
    monkeypatch.setattr(torch.Tensor, "detach", lambda self: self)
    got = read(layer, x)
    assert torch.allclose(got, right), "in numbers it is the same"
    assert apart(layer, got, right, x) > 1e-3


def test_xl_sees_its_memory_and_teaches_nothing_there() -> None:
    layer, x = built(XL(n_heads=4, segment=4, memory=3)), text(12).requires_grad_()
    for t in (4, 7, 9):
        border = t // 4 * 4
        (gradient,) = torch.autograd.grad(read(layer, x)[:, t].sum(), x)
        assert (gradient[:, :border] == 0).all()
        assert gradient[:, border : t + 1].abs().amin(1).min() > 0
        for s in range(t + 1):
            other = x.detach().clone()
            other[:, s] += 1
            moved = (read(layer, other) - read(layer, x))[:, t].abs().max() > 1e-9
            assert moved == (s >= border - 3), f"place {t} and {s}"


def test_a_state_of_gradients_goes_on_without_and_back() -> None:
    """Recorded, then not, then recorded again, in numbers as one pass."""
    layer, x = built(XL(n_heads=4, segment=4, memory=5)), text(16)
    right, ys, state = read(layer, x), [], layer.new_state(2, x)
    for i, grad in enumerate((False, True, False, True)):
        with torch.set_grad_enabled(grad):
            y, state = layer(x[:, 4 * i : 4 * i + 4], Context(4 * i, 4, torch.arange(4 * i, 4 * i + 4)), state)
        ys.append(y)
    assert torch.allclose(torch.cat(ys, 1), right, atol=1e-12)


@pytest.mark.parametrize("groups", [4, 2])
def test_a_closed_gate_is_attention_within_segments(groups: int) -> None:
    infini = built(Infini(n_heads=4, n_kv_heads=groups, segment=5, gate=-40.0, position=Rope(), bias=True))
    attention = built(Attention(n_heads=4, n_kv_heads=groups, position=Rope(), bias=True), seed=1)
    missing, unknown = infini.load_state_dict(attention.state_dict(), strict=False)
    assert (missing, unknown) == (["gate"], []), "an attention's weights fit"
    with torch.no_grad():
        infini.gate.fill_(infini.spec.gate)
    x = text(13)
    right = torch.cat([read(attention, part) for part in x.split(5, 1)], 1)
    assert torch.allclose(read(infini, x), right, atol=1e-6)  # a turn by 7 - 5 places is not one by 2: angles are float32
    with torch.no_grad():
        infini.gate.fill_(-1.0)
    assert (read(infini, x) - right)[:, 5:].abs().max() > 1e-3, "and an open one hears the memory"


def test_where_the_gate_starts() -> None:
    layer = InfiniLayer(Infini(n_heads=4, gate=-4.0), WIDTH)
    assert layer.gate.tolist() == [-4.0] * 4


def test_the_memory_knows_no_positions() -> None:
    """With the local part switched off, a segment's order does not matter to those after it; with it on, it does."""
    layer, x = built(Infini(n_heads=4, segment=4, rule="linear", position=Rope())), text(12)
    other = torch.cat((x[:, :4].flip(1), x[:, 4:]), 1)
    with torch.no_grad():
        assert torch.allclose(read(layer, other)[:, 4:], read(layer, x)[:, 4:], atol=1e-12)
        assert (read(layer, other)[:, 3] - read(layer, x)[:, 3]).abs().max() > 1e-3


@pytest.mark.parametrize("spec", [Infini(n_heads=2, segment=8), XL(n_heads=2, segment=8, memory=8)], ids=["infini", "xl"])
@torch.no_grad()
def test_the_state_does_not_grow(spec: Infini | XL) -> None:
    layer = spec.build(WIDTH)
    nn.init.normal_(layer.q.weight), nn.init.normal_(layer.k.weight), nn.init.normal_(layer.v.weight)  # type: ignore[union-attr]
    state = layer.new_state(1, torch.zeros(1))  # type: ignore[operator]
    sizes = []
    for i in range(60):
        _, state = layer(torch.zeros(1, 16, WIDTH), Context(16 * i, 16, torch.arange(16 * i, 16 * i + 16)), state)
        sizes.append(state.nbytes())
    assert max(sizes[30:]) <= max(sizes[:30])


def test_what_distances_look_like_follows_the_weights_and_is_counted() -> None:
    layer, x = built(XL(n_heads=2, segment=4, memory=4)), text(12)
    first, second = Context(0, 6, torch.arange(6)), Context(6, 6, torch.arange(6, 12))
    with torch.no_grad():
        _, state = layer(x[:, :6], first, layer.new_state(2, x))
        assert state.nbytes() == state.live.nbytes() + state.r.nbytes
        before = layer(x[:, 6:], second, state)[0]
        layer.r.weight.mul_(-2)
        forgetful = replace(state, r=None)
        got, after = layer(x[:, 6:], second, state)
        assert torch.equal(got, layer(x[:, 6:], second, forgetful)[0])
        assert (got - before).abs().max() > 1e-3
        assert after.select(torch.tensor([0])).r is after.r, "made once, for all rows"
        assert layer(x[:, 6:], second, after)[1].r is after.r, "and for all later steps"


def test_what_does_not_fit_is_said() -> None:
    assert "alibi" in Infini(n_heads=4, position=Alibi()).problems(32)[0]
    assert "n_heads = 5" in Infini(n_heads=5).problems(32)[0]
    assert "n_kv_heads = 3" in XL(n_heads=4, n_kv_heads=3).problems(32)[0]
    assert "less than one pair" in Infini(n_heads=4, d_head=2, position=Rope(fraction=0.5)).problems(32)[0]
    assert "even width" in XL(n_heads=3).problems(33)[0]
    with pytest.raises(ConfigError, match="rule"):
        load(TokenMixer, {"kind": "infini", "n_heads": 4, "rule": "detla"})  # type: ignore[type-abstract]

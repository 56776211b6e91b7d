"""Longformer's attention: equal to the mask written out, to another implementation of it, and at a cost that is linear in the text."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from equivalence import Hold
from linnet.model import Longformer
from linnet.model.context import Context
from linnet.model.mixer.longformer import LongformerLayer
from linnet.ops import longformer as ops
from linnet.ops.longformer import longformer, longformer_reference, longformer_scores
from linnet.ops.mask import Mask

DOCUMENTS = torch.tensor([[3] * 8 + [1] * 13, [0] * 14 + [9] * 7])


def drawn(dtype: torch.dtype = torch.float64) -> list[Tensor]:
    """q, k, v and q, k, v of global places, (B, H, T, K)."""
    draws = torch.Generator().manual_seed(0)
    return [torch.randn(2, 3, 21, 4, generator=draws, dtype=torch.float64).to(dtype).requires_grad_() for _ in range(6)]


def masked(causal: bool, window: int, n_global: int, documents: Tensor | None) -> Mask:
    context = Context(0, 21, torch.arange(21), documents, documents)
    seen = context.seen(causal=causal, window=window, first_key=0, n_keys=21)
    return replace(seen, everyone=context.begins(n_global))


def far(mask: Mask, dtype: torch.dtype = torch.float64) -> float:
    """Output and every gradient against the definition in float64."""
    assert mask.everyone is not None
    columns = mask.everyone[0].any(0).nonzero()[:, 0]
    found = []
    for way, kind in ((longformer, dtype), (longformer_reference, torch.float64)):
        q, k, v, q_global, k_global, v_global = tensors = drawn(kind)
        y = way(q, k, v, q_global[:, :, columns], columns, k_global, v_global, mask, first_query=0, scale=0.6)
        found.append([y, *torch.autograd.grad(y.sin().sum(), tensors)])
    return max(((a.double() - b).abs().max() / b.abs().max()).item() for a, b in zip(*found, strict=True))


@pytest.mark.parametrize("documents", [None, DOCUMENTS], ids=["one document", "packed"])
@pytest.mark.parametrize(("causal", "window", "n_global"), itertools.product([True, False], [1, 4, 30], [1, 3]))
def test_the_fast_way_is_the_definition(causal: bool, window: int, n_global: int, documents: Tensor | None, hold: Hold) -> None:
    mask = masked(causal, window, n_global, documents)
    hold("7 longformer, by windows = the definition, float64", far(mask), 1e-13)
    hold("7 longformer, by windows = the definition", far(mask, torch.float32), 1e-5)


@pytest.mark.parametrize("documents", [None, DOCUMENTS], ids=["one document", "packed"])
@pytest.mark.parametrize(("causal", "window", "n_global"), itertools.product([True, False], [1, 4, 30], [1, 3]))
def test_the_mask_is_the_definition(causal: bool, window: int, n_global: int, documents: Tensor | None) -> None:
    """Place by place."""
    mask, places = masked(causal, window, n_global, documents), torch.arange(21)
    got = mask.dense(places, places)
    for b, t, s in itertools.product(range(len(got)), range(21), range(21)):
        same = documents is None or bool(documents[b, t] == documents[b, s])
        begin = 0 if documents is None else documents[b].tolist().index(documents[b, s])
        near = abs(t - s) < window or (same and min(t, s) - begin < n_global)
        assert got[b, t, s] == (near and same and (s <= t or not causal))


@pytest.mark.parametrize(("causal", "window", "n_global"), itertools.product([True, False], [1, 2, 7], [1, 2, 9]))
def test_scores_are_counted_as_the_mask_has_them(causal: bool, window: int, n_global: int) -> None:
    for n in range(1, 24):
        places = torch.arange(n)
        first = (places < n_global)[None]
        near = Mask(causal, window, everyone=(first & False, first)).dense(places, places).sum()
        whole = Mask(causal).dense(places, places)[first[0]].sum()
        assert longformer_scores(n, window, n_global, causal=causal) == near + whole


def test_the_cost_grows_with_the_text_and_not_with_its_square() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    layer = Longformer(n_heads=1, window=64, n_global=2).build(8)
    cost = {}
    for n in (1024, 2048, 4096):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            layer(torch.randn(1, n, 8), Context(0, n, torch.arange(n)))
        cost[n] = counter.get_total_flops()
    once, twice = cost[2048] - cost[1024], cost[4096] - cost[2048]  # the ends of a text cost less than its middle
    assert 1.95 < twice / once < 2.05


def theirs_and_ours(mutate: Callable[[LongformerLayer], None] | None = None) -> tuple[Tensor, Tensor]:
    """transformers' LongformerSelfAttention and our layer, with the same weights."""
    transformers = pytest.importorskip("transformers")
    from transformers.models.longformer.modeling_longformer import LongformerSelfAttention

    config = transformers.LongformerConfig(
        hidden_size=24, num_attention_heads=3, attention_window=[8], attention_probs_dropout_prob=0.0
    )
    torch.manual_seed(0)
    theirs = LongformerSelfAttention(config, layer_id=0).eval()
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    # their window counts both sides: half of it to each, the place itself apart
    ours = Longformer(n_heads=3, window=8 // 2 + 1, n_global=3, bias=True).build(24)
    names = {
        "query": "q",
        "key": "k",
        "value": "v",
        "query_global": "q_global",
        "key_global": "k_global",
        "value_global": "v_global",
    }
    with torch.no_grad():
        for name, own in names.items():
            getattr(ours, own).load_state_dict(getattr(theirs, name).state_dict())
        ours.o.weight.copy_(torch.eye(24))
        ours.o.bias.zero_()
    if mutate is not None:
        mutate(ours)
    x = torch.randn(2, 40, 24)
    marks = torch.zeros(2, 40)
    marks[:, :3] = 10_000.0
    with torch.no_grad():
        expected = theirs(
            x, attention_mask=marks, is_index_masked=marks < 0, is_index_global_attn=marks > 0, is_global_attn=True
        )[0]
        return expected, ours(x, Context(0, 40, torch.arange(40)))[0]


def test_it_is_the_layer_of_transformers() -> None:
    expected, got = theirs_and_ours()
    assert expected.std() > 0.1
    assert (got - expected).abs().max() < 1e-5


def swap_globals(layer: LongformerLayer) -> None:
    layer.k_global, layer.k = layer.k, layer.k_global


def narrower(layer: LongformerLayer) -> None:
    layer.spec = layer.spec.replace(window=4)


def fewer(layer: LongformerLayer) -> None:
    layer.spec = layer.spec.replace(n_global=2)


@pytest.mark.parametrize("mutate", [swap_globals, narrower, fewer])
def test_the_comparison_kills_the_mutant(mutate: Callable[[LongformerLayer], None]) -> None:
    expected, got = theirs_and_ours(mutate)
    assert (got - expected).abs().max() > 1e-2


def test_the_oracle_kills_a_way_that_skips_global_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    flash = ops.flash_attention
    monkeypatch.setattr(
        ops, "flash_attention", lambda q, k, v, mask, **rest: flash(q, k, v, replace(mask, everyone=None), **rest)
    )
    assert far(masked(False, 4, 3, None)) > 1e-2


def test_the_oracle_kills_a_way_that_marks_a_place_in_every_row(monkeypatch: pytest.MonkeyPatch) -> None:
    mask = masked(False, 4, 1, DOCUMENTS)
    monkeypatch.setattr(torch, "where", lambda condition, a, b: a)
    columns = mask.everyone[0].any(0).nonzero()[:, 0]  # type: ignore[index]
    with torch.no_grad():
        q, k, v, q_global, k_global, v_global = drawn()
        got = longformer(q, k, v, q_global[:, :, columns], columns, k_global, v_global, mask, first_query=0, scale=0.6)
        monkeypatch.undo()
        right = longformer_reference(
            q, k, v, q_global[:, :, columns], columns, k_global, v_global, mask, first_query=0, scale=0.6
        )
    assert (got - right).abs().max() > 1e-2


def test_a_place_reaches_the_window_and_the_global_places() -> None:
    """The gradient of one place: what it feels in one layer."""
    layer = Longformer(n_heads=2, window=3, n_global=2).build(8)
    torch.manual_seed(0)
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter)
    x = torch.randn(1, 20, 8, requires_grad=True)
    y, _ = layer(x, Context(0, 20, torch.arange(20)))
    felt = [
        (torch.autograd.grad(y[0, t].sum(), x, retain_graph=True)[0].abs().amax((0, 2)) > 0).nonzero()[:, 0].tolist()
        for t in range(20)
    ]
    assert felt[0] == felt[1] == list(range(20))
    assert felt[10] == [0, 1, 8, 9, 10, 11, 12]

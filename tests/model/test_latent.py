"""Latent attention: the absorbed way against the one that writes keys and values out, and both against plain attention."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from equivalence import Hold
from linnet.core.errors import ConfigError
from linnet.core.spec import load
from linnet.model import Alibi, Attention, Block, LatentAttention, Model, Network, Repeat, RMSNorm, Rope, Stack, Sublayer
from linnet.model.context import Context
from linnet.model.count import count
from linnet.model.linear import LinearLayer
from linnet.model.mixer import latent as latent_module
from linnet.model.mixer.latent import LatentAttentionLayer
from linnet.ops.attention import attention, attention_reference
from linnet.ops.latent import absorbing_pays, latent_attention, latent_attention_reference
from linnet.ops.mask import Mask

ROUNDING = 2e-5  # float32: sums of some hundred terms in another order
EXACT = 1e-12  # float64
B, H, T, S, C, N, R, V = 2, 3, 4, 9, 5, 6, 4, 7
DOCUMENTS = torch.tensor([[0] * 3 + [1] * 6, [4] * 8 + [2]])


def draw(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.empty(shape, dtype=dtype).normal_(generator=torch.Generator().manual_seed(seed + sum(shape)))


def parts(dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
    shapes = {"q": (B, H, T, N + R), "rows": (B, 1, S, C + R), "up_k": (H, N, C), "up_v": (H, V, C)}
    return {name: draw(*shape, seed=i, dtype=dtype) for i, (name, shape) in enumerate(shapes.items())}


def seen(hidden: str) -> Tensor | None:
    queries, keys = torch.arange(S - T, S), torch.arange(S)
    documents = (DOCUMENTS[:, S - T :], DOCUMENTS) if hidden == "documents" else None
    return None if hidden == "nothing" else Mask(True, None, documents).dense(queries, keys)


def apart(fast: Any, oracle: Any, inputs: dict[str, Tensor]) -> float:
    """The largest relative error of an output and all gradients."""
    results = []
    for function in (fast, oracle):
        leaves = {name: x.detach().requires_grad_() for name, x in inputs.items()}
        y = function(**leaves)
        results.append([y, *torch.autograd.grad(y.sin().sum(), list(leaves.values()))])
    return max(((a - b).abs().max() / b.abs().max()).item() for a, b in zip(*results, strict=True))


@pytest.mark.parametrize("hidden", ["nothing", "causal", "documents"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, EXACT), (torch.float32, ROUNDING)], ids=["float64", "float32"])
def test_absorbed_is_expanded(hidden: str, dtype: torch.dtype, tolerance: float, hold: Hold) -> None:
    plain = partial(attention_reference, allowed=seen(hidden), scale=0.3)
    for attend in (plain, partial(attention, allowed=seen(hidden), scale=0.3)):
        fast, oracle = partial(latent_attention, attend=attend), partial(latent_attention_reference, attend=plain)
        hold(f"7 latent attention, absorbed = expanded, {str(dtype)[6:]}", apart(fast, oracle, parts(dtype)), tolerance)


def test_the_definition_place_by_place() -> None:
    """Keys [U_k c ; r] and values U_v c, each head by hand."""
    x = parts()
    y = latent_attention_reference(**x, attend=partial(attention_reference, allowed=seen("causal"), scale=0.3))
    latent, shared = x["rows"][..., :C], x["rows"][..., C:]
    for b, h, t in [(0, 0, 0), (1, 2, 3), (0, 1, 2)]:
        scores, values = [], []
        for s in range(S - T + t + 1):
            key = torch.cat((x["up_k"][h] @ latent[b, 0, s], shared[b, 0, s]))
            scores.append(x["q"][b, h, t] @ key * 0.3)
            values.append(x["up_v"][h] @ latent[b, 0, s])
        assert torch.allclose(y[b, h, t], torch.stack(scores).softmax(0) @ torch.stack(values))


@pytest.mark.parametrize("wrong", ["shared key", "value matrix", "scale"])
def test_mutants_are_caught(wrong: str) -> None:
    attend = partial(attention_reference, scale=0.3)
    x = parts()
    right = latent_attention_reference(**x, attend=attend)
    if wrong == "shared key":
        x["q"][..., N:] = 0
    elif wrong == "value matrix":
        x["up_v"] = x["up_v"].flip(0)
    else:
        attend = partial(attention_reference, scale=0.35)
    assert (latent_attention(**x, attend=attend) - right).abs().max() > 1e-3


@pytest.mark.parametrize("shape", [(1, 9), (4, 9), (9, 9), (1, 2), (30, 300)], ids=str)
@pytest.mark.parametrize("widths", [(5, 6, 4, 7), (64, 4, 2, 4), (4, 32, 8, 32), (12, 8, 4, 8)], ids=str)
def test_the_choice_is_that_of_fewer_products(shape: tuple[int, int], widths: tuple[int, int, int, int]) -> None:
    (t, s), (c, n, r, v) = shape, widths
    inputs = draw(1, 2, t, n + r), draw(1, 1, s, c + r), draw(2, n, c), draw(2, v, c)
    costs = []
    for way in (latent_attention, latent_attention_reference):
        with FlopCounterMode(display=False) as counter:
            way(*inputs, partial(attention_reference, scale=1.0))
        costs.append(counter.get_total_flops())
    assert absorbing_pays(t, s, c, n, r, v) == (costs[0] < costs[1])


# the layer


SPECS = LatentAttention.examples()


def layer(spec: LatentAttention, d_model: int = 32, dtype: torch.dtype = torch.float64) -> LatentAttentionLayer:
    made = LatentAttentionLayer(spec, d_model).to(dtype)
    with torch.no_grad():
        for i, parameter in enumerate(made.parameters()):
            std = parameter.shape[-1] ** -0.5 if parameter.dim() > 1 else 0.3
            parameter.copy_(draw(*parameter.shape, seed=i) * std + (parameter.dim() == 1))
    return made


def read(made: LatentAttentionLayer, x: Tensor, at: int, absorb: bool | None, patch: pytest.MonkeyPatch) -> list[Tensor]:
    """Outputs of the second piece of x, cut at a place, and the gradients of x and of all parameters."""
    if absorb is not None:
        patch.setattr(LatentAttentionLayer, "absorbs", lambda self, n_queries, n_keys: absorb)
    x = x.detach().requires_grad_()
    state = made.new_state(len(x), x)
    _, state = made(x[:, :at], Context(0, at, torch.arange(at)), state)
    y, _ = made(x[:, at:], Context(at, x.shape[1] - at, torch.arange(at, x.shape[1])), state)
    return [y, *torch.autograd.grad(y.sin().sum(), [x, *made.parameters()])]


@pytest.mark.parametrize("spec", SPECS, ids=str)
@pytest.mark.parametrize("at", [1, 6, 8])
def test_both_ways_of_the_layer_agree(spec: LatentAttention, at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    made, x = layer(spec), draw(2, 9, 32)
    results = [read(made, x, at, absorb, monkeypatch) for absorb in (True, False)]
    for a, b in zip(*results, strict=True):
        assert (a - b).abs().max() / b.abs().max() < EXACT


def ways(network: Network, pieces: list[Tensor], capacity: int | None = None) -> list[str]:
    """How each piece is read."""
    taken: list[str] = []
    state = network.new_state(len(pieces[0]), capacity=capacity)
    with pytest.MonkeyPatch.context() as patch:
        absorbed = latent_module.latent_attention
        patch.setattr(latent_module, "latent_attention", lambda *inputs: (taken.append("absorbed"), absorbed(*inputs))[1])
        expanded = LatentAttentionLayer._expanded
        patch.setattr(LatentAttentionLayer, "_expanded", lambda *inputs: (taken.append("expanded"), expanded(*inputs))[1])
        for piece in pieces:
            state = network(piece, state=state).state
    return taken


def network(spec: LatentAttention | Attention, d_model: int = 32) -> Network:
    stack = Stack(layers=(Repeat(pattern=(Block(sublayers=(Sublayer(mixer=spec, norm=RMSNorm()),)),)),))
    return Network(Model(vocab_size=97, d_model=d_model, decoder=stack), seed=0)


def test_few_queries_of_many_keys_are_absorbed() -> None:
    made, text = network(LatentAttention(n_heads=4, d_latent=64)), torch.randint(0, 97, (2, 40))
    pieces = list(text.split([20, 15, 1, 1, 3], 1))
    assert ways(made, pieces) == ["expanded", "expanded", "absorbed", "absorbed", "absorbed"]
    mixer = made.decoder.layers[0].sublayers[0].mixer
    mixer.k_up = nn.Sequential(mixer.k_up)  # a matrix that is held in another way: its layer is called
    assert set(ways(made, pieces)) == {"expanded"}


def test_a_hook_on_a_matrix_is_heard() -> None:
    made = network(LatentAttention(n_heads=4, d_latent=8))
    mixer = made.decoder.layers[0].sublayers[0].mixer
    assert isinstance(mixer.v_up, LinearLayer)
    mixer.v_up.register_forward_hook(lambda module, inputs, output: output * 0)
    with torch.no_grad():
        state = made.new_state(1)
        before = made(torch.tensor([[1, 2, 3]]), state=state)
        after = made(torch.tensor([[4]]), state=before.state)
    assert torch.equal(after.hidden, made.embedding(torch.tensor([[4]])))  # the layer adds nothing


def test_with_a_latent_as_wide_as_the_input_it_is_plain_attention() -> None:
    """C = D with W_c = 1 and a shared key of zero: multi-head attention (1706.03762)."""
    d_model, n_heads = 24, 4
    spec = LatentAttention(n_heads=n_heads, d_latent=d_model, d_rope=2, position=None, norm=None, scale=0.4)
    ours, plain = layer(spec, d_model), Attention(n_heads=n_heads, scale=0.4).build(d_model).double()
    width = ours.width
    with torch.no_grad():
        ours.latent.weight.copy_(torch.eye(d_model))
        ours.key.weight.zero_()
        plain.q.weight.copy_(ours.q.weight.view(n_heads, width.qk, d_model)[:, : width.nope].reshape(-1, d_model))
        for a, b in ((plain.k, ours.k_up), (plain.v, ours.v_up), (plain.o, ours.o)):
            a.weight.copy_(b.weight)
    x, here = draw(2, 7, d_model), Context(0, 7, torch.arange(7))
    assert (ours(x, here)[0] - plain(x, here)[0]).abs().max() < EXACT


def test_turned_scores_depend_on_distance_alone() -> None:
    made, x = layer(LatentAttention(n_heads=4, d_latent=12)), draw(1, 6, 32)
    here, far = (made(x, Context(0, 6, torch.arange(6) + shift))[0] for shift in (0, 17))
    assert (here - far).abs().max() < 1e-6  # angles are of float32
    unturned = made(x, Context(0, 6, torch.zeros(6, dtype=torch.int64)))[0]
    assert (here - unturned).abs().max() > 1e-2, "places do not count"


# what it costs


@pytest.mark.parametrize("n_heads", [2, 16])
def test_a_place_costs_its_latent_and_one_key_whatever_the_heads(n_heads: int) -> None:
    spec = LatentAttention(n_heads=n_heads, d_latent=48, d_nope=16, d_rope=8)
    made, n = network(spec, 64), 50
    said = count(made.spec, n).state_bytes
    assert said == (48 + 8) * n * 4 == made.new_state(1, capacity=n).nbytes()
    state = made(torch.randint(0, 97, (1, n)), state=made.new_state(1)).state
    assert state is not None
    (held,) = (layer.rows for layer in state.layers)  # type: ignore[union-attr]
    assert held.view().numel() * 4 == said
    full = Attention(n_heads=n_heads, d_head=16).state_bytes(64, n, 4)
    assert said / full == (48 + 8) / (2 * n_heads * 16)


def test_deepseek_v3_keeps_a_fifty_seventh() -> None:
    """2412.19437, section 4.2: C = 512, R = 64, 128 heads of width 128; 2405.04434, table 1: as much as 2.25 groups of keys."""
    spec = LatentAttention(n_heads=128, d_latent=512, d_query_latent=1536, d_nope=128, d_rope=64, d_v=128)
    own = spec.state_bytes(7168, 1, 2)
    assert own == 576 * 2
    assert own == 2.25 * Attention(n_heads=128, n_kv_heads=1, d_head=128).state_bytes(7168, 1, 2)
    assert Attention(n_heads=128, d_head=128).state_bytes(7168, 1, 2) / own == pytest.approx(56.9, abs=0.05)


def test_widths_that_are_not_said() -> None:
    assert LatentAttention(n_heads=4, d_latent=8).widths(64) == (16, 8, 16)
    assert LatentAttention(n_heads=4, d_latent=8, d_nope=10).widths(64) == (10, 4, 10)
    assert LatentAttention(n_heads=32, d_latent=8).widths(32) == (1, 2, 1)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"n_heads": 5}, "latent: n_heads = 5 does not divide d_model = 32; needed: a divisor, or d_nope given"),
        ({"position": Alibi()}, "latent: position = 'alibi'; needed: rope, or null"),
        ({"position": Rope(fraction=0.2), "d_rope": 8}, "fraction 0.2 of d_rope = 8 is less than one pair"),
        ({"d_rope": 1}, "of d_rope = 1 is less than one pair"),
    ],
    ids=["heads", "position", "fraction", "one number"],
)
def test_what_does_not_fit_is_said(fields: dict[str, Any], said: str) -> None:
    spec = LatentAttention(**({"n_heads": 4, "d_latent": 8} | fields))
    with pytest.raises(ValueError, match=said.replace("(", r"\(")):
        network(spec)


def test_a_misspelt_width_is_named() -> None:
    with pytest.raises(ConfigError, match="did you mean 'd_latent'"):
        load(LatentAttention, {"kind": "latent", "n_heads": 4, "d_latnet": 8})

"""Ternary matrices in networks: the rewrite of any sentence, weights carried over, no program, passes cut anywhere, learning."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor

from linnet.core.errors import ConfigError
from linnet.core.spec import Spec, dump, load, words
from linnet.model import (
    GLU,
    MLP,
    Attention,
    Block,
    Convolution,
    Dense,
    Model,
    MoE,
    Network,
    Repeat,
    RMSNorm,
    Rope,
    Stack,
    Sublayer,
    Ternary,
)
from linnet.model.count import packed_bytes
from linnet.model.describe import describe
from linnet.model.linear import LinearLayer, TernaryLayer, project
from linnet.model.one_token import one_token
from linnet.model.rewrite import carried_over, linears, rewritten, with_linear
from linnet.model.training_programs import TrainingPrograms
from linnet.ops import ternary
from linnet.ops.kernels import kernels_available
from linnet.zoo import BitNet, Family, Linnet, Llama, Mixtral
from linnet.zoo.family import Sized

Patch = pytest.MonkeyPatch
SIZED = [word for word in words(Family).values() if issubclass(word, Sized)]  # type: ignore[type-abstract]
CHOOSERS = (
    "head",
    "router",
    "query",
    "mixer.gate",
    "mixer.out",
    "gates",
)  # by the head, by a layer that chooses, by a memory's own gate
SMALL = Llama(n_layers=2, n_heads=4, d_model=32, context_length=64)


def tokens(rows: int, n: int, seed: int = 0) -> Tensor:
    return torch.randint(0, 97, (rows, n), generator=torch.Generator().manual_seed(seed))


def ternary_names(network: Network) -> set[str]:
    return {name for name, module in network.named_modules() if isinstance(module, TernaryLayer)}


@pytest.mark.parametrize("family", SIZED, ids=lambda word: word.__name__)
def test_any_family_is_rewritten_by_one_word(family: type[Sized]) -> None:
    one = family.examples()[0]
    model = one.replace(linear=Ternary()).sentence(97)
    plain = one.replace(linear=Dense()).sentence(97)
    assert set(linears(model)) == {Ternary()}
    assert with_linear(plain, Ternary()) == model
    assert with_linear(model, Dense()) == plain, "and back"
    assert model.n_params() == plain.n_params()
    assert "ternary matrices" in describe(model)
    assert "ternary" not in describe(plain)
    assert load(Model, dump(model)) == model
    network = Network(model, seed=None)
    matrices = {name for name, module in network.named_modules() if isinstance(module, LinearLayer)}
    assert ternary_names(network)
    left = {name for name in matrices - ternary_names(network) if not any(word in name for word in CHOOSERS)}
    assert not left, f"{left} are as they were"


def test_which_parts_are_ternary() -> None:
    assert ternary_names(Network(Mixtral(n_layers=1, n_heads=4, d_model=32, n_experts=3, d_ff=16, linear=Ternary()).sentence(97))) == {
        *(f"decoder.layers.0.sublayers.0.mixer.{part}" for part in "qkvo"),
        *(f"decoder.layers.0.sublayers.1.mixer.experts.{e}.{part}" for e in range(3) for part in ("gate", "up", "down")),
    }  # fmt: skip


def test_a_run_file_says_it_in_a_word() -> None:
    assert load(Family, {"kind": "llama", "linear": "ternary"}).linear == Ternary()  # type: ignore[type-abstract, attr-defined]
    assert load(Family, "bitnet").linear == Ternary()  # type: ignore[type-abstract, attr-defined]
    with pytest.raises(ConfigError, match="did you mean 'ternary'"):
        load(Family, {"kind": "llama", "linear": "ternery"})  # type: ignore[type-abstract]


def test_nothing_to_rewrite_raises() -> None:
    block = Block(sublayers=(Sublayer(mixer=Convolution(width=3), norm=RMSNorm()),))
    model = Model(vocab_size=97, d_model=32, decoder=Stack(layers=(Repeat(pattern=(block,)),)))
    with pytest.raises(ConfigError, match="no matrix"):
        with_linear(model, Ternary())


def test_weights_are_carried_over_and_the_first_one_stays() -> None:
    plain = Network(SMALL.sentence(97), seed=3).double().eval()
    before = {name: tensor.clone() for name, tensor in plain.state_dict().items()}
    other = carried_over(plain, Ternary())
    assert not other.training
    assert other.state_dict().keys() == before.keys()
    assert all(torch.equal(tensor, before[name]) for name, tensor in other.state_dict().items())
    with torch.no_grad():
        other.embedding.weight.zero_()
    assert all(torch.equal(tensor, before[name]) for name, tensor in plain.state_dict().items())
    back = carried_over(carried_over(plain, Ternary()), Dense())
    assert torch.equal(back(tokens(2, 9)).hidden, plain(tokens(2, 9)).hidden)


def test_a_ternary_network_is_the_plain_one_with_its_weights_rounded_beforehand(monkeypatch: Patch) -> None:
    """Where activations are left alone, so that only the weights' rounding is looked at."""
    network = Network(BitNet(n_layers=2, n_heads=4, d_model=32).sentence(97), seed=3).double()
    rounded = carried_over(network, Dense())
    with torch.no_grad():
        for name in ternary_names(network):
            weight = rounded.get_submodule(name).get_parameter("weight")
            codes, gamma = ternary.ternary_weights(weight)
            weight.copy_(codes * gamma)
    monkeypatch.setattr(ternary, "eight_bits", lambda x: (x, x.new_ones(*x.shape[:-1], 1)))
    torch.testing.assert_close(network(tokens(2, 9)).hidden, rounded(tokens(2, 9)).hidden, rtol=1e-10, atol=1e-10)


@contextmanager
def watched(patch: Patch) -> Iterator[list[Tensor]]:
    """What is rounded to 8 bits, in the order of the calls."""
    found: list[Tensor] = []
    right = ternary.eight_bits

    def watching(x: Tensor) -> tuple[Tensor, Tensor]:
        numbers, scale = right(x)
        found.append(numbers.detach().clone())
        return numbers, scale

    with patch.context() as here:
        here.setattr(ternary, "eight_bits", watching)
        yield found


def cut_and_whole(network: Network, patch: Patch) -> tuple[list[Tensor], list[Tensor]]:
    """The numbers of 8 bits, by layer, of a pass that is cut and of a whole one."""
    text, state = tokens(3, 21), network.new_state(3)
    with torch.no_grad(), watched(patch) as whole:
        network(text)
    pieces = []
    with torch.no_grad():
        for part in text.split([1, 7, 2, 11], 1):
            with watched(patch) as here:
                state = network(part, state=state).state
            pieces.append(here)
    return [torch.cat(parts, 1) for parts in zip(*pieces, strict=True)], whole


@pytest.mark.parametrize("seed", range(5))
def test_a_cut_pass_rounds_every_token_alike(seed: int, monkeypatch: Patch) -> None:
    network = Network(BitNet(n_layers=3, n_heads=4, d_model=32).sentence(97), seed=seed).double()
    cut, whole = cut_and_whole(network, monkeypatch)
    assert len(cut) == 3 * 5, "a layer rounds for q, k and v together, for o, gate, up and down"
    assert all(torch.equal(a, b) for a, b in zip(cut, whole, strict=True))


def test_which_a_scale_of_all_tokens_does_not(monkeypatch: Patch) -> None:
    def mutant(x: Tensor) -> tuple[Tensor, Tensor]:
        scale = (127 / x.abs().max()).expand(*x.shape[:-1], 1)
        return (x * scale).round(), scale

    monkeypatch.setattr(ternary, "eight_bits", mutant)
    cut, whole = cut_and_whole(Network(BitNet(n_layers=1, n_heads=4, d_model=32).sentence(97)).double(), monkeypatch)
    assert not all(torch.equal(a, b) for a, b in zip(cut, whole, strict=True))


def test_matrices_of_one_input_are_those_of_each() -> None:
    draws = torch.Generator().manual_seed(1)
    layers = [TernaryLayer(24, n, bias=True) for n in (12, 7, 1)]
    for layer in layers:
        torch.nn.init.normal_(layer.weight, generator=draws)
        torch.nn.init.normal_(layer.bias, generator=draws)
    x = torch.randn(3, 5, 24, generator=draws)
    for got, layer in zip(project(x, layers), layers, strict=True):
        torch.testing.assert_close(got, layer(x))
    heard: list[Any] = []
    layers[1].register_forward_hook(lambda module, inputs, output: heard.append(output))
    project(x, layers)
    assert len(heard) == 1, "a layer that is listened to is called"


@pytest.mark.skipif(not kernels_available(), reason="no kernels")
@pytest.mark.parametrize("linear", [Dense(), Ternary()], ids=["dense", "ternary"])
def test_no_program_is_used_for_a_ternary_layer(linear: Any) -> None:
    """Programs multiply matrices as they are: of the same network they are there with dense ones, and answer something else."""
    dense = linear == Dense()
    network = Network(SMALL.replace(linear=linear).sentence(97)).eval()
    with torch.no_grad():
        assert (one_token(network, 2) is not None) == dense
    network.programs = TrainingPrograms()
    network(tokens(2, 9)).hidden.sum().backward()
    assert network.programs.n_programs == int(dense)


def mixed(attention: Any, mlp: Any) -> Network:
    sublayers = tuple(
        Sublayer(mixer=mixer, norm=RMSNorm())
        for mixer in (Attention(n_heads=4, position=Rope(), linear=attention), MLP(d_ff=48, linear=mlp))
    )
    stack = Stack(layers=(Repeat(pattern=(Block(sublayers=sublayers),), times=2),))
    return Network(Model(vocab_size=97, d_model=32, decoder=stack))


@pytest.mark.skipif(not kernels_available(), reason="no kernels")
@pytest.mark.parametrize("kinds", [(Dense(), Ternary()), (Ternary(), Dense())], ids=["mlp", "attention"])
def test_nor_where_a_part_is_ternary(kinds: tuple[Any, Any]) -> None:
    network = mixed(*kinds)
    network.programs = TrainingPrograms()
    network(tokens(2, 9)).hidden.sum().backward()
    assert network.programs.n_programs == 0
    assert set(linears(network.spec)) == {Dense(), Ternary()}


def test_packed_bytes() -> None:
    """By hand, for one layer of attention and experts."""
    d, f, v, e = 32, 16, 97, 3
    expert = GLU(d_ff=f, bias=True, linear=Ternary())
    block = Block(
        sublayers=(
            Sublayer(mixer=Attention(n_heads=4, linear=Ternary()), norm=RMSNorm()),
            Sublayer(mixer=MoE(expert=expert, n_experts=e, top_k=2), norm=RMSNorm()),
        )
    )
    model = Model(vocab_size=v, d_model=d, decoder=Stack(layers=(Repeat(pattern=(block,)),)))
    matrices = 4 * d * d + e * 3 * d * f
    full = v * d + 2 * d + d * e + e * (2 * f + d)
    assert packed_bytes(model) == matrices // 4 + 2 * (4 + 3 * e) + 2 * full
    assert packed_bytes(with_linear(model, Dense())) is None


def losses(linear: Any, steps: int = 60) -> list[float]:
    """A small model that learns one text by heart."""
    network = Network(SMALL.replace(linear=linear, tied=True).sentence(97), seed=1)
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    text, found = tokens(4, 17, seed=2), []
    for _ in range(steps):
        logits = network.logits(network(text[:, :-1]).hidden)
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), text[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append(loss.item())
    return found


def test_a_ternary_network_learns_and_not_without_straight_through(monkeypatch: Patch) -> None:
    right = losses(Ternary())
    assert right[-1] < 0.5 * right[0]
    backward = ternary._TernaryLinears.backward

    def nothing_through(ctx: Any, *gradients: Tensor) -> Any:
        return tuple(None if g is None else torch.zeros_like(g) for g in backward(ctx, *gradients))

    monkeypatch.setattr(ternary._TernaryLinears, "backward", staticmethod(nothing_through))
    assert losses(Ternary())[-1] > 1.5 * right[-1]


def test_weights_that_start_as_zeros_learn() -> None:
    """A residual matrix that starts as nothing is nothing when rounded, and has a gradient all the same."""
    network = Network(Linnet(n_layers=1, n_heads=4, d_model=32, linear=Ternary()).sentence(97))
    torch.nn.init.normal_(network.head.weight, generator=torch.Generator().manual_seed(1))  # type: ignore[union-attr, arg-type]
    network.logits(network(tokens(2, 9)).hidden).sin().sum().backward()
    down = next(module for name, module in network.named_modules() if name.endswith("mixer.down"))
    assert not down.weight.any()
    assert down.weight.grad.abs().max() > 0


def test_a_rewrite_asks_from_the_outside_in() -> None:
    """What is changed is not asked again; what is as it was stays the same object."""
    model = Mixtral(n_layers=1, n_heads=4, d_model=32, n_experts=2).sentence(50)
    asked: list[str] = []

    def fewer(part: Spec) -> Spec:
        asked.append(type(part).__name__)
        return part.replace(n_experts=3) if isinstance(part, MoE) else part

    new = rewritten(model, fewer)
    assert [each.n_experts for each in mixers(new) if isinstance(each, MoE)] == [3]
    assert "GLU" not in asked, "an expert, within what was changed"
    assert rewritten(model, lambda part: part) is model


def mixers(model: Model) -> list[Spec]:
    return [sublayer.mixer for sublayer in model.decoder.sublayers()]

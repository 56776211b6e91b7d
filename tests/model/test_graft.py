"""Grafts: a trained attention as Infini-attention is the same function within a segment, and attention within segments beyond it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from linnet.core.errors import ConfigError
from linnet.core.spec import dump
from linnet.model import MLP, Alibi, Attention, Infini, LayerNorm, Learned, Model, Network, Repeat, RMSNorm, Rope, Stack
from linnet.model.graft import AJAR, CLOSED, InfiniGraft, graft, grafted
from linnet.model.spec import Block, Sublayer
from linnet.model.weights import model_tensors, restore_model
from linnet.zoo import GPT2, Bert, BitNet, Llama, MambaFamily, Mistral, Mixtral

VOCAB, SEGMENT = 53, 6
EXACT = 2e-6  # float32: rows are summed in another order; measured 5e-7
SIZE: dict[str, Any] = {"n_layers": 2, "n_heads": 4, "d_model": 32, "d_ff": 40, "context_length": 24}
SHAPES = {
    "llama": Llama(**SIZE),
    "llama, grouped, qk-norm": Llama(**SIZE, n_kv_heads=2, d_head=6, qk_norm=True, tied=True),
    "mistral": Mistral(**SIZE, n_kv_heads=1, window=SEGMENT),
    "mixtral": Mixtral(**SIZE, n_experts=3, n_kv_heads=2),
}


def trained(spec: Model, seed: int = 0) -> Network:
    """A network whose every weight matters: norms and biases are moved, too."""
    network = Network(spec, seed=seed).eval()
    draws = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=draws) * 0.15)
    return network


def ids(n: int, rows: int = 3) -> Tensor:
    return torch.randint(VOCAB, (rows, n), generator=torch.Generator().manual_seed(n))


@torch.no_grad()
def logits(network: Network, tokens: Tensor, documents: Tensor | None = None) -> Tensor:
    return network.logits(network(tokens, documents=documents).hidden)


def apart(a: Tensor, b: Tensor) -> float:
    return ((a - b).abs().max() / b.abs().max()).item()


def within_segments(network: Network, tokens: Tensor) -> Tensor:
    """The original, told that every segment is a document: what attention within segments is. Rope counts distances alone."""
    return logits(network, tokens, (torch.arange(tokens.shape[1]) // SEGMENT).expand(tokens.shape))


def with_infini(network: Network, **how: Any) -> Network:
    return grafted(network, "infini", InfiniGraft(segment=SEGMENT, **how), context_length=24)


@pytest.mark.parametrize("rule", ["delta", "linear"])
@pytest.mark.parametrize("shape", SHAPES)
def test_closed_gates_are_the_identity_within_a_segment_and_local_attention_beyond(shape: str, rule: str) -> None:
    network = trained(SHAPES[shape].sentence(VOCAB))
    new = with_infini(network, rule=rule)
    for n in (1, SEGMENT - 1, SEGMENT):
        assert apart(logits(new, ids(n)), logits(network, ids(n))) < EXACT
    long = ids(4 * SEGMENT + 1)
    assert apart(logits(new, long), within_segments(network, long)) < EXACT
    assert apart(logits(new, long), logits(network, long)) > 1e-3, "the test could not tell segments from none"


def test_packed_documents_each_have_their_segments() -> None:
    network = trained(SHAPES["llama"].sentence(VOCAB))
    tokens, documents = ids(14, rows=1), torch.tensor([[0] * 5 + [1] * 9])
    alone = logits(with_infini(network), tokens[:, 5:])
    assert apart(logits(with_infini(network), tokens, documents)[:, 5:], alone) < EXACT


def test_weights_are_carried_and_only_gates_are_new() -> None:
    network = trained(SHAPES["mistral"].sentence(VOCAB))
    before, after = model_tensors(network), model_tensors(with_infini(network, gate=AJAR))
    new = sorted(set(after) - set(before))
    assert new == [f"decoder.layers.{i}.sublayers.0.mixer.gate" for i in range(2)]
    assert set(before) <= set(after)
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert all(torch.equal(after[name], torch.full((4,), AJAR)) for name in new)
    assert with_infini(network).spec.n_params() == network.spec.n_params() + 2 * 4


def mutant_open(network: Network) -> Network:
    return with_infini(network, gate=0.0)


def mutant_heads_turned(network: Network) -> Network:
    new = with_infini(network)
    weights = dict(model_tensors(new))
    name = "decoder.layers.0.sublayers.0.mixer.q.weight"
    weights[name] = weights[name].view(4, -1, 32).flip(0).reshape(weights[name].shape)
    restore_model(new, weights)
    return new


def mutant_weights_of_another_layer(network: Network) -> Network:
    new = with_infini(network)
    weights = dict(model_tensors(new))
    one, other = (f"decoder.layers.{i}.sublayers.0.mixer.v.weight" for i in range(2))
    restore_model(new, weights | {one: weights[other].clone(), other: weights[one].clone()})
    return new


@pytest.mark.parametrize("mutant", [mutant_open, mutant_heads_turned, mutant_weights_of_another_layer])
def test_mutants_are_not_the_original(mutant: Any) -> None:
    network = trained(SHAPES["llama"].sentence(VOCAB))
    assert apart(logits(mutant(network), ids(SEGMENT)), logits(network, ids(SEGMENT))) > 1e-3


def test_gradients_reach_gates_that_are_ajar_and_hardly_those_that_are_closed() -> None:
    network = trained(SHAPES["llama"].sentence(VOCAB))

    def pull(gate: float) -> float:
        new = with_infini(network, gate=gate)
        new(ids(3 * SEGMENT)).hidden.square().mean().backward()
        return max(
            p.grad.abs().max().item() for name, p in new.named_parameters() if name.endswith("gate") and p.grad is not None
        )

    assert pull(AJAR) > 1e-5
    assert pull(CLOSED) < 1e-8


def test_the_rewrite_is_a_pure_function_of_the_sentence() -> None:
    spec = Mistral(**SIZE, window=8, n_kv_heads=2).sentence(VOCAB)
    before = dump(spec)
    new = graft(spec, "infini", context_length=24)
    assert dump(spec) == before
    mixers = [sublayer.mixer for sublayer in new.decoder.sublayers()]
    assert mixers[0] == Infini(n_heads=4, n_kv_heads=2, segment=8, gate=CLOSED, position=Rope())  # a window is the segment
    assert mixers[1::2] == [sublayer.mixer for sublayer in spec.decoder.sublayers()][1::2]
    assert graft(Llama(**SIZE).sentence(VOCAB), "infini", context_length=24).decoder.layers[0].pattern[0].sublayers[
        0
    ].mixer == Infini(n_heads=4, segment=24, gate=CLOSED, position=Rope())
    assert new.replace(decoder=spec.decoder) == spec, "something beside the decoder's mixers changed"


def test_layers_whose_heads_differ_are_carried_each_by_itself() -> None:
    def block(attention: Attention) -> Block:
        return Block(sublayers=(Sublayer(mixer=attention, norm=RMSNorm()), Sublayer(mixer=MLP(d_ff=24), norm=RMSNorm())))

    layers = (
        block(Attention(n_heads=4, position=Rope())),
        block(Attention(n_heads=2, n_kv_heads=1, qk_norm=LayerNorm(), bias=True)),
    )
    network = trained(Model(vocab_size=VOCAB, d_model=32, decoder=Stack(layers=(Repeat(pattern=layers, times=2),))))
    long = ids(3 * SEGMENT)
    assert apart(logits(with_infini(network), long), within_segments(network, long)) < EXACT


def one(attention: Attention, **others: Any) -> Model:
    block = Block(sublayers=(Sublayer(mixer=attention, norm=RMSNorm()),))
    return Model(vocab_size=VOCAB, d_model=32, decoder=Stack(layers=(Repeat(pattern=(block,)),)), **others)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (MambaFamily(n_layers=1, d_model=32).sentence(VOCAB), ["without attention", "mamba"]),
        (Bert(n_layers=1, n_heads=4, d_model=32).sentence(VOCAB), ["causal = false"]),
        (one(Attention(n_heads=4, position=Alibi())), ["alibi"]),
        (one(Attention(n_heads=4, scale=0.5)), ["scale = 0.5"]),
        (one(Attention(n_heads=4, bias=True, output_bias=False)), ["output_bias"]),
        (one(Attention(n_heads=4, sub_norm=RMSNorm())), ["sub_norm"]),
        (one(Attention(n_heads=4, persistent=4)), ["persistent = 4"]),
        (BitNet(n_layers=1, n_heads=4, d_model=32).sentence(VOCAB), ["sub_norm"]),
        (one(Attention(n_heads=4, window=3)), ["window = 3", "--segment 3"]),
        (one(Attention(n_heads=4, scale=0.5, position=Alibi())), ["2 problems", "scale", "alibi"]),
        (one(Attention(n_heads=4), position=Learned(max_length=SEGMENT)), ["6 learned positions", "rope"]),
    ],
)  # fmt: skip
def test_what_cannot_be_carried_is_refused_all_at_once(spec: Model, words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        graft(spec, "infini", InfiniGraft(segment=SEGMENT), context_length=24)
    assert all(word in str(caught.value) for word in words), caught.value


def test_learned_positions_with_biases_are_carried() -> None:
    network = trained(GPT2(**{**SIZE, "context_length": 24}).sentence(VOCAB))
    assert apart(logits(with_infini(network), ids(SEGMENT)), logits(network, ids(SEGMENT))) < EXACT


def test_an_unknown_graft_is_named_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"infnii.*did you mean 'infini'"):
        graft(Llama(**SIZE).sentence(VOCAB), "infnii", context_length=24)


@pytest.mark.parametrize("training", [True, False])
def test_a_graft_of_a_network_that_trains_trains(training: bool) -> None:
    new = with_infini(trained(Llama(**SIZE).sentence(VOCAB)).train(training))
    assert {module.training for module in new.modules()} == {training}

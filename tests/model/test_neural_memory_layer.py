"""Neural memory and gated as layers: against their definitions, and what their states must not lose."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn.functional import silu

from linnet.model import MLP, Attention, Block, Cross, Gated, Model, Network, NeuralMemory, Repeat, Stack, Sublayer
from linnet.model.context import Context
from linnet.model.mixer.gated import GatedLayer
from linnet.model.mixer.neural_memory import NeuralMemoryLayer, Trained
from linnet.model.network import positions_within
from linnet.ops.neural_memory import recall_reference
from linnet.zoo import Titans

DOCUMENTS = torch.tensor([[0, 0, 0, 1, 1, 1, 1, 1, 1], [0, 1, 1, 1, 1, 1, 1, 1, 3]])


def filled(layer: torch.nn.Module) -> Any:
    draws = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_(0, 0.4, generator=draws)
    return layer


def context(documents: torch.Tensor | None, n: int = 9) -> Context:
    if documents is None:
        return Context(0, n, torch.arange(n))
    return Context(0, n, positions_within(documents, None, torch.zeros(len(documents), dtype=torch.int64)), documents, documents)


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("documents", [None, DOCUMENTS], ids=["one document", "packed"])
def test_the_layer_is_its_formula_token_by_token(
    depth: int, documents: torch.Tensor | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = filled(NeuralMemoryLayer(NeuralMemory(n_heads=2, chunk=4, depth=depth), 8)).double()
    x = torch.randn(2, 9, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    y, _ = layer(x, context(documents))
    monkeypatch.setattr("linnet.model.mixer.neural_memory.recall", recall_reference)
    assert (y - layer(x, context(documents))[0]).abs().max() < 1e-11


def read_by_hand(layer: NeuralMemoryLayer, x: torch.Tensor) -> torch.Tensor:
    """A document (T, D) by the weights alone: nothing of the layer runs. Memories of one matrix."""
    spec, heads = layer.spec, range(layer.spec.n_heads)
    now = [layer.initial[0][h].detach() for h in heads]
    pull, said = [torch.zeros_like(w) for w in now], []
    for t, token in enumerate(x):
        q, k, v = (silu(matrix.weight @ token).view(len(heads), -1) for matrix in (layer.q, layer.k, layer.v))
        q, k = q / q.norm(dim=-1, keepdim=True), k / k.norm(dim=-1, keepdim=True)
        rate, momentum, forgetting = ((layer.gates.weight @ token).view(3, -1) + layer.gate_offset).sigmoid()
        if t % spec.chunk == 0:
            anchor = now
        slopes = [2 * torch.outer(anchor[h] @ k[h] - v[h], k[h]) for h in heads]
        pull = [momentum[h] * pull[h] - spec.rate * rate[h] * slopes[h] for h in heads]
        now = [(1 - forgetting[h]) * now[h] + pull[h] for h in heads]
        said.append(layer.o.weight @ torch.cat([now[h] @ q[h] for h in heads]))
    return torch.stack(said)


def off_by_hand() -> float:
    layer = filled(NeuralMemoryLayer(NeuralMemory(n_heads=2, chunk=3, rate=0.3), 8)).double()
    x = torch.randn(1, 9, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    with torch.no_grad():
        return float((layer(x, context(None))[0][0] - read_by_hand(layer, x[0])).abs().max())


def test_the_layer_is_what_its_weights_say_read_by_hand() -> None:
    assert off_by_hand() < 1e-12


@pytest.mark.parametrize("swapped", [("rate", "momentum"), ("momentum", "forgetting"), ("queries", "keys"), ("keys", "values")])
def test_a_layer_that_takes_one_for_the_other_is_not(swapped: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    tell = NeuralMemoryLayer.tokens

    def mutant(self: NeuralMemoryLayer, x: torch.Tensor) -> Any:
        told, (a, b) = tell(self, x), swapped
        if a == "rate":  # as the layer would have it: it squeezes the rate alone
            rate = self.spec.rate * told.momentum.sigmoid()
            return told._replace(rate=rate, momentum=(told.rate / self.spec.rate).logit())
        return told._replace(**{a: getattr(told, b), b: getattr(told, a)})

    monkeypatch.setattr(NeuralMemoryLayer, "tokens", mutant)
    assert off_by_hand() > 1e-3


def test_queries_and_keys_have_length_one_and_rates_a_limit() -> None:
    layer = filled(NeuralMemoryLayer(NeuralMemory(n_heads=2, rate=0.05), 8))
    tokens = layer.tokens(10 * torch.randn(2, 9, 8))
    assert torch.allclose(tokens.queries.norm(dim=-1), torch.ones(2, 2, 9))
    assert torch.allclose(tokens.keys.norm(dim=-1), torch.ones(2, 2, 9))
    assert tokens.rate.min() > 0
    assert tokens.rate.max() <= 0.05


def test_gated_is_its_formula() -> None:
    spec = Gated(mixer=Attention(n_heads=2), gate=NeuralMemory(n_heads=2, chunk=4))
    layer = filled(GatedLayer(spec, 8))
    x, here = torch.randn(2, 9, 8), context(None)
    a, b = layer.mixer(x, here)[0], layer.gate(x, here)[0]

    def rms(z: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        return z / (z.square().mean(-1, keepdim=True) + layer.mixer_norm.eps).sqrt() * scale

    right = rms(a, layer.mixer_norm.weight) * torch.sigmoid(rms(b, layer.gate_norm.weight))
    assert (layer(x, here)[0] - right).abs().max() < 1e-5


def test_problems_are_told_through_a_gate() -> None:
    spec = Gated(mixer=Attention(n_heads=4), gate=NeuralMemory(n_heads=5))
    assert spec.problems(32) == ["gated: neural_memory: n_heads = 5 does not divide d_model = 32; needed: a divisor"]


def test_a_gate_and_what_it_gates_may_look_at_a_source() -> None:
    cross, attention = Cross(n_heads=2), Attention(n_heads=2)
    assert Gated(mixer=cross, gate=attention).reads_source
    assert Gated(mixer=attention, gate=cross).reads_source
    assert not Gated(mixer=attention, gate=attention).reads_source


def test_what_titans_are_made_of() -> None:
    def kinds(**fields: Any) -> list[type]:
        return [type(s.mixer) for s in next(Titans(**fields).sentence(97).decoder.blocks()).sublayers]

    assert kinds()[:2] == [NeuralMemory, Attention]
    assert kinds(variant="mag")[0] is Gated


def never_forgets_what_it_read(patch: pytest.MonkeyPatch) -> None:
    """Reads that are not counted: a handle that was given up goes unnoticed."""
    patch.setattr(Trained, "reclaim", lambda self: self)


def selects_the_weights_alone(patch: pytest.MonkeyPatch) -> None:
    select = Trained.select

    def mutant(self: Trained, rows: torch.Tensor) -> Trained:
        return Trained(type(self.memory)(self.memory.anchor, select(self, rows).memory.weights, self.memory.momentum), self.read)

    patch.setattr(Trained, "select", mutant)


def goes_on(network: Network) -> None:
    """Law 5 and law 6 in their smallest form."""
    tokens = torch.randint(0, 11, (2, 7), generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        state = network(tokens[:, :5], state=network.new_state(2)).state
        assert state is not None
        rows = torch.tensor([1, 0])
        right = network(tokens[rows]).hidden[:, 5:]
        assert (network(tokens[rows][:, 5:], state=state.select(rows)).hidden - right).abs().max() < 1e-5
        later = network(tokens[:, 5:6], state=state).state
        network(tokens[:, 5:6], state=state.reclaim())
        with pytest.raises(RuntimeError, match="given up"):
            network(tokens[:, 6:], state=later)


def network() -> Network:
    block = Block(sublayers=(Sublayer(mixer=NeuralMemory(n_heads=2, chunk=4)), Sublayer(mixer=MLP(d_ff=8))))
    made = Network(Model(vocab_size=11, d_model=8, decoder=Stack(layers=(Repeat(pattern=(block,)),))), seed=4)
    return filled(made)


def test_select_and_reclaim() -> None:
    goes_on(network())


@pytest.mark.parametrize("mutate", [never_forgets_what_it_read, selects_the_weights_alone], ids=lambda f: f.__name__)
def test_the_laws_kill_the_mutant(mutate: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch) -> None:
    mutate(monkeypatch)
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        goes_on(network())

"""Chance comes from named streams only; recomputing and cutting batches change nothing. Law 19 is the last."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from sentences import SENTENCES, build, tokens
from torch import Tensor

from equivalence import Hold
from linnet.core.seeds import generator
from linnet.core.spec import words
from linnet.data.batch import Batch
from linnet.model import Init, Network, init
from linnet.model.context import Context
from linnet.objective.base import Loss, Objective
from linnet.objective.next_token import NextToken
from linnet.zoo import Family

HEADS = ["attention n_heads=4 position=rope", "head tied=False", "head bias=True", "head softcap=5.0"]
DROPS = "dropout"


def dropping() -> Network:
    return build(SENTENCES["attention n_heads=4 position=rope"].replace(dropout=0.3))


def draws_from_its_generator_alone() -> None:
    network, text = dropping(), tokens(2, 9)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = network(text, generator=generator(0, DROPS)).hidden
    torch.manual_seed(2)
    assert torch.equal(network(text, generator=generator(0, DROPS)).hidden, first)
    torch.set_rng_state(before)
    assert torch.equal(network(text, generator=generator(0, DROPS)).hidden, first)
    assert torch.equal(torch.get_rng_state(), before), "the global generator moved"
    assert not torch.equal(network(text, generator=generator(1, DROPS)).hidden, first)
    assert torch.equal(network(text).hidden, network(text).hidden)


def test_dropout_draws_from_its_generator_alone() -> None:
    draws_from_its_generator_alone()


def test_dropout_keeps_the_mean_and_the_rate() -> None:
    x = torch.ones(400, 400)
    y = Context(0, 1, torch.zeros(1), generator=generator(0, DROPS)).dropout(x, 0.3)
    assert abs((y == 0).float().mean().item() - 0.3) < 0.01  # 160,000 draws: a deviation of 0.001
    (kept,) = y[y != 0].unique()
    assert abs(kept.item() * 0.7 - 1) < 1e-5  # the rate is met to within 1 / 131,072


def test_the_law_kills_a_dropout_from_the_global_generator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        Context, "dropout", lambda self, x, rate: torch.nn.functional.dropout(x, rate, training=self.generator is not None)
    )
    with pytest.raises(AssertionError):
        draws_from_its_generator_alone()


def gradients(
    network: Network, text: Tensor, loss: Callable[[Tensor], Tensor] = lambda hidden: hidden.sin().sum()
) -> dict[str, Tensor]:
    network.zero_grad()
    loss(network(text).hidden).backward()
    return {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("name", SENTENCES)
def test_recomputing_changes_no_gradient(name: str) -> None:
    network, text = build(SENTENCES[name]), tokens(2, 9)
    kept = gradients(network, text)
    network.decoder.recompute = True
    again = gradients(network, text)
    assert kept.keys() == again.keys()
    assert all(torch.equal(kept[key], again[key]) for key in kept)


def built(family: Family, seed: int = 3) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in Network(family.sentence(97), seed=seed).named_parameters()}


@pytest.mark.parametrize("name", words(Family))
def test_weights_depend_on_name_shape_and_seed_alone(name: str) -> None:
    for family in words(Family)[name].examples():
        torch.manual_seed(0)
        before = torch.get_rng_state()
        one = built(family)
        assert torch.equal(torch.get_rng_state(), before), "building moved the global generator"
        torch.manual_seed(5)
        again = built(family)
        assert all(torch.equal(one[key], again[key]) for key in one)
        assert any(not torch.equal(one[key], value) for key, value in built(family, seed=4).items())
    layers = {n: built(words(Family)["llama"].model_validate({"n_layers": n, "n_heads": 4, "d_model": 32})) for n in (1, 2)}
    assert all(torch.equal(value, layers[2][key]) for key, value in layers[1].items() if "down" not in key and ".o." not in key)


def order_does_not_matter() -> None:
    network = Network(SENTENCES["sentence"], seed=3)
    right = {key: p.detach().clone() for key, p in network.named_parameters()}
    network._modules = dict(reversed(network._modules.items()))
    with torch.no_grad():
        for p in network.parameters():
            p.normal_()
    scales = {key for key, p in network.named_parameters() if p.dim() < 2 and not key.endswith("bias")}
    init.initialise(network, SENTENCES["sentence"], 3)
    assert all(torch.equal(p, right[key]) for key, p in network.named_parameters() if key not in scales)


def test_the_order_of_construction_does_not_matter() -> None:
    order_does_not_matter()


def test_the_law_kills_one_stream_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    shared = torch.Generator().manual_seed(0)
    monkeypatch.setattr(init, "generator", lambda seed, name: shared)
    with pytest.raises(AssertionError):
        order_does_not_matter()


@pytest.mark.parametrize("residual", ["scaled", "zero", "plain"])
def test_weights_start_as_the_spec_says(residual: str) -> None:
    model = SENTENCES["attention n_heads=4 bias=True output_bias=False"]
    start = Init.model_validate({"std": 0.05, "embedding_std": 0.5, "residual": residual, "head": "zero"})
    network = Network(model.replace(init=start, head=model.head.replace(tied=False)), seed=0)
    by_name = dict(network.named_parameters())
    into_the_stream = {"scaled": 0.05 / 4**0.5, "zero": 0.0, "plain": 0.05}[residual]
    mixer = "decoder.layers.0.sublayers.0.mixer"
    assert by_name["embedding.weight"].std().item() == pytest.approx(0.5, rel=0.1)
    assert by_name[f"{mixer}.q.weight"].std().item() == pytest.approx(0.05, rel=0.1)
    assert by_name[f"{mixer}.o.weight"].std().item() == pytest.approx(into_the_stream, rel=0.1)
    assert by_name["decoder.layers.0.sublayers.1.mixer.down.weight"].std().item() == pytest.approx(into_the_stream, rel=0.1)
    assert by_name["head.weight"].abs().max() == 0
    assert by_name[f"{mixer}.q.bias"].abs().max() == 0
    assert (by_name["decoder.final_norm.weight"] == 1).all()


def test_running_leaves_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    for name in HEADS:
        network, text = build(SENTENCES[name]), tokens(2, 9)
        network.decoder.recompute = True
        NextToken()(network, Batch(text, text, torch.ones(2, 9))).total.backward()
    assert torch.equal(torch.get_rng_state(), before)


# 19 ------------------------------------------------------------------------------ k micro-batches = one big batch


def batch() -> Batch:
    """Weights that differ between rows, some rows without any."""
    weights = torch.rand(6, 8, generator=generator(0, "weights")) * torch.tensor([1.0, 0, 3, 0.1, 0, 2])[:, None]
    documents = torch.tensor([[0] * 3 + [1] * 5] * 3 + [[-1] * 2 + [0] * 6] * 3)
    return Batch(tokens(6, 8), tokens(6, 8, seed=1), weights, documents)


def step(network: Network, objective: Objective, rows: int) -> tuple[float, dict[str, Tensor], dict[str, float]]:
    """Loss, gradients and logs of one step in micro-batches of so many rows, divided by the count of all."""
    whole = batch()
    total = objective.count(whole)
    network.zero_grad()
    loss, logs = 0.0, {"loss": 0.0}
    for start in range(0, 6, rows):
        got = objective(network, whole.rows(start, start + rows))
        (got.total / total).backward()
        loss += got.total.item() / total.item()
        logs["loss"] += got.logs["loss"][0].item() / total.item()
    return loss, {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}, logs


def cut_batch(network: Network, objective: Objective, rows: int) -> float:
    loss, right, logs = step(network, objective, 6)
    again, got, more = step(network, objective, rows)
    scale = max(g.abs().max().item() for g in right.values())
    return max(
        abs(loss - again), abs(logs["loss"] - more["loss"]), *((got[k] - right[k]).abs().max().item() / scale for k in right)
    )


@pytest.mark.parametrize("rows", [1, 2, 5])
@pytest.mark.parametrize("name", HEADS)
def test_19_micro_batches_are_one_big_batch(name: str, rows: int, hold: Hold) -> None:
    hold("19 micro-batches = one batch", cut_batch(build(SENTENCES[name]), NextToken(), rows), 2e-6)


class _Mean(Objective):
    """A mean, which every tutorial has."""

    def count(self, batch: Batch) -> Tensor:
        return torch.tensor(1.0)

    def __call__(self, network: Network, batch: Batch, generator: torch.Generator | None = None) -> Loss:
        loss = NextToken()(network, batch, generator)
        return loss._replace(total=loss.total / batch.weights.sum().clamp(min=1e-3))


def test_the_law_kills_a_mean() -> None:
    assert cut_batch(build(SENTENCES[HEADS[0]]), _Mean(), 2) > 1e-3


@pytest.mark.parametrize("name", HEADS)
def test_the_loss_is_the_weighted_sum_of_log_probabilities(name: str, hold: Hold) -> None:
    """Whole scores, one place at a time: by hand."""
    network, whole = build(SENTENCES[name]), batch()
    hidden = network(whole.tokens, documents=whole.documents).hidden
    p = network.logits(hidden).softmax(-1).gather(-1, whole.targets[..., None])[..., 0]
    right = -(p.log() * whole.weights).sum()
    got = NextToken()(network, whole).total
    hold("19 loss by hand", ((got - right) / right).abs().item(), 1e-5)

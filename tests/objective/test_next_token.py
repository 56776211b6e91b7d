"""Next-token prediction: the weighted sum that PyTorch's cross entropy gives, with its gradients, however it is cut."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from linnet.data.batch import Batch
from linnet.data.pair_batches import as_pair_batch
from linnet.model import Head, Network
from linnet.objective import NextToken, token_loss
from linnet.ops import loss as loss_module
from linnet.zoo import GPT2, Linnet, Translate

V, ROWS, LENGTH = 23, 3, 11
HEADS = {  # the first two by the chunked sum with its gradient written out, the others by a recomputed piece at a time
    "tied": Head(tied=True),
    "free": Head(tied=False),
    "bias": Head(tied=True, bias=True),
    "softcap": Head(tied=False, softcap=3.0),
}


def network(head: str = "free") -> Network:
    """Float64, weights large enough that scores differ."""
    model = GPT2(n_layers=1, n_heads=2, d_model=8, context_length=32).sentence(V).replace(head=HEADS[head])
    built = Network(model, seed=1).to(torch.float64)
    draws = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.add_(torch.empty_like(parameter).normal_(0, 0.5, generator=draws))
    return built


def batch() -> Batch:
    """Weights of all kinds: 0, 1 and between."""
    draws = torch.Generator().manual_seed(3)
    tokens = torch.randint(0, V, (ROWS, LENGTH + 1), generator=draws)
    weights = torch.rand(ROWS, LENGTH, generator=draws, dtype=torch.float64)
    weights[0, :4], weights[2] = 0.0, 1.0
    return Batch(tokens[:, :-1], tokens[:, 1:], weights)


def by_torch(network: Network, batch: Batch) -> Tensor:
    """The oracle: all scores at once, PyTorch's own cross entropy."""
    scores = network.logits(network(batch.tokens, documents=batch.documents).hidden)  # (B, T, V)
    each = cross_entropy(scores.flatten(0, 1), batch.targets.flatten(), reduction="none")
    return (each * batch.weights.flatten()).sum()


def value(total: Tensor | float) -> float:
    return total.item() if isinstance(total, Tensor) else total


def gradients(network: Network, total: Tensor) -> dict[str, Tensor]:
    network.zero_grad()
    total.backward()
    return {name: parameter.grad.clone() for name, parameter in network.named_parameters() if parameter.grad is not None}


def apart(got: dict[str, Tensor], right: dict[str, Tensor]) -> float:
    """The largest difference, as a share of the largest gradient: that of a bias of keys is nothing, for softmax takes it away."""
    assert got.keys() == right.keys()
    largest = max(float(gradient.abs().max()) for gradient in right.values())
    return max(float((got[name] - right[name]).abs().max()) for name in right) / largest


@pytest.fixture(params=[None, 1, 4, 7], ids=lambda rows: f"rows at a time: {rows}")
def _chunk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows whose scores are alive at once; None: as many as there are."""
    if request.param is not None:
        monkeypatch.setattr(loss_module, "CHUNK_NUMBERS", request.param * V)
        assert token_loss.chunk_rows(V, ROWS * LENGTH) == request.param


@pytest.mark.usefixtures("_chunk")
@pytest.mark.parametrize("head", HEADS)
def test_it_is_torch_s_cross_entropy_weighted_and_summed_with_all_gradients(head: str) -> None:
    model, given = network(head), batch()
    right = by_torch(model, given)
    got = NextToken()(model, given).total
    assert value(got) == pytest.approx(value(right), rel=1e-12)
    assert apart(gradients(model, got), gradients(model, right)) < 1e-10


def test_the_gradient_is_the_slope() -> None:
    """Central differences along a random direction, error O(h²)."""
    model, given = network(), batch()
    slope = gradients(model, NextToken()(model, given).total)
    draws = torch.Generator().manual_seed(4)
    direction = {name: torch.randn(g.shape, generator=draws, dtype=torch.float64) for name, g in slope.items()}
    expected = sum(float((slope[name] * direction[name]).sum()) for name in slope)

    def at(h: float) -> float:
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.add_(direction[name], alpha=h)
            found = value(NextToken()(model, given).total)
            for name, parameter in model.named_parameters():
                parameter.sub_(direction[name], alpha=h)
        return found

    assert (at(1e-5) - at(-1e-5)) / 2e-5 == pytest.approx(expected, rel=1e-6)


def test_the_count_is_the_sum_of_the_weights_and_known_before() -> None:
    given = batch()
    assert float(NextToken().count(given)) == float(given.weights.sum())
    loss = NextToken()(network(), given)
    total, number = loss.logs["loss"]
    assert float(total) == value(loss.total)
    assert float(number) == float(given.weights.sum())
    assert not total.requires_grad


@pytest.mark.parametrize("head", HEADS)
def test_what_has_no_weight_is_not_learned(head: str) -> None:
    model, given = network(head), batch()
    other = given.targets.clone()
    other[given.weights == 0] = (other[given.weights == 0] + 1) % V
    assert (other != given.targets).any()
    changed = replace(given, targets=other)
    assert value(NextToken()(model, changed).total) == value(NextToken()(model, given).total)
    nothing = replace(given, weights=torch.zeros_like(given.weights))
    loss = NextToken()(model, nothing)
    assert value(loss.total) == 0
    assert all(float(g.abs().max()) == 0 for g in gradients(model, loss.total).values())
    learned = replace(given, targets=(given.targets + 1) % V)
    assert value(NextToken()(model, learned).total) != value(NextToken()(model, given).total)


@pytest.mark.parametrize("rows", [1, 2])
def test_micro_batches_add_up(rows: int) -> None:
    model, given = network(), batch()
    whole = NextToken()(model, given)
    parts = [NextToken()(model, given.rows(start, start + rows)) for start in range(0, ROWS, rows)]
    assert value(sum(part.total for part in parts)) == pytest.approx(value(whole.total), rel=1e-12)
    assert float(sum(part.logs["loss"][1] for part in parts)) == pytest.approx(float(whole.logs["loss"][1]), rel=1e-12)


def test_an_even_prediction_costs_the_logarithm_of_the_vocabulary() -> None:
    model = Network(Linnet(n_layers=1, n_heads=2, d_model=8).sentence(V), seed=1)  # its head starts at zero
    given = batch()
    given = replace(given, weights=given.weights.float())
    assert value(NextToken()(model, given).total) == pytest.approx(float(given.weights.sum()) * math.log(V), rel=1e-6)


def test_it_sees_the_past_alone_and_its_own_document() -> None:
    model, given = network(), batch()
    last = given.weights.new_zeros(ROWS, LENGTH)
    last[:, 4] = 1.0
    early = replace(given, weights=last)
    later = early.tokens.clone()
    later[:, 5:] = (later[:, 5:] + 1) % V
    assert value(NextToken()(model, replace(early, tokens=later)).total) == value(NextToken()(model, early).total)
    documents = torch.zeros(ROWS, LENGTH, dtype=torch.int32)
    documents[:, 3:] = 1
    apart_ = replace(early, documents=documents)
    before = apart_.tokens.clone()
    before[:, :3] = (before[:, :3] + 1) % V
    got = value(NextToken()(model, replace(apart_, tokens=before)).total)
    assert got == pytest.approx(value(NextToken()(model, apart_).total), rel=1e-12)
    assert got != pytest.approx(value(NextToken()(model, early).total), rel=1e-6)


@pytest.mark.parametrize("head", HEADS)
def test_smoothed_labels(head: str) -> None:
    """What is learned is PyTorch's smoothed cross entropy, with its gradients; what is logged is the plain one."""
    ours, theirs, given = network(head), network(head), batch()
    loss = NextToken(label_smoothing=0.2)(ours, given)
    scores = theirs.logits(theirs(given.tokens).hidden).flatten(0, 1)
    each = cross_entropy(scores, given.targets.flatten(), reduction="none", label_smoothing=0.2)
    expected = (each * given.weights.flatten()).sum()
    assert torch.allclose(loss.total, expected, rtol=1e-6)
    assert torch.allclose(loss.logs["loss"][0], by_torch(theirs, given), rtol=1e-6)
    loss.total.backward()
    expected.backward()
    for mine, its in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.allclose(mine.grad, its.grad, rtol=1e-6, atol=1e-8)


def test_padding_of_pairs_changes_nothing() -> None:
    """A pair beside longer ones, with padding on both sides, teaches what it teaches alone."""
    made = Network(Translate(n_layers=1, n_heads=2, d_model=8).sentence(V), seed=1).double()
    sources = [np.array([3, 4, 0]), np.array([5, 6, 7, 8, 9, 0])]
    targets = [np.array([1, 2, 3, 4, 5, 6, 0]), np.array([7, 0])]
    objective = NextToken(label_smoothing=0.1)
    together = objective(made, as_pair_batch(sources, targets, end_id=0))
    alone = [
        objective(made, as_pair_batch([source], [target], end_id=0)) for source, target in zip(sources, targets, strict=True)
    ]
    assert torch.allclose(together.total, alone[0].total + alone[1].total, rtol=1e-9)
    assert together.logs["loss"][1] == 9
    gradients = torch.autograd.grad(together.total, list(made.parameters()))
    apart = torch.autograd.grad(alone[0].total + alone[1].total, list(made.parameters()))
    assert all(torch.allclose(mine, its, rtol=1e-7, atol=1e-9) for mine, its in zip(gradients, apart, strict=True))

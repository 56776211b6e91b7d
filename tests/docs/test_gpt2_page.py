"""The page that holds all of GPT-2 says the same as the model that linnet assembles: scores and every gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from docs_pages import ROOT, blocks
from torch import Tensor

from linnet.interop.huggingface import export_network
from linnet.model.network import Network
from linnet.zoo import GPT2

N_LAYERS, N_HEADS, D_MODEL, CONTEXT, VOCAB = 3, 4, 32, 24, 61


@pytest.fixture(scope="module")
def page() -> dict[str, Any]:
    torch.set_num_threads(1)  # the page's model is too small for more
    names: dict[str, Any] = {"__name__": "page"}
    first, *_ = blocks(ROOT / "docs/tour/8-gpt2-on-one-page.md", "python")
    exec(compile(first, "8-gpt2-on-one-page.md", "exec"), names)
    return names


def assembled() -> Network:
    """linnet's GPT-2 in float64; every parameter drawn, so that no bias is zero and no scale is one."""
    family = GPT2(n_layers=N_LAYERS, n_heads=N_HEADS, d_model=D_MODEL, context_length=CONTEXT)
    network = Network(family.sentence(VOCAB), seed=0).double()
    draw = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(0.0, 0.3, generator=draw)
    return network


def names_of_the_page(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix("transformer."): tensor.detach().clone().requires_grad_() for name, tensor in tensors.items()}


def test_scores_and_gradients_are_the_same(page: dict[str, Any]) -> None:
    gpt2: Callable[..., Tensor] = page["gpt2"]
    network = assembled()
    weights = names_of_the_page(export_network(network, GPT2, CONTEXT)[1])
    tokens = torch.randint(0, VOCAB, (2, CONTEXT), generator=torch.Generator().manual_seed(1))

    ours = network.logits(network(tokens).hidden)  # (B, T, V)
    theirs = gpt2(tokens, weights, N_LAYERS, N_HEADS)
    torch.testing.assert_close(theirs, ours, rtol=1e-9, atol=1e-9)

    weighing = torch.randn(ours.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    (ours * weighing).sum().backward()
    (theirs * weighing).sum().backward()
    with torch.no_grad():
        for parameter in network.parameters():
            assert parameter.grad is not None
            parameter.copy_(parameter.grad)  # so that the name map carries gradients as it carries weights
    gradients = names_of_the_page(export_network(network, GPT2, CONTEXT)[1])
    assert set(gradients) == set(weights)
    for name, weight in weights.items():
        assert weight.grad is not None, name
        assert torch.allclose(weight.grad, gradients[name], rtol=1e-8, atol=1e-8), name


def test_the_page_begins_as_linnet_does(page: dict[str, Any]) -> None:
    weights = page["init"](VOCAB, CONTEXT, D_MODEL, N_LAYERS)
    tensors = names_of_the_page(export_network(Network(assembled().spec, seed=0), GPT2, CONTEXT)[1])
    assert {name: weight.shape for name, weight in weights.items()} == {name: tensor.shape for name, tensor in tensors.items()}
    for name, weight in weights.items():
        if weight.dim() == 2:
            assert weight.std().item() == pytest.approx(tensors[name].std().item(), rel=0.1), name
        else:
            assert torch.equal(weight, tensors[name]), name


def test_the_page_learns(page: dict[str, Any]) -> None:
    assert page["loss"].item() < 2.0  # it begins near ln 256 = 5.5

"""The short convolution against its definition, place by place."""

from __future__ import annotations

import pytest
import torch

from linnet.model import Block, Convolution, Model, Network, Repeat, Stack, Sublayer
from linnet.model.context import Context
from linnet.model.mixer.convolution import ConvolutionLayer
from linnet.model.network import positions_within
from linnet.ops.convolution import convolve_reference

TOLERANCE = 1e-6  # float32, sums of at most five products


def layer(width: int) -> ConvolutionLayer:
    made = ConvolutionLayer(width, 6)
    with torch.no_grad():
        made.taps.normal_(generator=torch.Generator().manual_seed(0))
    return made


def context(n: int, documents: torch.Tensor | None) -> Context:
    positions = (
        torch.arange(n)
        if documents is None
        else positions_within(documents, None, torch.zeros(documents.shape[0], dtype=torch.int64))
    )
    return Context(0, n, positions, documents, documents)


DOCUMENTS = torch.tensor([[0, 0, 0, 1, 1, 2, 2, 2, 2], [0, 1, 1, 1, 1, 1, 1, 1, 3]])


@pytest.mark.parametrize("width", [2, 3, 5])
@pytest.mark.parametrize("documents", [None, DOCUMENTS], ids=["one document", "packed"])
def test_outputs_and_gradients_are_the_definitions(width: int, documents: torch.Tensor | None) -> None:
    made = layer(width)
    x = torch.randn(2, 9, 6, generator=torch.Generator().manual_seed(1), requires_grad=True)
    y, _ = made(x, context(9, documents))
    expected = convolve_reference(x, made.taps, documents)
    assert (y - expected).abs().max() < TOLERANCE
    g = torch.randn(2, 9, 6, generator=torch.Generator().manual_seed(2))
    ours = torch.autograd.grad((y * g).sum(), (x, made.taps))
    theirs = torch.autograd.grad((expected * g).sum(), (x, made.taps))
    for a, b in zip(ours, theirs, strict=True):
        assert (a - b).abs().max() < 1e-5


def test_a_mutant_that_ignores_documents_is_caught() -> None:
    made = layer(3)
    x = torch.randn(2, 9, 6)
    y, _ = made(x, context(9, None))
    assert (y - convolve_reference(x, made.taps, DOCUMENTS)).abs().max() > TOLERANCE


def test_a_text_shorter_than_the_taps() -> None:
    made = layer(5)
    x = torch.randn(1, 2, 6)
    assert torch.allclose(made(x, context(2, None))[0], convolve_reference(x, made.taps))


def test_it_starts_as_nothing() -> None:
    block = Block(sublayers=(Sublayer(mixer=Convolution()),))
    with_it = Network(Model(vocab_size=11, d_model=8, decoder=Stack(layers=(Repeat(pattern=(block,)),))), seed=4)
    tokens = torch.arange(5)[None]
    assert torch.equal(with_it(tokens).hidden, with_it.embedding(tokens))

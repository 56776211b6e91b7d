"""Memory as a context as a layer: against its definition a token at a time, its problems, and Titans made of it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from linnet.core.errors import ConfigError
from linnet.core.spec import load
from linnet.model import Alibi, Attention, Gated, MemoryContext, Network, NeuralMemory, RMSNorm, Rope
from linnet.model.context import Context
from linnet.model.describe import describe
from linnet.model.mixer import memory_context as module
from linnet.model.mixer.memory_context import MemoryContextLayer
from linnet.model.network import positions_within
from linnet.ops.memory_context import memory_context_reference
from linnet.zoo import Titans

DOCUMENTS = torch.tensor([[0] * 5 + [1] * 9, [0] + [1] * 12 + [3]])
ATTENTION = Attention(n_heads=4, n_kv_heads=2, position=Rope(), persistent=3, qk_norm=RMSNorm(), bias=True)


def filled(layer: torch.nn.Module) -> Any:
    draws = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_(0, 0.4, generator=draws)
    return layer


@pytest.mark.parametrize("documents", [None, DOCUMENTS], ids=["one document", "packed"])
@pytest.mark.parametrize("depth", [1, 2])
def test_the_layer_is_its_formula_token_by_token(documents: Tensor | None, depth: int, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = NeuralMemory(n_heads=2, chunk=2, depth=depth, rate=0.05)
    layer = filled(MemoryContextLayer(MemoryContext(attention=ATTENTION, memory=memory, segment=6), 16)).double()
    x = torch.randn(2, 14, 16, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    positions = torch.arange(14)
    if documents is not None:
        positions = positions_within(documents, None, torch.zeros(2, dtype=torch.int64))
    y, _ = layer(x, Context(0, 14, positions, documents, documents))

    def by_token(inputs: Any, positions: Tensor, parts: Any, initial: Any, reading: None, **fields: int) -> Any:
        return *memory_context_reference(inputs, positions, parts, initial, **fields), None

    monkeypatch.setattr(module, "memory_context", by_token)
    assert (y - layer(x, Context(0, 14, positions, documents, documents))[0]).abs().max() < 1e-11


def test_the_first_segment_hears_what_every_document_begins_with_and_the_second_the_first() -> None:
    layer = filled(MemoryContextLayer(MemoryContext(attention=ATTENTION, memory=NeuralMemory(n_heads=2, chunk=2), segment=4), 16))
    x = torch.randn(1, 8, 16, generator=torch.Generator().manual_seed(1)).requires_grad_()
    y, _ = layer(x, Context(0, 8, torch.arange(8)))
    (gradient,) = torch.autograd.grad(y[:, 4].sum(), x)
    assert (gradient.abs().amax((0, 2)) > 0).tolist() == [True] * 5 + [False] * 3


def test_problems_are_told_all_at_once() -> None:
    attention = Attention(n_heads=5, window=4, position=Alibi(), kernel="flash")
    spec = MemoryContext(attention=attention, memory=NeuralMemory(chunk=5), segment=8)
    said = spec.problems(32)
    assert [problem.split(";")[0] for problem in said] == [
        "memory_context: attention: n_heads = 5 does not divide d_model = 32",
        "memory_context: attention within a window, or to both sides",
        "memory_context: attention with position alibi",
        "memory_context: attention with kernel flash",
        "memory_context: the memory's chunk = 5 does not divide segment = 8",
    ]


def kinds(**fields: Any) -> list[Any]:
    return [sublayer.mixer for sublayer in next(Titans(**fields).sentence(97).decoder.blocks()).sublayers]


def test_what_titans_are_made_of() -> None:
    (context, _) = kinds(variant="mac", window=32, chunk=8, persistent=3)
    assert (context.segment, context.memory.chunk, context.attention.persistent, context.attention.window) == (32, 8, 3, None)
    (gated, _) = kinds(variant="mag", window=32)
    assert isinstance(gated, Gated)
    assert (gated.mixer.window, gated.mixer.persistent) == (32, 4)
    assert kinds(persistent=0)[1] == Attention(n_heads=4, window=64, position=Rope())


@pytest.mark.parametrize("window", [None, 24])
def test_a_context_needs_a_segment_of_whole_chunks(window: int | None) -> None:
    with pytest.raises(ConfigError, match="variant: mac; needed: a window, which is a segment there, that chunk divides"):
        load(Titans, {"variant": "mac", "window": window}, path="model")


def test_a_line_says_positions_and_persistent_tokens_inside_of_mixers() -> None:
    said = describe(Titans(variant="mac", n_layers=2).sentence(65))
    assert said == "2 × (memory_context + glu), width 128, rope positions, 4 persistent tokens, 65 ids, free head"
    assert "persistent" not in describe(Titans(persistent=0).sentence(65))


def test_what_is_remembered_does_not_grow_with_the_text() -> None:
    network = Network(Titans(variant="mac", n_layers=1, n_heads=2, d_model=16, window=8, chunk=4).sentence(31), seed=1)
    state, sizes = network.new_state(1), []
    with torch.no_grad():
        for _ in range(40):
            state = network(torch.zeros(1, 16, dtype=torch.int64), state=state).state
            sizes.append(state.nbytes())
    assert max(sizes[20:]) <= max(sizes[:20])

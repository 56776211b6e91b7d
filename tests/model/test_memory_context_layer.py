"""Memory as a context as a layer: against its definition a token at a time, its problems, and Titans made of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize, silu

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


def rms(x: Tensor, norm: Any) -> Tensor:
    return x / (x.square().mean(-1, keepdim=True) + norm.eps).sqrt() * norm.weight


def turned(x: Tensor, position: int) -> Tensor:
    """Heads (H, K) by the angles of a place."""
    half = x.shape[-1] // 2
    angle = position * 10_000.0 ** (-torch.arange(half, dtype=torch.float64) / half)
    a, b = x[:, :half], x[:, half:]
    return torch.cat((a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos()), -1)


def answer(memory: list[Tensor], x: Tensor) -> Tensor:
    return memory[0] @ x if len(memory) == 1 else x + memory[1] @ silu(memory[0] @ x)


def read_by_hand(layer: MemoryContextLayer, x: Tensor) -> Tensor:
    """A document (T, D) by the weights alone: nothing of the layer runs. Grouped heads, rope, qk-norm, persistent tokens."""
    spec, attention, memory, width = layer.spec, layer.attention, layer.memory, layer.attention.d_head
    heads = range(spec.memory.n_heads)

    def by_head(matrix: Any, x: Tensor, norm: Any = None) -> Tensor:
        found = (matrix.weight @ x + matrix.bias).view(-1, width)
        return found if norm is None else rms(found, norm)

    def told(matrix: Any, x: Tensor) -> Tensor:
        return silu(matrix.weight @ x).view(len(heads), -1)

    now = [[w[h] for w in memory.initial] for h in heads]
    pull = [[torch.zeros_like(w) for w in one] for one in now]
    said = []
    for t, token in enumerate(x):
        if t % spec.segment == 0:
            before, keys, values = now, [], []
        if t % spec.memory.chunk == 0:
            anchor = now
        asked = normalize(told(memory.q, token), dim=-1)
        heard = memory.o.weight @ torch.cat([answer(before[h], asked[h]) for h in heads])
        for shown in (heard, token):
            keys.append(turned(by_head(attention.k, shown, attention.k_norm), t))
            values.append(by_head(attention.v, shown))
        always = attention.persistent
        plain = by_head(attention.q, token, attention.q_norm)
        found = []
        for head, (still, query) in enumerate(zip(plain, turned(plain, t), strict=True)):
            group = head * spec.attention.groups // spec.attention.n_heads
            scores = [still @ by_head(attention.k, one, attention.k_norm)[group] for one in always]
            scores += [query @ key[group] for key in keys]
            seen = [by_head(attention.v, one)[group] for one in always] + [value[group] for value in values]
            found.append((torch.stack(scores) / width**0.5).softmax(0) @ torch.stack(seen))
        joint = torch.cat(found)
        y = attention.o.weight @ (joint if attention.sub_norm is None else rms(joint, attention.sub_norm)) + attention.o.bias
        queries, ks = (normalize(told(matrix, y), dim=-1) for matrix in (memory.q, memory.k))
        vs, gates = told(memory.v, y), (memory.gates.weight @ y).view(3, -1) + memory.gate_offset
        rate, kept, forgotten = spec.memory.rate * gates[0].sigmoid(), gates[1].sigmoid(), gates[2].sigmoid()
        answers, after = [], []
        for h in heads:
            at = [w.detach().requires_grad_() for w in anchor[h]]
            slopes = torch.autograd.grad((answer(at, ks[h].detach()) - vs[h].detach()).square().sum(), at)
            pull[h] = [kept[h] * s - rate[h] * g for s, g in zip(pull[h], slopes, strict=True)]
            after.append([(1 - forgotten[h]) * w + s for w, s in zip(now[h], pull[h], strict=True)])
            answers.append(answer(after[h], queries[h]))
        now = after
        gate = memory.o.weight @ torch.cat(answers)
        said.append(rms(y, layer.mixer_norm) * torch.sigmoid(rms(gate, layer.gate_norm)))
    return torch.stack(said).detach()


def off_by_hand(depth: int) -> float:
    """How far the layer is from its weights read by hand, in packed documents."""
    memory = NeuralMemory(n_heads=2, chunk=2, depth=depth, rate=0.3)
    spec = MemoryContext(attention=ATTENTION.replace(sub_norm=RMSNorm()), memory=memory, segment=4)
    layer = filled(MemoryContextLayer(spec, 16)).double()
    x = torch.randn(2, 14, 16, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    positions = positions_within(DOCUMENTS, None, torch.zeros(2, dtype=torch.int64))
    with torch.no_grad():
        y, _ = layer(x, Context(0, 14, positions, DOCUMENTS, DOCUMENTS))
    off = [
        (y[row, places] - read_by_hand(layer, x[row, places])).abs().max()
        for row in range(2)
        for places in (DOCUMENTS[row] == document for document in DOCUMENTS[row].unique())
    ]
    return torch.stack(off).max().item()


@pytest.mark.parametrize("depth", [1, 2])
def test_the_layer_is_what_its_weights_say_read_by_hand(depth: int) -> None:
    assert off_by_hand(depth) < 1e-6  # angles in float32


def gates_the_other_way(patch: pytest.MonkeyPatch) -> None:
    def mutant(self: Any, y: Tensor, z: Tensor) -> Tensor:
        return self.gate_norm(self.memory.written(z, y.dtype)) * self.mixer_norm(y).sigmoid()

    patch.setattr(MemoryContextLayer, "gated", mutant)


def turns_no_answer(patch: pytest.MonkeyPatch) -> None:
    turn = module.rotation_at

    def mutant(positions: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
        return turn(torch.zeros_like(positions), *rest)

    patch.setattr(module, "rotation_at", mutant)


def without(part: str, norm: str) -> Callable[[pytest.MonkeyPatch], None]:
    """A mutant that leaves out a norm in one of the parts."""

    def mutate(patch: pytest.MonkeyPatch) -> None:
        real = MemoryContextLayer.parts

        def mutant(self: Any, x: Tensor) -> Any:
            parts = real(self, x)

            def call(*given: Tensor) -> Any:
                with pytest.MonkeyPatch.context() as inner:
                    inner.setitem(self.attention._modules, norm, None)
                    return getattr(parts, part)(*given)

            return parts._replace(**{part: call})

        patch.setattr(MemoryContextLayer, "parts", mutant)

    mutate.__name__ = f"{part}_without_{norm}"
    return mutate


@pytest.mark.parametrize(
    "mutate",
    [gates_the_other_way, turns_no_answer, without("shows", "k_norm"), without("found", "sub_norm")],
    ids=lambda mutate: mutate.__name__,
)
def test_a_mutant_is_not_what_its_weights_say(
    mutate: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    mutate(monkeypatch)
    assert off_by_hand(1) > 1e-3


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

"""The memory of the nearest against its definition, and mutants of it that the definition or a law rejects."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from equivalence import Hold
from linnet.model import KNN, Rope
from linnet.model.context import Context
from linnet.model.mixer.knn import KNNLayer
from linnet.model.network import positions_within
from linnet.ops import knn as ops
from linnet.ops.attention import attention_reference
from linnet.ops.knn import recall, recall_reference
from linnet.ops.rope import rotary_table, rotate

CLOSE = 1e-10  # float64, sums of some ten products
DOCUMENTS = torch.tensor([[0] * 9 + [1] * 11, [3] * 2 + [0] * 18])


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.empty(shape, dtype=torch.float64).normal_(generator=torch.Generator().manual_seed(seed))


def both(function: Callable[..., Tensor], inputs: tuple[Tensor, ...], weigh: Tensor, **rest: object) -> list[Tensor]:
    """The output and the gradient of q; keys and values must have none."""
    q, k, v = (x.clone().requires_grad_() for x in inputs[:3])
    y = function(q, k, v, *inputs[3:], **rest)
    (y * weigh).sum().backward()
    assert k.grad is None
    assert v.grad is None
    assert q.grad is not None
    return [y.detach(), q.grad]


@pytest.mark.parametrize("numbers", [1, 200, 2**22])
@pytest.mark.parametrize("top_k", [1, 3, 40])
def test_recall_is_the_definition(top_k: int, numbers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ops, "NUMBERS", numbers)  # one query at a time, a few, all
    q, k, v, weigh = (draw(2, 3, n, 4, seed=i) for i, n in enumerate((7, 12, 12, 7)))
    begin = torch.tensor([[0, 0, 2, 3, 5, 9, 4], [0, 0, 0, 0, 0, 0, 0]])
    end = torch.tensor([[0, 1, 6, 3, 12, 8, 6], [0, 0, 0, 4, 4, 4, 12]])  # nothing, one, fewer than top_k, more
    for rows in (slice(None), slice(1, 2)):
        ranges = begin[rows], end[rows]
        got = both(recall, (q, k, v, *ranges), weigh, top_k=top_k, scale=0.7)
        right = both(recall_reference, (q, k, v, *ranges), weigh, top_k=top_k, scale=0.7)
        assert all((a - b).abs().max() < CLOSE for a, b in zip(got, right, strict=True))
        with torch.no_grad():
            assert torch.equal(recall(q, k, v, *ranges, top_k=top_k, scale=0.7), got[0])


def by_hand(layer: KNNLayer, x: Tensor, documents: Tensor) -> Tensor:
    """The layer, row by row and document by document, its memory cut out of each document."""
    spec, rows = layer.spec, []
    for row, numbers in zip(x, documents.tolist(), strict=True):
        starts = [t for t in range(len(numbers)) if t == 0 or numbers[t] != numbers[t - 1]]
        for begin, stop in zip(starts, [*starts[1:], len(numbers)], strict=True):
            text = row[begin:stop]
            q, k, v = (part(text).view(len(text), spec.n_heads, -1) for part in (layer.q, layer.k, layer.v))
            q, k, v = (part.transpose(0, 1)[None] for part in (layer.q_norm(q), layer.k_norm(k), v))  # (1, H, T, K)
            for t in range(len(text)):
                own = t // spec.segment * spec.segment
                here, old = slice(own, t + 1), slice(max(0, own - spec.capacity), own)
                ask, keys = q[:, :, t : t + 1], k[:, :, here]
                if isinstance(spec.position, Rope):
                    table = rotary_table(torch.arange(own, t + 1), layer.d_head, spec.position.base)
                    cos, sin = (part.to(x.dtype) for part in table)
                    ask, keys = rotate(ask, cos[-1:], sin[-1:]), rotate(keys, cos, sin)
                y = attention_reference(ask, keys, v[:, :, here], scale=layer.scale)
                if own:
                    range_ = torch.tensor([[0]]), torch.tensor([[old.stop - old.start]])
                    found = recall_reference(
                        q[:, :, t : t + 1], k[:, :, old], v[:, :, old], *range_, top_k=spec.top_k, scale=layer.scale
                    )
                    gate = layer.gate.sigmoid()[:, None, None]
                    y = gate * found + (1 - gate) * y
                rows.append(y.reshape(-1))
    return layer.o(torch.stack(rows).view(*x.shape[:2], -1))


def error(spec: KNN, documents: Tensor = DOCUMENTS) -> float:
    """The largest difference to the definition, in outputs and all gradients."""
    torch.manual_seed(1)
    layer = KNNLayer(spec, 8)
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, 0, 0.7)
    layer = layer.double()
    x = draw(*documents.shape, 8).requires_grad_()
    positions = positions_within(documents, None, torch.zeros(len(documents), dtype=torch.int64))
    context = Context(0, x.shape[1], positions, documents, documents)
    wanted, weigh = [x, *layer.parameters()], draw(*x.shape, seed=3)
    results = []
    for y in (layer(x, context)[0], by_hand(layer, x, documents)):
        results.append([y, *torch.autograd.grad((y * weigh).sum(), wanted, materialize_grads=True)])
    return max((a - b).abs().max().item() for a, b in zip(*results, strict=True))


SPEC = KNN(n_heads=2, segment=3, top_k=2, capacity=5, position=Rope())


@pytest.mark.parametrize("seed", range(20))
def test_the_layer_is_the_definition(seed: int, hold: Hold) -> None:
    chance = random.Random(seed)
    spec = SPEC.replace(
        segment=chance.randint(1, 7),
        top_k=chance.randint(1, 6),
        capacity=chance.randint(1, 12),
        position=chance.choice((None, Rope())),
    )
    rows = [sorted(chance.choices(range(3), k=14)) for _ in range(2)]
    hold("7 knn = the definition, float64", error(spec, torch.tensor(rows)), 1e-12)


def leak_to_another_document(layer: KNNLayer, context: Context, n: int) -> tuple[Tensor, Tensor]:
    begin, end = MEMORY(layer, context, n)
    return (end - layer.spec.capacity).clamp(min=0).minimum(begin), end


def own_segment_too(layer: KNNLayer, context: Context, n: int) -> tuple[Tensor, Tensor]:
    begin, _ = MEMORY(layer, context, n)
    return begin, torch.arange(n - context.n_tokens, n)[None].expand_as(begin)


def capacity_ignored(layer: KNNLayer, context: Context, n: int) -> tuple[Tensor, Tensor]:
    _, end = MEMORY(layer, context, n)
    return torch.arange(n - context.n_tokens, n) - context.positions, end


MEMORY = KNNLayer._memory


@pytest.mark.parametrize("mutant", [leak_to_another_document, own_segment_too, capacity_ignored])
def test_a_mutant_is_caught(mutant: Callable[..., object], monkeypatch: pytest.MonkeyPatch) -> None:
    assert error(SPEC) < 1e-6
    monkeypatch.setattr(KNNLayer, "_memory", mutant)
    assert error(SPEC) > 1e-3


def test_a_state_of_another_type_under_autocast_is_read_and_learned_from() -> None:
    """A norm that learns gives float32 under autocast, values come in bfloat16, and the tails hold what they began with."""
    layer = KNN(n_heads=2, segment=3, top_k=2, capacity=8).build(8)
    with torch.no_grad():
        for i, matrix in enumerate((layer.q, layer.k, layer.v, layer.o)):
            matrix.weight.copy_(draw(8, 8, seed=i))
    x = draw(1, 9, 8).float()
    found = []
    for dtype in (torch.float32, torch.bfloat16):
        layer.zero_grad()
        state, ys = layer.new_state(1, x), []
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            for start in (0, 5):
                piece = x[:, start : start + 5]
                n = piece.shape[1]
                y, state = layer(piece, Context(start, n, torch.arange(start, start + n)), state)
                ys.append(y.float())
        torch.cat(ys, 1).square().sum().backward()
        found.append((torch.cat(ys, 1).detach(), layer.q.weight.grad.clone(), layer.gate.grad.clone()))
    for got, right in zip(found[1], found[0], strict=True):
        assert (got - right).abs().max() < 0.1 * right.abs().max()

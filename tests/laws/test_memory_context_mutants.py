"""What the laws must not let pass of memory as a context: small wrong implementations, and the law that rejects each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from sentences import build, sentence, stack, tokens
from torch import Tensor

import laws
from linnet.model import MLP, Attention, MemoryContext, Model, Network, NeuralMemory, Rope
from linnet.model.mixer import memory_context as layer
from linnet.model.mixer.memory_context import SegmentUnderWay
from linnet.ops import memory_context as ops

pytestmark = pytest.mark.usefixtures("_small_buffers")
Patch = pytest.MonkeyPatch


def model() -> Model:
    attention = Attention(n_heads=4, position=Rope(), persistent=2)
    return sentence(stack(MemoryContext(attention=attention, memory=NeuralMemory(chunk=2), segment=4), MLP(d_ff=48)))


def on_the_state(change: Callable[[SegmentUnderWay], dict[str, Any]]) -> Callable[[Patch], None]:
    """A mutant whose state is another one after every piece."""

    def mutate(patch: Patch) -> None:
        forward = layer.MemoryContextLayer.forward

        def mutant(self: Any, x: Tensor, context: Any, state: Any = None) -> Any:
            y, after = forward(self, x, context, state)
            return y, None if after is None else replace(after, **change(after))

        patch.setattr(layer.MemoryContextLayer, "forward", mutant)

    mutate.__name__ = change.__name__
    return mutate


@on_the_state
def asks_what_was_just_read(state: SegmentUnderWay) -> dict[str, Any]:
    """A cut counts as the end of a segment."""
    return {"before": state.memory.weights}


@on_the_state
def learns_nothing_through_a_cut(state: SegmentUnderWay) -> dict[str, Any]:
    return {"memory": state.memory.each(Tensor.detach)}


@on_the_state
def learns_nothing_through_a_cut_by_answers(state: SegmentUnderWay) -> dict[str, Any]:
    return {"before": tuple(w.detach() for w in state.before)}


def sees_all_answers(patch: Patch) -> None:
    """Answers stand before the segment, as they are written in eq. 22: what later tokens asked is seen."""

    def mutant(piece: Any, keys: Tensor, values: Tensor, phase: Tensor, parts: Any) -> Tensor:
        n, s = piece.queries.shape[2], keys.shape[2]
        keys, values = (torch.cat(x.chunk(2, 1), 2) for x in (keys, values))
        triangle = torch.ones(n, s, dtype=torch.bool).tril(s - n)
        allowed = torch.cat((torch.ones_like(triangle), triangle), -1)
        return ops.attention(piece.queries, keys, values, allowed=allowed, scale=parts.scale)

    patch.setattr(ops, "_attend", mutant)


def counts_from_the_row(patch: Patch) -> None:
    """Segments begin where those of the row do, whatever documents it holds."""
    call = ops.memory_context

    def mutant(inputs: Any, positions: Tensor, *rest: Any, **fields: Any) -> Any:
        return call(inputs, torch.arange(positions.shape[-1]).expand(positions.shape), *rest, **fields)

    patch.setattr(layer, "memory_context", mutant)


def selects_no_before(patch: Patch) -> None:
    select = SegmentUnderWay.select

    def mutant(self: SegmentUnderWay, rows: Tensor) -> SegmentUnderWay:
        return replace(select(self, rows), before=tuple(w[: len(rows)] for w in self.before))

    patch.setattr(SegmentUnderWay, "select", mutant)


def never_gives_up(patch: Patch) -> None:
    patch.setattr(SegmentUnderWay, "reclaim", lambda self: self)


def writes_in_place(patch: Patch) -> None:
    """An older handle's memory is the newer one's."""
    call = ops.memory_context

    def mutant(inputs: Any, positions: Tensor, parts: Any, initial: Any, reading: Any = None, **fields: Any) -> Any:
        y, z, after = call(inputs, positions, parts, initial, reading, **fields)
        if reading is not None:
            for old, new in zip(reading.memory.weights, after.memory.weights, strict=True):
                old.copy_(new)
        return y, z, after

    patch.setattr(layer, "memory_context", mutant)


def cut(net: Network, text: Tensor) -> None:
    assert laws.cut_anywhere(net, text) <= 2e-5


def cut_gradients(net: Network, text: Tensor) -> None:
    assert laws.cut_anywhere_gradients(net, text) <= 2e-5


def causal(net: Network, text: Tensor) -> None:
    assert laws.future_gradient(net, text) == 0


def packed(net: Network, text: Tensor) -> None:
    assert laws.packed_is_separate(net, text) <= 2e-5
    assert laws.rows_may_differ(net, text) <= 2e-5


def selected(net: Network, text: Tensor) -> None:
    assert laws.select_is_running_those_rows(net, text) <= 2e-5


def branched(net: Network, text: Tensor) -> None:
    assert laws.branches_are_independent(net, text) <= 2e-5


MUTANTS: list[tuple[Callable[[Patch], None], Callable[[Network, Tensor], None]]] = [
    (asks_what_was_just_read, cut),
    (learns_nothing_through_a_cut, cut_gradients),
    (learns_nothing_through_a_cut_by_answers, cut_gradients),
    (sees_all_answers, causal),
    (counts_from_the_row, packed),
    (selects_no_before, selected),
    (never_gives_up, laws.stale_handles_raise),
    (writes_in_place, branched),
]


@pytest.mark.parametrize(("mutate", "law"), MUTANTS, ids=[mutate.__name__ for mutate, _ in MUTANTS])
def test_the_law_kills_the_mutant(mutate: Callable[[Patch], None], law: Callable[[Network, Tensor], None]) -> None:
    net, text = build(model()), tokens(3, 18)
    law(net, text)  # passes as it is
    with pytest.MonkeyPatch.context() as patch:
        mutate(patch)
        with pytest.raises((AssertionError, RuntimeError, pytest.fail.Exception)):
            law(net, text)

"""What the laws must not let pass of memories by segment: small wrong implementations, and the law that rejects each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from sentences import SENTENCES, build, tokens
from torch import Tensor

import laws
from linnet.model import Network
from linnet.model.mixer import infini, xl
from linnet.model.mixer.infini import InfiniState
from linnet.model.mixer.xl import XLLayer, XLState
from linnet.ops import compressive_memory
from linnet.ops.compressive_memory import Memory
from linnet.ops.segments import Segments, segments_of

pytestmark = pytest.mark.usefixtures("_small_buffers")
Patch = pytest.MonkeyPatch
LINEAR = "infini n_heads=4 segment=5 rule=linear position=rope"
DELTA = "infini n_heads=4 segment=4 position=rope"
XL4 = "xl n_heads=4 segment=4 memory=4"
XL5 = "xl n_heads=4 n_kv_heads=2 segment=5 memory=3"


def count_from_the_row(patch: Patch) -> None:
    """Segments of the row, whatever documents it holds."""

    def mutant(positions: Tensor, length: int) -> Segments:
        row = torch.arange(positions.shape[-1])
        return segments_of(row if positions.dim() == 1 else row.expand(positions.shape), length)

    patch.setattr(infini, "segments_of", mutant)
    patch.setattr(xl, "segments_of", mutant)


def count_from_the_piece(patch: Patch) -> None:
    """The phase is forgotten from one piece to the next."""
    mutant = lambda positions, length: segments_of(positions - positions[..., :1], length)  # noqa: E731
    patch.setattr(infini, "segments_of", mutant)
    patch.setattr(xl, "segments_of", mutant)


def write_one_segment_early(patch: Patch) -> None:
    """What a segment has to write is read by the segment itself."""
    sums = compressive_memory._running_sums

    def mutant(new: Tensor, *rest: Any) -> tuple[Tensor, Memory]:
        seen, after = sums(new, *rest)
        return seen + new, after

    patch.setattr(compressive_memory, "_running_sums", mutant)


def forget_what_is_pending(patch: Patch) -> None:
    """A segment that is cut writes only its last part."""
    call = compressive_memory.compressive_memory

    def mutant(q: Tensor, k: Tensor, v: Tensor, segments: Segments, memory: Memory, rule: Any) -> Any:
        return call(q, k, v, segments, replace(memory, pending=torch.zeros_like(memory.pending)), rule)

    patch.setattr(infini, "compressive_memory", mutant)


def keep_other_documents(patch: Patch) -> None:
    """The memory is not emptied where a document begins."""

    def mutant(positions: Tensor, length: int) -> Segments:
        segments = segments_of(positions, length)
        return replace(segments, begins=torch.zeros_like(segments.begins))

    patch.setattr(infini, "segments_of", mutant)


def detach_the_memory(patch: Patch) -> None:
    new = InfiniState.__init__

    def mutant(self: InfiniState, keys: Any, values: Any, memory: Memory) -> None:
        new(self, keys, values, Memory(memory.written.detach(), memory.pending.detach()))

    patch.setattr(InfiniState, "__init__", mutant)


def select_no_memory(patch: Patch) -> None:
    patch.setattr(
        InfiniState,
        "select",
        lambda self, rows: InfiniState(
            self.keys.select(rows), self.values.select(rows), Memory(*(x[: len(rows)] for x in vars(self.memory).values()))
        ),
    )


def write_in_place(patch: Patch) -> None:
    """The memory of the older handle is the newer one's."""
    call = compressive_memory.compressive_memory

    def mutant(q: Tensor, k: Tensor, v: Tensor, segments: Segments, memory: Memory, rule: Any) -> Any:
        y, after = call(q, k, v, segments, memory, rule)
        memory.written.copy_(after.written), memory.pending.copy_(after.pending)
        return y, memory

    patch.setattr(infini, "compressive_memory", mutant)


def learn_through_the_border_when_cut(patch: Patch) -> None:
    """Keys that a state carries are never stopped."""
    patch.setattr(XLLayer, "_longer", lambda self, state, live, stopped: longer(self, XLState(state.live), live, live))


longer = XLLayer._longer


def stop_all_that_is_carried(patch: Patch) -> None:
    """A cut stops the gradient, wherever the segment stands."""
    patch.setattr(XLLayer, "_longer", lambda self, state, live, stopped: longer(self, state.detach(), live, stopped))


def see_one_more(patch: Patch) -> None:
    """The memory reaches one place further, into another document too."""
    first = Segments.first_seen
    patch.setattr(Segments, "first_seen", lambda self, n, back=0: (first(self, n, back) - 1).clamp(min=0))


def cut(net: Network, text: Tensor) -> None:
    assert laws.cut_anywhere(net, text) <= 2e-5


def cut_gradients(net: Network, text: Tensor) -> None:
    assert laws.cut_anywhere_gradients(net, text) <= 2e-5


def packed(net: Network, text: Tensor) -> None:
    assert laws.packed_is_separate(net, text) <= 2e-5
    assert laws.rows_may_differ(net, text) <= 2e-5


def selected(net: Network, text: Tensor) -> None:
    assert laws.select_is_running_those_rows(net, text) <= 2e-5


def branched(net: Network, text: Tensor) -> None:
    assert laws.branches_are_independent(net, text) <= 2e-5


def causal(net: Network, text: Tensor) -> None:
    assert laws.future_gradient(net, text) == 0


MUTANTS: list[tuple[Callable[[Patch], None], Callable[[Network, Tensor], None], str]] = [
    *((count_from_the_row, packed, name) for name in (LINEAR, DELTA, XL4, XL5)),
    *((count_from_the_piece, cut, name) for name in (LINEAR, DELTA, XL4, XL5)),
    *((see_one_more, packed, name) for name in (LINEAR, DELTA, XL4, XL5)),
    (write_one_segment_early, causal, LINEAR),
    *((forget_what_is_pending, cut, name) for name in (LINEAR, DELTA)),
    *((keep_other_documents, packed, name) for name in (LINEAR, DELTA)),
    *((detach_the_memory, cut_gradients, name) for name in (LINEAR, DELTA)),
    *((select_no_memory, selected, name) for name in (LINEAR, DELTA)),
    *((write_in_place, branched, name) for name in (LINEAR, DELTA)),
    *((learn_through_the_border_when_cut, cut_gradients, name) for name in (XL4, XL5)),
    *((stop_all_that_is_carried, cut_gradients, name) for name in (XL4, XL5)),
]


@pytest.mark.parametrize(
    ("mutate", "law", "name"), MUTANTS, ids=[f"{m.__name__}-{law.__name__}-{n[:12]}" for m, law, n in MUTANTS]
)
def test_the_law_kills_the_mutant(mutate: Callable[[Patch], None], law: Callable[[Network, Tensor], None], name: str) -> None:
    net, text = build(SENTENCES[name]), tokens(3, 18)
    law(net, text)  # passes as it is
    net = build(SENTENCES[name])
    with pytest.MonkeyPatch.context() as patch:
        mutate(patch)
        with pytest.raises((AssertionError, RuntimeError, pytest.fail.Exception)):
            law(net, text)

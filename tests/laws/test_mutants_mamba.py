"""Wrong Mambas, and the law that must not let each of them pass."""

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
from linnet.model.context import Context
from linnet.model.mixer import mamba
from linnet.model.mixer.mamba import Selected

pytestmark = pytest.mark.usefixtures("_small_buffers")
Patch = pytest.MonkeyPatch
NAME = "mamba d_state=4"
ROUNDING = 2e-5  # as in test_networks.py


def scan_as(patch: Patch, mutant: Callable[..., tuple[Tensor, Tensor]]) -> None:
    """A mutant of the scan, mutant(scan, x, step, a, b, c, d, state, begins), with a state and without one."""
    scan = mamba.selective_scan
    patch.setattr(mamba, "selective_scan", lambda *given: mutant(scan, *given))
    patch.setattr(mamba, "selective_scan_alone", lambda *given: mutant(scan, *given[:6], None, given[6])[0])


def on_the_scan(change: Callable[..., tuple[Any, ...]]) -> Callable[[Patch], None]:
    """A mutant that hands other things to the scan."""

    def mutate(patch: Patch) -> None:
        scan_as(patch, lambda scan, *given: scan(*change(*given)))

    return mutate


def run_on_into_the_next_document(*given: Any) -> tuple[Any, ...]:
    return *given[:-1], None


def forget_the_state(*given: Any) -> tuple[Any, ...]:
    *rest, _, begins = given
    return *rest, None, begins


def cut_the_gradient(*given: Any) -> tuple[Any, ...]:
    *rest, state, begins = given
    return *rest, None if state is None else state.detach(), begins


def step_of_the_next(*given: Any) -> tuple[Any, ...]:
    """Each place takes the step of the one after it."""
    x, step, *rest = given
    return x, step.roll(-1, 1), *rest


def begin_where_all_rows_begin(patch: Patch) -> None:
    begins = mamba.begins

    def mutant(context: Context) -> Tensor | None:
        right = begins(context)
        return right if right is None else right.all(0, keepdim=True).expand_as(right)

    patch.setattr(mamba, "begins", mutant)


def begin_at_every_piece(patch: Patch) -> None:
    begins = mamba.begins

    def mutant(context: Context) -> Tensor | None:
        right = begins(context)
        return right if right is None else right | (torch.arange(right.shape[1]) == 0)

    patch.setattr(mamba, "begins", mutant)


def select_only_inputs(patch: Patch) -> None:
    patch.setattr(Selected, "select", lambda self, rows: Selected(self.recent.select(rows), self.h[: len(rows)].clone()))


def write_in_place(patch: Patch) -> None:
    def mutant(scan: Any, *given: Any) -> tuple[Tensor, Tensor]:
        y, h = scan(*given)
        return y, h if given[6] is None else given[6].copy_(h)

    scan_as(patch, mutant)


def never_give_up(patch: Patch) -> None:
    patch.setattr(Selected, "reclaim", lambda self: replace(self))


def cut(net: Network, text: Tensor) -> None:
    assert laws.cut_anywhere(net, text) <= ROUNDING


def cut_gradients(net: Network, text: Tensor) -> None:
    assert laws.cut_anywhere_gradients(net, text) <= ROUNDING


def causal(net: Network, text: Tensor) -> None:
    assert laws.future_gradient(net, text) == 0


def packed(net: Network, text: Tensor) -> None:
    assert laws.packed_is_separate(net, text) <= ROUNDING
    assert laws.rows_may_differ(net, text) <= ROUNDING


def selected(net: Network, text: Tensor) -> None:
    assert laws.select_is_running_those_rows(net, text) <= ROUNDING


def branched(net: Network, text: Tensor) -> None:
    assert laws.branches_are_independent(net, text) <= ROUNDING


MUTANTS: list[tuple[Callable[[Patch], None], Callable[[Network, Tensor], None], str]] = [
    (on_the_scan(run_on_into_the_next_document), packed, "run on into the next document"),
    (begin_where_all_rows_begin, packed, "begin where all rows begin"),
    (begin_at_every_piece, packed, "begin at every piece"),
    (on_the_scan(forget_the_state), cut, "forget the state"),
    (on_the_scan(cut_the_gradient), cut_gradients, "cut the gradient"),
    (on_the_scan(step_of_the_next), causal, "step of the next"),
    (select_only_inputs, selected, "select only inputs"),
    (write_in_place, branched, "write in place"),
    (never_give_up, laws.stale_handles_raise, "never give up"),
]


@pytest.mark.parametrize(("mutate", "law", "name"), MUTANTS, ids=[name for *_, name in MUTANTS])
def test_the_law_kills_the_mutant(mutate: Callable[[Patch], None], law: Callable[[Network, Tensor], None], name: str) -> None:
    net, text = build(SENTENCES[NAME]), tokens(3, 18)
    law(net, text)  # passes as it is
    with pytest.MonkeyPatch.context() as patch:
        mutate(patch)
        with pytest.raises((AssertionError, RuntimeError, pytest.fail.Exception)):
            law(net, text)

"""The buffer behind every state, against a model of it that copies everything."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor

from linnet.core.errors import LinnetError
from linnet.model import state as state_module
from linnet.model.state import Tail

ROWS, CAPACITY = 2, 40


@dataclass(eq=False)
class Handle:
    """A tail, what it must hold (every place that was ever appended), and which handles it comes from.

    Detaching and reclaiming give the same handle again, under the same name.
    """

    tail: Tail
    truth: Tensor  # (B, n)
    name: int
    ancestors: frozenset[int] = frozenset()
    given_up: bool = False  # an ancestor was reclaimed: this one may raise, and must not be wrong

    def is_alive(self) -> bool:
        """A live handle shows its last places; a dead one was given up."""
        try:
            shown = self.tail.view()[..., 0]
        except RuntimeError:
            assert self.given_up, "a handle that nobody gave up raises"
            return False
        assert self.tail.length == self.truth.shape[1]
        if self.tail.capacity is not None:
            assert shown.shape[1] == self.tail.capacity
            shown = shown[:, : self.tail.length]
        if self.tail.window is not None:
            assert shown.shape[1] >= min(self.tail.window, self.truth.shape[1])
        assert torch.equal(shown, self.truth[:, self.truth.shape[1] - shown.shape[1] :]), "a handle shows what another one wrote"
        return True

    def child(self, tail: Tail, truth: Tensor, name: int) -> Handle:
        return Handle(tail, truth, name, self.ancestors | {self.name}, self.given_up)


def walk(tail: Tail, seed: int, steps: int = 30) -> int:
    """Append, select, reclaim and detach on random handles; after each step every handle is right, or raises.

    Returns how many were given up.
    """
    chance = random.Random(seed)
    handles = [Handle(tail, torch.zeros(ROWS, 0), 0)]
    written = 0.0
    for _ in range(steps):
        handle = chance.choice(handles[-4:] if chance.random() < 0.7 else handles)
        if not handle.is_alive():
            continue
        action = chance.choice(["append", "append", "append", "append", "reclaim", "reclaim", "select", "detach"])
        if action == "append":
            n = chance.choice([1, 1, 2, 5])
            if handle.truth.shape[1] + n > CAPACITY:
                continue
            new = torch.arange(written, written + ROWS * n).view(n, ROWS).t()  # (B, n), values that were never there before
            written += ROWS * n
            with torch.set_grad_enabled(chance.random() < 0.15):
                handles.append(
                    handle.child(handle.tail.append(new[..., None].clone()), torch.cat((handle.truth, new), 1), len(handles))
                )
        elif action == "select":
            rows = chance.choice([[0, 1], [1, 0], [1, 1]])
            handles.append(Handle(handle.tail.select(torch.tensor(rows)), handle.truth[rows], len(handles)))
        elif action == "detach":
            handles.append(replace(handle, tail=handle.tail.detach()))
        else:
            handles.append(replace(handle, tail=handle.tail.reclaim()))
            for other in handles:
                other.given_up |= handle.name in other.ancestors
        for each in handles:
            each.is_alive()
    return sum(not each.is_alive() for each in handles)


@pytest.fixture
def _small_buffers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_module, "FIRST_CAPACITY", 4)


@pytest.mark.usefixtures("_small_buffers")
@pytest.mark.parametrize("mode", ["growing", "window", "fixed"])
def test_every_handle_stays_right_whatever_is_done_with_the_others(mode: str) -> None:
    given_up = 0
    for seed in range(80):
        window, capacity = (3 if mode == "window" else None), (CAPACITY if mode == "fixed" else None)
        given_up += walk(Tail.empty(torch.zeros(ROWS, 0, 1), window=window, capacity=capacity), seed)
    assert given_up > 50, "the walks never gave a handle up"


def row(*values: float) -> Tensor:
    return torch.tensor(values)[None, :, None]


def test_giving_up_an_ancestor_reaches_the_handles_that_a_reclaimed_one_made() -> None:
    with torch.no_grad():
        three = Tail.empty(row()).append(row(3, 3))
        again = three.append(row(5)).reclaim()
        three.reclaim().append(row(9))
    with pytest.raises(RuntimeError, match="given up"):
        again.view()


def test_a_detached_handle_and_the_one_it_came_from_go_separate_ways() -> None:
    with torch.no_grad():
        one = Tail.empty(row()).append(row(1))
        other = one.detach()
        a, b = one.append(row(2)), other.append(row(7))
    assert a.view().flatten().tolist() == [1, 2]
    assert b.view().flatten().tolist() == [1, 7]


@pytest.mark.parametrize("capacity", [None, 12])
def test_a_graph_keeps_what_it_has_read(capacity: int | None) -> None:
    """Frozen keys, trained queries: the keys ask for no gradient, and yet the backward pass reads them."""
    query = torch.ones(1, 1, 1, requires_grad=True)
    tail = Tail.empty(row(), capacity=capacity)
    total = torch.zeros(())
    for value in (1.0, 2.0, 4.0):
        tail = tail.append(row(value))
        total = total + (query * tail.view()).sum()
    with torch.no_grad():
        tail.append(row(100.0))
        tail.reclaim().append(row(100.0))
    total.backward()
    assert query.grad is not None
    assert query.grad.item() == 1 + (1 + 2) + (1 + 2 + 4)


def test_the_newest_handle_writes_in_place_and_an_older_one_copies() -> None:
    with torch.no_grad():
        tail = Tail.empty(row(), capacity=None).append(row(1))
        newest = tail.append(row(2))
        branch = tail.append(row(3))
        back = tail.reclaim().append(row(4))
    assert newest.line.store is tail.line.store
    assert branch.line.store is not tail.line.store
    assert back.line.store is tail.line.store


@pytest.mark.usefixtures("_small_buffers")
def test_a_window_holds_a_few_windows_however_long_the_text() -> None:
    with torch.no_grad():
        tail = Tail.empty(row(), window=8).append(torch.zeros(1, 1000, 1))
        moves = 0
        for _ in range(1000):
            before, tail = tail.line, tail.append(row(0))
            moves += tail.line is not before
    assert tail.line.store.shape[-2] <= 3 * 8
    assert moves <= 1000 / 8 + 1
    assert (tail.length, tail.view().shape[-2]) == (2000, 8)


def test_the_fixed_mode_refuses_one_place_too_many() -> None:
    tail = Tail.empty(row(), capacity=3).append(row(1, 2, 3))
    with pytest.raises(LinnetError, match="4 places in a state made for 3"):
        tail.append(row(4))


@pytest.mark.parametrize("use", ["view", "append", "select", "reclaim", "detach"])
def test_a_stale_handle_raises_whatever_is_done_with_it(use: str) -> None:
    with torch.no_grad():
        tail = Tail.empty(row()).append(row(1))
        stale = tail.append(row(2))
        tail.reclaim()
    arguments = {"append": (row(3),), "select": (torch.tensor([0]),)}.get(use, ())
    with pytest.raises(RuntimeError, match="given up"):
        getattr(stale, use)(*arguments)

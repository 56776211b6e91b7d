"""A memory trained while it is read: a chunk at a time against token by token, outputs and every gradient, and its mutants."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from equivalence import Hold
from linnet.ops import neural_memory
from linnet.ops.neural_memory import Memory, Tokens, Weights, recall, recall_reference
from linnet.ops.segments import Segments, segments_of

ROWS, HEADS, LENGTH, WIDTH, INNER, CHUNK = 2, 2, 11, 3, 4, 4
TOLERANCE = 1e-11  # float64, relative to the largest number
ONE = torch.arange(LENGTH)
PACKED = torch.tensor([[0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4], [7, 8, 9, 0, 0, 1, 2, 3, 4, 5, 6]])  # row 1 goes on with a document
MIDDLE = ONE + 2


def numbers(depth: int, seed: int = 0) -> tuple[Tokens, Weights, Memory]:
    """Tokens, what a document begins with, and where an earlier piece ended: all leaves."""
    chance = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=chance, dtype=torch.float64).requires_grad_()

    shapes = [(WIDTH, WIDTH)] if depth == 1 else [(INNER, WIDTH), (WIDTH, INNER)]
    many, gate = (ROWS, HEADS, LENGTH, WIDTH), (ROWS, HEADS, LENGTH)
    tokens = Tokens(draw(*many), draw(*many), draw(*many), draw(*gate), draw(*gate), draw(*gate))
    with torch.no_grad():
        tokens.rate.copy_(0.05 * tokens.rate.sigmoid())  # rates at which the memory does not run away, and errors with it
        tokens.keys.mul_(0.5)
    parts = [tuple(draw(ROWS, HEADS, *shape) for shape in shapes) for _ in range(3)]
    return tokens, tuple(draw(HEADS, *shape) for shape in shapes), Memory(*parts)


def difference(depth: int, positions: Tensor, carried: bool) -> float:
    """Of outputs, the memory after them and all gradients."""
    tokens, initial, memory = numbers(depth)
    leaves = [*tokens, *initial]
    if carried:
        leaves += [*memory.anchor, *memory.weights, *memory.momentum]
    found = []
    before = memory if carried else None
    for way in (recall, recall_reference):
        y, after = way(tokens, segments_of(positions, CHUNK), initial, before)
        out = [y, *after.anchor, *after.weights, *after.momentum]
        gradients = torch.autograd.grad(sum(x.sin().sum() for x in out), leaves, allow_unused=True)
        found.append([*out, *(torch.zeros(1) if g is None else g for g in gradients)])
    return max(((a - b).abs().max() / b.abs().max().clamp(min=1e-3)).item() for a, b in zip(*found, strict=True))


@pytest.mark.parametrize("positions", [ONE, PACKED, MIDDLE], ids=["one document", "packed", "a piece of one"])
@pytest.mark.parametrize("depth", [1, 2])
def test_a_chunk_at_a_time_is_token_by_token(depth: int, positions: Tensor, hold: Hold) -> None:
    error = difference(depth, positions, carried=positions is not ONE)
    hold("7 neural memory, by chunks = by tokens, float64", error, TOLERANCE)


@pytest.mark.parametrize("depth", [1, 2])
def test_cut_anywhere_is_one_pass(depth: int) -> None:
    tokens, initial, memory = numbers(depth)
    right, end = recall(tokens, segments_of(PACKED, CHUNK), initial, memory)
    for cut in range(1, LENGTH):
        first, second = (Tokens(*(x[:, :, at] for x in tokens)) for at in (slice(cut), slice(cut, None)))
        a, middle = recall(first, segments_of(PACKED[:, :cut], CHUNK), initial, memory)
        b, after = recall(second, segments_of(PACKED[:, cut:], CHUNK), initial, middle)
        assert (torch.cat((a, b), 2) - right).abs().max() < TOLERANCE
        assert all((x - y).abs().max() < TOLERANCE for x, y in zip(after.momentum, end.momentum, strict=True))


@pytest.mark.parametrize("together", [1, 2, 3])
def test_any_number_of_pieces_at_once(together: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neural_memory, "TOGETHER", together)
    assert difference(2, torch.arange(LENGTH), carried=False) < TOLERANCE


def test_one_token_by_hand() -> None:
    """A memory of one number: M = 0.5, k = 1, v = 2, θ = 0.1: ∇ = 2 (0.5 - 2) = -3, so that S = 0.3, M = 0.5 · 0.5 + 0.3."""
    x = torch.ones(1, 1, 2, 1, dtype=torch.float64)
    zero = torch.zeros(1, 1, 2, dtype=torch.float64)  # η = α = 1/2
    initial = (torch.full((1, 1, 1), 0.5, dtype=torch.float64),)
    y, after = recall(Tokens(x, x, 2 * x, zero + 0.1, zero, zero), segments_of(torch.arange(2), 2), initial)
    assert y.flatten().tolist() == pytest.approx([0.55, 0.55 / 2 + 0.3 / 2 + 0.3])  # the second gradient is the first one
    assert after.momentum[0].item() == pytest.approx(0.45)
    y, _ = recall(Tokens(x, x, 2 * x, zero + 0.1, zero, zero), segments_of(torch.arange(2), 1), initial)
    assert y.flatten().tolist()[1] == pytest.approx(0.55 / 2 + 0.3 / 2 + 0.2 * (2 - 0.55))  # and here it is its own


def test_a_memory_learns_what_it_is_told() -> None:
    """The same pair again and again: M(k) comes to v."""
    key = torch.nn.functional.normalize(torch.randn(WIDTH, dtype=torch.float64), dim=0)
    value = torch.randn(WIDTH, dtype=torch.float64)
    gate = torch.zeros(1, 1, 200, dtype=torch.float64)
    keys, values = key.expand(1, 1, 200, -1), value.expand(1, 1, 200, -1)
    tokens = Tokens(keys, keys, values, gate + 0.05, gate, gate - 50)
    y, _ = recall(tokens, segments_of(torch.arange(200), 2), (torch.zeros(1, WIDTH, WIDTH, dtype=torch.float64),))
    assert (y[0, 0, -1] - value).abs().max() < 1e-6


# ------------------------------------------------------------------------------------------------------------ mutants


def gradient_at_the_running_memory(patch: pytest.MonkeyPatch) -> None:
    entered = neural_memory._entered

    def mutant(*inputs: Any) -> Memory:
        memory = entered(*inputs)
        return replace(memory, anchor=memory.weights)

    patch.setattr(neural_memory, "_entered", mutant)


def momentum_lost_at_the_border(patch: pytest.MonkeyPatch) -> None:
    entered = neural_memory._entered

    def mutant(*inputs: Any) -> Memory:
        memory = entered(*inputs)
        return replace(memory, momentum=tuple(torch.zeros_like(s) for s in memory.momentum))

    patch.setattr(neural_memory, "_entered", mutant)


def documents_leak(patch: pytest.MonkeyPatch) -> None:
    entered = neural_memory._entered
    patch.setattr(neural_memory, "_entered", lambda memory, begin, *where: entered(memory, memory, *where))


def all_rows_in_the_phase_of_the_first(patch: pytest.MonkeyPatch) -> None:
    entered = neural_memory._entered

    def mutant(memory: Memory, begin: Memory, segments: Segments, i: int) -> Memory:
        first = replace(segments, **{name: getattr(segments, name)[:1].expand_as(segments.opens) for name in ("opens", "begins")})
        return entered(memory, begin, first, i)

    patch.setattr(neural_memory, "_entered", mutant)


def a_place_without_a_token_moves_the_memory(patch: pytest.MonkeyPatch) -> None:
    decay = neural_memory._decay
    patch.setattr(neural_memory, "_decay", lambda tokens, real: decay(tokens, None))


def reads_before_it_learns(patch: pytest.MonkeyPatch) -> None:
    decay = neural_memory._decay

    def mutant(*pieces: Any) -> Any:
        d = decay(*pieces)
        return d._replace(steps=d.steps.tril(-1), found=d.found.tril(-1))

    patch.setattr(neural_memory, "_decay", mutant)


def forgets_without_momentum(patch: pytest.MonkeyPatch) -> None:
    decay = neural_memory._decay
    patch.setattr(neural_memory, "_decay", lambda t, real: decay(t._replace(momentum=torch.full_like(t.momentum, -40)), real))


def gradient_without_the_slope(patch: pytest.MonkeyPatch) -> None:
    gradients = neural_memory._gradients

    def mutant(anchor: Weights, tokens: Tokens) -> Any:
        steps = gradients(anchor, tokens)
        return steps if len(steps) == 1 else [(steps[1][0] @ anchor[1], tokens.keys), steps[1]]

    patch.setattr(neural_memory, "_gradients", mutant)


def no_outer_gradient_through_the_inner_one(patch: pytest.MonkeyPatch) -> None:
    gradients = neural_memory._gradients
    patch.setattr(neural_memory, "_gradients", lambda anchor, t: [(a.detach(), b) for a, b in gradients(anchor, t)])


MUTANTS: list[tuple[Callable[[pytest.MonkeyPatch], None], int, Tensor]] = [
    (gradient_at_the_running_memory, 1, PACKED),
    (momentum_lost_at_the_border, 1, ONE),
    (documents_leak, 2, PACKED),
    (all_rows_in_the_phase_of_the_first, 1, PACKED),
    (a_place_without_a_token_moves_the_memory, 1, PACKED),
    (a_place_without_a_token_moves_the_memory, 2, ONE),
    (reads_before_it_learns, 1, ONE),
    (forgets_without_momentum, 2, ONE),
    (gradient_without_the_slope, 2, ONE),
    (no_outer_gradient_through_the_inner_one, 1, ONE),
]


@pytest.mark.parametrize(("mutate", "depth", "positions"), MUTANTS, ids=[f"{m[0].__name__}-{m[1]}" for m in MUTANTS])
def test_the_oracle_kills_the_mutant(
    mutate: Callable[[pytest.MonkeyPatch], None], depth: int, positions: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutate(monkeypatch)
    found = difference(depth, positions, carried=positions is not ONE)
    assert math.isnan(found) or found > 1e-4

"""Memory as a context: pieces against the definition, a token at a time; and what a wrong one would do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from linnet.ops import memory_context as module
from linnet.ops.memory_context import Inputs, Parts, Reading, memory_context, memory_context_reference, pieces
from linnet.ops.neural_memory import Tokens

HEADS, GROUPS, WIDTH, MEMORIES, D = 4, 2, 3, 2, 6
N = D // MEMORIES  # width of a memory's head
POSITIONS = {
    "one document": torch.arange(13),
    "packed": torch.tensor([[*range(13)], [*range(5), *range(8)], [*range(1), *range(2), *range(10)]]),
}


def drawn(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def case(depth: int = 1, persistent: bool = True, turned: bool = True) -> tuple[list[Tensor], Callable[..., Any]]:
    """Tensors that learn, and what makes the arguments of them."""
    x = drawn(0, 3, 13, D)
    q, k, v, asked, wo = (0.6 * drawn(seed, D, width) for seed, width in enumerate((12, 6, 6, D, D), 1))
    told = 0.6 * drawn(6, D, 3 * D + 3 * MEMORIES)
    always = 0.7 * drawn(7, 2, GROUPS, 2, WIDTH)
    shapes = [(N, N)] if depth == 1 else [(4, N), (N, 4)]
    initial = [0.5 * drawn(8 + i, MEMORIES, *shape) for i, shape in enumerate(shapes)]
    tensors = [t.requires_grad_() for t in (x, q, k, v, asked, wo, told, always, *initial)]

    def heads(y: Tensor, width: int) -> Tensor:
        return y.view(*y.shape[:2], -1, width).transpose(1, 2)

    def turn(y: Tensor, positions: Tensor) -> Tensor:
        """A rotation would do; any function of the position shows whether it is the right one."""
        place = positions if positions.dim() == 1 else positions[:, None]  # (T,) or (B, 1, T)
        return y * (1 + 0.1 * place[..., None]) if turned else y

    def told_of(y: Tensor) -> Tokens:
        a, b, c, gates = (y @ told).split((D, D, D, 3 * MEMORIES), -1)
        rate, momentum, forgetting = gates.unflatten(-1, (3, MEMORIES)).permute(2, 0, 3, 1)
        key, query = normalize(heads(a, N), dim=-1), normalize(heads(b, N), dim=-1)
        return Tokens(
            query, key, heads(c, N), 0.02 * rate.sigmoid(), momentum, forgetting
        )  # a faster memory of depth 2 runs away

    def shows(answers: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        h = answers.transpose(1, 2).flatten(2)
        return turn(heads(h @ k, WIDTH), positions), heads(h @ v, WIDTH)

    def found(y: Tensor) -> tuple[Tensor, Tokens]:
        written = y.transpose(1, 2).flatten(2)[..., :D] @ wo
        return written, told_of(written)

    def made(positions: Tensor) -> tuple[Inputs, Parts, tuple[Tensor, ...]]:
        plain = heads(x @ q, WIDTH)
        queries = turn(plain, positions) if turned else plain
        inputs = Inputs(queries, plain, turn(heads(x @ k, WIDTH), positions), heads(x @ v, WIDTH), heads(x @ asked, N))
        return inputs, Parts(shows, found, (always[0], always[1]) if persistent else None, 0.5), tuple(initial)

    return [t for t in tensors if persistent or t is not always], made


def apart(got: tuple[Tensor, ...], right: tuple[Tensor, ...], tensors: list[Tensor]) -> float:
    """The largest error of both outputs and of every gradient."""

    def gradients(y: Tensor, z: Tensor) -> tuple[Tensor, ...]:
        return torch.autograd.grad(y.sin().sum() + (z * z.detach().cos()).sum(), tensors)

    pairs = [*zip(got, right, strict=True), *zip(gradients(*got), gradients(*right), strict=True)]
    return max(((a - b).abs().max() / b.abs().max()).item() for a, b in pairs)


@pytest.mark.parametrize("positions", ["one document", "packed"])
@pytest.mark.parametrize(("segment", "chunk"), [(4, 2), (6, 3), (3, 3), (1, 1), (20, 5)])
@pytest.mark.parametrize(("depth", "persistent", "turned"), [(1, True, True), (2, False, True), (1, True, False)])
def test_pieces_are_the_definition(positions: str, segment: int, chunk: int, depth: int, persistent: bool, turned: bool) -> None:
    tensors, made = case(depth, persistent, turned)
    where = POSITIONS[positions]
    inputs, parts, initial = made(where)
    y, z, _ = memory_context(inputs, where, parts, initial, segment=segment, chunk=chunk)
    inputs, parts, initial = made(where)  # with a graph of its own
    right = memory_context_reference(inputs, where, parts, initial, segment=segment, chunk=chunk)
    assert apart((y, z), right, tensors) < 1e-11


def test_pieces_are_cut_where_any_row_begins_a_segment() -> None:
    assert pieces(torch.arange(10), 4) == [(0, 4), (4, 8), (8, 10)]
    assert pieces(torch.arange(3, 10), 4) == [(0, 1), (1, 5), (5, 7)]
    packed = torch.tensor([[0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4], [7, 8, 9, 0, 0, 1, 2, 3, 4, 5, 6]])
    assert pieces(packed, 4) == [(0, 1), (1, 3), (3, 4), (4, 6), (6, 8), (8, 10), (10, 11)]


def in_two(where: Tensor, cut: int, made: Callable[..., Any]) -> tuple[Tensor, Tensor]:
    """The same, cut: the second part knows what the first one's Reading says."""
    inputs, parts, initial = made(where)
    first, second = inputs.split([cut, where.shape[-1] - cut])
    y, z, reading = memory_context(first, where[..., :cut], parts, initial, segment=4, chunk=2)
    back = int((where[..., cut] % 4).max())
    reading = Reading(
        reading.memory, reading.before, reading.keys[:, :, cut - back : cut], reading.values[:, :, cut - back : cut]
    )
    rest = memory_context(second, where[..., cut:], parts, initial, reading, segment=4, chunk=2)
    return torch.cat((y, rest[0]), 1), torch.cat((z, rest[1]), 2)


@pytest.mark.parametrize("cut", [1, 4, 6, 11])
@pytest.mark.parametrize("positions", ["one document", "packed"])
def test_cut_anywhere(positions: str, cut: int) -> None:
    tensors, made = case()
    where = POSITIONS[positions]
    inputs, parts, initial = made(where)
    right = memory_context_reference(inputs, where, parts, initial, segment=4, chunk=2)
    assert apart(in_two(where, cut, made), right, tensors) < 1e-11


def asks_the_memory_as_it_is_now(patch: pytest.MonkeyPatch) -> None:
    """Answers of a segment that is cut come from a memory that has read half of it."""
    patch.setattr(module, "_entered", lambda positions, segment, begin, now, before: now)


def never_asks_again(patch: pytest.MonkeyPatch) -> None:
    """All segments of a document ask what it began with."""
    patch.setattr(module, "_entered", lambda positions, segment, begin, now, before: begin)


def keeps_the_answers_of_others(patch: pytest.MonkeyPatch) -> None:
    """Rows see as many places back as the row that has read most of its segment."""
    attend = module._attend
    patch.setattr(module, "_attend", lambda piece, k, v, phase, parts: attend(piece, k, v, phase * 0 + phase.max(), parts))


def forgets_the_segment_when_cut(patch: pytest.MonkeyPatch) -> None:
    longer = module._longer
    patch.setattr(module, "_longer", lambda held, back, new: longer(torch.zeros_like(held), back, new))


@pytest.mark.parametrize(
    "mutate",
    [asks_the_memory_as_it_is_now, never_asks_again, keeps_the_answers_of_others, forgets_the_segment_when_cut],
    ids=lambda f: f.__name__,
)
def test_the_comparison_kills_the_mutant(mutate: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch) -> None:
    mutate(monkeypatch)
    with pytest.raises(AssertionError):
        test_cut_anywhere("packed", 6)


def test_a_later_token_never_changes_an_earlier_output() -> None:
    _, made = case()
    where = POSITIONS["one document"]
    inputs, parts, initial = made(where)
    before = memory_context(inputs, where, parts, initial, segment=4, chunk=2)
    for changed in range(1, 13):
        others = Inputs(*(torch.cat((x[:, :, :changed], x[:, :, changed:] + 1), 2) for x in inputs))
        after = memory_context(others, where, parts, initial, segment=4, chunk=2)
        assert torch.equal(after[0][:, :changed], before[0][:, :changed])
        assert not torch.allclose(after[0][:, changed:], before[0][:, changed:])


def test_an_answer_depends_on_earlier_segments_and_not_on_its_own() -> None:
    """What is asked by place 5 of the segment 4 … 7 is answered by the memory as it was after place 3."""
    tensors, made = case()
    where = POSITIONS["one document"]
    inputs, parts, initial = made(where)
    heard: list[Tensor] = []

    def listen(answers: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        heard.append(answers)
        return parts.shows(answers, positions)

    memory_context(inputs, where, parts._replace(shows=listen), initial, segment=4, chunk=2)
    (gradient,) = torch.autograd.grad(heard[1][:, :, 1].sum(), tensors[0])
    reach = gradient.abs().amax((0, 2)) > 0
    assert reach.tolist() == [True] * 4 + [False, True] + [False] * 7

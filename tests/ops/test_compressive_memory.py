"""The memory of Infini-attention by segments, against token by token: what it says, what it is afterwards, all gradients."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from test_segments import ROWS, positions_of
from torch import Tensor

from equivalence import Hold
from linnet.ops import compressive_memory as module
from linnet.ops.compressive_memory import Memory, Rule, compressive_memory, compressive_memory_reference, feature
from linnet.ops.segments import Segments, segments_of

EXACT = 1e-12  # float64, relative to the largest number


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def carried(batch: int, groups: int, width: int) -> Memory:
    """A memory that earlier tokens could have left: a positive normaliser."""

    def one(seed: int) -> Tensor:
        keys = feature(draw(batch, groups, 9, width, seed=seed))
        values = torch.cat((draw(batch, groups, 9, width, seed=seed + 1), torch.ones(batch, groups, 9, 1).double()), -1)
        return keys.transpose(-2, -1) @ values

    return Memory(one(20), one(30))


def apart(
    name: str, length: int, rule: Rule, heads: int = 4, fast: Callable[..., tuple[Tensor, Memory]] = compressive_memory
) -> float:
    """The largest relative error, output, memory after it and gradients of everything."""
    positions, batch, groups, width = positions_of(name), max(2, len(ROWS[name])), 2, 3
    if positions.dim() == 2:
        batch = len(positions)
    segments, n = segments_of(positions, length), positions.shape[-1]
    seen = carried(batch, groups, width)
    results = []
    for function in (fast, compressive_memory_reference):
        leaves = [
            draw(batch, heads, n, width, seed=1),
            draw(batch, groups, n, width, seed=2),
            draw(batch, groups, n, width, seed=3),
        ]
        leaves += [seen.written.clone(), seen.pending.clone()]
        for leaf in leaves:
            leaf.requires_grad_()
        y, after = function(*leaves[:3], segments, Memory(*leaves[3:]), rule)
        parts = (y, after.written, after.pending)
        loss = sum((part * torch.linspace(0.5, 2, part.numel()).double().view(part.shape)).sum() for part in parts)
        gradients = torch.autograd.grad(loss, leaves, allow_unused=True)
        results.append([*parts, *(torch.zeros(1) if g is None else g for g in gradients)])
    errors = []
    for a, b in zip(*results, strict=True):
        errors.append((a - b).abs().max() / b.abs().max().clamp(min=1e-3))
    return torch.stack(errors).max().item()


@pytest.mark.parametrize("rule", ["linear", "delta"])
@pytest.mark.parametrize("length", [1, 4, 64])
@pytest.mark.parametrize("name", ROWS)
def test_by_segments_is_token_by_token(name: str, length: int, rule: Rule, hold: Hold) -> None:
    for heads in (4, 2):
        hold("7 compressive memory, by segments = by tokens, float64", apart(name, length, rule, heads=heads), EXACT)


@pytest.mark.parametrize("rule", ["linear", "delta"])
def test_the_papers_equations_segment_by_segment(rule: Rule) -> None:
    """M_s and z_s of section 2.1, written for whole segments of one row, one head."""
    length, n, width = 4, 12, 3
    q, k, v = (draw(1, 1, n, width, seed=seed) for seed in range(3))
    said, _ = compressive_memory(q, k, v, segments_of(torch.arange(n), length), Memory.empty(1, 1, width, q), rule)
    matrix, normaliser = torch.zeros(width, width).double(), torch.zeros(width).double()
    for start in range(0, n, length):
        sq, sk, sv = (
            feature(q[0, 0, start : start + length]),
            feature(k[0, 0, start : start + length]),
            v[0, 0, start : start + length],
        )
        if start == 0:
            assert (said[0, 0, :length] == 0).all(), "an empty memory says nothing"
        else:
            assert torch.allclose(said[0, 0, start : start + length], sq @ matrix / (sq @ normaliser)[:, None], atol=1e-12)
        retrieved = sk @ matrix / (sk @ normaliser)[:, None] if start else torch.zeros_like(sv)
        matrix = matrix + sk.T @ (sv if rule == "linear" else sv - retrieved)
        normaliser = normaliser + sk.sum(0)


def test_the_delta_rule_does_not_write_twice_what_it_knows() -> None:
    """The second time. Later the paper's z has outgrown its M, and half of the value is missing again."""
    k = draw(1, 1, 1, 3, seed=0).expand(1, 1, 2, 3)
    v = draw(1, 1, 1, 3, seed=1).expand(1, 1, 2, 3)
    rules: tuple[tuple[Rule, float], ...] = (("linear", 2.0), ("delta", 1.0))
    for rule, times in rules:
        _, after = compressive_memory(k, k, v, segments_of(torch.arange(2), 1), Memory.empty(1, 1, 3, k), rule)
        once = feature(k[0, 0, :1]).T @ v[0, 0, :1]
        assert torch.allclose((after.written + after.pending)[0, 0, :, :3], times * once)


def test_nothing_written_is_zero_with_finite_gradients() -> None:
    q = (draw(1, 2, 5, 4, seed=0) * 1e3).requires_grad_()
    said, _ = compressive_memory(q, q, q, segments_of(torch.arange(5), 8), Memory.empty(1, 2, 4, q), "delta")
    assert (said == 0).all()
    (gradient,) = torch.autograd.grad(said.sum(), q)
    assert (gradient == 0).all()


def early(q: Tensor, k: Tensor, v: Tensor, segments: Segments, memory: Memory, rule: Rule) -> tuple[Tensor, Memory]:
    """Writes before it reads: a token sees its own segment in the memory."""
    _, after = compressive_memory(q, k, v, segments, memory, rule)
    return compressive_memory(q, k, v, segments, Memory(memory.written + after.pending, memory.pending), rule)[0], after


def from_the_row(q: Tensor, k: Tensor, v: Tensor, segments: Segments, memory: Memory, rule: Rule) -> tuple[Tensor, Memory]:
    """Counts segments from the begin of the row."""
    row = torch.arange(q.shape[2]).expand(len(q), -1)
    return compressive_memory(q, k, v, segments_of(row, segments.length), memory, rule)


def never_empty(q: Tensor, k: Tensor, v: Tensor, segments: Segments, memory: Memory, rule: Rule) -> tuple[Tensor, Memory]:
    """Does not forget where a document begins."""
    begins = torch.zeros_like(segments.begins)
    return compressive_memory(q, k, v, Segments(**{**vars(segments), "begins": begins}), memory, rule)


def other_rule(q: Tensor, k: Tensor, v: Tensor, segments: Segments, memory: Memory, rule: Rule) -> tuple[Tensor, Memory]:
    return compressive_memory(q, k, v, segments, memory, "delta" if rule == "linear" else "linear")


@pytest.mark.parametrize("mutant", [early, from_the_row, never_empty, other_rule], ids=lambda f: f.__name__)
def test_mutants_are_caught(mutant: Callable[..., tuple[Tensor, Memory]]) -> None:
    assert min(apart("documents", 4, "linear", fast=mutant), apart("documents", 4, "delta", fast=mutant)) > 1e-3


def test_a_mutant_whose_running_sum_holds_its_own_segment(monkeypatch: pytest.MonkeyPatch) -> None:
    sums = module._running_sums

    def mutant(new: Tensor, segments: Segments, memory: Memory) -> tuple[Tensor, Memory]:
        seen, after = sums(new, segments, memory)
        return seen + new, after

    monkeypatch.setattr(module, "_running_sums", mutant)
    assert apart("one phase", 4, "linear") > 1e-3

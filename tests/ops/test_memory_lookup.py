"""Product keys: the best of n² from the best of both halves, and values read with exact gradients."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from equivalence import Hold, furthest
from linnet.ops.memory_lookup import best_pairs, best_pairs_reference, half_scores, read, read_reference

N, H, n, K, D = 9, 3, 11, 8, 5


def random(*shape: int, seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.mark.parametrize("top_k", [1, 2, 7, 11, 40, 121])
def test_the_best_pairs_are_those_of_all_sums(top_k: int) -> None:
    first, second = random(N, H, n, seed=1).requires_grad_(), random(N, H, n, seed=2).requires_grad_()
    scores, index = best_pairs(first, second, top_k)
    right, right_index = best_pairs_reference(first, second, top_k)
    assert torch.equal(scores, right)
    assert torch.equal(index, right_index)
    gradients = (torch.autograd.grad(s.softmax(-1).sin().sum(), (first, second)) for s in (scores, right))
    for got, wanted in zip(*gradients, strict=True):
        torch.testing.assert_close(got, wanted, rtol=0, atol=1e-14)


def test_scores_are_those_of_the_keys_written_out() -> None:
    """All n² keys laid end to end, one product."""
    queries, keys = random(N, H, K, seed=1), random(2, H, n, K // 2, seed=2)
    first, second = half_scores(queries, keys)
    a, b = keys
    whole = torch.cat((a[:, :, None].expand(H, n, n, K // 2), b[:, None].expand(H, n, n, K // 2)), -1)  # (H, n, n, K)
    right = torch.einsum("nhk,hijk->nhij", queries, whole)
    torch.testing.assert_close(first[..., :, None] + second[..., None, :], right)


def too_few(first: Tensor, second: Tensor, top_k: int) -> Any:
    """Only the best k - 1 of each half."""
    few = top_k - 1
    (a, i), (b, j) = first.topk(few, -1), second.topk(few, -1)
    scores, place = (a[..., :, None] + b[..., None, :]).flatten(-2).topk(top_k, -1)
    return scores, i.gather(-1, place // few) * first.shape[-1] + j.gather(-1, place % few)


def halves_swapped(first: Tensor, second: Tensor, top_k: int) -> Any:
    return best_pairs(second, first, top_k)


@pytest.mark.parametrize("mutant", [too_few, halves_swapped])
def test_mutants_are_caught(mutant: Any) -> None:
    first, second = 10 * random(N, H, n, seed=1), random(N, H, n, seed=2) / 10
    scores, index = best_pairs_reference(first, second, 7)
    got, got_index = mutant(first, second, 7)
    assert not (torch.equal(scores, got) and torch.equal(index, got_index))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_reading_is_the_sum_written_out(dtype: torch.dtype, hold: Hold) -> None:
    """Rows that are read twice, by one token and by several."""
    values, weights = random(20, D, seed=1, dtype=dtype).requires_grad_(), random(N, 6, seed=2, dtype=dtype).requires_grad_()
    index = torch.randint(0, 10, (N, 6), generator=torch.Generator().manual_seed(3))
    assert any(len(set(row)) < 6 for row in index.tolist())
    y, right = read(values, index, weights), read_reference(values, index, weights)
    tolerance = 1e-5 if dtype == torch.float32 else 1e-13
    got, wanted = ((one, *torch.autograd.grad(one.sin().sum(), (values, weights))) for one in (y, right))
    hold(f"7 product keys, read = sum written out, {str(dtype)[6:]}", furthest(got, wanted), tolerance)
    assert not got[1][10:].any()

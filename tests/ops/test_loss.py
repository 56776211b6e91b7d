"""Cross entropy where its kernel could go wrong: at the ends of the numbers, and at targets that are none."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from linnet.core.native import native_problem
from linnet.ops import loss
from linnet.ops.kernels import VECTORS, cross_entropy_in_place, kernels_available, limit_vectors
from linnet.ops.linear import product
from linnet.ops.loss import linear_cross_entropy, smoothed_reference, smoothing_term

pytestmark = pytest.mark.skipif(not kernels_available(), reason=f"no kernels: {native_problem() or 'no GNU OpenMP'}")


def rows(n: int, vocab: int, spread: float) -> tuple[Tensor, Tensor, Tensor]:
    draws = torch.Generator().manual_seed(n * vocab)
    scores = torch.randn(n, vocab, generator=draws) * spread
    return scores, torch.randint(0, vocab, (n,), generator=draws), torch.rand(n, generator=draws)


@pytest.mark.parametrize("vectors", VECTORS)
@pytest.mark.parametrize("spread", [1e-3, 3.0, 80.0])
@pytest.mark.parametrize(("n", "vocab"), [(1, 1), (5, 2), (3, 15), (40, 65), (7, 1024), (2, 50_257)])
def test_the_kernel_is_the_formula(vectors: str, spread: float, n: int, vocab: int) -> None:
    scores, targets, weights = rows(n, vocab, spread)
    exact = scores.double().requires_grad_()
    right = torch.nn.functional.cross_entropy(exact, targets, reduction="none") * weights
    right.sum().backward()
    assert exact.grad is not None
    limit_vectors(vectors)
    try:
        alone = cross_entropy_in_place(scores.clone(), targets, weights, gradient=False)
        losses = cross_entropy_in_place(scores, targets, weights, gradient=True)
    finally:
        limit_vectors()
    assert torch.equal(alone, losses)
    assert torch.allclose(losses.double(), right, rtol=1e-6, atol=1e-6)
    assert torch.allclose(scores.double(), exact.grad, rtol=1e-5, atol=3e-7)


@pytest.mark.parametrize("vectors", VECTORS)
@pytest.mark.parametrize("vocab", [7, 70, 1025])
def test_a_score_that_is_no_number_is_seen(vectors: str, vocab: int) -> None:
    limit_vectors(vectors)
    try:
        for place in {0, vocab // 2, vocab - 1}:
            for strange in (float("nan"), float("inf")):
                scores, targets, weights = rows(3, vocab, 1.0)
                scores[1, place] = strange
                losses = cross_entropy_in_place(scores, targets, weights, gradient=True)
                assert losses.isnan().tolist() == [False, True, False]
        scores, targets, weights = rows(2, vocab, 1.0)
        scores[1] = float("-inf")
        assert cross_entropy_in_place(scores, targets, weights, gradient=False).isnan().tolist() == [False, True]
    finally:
        limit_vectors()


def test_scores_of_another_kind_are_refused() -> None:
    scores, targets, weights = rows(3, 8, 1.0)
    for wrong in ((scores.double(), weights), (scores, weights.double()), (scores.repeat(1, 2)[:, ::2], weights)):
        with pytest.raises(ValueError, match="of another kind"):
            cross_entropy_in_place(wrong[0], targets, wrong[1], gradient=True)


def test_a_token_that_cannot_be() -> None:
    scores, targets, weights = rows(3, 70, 1.0)
    scores[:, 5] = float("-inf")
    targets[:] = torch.tensor([6, 7, 8])
    exact = torch.nn.functional.cross_entropy(scores, targets, reduction="none") * weights
    assert torch.allclose(cross_entropy_in_place(scores, targets, weights, gradient=True), exact)
    assert scores[:, 5].abs().max() < 1e-35


@pytest.mark.parametrize("target", [-1, 70, 2**40])
def test_targets_outside_are_refused_and_nothing_is_done(target: int) -> None:
    scores, targets, weights = rows(3, 70, 1.0)
    before = scores.clone()
    targets[2] = target
    with pytest.raises(IndexError, match="vocabulary of 70"):
        cross_entropy_in_place(scores, targets, weights, gradient=True)
    assert torch.equal(scores, before)


def test_what_the_kernel_does_not_take_is_done_by_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    scores, targets, weights = rows(9, 33, 2.0)
    fast, slow = scores.clone(), scores.clone()
    by_kernel = loss.losses_in_place(fast, targets, weights, gradient=True)
    monkeypatch.setattr(loss, "kernels_take_whole", lambda tensors: False)
    by_torch = loss.losses_in_place(slow, targets, weights, gradient=True)
    assert torch.allclose(by_kernel, by_torch, rtol=1e-5)
    assert torch.allclose(fast, slow, atol=1e-6)
    precise = loss.losses_in_place(scores.double(), targets, weights, gradient=False)
    assert precise.dtype is torch.float64


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize(("a_turned", "b_turned"), [(False, False), (False, True), (True, False), (True, True)])
def test_a_product_into_a_place(dtype: torch.dtype, a_turned: bool, b_turned: bool) -> None:
    draws = torch.Generator().manual_seed(0)
    a, b = (torch.randn(n, k, generator=draws).to(dtype) for n, k in ((70, 40), (40, 33)))
    start = torch.randn(70, 33, generator=draws).to(torch.promote_types(dtype, torch.float32))
    exact = a.double() @ b.double()
    near = 0.1 if dtype is torch.bfloat16 else 1e-5
    lies = {"a_turned": a_turned, "b_turned": b_turned}
    a, b = (x.t().contiguous() if turned else x for x, turned in ((a, a_turned), (b, b_turned)))
    assert torch.allclose(product(a, b, **lies).double(), exact, atol=near)
    to = torch.full((70, 33), 9.0).to(dtype)
    assert product(a, b, to, **lies) is to
    assert torch.allclose(to.double(), exact, atol=near)
    assert torch.allclose(product(a, b, start.clone(), add=True, **lies).double(), exact + start, atol=near)
    apart = torch.randn(70, 70, generator=draws).to(dtype)[:, ::2][:, :33]  # not in one piece: PyTorch's own
    assert torch.allclose(product(a, b, apart, **lies).double(), exact, atol=near)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.6])
def test_smoothing_needs_no_scores(share: float) -> None:
    def numbers() -> tuple[Tensor, Tensor, Tensor, Tensor]:
        draws = torch.Generator().manual_seed(0)
        hidden = torch.randn(9, 5, generator=draws, dtype=torch.float64).requires_grad_()
        weight = torch.randn(7, 5, generator=draws, dtype=torch.float64).requires_grad_()
        return hidden, weight, torch.randint(0, 7, (9,), generator=draws), torch.rand(9, generator=draws, dtype=torch.float64)

    plain, fast = numbers(), numbers()
    expected = smoothed_reference(*plain, share)
    found = linear_cross_entropy(*fast) + share * smoothing_term(*fast)
    theirs = torch.nn.functional.cross_entropy(plain[0] @ plain[1].t(), plain[2], reduction="none", label_smoothing=share)
    assert torch.allclose(expected, (theirs * plain[3]).sum(), rtol=1e-12)
    assert torch.allclose(found, expected, rtol=1e-12)
    expected.backward()
    found.backward()
    for mine, its in zip(fast[:2], plain[:2], strict=True):
        assert torch.allclose(mine.grad, its.grad, rtol=1e-10, atol=1e-12)

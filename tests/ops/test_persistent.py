"""Attention beside persistent tokens: every way to it against the formula, and against attention over a longer text."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from linnet.ops import persistent as module
from linnet.ops.attention import attention_reference, kernel_from, seen_from
from linnet.ops.flash import flash_kernel
from linnet.ops.kernels import kernels_take
from linnet.ops.mask import Mask
from linnet.ops.persistent import Persistent, attention_with, attention_with_reference, joined

SCALE = 0.4


def drawn(dtype: torch.dtype, heads: int, groups: int, n: int = 9, keys: int = 9, width: int = 8) -> list[Tensor]:
    """q, k, v, q before it was turned, persistent keys and values."""
    draws = torch.Generator().manual_seed(heads + n)
    shapes = [(2, heads, n, width), (2, groups, keys, width), (2, groups, keys, width), (2, heads, n, width), (groups, 3, width)]
    return [torch.randn(*shape, generator=draws, dtype=dtype).requires_grad_() for shape in (*shapes, shapes[-1])]


def apart(got: Tensor, right: Tensor, tensors: list[Tensor]) -> float:
    """The largest error of an output and of all gradients, relative."""
    worst = ((got - right).abs().max() / right.abs().max()).item()
    direction = torch.randn(right.shape, generator=torch.Generator().manual_seed(5), dtype=right.dtype)
    for a, b in zip(*(torch.autograd.grad((y * direction).sum(), tensors) for y in (got, right)), strict=True):
        worst = max(worst, ((a - b).abs().max() / b.abs().max()).item())
    return worst


@pytest.mark.parametrize(("heads", "groups"), [(4, 4), (4, 2), (3, 1)])
@pytest.mark.parametrize("mask", ["none", "causal", "allowed", "bias", "both"])
def test_pytorch_s_kernels_are_the_formula(heads: int, groups: int, mask: str) -> None:
    tensors = drawn(torch.float64, heads, groups)
    allowed = torch.rand(2, 9, 9, generator=torch.Generator().manual_seed(1)) < 0.6
    bias = torch.randn(heads, 9, 9, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    options: dict[str, dict[str, Any]] = {
        "none": {}, "causal": {"causal": True}, "allowed": {"allowed": allowed | torch.eye(9, dtype=torch.bool)},
        "bias": {"bias": bias, "causal": True}, "both": {"bias": bias, "allowed": allowed | torch.eye(9, dtype=torch.bool)},
    }  # fmt: skip
    given, always = tensors[:3], Persistent(*tensors[3:])
    got = attention_with(*given, always, **options[mask], scale=SCALE)
    assert apart(got, attention_with_reference(*given, always, **options[mask], scale=SCALE), tensors) < 1e-13


def test_unturned_queries_are_attention_over_a_text_with_the_tokens_before_it() -> None:
    q, k, v, _, keys, values = drawn(torch.float64, 4, 2)
    allowed = torch.cat((torch.ones(9, 3, dtype=torch.bool), seen_from(None, 9, 9, q.device)), 1)
    for way in (attention_with, attention_with_reference):
        longer = [torch.cat((a.expand(2, -1, -1, -1), b), 2) for a, b in ((keys, k), (values, v))]
        right = attention_reference(q, *longer, allowed=allowed, scale=SCALE)
        got = way(q, k, v, Persistent(q, keys, values), causal=True, scale=SCALE)
        assert apart(got, right, [q, k, v, keys, values]) < 1e-13


@pytest.mark.parametrize(("heads", "groups"), [(4, 4), (4, 2), (3, 1)])
@pytest.mark.parametrize("n", [1, 9])
def test_our_kernel_with_the_tokens_beside_it(heads: int, groups: int, n: int) -> None:
    tensors = drawn(torch.float32, heads, groups, n)
    if not kernels_take(*tensors[:3]):
        pytest.skip("no library here")
    first = torch.stack((torch.arange(9 - n, 9) - 4, torch.arange(9 - n, 9) - 1)).clamp(min=0)
    always = Persistent(*tensors[3:])
    right = attention_with_reference(*tensors[:3], always, allowed=seen_from(first, n, 9, first.device), scale=SCALE)
    got = joined(*tensors[:3], always, kernel_from(first, scale=SCALE), scale=SCALE)
    assert apart(got, right, tensors) < 3e-6
    with torch.no_grad():
        assert torch.equal(got, joined(*tensors[:3], always, kernel_from(first, scale=SCALE), scale=SCALE))


@pytest.mark.parametrize(("heads", "groups"), [(4, 4), (4, 2)])
def test_tiles_with_the_tokens_beside_them(heads: int, groups: int) -> None:
    tensors = drawn(torch.float64, heads, groups)
    kernel = flash_kernel(Mask(window=4), first_query=0, scale=SCALE, tile=(4, 3))
    allowed = Mask(window=4).dense(torch.arange(9), torch.arange(9))
    right = attention_with_reference(*tensors[:3], Persistent(*tensors[3:]), allowed=allowed, scale=SCALE)
    assert apart(joined(*tensors[:3], Persistent(*tensors[3:]), kernel, scale=SCALE), right, tensors) < 1e-12


def sums_of_the_text_alone(patch: pytest.MonkeyPatch) -> None:
    """The way back is told the sums without the persistent tokens."""
    join = module._join
    patch.setattr(module, "_join", lambda y, log_sums, *rest: (join(y, log_sums, *rest)[0], log_sums))


def turned_queries_for_all(patch: pytest.MonkeyPatch) -> None:
    """Persistent tokens are asked by the queries that a position has turned."""
    join = module._join
    plain = drawn(torch.float64, 4, 2)[0].detach()
    patch.setattr(module, "_join", lambda y, sums, always, scale: join(y, sums, always._replace(queries=plain), scale))


@pytest.mark.parametrize("mutate", [sums_of_the_text_alone, turned_queries_for_all], ids=lambda f: f.__name__)
def test_the_comparison_kills_the_mutant(mutate: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    mutate(monkeypatch)
    with pytest.raises(AssertionError):
        test_tiles_with_the_tokens_beside_them(4, 2)

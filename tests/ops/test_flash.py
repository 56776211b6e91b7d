"""Attention by tiles: equal to the formula with every score written out, and in how much memory."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from equivalence import Hold
from linnet.core.errors import LinnetError
from linnet.ops import flash
from linnet.ops.flash import flash_attention, flash_attention_reference
from linnet.ops.flex import flex
from linnet.ops.mask import Mask

DOCUMENTS = torch.tensor([[0] * 9 + [7] * 14 + [3] * 14, [-1] * 5 + [2] * 30 + [0] * 2])  # numbers in any order; padding
MASKS: dict[str, Mask] = {
    "causal": Mask(),
    "window": Mask(window=6),
    "a window of one": Mask(window=1),
    "documents": Mask(documents=(DOCUMENTS, DOCUMENTS)),
    "documents in a window": Mask(window=4, documents=(DOCUMENTS, DOCUMENTS)),
    "both ways": Mask(causal=False),
    "both ways in a window": Mask(causal=False, window=5),
    "both ways in documents": Mask(causal=False, documents=(DOCUMENTS, DOCUMENTS)),
    "prefix": Mask(prefix=torch.tensor([0, 21])),
    "prefix, window and documents": Mask(window=3, prefix=torch.tensor([12, 3]), documents=(DOCUMENTS, DOCUMENTS)),
}
TILES = [(128, 256), (5, 7), (8, 4), (1, 1)]


def drawn(groups: int = 2, n_queries: int = 37, n_keys: int = 37, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    draws = torch.Generator().manual_seed(0)
    shapes = ((2, 4, n_queries, 6), (2, groups, n_keys, 6), (2, groups, n_keys, 6))
    return [torch.randn(shape, generator=draws, dtype=torch.float64).mul(2).to(dtype).requires_grad_() for shape in shapes]


def both(tensors: list[Tensor], mask: Mask, tile: tuple[int, int] = (5, 7), **options: object) -> tuple[float, float]:
    """How far output and gradients are from the formula's in float64, relative to the largest number."""
    exact = [x.detach().double().requires_grad_() for x in tensors]
    right = flash_attention_reference(*exact, mask, scale=0.4, **options)  # type: ignore[arg-type]
    got = flash_attention(*tensors, mask, scale=0.4, tile=tile, **options)  # type: ignore[arg-type]
    assert got.dtype == tensors[0].dtype
    up = torch.randn(right.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    gradients = torch.autograd.grad(got, tensors, up.to(got.dtype)), torch.autograd.grad(right, exact, up)
    largest = max(b.abs().max() for b in gradients[1])
    far = [((a.double() - b).abs().max() / largest).item() for a, b in zip(*gradients, strict=True)]
    return ((got.double() - right).abs().max() / right.abs().max()).item(), max(far)


@pytest.mark.parametrize("tile", TILES)
@pytest.mark.parametrize("name", MASKS)
def test_flash_is_the_formula(name: str, tile: tuple[int, int], hold: Hold) -> None:
    hold("7 flash = formula, float64", max(both(drawn(), MASKS[name], tile, first_query=0)), 1e-13)
    output, gradients = both(drawn(dtype=torch.float32), MASKS[name], tile, first_query=0)
    hold("7 flash = formula", output, 2e-6)
    hold("7 flash = formula, gradients", gradients, 4e-6)


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_groups_and_slopes(groups: int) -> None:
    for slopes in (None, torch.tensor([0.5, 0.1, 2.0, 0.0])):
        assert max(both(drawn(groups), Mask(window=20), first_query=0, slopes=slopes)) < 1e-13


@pytest.mark.parametrize(("first_query", "first_key", "n_queries", "n_keys"), [(36, 0, 1, 37), (40, 9, 6, 37), (30, 0, 5, 37)])
def test_queries_after_a_state(first_query: int, first_key: int, n_queries: int, n_keys: int) -> None:
    """Keys from the state before the queries, or beyond them in a state of fixed size."""
    for mask in (Mask(), Mask(window=8)):
        tensors = drawn(2, n_queries, n_keys)
        assert max(both(tensors, mask, first_query=first_query, first_key=first_key)) < 1e-13


def test_scores_that_overflow_without_the_largest_taken_off() -> None:
    tensors = drawn()
    with torch.no_grad():
        tensors[0].mul_(1e3)
    assert max(both(tensors, Mask(), first_query=0)) < 1e-10


def test_half_precision_sums_in_float32() -> None:
    """No worse than rounding inputs and outputs: 2^-8 of bfloat16."""
    tensors = drawn(dtype=torch.bfloat16)
    assert max(both(tensors, Mask(), first_query=0)) < 2**-7


def test_its_gradients_are_finite_differences() -> None:
    tensors = [x.detach()[:1, :, :9].clone().requires_grad_() for x in drawn()]
    torch.autograd.gradcheck(lambda *qkv: flash_attention(*qkv, Mask(window=5), first_query=0, scale=0.4, tile=(4, 2)), tensors)


def test_tiles_that_nobody_sees_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A window costs as many tiles as it is wide, whatever T is; documents are not multiplied with each other."""
    products: list[int] = []
    monkeypatch.setattr(flash, "_by_group", lambda x, y, by=flash._by_group: products.append(1) or by(x, y))
    q, k, v = (torch.randn(1, 1, 640, 4) for _ in range(3))
    cost = {}
    apart = torch.arange(640)[None] // 64
    for name, mask in {
        "all": Mask(causal=False),
        "causal": Mask(),
        "window": Mask(window=32),
        "documents": Mask(documents=(apart, apart)),
    }.items():
        products.clear()
        flash_attention(q, k, v, mask, first_query=0, scale=0.5, tile=(32, 32))
        cost[name] = len(products) // 2
    assert cost == {"all": 400, "causal": 210, "window": 39, "documents": 30}


PEAK = """
import sys, torch
from linnet.ops.flash import flash_attention, flash_attention_reference
from linnet.ops.mask import Mask
torch.set_num_threads(1)
way, n = {"flash": flash_attention, "reference": flash_attention_reference}[sys.argv[1]], int(sys.argv[2])

def peak(n):
    q, k, v = (torch.randn(1, 2, n, 32, requires_grad=True) for _ in range(3))
    way(q, k, v, Mask(), first_query=0, scale=0.2).sin().sum().backward()
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))

before = peak(64)
print(peak(n) - before)
"""


def peak(way: str, n: int) -> int:
    """KiB more than for 64 places, forward and backward, in a process of its own.

    Not `ru_maxrss`: a program that is started begins with the peak of the one that started it.
    """
    return int(subprocess.run([sys.executable, "-c", PEAK, way, str(n)], capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="peaks of memory are read where Linux has them")
def test_memory_does_not_grow_with_the_square() -> None:
    at_8192, full = peak("flash", 8192), peak("reference", 8192)
    assert full > 2 * 8192 * 8192 * 4 / 1024, "the formula has to hold every score, or nothing is measured"
    assert at_8192 < full / 8
    assert at_8192 < 3 * peak("flash", 4096) + 4096, "twice the places, twice the memory"


def forget_the_mean(patch: pytest.MonkeyPatch) -> None:
    """∂s = p g·v: the derivative of a softmax that is not normalised."""
    backward = flash._backward
    patch.setattr(flash, "_backward", lambda g, q, k, v, y, *rest: backward(g, q, k, v, torch.zeros_like(y), *rest))


def skip_one_tile_too_many(patch: pytest.MonkeyPatch) -> None:
    none = Mask.sees_none
    patch.setattr(
        Mask, "sees_none", lambda self, q, n, k, m: none(replace(self, window=self.window and self.window - 1), q, n, k, m)
    )


def whole_tiles(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Mask, "sees_all", lambda self, *here: True)


def whole_documents(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Mask, "part", lambda self, rows, keys: replace(self, documents=None))


@pytest.mark.parametrize(
    ("mutate", "mask"),
    [
        (forget_the_mean, "causal"),
        (skip_one_tile_too_many, "window"),
        (whole_tiles, "causal"),
        (whole_documents, "documents"),
    ],
)
def test_the_oracle_kills_the_mutant(
    mutate: Callable[[pytest.MonkeyPatch], None], mask: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutate(monkeypatch)
    assert max(both(drawn(), MASKS[mask], (4, 4), first_query=0)) > 1e-3


@pytest.mark.parametrize("name", MASKS)
def test_flex_is_the_formula(name: str) -> None:
    """On a CPU it runs as written, without gradients."""
    tensors = [x.detach() for x in drawn(dtype=torch.float32)]
    for slopes in (None, torch.tensor([0.5, 0.1, 2.0, 0.0])):
        for n_queries in (37, 5):
            q, first = tensors[0][:, :, -n_queries:], 37 - n_queries
            mask = MASKS[name].part(slice(first, 37), slice(0, 37))
            right = flash_attention_reference(q, *tensors[1:], mask, first_query=first, slopes=slopes, scale=0.4)
            got = flex(q, *tensors[1:], mask, first_query=first, slopes=slopes, scale=0.4)
            assert (got - right).abs().max() < 2e-6


def test_flex_refuses_to_train_on_a_cpu() -> None:
    with pytest.raises(LinnetError, match="try: kernel: flash"):
        flex(*drawn(), Mask(), first_query=0, scale=0.4)


def test_torch_compile_finds_a_way_back_of_its_own() -> None:
    """It sees through the tiles; memory is then what it makes of it."""
    compiled = torch.compile(flash_attention, backend="aot_eager")
    tensors = drawn()
    right = flash_attention(*tensors, Mask(window=9), first_query=0, scale=0.4, tile=(20, 20))
    got = compiled(*tensors, Mask(window=9), first_query=0, scale=0.4, tile=(20, 20))
    assert torch.allclose(got, right, atol=1e-12)
    for a, b in zip(*(torch.autograd.grad(y.sin().sum(), tensors) for y in (got, right)), strict=True):
        assert torch.allclose(a, b, atol=1e-12)

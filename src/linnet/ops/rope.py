"""Rotary positions (RoFormer, 2104.09864): queries and keys are turned by an angle that grows with their position.

    (a, b) → (a cos θ - b sin θ, a sin θ + b cos θ),   θ_i(p) = p · base^(-2i/R)

so that a score depends on the difference of two positions alone. The pairs are (i, i + R/2): the "half" layout of
GPT-NeoX and Llama's Hugging Face weights. Deliberately no interleaved layout: importers permute instead.

A model reads texts longer than those of its training when the frequencies are slowed (`linear_frequencies` to
`llama3_frequencies`); `model/rope_scaling.py` has the words for them.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from linnet.ops.backward import own_backward


@cache
def first_cosine() -> None:
    """One cosine by one thread. The first ones of a process, when two threads ask for them at once, were seen to come from a
    coarser kind of PyTorch's vector library: 1.5e-4 off for half of them, in one process of twenty."""
    torch.ones(1).cos(), torch.ones(1).sin()


class Scaling(Protocol):
    """What slows the turns: the frequencies it makes, and what queries and keys are multiplied by."""

    def frequencies(self, d_rotary: int, base: float) -> Tensor: ...

    def multiplier(self) -> float: ...


def plain_frequencies(d_rotary: int, base: float, device: torch.device | None = None) -> Tensor:
    """base^(-2i/R), (R/2,) float32, from the fastest turn to the slowest."""
    return base ** (-torch.arange(0, d_rotary, 2, dtype=torch.float32, device=device) / d_rotary)


def linear_frequencies(d_rotary: int, base: float, factor: float) -> Tensor:
    """Positions divided by `factor` (position interpolation, 2306.15595, eq. 4): every turn slower alike."""
    return plain_frequencies(d_rotary, base) / factor


def ntk_frequencies(d_rotary: int, base: float, factor: float) -> Tensor:
    """A larger base, base · factor^(R/(R-2)) (2309.00071, eq. 16): the fastest turn stays, the slowest is `factor` times slower."""
    if d_rotary == 2:  # one pair, the fastest
        return plain_frequencies(d_rotary, base)
    return plain_frequencies(d_rotary, base * factor ** (d_rotary / (d_rotary - 2)))


def yarn_frequencies(
    d_rotary: int, base: float, factor: float, length: int, fast: float, slow: float, *, whole: bool = True
) -> Tensor:
    """Between both by wavelength (YaRN, 2309.00071, section 3.2): pairs that turn more than `fast` times in the `length` of
    training stay, those that turn less than `slow` times are `factor` times slower, with a ramp from pair to pair.

    The ramp is a line over the pairs' numbers, as in the code that the paper's models were made with, and begins and ends at
    whole ones unless `whole` is False.
    """

    def pair(turns: float) -> float:  # number of the pair that turns so often: length · base^(-2i/R) = 2π · turns, for i
        return d_rotary * math.log(length / (turns * 2 * math.pi)) / (2 * math.log(base))

    first, last = pair(fast), pair(slow)
    if whole:
        first, last = math.floor(first), math.ceil(last)
    first, last = max(first, 0), min(last, d_rotary - 1)
    if first == last:
        last += 0.001  # a step
    slowed = ((torch.arange(d_rotary // 2, dtype=torch.float32) - first) / (last - first)).clamp(0, 1)  # (R/2,)
    frequency = plain_frequencies(d_rotary, base)
    return frequency * (1 - slowed) + frequency / factor * slowed


def llama3_frequencies(d_rotary: int, base: float, factor: float, length: int, low: float, high: float) -> Tensor:
    """The same idea in Llama 3.1 (2407.21783): a pair that turns more than `high` times in `length` places stays, one that turns
    less than `low` times is `factor` times slower, and between them the share is a line over the number of turns."""
    frequency = plain_frequencies(d_rotary, base)
    turns = frequency * (length / (2 * math.pi))
    kept = ((turns - low) / (high - low)).clamp(0, 1)  # (R/2,)
    return frequency * kept + frequency / factor * (1 - kept)


def rotary_table(positions: Tensor, d_rotary: int, base: float, scaling: Scaling | None = None) -> tuple[Tensor, Tensor]:
    """positions (..., T) → cos, sin (..., T, d_rotary), each half repeated, times the scaling's multiplier; float32."""
    first_cosine()
    if scaling is None:
        frequency = plain_frequencies(d_rotary, base, positions.device)  # (R/2,)
    else:
        frequency = scaling.frequencies(d_rotary, base).to(positions.device)
    angle = positions.to(torch.float32).unsqueeze(-1) * frequency  # (..., T, R/2)
    angle = torch.cat((angle, angle), -1)  # (..., T, R)
    if scaling is None or scaling.multiplier() == 1:
        return angle.cos(), angle.sin()
    return angle.cos() * scaling.multiplier(), angle.sin() * scaling.multiplier()


def rotate_reference(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """The definition, pair by pair. x (..., T, K), cos and sin (..., T, R), R ≤ K; the rest of K is left alone."""
    d_rotary = cos.shape[-1]
    half = d_rotary // 2
    a, b, rest = x[..., :half], x[..., half:d_rotary], x[..., d_rotary:]
    c, s = cos[..., :half], sin[..., :half]
    return torch.cat((a * c - b * s, a * s + b * c, rest), -1)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """The same in fewer passes, forward and backward: x · cos + turned(x) · sin, where turned swaps the halves and negates
    one. The way back of a rotation is the rotation by -θ."""
    d_rotary = cos.shape[-1]
    if d_rotary < x.shape[-1]:
        return torch.cat((rotate(x[..., :d_rotary], cos, sin), x[..., d_rotary:]), -1)
    return _Rotate.apply(x, cos, sin) if own_backward(x) else _rotated(x, cos, sin)


def _rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    a, b = x.chunk(2, -1)
    return torch.addcmul(x * cos, torch.cat((-b, a), -1), sin)


class _Rotate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        return _rotated(x, cos, sin)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> Any:
        cos, sin = ctx.saved_tensors
        return _rotated(g, cos, -sin), None, None

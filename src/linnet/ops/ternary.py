"""y = x Wᵀ + b with weights of three values and activations of 8 bits (BitNet b1.58, 2402.17764, equations 1 to 3).

    W̃ = clip(round(W / γ), -1, 1)    γ = mean |W|, one number a matrix
    X̃ = round(s x)                   s = 127 / max |x|, one number a token
    y = (γ / s) X̃ W̃ᵀ + b

Rounding has no slope, so gradients go straight through it (1308.3432): ∂x = g γ W̃, ∂W = gᵀ X̃ / s, for the weights that are learned,
which stay what they are. The fast path multiplies whole numbers: sums of them are exact below 2²⁴ in float32 (up to 132,104 of them),
so that a product has the same bits however it is cut. They are multiplied in 128ths, which costs no bit, so that sums of up to 65,504
of them fit in float16 too. A scale of a token's own is what makes a pass cut anywhere round alike.
Deliberately in floating point: a product of 8-bit numbers and packed weights wants kernels that are not here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from linnet.ops.backward import own_backward
from linnet.ops.linear import linear

LARGEST = 127  # of an activation in 8 bits
UNIT = 1 / 128  # in which whole numbers are multiplied: a power of two
SMALLEST = 1e-5  # that a matrix or a token counts as, so that zeros are zeros


def wide(x: Tensor) -> Tensor:
    """x in a type that means and scales are taken in: float32 at least."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


def ternary_weights(weight: Tensor) -> tuple[Tensor, Tensor]:
    """W (F, D) → W̃ (F, D) of -1, 0 and 1 in the same type, and γ ()."""
    exact = wide(weight)
    gamma = exact.abs().mean().clamp(min=SMALLEST)
    return (exact * gamma.reciprocal()).round_().clamp_(-1, 1).to(weight.dtype), gamma


def eight_bits(x: Tensor) -> tuple[Tensor, Tensor]:
    """x (..., D) → X̃ (..., D), whole numbers from -127 to 127 in the same type, and s (..., 1)."""
    exact = wide(x)
    scale = LARGEST / exact.abs().amax(-1, keepdim=True).clamp(min=SMALLEST)
    return (exact * scale).round_().to(x.dtype), scale


def unpacked(packed: Tensor) -> Tensor:
    """Packed (R, D) uint8, each of four weights of 2 bits → W̃ (4R, D): the lowest bits are of the first R rows, and so on; 0 is -1."""
    return torch.cat([(packed >> 2 * place) & 3 for place in range(4)]).to(torch.int8) - 1


def full_weights(codes: Tensor, gamma: float) -> Tensor:
    """W̃ (F, D) and γ → a W (F, D) of which `ternary_weights` makes these two; float32."""
    exact = codes.to(torch.float32)
    return exact * (gamma / exact.abs().mean().clamp(min=SMALLEST))


def straight_through(x: Tensor, rounded: Tensor) -> Tensor:
    """What was rounded, with the gradient of what it was."""
    return x + (rounded - x).detach()


def ternary_linear_reference(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """The formula as it stands. x (..., D), weight (F, D), bias (F,) → (..., F)."""
    (codes, gamma), (numbers, scale) = ternary_weights(weight.detach()), eight_bits(x.detach())
    rounded_weight = straight_through(weight, (codes * gamma).to(weight.dtype))
    rounded_x = straight_through(x, (numbers / scale).to(x.dtype))
    return F.linear(rounded_x, rounded_weight, bias)


class _TernaryLinears(torch.autograd.Function):
    """Products of one x with several matrices, rounded once and laid one under another."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, *weights: Tensor) -> tuple[Tensor, ...]:
        numbers, scale = eight_bits(x)
        pairs = [ternary_weights(weight) for weight in weights]
        codes = torch.cat([codes for codes, _ in pairs]) if len(pairs) > 1 else pairs[0][0]  # (ΣF, D)
        ctx.save_for_backward(numbers, scale, codes, *(gamma for _, gamma in pairs))
        ctx.sizes = [len(weight) for weight in weights]
        parts = F.linear(numbers * UNIT, codes).split(ctx.sizes, -1)
        return tuple((part * (gamma / (scale * UNIT))).to(part.dtype) for part, (_, gamma) in zip(parts, pairs, strict=True))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        numbers, scale, codes, *gammas = ctx.saved_tensors
        g = torch.cat(gradients, -1) if len(gradients) > 1 else gradients[0]  # (..., ΣF)
        of_x, of_weights = None, [None] * len(gammas)
        if ctx.needs_input_grad[0]:
            sizes = torch.tensor(ctx.sizes, device=g.device)
            gamma = torch.stack(gammas).repeat_interleave(sizes, output_size=len(codes))[:, None]  # (ΣF, 1)
            of_x = (g @ (codes * gamma).to(g.dtype)).to(numbers.dtype)
        if any(ctx.needs_input_grad[1:]):
            flat, rounded = g.flatten(0, -2), (numbers / scale).to(g.dtype).flatten(0, -2)  # (N, ΣF), (N, D)
            of_weights = list((flat.t() @ rounded).to(codes.dtype).split(ctx.sizes))  # type: ignore[arg-type]
        return of_x, *of_weights


def ternary_linears(x: Tensor, matrices: Sequence[tuple[Tensor, Tensor | None]]) -> list[Tensor]:
    """What each W (F, D) and b (F,) makes of the same x (..., D): the same, by whole numbers."""
    weights = [weight for weight, _ in matrices]
    if own_backward(x, *weights):
        products: Sequence[Tensor] = _TernaryLinears.apply(x, *weights)
    elif torch.is_grad_enabled() and torch.compiler.is_compiling():  # torch.compile makes its own backward pass
        products = [ternary_linear_reference(x, weight) for weight in weights]
    else:
        products = _forward(x, weights)
    return [y if bias is None else y + bias for y, (_, bias) in zip(products, matrices, strict=True)]


def _forward(x: Tensor, weights: Sequence[Tensor]) -> list[Tensor]:
    numbers, scale = eight_bits(x)
    numbers, scale = numbers * UNIT, scale * UNIT
    found = []
    for weight in weights:
        codes, gamma = ternary_weights(weight)
        y = linear(numbers, codes)
        found.append((y * (gamma / scale)).to(y.dtype))
    return found


def ternary_linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x (..., D), weight (F, D), bias (F,) → (..., F), by whole numbers."""
    return ternary_linears(x, [(weight, bias)])[0]

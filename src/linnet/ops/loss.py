"""Cross entropy over a vocabulary, whole and in pieces.

    loss = Σ_i w_i ( log Σ_v exp(h_i · W_v) - h_i · W_{y_i} )            (a sum, never a mean)

All scores at once cost rows × V numbers three times over (scores, probabilities, gradient): 50 MB a thousand rows for
GPT-2's vocabulary. In pieces, scores of one chunk of rows live at a time: its gradient, (softmax - onehot) · w, is
already known in the forward pass, so it is carried on to ∂h and ∂W there and then, and nothing is computed twice.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from linnet.ops.kernels import cross_entropy_in_place, kernels_take_whole
from linnet.ops.linear import product

CHUNK_NUMBERS = 1 << 22  # scores alive at once: 16 MiB in float32


def cross_entropy_reference(hidden: Tensor, weight: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """The formula as it stands. hidden (N, D), weight (V, D), targets (N,), weights (N,) → scalar."""
    scores = hidden @ weight.t()  # (N, V)
    return ((scores.logsumexp(-1) - scores.gather(-1, targets[:, None]).squeeze(-1)) * weights).sum()


def chunk_rows(vocab_size: int, rows: int) -> int:
    """How many rows to take at a time."""
    return max(1, min(rows, CHUNK_NUMBERS // vocab_size))


def losses_in_place(scores: Tensor, targets: Tensor, weights: Tensor, *, gradient: bool) -> Tensor:
    """w · -log softmax(scores)[y] (n,) of scores (n, V), which become the gradient of its sum, (softmax - onehot) · w, if asked
    for, else something without meaning. targets (n,), weights (n,)"""
    if kernels_take_whole((scores, weights)) and targets.dtype is torch.int64 and targets.is_contiguous():
        return cross_entropy_in_place(scores, targets, weights, gradient=gradient)
    y, w = targets[:, None], weights[:, None].to(scores.dtype)
    scores -= scores.amax(-1, keepdim=True)
    right = scores.gather(-1, y)
    sums = scores.exp_().sum(-1, keepdim=True)  # (n, 1)
    losses = (sums.log() - right) * w
    if gradient:
        scores.mul_(w / sums).scatter_add_(-1, y, -w)
    return losses.squeeze(-1)


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, weights: Tensor, chunk: int) -> Tensor:
        precise = torch.promote_types(hidden.dtype, torch.float32)
        total = torch.zeros((), dtype=precise, device=hidden.device)
        wants_hidden, wants_weight = ctx.needs_input_grad[:2]
        grad_hidden = torch.empty_like(hidden) if wants_hidden else None
        grad_weight = torch.zeros_like(weight, dtype=precise) if wants_weight else None
        for start in range(0, hidden.shape[0], chunk):
            rows = slice(start, start + chunk)
            h, y, w = hidden[rows], targets[rows], weights[rows]
            scores = product(h, weight, b_turned=True).to(precise)  # (n, V)
            total += losses_in_place(scores, y, w, gradient=wants_hidden or wants_weight).sum()
            if not (wants_hidden or wants_weight):
                continue
            g = scores.to(hidden.dtype)  # (softmax - onehot) · w
            if grad_hidden is not None:
                product(g, weight, grad_hidden[rows])
            if grad_weight is not None:
                product(g, h, grad_weight, a_turned=True, add=True)
        ctx.save_for_backward(grad_hidden, grad_weight)
        ctx.weight_dtype = weight.dtype
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> Any:
        grad_hidden, grad_weight = ctx.saved_tensors
        return (
            None if grad_hidden is None else grad_hidden * g.to(grad_hidden.dtype),
            None if grad_weight is None else (grad_weight * g).to(ctx.weight_dtype),
            None,
            None,
            None,
        )


def linear_cross_entropy(hidden: Tensor, weight: Tensor, targets: Tensor, weights: Tensor, chunk: int | None = None) -> Tensor:
    """The same sum in chunks of rows. hidden (N, D), weight (V, D), targets (N,), weights (N,) → scalar, float32 or better."""
    chunk = chunk or chunk_rows(weight.shape[0], hidden.shape[0])
    if torch.is_autocast_enabled(hidden.device.type):
        weight = weight.to(hidden.dtype)
    return _LinearCrossEntropy.apply(hidden, weight, targets, weights.to(torch.promote_types(hidden.dtype, torch.float32)), chunk)


def smoothed_reference(hidden: Tensor, weight: Tensor, targets: Tensor, weights: Tensor, share: float) -> Tensor:
    """Cross entropy with smoothed labels (1512.00567, section 7) as it stands: Σ_i w_i Σ_v q_v (-log p_v), where q is the target but for a
    share that is dealt out to all V alike."""
    logs = (hidden @ weight.t()).log_softmax(-1)  # (N, V)
    right = logs.gather(-1, targets[:, None])[:, 0]
    return -(((1 - share) * right + share * logs.mean(-1)) * weights).sum()


def smoothing_term(hidden: Tensor, weight: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """What smoothing by a share adds to the cross entropy, ÷ that share: Σ_i w_i h_i · (W_{y_i} - mean_v W_v), without any scores.

    -log p_v = log Σ exp - h · W_v: the first part is the same for all v, so only the second one is smoothed. hidden (N, D),
    weight (V, D), targets (N,), weights (N,) → scalar.
    """
    precise = torch.promote_types(hidden.dtype, torch.float32)
    apart = torch.nn.functional.embedding(targets, weight) - weight.mean(0)  # (N, D)
    return ((hidden.to(precise) * apart.to(precise)).sum(-1) * weights).sum()


def token_losses(hidden: Tensor, weight: Tensor, targets: Tensor, chunk: int | None = None) -> Tensor:
    """-log p of every target, (N,), without a graph; for evaluation."""
    chunk = chunk or chunk_rows(weight.shape[0], hidden.shape[0])
    hidden, weight = hidden.detach(), weight.detach()
    ones = torch.ones(hidden.shape[:1], device=hidden.device)
    parts = []
    for h, y, one in zip(hidden.split(chunk), targets.split(chunk), ones.split(chunk), strict=True):
        scores = product(h, weight, b_turned=True).float()
        parts.append(losses_in_place(scores, y, one, gradient=False))
    return torch.cat(parts)

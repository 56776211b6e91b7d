"""Routing: each token chooses a few of many experts, and what they say is weighed and added.

    score = softmax(x R) or sigmoid(x R)        chosen = the k largest of score + bias        y = Σ_{e chosen} w_e · expert_e(x)

w are the chosen scores; normalised, they sum to one (a softmax over the chosen logits is the same number: Mixtral, 2401.04088).
`bias` decides who is chosen and never enters w (2408.15664). With groups, only the experts of the best groups can be chosen, and a
group is as good as its two best experts together (DeepSeek-V3, 2412.19437, section 2.1.2). Nothing is dropped: an expert takes as
many tokens as choose it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

Score = Literal["softmax", "sigmoid"]
Experts = Sequence[Callable[[Tensor], Tensor]]  # each (M, D) → (M, D)


class Routes(NamedTuple):
    """experts (N, k) int64 · weights (N, k) · scores (N, E): what each expert got, before any choice."""

    experts: Tensor
    weights: Tensor
    scores: Tensor


def route(
    logits: Tensor,
    top_k: int,
    *,
    score: Score = "softmax",
    normalise: bool = True,
    scale: float = 1.0,
    bias: Tensor | None = None,
    n_groups: int = 1,
    top_groups: int = 1,
) -> Routes:
    """Who is asked, and how much it counts. logits (N, E), bias (E,).

    In float32 at least: two scores that 16 bits cannot tell apart would be chosen between by chance.
    """
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    scores = logits.softmax(-1) if score == "softmax" else logits.sigmoid()  # (N, E)
    choice = scores.detach() if bias is None else scores.detach() + bias.to(scores.dtype)
    if n_groups > 1:
        choice = within_best_groups(choice, n_groups, top_groups)
    experts = choice.topk(top_k, -1).indices  # (N, k)
    weights = scores.gather(-1, experts)
    if normalise:
        weights = weights / (weights.sum(-1, keepdim=True) + 1e-20)
    return Routes(experts, weights * scale if scale != 1.0 else weights, scores)


def within_best_groups(choice: Tensor, n_groups: int, top_groups: int) -> Tensor:
    """choice (N, E) with -inf outside of each token's best groups."""
    grouped = choice.unflatten(-1, (n_groups, -1))  # (N, groups, E / groups)
    worth = grouped.topk(min(2, grouped.shape[-1]), -1).values.sum(-1)  # (N, groups)
    best = torch.zeros_like(worth, dtype=torch.bool).scatter(-1, worth.topk(top_groups, -1).indices, True)
    return grouped.masked_fill(~best[..., None], float("-inf")).flatten(-2)


def mix_reference(x: Tensor, experts: Experts, chosen: Tensor, weights: Tensor) -> Tensor:
    """Every expert on every token, weighed with zero where it was not chosen. x (N, D), chosen and weights (N, k) → (N, D)."""
    share = torch.zeros(len(x), len(experts), dtype=weights.dtype, device=x.device).scatter_add(1, chosen, weights)  # (N, E)
    said = torch.stack([expert(x) for expert in experts], 1)  # (N, E, D)
    return (said * share[..., None].to(said.dtype)).sum(1)


def mix(x: Tensor, experts: Experts, chosen: Tensor, weights: Tensor) -> Tensor:
    """The same: places are sorted by expert, and each expert runs once, on those that chose it.

    An expert that nobody chose runs on no tokens: its gradients are zeros, not missing.
    """
    order = chosen.flatten().argsort(stable=True)  # (N · k,) places (token, choice), those of expert 0 first
    back = torch.empty_like(order).scatter_(0, order, torch.arange(len(order), device=order.device))  # where each place went
    sizes = load(chosen, len(experts)).tolist()
    pieces = _Deal.apply(x, order, back, chosen.shape[1]).split(sizes)  # type: ignore[no-untyped-call]
    said = torch.cat([expert(piece) for expert, piece in zip(experts, pieces, strict=True)])  # (N · k, D)
    y: Tensor = _Collect.apply(said, weights.to(said.dtype), order, back)  # type: ignore[no-untyped-call]
    return y


def load(chosen: Tensor, n_experts: int) -> Tensor:
    """How many places (N, k) chose each expert, (E,) int64."""
    places = chosen.flatten()
    return torch.zeros(n_experts, dtype=torch.int64, device=chosen.device).scatter_add_(0, places, torch.ones_like(places))


class _Deal(torch.autograd.Function):
    """x (N, D) → its rows in the order of the experts (N · k, D). The way back reads each token's k rows where they lie and adds
    them in the order of the choices: no two writes meet, so it is the same on every device and every time."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, order: Tensor, back: Tensor, top_k: int) -> Tensor:
        ctx.save_for_backward(back)
        ctx.top_k = top_k
        return x.index_select(0, order // top_k)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (back,) = ctx.saved_tensors
        return grad.index_select(0, back).unflatten(0, (-1, ctx.top_k)).sum(1), None, None, None


class _Collect(torch.autograd.Function):
    """said (N · k, D) in the order of the experts, weights (N, k) → Σ over each token's choices (N, D)."""

    @staticmethod
    def forward(ctx: Any, said: Tensor, weights: Tensor, order: Tensor, back: Tensor) -> Tensor:
        ctx.save_for_backward(said, weights, order, back)
        mine = said.index_select(0, back).unflatten(0, weights.shape)  # (N, k, D)
        return mine.mul_(weights[..., None]).sum(1)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        said, weights, order, back = ctx.saved_tensors
        of_place = grad.index_select(0, order // weights.shape[1])  # (N · k, D)
        to_weights = (said * of_place).sum(-1).index_select(0, back).view_as(weights)
        return of_place.mul_(weights.flatten().index_select(0, order)[:, None]), to_weights, None, None


def balance_loss(scores: Tensor, chosen: Tensor) -> Tensor:
    """E · Σ_e f_e P_e (Switch, 2101.03961, equation 4): 1 where all experts are chosen equally often, at most E.

    f_e   share of the choices (N, k) that fell on expert e; no gradient
    P_e   mean over tokens of its share of the scores (N, E)
    """
    n_experts = scores.shape[-1]
    chosen_share = load(chosen, n_experts).to(scores.dtype) / max(1, chosen.numel())  # (E,)
    mean = shares(scores).sum(0) / max(1, len(scores))  # (E,), zeros where there is no token
    return n_experts * (chosen_share * mean).sum()


def shares(scores: Tensor) -> Tensor:
    """scores (N, E), laid out so that each row sums to one: a softmax's already are."""
    return scores / (scores.sum(-1, keepdim=True) + 1e-20)


def entropy(scores: Tensor) -> Tensor:
    """Entropy of each row of scores (N, E) in nats, (N,): 0 for one expert alone, log E for all alike."""
    return torch.special.entr(shares(scores)).sum(-1)

"""A mixture of experts (1701.06538): many feed-forward layers, of which each token asks a few.

    y = shared(x) + Σ_{e chosen by x} w_e · expert_e(x)

The layer has the parameters of all and the cost of the few. Who is chosen, and what that counts, is in ops/route.py. Left alone, a
router soon asks the same few experts always, because only who is asked learns. Two ways keep the others in:

    balance: loss   weight · E · Σ f_e P_e is added to what is minimised (Switch, 2101.03961)
    balance: bias   after each step, bias_e += step · sign(mean load - load of e); it enters the choice alone (2408.15664)

Nothing is dropped and no expert is padded. Noise on the router, capacity factors and experts on several machines are not here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Self

import torch
from pydantic import Field
from torch import Tensor, nn

from linnet.core.errors import explain
from linnet.model.channel.mlp import GLU, MLP
from linnet.model.linear import LinearLayer
from linnet.model.spec import ChannelMixer, FeedForward
from linnet.ops.program import Program, insist, lower
from linnet.ops.route import Score, balance_loss, entropy, load, mix, route

MOST_ASKING = 8  # rows of a program: an expert that one of them asks reads all, which for more costs more than sorting them


class MoE(ChannelMixer):
    """Experts, of which each token asks the best few.

    expert           what one of them is: an mlp or a glu
    n_experts        how many there are
    top_k            how many each token asks
    n_shared         experts that every token asks besides, as one that is so many times as wide
    score            what the router's numbers become: shares of one, or each by itself between 0 and 1
    normalise        the weights of those chosen sum to one
    scale            multiplies the weights
    n_groups         experts stand in so many groups …
    top_groups       … and each token may ask those of so many
    balance          how all experts are kept in use: a loss, a bias on the choice, or not at all
    balance_weight   of the loss
    bias_step        how far a bias moves after each step
    """

    kind: Literal["moe"] = "moe"
    expert: FeedForward
    n_experts: int = Field(ge=1)
    top_k: int = Field(ge=1)
    n_shared: int = Field(default=0, ge=0)
    score: Score = "softmax"
    normalise: bool = True
    scale: float = Field(default=1.0, gt=0)
    n_groups: int = Field(default=1, ge=1)
    top_groups: int = Field(default=1, ge=1)
    balance: Literal["loss", "bias", "none"] = "loss"
    balance_weight: float = Field(default=0.01, ge=0)
    bias_step: float = Field(default=0.001, gt=0)

    @classmethod
    def examples(cls) -> tuple[MoE, ...]:
        deepseek = cls(
            expert=GLU(d_ff=12), n_experts=8, top_k=3, n_shared=2, score="sigmoid", scale=2.5, n_groups=4, top_groups=2, balance="bias",
        )  # fmt: skip
        return (
            cls(expert=GLU(d_ff=24), n_experts=4, top_k=2),
            cls(expert=MLP(d_ff=20, bias=True), n_experts=3, top_k=1, normalise=False, balance_weight=0.1),
            deepseek.replace(bias_step=0.01),
            cls(expert=MLP(d_ff=16), n_experts=4, top_k=4, n_shared=1, balance="none"),
        )

    def build(self, d_model: int) -> nn.Module:
        return MoELayer(self, d_model)

    def problems(self, d_model: int) -> list[str]:
        found = []
        if self.top_k > self.n_experts:
            found.append(explain(f"top_k = {self.top_k} of n_experts = {self.n_experts}", need="no more than there are"))
        if self.n_experts % self.n_groups:
            need = "groups of one size"
            found.append(explain(f"n_experts = {self.n_experts} in n_groups = {self.n_groups}", need=need))
        if self.top_groups > self.n_groups:
            found.append(explain(f"top_groups = {self.top_groups} of n_groups = {self.n_groups}", need="no more than there are"))
        elif self.top_k <= self.n_experts and self.top_k > self.top_groups * (self.n_experts // self.n_groups):
            got = f"top_k = {self.top_k} of the {self.top_groups * (self.n_experts // self.n_groups)} experts of {self.top_groups} groups"
            found.append(explain(got, need="as many experts in the groups that are asked", hint="a larger top_groups"))
        return found + self.expert.problems(d_model)

    @property
    def shared(self) -> FeedForward | None:
        """The expert that everybody asks, None without one."""
        assert isinstance(self.expert, MLP | GLU)
        return self.expert.replace(d_ff=self.n_shared * self.expert.d_ff) if self.n_shared else None

    def n_params(self, d_model: int) -> int:
        return self._n_params(d_model, self.n_experts)

    def n_active_params(self, d_model: int) -> int:
        return self._n_params(d_model, self.top_k)

    def _n_params(self, d_model: int, n_experts: int) -> int:
        shared = self.shared.n_params(d_model) if self.shared is not None else 0
        return n_experts * self.expert.n_params(d_model) + shared + d_model * self.n_experts

    def flops(self, d_model: int, context: int) -> float:
        shared = self.shared.flops(d_model, context) if self.shared is not None else 0
        return self.top_k * self.expert.flops(d_model, context) + shared + 2 * d_model * self.n_experts

    def activation_numbers(self, d_model: int, context: int) -> float:
        shared = self.shared.activation_numbers(d_model, context) if self.shared is not None else 0
        each = self.expert.activation_numbers(d_model, context) + d_model  # its rows of x are a copy; what it says is kept
        return d_model + 2 * self.n_experts + self.top_k * (each + 4) + shared


class MoELayer(nn.Module):
    """`bias` (E,) is a buffer: saved with the weights, moved by `after_step` and by no gradient; it is there with balance: bias alone.
    `loads` (E,) counts the choices of one step of training, and is zero between steps. Both have at least 32 bits in a network of any
    type: a step of a bias, or one token among thousands, is less than 16 bits can tell."""

    counts_places = True  # its `forward` is told which ones are real
    bias: Tensor | None
    loads: Tensor | None

    def __init__(self, spec: MoE, d_model: int) -> None:
        super().__init__()
        self.spec = spec
        self.router = LinearLayer(d_model, spec.n_experts)
        self.experts = nn.ModuleList(spec.expert.build(d_model) for _ in range(spec.n_experts))
        self.shared = spec.shared.build(d_model) if spec.shared is not None else None
        by_bias = spec.balance == "bias"
        self.register_buffer("bias", torch.zeros(spec.n_experts) if by_bias else None)
        self.register_buffer("loads", torch.zeros(spec.n_experts) if by_bias else None, persistent=False)
        self.counts = False

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        before = (self.bias, self.loads)
        super()._apply(fn, recurse)
        self.bias, self.loads = (precisely(was, now) for was, now in zip(before, (self.bias, self.loads), strict=True))
        return self

    def forward(self, x: Tensor, real: Tensor | None = None) -> tuple[Tensor, dict[str, Tensor]]:
        """x (B, T, D); real (B, T) bool: places that count for the balance and the log, None: all."""
        spec, flat = self.spec, x.reshape(-1, x.shape[-1])  # (N, D)
        chosen, weights, scores = route(
            self.router(flat), spec.top_k, score=spec.score, normalise=spec.normalise, scale=spec.scale, bias=self.bias,
            n_groups=spec.n_groups, top_groups=spec.top_groups,
        )  # fmt: skip
        y = mix(flat, [said_by(expert) for expert in self.experts], chosen, weights).view_as(x)
        if self.shared is not None:
            y = y + self.shared(x)[0]
        if not torch.is_grad_enabled():
            return y, {}
        return y, self._aux(chosen, scores) if real is None else self._aux(chosen[real.flatten()], scores[real.flatten()])

    def lower(self, program: Program, x: Tensor) -> Tensor:
        spec = self.spec
        insist(program.rows <= MOST_ASKING, f"experts for {program.rows} rows")
        weights = program.route(
            lower(self.router, program, x), self.bias, top_k=spec.top_k, score=spec.score, normalise=spec.normalise, scale=spec.scale,
            n_groups=spec.n_groups, top_groups=spec.top_groups,
        )  # fmt: skip
        said = []
        for expert, asked in zip(self.experts, weights, strict=True):
            with program.only_if(asked):
                said.append(lower(expert, program, x))
        y = program.mix(weights, said)
        return y if self.shared is None else program.pointwise("add", y, lower(self.shared, program, x))

    def _aux(self, chosen: Tensor, scores: Tensor) -> dict[str, Tensor]:
        """What is added to the loss, a token, and pairs (sum, count) for the log; counts the load for the biases."""
        spec, n = self.spec, len(chosen)
        found = {}
        with torch.no_grad():
            counts = load(chosen, spec.n_experts).to(scores.dtype)  # (E,)
            if self.counts and self.loads is not None:
                self.loads += counts.to(self.loads.dtype)
            peak = counts.max() * spec.n_experts / max(1, chosen.numel())
            found["routing_peak"] = torch.stack((peak, torch.ones_like(peak)))
            found["routing_entropy"] = torch.stack((entropy(scores).sum(), torch.full_like(peak, n)))
        if spec.balance == "loss":
            balance = balance_loss(scores, chosen)
            found["loss/balance"] = spec.balance_weight * balance
            found["balance"] = torch.stack((balance.detach(), torch.ones_like(peak)))
        return found

    def before_step(self) -> None:
        """Count from now on: passes between steps (validation, timing) leave no trace."""
        self.counts = self.bias is not None

    @torch.no_grad()
    def after_step(self) -> None:
        """Move each bias towards an even load (2408.15664, algorithm 1), and count no more."""
        if self.counts and self.bias is not None and self.loads is not None:
            self.bias += self.spec.bias_step * torch.sign(self.loads.mean() - self.loads)
            self.loads.zero_()
        self.counts = False


def precisely(was: Tensor | None, now: Tensor | None) -> Tensor | None:
    """What counts, where it was moved to, but in no type of fewer bits than 32."""
    if was is None or now is None or now.dtype.itemsize >= 4:
        return now
    return was.to(now.device, torch.promote_types(was.dtype, torch.float32))


def said_by(expert: nn.Module) -> Callable[[Tensor], Tensor]:
    """An expert as a function of tokens alone: mlp and glu have nothing to add to a loss."""
    return lambda x: expert(x)[0]

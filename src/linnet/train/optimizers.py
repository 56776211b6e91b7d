"""Optimizers: AdamW (1711.05101) for everything, or Muon for the matrices inside the layers and AdamW for the rest.

Muon (Jordan et al. 2024) takes the momentum of a matrix and steps along the nearest orthogonal one: every direction
of the update gets the same length.

    M ← μ M + G        O = (M Mᵀ)^(-1/2) M, by five Newton-Schulz steps        W ← W - η · 0.2 √max(rows, cols) · O

The quintic X ← a X + (b A + c A²) X, A = X Xᵀ, drives all singular values to about 1. `torch.optim.Muon` is the oracle:
it does the same in bfloat16, matrix by matrix. On a CPU bfloat16 is four times slower than float32, and small matrices
waste calls: here matrices of one shape go through the iteration together, in float32.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from linnet.core.errors import LinnetError, explain
from linnet.core.spec import Spec
from linnet.model.network import Network
from linnet.ops.kernels import adamw_step, kernels_take_whole

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # a, b, c of the quintic, from Jordan et al. 2024


class Optimizer(Spec):
    """Family: how gradients become steps."""

    def build(self, network: Network) -> list[torch.optim.Optimizer]:
        """The optimizers, whose groups hold the peak rate as `initial_lr`."""
        raise NotImplementedError


class AdamW(Optimizer):
    """AdamW (1711.05101); weight decay on matrices only.

    learning_rate   at its peak; the schedule moves it
    betas           how slowly the two means of gradients move
    eps             added to the divisor
    weight_decay    how fast matrices shrink, times the rate
    """

    kind: Literal["adamw"] = "adamw"
    learning_rate: float = Field(default=1e-3, gt=0)
    betas: tuple[float, float] = Field(default=(0.9, 0.95), strict=False)
    eps: float = Field(default=1e-8, gt=0)
    weight_decay: float = Field(default=0.1, ge=0)

    def build(self, network: Network) -> list[torch.optim.Optimizer]:
        return [self.over(network.parameters())]

    def over(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """One AdamW over some parameters."""
        parameters = list(parameters)
        shrinks = [p.dim() >= 2 and not getattr(p, "no_decay", False) for p in parameters]  # what no matrix multiplies does not
        groups = [
            {"params": [p for p, yes in zip(parameters, shrinks, strict=True) if yes], "weight_decay": self.weight_decay},
            {"params": [p for p, yes in zip(parameters, shrinks, strict=True) if not yes], "weight_decay": 0.0},
        ]
        groups = [group | {"initial_lr": self.learning_rate} for group in groups if group["params"]]
        return AdamWOptimizer(groups, lr=self.learning_rate, betas=self.betas, eps=self.eps, fused=True)


class Muon(Optimizer):
    """Muon for the matrices of the layers; AdamW (`rest`) for embeddings, head, norms and biases.

    learning_rate   of the matrices, at its peak; the schedule moves it
    momentum        how slowly the mean of gradients moves
    nesterov        look one step ahead
    weight_decay    how fast matrices shrink, times the rate
    steps           of Newton and Schulz, that make an update orthogonal
    rest            the AdamW for all that is no matrix of a layer
    """

    kind: Literal["muon"] = "muon"
    learning_rate: float = Field(default=0.02, gt=0)
    momentum: float = Field(default=0.95, ge=0, lt=1)
    nesterov: bool = True
    weight_decay: float = Field(default=0.0, ge=0)
    steps: int = Field(default=5, ge=1, le=20)
    rest: AdamW = AdamW(learning_rate=2e-2, weight_decay=0.0)

    def build(self, network: Network) -> list[torch.optim.Optimizer]:
        inner = [module.weight for stack in network.stacks for module in stack.modules() if isinstance(module, nn.Linear)]
        chosen = {id(p) for p in inner}
        rest = [p for p in network.parameters() if id(p) not in chosen]
        muon = MuonOptimizer(
            inner,
            lr=self.learning_rate,
            momentum=self.momentum,
            nesterov=self.nesterov,
            weight_decay=self.weight_decay,
            steps=self.steps,
        )
        return [muon, self.rest.over(rest)]


class AdamWOptimizer(torch.optim.AdamW):
    """PyTorch's AdamW, with its state; a step on a CPU is one pass over each number by the Rust library, where that is there.

    m ← β₁ m + (1 - β₁) g        v ← β₂ v + (1 - β₂) g²
    p ← (1 - η λ) p - η m / (1 - β₁ᵗ) / (√(v / (1 - β₂ᵗ)) + ε)
    """

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        assert closure is None, "the loop computes the loss itself"
        scaled = any(getattr(self, name, None) is not None for name in ("found_inf", "grad_scale"))  # by a GradScaler
        steps = [(group, [self._row(p) for p in group["params"] if p.grad is not None]) for group in self.param_groups]
        tensors = [x for _, rows in steps for row in rows for x in row]
        if scaled or not kernels_take_whole(tensors):
            super().step()
            return
        for group, rows in steps:
            adamw_step(
                rows, learning_rate=group["lr"], betas=group["betas"], eps=group["eps"], weight_decay=group["weight_decay"]
            )

    def _row(self, p: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """A parameter, its gradient, and its state, which is as PyTorch makes it."""
        assert p.grad is not None
        state = self.state[p]
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32, device=p.device)
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(p), torch.zeros_like(p)
        row = (p, p.grad, state["exp_avg"], state["exp_avg_sq"], state["step"])
        if any(x.shape != p.shape for x in row[1:4]) or state["step"].numel() != 1:
            raise LinnetError(
                explain(
                    f"AdamW's state of {[tuple(x.shape) for x in row[2:]]} for a weight of {tuple(p.shape)}",
                    need="means of the weight's own shape, and one number of steps",
                    hint="the checkpoint of this very model",
                )
            )
        return row


class MuonOptimizer(torch.optim.Optimizer):
    """Muon over matrices; the ones that share a shape are orthogonalised in one batch."""

    def __init__(
        self, params: Iterable[Tensor], *, lr: float, momentum: float, nesterov: bool, weight_decay: float, steps: int
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "initial_lr": lr,
                "momentum": momentum,
                "nesterov": nesterov,
                "weight_decay": weight_decay,
                "steps": steps,
            },
        )

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        assert closure is None, "the loop computes the loss itself"
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[Tensor]] = {}
            for p in group["params"]:
                if p.grad is not None:
                    by_shape.setdefault(p.shape, []).append(p)
                    if not self.state[p]:
                        self.state[p]["momentum"] = torch.zeros_like(p)
            for shape, parameters in by_shape.items():
                gradients = [p.grad for p in parameters if p.grad is not None]
                momenta = [self.state[p]["momentum"] for p in parameters]
                torch._foreach_lerp_(momenta, gradients, 1 - group["momentum"])
                ahead = torch._foreach_lerp(gradients, momenta, group["momentum"]) if group["nesterov"] else momenta
                updates = orthogonalise(torch.stack(list(ahead)), group["steps"])  # (n, F, D)
                if group["weight_decay"]:
                    torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
                torch._foreach_add_(parameters, list(updates.unbind(0)), alpha=-group["lr"] * 0.2 * max(shape) ** 0.5)


def orthogonalise(matrices: Tensor, steps: int) -> Tensor:
    """(n, F, D) → the same with all singular values near 1 (0.7 … 1.2), by Newton-Schulz; float32 on a CPU."""
    a, b, c = NEWTON_SCHULZ
    x = matrices if matrices.device.type == "cpu" else matrices.bfloat16()
    tall = x.shape[-2] > x.shape[-1]
    if tall:
        x = x.mT
    x = x / x.flatten(1).norm(dim=1).clamp(min=1e-7)[:, None, None]
    for _ in range(steps):
        gram = x @ x.mT  # (n, F, F)
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.mT if tall else x).to(matrices.dtype)


def set_rate(optimizers: list[torch.optim.Optimizer], factor: float) -> None:
    """Set every group's rate to its peak times `factor`."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor

"""Mixed precision (1710.03740): products in 16 bits, weights and their updates in 32.

bfloat16 has float32's range and needs nothing more. float16 needs its loss scaled so that small gradients survive, and
a step skipped when one overflows. A CPU trains in float32: without AMX
bfloat16 is several times slower there (docs/log.md).
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from linnet.ops.kernels import clip_in_place, kernels_take_whole


class Precision:
    """One way to compute a step: where to autocast, how to scale, how to clip and apply."""

    def __init__(self, name: str, device: torch.device) -> None:
        if name == "auto":
            name = "bfloat16" if device.type == "cuda" and torch.cuda.is_bf16_supported() else "float32"
        self.name, self.device = name, device
        self.dtype = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[name]
        self.scaler = torch.amp.GradScaler(device.type) if name == "float16" else None

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        """The context to run the forward pass in."""
        if self.name == "float32":
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, self.dtype)

    def backward(self, loss: Tensor) -> None:
        """Accumulate gradients of a scalar."""
        (loss if self.scaler is None else self.scaler.scale(loss)).backward()

    def step(self, optimizers: Sequence[torch.optim.Optimizer], clip: float | None) -> Tensor:
        """Clip, apply, clear; returns the gradient norm before clipping."""
        if self.scaler is not None:
            for optimizer in optimizers:
                self.scaler.unscale_(optimizer)
        parameters = [p for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]]
        norm = clip_gradients(parameters, clip)
        for optimizer in optimizers:
            if self.scaler is not None:
                self.scaler.step(optimizer)
            else:
                optimizer.step()
        if self.scaler is not None:
            self.scaler.update()
        for parameter in parameters:
            parameter.grad = None
        return norm

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint has to hold: the loss scale."""
        return {} if self.scaler is None else dict(self.scaler.state_dict())

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if self.scaler is not None and state:
            self.scaler.load_state_dict(state)


def clip_gradients(parameters: Sequence[nn.Parameter], clip: float | None) -> Tensor:
    """Scale all gradients so that their norm together is at most `clip` (1211.5063); returns the norm before."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    if kernels_take_whole(gradients):
        return torch.tensor(clip_in_place(gradients, math.inf if clip is None else clip))
    total = torch.nn.utils.get_total_norm(gradients, foreach=True)
    if clip is not None:
        torch.nn.utils.clip_grads_with_norm_(parameters, clip, total, foreach=True)
    return total

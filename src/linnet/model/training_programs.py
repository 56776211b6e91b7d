"""A network's training pass as two calls of the Rust library, one each way, where every layer knows how.

    hidden = program(tokens)          ∂weights = program's way back(∂hidden)

Autograd sees one operation whose inputs are the weights. Every layer's `lower` says which kernels it is made of
(ops/training_program.py); where one cannot, or a pass asks for what no program does, the network is run as ever, which is the
definition of all this.
"""

from __future__ import annotations

import threading
import weakref
from operator import is_not
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from linnet.model.context import Context
from linnet.ops.kernels import kernels_available
from linnet.ops.program import CannotRun, hooks_of, lower, rewritten
from linnet.ops.training_program import TrainingProgram

MOST = 4  # shapes of batches that are kept


class TrainingPrograms:
    """Programs of one network, by the shape of the batch. Given to `Network.programs` by who trains it."""

    def __init__(self) -> None:
        self._kept: dict[tuple[int, int, bool], _Pass | None] = {}
        self._lock = threading.Lock()  # buffers are those of one pass at a time

    def __reduce__(self) -> Any:
        return TrainingPrograms, ()  # a copy writes its own

    def hidden(self, network: Any, tokens: Tensor, context: Context) -> Tensor | None:
        """hidden (B, T, D) of tokens (B, T), which gradients flow back through; None where no program is for this pass."""
        if not (kernels_available() and torch.is_grad_enabled() and tokens.is_cpu) or torch.is_autocast_enabled("cpu"):
            return None
        if not tokens.numel() or network.decoder.recompute or (network.spec.dropout and context.generator is not None):
            return None
        if not self._lock.acquire(blocking=False):
            return None  # another thread is in a pass of this network
        try:
            return self._hidden(network, tokens, context)
        finally:
            self._lock.release()

    def _hidden(self, network: Any, tokens: Tensor, context: Context) -> Tensor | None:
        key = (*tokens.shape, context.documents is not None)
        if key not in self._kept:
            if len(self._kept) >= MOST:
                self._kept.pop(next(iter(self._kept)))
            self._kept[key] = _make(network, *key)
        found = self._kept[key]
        if found is not None and not found.is_current():
            found = self._kept[key] = _make(network, *key)
        if found is None or found.busy:
            return None
        return found(tokens, context)


def _make(network: Any, batch: int, length: int, with_documents: bool) -> _Pass | None:
    try:
        return _Pass(network, TrainingProgram(batch, length, with_documents=with_documents))
    except CannotRun:
        return None


class _Pass:
    """A program of a network as it is now."""

    def __init__(self, network: Any, program: TrainingProgram) -> None:
        self.program = program
        program.finish(lower(network, program))
        self.owner: weakref.ref[Any] | None = None  # the graph whose activations the buffers hold
        self._modules = list(network.modules())
        self._hooks = [hooks for module in self._modules for hooks in hooks_of(module)]
        tables = [table for module in self._modules for table in (module._modules, module._parameters)]
        self._parts = [(table, list(table.values())) for table in tables]

    @property
    def busy(self) -> bool:
        return self.owner is not None and self.owner() is not None

    def is_current(self) -> bool:
        """Whether the network is made of the same parts as when the program was written, and nobody listens to them."""
        if any(self._hooks) or nn.modules.module._has_any_global_hook() or any(map(rewritten, self._modules)):
            return False
        for table, parts in self._parts:
            if len(table) != len(parts) or any(map(is_not, table.values(), parts)):
                return False
        return self.program.weights_stay()

    def __call__(self, tokens: Tensor, context: Context) -> Tensor | None:
        batch, length = tokens.shape
        for window, room in [(None, None), *self.program.firsts.items()]:
            known, first = context.first_seen(batch=batch, window=window, first_key=0, n_keys=length)
            if not known:
                return None
            if room is None:
                begins = torch.zeros(batch, length, dtype=torch.int64, device="cpu") if first is None else first
            elif first is None:
                room.zero_()
            else:
                room.copy_(first)
        positions = context.positions.expand(batch, length)
        if not self.program.forward(tokens.reshape(-1), positions.reshape(-1), begins.reshape(-1)):
            return None
        return _Run.apply(self, tokens.shape, *self.program.parameters)


class _Graph:
    """As long as it lives, somebody may still ask for the gradients of a pass."""


class _Run(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, of: _Pass, shape: Any, *parameters: Tensor) -> Tensor:
        ctx.of, ctx.graph, ctx.versions = of, _Graph(), [p._version for p in parameters]
        of.owner = weakref.ref(ctx.graph)
        return of.program.hidden.view(*shape, -1).clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> Any:
        of = ctx.of
        if of.owner is None or of.owner() is not ctx.graph:
            raise RuntimeError("the gradients of a pass were asked for a second time; needed: another forward pass")
        if ctx.versions != [p._version for p in of.program.parameters] or not of.program.weights_stay():
            raise RuntimeError("weights were changed or replaced between a pass and its way back; needed: another forward pass")
        gradients = of.program.backward(g.reshape(of.program.hidden.shape))
        of.owner = None
        return None, None, *gradients

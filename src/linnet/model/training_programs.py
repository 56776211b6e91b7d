"""A network's training pass as two calls of the Rust library, one each way, where every layer knows how.

    hidden = program(tokens)          ∂weights = program's way back(∂hidden)

Autograd sees one operation whose inputs are the weights. Every layer's `lower` says which kernels it is made of
(ops/training_program.py); where one cannot, or a pass asks for what no program does, the network is run as ever, which is the
definition of all this.
"""

from __future__ import annotations

import threading
import weakref
from itertools import chain
from operator import call, is_not
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from linnet.model.context import Context
from linnet.ops.kernels import kernels_take
from linnet.ops.program import CannotRun, hooks_of, insist, lower
from linnet.ops.training_program import TrainingProgram

MOST = 4  # shapes of batches that are kept
TOKENS = (torch.int64, torch.int32)  # that an embedding takes
Key = tuple[int, int, bool, bool]  # rows, tokens, whether there are documents, and whether dropout may draw


class TrainingPrograms:
    """Programs of one network, by the shape of the batch. Given to `Network.programs` by who trains it."""

    def __init__(self) -> None:
        self._kept: dict[Key, tuple[_Parts, _Pass | None]] = {}

    def __reduce__(self) -> Any:
        return TrainingPrograms, ()  # a copy writes its own

    def hidden(self, network: Any, tokens: Tensor, context: Context) -> Tensor | None:
        """hidden (B, T, D) of tokens (B, T), which gradients flow back through; None where no program is for this pass."""
        if not (torch.is_grad_enabled() and kernels_take(network.embedding.weight)) or torch.is_autocast_enabled("cpu"):
            return None
        documents = context.documents
        if not (tokens.is_cpu and tokens.dtype in TOKENS and tokens.numel()) or network.decoder.recompute:
            return None
        if documents is not None and documents.shape != tokens.shape:
            return None
        found = self._program(network, (*tokens.shape, documents is not None, context.generator is not None))
        return None if found is None else found(tokens, context)

    def _program(self, network: Any, key: Key) -> _Pass | None:
        """The program for these passes of the network as it is now, or None, which is kept, too."""
        parts, found = self._kept.get(key, (None, None))
        if parts is None and len(self._kept) >= MOST:
            self._kept.pop(next(iter(self._kept)), None)
        if parts is None or not parts.are_those_of(network) or not (found is None or found.program.weights_stay()):
            parts, found = self._kept[key] = _Parts(network), _made(network, *key)
        return found

    @property
    def n_programs(self) -> int:
        """How many shapes of batches have one."""
        return sum(found is not None for _, found in self._kept.values())


def _made(network: Any, batch: int, length: int, with_documents: bool, may_draw: bool) -> _Pass | None:
    program = None
    try:
        insist(not (may_draw and any(getattr(module, "dropout", 0) for module in network.modules())), "dropout")
        insist(not (may_draw and network.spec.dropout), "dropout")
        program = TrainingProgram(batch, length, with_documents=with_documents)
        program.finish(lower(network, program))
        return _Pass(program)
    except CannotRun:
        if program is not None:
            program.abandon()
        return None


class _Parts:
    """What a network is made of at one moment: its modules, their weights, all that is set on them, and who listens to them.

    Looked at before every pass: so everything lies in flat lists, over which the loops run outside of Python.
    """

    def __init__(self, network: Any) -> None:
        self._modules = list(network.modules())
        self._kinds = list(map(type, self._modules))
        self._said = list(map(vars, self._modules))
        self._tables: list[dict[Any, Any]] = []
        for module in self._modules:
            self._tables += (module._modules, module._parameters, module._buffers, *hooks_of(module))
        self._sizes = list(map(len, chain(self._said, self._tables)))
        self._parts = list(chain.from_iterable(map(dict.values, self._tables)))
        self._heard = bool(nn.modules.module._has_any_global_hook())
        common = vars(nn.Module()).keys()  # `training` among them, which says nothing to a layer that has a `lower`
        own = [(said, name) for said in self._said for name in said if name not in common and name != "programs"]
        self._look_up, self._names = [said.get for said, _ in own], [name for _, name in own]
        self._values = [said[name] for said, name in own]

    def are_those_of(self, network: Any) -> bool:
        """Whether the network is that one, and nothing of this was exchanged."""
        if self._modules[0] is not network or bool(nn.modules.module._has_any_global_hook()) != self._heard:
            return False
        if list(map(len, chain(self._said, self._tables))) != self._sizes:
            return False
        parts = chain.from_iterable(map(dict.values, self._tables))
        pairs = ((map(type, self._modules), self._kinds), (parts, self._parts))
        if any(any(map(is_not, now, then)) for now, then in pairs):
            return False
        return not any(map(is_not, map(call, self._look_up, self._names), self._values))


class _Graph:
    """As long as it lives, somebody may still ask for the gradients of a pass."""


class _Pass:
    """A program, and whose pass its buffers hold."""

    def __init__(self, program: TrainingProgram) -> None:
        self.program = program
        self.owner: weakref.ref[_Graph] | None = None  # the graph whose activations the buffers hold
        self.spent = True  # whether it was walked back: then the next pass may have the buffers
        self._lock = threading.Lock()

    def claim(self) -> _Graph | None:
        """The buffers, for a new graph; None: another one still needs them."""
        with self._lock:
            if not self.spent and self.owner is not None and self.owner() is not None:
                return None
            graph = _Graph()
            self.owner, self.spent = weakref.ref(graph), False
            return graph

    def goes_back(self, graph: _Graph) -> bool:
        """Whether the buffers still hold the pass of this graph, whose gradients are asked for now."""
        with self._lock:
            if self.owner is None or self.owner() is not graph:
                return False
            self.spent = False
            return True

    def __call__(self, tokens: Tensor, context: Context) -> Tensor | None:
        graph = self.claim()
        if graph is None:
            return None
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
        return _Run.apply(self, graph, tokens.shape, *self.program.parameters)


class _Run(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, of: _Pass, graph: _Graph, shape: Any, *parameters: Tensor) -> Tensor:
        ctx.of, ctx.graph, ctx.versions = of, graph, [p._version for p in parameters]
        return of.program.hidden.view(*shape, -1).clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> Any:
        of = ctx.of
        if not of.goes_back(ctx.graph):
            raise RuntimeError(
                "the gradients of a pass were asked for again after a later pass; needed: both before it, or another forward pass"
            )
        if ctx.versions != [p._version for p in of.program.parameters] or not of.program.weights_lie():
            raise RuntimeError("weights were changed or replaced between a pass and its way back; needed: another forward pass")
        gradients = of.program.backward(g.reshape(of.program.hidden.shape))
        of.spent = True
        return None, None, None, *gradients

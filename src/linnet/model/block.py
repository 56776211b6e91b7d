"""Blocks and stacks: residual sublayers, assembled from parts that are handed in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from linnet.model.context import Context
from linnet.model.spec import Block, Stack, Sublayer, TokenMixer
from linnet.model.state import LayerState
from linnet.ops.program import Program, lower

# what a layer wants added to the loss, `loss/NAME`: a number a token; or to the log, any other name: (2,) a sum and its count.
# All layers' are added up.
Aux = dict[str, Tensor]


def added(some: Aux, more: Aux) -> Aux:
    """All of both; what has one name is added up."""
    return some | {name: some[name] + value if name in some else value for name, value in more.items()}


class SublayerLayer(nn.Module):
    """x + mixer(norm(x)), or one of the other places for the norm (see model/spec.py)."""

    def __init__(self, spec: Sublayer, d_model: int, dropout: float) -> None:
        super().__init__()
        self.place, self.dropout = spec.place, dropout
        self.mixes_tokens = isinstance(spec.mixer, TokenMixer)
        self.mixer = spec.mixer.build(d_model)
        self.mixer_counts = getattr(self.mixer, "counts_places", False)
        self.norm = spec.norm.build(d_model) if spec.norm is not None else None
        self.norm_after = spec.norm.build(d_model) if spec.norm is not None and spec.place == "sandwich" else None

    def new_state(self, batch: int, like: Tensor, capacity: int | None) -> LayerState | None:
        """An empty memory for `batch` rows; None where the mixer remembers nothing."""
        make: Any = self.mixer.new_state if self.mixes_tokens else None
        return make(batch, like, capacity) if make is not None else None

    def forward(self, x: Tensor, context: Context, state: LayerState | None) -> tuple[Tensor, LayerState | None, Aux]:
        aux: Aux = {}
        y = self.norm(x) if self.norm is not None and self.place != "post" else x
        if self.mixes_tokens:
            y, state = self.mixer(y, context, state)
        else:
            y, aux = self.mixer(y, context.real()) if self.mixer_counts else self.mixer(y)
        if self.norm_after is not None:
            y = self.norm_after(y)
        if self.dropout:
            y = context.dropout(y, self.dropout)
        x = x + y
        if self.norm is not None and self.place == "post":
            x = self.norm(x)
        return x, state, aux

    def lower(self, program: Program, x: Tensor) -> Tensor:
        with program.temporary():
            y = lower(self.norm, program, x) if self.norm is not None and self.place != "post" else x
            y = lower(self.mixer, program, y)
            if self.norm_after is not None:
                y = lower(self.norm_after, program, y)
            x = program.pointwise("add", x, y)
        return lower(self.norm, program, x) if self.norm is not None and self.place == "post" else x


class BlockLayer(nn.Module):
    def __init__(self, spec: Block, d_model: int, dropout: float) -> None:
        super().__init__()
        self.sublayers = nn.ModuleList(SublayerLayer(sublayer, d_model, dropout) for sublayer in spec.sublayers)

    def forward(
        self, x: Tensor, context: Context, states: Sequence[LayerState | None]
    ) -> tuple[Tensor, list[LayerState | None], Aux]:
        after: list[LayerState | None] = []
        aux: Aux = {}
        for sublayer, state in zip(self.sublayers, states, strict=True):
            x, state, more = sublayer(x, context, state)
            after.append(state)
            aux = added(aux, more)
        return x, after, aux

    def lower(self, program: Program, x: Tensor) -> Tensor:
        for sublayer in self.sublayers:
            x = lower(sublayer, program, x)
        return x


class StackLayer(nn.Module):
    """All blocks and the final norm.

    recompute   forget activations inside blocks and compute them again in the backward pass (1604.06174)
    """

    def __init__(self, spec: Stack, d_model: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(BlockLayer(block, d_model, dropout) for block in spec.blocks())
        self.final_norm = spec.final_norm.build(d_model) if spec.final_norm is not None else None
        self.recompute = False

    def blocks(self) -> Iterator[BlockLayer]:
        """The blocks, first to last."""
        for layer in self.layers:
            assert isinstance(layer, BlockLayer)
            yield layer

    @property
    def n_sublayers(self) -> int:
        return sum(len(layer.sublayers) for layer in self.blocks())

    def forward(
        self, x: Tensor, context: Context, states: Sequence[LayerState | None]
    ) -> tuple[Tensor, tuple[LayerState | None, ...], Aux]:
        after: list[LayerState | None] = []
        aux: Aux = {}
        for layer in self.blocks():
            n = len(layer.sublayers)
            here = states[len(after) : len(after) + n]
            if self.recompute and torch.is_grad_enabled():
                x, more_states, more = checkpoint(repeatable(layer, context), x, context, here, use_reentrant=False)
            else:
                x, more_states, more = layer(x, context, here)
            after.extend(more_states)
            aux = added(aux, more)
        if self.final_norm is not None:
            x = self.final_norm(x)
        return x, tuple(after), aux

    def lower(self, program: Program, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = lower(layer, program, x)
        return x if self.final_norm is None else lower(self.final_norm, program, x)


def repeatable(layer: BlockLayer, context: Context) -> Callable[..., Any]:
    """The layer, so that computing it again draws the same dropout as the first time."""
    if context.generator is None:
        return layer
    generator, draws = context.generator, context.generator.get_state()

    def run(x: Tensor, context: Context, states: Sequence[LayerState | None]) -> Any:
        generator.set_state(draws)
        return layer(x, context, states)

    return run

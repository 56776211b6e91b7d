"""Activations of 8 bits, rounded alike in two programs that run one ternary model (ops/ternary.py), so that all else can be compared.

    v = 127 x / max |x|, rounded to a whole number

Sums in another order differ in their last bits. An activation that is v = 72.500015 here is 72.5 there: 73 and 72, and from that place
on the models say different things, by 1e-2 and more. That is no fault of either, but it hides faults. So the network's activations are
listened to; while the other program runs, those that fell the other way, and lie within BORDER of ours, get our whole number. What then
still differs differs for another reason. Nothing is allowed for: an activation that is off by more is left as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from linnet.core.rules import Rule
from linnet.model.linear import TernaryLayer
from linnet.ops.ternary import LARGEST, eight_bits

BORDER = 1e-4 * LARGEST  # steps between ours and theirs: a ten-thousandth of the token's largest activation, as of logits


@dataclass(frozen=True)
class Rounding:
    """One activation that fell the other way: of which layer, row, place and channel, and v here and there."""

    layer: str
    at: tuple[int, ...]
    here: float
    there: float

    def __str__(self) -> str:
        row, place, channel = self.at
        return f"{self.layer}, row {row}, place {place}, channel {channel}: {self.here:.7g} here, {self.there:.7g} there"


def ternary_layers(network: nn.Module) -> dict[str, TernaryLayer]:
    """The layers that round what they are given, by name."""
    return {name: module for name, module in network.named_modules() if isinstance(module, TernaryLayer)}


def their_names(rules: Sequence[Rule], layers: Mapping[str, Any]) -> dict[str, str]:
    """Name here → name there of the layers, by the name map of their weights."""
    named = {name: rule.theirs for rule in rules for name in rule.names}
    return {name: named[f"{name}.weight"].removesuffix(".weight") for name in layers}


@contextmanager
def listen(network: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Gather what each ternary layer is given, by name: (B, T, D), the places of all passes one behind the other. Filled at the end."""
    passes: dict[str, list[Tensor]] = {}
    heard: dict[str, Tensor] = {}

    def keep(name: str) -> Any:
        return lambda module, given: passes.setdefault(name, []).append(given[0].detach().clone())

    with ExitStack() as hooks:
        for name, layer in ternary_layers(network).items():
            hooks.callback(layer.register_forward_pre_hook(keep(name)).remove)
        yield heard
    heard.update({name: torch.cat(parts, 1) for name, parts in passes.items()})


@contextmanager
def rounded_alike(theirs: nn.Module, names: Mapping[str, str], heard: Mapping[str, Tensor]) -> Iterator[list[Rounding]]:
    """Let another program's layers round as ours did, where both lie at a border; gather which those were.

    theirs   its model, whose layers round what they are given as they are given it
    names    name here → name there of the layers
    heard    what ours were given for the same text, as `listen` gathered it; places beyond it are left as they are
    """
    found: list[Rounding] = []
    with ExitStack() as hooks:
        for name, place in names.items():
            settle = _Settle(name, heard[name], found)
            hooks.callback(theirs.get_submodule(place).register_forward_pre_hook(settle).remove)
        yield found


class _Settle:
    """A hook on one layer, which counts the places that have gone by."""

    def __init__(self, name: str, heard: Tensor, found: list[Rounding]) -> None:
        self.name, self.heard, self.found, self.gone = name, heard, found, 0

    def __call__(self, module: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...] | None:
        x: Tensor = given[0]  # (B, t, D)
        first, self.gone = self.gone, self.gone + x.shape[1]
        ours = self.heard[:, first : self.gone]
        if ours.shape != x.shape:
            return None
        (numbers, ours_scale), (their_numbers, scale) = eight_bits(ours), eight_bits(x)
        here, there = ours * ours_scale, x * scale
        fell = (numbers != their_numbers) & ((here - there).abs() <= BORDER)
        for b, t, d in fell.nonzero().tolist():
            self.found.append(Rounding(self.name, (b, first + t, d), float(here[b, t, d]), float(there[b, t, d])))
        return (torch.where(fell, numbers / scale, x), *given[1:]) if bool(fell.any()) else None

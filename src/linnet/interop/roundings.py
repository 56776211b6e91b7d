"""Activations of 8 bits, rounded alike in two programs that run one ternary model (ops/ternary.py), so that all else can be compared.

    v = 127 x / max |x|, rounded to a whole number

Sums in another order differ in their last bits. An activation that is v = 72.500015 here is 72.5 there: 73 and 72, and from that place
on the models say different things, by 1e-2 and more. That is no fault of either, but it hides faults. So the network's activations are
listened to; while the other program runs, those that were rounded to another number get ours, if before rounding the two are no more
than APART steps from one another. All others stay as they are, and how far any activation was from ours is told: nothing of what is
compared afterwards is allowed more than that of a model that rounds nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from linnet.core.rules import Rule
from linnet.model.linear import TernaryLayer
from linnet.ops.ternary import eight_bits

APART = 4e-3  # steps between v here and there: 3e-5 of a token's largest activation; tiny models measure 1e-4 steps
Here = TypeVar("Here")
There = TypeVar("There")


@dataclass(frozen=True)
class Rounding:
    """One activation that was rounded to another number there: what a layer is given at a row, a place and a channel, as v."""

    layer: str
    at: tuple[int, int, int]
    here: float
    there: float

    def __str__(self) -> str:
        row, place, channel = self.at
        return f"{self.layer}, row {row}, place {place}, channel {channel}: {self.here:.7g} here, {self.there:.7g} there"


@dataclass
class Settled:
    """What was found while another program rounded as ours did.

    roundings   those that were settled; what several layers are given counts for each of them
    farthest    steps between v here and there, the most of any activation
    """

    roundings: list[Rounding] = field(default_factory=list)
    farthest: float = 0.0

    @property
    def problem(self) -> str | None:
        """What is wrong with the activations, None where nothing is."""
        if self.farthest <= APART:  # NaN is not
            return None
        return f"an activation is {self.farthest:.3g} steps of 8 bits from ours; needed: at most {APART:g}"


def ternary_layers(network: nn.Module) -> dict[str, TernaryLayer]:
    """The layers that round what they are given, by name."""
    return {name: module for name, module in network.named_modules() if isinstance(module, TernaryLayer)}


def their_names(rules: Sequence[Rule], layers: Iterable[str]) -> dict[str, str]:
    """Name here → name there of the layers, by the name map of their weights."""
    named = {name: rule.theirs for rule in rules for name in rule.names}
    return {name: named[f"{name}.weight"].removesuffix(".weight") for name in layers}


@contextmanager
def listen(network: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Gather what each ternary layer is given, by name: (B, T, D), the places of all passes one behind the other.

    The dictionary is empty within, and filled when the block ends.
    """
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
def rounded_alike(theirs: nn.Module, names: Mapping[str, str], heard: Mapping[str, Tensor]) -> Iterator[Settled]:
    """Let another program's layers round as ours did, where the two are no more than APART steps from one another.

    theirs   its model, whose layers round what they are given as they are given it
    names    name here → name there of the layers
    heard    what ours were given for the same text, as `listen` gathered it; a pass that goes beyond it is left as it is
    """
    found = Settled()
    with ExitStack() as hooks:
        for name, their_name in names.items():
            settle = _Settle(name, heard[name], found)
            hooks.callback(theirs.get_submodule(their_name).register_forward_pre_hook(settle).remove)
        yield found


def both(
    ours: nn.Module, theirs: nn.Module, rules: Sequence[Rule], run_ours: Callable[[], Here], run_theirs: Callable[[], There]
) -> tuple[Here, There, Settled]:
    """What both programs say of one text, theirs rounded as ours."""
    with listen(ours) as heard:
        here = run_ours()
    with rounded_alike(theirs, their_names(rules, heard), heard) as settled:
        there = run_theirs()
    return here, there, settled


class _Settle:
    """A hook on one layer, which counts the places that have gone by."""

    def __init__(self, name: str, heard: Tensor, found: Settled) -> None:
        self.name, self.heard, self.found, self.gone = name, heard, found, 0

    def __call__(self, module: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...] | None:
        x: Tensor = given[0]  # (B, t, D)
        first, self.gone = self.gone, self.gone + x.shape[1]
        ours = self.heard[:, first : self.gone]
        if ours.shape != x.shape:
            return None
        (numbers, ours_scale), (their_numbers, scale) = eight_bits(ours), eight_bits(x)
        here, there = ours * ours_scale, x * scale
        apart = (here - there).abs()
        farthest = float(apart.max())
        self.found.farthest = farthest if not farthest <= self.found.farthest else self.found.farthest
        other = (numbers != their_numbers) & (apart <= APART)
        for b, t, d in other.nonzero().tolist():
            self.found.roundings.append(Rounding(self.name, (b, first + t, d), float(here[b, t, d]), float(there[b, t, d])))
        return (torch.where(other, numbers / scale, x), *given[1:]) if bool(other.any()) else None

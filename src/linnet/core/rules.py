"""One name map, read in both directions: their tensors ↔ ours.

A rule pairs our name (or several, laid one under another) with theirs; `{i}` stands for a layer number. Import and
export use the same rules, so that `export(import_(w)) == w` is a law and not a hope. Leftovers raise, all at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from linnet.core.errors import CheckpointError, explain, listing
from linnet.core.names import nearest


@dataclass(frozen=True)
class Rule:
    """ours: one name, or several whose tensors are stacked along their first dimension to make theirs.

    transpose   theirs is stored (in, out) where ours is (out, in)  (GPT-2's Conv1D)
    order       our row i, of all names one under another, is their row order[i]; default: the rows stand as theirs do
    taps        theirs is a depthwise Conv1d's (channels, 1, width), the oldest place first, where ours is (width, channels), the newest first
    stacked     theirs has one dimension more in front, of this size: ours are so many equal groups, in order (experts)
    skip        theirs has so many rows more in front, which say nothing: left out on the way in, zeros on the way out (positions behind padding's)
    """

    ours: str | tuple[str, ...]
    theirs: str
    transpose: bool = False
    order: tuple[int, ...] | None = None
    taps: bool = False
    stacked: int | None = None
    skip: int = 0

    @property
    def names(self) -> tuple[str, ...]:
        return (self.ours,) if isinstance(self.ours, str) else self.ours

    def turned(self, theirs: Tensor) -> Tensor:
        """Their tensor laid out as ours."""
        if self.taps and theirs.dim() == 3 and theirs.shape[1] == 1:
            return theirs[:, 0].flip(1).t()
        if self.skip and theirs.dim() > 0:
            return theirs[self.skip :]
        return theirs.t() if self.transpose else theirs

    def turned_back(self, ours: Tensor) -> Tensor:
        """Our tensor laid out as theirs."""
        if self.taps:
            return ours.t().flip(1)[:, None]
        if self.skip:
            return torch.cat((ours.new_zeros(self.skip, *ours.shape[1:]), ours))
        return ours.t() if self.transpose else ours


def spell(rules: Iterable[Rule], n_layers: int, *, first: int = 0) -> list[Rule]:
    """The rules with `{i}` written out for every layer, from `first` on."""
    spelt: list[Rule] = []
    for rule in rules:
        if "{i}" not in rule.theirs:
            spelt.append(rule)
            continue
        for i in range(first, n_layers):
            ours = tuple(name.replace("{i}", str(i)) for name in rule.names)
            spelt.append(replace(rule, ours=ours, theirs=rule.theirs.replace("{i}", str(i))))
    return spelt


def import_(
    rules: Sequence[Rule], theirs: Mapping[str, Tensor], shapes: Mapping[str, torch.Size], ignore: Sequence[str] = ()
) -> dict[str, Tensor]:
    """Our tensors from theirs. `shapes` are ours, by name; `ignore` are patterns of theirs that carry no weights.

    Raises CheckpointError with every missing, unused and misshapen tensor.
    """
    ours: dict[str, Tensor] = {}
    problems: list[str] = []
    used: set[str] = set()
    for rule in rules:
        if rule.theirs not in theirs:
            problems.append(f"{rule.theirs} is missing")
            continue
        used.add(rule.theirs)
        tensor = rule.turned(theirs[rule.theirs])
        fits = rule.stacked is None or (tensor.dim() > 1 and tensor.shape[0] == rule.stacked)
        tensor = tensor.flatten(0, 1) if rule.stacked is not None and fits else tensor
        rows = [shapes[name][0] for name in rule.names]
        if (
            not fits
            or tensor.dim() == 0
            or sum(rows) != tensor.shape[0]
            or any(shapes[name][1:] != tensor.shape[1:] for name in rule.names)
        ):
            wanted = " + ".join(str(tuple(shapes[name])) for name in rule.names)
            how = f" in {rule.stacked} groups" if rule.stacked is not None else " transposed" if rule.transpose else ""
            how += f" behind {rule.skip} rows" if rule.skip else ""
            problems.append(f"{rule.theirs} has shape {tuple(theirs[rule.theirs].shape)}; needed: {wanted}{how}")
            continue
        if rule.order is not None:
            tensor = tensor[list(rule.order)]
        for name, part in zip(rule.names, tensor.split(rows, 0), strict=True):
            ours[name] = part.contiguous()
    unused = [
        name for name, tensor in theirs.items() if name not in used and tensor.numel()
    ]  # of a part of no width nothing is left
    extra = [name for name in unused if not any(re.fullmatch(pattern, name) for pattern in ignore)]
    problems += [f"{name} is not expected; {nearest(name, (r.theirs for r in rules))}" for name in extra]
    unfilled = [name for name in shapes if not any(name in rule.names for rule in rules)]
    problems += [f"no rule fills our {name}" for name in unfilled]
    if problems:
        raise CheckpointError(listing(problems, "the weights do not fit this model"))
    return ours


def export(rules: Sequence[Rule], ours: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Their tensors from ours; the inverse of `import_`."""
    missing = [name for rule in rules for name in rule.names if name not in ours]
    left = [name for name in ours if not any(name in rule.names for rule in rules)]
    if missing or left:
        raise CheckpointError(
            explain(f"cannot rename the weights: missing {missing}, without a rule {left}", need="a rule for every tensor")
        )
    theirs: dict[str, Tensor] = {}
    for rule in rules:
        tensor = torch.cat([ours[name] for name in rule.names], 0)
        if rule.order is not None:
            tensor = torch.empty_like(tensor).index_copy_(0, torch.tensor(rule.order), tensor)
        tensor = tensor if rule.stacked is None else tensor.unflatten(0, (rule.stacked, -1))
        theirs[rule.theirs] = rule.turned_back(tensor).contiguous()
    return theirs

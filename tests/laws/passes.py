"""A training pass by two calls of the Rust library, beside the network's own."""

from __future__ import annotations

import math
import re

from sentences import SENTENCES
from torch import Tensor

import laws
from linnet.model import GLU, MLP, Attention, Convolution, Network
from linnet.model.training_programs import TrainingPrograms

WRITTEN_DOWN = (Attention, Convolution, MLP, GLU)  # mixers that have a `lower`
NO_PROGRAM = re.compile(
    r"alibi|^sentence$|causal=False|kernel=|activation=gelu\b"
)  # what has none, by its name (the sentence has alibi)


def has_program(name: str) -> bool:
    """Whether a sentence is one of which programs know all but the head."""
    mixers = [sublayer.mixer for sublayer in SENTENCES[name].decoder.sublayers()]
    if SENTENCES[name].n_token_types:
        return False
    return NO_PROGRAM.search(name) is None and all(type(mixer) in WRITTEN_DOWN for mixer in mixers)


def used(network: Network) -> int:
    """How many programs a network has."""
    return 0 if network.programs is None else network.programs.n_programs


def gradients(network: Network, text: Tensor, documents: Tensor | None = None) -> dict[str, Tensor]:
    """The hidden states, and what a bent sum of them makes of every parameter."""
    network.zero_grad(set_to_none=True)
    hidden = network(text, documents=documents).hidden
    hidden.sin().sum().backward()
    return {"hidden": hidden.detach()} | {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}


def distance(got: dict[str, Tensor], right: dict[str, Tensor]) -> float:
    """The largest error, of hidden states and of gradients each relative to their largest number."""
    assert got.keys() == right.keys(), "another set of weights has gradients"
    scale = max((g.abs().max().item() for name, g in right.items() if name != "hidden"), default=1.0)
    errors = [(got[name] - right[name]).abs().max().item() / scale for name in right if name != "hidden"]
    return max(laws.gap(got["hidden"], right["hidden"]), *(math.inf if math.isnan(e) else e for e in errors))


def apart(network: Network, text: Tensor, documents: Tensor | None = None) -> float:
    """The largest error of a program's pass; the network is left with its programs, new ones if it had none."""
    programs, network.programs = network.programs or TrainingPrograms(), None
    right = gradients(network, text, documents)
    network.programs = programs
    return distance(gradients(network, text, documents), right)

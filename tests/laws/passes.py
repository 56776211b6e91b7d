"""A training pass by two calls of the Rust library, beside the network's own."""

from __future__ import annotations

import math
from collections.abc import Callable

from sentences import SENTENCES
from torch import Tensor

import laws
from linnet.model import GLU, MLP, Alibi, Attention, Convolution, Dense, LatentAttention, Mamba, MoE, Network
from linnet.model.spec import Mixer
from linnet.model.training_programs import TrainingPrograms


def is_written_down(mixer: Mixer) -> bool:
    """Whether a mixer is one whose `lower` says all that it does."""
    if getattr(mixer, "linear", Dense()) != Dense():
        return False
    match mixer:
        case Attention():
            within = mixer.causal and not isinstance(mixer.position, Alibi) and not mixer.persistent
            return within and mixer.kernel == "auto"
        case MLP() | GLU():
            return mixer.activation != "gelu"  # the exact one
        case _:
            return isinstance(mixer, Convolution)


def is_decoded(mixer: Mixer) -> bool:
    """Whether it says so for one more token, too: three have no program that trains them."""
    match mixer:
        case MoE():
            return is_written_down(mixer.expert)
        case Mamba() | LatentAttention():
            return mixer.linear == Dense()
        case _:
            return is_written_down(mixer)


def has_program(name: str, known: Callable[[Mixer], bool] = is_written_down) -> bool:
    """Whether a sentence is one of which programs know all but the head."""
    model = SENTENCES[name]
    return not model.n_token_types and all(known(sublayer.mixer) for sublayer in model.decoder.sublayers())


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

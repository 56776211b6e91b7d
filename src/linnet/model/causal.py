"""Whether a model sees only what stands before, without which it cannot write, and its loss is not that of a language model.

    p(x_1 … x_n) = Π_t p(x_t | x_1 … x_{t-1})        a model that sees x_{t+1} at place t has read the answer

An encoder may see its whole source; what counts is the decoder.
"""

from __future__ import annotations

from linnet.core.errors import ConfigError, explain
from linnet.model.network import Network
from linnet.model.spec import Model


def sees_both_ways(model: Model) -> bool:
    """Whether a model is a single stack that sees what comes next: for reading, not for writing."""
    return model.encoder is None and model.decoder.sees_ahead()


def check_sees_both_ways(model: Model, to: str, *, hint: str) -> None:
    """Raise ConfigError for a model that does not. `to`: what it is asked to do; `hint`: what can be done instead."""
    if sees_both_ways(model):
        return
    got = "reads a source" if model.encoder is not None else "sees only what stands before"
    raise ConfigError(explain(f"a model that {got}, {to}", need="a single stack that sees both ways", hint=hint))


def writes(network: Network) -> bool:
    """Whether a network sees only what stands before, and so can write."""
    return not network.spec.decoder.sees_ahead()


def is_headless(network: Network) -> bool:
    """Whether hidden states are what a model is for: an encoder without its head."""
    return not writes(network) and network.spec.head.transform is None


def check_writes(model: Model, to: str, *, hint: str) -> None:
    """Raise ConfigError for a model that sees ahead. `to`: what it is asked to do; `hint`: what can be done instead."""
    if model.decoder.sees_ahead():
        raise ConfigError(
            explain(f"a model that sees what comes next, {to}", need="one that sees only what stands before", hint=hint)
        )

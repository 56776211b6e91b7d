"""Another sentence from a sentence: every matrix of its layers held in another way, and the network with the same weights.

A rewrite takes a plain model and gives one, so that no family has to know of it: `model: {kind: llama, linear: ternary}` in a run
file is `with_linear` on what the family wrote. The embedding, the head, and the small matrices by which a layer chooses (a router,
the queries of a memory) are no field of the grammar and stay what they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from linnet.core.errors import ConfigError, explain
from linnet.core.spec import Spec
from linnet.model.network import Network
from linnet.model.spec import Linear, Model


def linears(node: Any) -> Iterator[Linear]:
    """How matrices are held in all that stands in a spec, one after the other."""
    if isinstance(node, Linear):
        yield node
    elif isinstance(node, Spec):
        for name in type(node).model_fields:
            yield from linears(getattr(node, name))
    elif isinstance(node, tuple):
        for item in node:
            yield from linears(item)


def with_linear(model: Model, linear: Linear) -> Model:
    """The sentence with every matrix of its layers held so. Raises ConfigError where there is none."""
    if next(linears(model), None) is None:
        got = f"linear: {getattr(linear, 'kind', '?')} for a model whose layers have no matrix that it could be"
        raise ConfigError(explain(got, need="a layer with one, such as attention or an mlp", hint="leaving linear out"))
    return model.replace(decoder=_held(model.decoder, linear), encoder=_held(model.encoder, linear))


def _held(node: Any, linear: Linear) -> Any:
    if isinstance(node, Linear):
        return linear
    if isinstance(node, Spec):
        changes = {name: _held(getattr(node, name), linear) for name in type(node).model_fields}
        changes = {name: value for name, value in changes.items() if value != getattr(node, name)}
        return node.replace(**changes) if changes else node
    return tuple(_held(item, linear) for item in node) if isinstance(node, tuple) else node


def carried_over(network: Network, linear: Linear) -> Network:
    """A network with every matrix of its layers held so, and the weights of this one; this one stays what it is.

    A trained model that is made ternary has to be trained on: rounding to three values is no small change (docs/techniques/bitnet.md).
    """
    other = Network(with_linear(network.spec, linear), seed=None)
    weight = network.embedding.weight
    other.to(device=weight.device, dtype=weight.dtype)
    other.load_state_dict(network.state_dict())
    return other.train(network.training)

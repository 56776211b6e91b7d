"""Another sentence from a sentence: `rewritten`, by which all rewrites go (see also graft.py); and every matrix of a model's layers held
in another way, with the network that has the same weights.

A rewrite takes a plain model and gives one, so that no family has to know of it: `model: {kind: llama, linear: ternary}` in a run
file is `with_linear` on what the family wrote. The embedding, the head, and the small matrices by which a layer chooses (a router,
the queries of a memory) are no field of the grammar and stay what they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
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


def rewritten(node: Any, change: Callable[[Spec], Spec]) -> Any:
    """A spec, or specs in a row, with each part changed as `change` says. Parts are asked from the outside in; of one that is changed, the
    inside is not asked any more."""
    if isinstance(node, tuple):
        return tuple(rewritten(item, change) for item in node)
    if not isinstance(node, Spec):
        return node
    other = change(node)
    if other is not node:
        return other
    parts = {name: getattr(node, name) for name in type(node).model_fields}
    new = {name: rewritten(part, change) for name, part in parts.items()}
    new = {name: part for name, part in new.items() if part != parts[name]}
    return node.replace(**new) if new else node


def with_linear(model: Model, linear: Linear) -> Model:
    """The sentence with every matrix of its layers held so. Raises ConfigError where there is none."""
    if next(linears(model), None) is None:
        got = f"linear: {getattr(linear, 'kind', '?')} for a model whose layers have no matrix that it could be"
        raise ConfigError(explain(got, need="a layer with one, such as attention or an mlp", hint="leaving linear out"))

    def held(part: Spec) -> Spec:
        return linear if isinstance(part, Linear) else part

    return model.replace(decoder=rewritten(model.decoder, held), encoder=rewritten(model.encoder, held))


def carried_over(network: Network, linear: Linear) -> Network:
    """A network with every matrix of its layers held so, and the weights of this one; this one stays what it is.

    A trained model that is made ternary has to be trained on: rounding to three values is no small change (docs/techniques/bitnet.md).
    """
    other = Network(with_linear(network.spec, linear), seed=None)
    weight = network.embedding.weight
    other.to(device=weight.device, dtype=weight.dtype)
    other.load_state_dict(network.state_dict())
    return other.train(network.training)

"""A sentence of the grammar in one line of words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

from linnet.model.rewrite import linears
from linnet.model.spec import Block, Mixer, Model, Stack


def describe(model: Model) -> str:
    """For people: `4 × (attention + mlp), width 128, rope positions, 67 ids, free head`."""
    mixers = [mixer for sublayer in model.decoder.sublayers() for mixer in _and_inside(sublayer.mixer)]
    inside = next((found for mixer in mixers if (found := getattr(mixer, "position", None)) is not None), None)
    position = getattr(model.position or inside, "kind", "no")
    persistent = max((getattr(mixer, "persistent", 0) for mixer in mixers), default=0)
    tokens = f", {persistent} persistent token{'s' if persistent > 1 else ''}" if persistent else ""
    head = "tied" if model.head.tied else "free"
    layers = _layers(model.decoder)
    if model.encoder is not None:
        layers = f"encoder of {_layers(model.encoder.stack)}, decoder of {layers}"
    kinds = sorted({getattr(linear, "kind", "?") for linear in linears(model)} - {"dense"})
    matrices = f", {' and '.join(kinds)} matrices" if kinds else ""
    return f"{layers}, width {model.d_model}{matrices}, {position} positions{tokens}, {model.vocab_size:,} ids, {head} head"


def _and_inside(mixer: Mixer) -> Iterator[Mixer]:
    """A mixer, and those that it is made of."""
    yield mixer
    for name in type(mixer).model_fields:
        if isinstance(part := getattr(mixer, name), Mixer):
            yield from _and_inside(part)


def _layers(stack: Stack) -> str:
    """What the layers are, repeat by repeat."""
    return ", ".join(f"{repeat.times} × ({_blocks(repeat.pattern)})" for repeat in stack.layers)


def _blocks(pattern: Iterable[Block]) -> str:
    """The blocks of a pattern, equal ones in a row said once: `3 × (mamba + mlp), attention + mlp`."""
    said = (" + ".join(getattr(sublayer.mixer, "kind", "?") for sublayer in block.sublayers) for block in pattern)
    runs = [(block, len(list(same))) for block, same in groupby(said)]
    return (
        runs[0][0]
        if len(runs) == 1 and runs[0][1] == 1
        else ", ".join(f"{n} × ({block})" if n > 1 else block for block, n in runs)
    )

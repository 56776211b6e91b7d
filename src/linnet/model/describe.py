"""A sentence of the grammar in one line of words."""

from __future__ import annotations

from linnet.model.spec import Model


def describe(model: Model) -> str:
    """For people: `4 × (attention + mlp), width 128, rope positions, 67 ids, free head`."""
    first = next(model.decoder.blocks())
    inside = next(
        (found for sublayer in first.sublayers if (found := getattr(sublayer.mixer, "position", None)) is not None), None
    )
    position = getattr(model.position or inside, "kind", "no")
    head = "tied" if model.head.tied else "free"
    return f"{_layers(model)}, width {model.d_model}, {position} positions, {model.vocab_size:,} ids, {head} head"


def _layers(model: Model) -> str:
    """What the layers are: of each repeat, where every one repeats a single block; of the first block, where not."""
    repeats = [(repeat.times, repeat.pattern[0]) for repeat in model.decoder.layers if len(repeat.pattern) == 1]
    if len(repeats) != len(model.decoder.layers):
        repeats = [(model.decoder.n_layers, next(model.decoder.blocks()))]
    parts = [(times, " + ".join(getattr(s.mixer, "kind", "?") for s in block.sublayers)) for times, block in repeats]
    return ", ".join(f"{times} × ({mixers})" for times, mixers in parts)

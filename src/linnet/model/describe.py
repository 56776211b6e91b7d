"""A sentence of the grammar in one line of words."""

from __future__ import annotations

from linnet.model.spec import Model


def describe(model: Model) -> str:
    """For people: `4 × (attention + mlp), width 128, rope positions, 67 ids, free head`."""
    first = next(model.decoder.blocks())
    parts = " + ".join(getattr(sublayer.mixer, "kind", "?") for sublayer in first.sublayers)
    inside = next(
        (found for sublayer in first.sublayers if (found := getattr(sublayer.mixer, "position", None)) is not None), None
    )
    position = getattr(model.position or inside, "kind", "no")
    head = "tied" if model.head.tied else "free"
    return f"{model.decoder.n_layers} × ({parts}), width {model.d_model}, {position} positions, {model.vocab_size:,} ids, {head} head"

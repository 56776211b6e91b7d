"""Hugging Face's model folders, in and out: config.json and safetensors, one rule map for both directions.

Nothing of the `transformers` library is needed, and nothing in the folder is executed. The families that can be read
are those of zoo/ that say how Hugging Face writes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from linnet.core.errors import CheckpointError, ConfigError, explain, listing
from linnet.core.files import atomic_path, read_json, write_json, write_tensors
from linnet.core.names import nearest
from linnet.core.rules import export, import_
from linnet.core.spec import Spec, dump, words
from linnet.interop.tensors import SINGLE, each_tensor, look_over
from linnet.model import Attention, LatentAttention, Mamba, Model
from linnet.model.network import Network
from linnet.model.weights import model_tensors, restore_model
from linnet.zoo import Family
from linnet.zoo.family import HuggingFace


def families() -> dict[str, type[HuggingFace]]:
    """Hugging Face's model_type → the family that reads it."""
    return {cls.model_type: cls for cls in words(Family).values() if issubclass(cls, HuggingFace)}  # type: ignore[type-abstract]


def family_of(config: Mapping[str, Any]) -> type[HuggingFace]:
    """The family for a config.json; raises ConfigError for one that linnet does not have."""
    known = families()
    kind = config.get("model_type")
    if kind not in known:
        got = f"a Hugging Face model of type {kind!r}"
        raise ConfigError(explain(got, need="a family that linnet has", hint=nearest(str(kind), known)))
    return known[kind]


def import_network(config: dict[str, Any], tensors: Mapping[str, Tensor]) -> Network:
    """A network from a Hugging Face config and its weights by name."""
    family = family_of(config)
    network, tensors = Network(family.from_hf(config), seed=None), family.full(config, tensors)
    shapes = {name: tensor.shape for name, tensor in model_tensors(network).items()}
    restore_model(
        network, import_(family.rules_for(network.spec, tensors), tensors, shapes, family.ignored + tied_names(network))
    )
    return network


def export_network(network: Network, family: type[HuggingFace], context_length: int) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The Hugging Face config and weights of a network of that family."""
    config = family.to_hf(network.spec, context_length)
    if spelt_out(family.from_hf(config)) != spelt_out(network.spec):
        raise ConfigError(explain(f"a sentence that is not a plain {family.model_type}", need="one that its config.json can say"))
    return config, export(family.rules(network.spec), model_tensors(network))


def spelt_out(model: Model) -> Any:
    """What a sentence computes, as plain data: every width of attention written out, no kernel, and nothing that only training needs."""
    training = ("init", "dropout", "bias_step", "balance_weight")

    def walk(node: Any) -> Any:
        if isinstance(node, Attention):
            full = node.replace(
                n_kv_heads=node.groups,
                d_head=node.width(model.d_model),
                output_bias=node.writes_bias,
                scale=node.scale,
                kernel="auto",
            )
            return dump(full)
        if isinstance(node, LatentAttention):
            width = node.widths(model.d_model)
            scale = node.scale or width.qk**-0.5
            return dump(node.replace(d_nope=width.nope, d_rope=width.rope, d_v=width.v, scale=scale))
        if isinstance(node, Mamba):
            return dump(
                node.replace(dt_rank=node.rank(model.d_model), dt_min=1e-3, dt_max=0.1)
            )  # the two are for the start alone
        if isinstance(node, Spec):
            return {name: walk(getattr(node, name)) for name in type(node).model_fields if name not in training}
        return [walk(item) for item in node] if isinstance(node, tuple) else node

    return walk(model) | {
        "decoder": [walk(sublayer) for sublayer in model.decoder.sublayers()],
        "final": walk(model.decoder.final_norm),
    }


def tied_names(network: Network) -> tuple[str, ...]:
    """Patterns for a tied head's second name, which some files carry."""
    return (r"lm_head\.weight",) if network.spec.head.tied else ()


def read_folder(folder: Path) -> Network:
    """A network from a folder with config.json and model.safetensors (or its shards)."""
    folder = Path(folder)
    config = read_json(folder / "config.json", what="the config.json of a Hugging Face model", error=CheckpointError)
    return import_network(config, read_tensors(folder))


def read_tensors(folder: Path) -> dict[str, Tensor]:
    """All tensors of a folder; float32. Raises CheckpointError with all that is wrong; pickled weights (.bin, .pt) are refused."""
    headers, problems = look_over(Path(folder))
    if problems:
        raise CheckpointError(listing(problems, f"the weights of {folder} cannot be read"))
    return dict(each_tensor(headers))


def write_folder(folder: Path, network: Network, family: type[HuggingFace], context_length: int) -> None:
    """Write config.json and model.safetensors."""
    config, tensors = export_network(network, family, context_length)
    folder = Path(folder)
    with atomic_path(folder / SINGLE) as temporary:
        write_tensors(temporary, tensors, {"format": "pt"})
    write_json(folder / "config.json", config)

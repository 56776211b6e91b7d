"""BitNet b1.58 (2402.17764), in the shape of the 2B model (2504.12285): Llama's with ternary matrices, a gated MLP with squared
ReLU, and a norm before the last matrix of attention and of the MLP. Rotary positions of base 500,000, no biases, a tied head.

Embedding, head and norms are full numbers. `linear: dense` is the same shape with matrices as they are.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any, ClassVar, Literal, Self

import torch
from pydantic import Field
from torch import Tensor

from linnet.core.errors import CheckpointError, ConfigError, explain
from linnet.core.rules import Rule, spell
from linnet.model import GLU, Attention, Dense, Model, Ternary
from linnet.model.rewrite import linears
from linnet.model.spec import ChannelMixer, Linear
from linnet.ops.ternary import full_weights, unpacked
from linnet.zoo.family import block_of, gated_width, stack_of
from linnet.zoo.llama import LlamaShape

SCALE = "_scale"  # what follows the name of a packed weight in that of its γ, or of 1 / γ
# what their config says of matrices that are rounded at each call from full weights, and of such as are packed already
ONLINE = {"quant_method": "bitnet", "linear_class": "autobitlinear", "quantization_mode": "online"}
PACKED = tuple(ONLINE | {"quantization_mode": "offline", "linear_class": name} for name in ("autobitlinear", "bitlinear"))
USUAL = {
    "linear_class": "bitlinear", "quantization_mode": "offline", "modules_to_not_convert": None, "use_rms_norm": False, "rms_norm_eps": 1e-6,
}  # fmt: skip


def how_held(config: dict[str, Any]) -> dict[str, Any] | None:
    """Its quantization_config with all that it may leave out, None without one. Raises ConfigError for one that is not covered."""
    asked = config.get("quantization_config")
    if asked is None:
        return None
    said = {key: value for key, value in (USUAL | asked).items() if key in ONLINE or key not in USUAL or value != USUAL[key]}
    if said not in (ONLINE, *PACKED):
        need = "quant_method: bitnet, online or offline, with no matrix left out and no norm but the model's own"
        raise ConfigError(explain(f"a bitnet with quantization_config = {asked}", need=need))
    return said


class BitNet(LlamaShape):
    """BitNet b1.58: Llama's shape with ternary matrices, squared ReLU in the gate, and norms inside attention and MLP."""

    kind: Literal["bitnet"] = "bitnet"
    rope_base: float = Field(default=500_000.0, gt=1)
    tied: bool = True
    linear: Linear = Ternary()
    model_type: ClassVar[str] = "bitnet"
    architecture: ClassVar[str] = "BitNetForCausalLM"
    hf_activation: ClassVar[str] = "relu2"
    hf_absent: ClassVar[Mapping[str, Any]] = {"num_key_value_heads": 5, "rms_norm_eps": 1e-5, "max_position_embeddings": 2048}
    hf_rope_base: ClassVar[float] = 500_000.0
    hf_more: ClassVar[Mapping[str, str | None]] = {"quantization_config": None, "auto_map": None}

    @classmethod
    def examples(cls) -> tuple[Self, ...]:
        first, *rest = super().examples()
        return first, first.replace(linear=Dense()), *rest

    def sentence(self, vocab_size: int) -> Model:
        plain = super().sentence(vocab_size)
        norm, block = plain.decoder.final_norm, next(plain.decoder.blocks())
        assert norm is not None
        mixers = (sublayer.mixer.replace(sub_norm=norm) for sublayer in block.sublayers)
        return plain.replace(decoder=stack_of((block_of(*mixers, norm=norm), plain.decoder.n_layers), final_norm=norm))

    def channel(self) -> ChannelMixer:
        return GLU(d_ff=self.d_ff or gated_width(self.shape.d_model), activation="relu2")

    @classmethod
    def hf_fields(cls, config: dict[str, Any]) -> dict[str, Any]:
        return {"linear": Dense() if how_held(config) is None else Ternary()}

    @classmethod
    def full(cls, config: dict[str, Any], tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Weights that were packed, as full ones that are rounded to the same three values and the same γ."""
        held, packed = how_held(config), cls.packed(config, tensors)
        found = {name: tensor for name, tensor in tensors.items() if name not in packed.values()}
        for weight, name in packed.items():
            scale = tensors[name].reshape(-1)[0].item() if tensors[name].numel() == 1 else 0.0
            if not 0 < scale < math.inf:
                raise CheckpointError(
                    explain(f"{name} is no scale", need="one positive number", hint="an undamaged copy of the folder")
                )
            gamma = scale if held is not None and held["linear_class"] == "autobitlinear" else 1 / scale
            found[weight] = full_weights(unpacked(found[weight].to(torch.uint8)), gamma)
        return found

    @classmethod
    def packed(cls, config: dict[str, Any], names: Collection[str]) -> dict[str, str]:
        if how_held(config) not in PACKED:
            return {}
        return {name.removesuffix(SCALE): name for name in names if name.endswith(SCALE) and name.removesuffix(SCALE) in names}

    @classmethod
    def to_hf(cls, model: Model, context_length: int) -> dict[str, Any]:
        config = super().to_hf(model, context_length)
        del config["head_dim"]  # theirs has none: a head is what the width leaves it
        return config | ({"quantization_config": dict(ONLINE)} if Ternary() in linears(model) else {})

    @classmethod
    def rules(cls, model: Model) -> list[Rule]:
        assert isinstance(next(model.decoder.sublayers()).mixer, Attention)
        ours, theirs = "decoder.layers.{i}.sublayers.", "model.layers.{i}."
        inside = [
            Rule(f"{ours}0.mixer.sub_norm.weight", f"{theirs}self_attn.attn_sub_norm.weight"),
            Rule(f"{ours}1.mixer.sub_norm.weight", f"{theirs}mlp.ffn_sub_norm.weight"),
        ]
        return super().rules(model) + spell(inside, model.decoder.n_layers)

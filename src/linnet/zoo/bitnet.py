"""BitNet b1.58 (2402.17764), in the shape of the 2B model (2504.12285): Llama's with ternary matrices, a gated MLP with squared
ReLU, and a norm before the last matrix of attention and of the MLP. Rotary positions of base 500,000, no biases, a tied head.

Embedding, head and norms are full numbers. `linear: dense` is the same shape with matrices as they are.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

from pydantic import Field

from linnet.core.errors import ConfigError, explain
from linnet.core.rules import Rule, spell
from linnet.model import GLU, Attention, Dense, Model, Ternary
from linnet.model.rewrite import linears
from linnet.model.spec import ChannelMixer, Linear
from linnet.zoo.family import block_of, gated_width, stack_of
from linnet.zoo.llama import LlamaShape

# what their config says of matrices that are rounded at each call from full weights
ONLINE = {"quant_method": "bitnet", "linear_class": "autobitlinear", "quantization_mode": "online"}


class BitNet(LlamaShape):
    """BitNet b1.58: Llama's shape with ternary matrices, squared ReLU in the gate, and norms inside attention and MLP."""

    kind: Literal["bitnet"] = "bitnet"
    rope_base: float = Field(default=500_000.0, gt=1)
    tied: bool = True
    linear: Linear = Ternary()
    model_type: ClassVar[str] = "bitnet"
    architecture: ClassVar[str] = "BitNetForCausalLM"
    hf_activation: ClassVar[str] = "relu2"
    hf_more = {"quantization_config": None, "auto_map": None}  # noqa: RUF012

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
        asked = config.get("quantization_config")
        if asked is None:
            return {"linear": Dense()}
        usual = {"modules_to_not_convert": None, "use_rms_norm": False, "rms_norm_eps": 1e-6}
        if {key: value for key, value in asked.items() if key not in usual or value != usual[key]} != ONLINE:
            hint = "the checkpoint with full weights, which is rounded as it is read"
            raise ConfigError(explain(f"a bitnet with quantization_config = {asked}", need=f"none, or {ONLINE}", hint=hint))
        return {"linear": Ternary()}

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

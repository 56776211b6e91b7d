"""Llama 2 (2307.09288) and 3 (2407.21783): rotary positions, RMSNorm before each sublayer, a gated MLP with silu, no biases, a
free head. Llama 3 has grouped queries, a base of 500,000 and, from 3.1 on, scaled positions: fields here, not another family.

Mistral and Qwen3 are the same shape with a window and with QK-norm; they share this file's sentence and name map.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import Field

from linnet.core.rules import Rule, spell
from linnet.model import GLU, Attention, Head, Model, RMSNorm, Rope
from linnet.model.rope_scaling import YarnScaling
from linnet.model.spec import EXAMPLE_WIDTH, ChannelMixer, Mixer, RopeScaling
from linnet.zoo.family import Decoder, HuggingFace, block_of, expect, expect_layers, gated_width, stack_of
from linnet.zoo.rope_parameters import read_rope, write_rope


class LlamaShape(Decoder, HuggingFace):
    """What Llama, Mistral and Qwen3 share.

    window         places that each one sees; null: all
    qk_norm        a norm on queries and keys
    tied           the head is the embedding's own matrix
    rope_base      of the rotary positions: the larger, the slower the slowest turn
    rope_scaling   slower turns for texts longer than those of training; null: none
    norm_eps       added to the mean square in norms
    """

    hf_more: ClassVar[Mapping[str, str | None]] = {}  # what else a config.json says, and the field that it is here
    hf_absent: ClassVar[Mapping[str, Any]] = {}  # what a config.json means that leaves a field out, if not what linnet means
    hf_rope_base: ClassVar[float] = 10_000.0  # … and one that leaves out that of its rotary positions
    hf_activation: ClassVar[str] = "silu"

    window: int | None = Field(default=None, ge=1)
    qk_norm: bool = False
    tied: bool = False
    rope_base: float = Field(default=10_000.0, gt=1)
    rope_scaling: RopeScaling | None = None
    norm_eps: float = Field(default=1e-5, gt=0)

    @classmethod
    def examples(cls) -> tuple[Self, ...]:
        plain = cls(n_layers=2, n_heads=4, d_model=EXAMPLE_WIDTH)
        other = plain.replace(window=5, qk_norm=not plain.qk_norm, tied=not plain.tied, rope_base=50.0, norm_eps=0.1)
        other = other.replace(rope_scaling=YarnScaling(original_length=24, beta_fast=3.0))
        return *super().examples(), other

    def sentence(self, vocab_size: int) -> Model:
        shape = self.shape
        norm = RMSNorm(eps=self.norm_eps)
        attention = Attention(
            n_heads=shape.n_heads,
            n_kv_heads=self.n_kv_heads,
            d_head=self.d_head,
            window=self.window,
            position=Rope(base=self.rope_base, scaling=self.rope_scaling),
            qk_norm=norm if self.qk_norm else None,
        )
        block = block_of(attention, self.channel(), norm=norm)
        return self.written(vocab_size, stack_of((block, shape.n_layers), final_norm=norm), head=Head(tied=self.tied))

    def channel(self) -> ChannelMixer:
        """What each layer has beside attention."""
        return GLU(d_ff=self.d_ff or gated_width(self.shape.d_model))

    @classmethod
    def from_hf(cls, config: dict[str, Any]) -> Model:
        fixed = {
            "hidden_act": cls.hf_activation,
            "attention_bias": False,
            "mlp_bias": False,
            "use_sliding_window": False,
        }
        free = ("vocab_size hidden_size intermediate_size num_hidden_layers num_attention_heads num_key_value_heads head_dim "
                "max_position_embeddings rms_norm_eps rope_theta rope_parameters rope_scaling tie_word_embeddings attention_dropout sliding_window layer_types")  # fmt: skip
        c = {**cls.hf_absent, **expect(config, fixed | dict.fromkeys((*free.split(), *cls.hf_more), ...), cls.model_type)}
        window, rope = cls.hf_window(c), read_rope(c, cls.model_type, cls.hf_rope_base)
        layer = "full_attention" if window is None else "sliding_attention"
        expect_layers(c, "layer_types", [layer] * c["num_hidden_layers"], cls.model_type)
        return cls(
            context_length=c["max_position_embeddings"],
            n_layers=c["num_hidden_layers"],
            n_heads=c["num_attention_heads"],
            n_kv_heads=c.get("num_key_value_heads"),
            d_model=c["hidden_size"],
            d_head=c.get("head_dim"),
            d_ff=c["intermediate_size"],
            tied=c.get("tie_word_embeddings", False),
            rope_base=rope.base,
            rope_scaling=rope.scaling,
            norm_eps=c["rms_norm_eps"],
            window=window,
            **cls.hf_fields(c),
        ).sentence(c["vocab_size"])

    @classmethod
    def hf_fields(cls, config: dict[str, Any]) -> dict[str, Any]:
        """Fields of a family's own that a config says."""
        return {ours: config[theirs] for theirs, ours in cls.hf_more.items() if ours is not None and theirs in config}

    @classmethod
    def hf_window(cls, config: dict[str, Any]) -> int | None:
        """The window that a config asks for; Llama and Qwen3 (as covered here) have none."""
        return None

    @classmethod
    def to_hf(cls, model: Model, context_length: int) -> dict[str, Any]:
        attention, channel = (sublayer.mixer for sublayer in next(model.decoder.blocks()).sublayers)
        norm = model.decoder.final_norm
        assert isinstance(attention, Attention) and isinstance(norm, RMSNorm) and isinstance(attention.position, Rope)
        config = {
            "architectures": [cls.architecture], "model_type": cls.model_type, "vocab_size": model.vocab_size, "hidden_size": model.d_model,
            **cls.hf_channel(channel), "num_hidden_layers": model.decoder.n_layers, "num_attention_heads": attention.n_heads,
            "num_key_value_heads": attention.groups, "head_dim": attention.width(model.d_model), "hidden_act": cls.hf_activation,
            "max_position_embeddings": context_length, "rms_norm_eps": norm.eps, **write_rope(attention.position),
            "tie_word_embeddings": model.head.tied, "attention_bias": False,
        }  # fmt: skip
        if attention.window is not None or "sliding_window" in cls.hf_absent:
            config["sliding_window"] = attention.window
        return config

    @classmethod
    def hf_channel(cls, mixer: Mixer) -> dict[str, Any]:
        """What a config.json says of `channel()`."""
        assert isinstance(mixer, GLU)
        return {"intermediate_size": mixer.d_ff}

    @classmethod
    def channel_rules(cls, model: Model, ours: str, theirs: str) -> list[Rule]:
        """The name map of `channel()` in one layer, whose names begin so."""
        return [Rule(f"{ours}{part}.weight", f"{theirs}mlp.{part}_proj.weight") for part in ("gate", "up", "down")]

    @classmethod
    def rules(cls, model: Model) -> list[Rule]:
        return cls.shared_rules(model, cls.channel_rules)

    @classmethod
    def shared_rules(cls, model: Model, channel_rules: Callable[[Model, str, str], list[Rule]]) -> list[Rule]:
        """The name map, with this one of `channel()`."""
        ours, theirs = "decoder.layers.{i}.sublayers.", "model.layers.{i}."
        attention = next(model.decoder.sublayers()).mixer
        assert isinstance(attention, Attention)
        rules = [Rule("embedding.weight", "model.embed_tokens.weight"), Rule("decoder.final_norm.weight", "model.norm.weight")]
        rules += [Rule(f"{ours}0.mixer.{part}.weight", f"{theirs}self_attn.{part}_proj.weight") for part in "qkvo"]
        rules += channel_rules(model, f"{ours}1.mixer.", theirs)
        rules += [
            Rule(f"{ours}0.norm.weight", f"{theirs}input_layernorm.weight"),
            Rule(f"{ours}1.norm.weight", f"{theirs}post_attention_layernorm.weight"),
        ]
        if attention.qk_norm is not None:
            rules += [Rule(f"{ours}0.mixer.{part}_norm.weight", f"{theirs}self_attn.{part}_norm.weight") for part in "qk"]
        if not model.head.tied:
            rules.append(Rule("head.weight", "lm_head.weight"))
        return spell(rules, model.decoder.n_layers)


class Llama(LlamaShape):
    """Llama 2 and 3: rotary positions, RMSNorm, a gated MLP, no biases."""

    kind: Literal["llama"] = "llama"
    model_type: ClassVar[str] = "llama"
    architecture: ClassVar[str] = "LlamaForCausalLM"
    hf_absent: ClassVar[Mapping[str, Any]] = {"rms_norm_eps": 1e-6, "max_position_embeddings": 2048}
    ignored: ClassVar[tuple[str, ...]] = (r"model\.layers\.\d+\.self_attn\.rotary_emb\.inv_freq",)

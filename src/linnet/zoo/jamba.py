"""Jamba (2403.19887): mostly Mamba, attention in one layer of a few, experts in every other layer.

    layer i = attention or Mamba, then experts or a gated MLP
    attention where i % attention_period = attention_offset        experts where i % expert_period = expert_offset

Mamba makes long texts cheap, the few layers of attention look back at exact places, and the order that Mamba brings with it stands
for positions: there are no others. Norms on Mamba's steps, B and C keep large models steady (section 6.4). The weights of the chosen
experts are shares of all and do not sum to one. The paper has attention in one layer of eight; one of four, which it found as good,
is the default here, so that a small model has any.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from math import lcm
from typing import Any, ClassVar, Literal

from pydantic import Field

from linnet.core.errors import ConfigError, explain
from linnet.core.rules import Rule
from linnet.model import GLU, Attention, Block, Head, Mamba, Model, MoE, Repeat, RMSNorm, Stack
from linnet.model.spec import EXAMPLE_WIDTH, ChannelMixer, Mixer, TokenMixer
from linnet.zoo.family import (
    HuggingFace,
    WithHeads,
    block_of,
    expect,
    expect_layers,
    gated_width,
    glu_rules,
    stacked_expert_rules,
)
from linnet.zoo.mamba import mamba_rules


class Jamba(WithHeads, HuggingFace):
    """Jamba: Mamba, with attention in one layer of a few, and experts in every other.

    n_kv_heads         key-value heads, which groups of heads share; default: one a head
    d_ff               width inside the MLP, and inside an expert; default: as llama has it
    attention_period   one layer of so many has attention …
    attention_offset   … the first of them is this one, from 0
    n_experts          experts of a layer; 1: an MLP everywhere
    top_k              how many of them each token asks
    expert_period      one layer of so many has experts …
    expert_offset      … the first of them is this one, from 0
    balance_weight     of the loss that keeps all experts in use, a layer
    d_state            numbers that each channel of Mamba remembers
    d_conv             places that its convolution reaches over
    expand             its channels for each number of the stream
    dt_rank            width through which its steps go; default: d_model / 16, rounded up
    bias               biases on the way into Mamba and out of it
    conv_bias          a bias behind the convolution
    norm_eps           added to the mean square in norms
    tied               the head is the embedding's own matrix
    """

    kind: Literal["jamba"] = "jamba"
    n_kv_heads: int | None = Field(default=None, ge=1)
    d_ff: int | None = Field(default=None, ge=1)
    attention_period: int = Field(default=4, ge=1)
    attention_offset: int = Field(default=2, ge=0)
    n_experts: int = Field(default=8, ge=1)
    top_k: int = Field(default=2, ge=1)
    expert_period: int = Field(default=2, ge=1)
    expert_offset: int = Field(default=1, ge=0)
    balance_weight: float = Field(default=0.001, ge=0)
    d_state: int = Field(default=16, ge=1)
    d_conv: int = Field(default=4, ge=2)
    expand: int = Field(default=2, ge=1)
    dt_rank: int | None = Field(default=None, ge=1)
    bias: bool = False
    conv_bias: bool = True
    norm_eps: float = Field(default=1e-6, gt=0)
    tied: bool = False

    model_type: ClassVar[str] = "jamba"
    architecture: ClassVar[str] = "JambaForCausalLM"

    @classmethod
    def examples(cls) -> tuple[Jamba, ...]:
        plain = cls(n_layers=4, n_heads=4, d_model=EXAMPLE_WIDTH, context_length=96, d_state=4, n_experts=4, d_ff=24)
        other = cls(
            n_layers=3, n_heads=2, n_kv_heads=1, d_model=EXAMPLE_WIDTH, d_ff=20, attention_period=2, attention_offset=0, n_experts=3, top_k=1,
            expert_period=1, expert_offset=0, balance_weight=0.1, d_state=3, d_conv=2, expand=1, dt_rank=5, bias=True, conv_bias=False,
            norm_eps=0.1, tied=True, dropout=0.25,
        )  # fmt: skip
        return plain, other, cls(size="nano", d_state=4, n_experts=1)

    def sentence(self, vocab_size: int) -> Model:
        shape, norm = self.shape, RMSNorm(eps=self.norm_eps)
        self._check()
        attention = Attention(n_heads=shape.n_heads, n_kv_heads=self.n_kv_heads)
        mamba = Mamba(
            d_state=self.d_state, d_conv=self.d_conv, expand=self.expand, dt_rank=self.dt_rank, bias=self.bias, conv_bias=self.conv_bias,
            inner_norm=norm,
        )  # fmt: skip
        mlp = GLU(d_ff=self.d_ff or gated_width(shape.d_model))

        def layer(i: int) -> Block:
            mixer: TokenMixer = attention if i % self.attention_period == self.attention_offset else mamba
            channel: ChannelMixer = mlp
            if self.n_experts > 1 and i % self.expert_period == self.expert_offset:
                channel = MoE(
                    expert=mlp, n_experts=self.n_experts, top_k=self.top_k, normalise=False, balance_weight=self.balance_weight
                )
            return block_of(mixer, channel, norm=norm)

        together = lcm(self.attention_period, self.expert_period)
        times = shape.n_layers // together if shape.n_layers % together == 0 else 1
        pattern = tuple(layer(i) for i in range(shape.n_layers // times))
        decoder = Stack(layers=(Repeat(pattern=pattern, times=times),), final_norm=norm)
        return self.written(vocab_size, decoder, head=Head(tied=self.tied))

    def _check(self) -> None:
        for name in ("attention", "expert"):
            period, offset = getattr(self, f"{name}_period"), getattr(self, f"{name}_offset")
            if offset >= period:
                got = f"{name}_offset = {offset} of {name}_period = {period}"
                raise ConfigError(explain(got, need="one that is below it", hint=f"{name}_offset: {period - 1}"))

    @classmethod
    def from_hf(cls, config: dict[str, Any]) -> Model:
        fixed = {"hidden_act": "silu", "sliding_window": None, "mamba_inner_layernorms": True}
        free = ("vocab_size hidden_size intermediate_size num_hidden_layers num_attention_heads num_key_value_heads rms_norm_eps "
                "num_experts num_local_experts num_experts_per_tok expert_layer_period expert_layer_offset attn_layer_period attn_layer_offset "
                "mamba_d_state mamba_d_conv mamba_expand mamba_dt_rank mamba_conv_bias mamba_proj_bias router_aux_loss_coef "
                "max_position_embeddings n_ctx output_router_logits attention_dropout use_mamba_kernels use_mambapy use_associative_scan "
                "num_logits_to_keep calc_logits_for_entire_prompt auto_map layer_types layers_block_type")  # fmt: skip
        c = expect(config, fixed | dict.fromkeys(free.split(), ...), cls.model_type)
        period, offset = c["attn_layer_period"], c["attn_layer_offset"]
        layers = ["full_attention" if i % period == offset else "linear_attention" for i in range(c["num_hidden_layers"])]
        for key in ("layer_types", "layers_block_type"):
            expect_layers(c, key, layers, cls.model_type)
        rank = c["mamba_dt_rank"]
        return cls(
            n_layers=c["num_hidden_layers"], n_heads=c["num_attention_heads"], n_kv_heads=c["num_key_value_heads"], d_model=c["hidden_size"],
            d_ff=c["intermediate_size"], attention_period=c["attn_layer_period"], attention_offset=c["attn_layer_offset"],
            n_experts=c["num_experts"], top_k=c["num_experts_per_tok"], expert_period=c["expert_layer_period"],
            expert_offset=c["expert_layer_offset"], balance_weight=c.get("router_aux_loss_coef", 0.001), d_state=c["mamba_d_state"],
            d_conv=c["mamba_d_conv"], expand=c["mamba_expand"], dt_rank=None if rank == "auto" else rank, bias=c["mamba_proj_bias"],
            conv_bias=c["mamba_conv_bias"], norm_eps=c["rms_norm_eps"], tied=c.get("tie_word_embeddings", False),
        ).sentence(c["vocab_size"])  # fmt: skip

    @classmethod
    def to_hf(cls, model: Model, context_length: int) -> dict[str, Any]:
        norm, layers = model.decoder.final_norm, list(_layers(model))
        mixers = [mixer for layer in layers for mixer in layer]
        attention, mamba, experts = (_first(mixers, kind, other) for kind, other in _ABSENT.items())
        mlp = _first(mixers, GLU, experts.expert)
        assert isinstance(norm, RMSNorm) and isinstance(mlp, GLU)
        attention_period, attention_offset = _every([isinstance(mixer, Attention) for mixer, _ in layers])
        expert_period, expert_offset = _every([isinstance(channel, MoE) for _, channel in layers])
        return {
            "architectures": [cls.architecture], "model_type": cls.model_type, "vocab_size": model.vocab_size, "hidden_size": model.d_model,
            "intermediate_size": mlp.d_ff, "num_hidden_layers": len(layers), "num_attention_heads": attention.n_heads,
            "num_key_value_heads": attention.groups, "attn_layer_period": attention_period, "attn_layer_offset": attention_offset,
            "num_experts": experts.n_experts, "num_experts_per_tok": experts.top_k, "expert_layer_period": expert_period,
            "expert_layer_offset": expert_offset, "router_aux_loss_coef": experts.balance_weight, "mamba_d_state": mamba.d_state,
            "mamba_d_conv": mamba.d_conv, "mamba_expand": mamba.expand, "mamba_dt_rank": mamba.rank(model.d_model),
            "mamba_proj_bias": mamba.bias, "mamba_conv_bias": mamba.conv_bias, "hidden_act": "silu", "rms_norm_eps": norm.eps,
            "max_position_embeddings": context_length, "tie_word_embeddings": model.head.tied,
        }  # fmt: skip

    @classmethod
    def rules(cls, model: Model) -> list[Rule]:
        """Each expert by itself, as weights are published and saved."""
        return _rules(model, _expert_rules)

    @classmethod
    def rules_for(cls, model: Model, names: Collection[str]) -> list[Rule]:
        """… or one tensor for all experts, as transformers 5 holds them in memory."""
        stacked = any(name.endswith(".experts.gate_up_proj") for name in names)
        return _rules(model, stacked_expert_rules if stacked else _expert_rules)


# what a config.json says of words that a model has none of
_ABSENT: dict[type[Any], Any] = {
    Attention: Attention(n_heads=1),
    Mamba: Mamba(inner_norm=RMSNorm()),
    MoE: MoE(expert=GLU(d_ff=8), n_experts=1, top_k=1, normalise=False, balance_weight=0.001),
}


def _first(mixers: Sequence[Mixer], kind: type[Any], other: Any) -> Any:
    return next((mixer for mixer in mixers if isinstance(mixer, kind)), other)


def _layers(model: Model) -> list[tuple[Mixer, Mixer]]:
    """The token mixer and the channel mixer of each layer."""
    return [(block.sublayers[0].mixer, block.sublayers[1].mixer) for block in model.decoder.blocks()]


def _every(there: Sequence[bool]) -> tuple[int, int]:
    """(period, offset) of the layers in which something stands; if they have no period, what says so falls short of the model."""
    found = [i for i, stands in enumerate(there) if stands]
    if not found:
        return len(there) + 1, len(there)
    return (found[1] - found[0] if len(found) > 1 else len(there)), found[0]


def _expert_rules(ours: str, theirs: str, n_experts: int) -> list[Rule]:
    return [rule for e in range(n_experts) for rule in glu_rules(f"{ours}experts.{e}.", f"{theirs}experts.{e}.")]


def _rules(model: Model, expert_rules: Callable[[str, str, int], list[Rule]]) -> list[Rule]:
    rules = [
        Rule("embedding.weight", "model.embed_tokens.weight"),
        Rule("decoder.final_norm.weight", "model.final_layernorm.weight"),
    ]
    if not model.head.tied:
        rules.append(Rule("head.weight", "lm_head.weight"))
    for i, (mixer, channel) in enumerate(_layers(model)):
        ours, theirs = f"decoder.layers.{i}.sublayers.", f"model.layers.{i}."
        first, second, forward = f"{ours}0.mixer.", f"{ours}1.mixer.", f"{theirs}feed_forward."
        rules += [
            Rule(f"{ours}0.norm.weight", f"{theirs}input_layernorm.weight"),
            Rule(f"{ours}1.norm.weight", f"{theirs}pre_ff_layernorm.weight"),
        ]
        if isinstance(mixer, Mamba):
            rules += mamba_rules(mixer, first, f"{theirs}mamba.")
            norms = enumerate(("dt", "b", "c"))
            rules += [Rule(f"{first}norms.{n}.weight", f"{theirs}mamba.{part}_layernorm.weight") for n, part in norms]
        else:
            rules += [Rule(f"{first}{part}.weight", f"{theirs}self_attn.{part}_proj.weight") for part in "qkvo"]
        if isinstance(channel, MoE):
            rules.append(Rule(f"{second}router.weight", f"{forward}router.weight"))
            rules += expert_rules(second, forward, channel.n_experts)
        else:
            rules += glu_rules(second, forward)
    return rules

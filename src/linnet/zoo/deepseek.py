"""DeepSeek-V3 (2412.19437): latent attention, and from some layer on a mixture of experts in the place of the MLP.

Section 2.1: keys and values of all heads are made of one latent; a token asks a few of many small experts, of a few groups of
them, and one that all share; experts are kept in use by a bias on the choice alone. Sizes of the published model in section 4.2.
Deliberately without the prediction of several tokens at once (section 2.2), which is a second head for training.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal

from pydantic import Field

from linnet.core.errors import ConfigError, explain
from linnet.core.rules import Rule, spell
from linnet.model import GLU, Head, LatentAttention, Model, MoE, RMSNorm, Rope, YarnScaling
from linnet.model.spec import EXAMPLE_WIDTH, RopeScaling
from linnet.zoo.family import HuggingFace, WithHeads, block_of, expect, gated_width, glu_rules, stack_of
from linnet.zoo.rope_parameters import read_rope, write_rope


class Deepseek(WithHeads, HuggingFace):
    """DeepSeek-V3: latent attention, experts balanced by a bias, first layers without experts.

    d_latent         width of the vector that keys and values are made of; default: 4 · d_model / n_heads
    d_query_latent   width of one that queries are made of; null: they are made of the input itself
    d_nope           width of a head's queries and keys, without the turned part; default: d_model / n_heads
    d_rope           width of the turned part, whose key all heads share; default: half of d_nope
    d_v              width of a head's values; default: as d_nope
    scale            what scores are multiplied by; default: 1 / √(d_nope + d_rope)
    n_dense          first layers with a gated MLP in the place of experts
    d_ff             width inside that MLP; default: as llama has it
    n_experts        experts of a layer
    top_k            how many of them each token asks
    n_shared         experts that every token asks besides
    d_expert         width inside an expert; default: so that those which a token asks are together as wide as that MLP
    n_groups         experts stand in so many groups …
    top_groups       … and each token may ask those of so many
    normalise        the weights of those chosen sum to one
    expert_scale     multiplies the weights
    bias_step        how far the biases on the choice move after each step of training
    rope_base        of the rotary positions: the larger, the slower the slowest turn
    rope_scaling     slower turns for texts longer than those of training; null: none
    norm_eps         added to the mean square in norms
    tied             the head is the embedding's own matrix
    """

    kind: Literal["deepseek"] = "deepseek"
    d_latent: int | None = Field(default=None, ge=1)
    d_query_latent: int | None = Field(default=None, ge=1)
    d_nope: int | None = Field(default=None, ge=1)
    d_rope: int | None = Field(default=None, ge=1)
    d_v: int | None = Field(default=None, ge=1)
    scale: float | None = Field(default=None, gt=0)
    n_dense: int = Field(default=1, ge=0)
    d_ff: int | None = Field(default=None, ge=1)
    n_experts: int = Field(default=16, ge=1)
    top_k: int = Field(default=3, ge=1)
    n_shared: int = Field(default=1, ge=0)
    d_expert: int | None = Field(default=None, ge=1)
    n_groups: int = Field(default=1, ge=1)
    top_groups: int = Field(default=1, ge=1)
    normalise: bool = True
    expert_scale: float = Field(default=1.0, gt=0)
    bias_step: float = Field(default=0.001, gt=0)
    rope_base: float = Field(default=10_000.0, gt=1)
    rope_scaling: RopeScaling | None = None
    norm_eps: float = Field(default=1e-6, gt=0)
    tied: bool = False

    model_type: ClassVar[str] = "deepseek_v3"
    architecture: ClassVar[str] = "DeepseekV3ForCausalLM"
    ignored: ClassVar[tuple[str, ...]] = (
        r"model\.layers\.\d+\.self_attn\.rotary_emb\.inv_freq",
        r"model\.layers\.61\..*",
    )  # an old buffer; the published model's second head, which stands behind its 61 layers

    @classmethod
    def examples(cls) -> tuple[Deepseek, ...]:
        plain = cls(n_layers=2, n_heads=4, d_model=EXAMPLE_WIDTH, context_length=96, n_experts=4, top_k=2)
        other = cls(
            n_layers=3, n_heads=2, d_model=EXAMPLE_WIDTH, d_latent=12, d_query_latent=20, d_nope=10, d_rope=8, d_v=6, scale=0.3, n_dense=2,
            d_ff=24, n_experts=8, top_k=3, n_shared=2, d_expert=8, n_groups=4, top_groups=2, normalise=False, expert_scale=2.5, bias_step=0.01,
            rope_base=50.0, rope_scaling=YarnScaling(original_length=24, beta_fast=3.0), norm_eps=0.1, tied=True, dropout=0.25,
        )  # fmt: skip
        return plain, other, cls(size="nano", n_layers=1, n_dense=0)

    def sentence(self, vocab_size: int) -> Model:
        shape, norm = self.shape, RMSNorm(eps=self.norm_eps)
        if self.n_dense > shape.n_layers:
            raise ConfigError(
                explain(
                    f"n_dense = {self.n_dense} of n_layers = {shape.n_layers}", need="no more than there are", hint="n_dense: 1"
                )
            )
        attention = LatentAttention(
            n_heads=shape.n_heads, d_latent=self.d_latent or max(1, 4 * shape.d_model // shape.n_heads), d_query_latent=self.d_query_latent,
            d_nope=self.d_nope, d_rope=self.d_rope, d_v=self.d_v, scale=self.scale,
            position=Rope(base=self.rope_base, scaling=self.rope_scaling),
        )  # fmt: skip
        d_ff = self.d_ff or gated_width(shape.d_model)
        experts = MoE(
            expert=GLU(d_ff=self.d_expert or max(8, d_ff // (self.top_k + self.n_shared) // 8 * 8)), n_experts=self.n_experts,
            top_k=self.top_k, n_shared=self.n_shared, score="sigmoid", normalise=self.normalise, scale=self.expert_scale,
            n_groups=self.n_groups, top_groups=self.top_groups, balance="bias", bias_step=self.bias_step,
        )  # fmt: skip
        dense, sparse = (block_of(attention, channel, norm=norm) for channel in (GLU(d_ff=d_ff), experts))
        decoder = stack_of((dense, self.n_dense), (sparse, shape.n_layers - self.n_dense), final_norm=norm)
        return self.written(vocab_size, decoder, head=Head(tied=self.tied))

    @classmethod
    def from_hf(cls, config: dict[str, Any]) -> Model:
        fixed = {
            "hidden_act": "silu", "attention_bias": False, "rope_interleave": True, "moe_layer_freq": 1, "scoring_func": "sigmoid",
            "topk_method": "noaux_tc", "num_key_value_heads": config.get("num_attention_heads"),
        }  # fmt: skip
        free = ("vocab_size hidden_size intermediate_size moe_intermediate_size num_hidden_layers num_attention_heads n_shared_experts "
                "n_routed_experts num_local_experts routed_scaling_factor kv_lora_rank q_lora_rank qk_rope_head_dim v_head_dim qk_nope_head_dim "
                "n_group topk_group num_experts_per_tok first_k_dense_replace norm_topk_prob max_position_embeddings rms_norm_eps rope_theta "
                "rope_parameters rope_scaling attention_dropout num_nextn_predict_layers num_mtp_layers qk_head_dim head_dim aux_loss_alpha seq_aux "
                "ep_size auto_map output_router_logits")  # fmt: skip
        c = expect(config, fixed | dict.fromkeys(free.split(), ...), cls.model_type)
        rope = read_rope(c, cls.model_type)
        return cls(
            context_length=c["max_position_embeddings"], n_layers=c["num_hidden_layers"], n_heads=c["num_attention_heads"],
            d_model=c["hidden_size"], d_latent=c["kv_lora_rank"], d_query_latent=c["q_lora_rank"], d_nope=c["qk_nope_head_dim"],
            d_rope=c["qk_rope_head_dim"], d_v=c["v_head_dim"], scale=_read_scale(c, rope), n_dense=c["first_k_dense_replace"],
            d_ff=c["intermediate_size"], n_experts=c["n_routed_experts"], top_k=c["num_experts_per_tok"], n_shared=c["n_shared_experts"],
            d_expert=c["moe_intermediate_size"], n_groups=c["n_group"], top_groups=c["topk_group"], normalise=c["norm_topk_prob"],
            expert_scale=c["routed_scaling_factor"], rope_base=rope.base, rope_scaling=rope.scaling, norm_eps=c["rms_norm_eps"],
            tied=c.get("tie_word_embeddings", False),
        ).sentence(c["vocab_size"])  # fmt: skip

    @classmethod
    def to_hf(cls, model: Model, context_length: int) -> dict[str, Any]:
        attention, dense, experts, n_dense = _parts(model)
        norm, width = model.decoder.final_norm, attention.widths(model.d_model)
        assert isinstance(norm, RMSNorm) and isinstance(attention.position, Rope)
        expert = experts.expert
        assert isinstance(expert, GLU)
        return {
            "architectures": [cls.architecture], "model_type": cls.model_type, "vocab_size": model.vocab_size, "hidden_size": model.d_model,
            "intermediate_size": dense.d_ff, "moe_intermediate_size": expert.d_ff, "num_hidden_layers": model.decoder.n_layers,
            "num_attention_heads": attention.n_heads, "num_key_value_heads": attention.n_heads, "n_shared_experts": experts.n_shared,
            "n_routed_experts": experts.n_experts, "routed_scaling_factor": experts.scale, "kv_lora_rank": attention.d_latent,
            "q_lora_rank": attention.d_query_latent, "qk_nope_head_dim": width.nope, "qk_rope_head_dim": width.rope, "v_head_dim": width.v,
            "n_group": experts.n_groups, "topk_group": experts.top_groups, "num_experts_per_tok": experts.top_k,
            "first_k_dense_replace": n_dense, "norm_topk_prob": experts.normalise, "hidden_act": "silu",
            "max_position_embeddings": context_length, "rms_norm_eps": norm.eps, "rope_interleave": True, "attention_bias": False,
            "num_nextn_predict_layers": 0, "tie_word_embeddings": model.head.tied,
            **_write_scale(write_rope(attention.position), attention, width.qk),
        }  # fmt: skip

    @classmethod
    def rules(cls, model: Model) -> list[Rule]:
        attention, _, experts, n_dense = _parts(model)
        n, r, v = attention.widths(model.d_model)
        h, c = attention.n_heads, attention.d_latent
        ours, theirs = "decoder.layers.{i}.sublayers.", "model.layers.{i}."
        mixer, self_attn, mlp = f"{ours}0.mixer.", f"{theirs}self_attn.", f"{theirs}mlp."
        by_head = _turned(h, n, r)
        queries = [Rule(f"{mixer}q.weight", f"{self_attn}q_proj.weight", order=by_head)]
        if attention.d_query_latent is not None:
            queries = [
                Rule(f"{mixer}q_latent.weight", f"{self_attn}q_a_proj.weight"),
                Rule(f"{mixer}q_norm.weight", f"{self_attn}q_a_layernorm.weight"),
                Rule(f"{mixer}q_up.weight", f"{self_attn}q_b_proj.weight", order=by_head),
            ]
        every = [
            *queries,
            Rule(
                (f"{mixer}latent.weight", f"{mixer}key.weight"), f"{self_attn}kv_a_proj_with_mqa.weight", order=_turned(1, c, r)
            ),
            Rule(f"{mixer}norm.weight", f"{self_attn}kv_a_layernorm.weight"),
            Rule(
                (f"{mixer}k_up.weight", f"{mixer}v_up.weight"), f"{self_attn}kv_b_proj.weight", order=_keys_then_values(h, n, v)
            ),
            Rule(f"{mixer}o.weight", f"{self_attn}o_proj.weight"),
            Rule(f"{ours}0.norm.weight", f"{theirs}input_layernorm.weight"),
            Rule(f"{ours}1.norm.weight", f"{theirs}post_attention_layernorm.weight"),
        ]
        rules = [Rule("embedding.weight", "model.embed_tokens.weight"), Rule("decoder.final_norm.weight", "model.norm.weight")]
        if not model.head.tied:
            rules.append(Rule("head.weight", "lm_head.weight"))
        rules += spell(every, model.decoder.n_layers)
        rules += spell(glu_rules(f"{ours}1.mixer.", mlp), n_dense)
        routed = [
            Rule(f"{ours}1.mixer.router.weight", f"{mlp}gate.weight"),
            Rule(f"{ours}1.mixer.bias", f"{mlp}gate.e_score_correction_bias"),
            *(glu_rules(f"{ours}1.mixer.shared.", f"{mlp}shared_experts.") if experts.n_shared else ()),
        ]
        for e in range(experts.n_experts):
            routed += glu_rules(f"{ours}1.mixer.experts.{e}.", f"{mlp}experts.{e}.")
        return rules + spell(routed, model.decoder.n_layers, first=n_dense)


def _parts(model: Model) -> tuple[LatentAttention, GLU, MoE, int]:
    """Attention, the MLP of the first layers, the experts of the others, and how many the first ones are.

    What a model has none of is as the family has it: a config.json says it all the same.
    """
    mixers = [sublayer.mixer for sublayer in model.decoder.sublayers()]
    attention = next(mixer for mixer in mixers if isinstance(mixer, LatentAttention))
    dense = [mixer for mixer in mixers if isinstance(mixer, GLU)]
    experts = [mixer for mixer in mixers if isinstance(mixer, MoE)]
    asked = MoE(expert=GLU(d_ff=8), n_experts=2, top_k=1, n_shared=1, balance="bias", score="sigmoid", normalise=False)
    mlp = dense[0] if dense else GLU(d_ff=gated_width(model.d_model))
    return attention, mlp, experts[0] if experts else asked, len(dense)


def _turned(heads: int, plain: int, turned: int) -> tuple[int, ...]:
    """Where our rows stand among theirs, of heads with so many plain rows and then turned ones.

    They turn rows (0, 1), (2, 3) …, and linnet (0, R/2), (1, R/2 + 1) …: theirs in even places come first.
    """
    pairs = [*range(0, turned, 2), *range(1, turned, 2)]
    return tuple(
        head * (plain + turned) + row for head in range(heads) for row in [*range(plain), *(plain + row for row in pairs)]
    )


def _keys_then_values(heads: int, keys: int, values: int) -> tuple[int, ...]:
    """Where our rows, keys of all heads and then values of all heads, stand among theirs, in which each head has both."""
    step = keys + values
    first = [head * step + row for head in range(heads) for row in range(keys)]
    return (*first, *(head * step + keys + row for head in range(heads) for row in range(values)))


def _sharpened(d_qk: int, factor: float, mscale: float) -> float:
    """What DeepSeek multiplies scores by where texts are longer than in training (YaRN's 0.1 ln s + 1, for all of a head)."""
    return d_qk**-0.5 * (0.1 * mscale * math.log(factor) + 1) ** 2


def _read_scale(config: dict[str, Any], rope: Rope) -> float | None:
    """The scale that `mscale_all_dim` asks for; None without it."""
    said = {**(config.get("rope_scaling") or {}), **(config.get("rope_parameters") or {})}
    mscale = said.get("mscale_all_dim")
    if not mscale or not isinstance(rope.scaling, YarnScaling):
        return None
    return _sharpened(config["qk_nope_head_dim"] + config["qk_rope_head_dim"], rope.scaling.factor, mscale)


def _write_scale(fields: dict[str, Any], attention: LatentAttention, d_qk: int) -> dict[str, Any]:
    """The fields of rope with the `mscale_all_dim` that stands for attention's scale."""
    if attention.scale in (None, d_qk**-0.5):
        return fields
    scaling = attention.position.scaling if isinstance(attention.position, Rope) else None
    if isinstance(scaling, YarnScaling) and scaling.factor > 1:
        mscale = round((math.sqrt(attention.scale * d_qk**0.5) - 1) / (0.1 * math.log(scaling.factor)), 6)
        if mscale and _sharpened(d_qk, scaling.factor, mscale) == attention.scale:
            both = ("rope_parameters", "rope_scaling")
            return fields | {name: fields[name] | {"mscale_all_dim": mscale} for name in both}
    raise ConfigError(
        explain(
            f"scale = {attention.scale} of latent attention, which a config.json of DeepSeek-V3 cannot say",
            need="the scale that is its default, or that mscale_all_dim makes of it with yarn",
        )
    )

"""Mamba (2312.00752): nothing but selective state spaces, RMSNorm before each, a tied head.

A Mamba sublayer stands for attention and MLP together: it has half of their parameters, so there are two where a transformer
has one layer, and they need no positions.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from linnet.core.rules import Rule, spell
from linnet.model import Head, Init, Mamba, Model, RMSNorm
from linnet.model.spec import EXAMPLE_WIDTH
from linnet.zoo.family import HuggingFace, Sized, block_of, expect, expect_layers, stack_of


class MambaFamily(Sized, HuggingFace):
    """Mamba: selective state spaces alone, no attention, no MLP.

    n_layers         layers; default: two for each one of a transformer of that size
    d_state          numbers that each channel remembers
    d_conv           places that the convolution reaches over
    expand           channels for each number of the stream
    dt_rank          width through which the steps go; default: d_model / 16, rounded up
    bias             biases on the way into a layer and out of it
    conv_bias        a bias behind the convolution
    dt_min           the shortest step at the start
    dt_max           the longest step at the start
    tied             the head is the embedding's own matrix
    norm_eps         added to the mean square in norms
    """

    kind: Literal["mamba"] = "mamba"
    model_type: ClassVar[str] = "mamba"
    architecture: ClassVar[str] = "MambaForCausalLM"

    d_state: int = Field(default=16, ge=1)
    d_conv: int = Field(default=4, ge=2)
    expand: int = Field(default=2, ge=1)
    dt_rank: int | None = Field(default=None, ge=1)
    bias: bool = False
    conv_bias: bool = True
    dt_min: float = Field(default=1e-3, gt=0)
    dt_max: float = Field(default=0.1, gt=0)
    tied: bool = True
    norm_eps: float = Field(default=1e-5, gt=0)

    @classmethod
    def examples(cls) -> tuple[MambaFamily, ...]:
        plain = cls(n_layers=2, d_model=EXAMPLE_WIDTH, d_state=4)
        other = plain.replace(
            size="nano", context_length=96, n_layers=1, d_conv=3, expand=1, dt_rank=3, bias=True, conv_bias=False, dt_min=0.01,
            dt_max=0.2, tied=False, norm_eps=0.1, dropout=0.25,
        )  # fmt: skip
        return plain, other

    def sentence(self, vocab_size: int) -> Model:
        norm = RMSNorm(eps=self.norm_eps)
        mixer = {name: getattr(self, name) for name in Mamba.model_fields if name in type(self).model_fields and name != "kind"}
        block = block_of(Mamba(**mixer), norm=norm)
        decoder = stack_of((block, self.n_layers or 2 * self.shape.n_layers), final_norm=norm)
        init = Init(std=None, embedding_std=0.02, residual="scaled")
        return self.written(vocab_size, decoder, head=Head(tied=self.tied), init=init)

    @classmethod
    def from_hf(cls, config: dict[str, Any]) -> Model:
        fixed = {"hidden_act": "silu", "rms_norm": True, "ssm_cfg": {}}
        free = ("vocab_size hidden_size state_size num_hidden_layers layer_norm_epsilon expand conv_kernel use_bias use_conv_bias "
                "time_step_rank time_step_min time_step_max time_step_scale time_step_init_scheme time_step_floor residual_in_fp32 "
                "rescale_prenorm_residual use_mambapy use_associative_scan intermediate_size layer_types tie_word_embeddings "
                "d_model d_inner n_layer fused_add_norm pad_vocab_size_multiple")  # fmt: skip
        c = expect(config, fixed | dict.fromkeys(free.split(), ...), cls.model_type)
        expect_layers(c, "layer_types", ["linear_attention"] * c["num_hidden_layers"], cls.model_type)
        rank = c.get("time_step_rank", "auto")
        return cls(
            n_layers=c["num_hidden_layers"],
            d_model=c["hidden_size"],
            d_state=c["state_size"],
            d_conv=c["conv_kernel"],
            expand=c["expand"],
            dt_rank=None if rank == "auto" else rank,
            bias=c["use_bias"],
            conv_bias=c["use_conv_bias"],
            dt_min=c.get("time_step_min", 1e-3),
            dt_max=c.get("time_step_max", 0.1),
            tied=c.get("tie_word_embeddings", True),
            norm_eps=c["layer_norm_epsilon"],
        ).sentence(c["vocab_size"])

    @classmethod
    def to_hf(cls, model: Model, context_length: int) -> dict[str, Any]:
        mamba, norm = next(model.decoder.sublayers()).mixer, model.decoder.final_norm
        assert isinstance(mamba, Mamba) and isinstance(norm, RMSNorm)
        return {
            "architectures": [cls.architecture], "model_type": cls.model_type, "vocab_size": model.vocab_size, "hidden_size": model.d_model,
            "num_hidden_layers": model.decoder.n_layers, "state_size": mamba.d_state, "conv_kernel": mamba.d_conv, "expand": mamba.expand,
            "intermediate_size": mamba.channels(model.d_model), "time_step_rank": mamba.rank(model.d_model), "time_step_min": mamba.dt_min,
            "time_step_max": mamba.dt_max, "use_bias": mamba.bias, "use_conv_bias": mamba.conv_bias, "hidden_act": "silu",
            "layer_norm_epsilon": norm.eps, "tie_word_embeddings": model.head.tied,
        }  # fmt: skip

    @classmethod
    def rules(cls, model: Model) -> list[Rule]:
        mamba = next(model.decoder.sublayers()).mixer
        assert isinstance(mamba, Mamba)
        ours, theirs = "decoder.layers.{i}.sublayers.0.", "backbone.layers.{i}."
        rules = [
            Rule("embedding.weight", "backbone.embeddings.weight"),
            Rule("decoder.final_norm.weight", "backbone.norm_f.weight"),
            Rule(f"{ours}norm.weight", f"{theirs}norm.weight"),
            *mamba_rules(mamba, f"{ours}mixer.", f"{theirs}mixer."),
        ]
        if not model.head.tied:
            rules.append(Rule("head.weight", "lm_head.weight"))
        return spell(rules, model.decoder.n_layers)


def mamba_rules(mamba: Mamba, ours: str, theirs: str) -> list[Rule]:
    """The name map of one Mamba sublayer whose names begin so, without norms inside it."""
    rules = [
        Rule(f"{ours}convolution.taps", f"{theirs}conv1d.weight", taps=True),
        Rule(f"{ours}selection.weight", f"{theirs}x_proj.weight"),
        Rule(f"{ours}dt.weight", f"{theirs}dt_proj.weight"),
        Rule(f"{ours}dt.bias", f"{theirs}dt_proj.bias"),
        Rule(f"{ours}a_log", f"{theirs}A_log"),
        Rule(f"{ours}skip", f"{theirs}D"),
    ]
    for kind in ("weight", "bias") if mamba.bias else ("weight",):
        rules.append(Rule((f"{ours}x.{kind}", f"{ours}gate.{kind}"), f"{theirs}in_proj.{kind}"))
        rules.append(Rule(f"{ours}o.{kind}", f"{theirs}out_proj.{kind}"))
    if mamba.conv_bias:
        rules.append(Rule(f"{ours}convolution_bias", f"{theirs}conv1d.bias"))
    return rules

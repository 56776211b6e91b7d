"""Mixtral 8x7B (2401.04088): Mistral's shape with a mixture of gated MLPs in every layer, of which each token asks two."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import Field

from linnet.core.rules import Rule
from linnet.model import GLU, Model, MoE
from linnet.model.spec import ChannelMixer, Mixer
from linnet.zoo.family import gated_width, stacked_expert_rules
from linnet.zoo.llama import LlamaShape


class Mixtral(LlamaShape):
    """Mixtral: Llama's shape, with experts in place of the MLP.

    n_experts        experts a layer
    top_k            how many of them each token asks
    balance_weight   of the loss that keeps all experts in use, a layer
    """

    kind: Literal["mixtral"] = "mixtral"
    rope_base: float = Field(default=1_000_000.0, gt=1)
    n_experts: int = Field(default=8, ge=1)
    top_k: int = Field(default=2, ge=1)
    balance_weight: float = Field(default=0.01, ge=0)
    model_type: ClassVar[str] = "mixtral"
    architecture: ClassVar[str] = "MixtralForCausalLM"
    hf_absent: ClassVar[Mapping[str, Any]] = {
        "num_key_value_heads": 8, "rms_norm_eps": 1e-5, "max_position_embeddings": 131_072, "router_aux_loss_coef": 0.001,
    }  # fmt: skip
    hf_rope_base: ClassVar[float] = 1_000_000.0
    # their coefficient multiplies the mean over layers of top_k times our loss: it is carried as a number, not as a meaning;
    # noise on the router is of their training alone
    hf_more: ClassVar[Mapping[str, str | None]] = {
        "num_local_experts": "n_experts", "num_experts_per_tok": "top_k", "router_aux_loss_coef": "balance_weight",
        "router_jitter_noise": None, "output_router_logits": None,
    }  # fmt: skip

    @classmethod
    def examples(cls) -> tuple[Self, ...]:
        first, *rest = super().examples()
        return first.replace(n_experts=3, d_ff=20, balance_weight=0.1), first.replace(top_k=3, n_experts=4, d_ff=12), *rest

    def channel(self) -> ChannelMixer:
        expert = GLU(d_ff=self.d_ff or gated_width(self.shape.d_model))
        return MoE(expert=expert, n_experts=self.n_experts, top_k=self.top_k, balance_weight=self.balance_weight)

    @classmethod
    def hf_window(cls, config: dict[str, Any]) -> int | None:
        return config.get("sliding_window")

    @classmethod
    def hf_channel(cls, mixer: Mixer) -> dict[str, Any]:
        assert isinstance(mixer, MoE) and isinstance(mixer.expert, GLU)
        return {
            "intermediate_size": mixer.expert.d_ff, "num_local_experts": mixer.n_experts, "num_experts_per_tok": mixer.top_k,
            "router_aux_loss_coef": mixer.balance_weight,
        }  # fmt: skip

    @classmethod
    def channel_rules(cls, model: Model, ours: str, theirs: str) -> list[Rule]:
        """One tensor for all experts, as transformers 5 holds them."""
        router = Rule(f"{ours}router.weight", f"{theirs}mlp.gate.weight")
        return [router, *stacked_expert_rules(ours, f"{theirs}mlp.", experts_of(model))]

    @classmethod
    def published_channel_rules(cls, model: Model, ours: str, theirs: str) -> list[Rule]:
        """Each expert by itself, as the weights were published."""
        theirs, names = f"{theirs}block_sparse_moe.", {"gate": "w1", "up": "w3", "down": "w2"}
        rules = [Rule(f"{ours}router.weight", f"{theirs}gate.weight")]
        for e in range(experts_of(model)):
            rules += [Rule(f"{ours}experts.{e}.{part}.weight", f"{theirs}experts.{e}.{w}.weight") for part, w in names.items()]
        return rules

    @classmethod
    def rules_for(cls, model: Model, names: Collection[str]) -> list[Rule]:
        published = any(".block_sparse_moe." in name for name in names)
        return cls.shared_rules(model, cls.published_channel_rules if published else cls.channel_rules)


def experts_of(model: Model) -> int:
    """Experts in the first layer of a sentence."""
    return next(s.mixer.n_experts for s in model.decoder.sublayers() if isinstance(s.mixer, MoE))

"""Mistral 7B (2310.06825): Llama's shape with grouped queries and a sliding window."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from linnet.zoo.llama import LlamaShape


class Mistral(LlamaShape):
    """Mistral: Llama's shape, each place sees a window."""

    kind: Literal["mistral"] = "mistral"
    window: int | None = Field(default=128, ge=1)
    model_type: ClassVar[str] = "mistral"
    architecture: ClassVar[str] = "MistralForCausalLM"
    hf_absent: ClassVar[Mapping[str, Any]] = {
        "num_key_value_heads": 8, "sliding_window": 4096, "rms_norm_eps": 1e-6, "max_position_embeddings": 131_072,
    }  # fmt: skip

    @classmethod
    def hf_window(cls, config: dict[str, Any]) -> int | None:
        return config.get("sliding_window")

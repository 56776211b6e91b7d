"""Qwen3 (2505.09388): Llama's shape with QK-norm, grouped queries and a head width of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from linnet.zoo.llama import LlamaShape


class Qwen3(LlamaShape):
    """Qwen3: Llama's shape with QK-norm; small ones tie the head."""

    kind: Literal["qwen3"] = "qwen3"
    qk_norm: bool = True
    tied: bool = True
    rope_base: float = 1_000_000.0
    norm_eps: float = 1e-6
    model_type: ClassVar[str] = "qwen3"
    architecture: ClassVar[str] = "Qwen3ForCausalLM"
    hf_absent: ClassVar[Mapping[str, Any]] = {
        "num_key_value_heads": 32, "head_dim": 128, "rms_norm_eps": 1e-6, "max_position_embeddings": 32_768,
    }  # fmt: skip

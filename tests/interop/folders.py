"""Hugging Face folders as `transformers` makes them: tiny random models, and a tokenizer that the `tokenizers` library trained."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tokenizers
import torch
import transformers

from linnet.data.worlds.stories import story

SIZE = 304  # ids
END = "<|endoftext|>"
ATTENTION = {
    "vocab_size": SIZE, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "max_position_embeddings": 96, "initializer_range": 0.2,
}  # fmt: skip
STOP = {"bos_token_id": None, "eos_token_id": 0, "pad_token_id": None}
CONFIGS: dict[str, Callable[..., Any]] = {
    "gpt2": functools.partial(
        transformers.GPT2Config, vocab_size=SIZE, n_positions=96, n_embd=32, n_layer=2, n_head=4, initializer_range=0.2
    ),
    "llama": functools.partial(transformers.LlamaConfig, **ATTENTION),
    "mistral": functools.partial(transformers.MistralConfig, **ATTENTION, sliding_window=9),
    "qwen3": functools.partial(transformers.Qwen3Config, **ATTENTION, head_dim=10, tie_word_embeddings=True),
    "bitnet": functools.partial(transformers.BitNetConfig, **ATTENTION),
    "mixtral": functools.partial(transformers.MixtralConfig, **ATTENTION, num_local_experts=4),
    "mamba": functools.partial(
        transformers.MambaConfig, vocab_size=SIZE, hidden_size=32, state_size=6, num_hidden_layers=2, initializer_range=0.2
    ),
    "deepseek_v3": functools.partial(
        transformers.DeepseekV3Config, **ATTENTION | {"num_key_value_heads": 4}, moe_intermediate_size=16, n_routed_experts=4, q_lora_rank=12,
        kv_lora_rank=10, qk_rope_head_dim=8, qk_nope_head_dim=6, v_head_dim=8, n_group=2, topk_group=1, num_experts_per_tok=2,
        first_k_dense_replace=1,
    ),
}  # fmt: skip


@functools.cache
def trained() -> str:
    """The content of a byte-level tokenizer.json of SIZE ids, <|endoftext|> the first of them."""
    made = tokenizers.Tokenizer(tokenizers.models.BPE())
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=SIZE,
        special_tokens=[END, "<|im_start|>", "<|im_end|>"],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator([story(seed=0, index=index).text for index in range(60)], trainer)
    assert made.get_vocab_size() == SIZE
    return made.to_str()


def hf_tokenizer(**more: Any) -> Any:
    made = tokenizers.Tokenizer.from_str(trained())
    return transformers.PreTrainedTokenizerFast(tokenizer_object=made, eos_token=END, **more)


def hf_model(config: Any, *, seed: int = 0) -> Any:
    torch.manual_seed(seed)
    made = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    draws = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.empty_like(parameter).normal_(0, 0.1, generator=draws))
    return made


def make(folder: Path, family: str = "llama", *, shard: str = "5GB", tokenizer: Any = None, **changes: Any) -> Any:
    """Write a folder as `transformers` does; gives the model."""
    model = hf_model(CONFIGS[family](**STOP | changes))
    model.generation_config.eos_token_id = model.config.eos_token_id
    model.save_pretrained(folder, max_shard_size=shard)
    (tokenizer or hf_tokenizer()).save_pretrained(folder)
    return model


def edit(path: Path, **changes: Any) -> None:
    """Change some fields of a JSON table; ... leaves one out."""
    table = json.loads(path.read_text("utf-8")) | changes
    path.write_text(json.dumps({key: value for key, value in table.items() if value is not ...}), "utf-8")

"""Longformer (2004.05150): BERT's shape for long texts, a window in each layer and a few places that see all.

    hidden = layers(norm(embedding + position + kind))      layers: longformer + MLP, a norm behind each

Which places are global is no part of the model and none of its config.json: the first `n_global` of each text where a pass says
nothing, and those that it marks otherwise (`network(tokens, marked=…)`: the words of a question). Hugging Face's model has none
unless it is told, so what it gives without a `global_attention_mask` is what ours gives with no place marked. It also counts no
position at the id of padding, which in our vocabularies is a token like others: `beside` says both.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from linnet.core.errors import ConfigError, explain
from linnet.core.rules import Rule
from linnet.model import MLP, Head, Init, LayerNorm, Learned, Longformer, Model
from linnet.model.spec import EXAMPLE_WIDTH
from linnet.zoo.bert import encoder_config, encoder_fields, encoder_rules, head_rules
from linnet.zoo.family import HuggingFace, WithHeads, block_of, expect, stack_of

PADDING = 1  # the id of padding in RoBERTa's vocabulary: positions are counted from behind it, so that the first has row 2
PROJECTIONS = {
    "q": "query", "k": "key", "v": "value", "q_global": "query_global", "k_global": "key_global", "v_global": "value_global",
}  # fmt: skip


class LongformerFamily(WithHeads, HuggingFace):
    """Longformer: places see both ways within a window, and a few see all.

    window          how far a place sees to each side, itself included
    layer_windows   the same for each layer by itself; default: `window` in all
    n_global        tokens at the beginning of each text that see and are seen by all of it, where a pass marks no others
    d_ff            width inside the MLP; default: 4 · d_model
    masked_head     the head that says what stood at masked places; without it, hidden states are what it is for
    n_token_types   kinds of places, each with a vector
    norm_eps        added to the variance in norms
    """

    kind: Literal["longformer"] = "longformer"
    window: int = Field(default=128, ge=1)
    layer_windows: tuple[int, ...] | None = Field(default=None, strict=False)
    n_global: int = Field(default=1, ge=1)
    d_ff: int | None = Field(default=None, ge=1)
    masked_head: bool = True
    n_token_types: int = Field(default=1, ge=0)
    norm_eps: float = Field(default=1e-5, gt=0)
    model_type: ClassVar[str] = "longformer"
    architecture: ClassVar[str] = "LongformerForMaskedLM"
    headless: ClassVar[str] = "LongformerModel"
    ignored: ClassVar[tuple[str, ...]] = (
        r"(longformer\.)?embeddings\.position_ids",  # 0, 1, 2 …
        r"(longformer\.)?pooler\.dense\.(weight|bias)",
        r"lm_head\.decoder\.(weight|bias)",  # the tied ones
    )
    usage: ClassVar[tuple[str, ...]] = (
        "# the first token sees and is seen by all of the text, and every id counts as a place: no config.json can say so",
        'ids = tokenizer("Once upon a time", return_tensors="pt").input_ids',
        f"positions = torch.arange(ids.shape[1]).expand_as(ids) + {PADDING + 1}",
        "first = torch.zeros_like(ids).index_fill(1, torch.tensor([0]), 1)",
        "out = model(ids, global_attention_mask=first, position_ids=positions)",
    )

    @classmethod
    def examples(cls) -> tuple[LongformerFamily, ...]:
        plain = cls(n_layers=2, n_heads=4, d_model=EXAMPLE_WIDTH, context_length=96, window=4)
        other = cls(
            n_layers=2, n_heads=2, d_model=EXAMPLE_WIDTH, layer_windows=(2, 5), n_global=2, d_ff=24, masked_head=False, n_token_types=2, norm_eps=0.1,
            dropout=0.25,
        )  # fmt: skip
        return plain, other, cls(size="nano", n_layers=1, n_token_types=0)

    def sentence(self, vocab_size: int) -> Model:
        shape, norm = self.shape, LayerNorm(eps=self.norm_eps)
        windows = self.layer_windows or (self.window,) * shape.n_layers
        if len(windows) != shape.n_layers or min(windows) < 1:
            got = f"layer_windows = {list(windows)} for n_layers = {shape.n_layers}"
            raise ConfigError(explain(got, need="one of at least 1 for each layer", hint="window: 128, for all"))
        mlp = MLP(d_ff=self.d_ff or 4 * shape.d_model, activation="gelu", bias=True)
        mixers = [Longformer(n_heads=shape.n_heads, window=window, n_global=self.n_global, bias=True) for window in windows]
        if len(set(windows)) == 1:
            decoder = stack_of((block_of(mixers[0], mlp, norm=norm, place="post"), shape.n_layers))
        else:
            decoder = stack_of(*((block_of(mixer, mlp, norm=norm, place="post"), 1) for mixer in mixers))
        return self.written(
            vocab_size,
            decoder,
            position=Learned(max_length=self.context_length),
            n_token_types=self.n_token_types,
            embedding_norm=norm,
            head=Head(bias=self.masked_head, transform=norm if self.masked_head else None),
            init=Init(std=0.02, residual="plain"),
        )

    @classmethod
    def from_hf(cls, config: dict[str, Any]) -> Model:
        fixed: dict[str, Any] = {
            "hidden_act": "gelu", "position_embedding_type": "absolute", "tie_word_embeddings": True, "pad_token_id": PADDING,
            "attention_mode": "longformer", "ignore_attention_mask": False,
        }  # fmt: skip
        free = ("vocab_size hidden_size num_hidden_layers num_attention_heads intermediate_size max_position_embeddings type_vocab_size "
                "layer_norm_eps hidden_dropout_prob attention_probs_dropout_prob attention_window gradient_checkpointing onnx_export architectures")  # fmt: skip
        c = expect(config, fixed | dict.fromkeys(free.split(), ...), cls.model_type)
        n_layers, sides = c["num_hidden_layers"], c.get("attention_window", 512)
        sides = [sides] * n_layers if isinstance(sides, int) else sides
        return cls(
            context_length=c["max_position_embeddings"] - PADDING - 1,
            layer_windows=tuple(both // 2 + 1 for both in sides),  # theirs counts both sides, and not the place itself
            **encoder_fields(c, headless=cls.headless),
        ).sentence(c["vocab_size"])

    @classmethod
    def to_hf(cls, model: Model, context_length: int) -> dict[str, Any]:
        attention = next(model.decoder.sublayers()).mixer
        assert isinstance(attention, Longformer)
        assert model.max_length is not None
        windows = [sublayer.mixer.window for sublayer in model.decoder.sublayers() if isinstance(sublayer.mixer, Longformer)]
        sides = [window - 1 for window in windows]
        if min(sides) < 2 or any(max(sides) % side for side in sides):  # what their tiles can compute
            need = "windows of 3 or more, each but for itself a divisor of the largest, as Hugging Face's Longformer has them"
            raise ConfigError(explain(f"windows {windows}", need=need, hint="one window for all"))
        if attention.n_global != 1:
            need = "one, which is what a config.json that cannot say it is read as"
            raise ConfigError(explain(f"n_global = {attention.n_global}", need=need, hint="marked places"))
        return encoder_config(model, n_heads=attention.n_heads) | {
            "architectures": [cls.architecture if model.head.transform is not None else cls.headless],
            "model_type": cls.model_type,
            "attention_window": [2 * side for side in sides],
            "max_position_embeddings": model.max_length + PADDING + 1,
            "pad_token_id": PADDING,
        }

    @classmethod
    def beside(cls, ids: Tensor) -> dict[str, Tensor]:
        places = torch.arange(ids.shape[1], device=ids.device).expand_as(ids)
        return {"global_attention_mask": (places == 0).long(), "position_ids": places + PADDING + 1}

    @classmethod
    def rules(cls, model: Model) -> list[Rule]:
        prefix = "longformer." if model.head.transform is not None else ""
        rules = encoder_rules(model, prefix, PROJECTIONS, skipped_positions=PADDING + 1)
        return rules + head_rules(model, "lm_head.dense", "lm_head.layer_norm", "lm_head.bias")

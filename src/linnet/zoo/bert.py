"""BERT (1810.04805): layers that see both ways, a norm behind each sublayer, learned positions, and a kind for each place.

    hidden = layers(norm(embedding + position + kind))      scores = norm(gelu(hidden W + b)) · embeddingᵀ + b′

Read in by Hugging Face's names with its head (BertForMaskedLM) or without one (BertModel, as sentence embedders are kept: the mean of
hidden states is what they are used for, generate/embed.py). The pooler, a matrix over the first place that only the second of BERT's
two training tasks had, is left out.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from linnet.core.rules import Rule, spell
from linnet.model import MLP, Attention, Head, Init, LayerNorm, Learned, Model
from linnet.model.spec import EXAMPLE_WIDTH
from linnet.zoo.family import Decoder, HuggingFace, block_of, expect, stack_of


class Bert(Decoder, HuggingFace):
    """BERT: every place sees both ways.

    masked_head     the head that says what stood at masked places; without it, hidden states are what it is for
    n_token_types   kinds of places: the first and the second sentence
    norm_eps        added to the variance in norms
    """

    kind: Literal["bert"] = "bert"
    masked_head: bool = True
    n_token_types: int = Field(default=2, ge=0)
    norm_eps: float = Field(default=1e-12, gt=0)
    model_type: ClassVar[str] = "bert"
    architecture: ClassVar[str] = "BertForMaskedLM"
    headless: ClassVar[str] = "BertModel"
    ignored: ClassVar[tuple[str, ...]] = (
        r"(bert\.)?embeddings\.position_ids",  # 0, 1, 2 …
        r"(bert\.)?pooler\.dense\.(weight|bias)",
        r"cls\.seq_relationship\.(weight|bias)",
        r"cls\.predictions\.decoder\.(weight|bias)",  # the tied ones
    )

    @classmethod
    def examples(cls) -> tuple[Bert, ...]:
        other = cls(n_layers=1, n_heads=4, d_model=EXAMPLE_WIDTH, masked_head=False, n_token_types=0, norm_eps=1e-5)
        return *super().examples(), other

    def sentence(self, vocab_size: int) -> Model:
        shape, norm = self.shape, LayerNorm(eps=self.norm_eps)
        attention = Attention(n_heads=shape.n_heads, n_kv_heads=self.n_kv_heads, d_head=self.d_head, causal=False, bias=True)
        mlp = MLP(d_ff=self.d_ff or 4 * shape.d_model, activation="gelu", bias=True)
        block = block_of(attention, mlp, norm=norm, place="post")
        return self.written(
            vocab_size,
            stack_of((block, shape.n_layers)),
            position=Learned(max_length=self.context_length),
            n_token_types=self.n_token_types,
            embedding_norm=norm,
            head=Head(bias=self.masked_head, transform=norm if self.masked_head else None),
            init=Init(std=0.02, residual="plain"),
        )

    @classmethod
    def from_hf(cls, config: dict[str, Any]) -> Model:
        known: dict[str, Any] = {
            "hidden_act": "gelu", "position_embedding_type": "absolute", "tie_word_embeddings": True, "is_decoder": False, "add_cross_attention": False,
        }  # fmt: skip
        free = ("vocab_size hidden_size num_hidden_layers num_attention_heads intermediate_size max_position_embeddings type_vocab_size "
                "layer_norm_eps hidden_dropout_prob attention_probs_dropout_prob gradient_checkpointing classifier_dropout architectures")  # fmt: skip
        c = expect(config, known | dict.fromkeys(free.split(), ...), "bert")
        return cls(context_length=c["max_position_embeddings"], **encoder_fields(c, headless=cls.headless)).sentence(
            c["vocab_size"]
        )

    @classmethod
    def to_hf(cls, model: Model, context_length: int) -> dict[str, Any]:
        attention = next(model.decoder.sublayers()).mixer
        assert isinstance(attention, Attention)
        return encoder_config(model, n_heads=attention.n_heads) | {
            "architectures": [cls.architecture if model.head.transform is not None else cls.headless],
            "model_type": cls.model_type,
            "max_position_embeddings": model.max_length,
        }

    @classmethod
    def rules(cls, model: Model) -> list[Rule]:
        rules = encoder_rules(
            model, "bert." if model.head.transform is not None else "", {"q": "query", "k": "key", "v": "value"}
        )
        theirs = "cls.predictions."
        return rules + head_rules(model, f"{theirs}transform.dense", f"{theirs}transform.LayerNorm", f"{theirs}bias")


def encoder_fields(config: dict[str, Any], *, headless: str) -> dict[str, Any]:
    """The fields of a family of this kind as a config.json of BERT's or of its heirs' says them; headless: its model without a head."""
    return {
        "n_layers": config["num_hidden_layers"],
        "n_heads": config["num_attention_heads"],
        "d_model": config["hidden_size"],
        "d_ff": config["intermediate_size"],
        "n_token_types": config.get("type_vocab_size", 2),
        "norm_eps": config.get("layer_norm_eps", 1e-12),
        "masked_head": headless not in (config.get("architectures") or ()),
    }


def encoder_config(model: Model, *, n_heads: int) -> dict[str, Any]:
    """What the config.json of all of them says."""
    mlp, norm = next(model.decoder.blocks()).sublayers[1].mixer, model.embedding_norm
    assert isinstance(mlp, MLP) and isinstance(norm, LayerNorm)
    return {
        "vocab_size": model.vocab_size, "hidden_size": model.d_model, "num_hidden_layers": model.decoder.n_layers,
        "num_attention_heads": n_heads, "intermediate_size": mlp.d_ff, "type_vocab_size": model.n_token_types,
        "layer_norm_eps": norm.eps, "hidden_act": "gelu", "tie_word_embeddings": True, "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
    }  # fmt: skip


def encoder_rules(model: Model, prefix: str, projections: dict[str, str], *, skipped_positions: int = 0) -> list[Rule]:
    """The name map of embeddings and layers as BERT and its heirs have them.

    projections         what our attention's matrices are called there
    skipped_positions   rows of theirs in front of the first position
    """
    ours, theirs, outer = "decoder.layers.{i}.sublayers.", prefix + "encoder.layer.{i}.", prefix + "embeddings."
    rules = [
        Rule("embedding.weight", f"{outer}word_embeddings.weight"),
        Rule("position.weight", f"{outer}position_embeddings.weight", skip=skipped_positions),
    ]
    if model.n_token_types:
        rules.append(Rule("token_types", f"{outer}token_type_embeddings.weight"))
    for kind in ("weight", "bias"):
        rules += [
            Rule(f"{ours}0.mixer.{part}.{kind}", f"{theirs}attention.self.{name}.{kind}") for part, name in projections.items()
        ]
        rules += [
            Rule(f"embedding_norm.{kind}", f"{outer}LayerNorm.{kind}"),
            Rule(f"{ours}0.mixer.o.{kind}", f"{theirs}attention.output.dense.{kind}"),
            Rule(f"{ours}0.norm.{kind}", f"{theirs}attention.output.LayerNorm.{kind}"),
            Rule(f"{ours}1.mixer.up.{kind}", f"{theirs}intermediate.dense.{kind}"),
            Rule(f"{ours}1.mixer.down.{kind}", f"{theirs}output.dense.{kind}"),
            Rule(f"{ours}1.norm.{kind}", f"{theirs}output.LayerNorm.{kind}"),
        ]
    return spell(rules, model.decoder.n_layers)


def head_rules(model: Model, dense: str, norm: str, bias: str) -> list[Rule]:
    """The name map of what hidden states go through before they are compared with the embedding, and of what is added to the scores."""
    rules = []
    if model.head.transform is not None:
        rules = [
            Rule(f"head_transform.{part}.{kind}", f"{name}.{kind}")
            for kind in ("weight", "bias")
            for part, name in (("dense", dense), ("norm", norm))
        ]
    return [*rules, Rule("head_bias", bias)] if model.head.bias else rules

"""Marian (1804.00344): the original transformer as the translators of OPUS-MT are kept, with Hugging Face's weights in and out.

What sets it apart from zoo/translate.py: sines in the first half of a position and cosines in the second, silu inside the MLP, norms
behind each sublayer as the paper has them, and one number more for each id in the scores. Its decoder begins with the id of padding.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field
from torch import Tensor

from linnet.core.errors import ConfigError, explain
from linnet.core.rules import Rule, spell
from linnet.model import MLP, Attention, Head, Model, Sinusoidal
from linnet.model.spec import EXAMPLE_WIDTH
from linnet.ops.activation import ActivationName
from linnet.zoo.family import HuggingFace, expect
from linnet.zoo.translate import Translate

ACTIVATIONS: dict[str, ActivationName] = {
    "swish": "silu",
    "silu": "silu",
    "relu": "relu",
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
}


class Marian(Translate, HuggingFace):
    """Marian: an encoder and a decoder that translates, as OPUS-MT's models are.

    scaled         the embedding is multiplied by √D
    d_ff_encoder   width inside the encoder's MLP; default: as the decoder's
    """

    kind: Literal["marian"] = "marian"  # type: ignore[assignment]
    place: Literal["pre", "post"] = "post"
    activation: ActivationName = "silu"
    scaled: bool = True
    d_ff_encoder: int | None = Field(default=None, ge=1)
    model_type: ClassVar[str] = "marian"
    architecture: ClassVar[str] = "MarianMTModel"
    ignored: ClassVar[tuple[str, ...]] = (
        r"model\.(encoder|decoder)\.embed_positions\.weight",  # sines and cosines
        r"model\.(encoder|decoder)\.embed_tokens\.weight",  # the shared one
    )
    usage: ClassVar[tuple[str, ...]] = (
        "# a source ends in the end token",
        'source = tokenizer("ein Hund" + tokenizer.eos_token, return_tensors="pt").input_ids',
        "said = tokenizer.decode(model.generate(source, max_new_tokens=64)[0], skip_special_tokens=True)",
    )

    @classmethod
    def examples(cls) -> tuple[Marian, ...]:
        plain = cls(n_layers=2, n_heads=4, d_model=EXAMPLE_WIDTH, context_length=96)
        other = cls(
            n_layers=1, n_heads=2, d_model=EXAMPLE_WIDTH, n_encoder_layers=2, activation="relu", scaled=False, d_ff=24, d_ff_encoder=20,
            dropout=0.25,
        )  # fmt: skip
        unsaid = cls(
            n_layers=1, n_heads=4, n_kv_heads=2, d_head=6, d_model=EXAMPLE_WIDTH, place="pre"
        )  # by no config.json of theirs
        return plain, other, unsaid, cls(size="nano", n_layers=1)

    def sentence(self, vocab_size: int) -> Model:
        model, position = super().sentence(vocab_size), Sinusoidal(halves=True)
        assert model.encoder is not None
        encoder = model.encoder.replace(position=position)
        if self.d_ff_encoder is not None:
            [repeat] = encoder.stack.layers
            attention, mlp = repeat.pattern[0].sublayers
            narrow = mlp.replace(mixer=mlp.mixer.replace(d_ff=self.d_ff_encoder))
            block = repeat.pattern[0].replace(sublayers=(attention, narrow))
            encoder = encoder.replace(stack=encoder.stack.replace(layers=(repeat.replace(pattern=(block,)),)))
        return model.replace(
            encoder=encoder,
            position=position,
            embedding_scale="sqrt_d_model" if self.scaled else "one",
            head=Head(tied=True, bias=True),
        )

    @classmethod
    def from_hf(cls, config: dict[str, Any]) -> Model:
        fixed: dict[str, Any] = {
            "is_decoder": False, "is_encoder_decoder": True, "share_encoder_decoder_embeddings": True, "tie_word_embeddings": True,
            "decoder_attention_heads": config.get("encoder_attention_heads"), "decoder_vocab_size": config.get("vocab_size"),
            "normalize_embedding": False, "normalize_before": False, "add_final_layer_norm": False, "add_bias_logits": False,
            "static_position_embeddings": True, "extra_pos_embeddings": config.get("extra_pos_embeddings"),
        }  # fmt: skip
        free = ("vocab_size d_model encoder_layers decoder_layers encoder_ffn_dim decoder_ffn_dim encoder_attention_heads "
                "activation_function scale_embedding max_position_embeddings num_hidden_layers hidden_size num_attention_heads dropout "
                "attention_dropout activation_dropout encoder_layerdrop decoder_layerdrop init_std classifier_dropout classif_dropout "
                "decoder_start_token_id forced_eos_token_id bad_words_ids max_length num_beams gradient_checkpointing")  # fmt: skip
        c = expect(config, fixed | dict.fromkeys(free.split(), ...), cls.model_type)
        activation = c.get("activation_function", "gelu")
        if activation not in ACTIVATIONS:
            raise ConfigError(explain(f"activation_function = {activation!r} of a marian config", need=", ".join(ACTIVATIONS)))
        return cls(
            context_length=c["max_position_embeddings"], n_layers=c["decoder_layers"], n_encoder_layers=c["encoder_layers"],
            n_heads=c["encoder_attention_heads"], d_model=c["d_model"], d_ff=c["decoder_ffn_dim"], d_ff_encoder=c["encoder_ffn_dim"],
            activation=ACTIVATIONS[activation], scaled=c.get("scale_embedding", False),
        ).sentence(c["vocab_size"])  # fmt: skip

    @classmethod
    def to_hf(cls, model: Model, context_length: int) -> dict[str, Any]:
        assert model.encoder is not None
        attention, _, mlp = (sublayer.mixer for sublayer in next(model.decoder.blocks()).sublayers)
        _, encoder_mlp = (sublayer.mixer for sublayer in next(model.encoder.stack.blocks()).sublayers)
        assert isinstance(attention, Attention) and isinstance(mlp, MLP) and isinstance(encoder_mlp, MLP)
        activation = next((theirs for theirs, ours in ACTIVATIONS.items() if ours == mlp.activation), None)
        if activation is None:
            raise ConfigError(explain(f"activation = {mlp.activation!r}", need=f"one of {', '.join(ACTIVATIONS.values())}"))
        return {
            "architectures": [cls.architecture], "model_type": cls.model_type, "vocab_size": model.vocab_size,
            "decoder_vocab_size": model.vocab_size, "d_model": model.d_model, "encoder_layers": model.encoder.stack.n_layers,
            "decoder_layers": model.decoder.n_layers, "encoder_attention_heads": attention.n_heads,
            "decoder_attention_heads": attention.n_heads, "encoder_ffn_dim": encoder_mlp.d_ff, "decoder_ffn_dim": mlp.d_ff,
            "activation_function": activation, "scale_embedding": model.embedding_scale == "sqrt_d_model",
            "max_position_embeddings": context_length, "is_encoder_decoder": True, "share_encoder_decoder_embeddings": True,
            "tie_word_embeddings": True, "dropout": 0.0, "attention_dropout": 0.0, "activation_dropout": 0.0,
            "decoder_start_token_id": model.vocab_size - 1, "pad_token_id": model.vocab_size - 1,
        }  # fmt: skip

    @classmethod
    def beside(cls, ids: Tensor) -> dict[str, Tensor]:
        return {"decoder_input_ids": ids}

    @classmethod
    def rules(cls, model: Model) -> list[Rule]:
        assert model.encoder is not None
        encoder, decoder = "encoder.stack.layers.{i}.sublayers.", "decoder.layers.{i}.sublayers."
        rules = [Rule("embedding.weight", "model.shared.weight"), Rule("head_bias", "final_logits_bias", stacked=1)]
        if model.decoder.final_norm is not None:  # of norms in front, which a config.json of Marian cannot say: mBART's names
            ends = {"decoder.final_norm": "model.decoder.layer_norm", "encoder.stack.final_norm": "model.encoder.layer_norm"}
            rules += [Rule(f"{ours}.{kind}", f"{theirs}.{kind}") for ours, theirs in ends.items() for kind in KINDS]
        rules += spell(
            _attention(f"{encoder}0", "model.encoder.layers.{i}.self_attn") + _mlp(f"{encoder}1", "model.encoder.layers.{i}."),
            model.encoder.stack.n_layers,
        )
        return rules + spell(
            _attention(f"{decoder}0", "model.decoder.layers.{i}.self_attn")
            + _attention(f"{decoder}1", "model.decoder.layers.{i}.encoder_attn")
            + _mlp(f"{decoder}2", "model.decoder.layers.{i}."),
            model.decoder.n_layers,
        )


def _attention(ours: str, theirs: str) -> list[Rule]:
    """One attention and the norm behind it."""
    parts = {"q": "q_proj", "k": "k_proj", "v": "v_proj", "o": "out_proj"}
    rules = [Rule(f"{ours}.mixer.{part}.{kind}", f"{theirs}.{name}.{kind}") for part, name in parts.items() for kind in KINDS]
    return rules + [Rule(f"{ours}.norm.{kind}", f"{theirs}_layer_norm.{kind}") for kind in KINDS]


def _mlp(ours: str, theirs: str) -> list[Rule]:
    """The MLP and the norm behind it."""
    parts = {"mixer.up": "fc1", "mixer.down": "fc2", "norm": "final_layer_norm"}
    return [Rule(f"{ours}.{part}.{kind}", f"{theirs}{name}.{kind}") for part, name in parts.items() for kind in KINDS]


KINDS = ("weight", "bias")

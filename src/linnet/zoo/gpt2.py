"""GPT-2 (Radford et al. 2019): learned positions, LayerNorm before each sublayer, biases everywhere, tied head.

Initialisation of section 2.3: std 0.02, matrices that write into the stream divided by √(number of sublayers).
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from linnet.core.rules import Rule, spell
from linnet.model import MLP, Attention, Head, LayerNorm, Learned, Model
from linnet.zoo.family import Decoder, HuggingFace, block_of, expect, stack_of


class GPT2(Decoder, HuggingFace):
    """GPT-2: the plain transformer."""

    kind: Literal["gpt2"] = "gpt2"
    model_type: ClassVar[str] = "gpt2"
    architecture: ClassVar[str] = "GPT2LMHeadModel"
    ignored: ClassVar[tuple[str, ...]] = (
        r"transformer\.h\.\d+\.attn\.(bias|masked_bias)",
        r"lm_head\.weight",
    )  # old buffers; the tied head

    def sentence(self, vocab_size: int) -> Model:
        shape = self.shape
        norm = LayerNorm()
        attention = Attention(n_heads=shape.n_heads, n_kv_heads=self.n_kv_heads, d_head=self.d_head, bias=True)
        mlp = MLP(d_ff=self.d_ff or 4 * shape.d_model, activation="gelu_tanh", bias=True)
        decoder = stack_of((block_of(attention, mlp, norm=norm), shape.n_layers), final_norm=norm)
        return self.written(vocab_size, decoder, position=Learned(max_length=self.context_length), head=Head(tied=True))

    @classmethod
    def from_hf(cls, config: dict[str, Any]) -> Model:
        known: dict[str, Any] = {
            "activation_function": "gelu_new", "layer_norm_epsilon": 1e-5, "scale_attn_weights": True, "scale_attn_by_inverse_layer_idx": False,
            "reorder_and_upcast_attn": False, "tie_word_embeddings": True,
        }  # fmt: skip
        free = ("vocab_size n_positions n_ctx n_embd n_layer n_head n_inner attn_pdrop embd_pdrop resid_pdrop summary_activation "
                "summary_first_dropout summary_proj_to_labels summary_type summary_use_proj")  # fmt: skip
        c = expect(config, known | dict.fromkeys(free.split(), ...), "gpt2")
        family = cls(
            context_length=c["n_positions"],
            n_layers=c["n_layer"],
            n_heads=c["n_head"],
            d_model=c["n_embd"],
            d_ff=c.get("n_inner") or None,
        )
        return family.sentence(c["vocab_size"])

    @classmethod
    def to_hf(cls, model: Model, context_length: int) -> dict[str, Any]:
        attention, mlp = (sublayer.mixer for sublayer in next(model.decoder.blocks()).sublayers)
        assert isinstance(attention, Attention) and isinstance(mlp, MLP)
        return {
            "architectures": [cls.architecture], "model_type": cls.model_type, "vocab_size": model.vocab_size, "n_positions": model.max_length,
            "n_embd": model.d_model, "n_layer": model.decoder.n_layers, "n_head": attention.n_heads, "n_inner": mlp.d_ff,
            "activation_function": "gelu_new", "layer_norm_epsilon": 1e-5, "tie_word_embeddings": True,
            "attn_pdrop": 0.0, "embd_pdrop": 0.0, "resid_pdrop": 0.0,
        }  # fmt: skip

    @classmethod
    def rules(cls, model: Model) -> list[Rule]:
        ours, theirs = "decoder.layers.{i}.sublayers.", "transformer.h.{i}."
        layer = []
        for kind in ("weight", "bias"):
            qkv = tuple(f"{ours}0.mixer.{part}.{kind}" for part in "qkv")
            conv = kind == "weight"
            layer += [
                Rule(f"{ours}0.norm.{kind}", f"{theirs}ln_1.{kind}"),
                Rule(qkv, f"{theirs}attn.c_attn.{kind}", transpose=conv),
                Rule(f"{ours}0.mixer.o.{kind}", f"{theirs}attn.c_proj.{kind}", transpose=conv),
                Rule(f"{ours}1.norm.{kind}", f"{theirs}ln_2.{kind}"),
                Rule(f"{ours}1.mixer.up.{kind}", f"{theirs}mlp.c_fc.{kind}", transpose=conv),
                Rule(f"{ours}1.mixer.down.{kind}", f"{theirs}mlp.c_proj.{kind}", transpose=conv),
                Rule(f"decoder.final_norm.{kind}", f"transformer.ln_f.{kind}"),
            ]
        outer = [Rule("embedding.weight", "transformer.wte.weight"), Rule("position.weight", "transformer.wpe.weight")]
        return spell(outer + layer, model.decoder.n_layers)

"""The original transformer (1706.03762): an encoder reads a source, a decoder that looks at it says the target.

One embedding for the source, the target and the head, times √D (section 3.4); sinusoidal positions on both sides; ReLU between two
matrices with biases; a norm behind every sublayer, as the paper has it, or in front of it and one more at the end, which trains
without a warm-up (2002.04745).
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from linnet.model import MLP, Attention, Cross, Encoder, Head, Init, LayerNorm, Model, Sinusoidal, Stack
from linnet.model.spec import EXAMPLE_WIDTH, Mixer
from linnet.ops.activation import ActivationName
from linnet.zoo.family import Decoder, block_of, stack_of


class Translate(Decoder):
    """The original transformer: an encoder reads a source, a decoder says it in other words.

    n_encoder_layers   layers of the encoder; default: as many as the decoder's
    place              where norms stand: behind each sublayer, as in the paper, or in front of it
    activation         inside the MLP
    """

    kind: Literal["translate"] = "translate"
    n_encoder_layers: int | None = Field(default=None, ge=1)
    place: Literal["pre", "post"] = "pre"
    activation: ActivationName = "relu"

    @classmethod
    def examples(cls) -> tuple[Translate, ...]:
        other = cls(n_layers=1, n_heads=4, d_model=EXAMPLE_WIDTH, n_encoder_layers=2, place="post", activation="gelu_tanh")
        return *super().examples(), other

    def sentence(self, vocab_size: int) -> Model:
        shape, norm = self.shape, LayerNorm()
        attention = Attention(n_heads=shape.n_heads, n_kv_heads=self.n_kv_heads, d_head=self.d_head, bias=True)
        cross = Cross(n_heads=shape.n_heads, n_kv_heads=self.n_kv_heads, d_head=self.d_head, bias=True)
        mlp = MLP(d_ff=self.d_ff or 4 * shape.d_model, activation=self.activation, bias=True)
        final_norm = norm if self.place == "pre" else None

        def layers(times: int, *mixers: Mixer) -> Stack:
            return stack_of((block_of(*mixers, norm=norm, place=self.place), times), final_norm=final_norm)

        encoder = layers(self.n_encoder_layers or shape.n_layers, attention.replace(causal=False), mlp)
        return self.written(
            vocab_size,
            layers(shape.n_layers, attention, cross, mlp),
            embedding_scale="sqrt_d_model",
            position=Sinusoidal(),
            encoder=Encoder(stack=encoder, position=Sinusoidal()),
            head=Head(tied=True),
            init=Init(std=None, embedding_std=shape.d_model**-0.5, residual="plain"),
        )

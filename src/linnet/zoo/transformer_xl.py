"""Transformer-XL (1901.02860): attention to the segment before as well, positions as distances, and the rest of 1706.03762.

LayerNorm after each sublayer, a ReLU MLP with biases, a tied head. The MLP is 7/2 · d_model wide, not 4: what the matrix for
distances has is taken from it, so that a size has as many parameters as in other families. Deliberately without the paper's adaptive input and
softmax, which are for vocabularies of whole words; with them left out, Hugging Face has had nothing to compare with since it
dropped the family.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from linnet.model import MLP, XL, Head, Init, LayerNorm, Model
from linnet.model.spec import EXAMPLE_WIDTH
from linnet.zoo.family import Decoder, block_of, stack_of


class TransformerXL(Decoder):
    """Transformer-XL: segments that see the one before them; nothing is learned through the border.

    segment   tokens after which a segment ends
    memory    places before its segment that each token sees, in every layer
    place     where norms stand: after each sublayer, as in the paper, or before, which learns at higher rates
    """

    kind: Literal["transformer_xl"] = "transformer_xl"
    segment: int = Field(default=64, ge=1)
    memory: int = Field(default=64, ge=0)
    place: Literal["post", "pre"] = "post"

    @classmethod
    def examples(cls) -> tuple[TransformerXL, ...]:
        small = cls(n_layers=2, n_heads=4, d_model=EXAMPLE_WIDTH, segment=5, memory=4)
        return *super().examples(), small, small.replace(place="pre", memory=0)

    def sentence(self, vocab_size: int) -> Model:
        shape = self.shape
        norm = LayerNorm()
        xl = XL(
            n_heads=shape.n_heads,
            n_kv_heads=self.n_kv_heads,
            d_head=self.d_head,
            segment=self.segment,
            memory=self.memory,
        )
        mlp = MLP(d_ff=self.d_ff or 7 * shape.d_model // 2, activation="relu", bias=True)
        post = self.place == "post"
        block = block_of(xl, mlp, norm=norm, place=self.place)
        decoder = stack_of((block, shape.n_layers), final_norm=None if post else norm)
        init = Init(std=0.02, residual="plain" if post else "scaled")
        return self.written(vocab_size, decoder, embedding_scale="sqrt_d_model", head=Head(tied=True), init=init)

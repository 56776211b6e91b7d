"""linnet's own recipe for small models: what of the field's ideas paid at 1 M parameters on a CPU (docs/log.md).

Rotary positions, QK-norm, LayerNorm without scales, a squared-ReLU MLP, no biases, and a short convolution before each
attention, with which a model learns to copy in a fraction of the steps; every sublayer starts as the identity
and the free head starts at zero, so the first prediction is uniform and the first steps are steady at high rates.
Made to be trained with Muon (train/optimizers.py) and a WSD schedule.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from linnet.model import MLP, Attention, Convolution, Head, Init, LayerNorm, Model, Rope
from linnet.model.spec import EXAMPLE_WIDTH
from linnet.zoo.family import Decoder, block_of, stack_of


class Linnet(Decoder):
    """linnet's own recipe: a short convolution, rotary, QK-norm, squared ReLU, a free head that starts at zero.

    convolution   places that the convolution reaches over; null: no convolution
    tied          the head is the embedding's own matrix
    window        places that each one sees; default: all
    """

    kind: Literal["linnet"] = "linnet"
    convolution: int | None = Field(default=3, ge=2)
    tied: bool = False
    window: int | None = Field(default=None, ge=1)

    @classmethod
    def examples(cls) -> tuple[Linnet, ...]:
        return *super().examples(), cls(n_layers=2, n_heads=4, d_model=EXAMPLE_WIDTH, window=5, convolution=None, tied=True)

    def sentence(self, vocab_size: int) -> Model:
        shape = self.shape
        norm = LayerNorm(learned=False, bias=False)
        attention = Attention(
            n_heads=shape.n_heads,
            n_kv_heads=self.n_kv_heads,
            d_head=self.d_head,
            window=self.window,
            position=Rope(),
            qk_norm=norm,
        )
        mlp = MLP(d_ff=self.d_ff or 4 * shape.d_model, activation="relu2")
        mixers = (*((Convolution(width=self.convolution),) if self.convolution else ()), attention, mlp)
        decoder = stack_of((block_of(*mixers, norm=norm), shape.n_layers), final_norm=norm)
        init = Init(std=None, embedding_std=0.02, residual="zero", head="zero")
        return self.written(vocab_size, decoder, head=Head(tied=self.tied), init=init)

"""Memorizing Transformers (2203.08913): Llama's shape with local attention, one layer of which also recalls the nearest.

All layers but one see a window of `segment` places. The one near the top (`layer`) sees its segment and besides, by
nearest keys, what the document said in segments before (model/mixer/knn.py). Deliberately without the paper's
T5 positions and its cache of one segment: rotary positions and a sliding window do their work here.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from linnet.model import GLU, KNN, Attention, Head, Model, RMSNorm, Rope
from linnet.model.spec import EXAMPLE_WIDTH
from linnet.zoo.family import Decoder, block_of, gated_width, stack_of


class Memorizing(Decoder):
    """Memorizing Transformers: attention within a window, and one layer that recalls the nearest of what was before.

    segment    places of a segment, and of the window of the other layers
    top_k      remembered places that each head of the one layer reads
    capacity   places that it remembers; the oldest are let go
    layer      which one it is, counted from 0; default: three quarters of the way up
    tied       the head is the embedding's own matrix
    """

    kind: Literal["memorizing"] = "memorizing"
    segment: int = Field(default=64, ge=1)
    top_k: int = Field(default=32, ge=1)
    capacity: int = Field(default=8192, ge=1)
    layer: int | None = Field(default=None, ge=0)
    tied: bool = False

    @model_validator(mode="after")
    def _has_the_layer(self) -> Memorizing:
        n_layers = self.shape.n_layers
        if self.layer is not None and self.layer >= n_layers:
            raise ValueError(f"layer = {self.layer} of {n_layers} layers; needed: at most {n_layers - 1}; try: leave layer out")
        return self

    @classmethod
    def examples(cls) -> tuple[Memorizing, ...]:
        small = cls(n_layers=2, n_heads=4, d_model=EXAMPLE_WIDTH, segment=4, top_k=3, capacity=6)
        return *super().examples(), small, small.replace(layer=0, tied=True, capacity=64)

    def sentence(self, vocab_size: int) -> Model:
        shape, norm, rope = self.shape, RMSNorm(), Rope()
        near = Attention(
            n_heads=shape.n_heads,
            n_kv_heads=self.n_kv_heads,
            d_head=self.d_head,
            window=self.segment,
            position=rope,
            qk_norm=norm,
        )
        knn = KNN(
            n_heads=shape.n_heads,
            d_head=self.d_head,
            segment=self.segment,
            top_k=self.top_k,
            capacity=self.capacity,
            position=rope,
        )
        glu = GLU(d_ff=self.d_ff or gated_width(shape.d_model))

        at = 3 * shape.n_layers // 4 if self.layer is None else self.layer
        local, recalling = block_of(near, glu, norm=norm), block_of(knn, glu, norm=norm)
        decoder = stack_of((local, at), (recalling, 1), (local, shape.n_layers - 1 - at), final_norm=norm)
        return self.written(vocab_size, decoder, head=Head(tied=self.tied))

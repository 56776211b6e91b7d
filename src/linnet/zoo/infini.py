"""A model of bounded memory: Llama's shape (2307.09288) with Infini-attention (2404.07143) in place of attention.

Decoding takes as much room after a million tokens as after one segment.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from linnet.model import GLU, Head, Infini, Model, RMSNorm, Rope
from linnet.model.spec import EXAMPLE_WIDTH
from linnet.ops.compressive_memory import Rule
from linnet.zoo.family import Decoder, block_of, gated_width, stack_of


class InfiniLlama(Decoder):
    """Llama's shape with a compressive memory: a segment is read in full, what came before it from a memory.

    segment     tokens that are read in full, and after which the memory is written
    rule        linear adds what is new; delta only what the memory does not say already
    gate        where the gates start: the memory's share is the sigmoid of it, a half at 0, 2 % at -4, nothing at -20
    qk_norm     a norm on queries and keys
    tied        the head is the embedding's own matrix
    rope_base   of the rotary positions within a segment: the larger, the slower the slowest turn
    norm_eps    added to the mean square in norms
    """

    kind: Literal["infini"] = "infini"
    segment: int = Field(default=64, ge=1)
    rule: Rule = "delta"
    gate: float = Field(default=0.0, ge=-1000, le=1000)
    qk_norm: bool = False
    tied: bool = False
    rope_base: float = Field(default=10_000.0, gt=1)
    norm_eps: float = Field(default=1e-5, gt=0)

    @classmethod
    def examples(cls) -> tuple[InfiniLlama, ...]:
        small = cls(n_layers=2, n_heads=4, d_model=EXAMPLE_WIDTH, segment=5)
        other = small.replace(rule="linear", gate=-1.0, qk_norm=True, tied=True, rope_base=50.0, norm_eps=0.1)
        return *super().examples(), small, other

    def sentence(self, vocab_size: int) -> Model:
        shape = self.shape
        norm = RMSNorm(eps=self.norm_eps)
        infini = Infini(
            n_heads=shape.n_heads,
            n_kv_heads=self.n_kv_heads,
            d_head=self.d_head,
            segment=self.segment,
            rule=self.rule,
            gate=self.gate,
            position=Rope(base=self.rope_base),
            qk_norm=norm if self.qk_norm else None,
        )
        glu = GLU(d_ff=self.d_ff or gated_width(shape.d_model))
        block = block_of(infini, glu, norm=norm)
        return self.written(vocab_size, stack_of((block, shape.n_layers), final_norm=norm), head=Head(tied=self.tied))

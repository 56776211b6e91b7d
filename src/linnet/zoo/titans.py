"""Titans (2501.00663): attention for what is near, a memory that is trained while it reads for all that came before.

    mal   memory as a layer: a neural memory, then attention within a window, then the MLP, each a sublayer of its own
    mag   memory as a gate: attention within a window and a neural memory side by side, one gates the other

The wording of the paper with rotary positions, RMSNorm and a gated MLP. Not here: its third way, memory as a context (the
memory's answers as tokens that attention sees), and persistent tokens.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from linnet.model import GLU, Attention, Gated, Head, Model, NeuralMemory, RMSNorm, Rope
from linnet.model.spec import EXAMPLE_WIDTH, TokenMixer
from linnet.zoo.family import Decoder, block_of, stack_of


class Titans(Decoder):
    """Titans: attention within a window and a neural memory of what came before it.

    d_ff             width inside the MLP; default: what gives a layer 12 · d_model² parameters
    variant          mal: the memory is a sublayer before attention; mag: the memory gates attention
    window           places that attention sees; null: all
    chunk            tokens whose gradients are taken at the same memory
    memory_depth     1: the memory is a matrix; 2: an MLP with a residual
    expansion        width inside a memory of depth 2, in widths of a head
    rate             the largest rate that the memory learns with
    tied             the head is the embedding's own matrix
    """

    kind: Literal["titans"] = "titans"
    variant: Literal["mal", "mag"] = "mal"
    window: int | None = Field(default=64, ge=1)
    chunk: int = Field(default=16, ge=1)
    memory_depth: int = Field(default=1, ge=1, le=2)
    expansion: int = Field(default=2, ge=1)
    rate: float = Field(default=0.1, gt=0, le=1)
    tied: bool = False

    @classmethod
    def examples(cls) -> tuple[Titans, ...]:
        small = cls(n_layers=2, n_heads=4, d_model=EXAMPLE_WIDTH, window=5, chunk=4)
        return (
            *super().examples(),
            small,
            small.replace(variant="mag"),
            small.replace(memory_depth=2, expansion=1, rate=0.05, tied=True),
        )

    def sentence(self, vocab_size: int) -> Model:
        shape = self.shape
        norm = RMSNorm()
        memory = NeuralMemory(
            n_heads=shape.n_heads, chunk=self.chunk, depth=self.memory_depth, expansion=self.expansion, rate=self.rate
        )
        attention = Attention(
            n_heads=shape.n_heads, n_kv_heads=self.n_kv_heads, d_head=self.d_head, window=self.window, position=Rope()
        )
        mixers: tuple[TokenMixer, ...] = (memory, attention) if self.variant == "mal" else (Gated(mixer=attention, gate=memory),)
        block = block_of(*mixers, GLU(d_ff=self._d_ff(memory)), norm=norm)
        return self.written(vocab_size, stack_of((block, shape.n_layers), final_norm=norm), head=Head(tied=self.tied))

    def _d_ff(self, memory: NeuralMemory) -> int:
        """What attention (4 · d_model²) and the memory leave of 12 · d_model², in eights."""
        d = self.shape.d_model
        return self.d_ff or max(8, round((8 * d * d - memory.n_params(d)) / (3 * d) / 8) * 8)

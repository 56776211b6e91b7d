"""Titans (2501.00663): attention for what is near, a memory that is trained while it reads for all that came before.

    mac   memory as a context (section 4.1): within a segment, attention sees what the memory answers as tokens, and trains it
    mag   memory as a gate (4.2): attention within a window and a neural memory side by side, one gates the other
    mal   memory as a layer (4.3): a neural memory, then attention within a window, then the MLP, each a sublayer of its own

Each with persistent tokens (3.3) in attention, rotary positions, RMSNorm and a gated MLP. The paper hands persistent tokens to the
memories of mag and mal as well (eq. 28, 30); here what a memory begins with is learned, which is where they would bring it.
Not here: the convolutions behind the projections (4.4); a memory alone, which is a sentence of `neural_memory` sublayers.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from linnet.core.errors import explain
from linnet.model import GLU, Attention, Gated, Head, MemoryContext, Model, NeuralMemory, RMSNorm, Rope
from linnet.model.spec import EXAMPLE_WIDTH, TokenMixer
from linnet.zoo.family import Decoder, block_of, stack_of


class Titans(Decoder):
    """Titans: attention within a window and a neural memory of what came before it.

    d_ff             width inside the MLP; default: what gives a layer 12 · d_model² parameters
    variant          mal: the memory is a sublayer before attention; mag: the memory gates attention; mac: its answers are tokens
    window           places that attention sees, null: all; with mac, tokens of a segment
    persistent       learned tokens that attention sees beside those of the text
    chunk            tokens whose gradients are taken at the same memory
    memory_depth     1: the memory is a matrix; 2: an MLP with a residual
    expansion        width inside a memory of depth 2, in widths of a head
    rate             the largest rate that the memory learns with
    tied             the head is the embedding's own matrix
    """

    kind: Literal["titans"] = "titans"
    variant: Literal["mal", "mag", "mac"] = "mal"
    window: int | None = Field(default=64, ge=1)
    persistent: int = Field(default=4, ge=0)
    chunk: int = Field(default=16, ge=1)
    memory_depth: int = Field(default=1, ge=1, le=2)
    expansion: int = Field(default=2, ge=1)
    rate: float = Field(default=0.1, gt=0, le=1)
    tied: bool = False

    @model_validator(mode="after")
    def _segmented(self) -> Self:
        if self.variant == "mac" and (self.window is None or self.window % self.chunk):
            got = f"window = {'null' if self.window is None else self.window} and chunk = {self.chunk} for variant: mac"
            need = "a window, which is a segment there, that chunk divides"
            raise ValueError(explain(got, need=need, hint=f"window: {4 * self.chunk}"))
        return self

    @classmethod
    def examples(cls) -> tuple[Titans, ...]:
        small = cls(n_layers=2, n_heads=4, d_model=EXAMPLE_WIDTH, window=5, chunk=4)
        return (
            *super().examples(),
            small,
            small.replace(variant="mag", persistent=2),
            small.replace(memory_depth=2, expansion=1, rate=0.05, tied=True, persistent=0),
            small.replace(variant="mac", window=8),
            small.replace(variant="mac", window=6, chunk=3, persistent=0, n_kv_heads=2, memory_depth=2),
        )

    def sentence(self, vocab_size: int) -> Model:
        shape = self.shape
        norm = RMSNorm()
        memory = NeuralMemory(
            n_heads=shape.n_heads, chunk=self.chunk, depth=self.memory_depth, expansion=self.expansion, rate=self.rate
        )
        attention = Attention(
            n_heads=shape.n_heads,
            n_kv_heads=self.n_kv_heads,
            d_head=self.d_head,
            window=None if self.variant == "mac" else self.window,
            position=Rope(),
            persistent=self.persistent,
        )
        block = block_of(*self._mixers(attention, memory), GLU(d_ff=self._d_ff(memory)), norm=norm)
        return self.written(vocab_size, stack_of((block, shape.n_layers), final_norm=norm), head=Head(tied=self.tied))

    def _mixers(self, attention: Attention, memory: NeuralMemory) -> tuple[TokenMixer, ...]:
        match self.variant:
            case "mal":
                return memory, attention
            case "mag":
                return (Gated(mixer=attention, gate=memory),)
            case "mac":
                assert self.window is not None  # see _segmented
                return (MemoryContext(attention=attention, memory=memory, segment=self.window),)

    def _d_ff(self, memory: NeuralMemory) -> int:
        """What attention (4 · d_model²) and the memory leave of 12 · d_model², in eights."""
        d = self.shape.d_model
        return self.d_ff or max(8, round((8 * d * d - memory.n_params(d)) / (3 * d) / 8) * 8)

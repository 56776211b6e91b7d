"""A decoder of Llama's shape in which some layers read a table instead of having an MLP (1907.05242, 2412.09764)."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field

from linnet.core.errors import ConfigError, explain
from linnet.model import Model, ProductKey, Repeat, RMSNorm
from linnet.zoo.family import Decoder
from linnet.zoo.llama import Llama


class ProductKeyMemory(Decoder):
    """Llama's shape with a product-key memory in place of some MLPs.

    every       each so many-th layer has one
    n_keys      keys of each half: the table of a layer has n_keys² values
    top_k       values that each query reads
    n_queries   queries a token
    d_key       width of a query
    gated       what was read is gated by the input (memory+)
    """

    kind: Literal["product_key_memory"] = "product_key_memory"
    every: int = Field(default=2, ge=1)
    n_keys: int = Field(default=64, ge=1)
    top_k: int = Field(default=16, ge=1)
    n_queries: int = Field(default=4, ge=1)
    d_key: int = Field(default=64, ge=2)
    gated: bool = True

    @classmethod
    def examples(cls) -> tuple[Self, ...]:
        first, second, third = super().examples()
        small = {"n_keys": 7, "top_k": 3, "n_queries": 2, "d_key": 12}
        return (
            first.replace(**small),
            second.replace(**small, n_layers=3, gated=False),
            third.replace(every=1, n_keys=5, top_k=4, n_queries=3, d_key=8),
        )

    def sentence(self, vocab_size: int) -> Model:
        plain = Llama(**{name: getattr(self, name) for name in Decoder.model_fields}).sentence(vocab_size)
        n_layers = plain.decoder.n_layers
        if n_layers < self.every:
            got = f"n_layers = {n_layers} with a memory in every {self.every}th"
            raise ConfigError(explain(got, need="at least one memory", hint=f"every: {n_layers}"))
        block = next(plain.decoder.blocks())
        attention, mlp = block.sublayers
        table = ProductKey(
            n_keys=self.n_keys,
            top_k=self.top_k,
            n_heads=self.n_queries,
            d_key=self.d_key,
            query_norm=RMSNorm(),
            gated=self.gated,
        )
        memory = block.replace(sublayers=(attention, mlp.replace(mixer=table)))
        layers = [Repeat(pattern=(*(block,) * (self.every - 1), memory), times=n_layers // self.every)]
        if n_layers % self.every:
            layers.append(Repeat(pattern=(block,), times=n_layers % self.every))
        return plain.replace(decoder=plain.decoder.replace(layers=tuple(layers)))

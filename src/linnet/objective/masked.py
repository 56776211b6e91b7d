"""Masked tokens (1810.04805, section 3.1): say what stood at places that were hidden, from what stands on both sides.

    Σ over hidden places t of  w_t · -log p(x_t | x with hidden places)

Of the places that are asked for, most show the mask token, some a token by chance, the rest what stands there, so that
every place has to be read with care: a mask never stands in a text that the model is used for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from linnet.core.seeds import generator
from linnet.data.batch import Batch
from linnet.model.causal import check_sees_both_ways
from linnet.model.network import Network
from linnet.model.spec import Model
from linnet.objective.base import Loss, Objective, ObjectiveSpec
from linnet.objective.token_loss import token_loss
from linnet.tokenizer.base import Tokenizer
from linnet.tokenizer.mask import MASK, mask_among, mask_id, mask_name
from linnet.tokenizer.spec import TokenizerFile, TokenizerSpec, Trained


class Masked(ObjectiveSpec):
    """Say which tokens stand at places that are hidden, seeing both sides.

    rate     the share of a row's places that is asked for, special tokens and padding left out; at least one a row
    masked   the share of these that shows the mask token
    random   the share of these that shows a token by chance; the rest shows what stands there
    """

    kind: Literal["masked"] = "masked"
    rate: float = Field(default=0.15, gt=0, le=1)
    masked: float = Field(default=0.8, ge=0, le=1)
    random: float = Field(default=0.1, ge=0, le=1)

    @classmethod
    def examples(cls) -> tuple[Masked, ...]:
        return cls(), cls(rate=0.3, masked=0.5, random=0.5)

    @model_validator(mode="after")
    def _shares(self) -> Self:
        if self.masked + self.random > 1 + 1e-9:
            raise ValueError(f"masked + random = {self.masked + self.random:g}; needed: at most 1, all of what is asked for")
        return self

    def with_special(self, tokenizer: TokenizerSpec) -> TokenizerSpec:
        if isinstance(tokenizer, Trained) and mask_among(tokenizer.names()) is not None:
            return tokenizer
        if isinstance(tokenizer, TokenizerFile):
            mask_name(tokenizer.train(()))  # what it lacks is said before any text is read
        return tokenizer.with_special((MASK,))

    def bound(self, tokenizer: Tokenizer) -> Objective:
        special = sorted(set(tokenizer.special.values()))
        return MaskedTokens(self, mask_id(tokenizer), tokenizer.end_id, tuple(special), tokenizer.vocab_size)

    def check(self, model: Model) -> None:
        """Refuse a model that sees only what stands before, and one that reads a source."""
        check_sees_both_ways(model, "to learn masked tokens", hint="model: {kind: bert}, or objective: next_token")


@dataclass(frozen=True)
class MaskedTokens(Objective):
    """The method for the ids of one tokenizer.

    mask_id     of the mask token
    end_id      of the token that ends a document, and fills rows
    special     ids that are never asked for, nor put anywhere by chance
    """

    spec: Masked
    mask_id: int
    end_id: int
    special: tuple[int, ...]
    vocab_size: int
    adds_up: ClassVar[bool] = False
    ordinary: Tensor = field(init=False, repr=False, compare=False)  # all other ids

    def __post_init__(self) -> None:
        kept = torch.ones(self.vocab_size, dtype=torch.bool)
        kept[list(self.special)] = False
        object.__setattr__(self, "ordinary", kept.nonzero()[:, 0])

    def posed(self, batches: Iterable[Batch], seed: int, first: int = 0) -> Iterator[Batch]:
        """Batches with places hidden: targets are the tokens themselves, weights those of the places that are asked for."""
        for number, batch in enumerate(batches, first):
            yield self.hide(batch, generator(seed, f"masked/{number}"))

    def hide(self, batch: Batch, draws: torch.Generator) -> Batch:
        """A batch (B, T) with places hidden. A token's own weight is the one that it has as a target; the first has its neighbour's."""
        tokens, spec = batch.tokens, self.spec
        own = torch.cat([batch.weights[:, :1], batch.weights[:, :-1]], 1)  # (B, T)
        documents = self.documents_of(batch, own)
        able = (own > 0) & ~torch.isin(tokens, tokens.new_tensor(self.special))
        asked = some_of(able, spec.rate, draws)
        how = torch.rand(tokens.shape, generator=draws)
        other = self.ordinary[torch.randint(len(self.ordinary), tokens.shape, generator=draws)]
        seen = torch.where(how < spec.masked, self.mask_id, torch.where(how < spec.masked + spec.random, other, tokens))
        return replace(batch, tokens=torch.where(asked, seen, tokens), targets=tokens, weights=own * asked, documents=documents)

    def documents_of(self, batch: Batch, own: Tensor) -> Tensor | None:
        """Which documents tokens (B, T) are of, for a model that sees ahead: padding is of none, also where documents are not kept apart;
        and the last token of a row, which is only a target to those that see what stands before, is of its neighbour's."""
        padding = ((own == 0) & (batch.tokens == self.end_id)).flip(1).cumprod(1).flip(1).bool()  # the end of each row
        if batch.documents is None:
            return torch.where(padding, -1, 0).to(torch.int32) if padding.any() else None
        before = torch.cat([batch.documents[:, :1], batch.documents[:, :-1]], 1)
        return torch.where((batch.documents < 0) & (own > 0), before, batch.documents)

    def count(self, batch: Batch) -> Tensor:
        """Sum of the weights: places that are asked for."""
        return batch.weights.sum().clamp(min=torch.finfo(batch.weights.dtype).tiny)

    def __call__(self, network: Network, batch: Batch, generator: torch.Generator | None = None) -> Loss:
        return token_loss(network, batch, self.count(batch), generator, sparse=True)


def some_of(able: Tensor, rate: float, draws: torch.Generator) -> Tensor:
    """A share of the True places (B, T) of each row, rounded up, by chance."""
    order = torch.rand(able.shape, generator=draws).masked_fill(~able, 2.0).argsort(1)  # those that can be chosen first
    wanted = (rate * able.sum(1, dtype=torch.float64)).sub(1e-9).ceil()  # (B,); 7 % of 100 are seven, whatever floats say
    first = torch.arange(able.shape[1]) < wanted[:, None]
    return torch.zeros_like(able).scatter(1, order, first) & able

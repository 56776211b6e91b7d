"""What stands at masked places, as a model that sees both ways has it: the tokens that are likeliest there, each place by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from linnet.core.errors import LinnetError, explain
from linnet.model.causal import check_sees_both_ways
from linnet.model.network import Network
from linnet.tokenizer.base import Tokenizer
from linnet.tokenizer.mask import mask_id, mask_name


@dataclass(frozen=True)
class Guess:
    """A token and how likely it is."""

    token: int
    text: str
    probability: float


@dataclass(frozen=True)
class Filled:
    """A text with the likeliest token at each masked place, and for each the likeliest tokens, the best first."""

    text: str
    places: tuple[tuple[Guess, ...], ...]


@torch.no_grad()
def fill(
    network: Network,
    tokenizer: Tokenizer,
    texts: Sequence[str],
    *,
    k: int = 5,
    begin: Sequence[int] = (),
    context_length: int | None = None,
) -> list[Filled]:
    """Fill the masked places of each text.

    k       guesses a place
    begin   ids that stand before every text; where there are any, the end token stands behind it

    Raises LinnetError for a text without a masked place, and for one that is longer than the model's context; ConfigError for a model
    that does not see both ways.
    """
    check_sees_both_ways(network.spec, "to fill masked places", hint="generate, or translate where there is a source")
    if k < 1:
        raise LinnetError(explain(f"k = {k}", need="at least one guess a place"))
    limit = min((n for n in (context_length, network.spec.max_length) if n is not None), default=None)
    filled = []
    for text in texts:
        places = guesses(network, tokenizer, ids_to_fill(tokenizer, text, begin=begin, limit=limit), k=k)
        said = [tokenizer.token_bytes(place[0].token) for place in places]
        filled.append(Filled(joined(text.split(mask_name(tokenizer)), said), places))
    return filled


def ids_to_fill(tokenizer: Tokenizer, text: str, *, begin: Sequence[int] = (), limit: int | None = None) -> list[int]:
    """The ids of a text with masked places. Raises LinnetError for one without, and for one of more than `limit` tokens."""
    name, end = mask_name(tokenizer), [tokenizer.end_id] if begin else []
    parts = text.split(name)
    if len(parts) == 1:
        hint = f'"One day, a {name} went home."'
        raise LinnetError(explain(f"a text without {name}: {text[:60]!r}", need="a place to fill", hint=hint))
    ids = [*begin, *with_masks(tokenizer, parts), *end]
    if limit is not None and len(ids) > limit:
        raise LinnetError(explain(f"a text of {len(ids):,} tokens", need=f"at most the model's context of {limit:,}"))
    return ids


def guesses(network: Network, tokenizer: Tokenizer, ids: Sequence[int], *, k: int) -> tuple[tuple[Guess, ...], ...]:
    """For each mask among some ids (T,), the k likeliest tokens."""
    tokens = torch.tensor([list(ids)], device=network.device)  # (1, T)
    masked = tokens[0] == mask_id(tokenizer)
    scores = network.logits(network(tokens).hidden[0, masked]).float()  # (masks, V)
    best = scores.softmax(-1).topk(min(k, scores.shape[-1]))
    rows = zip(best.indices.tolist(), best.values.tolist(), strict=True)
    return tuple(
        tuple(
            Guess(token, tokenizer.token_bytes(token).decode("utf-8", errors="replace"), share)
            for token, share in zip(*row, strict=True)
        )
        for row in rows
    )


def with_masks(tokenizer: Tokenizer, parts: Sequence[str]) -> list[int]:
    """The ids of the parts of a text with a mask between them. A space before a mask is left out where it is a part of words."""
    mask, joins = mask_id(tokenizer), len(tokenizer.encode(" a")) == 1
    ids: list[int] = []
    for number, part in enumerate(parts):
        last = number == len(parts) - 1
        ids += tokenizer.encode(part.removesuffix(" ") if joins and not last else part)
        ids += [] if last else [mask]
    return ids


def joined(parts: Sequence[str], guessed: Sequence[bytes]) -> str:
    """The parts of a text with a token's bytes between them; a token that begins with a space takes the place of the one before it."""
    text = parts[0].encode("utf-8")
    for guess, part in zip(guessed, parts[1:], strict=True):
        text = (text.removesuffix(b" ") if guess.startswith(b" ") else text) + guess + part.encode("utf-8")
    return (text if parts[0] else text.removeprefix(b" ")).decode("utf-8", errors="replace")

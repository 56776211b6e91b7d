"""Passkey retrieval: is a key that was told long ago still there when it is asked for? (2305.16300; the text is data/worlds/passkey.py's)

    accuracy at (length, depth) = share of documents whose whole key is said

A key counts where every token of the answer is the likeliest one after those before it. That is what greedy decoding says,
digit by digit, and it is read in one pass over the document and its answer: a greedy decoder that leaves the answer has failed
at that place, and before it the two have read the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from linnet.core.errors import LinnetError, explain
from linnet.data.worlds.passkey import Passkey, passkey
from linnet.model.network import Network
from linnet.tokenizer.base import Tokenizer

DEPTHS = (0.1, 0.3, 0.5, 0.7, 0.9)
TOKENS_AT_ONCE = 4096


@dataclass(frozen=True)
class Retrieval:
    """What became of the keys at one length and depth.

    length      tokens of a document, at most
    depth       where the key was told, 0 first … 1 last
    documents   how many were asked
    right       how many keys were said without a mistake
    low, high   95 % interval of the share
    digits      share of the answers' tokens that were right by themselves
    """

    length: int
    depth: float
    documents: int
    right: int
    low: float
    high: float
    digits: float

    @property
    def accuracy(self) -> float:
        return self.right / self.documents

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return asdict(self) | {"accuracy": self.accuracy}


def wilson(right: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """The score interval of a share (Wilson 1927): it is one also where all are right or none."""
    share, spread = right / n, z * z / n
    middle = (share + spread / 2) / (1 + spread)
    half = z * math.sqrt(share * (1 - share) / n + spread / (4 * n)) / (1 + spread)
    return 0.0 if right == 0 else middle - half, 1.0 if right == n else middle + half


def document(tokenizer: Tokenizer, seed: int, index: int, length: int, *, digits: int, depth: float | None) -> Passkey:
    """A document of at most `length` tokens. Raises LinnetError where none is that short."""
    found = passkey(seed, index, length, digits=digits, depth=depth, measure=lambda text: len(tokenizer.encode(text)))
    needs = len(tokenizer.encode(found.prompt)) + len(tokenizer.encode(found.answer))
    if needs > length:
        got = f"length = {length} for a key of {digits} digits and its question"
        raise LinnetError(explain(got, need=f"at least {needs} tokens", hint="a longer text, or fewer digits"))
    return found


def ids_of(tokenizer: Tokenizer, found: Passkey, begin: Sequence[int] = ()) -> tuple[list[int], int]:
    """The tokens of a document and how many of them, the last ones, are the key. No end token before it: in training a document
    that is kept apart from others does not see it.

    Prompt and answer are encoded apart, as they would be where a model goes on by itself; the full stop after the key is not asked for.
    Raises LinnetError for a tokenizer that has no tokens for digits: a model that says it does not know them would have said every key.
    """
    answer = list(tokenizer.encode(found.answer.removesuffix(".")))
    read = tokenizer.decode(answer)
    if "".join(read.split()) != found.key:
        got = f"a tokenizer that reads the key{found.answer.removesuffix('.')} as {read.strip()!r}"
        raise LinnetError(explain(got, need="one that can write digits", hint="a model with a byte-level tokenizer"))
    return [*begin, *tokenizer.encode(found.prompt), *answer], len(answer)


@torch.inference_mode()
def retrieve(
    network: Network,
    tokenizer: Tokenizer,
    length: int,
    depth: float,
    *,
    documents: int = 40,
    digits: int = 4,
    seed: int = 0,
    begin: Sequence[int] = (),
) -> Retrieval:
    """Ask for the keys of some documents of one length and depth. `begin` are ids that stand before every text, part of its length."""
    room = length - len(begin)
    found = [document(tokenizer, seed, index, room, digits=digits, depth=depth) for index in range(documents)]
    cases = [ids_of(tokenizer, each, begin) for each in found]
    right, said, asked = 0, 0, 0
    for rows in _alike(cases, max(1, TOKENS_AT_ONCE // length)):
        tokens = torch.tensor([ids for ids, _ in rows], device=network.device)
        n = rows[0][1]
        correct = likeliest(network, tokens[:, :-1], n) == tokens[:, -n:]  # (B, n)
        right += int(correct.all(1).sum())
        said, asked = said + int(correct.sum()), asked + correct.numel()
    return Retrieval(length, depth, documents, right, *wilson(right, documents), said / asked)


def likeliest(network: Network, tokens: Tensor, n: int) -> Tensor:
    """(B, n) the likeliest next token after each of the last n of tokens (B, T)."""
    return network.logits(network(tokens).hidden[:, -n:]).argmax(-1)


def _alike(cases: Sequence[tuple[list[int], int]], rows: int) -> Iterator[list[tuple[list[int], int]]]:
    """The documents by their numbers of tokens, so that no row has to be filled up."""
    groups: dict[tuple[int, int], list[tuple[list[int], int]]] = {}
    for ids, n in cases:
        groups.setdefault((len(ids), n), []).append((ids, n))
    for group in groups.values():
        for start in range(0, len(group), rows):
            yield group[start : start + rows]


def passkey_table(
    network: Network,
    tokenizer: Tokenizer,
    lengths: Sequence[int],
    depths: Sequence[float] = DEPTHS,
    *,
    documents: int = 40,
    digits: int = 4,
    seed: int = 0,
    begin: Sequence[int] = (),
) -> list[Retrieval]:
    """Every length with every depth."""
    return [
        retrieve(network, tokenizer, length, depth, documents=documents, digits=digits, seed=seed, begin=begin)
        for length in lengths
        for depth in depths
    ]

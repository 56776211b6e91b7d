"""Sources in, targets out, for a model with an encoder: by beam search, sources of about one length together.

The encoder reads each source with the end token behind it, the decoder begins with the end token: as in training (data/pair_batches.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from linnet.core.errors import LinnetError, explain
from linnet.data.pair_batches import source_batch
from linnet.generate.beam import Beam, beam_search
from linnet.model.network import Network
from linnet.tokenizer.base import Tokenizer

TOKENS_AT_ONCE = 2048  # source tokens times beams that are decoded together


@dataclass(frozen=True)
class Translation:
    """text: the best that was found · tokens: its ids, with the end token, if it ended · score: by which it was best."""

    source: str
    text: str
    tokens: tuple[int, ...]
    logprob: float
    score: float


def longest_answer(n_source: int, context_length: int | None) -> int:
    """Tokens after which an answer to a source of so many tokens is cut, where nobody says it."""
    most = 2 * n_source + 10
    return most if context_length is None else min(most, context_length)


def translate(
    network: Network,
    tokenizer: Tokenizer,
    sources: Sequence[str],
    *,
    beam: Beam | None = None,
    max_tokens: int | None = None,
    context_length: int | None = None,
) -> list[Translation]:
    """The best translation of each source, in order.

    max_tokens       of each; default: twice its source's and ten, at most context_length
    context_length   the longest source that is read, its end token counted in; None: any

    Raises LinnetError for a network without an encoder, and for a source that is empty or longer than the context.
    """
    beam = beam or Beam()
    if network.encoder is None:
        raise LinnetError(explain("a source for a model without an encoder", need="a prompt alone"))
    ids = [[*tokenizer.encode(source.strip()), tokenizer.end_id] for source in sources]
    for number, row in enumerate(ids, 1):
        if len(row) == 1:
            raise LinnetError(explain(f"source {number:,} is empty", need="a text"))
        if context_length is not None and len(row) > context_length:
            got = f"source {number:,} has {len(row):,} tokens, its end token counted in"
            raise LinnetError(explain(got, need=f"at most the model's context of {context_length:,}", hint="shorter parts of it"))
    done: dict[int, Translation] = {}
    was_training = network.training
    network.eval()
    try:
        for group in groups([len(row) for row in ids], max(1, TOKENS_AT_ONCE // beam.n_beams)):
            batch = source_batch([ids[number] for number in group], end_id=tokenizer.end_id).to(network.device)
            with torch.inference_mode():
                read = network.read(batch.tokens, documents=batch.documents)
            begin = torch.full((len(group), 1), tokenizer.end_id, device=network.device)
            most = [max_tokens or longest_answer(len(ids[number]), context_length) for number in group]
            found = beam_search(network, begin, beam, end_id=tokenizer.end_id, max_tokens=most, source=read)
            for number, hypotheses in zip(group, found, strict=True):
                best = hypotheses[0]
                said = [token for token in best.tokens if token != tokenizer.end_id]
                text = tokenizer.decode(said).strip()
                done[number] = Translation(sources[number], text, best.tokens, best.logprob, best.score)
    finally:
        network.train(was_training)
    return [done[number] for number in range(len(sources))]


def groups(lengths: Sequence[int], budget: int) -> Iterator[list[int]]:
    """The numbers of some rows in groups of about one length, as many in each as fit: their number times the longest."""
    group: list[int] = []
    for number in sorted(range(len(lengths)), key=lambda number: lengths[number]):
        if group and (len(group) + 1) * lengths[number] > budget:
            yield group
            group = []
        group.append(number)
    if group:
        yield group

"""Texts as vectors: the mean of a network's hidden states, of length one, so that a dot product is a cosine (1908.10084, section 3).

Made for networks that see both ways (`bert`); whatever hidden states a network has can be averaged.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from linnet.core.errors import LinnetError, explain
from linnet.model.network import Network

TOGETHER = 4096  # places, padding counted in, that are read at a time


@torch.no_grad()
def embed(network: Network, texts: Sequence[Sequence[int]], *, normalise: bool = True) -> Tensor:
    """(texts, D): the mean hidden state of each text's ids, with whatever special ids the network was trained on around them.

    Texts of about one length are read together, whatever order they are given in. Raises LinnetError for a text without ids.
    """
    if any(not len(ids) for ids in texts):
        empty = next(number for number, ids in enumerate(texts) if not len(ids))
        raise LinnetError(explain(f"text {empty} without ids", need="at least one id a text", hint="leaving it out"))
    found = torch.empty(len(texts), network.spec.d_model, dtype=network.embedding.weight.dtype, device=network.device)
    order = sorted(range(len(texts)), key=lambda number: len(texts[number]))
    while order:
        longest = len(texts[order[-1]])
        rows = order[-max(1, TOGETHER // longest) :]
        del order[-len(rows) :]
        found[rows] = _means(network, [texts[number] for number in rows], longest)
    return torch.nn.functional.normalize(found, dim=-1) if normalise else found


def _means(network: Network, texts: Sequence[Sequence[int]], longest: int) -> Tensor:
    """(texts, D) of some that are read together."""
    tokens = torch.zeros(len(texts), longest, dtype=torch.int64, device=network.device)  # (B, T)
    documents = torch.full_like(tokens, -1)
    for row, ids in enumerate(texts):
        tokens[row, : len(ids)] = torch.as_tensor(ids, device=network.device)
        documents[row, : len(ids)] = 0
    hidden = network(tokens, documents=documents).hidden  # (B, T, D)
    read = (documents == 0).to(hidden.dtype)[:, :, None]
    return (hidden * read).sum(1) / read.sum(1)

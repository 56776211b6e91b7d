"""From a prompt to tokens: read the prompt once, then one token at a time, each from the state the last one left.

    hidden, state = network(prompt, state)         token = sample(logits(hidden))         and again with that token

The state is a value (model/state.py), so nothing here knows what a model remembers. Rows of different length are
padded on the left with document -1, which nothing attends to. Where a model has a longest context, the window slides:
when a row outgrows it, its last half is read again and decoding goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from linnet.core.errors import LinnetError, explain
from linnet.generate.sampler import Sampler, Sampling, count_tokens
from linnet.model.causal import check_writes
from linnet.model.network import Network
from linnet.model.one_token import OneToken, one_token
from linnet.model.state import State

EMBED = "linnet.generate.embed, which makes vectors of texts"


class Decoder:
    """Decodes some rows together. Each row draws from its own generator, so its text never depends on its neighbours.

    prompts          ids of each row, at least one each
    sampling         how a token is chosen
    generators       one a row (None where sampling is greedy)
    context_length   slide a row's window when it is longer than this; None: never
    """

    def __init__(
        self,
        network: Network,
        prompts: Sequence[Sequence[int]],
        sampling: Sampling,
        generators: Sequence[torch.Generator] | None = None,
        *,
        context_length: int | None = None,
    ) -> None:
        self.state: State
        self._logits: Tensor  # (B, V) of the next token
        self._waiting: Tensor | None = None  # (B,) drawn, not read yet
        self._one_token: OneToken | None = None  # a faster way, where there is one …
        self._made_for = 0  # … for this many rows
        if not prompts or any(len(prompt) == 0 for prompt in prompts):
            raise LinnetError(
                explain("an empty prompt", need="at least one token a row", hint="the end token, which documents follow")
            )
        check_writes(network.spec, "to write", hint=EMBED)
        self.network, self.sampler = network, Sampler(sampling)
        self.generators = list(generators) if generators is not None else None
        limit = network.spec.max_length
        self.context_length = min((n for n in (context_length, limit) if n is not None), default=None)
        self.rows = [list(prompt) for prompt in prompts]
        self.begins = [0] * len(self.rows)  # where the part of each row that the model reads begins
        self._read_from_start()
        vocab = network.spec.vocab_size
        self._counts = self._prompt_counts = None
        if sampling.penalizes:
            self._counts = torch.zeros(len(self.rows), vocab, dtype=torch.int64, device=network.device)
            self._prompt_counts = torch.cat(
                [count_tokens(torch.tensor([row], device=network.device), vocab) for row in self.rows]
            )

    @torch.inference_mode()
    def step(self) -> tuple[Tensor, Tensor]:
        """The next token of every row, (B,) int64, and the log-probability the model gives it, (B,) float32."""
        token, logprob = self.sampler(self._logits, self._counts, self.generators, prompt=self._prompt_counts)
        for row, new in zip(self.rows, token.tolist(), strict=True):
            row.append(new)
        if self._counts is not None:
            self._counts.scatter_add_(1, token[:, None], torch.ones_like(token[:, None]))
        self._waiting = token
        return token, logprob

    @torch.inference_mode()
    def read(self) -> None:
        """Let the model read the tokens of the last step; call it before the next one."""
        assert self._waiting is not None
        if self._too_long():
            self._read_from_start()
            return
        tokens = self._waiting[:, None]
        if self._made_for != len(tokens):
            self._one_token, self._made_for = one_token(self.network, len(tokens)), len(tokens)
        done = self._one_token(tokens, self.state) if self._one_token is not None else None
        if done is None:
            hidden, state, _ = self.network(tokens, state=self.state)
            assert state is not None
            done = self.network.logits(hidden[:, -1]), state
        self._logits, self.state = done
        self._waiting = None

    def __getstate__(self) -> dict[str, Any]:
        """A copy makes a program of its own."""
        return vars(self) | {"_one_token": None, "_made_for": 0}

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with some rows only."""
        chosen = torch.tensor(rows, device=self.network.device, dtype=torch.int64)
        self.rows, self.begins = [self.rows[row] for row in rows], [self.begins[row] for row in rows]
        self.generators = None if self.generators is None else [self.generators[row] for row in rows]
        self.state, self._logits = self.state.select(chosen), self._logits[chosen]
        self._waiting = None if self._waiting is None else self._waiting[chosen]
        if self._counts is not None and self._prompt_counts is not None:
            self._counts, self._prompt_counts = self._counts[chosen], self._prompt_counts[chosen]

    def forget_end(self, end_id: int) -> None:
        """Drop the end token that rows began with, and read them again: their first token begins a document."""
        self.rows = [row[1:] if len(row) == 2 and row[0] == end_id else row for row in self.rows]
        self._read_from_start()

    def _too_long(self) -> list[int]:
        """The rows whose window holds more than the context."""
        limit = self.context_length
        return [] if limit is None else [place for place, row in enumerate(self.rows) if len(row) - self.begins[place] > limit]

    @torch.inference_mode()
    def _read_from_start(self) -> None:
        """Read the rows from nothing, each from where its window begins; a window that is too long keeps its last half.

        Each row slides by its own length, never by its neighbours'.
        """
        for place in self._too_long():
            assert self.context_length is not None
            self.begins[place] = len(self.rows[place]) - max(1, self.context_length // 2)
        rows = [row[begin:] for row, begin in zip(self.rows, self.begins, strict=True)]
        longest = max(len(row) for row in rows)
        device = self.network.device
        tokens = torch.tensor([[0] * (longest - len(row)) + row for row in rows], device=device)  # (B, T)
        documents = None
        if any(len(row) < longest for row in rows):
            documents = torch.tensor([[-1] * (longest - len(row)) + [0] * len(row) for row in rows], device=device)
        hidden, state, _ = self.network(tokens, documents=documents, state=self.network.new_state(len(rows)))
        assert state is not None
        self.state = state
        self._logits = self.network.logits(hidden[:, -1])  # (B, V)
        self._waiting = None


@torch.inference_mode()
def score_tokens(
    network: Network, tokens: Sequence[int], *, context_length: int | None = None, fresh_documents: bool = False
) -> Tensor:
    """log p of each token but the first, given all before it: (T - 1,) float32.

    context_length    a longer text is read in windows that do not overlap, as `linnet eval` does; None: the model's own limit
    fresh_documents   the first token is an end token, and what follows it is a document of its own, as in training
    """
    check_writes(network.spec, "to say how likely a text is", hint=EMBED)
    limit = min((n for n in (context_length, network.spec.max_length) if n is not None), default=len(tokens))
    parts = []
    for start in range(0, len(tokens) - 1, max(1, limit)):
        row = torch.tensor([list(tokens[start : start + limit + 1])], device=network.device)  # (1, T)
        documents = None
        if fresh_documents and start == 0:
            documents = torch.ones_like(row[:, :-1])
            documents[:, 0] = 0
        hidden = network(row[:, :-1], documents=documents).hidden
        parts.append(network.logits(hidden[0]).float().log_softmax(-1).gather(-1, row[0, 1:, None])[:, 0])
    return torch.cat(parts) if parts else torch.zeros(0)

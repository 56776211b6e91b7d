"""Beam search: several beginnings of an answer are kept at a time, the likeliest ones, instead of one.

    score(y) = log p(y_1 … y_n) / n^length_penalty

At each step all beginnings are continued with every token, and the n_beams best by log p stay; one that ends with the end token is put
aside, if it is among the n_beams best. A row is done when n_beams have ended and the best of what goes on, were it to end here, would be
no better than the worst of these. Decoding state is a value, so reordering beams is `state.select` and no mixer knows of it. One beam is
greedy decoding.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from linnet.core.errors import LinnetError, explain
from linnet.core.spec import Spec
from linnet.generate.decode import EMBED
from linnet.model.causal import check_writes
from linnet.model.network import Network
from linnet.model.state import Source


class Beam(Spec):
    """How beam search decodes.

    n_beams          beginnings that are kept at a time; 1 is greedy
    length_penalty   log p is divided by the length to this power: 0 prefers short texts, 1 compares by log p a token
    """

    n_beams: int = Field(default=5, ge=1)
    length_penalty: float = Field(default=1.0, ge=0, le=10, allow_inf_nan=False)


class Hypothesis(NamedTuple):
    """tokens: with the end token, if it ended · logprob: of all of them · score: by which it is compared."""

    tokens: tuple[int, ...]
    logprob: float
    score: float


@dataclass
class Row:
    """What one prompt has come to: the hypotheses that are put aside, best first."""

    beam: Beam
    ended: list[Hypothesis]

    def add(self, tokens: tuple[int, ...], logprob: float) -> None:
        """One more; only the n_beams best are kept, of equals the earlier one."""
        self.ended.append(Hypothesis(tokens, logprob, logprob / len(tokens) ** self.beam.length_penalty))
        self.ended.sort(key=lambda each: -each.score)
        del self.ended[self.beam.n_beams :]

    def done(self, best: float, length: int) -> bool:
        """Whether what goes on, the best of it at log p = best, no longer counts."""
        return len(self.ended) == self.beam.n_beams and self.ended[-1].score >= best / max(1, length) ** self.beam.length_penalty


@torch.inference_mode()
def beam_search(
    network: Network, prompts: Tensor, beam: Beam, *, end_id: int, max_tokens: int | Sequence[int], source: Source | None = None
) -> list[list[Hypothesis]]:
    """The hypotheses of each prompt, at most n_beams, best first; those that had not ended after max_tokens are among them.

    prompts      (B, T) ids, at least one each; of pairs the end token alone
    max_tokens   of each row, or of all; a row ends at its own, whatever the others do
    source       what `network.read` gave, for a network with an encoder
    """
    longest = [max_tokens] * len(prompts) if isinstance(max_tokens, int) else list(max_tokens)
    if prompts.dim() != 2 or prompts.shape[1] == 0 or len(longest) != len(prompts) or min(longest, default=1) < 1:
        got = f"prompts of shape {tuple(prompts.shape)} and max_tokens = {max_tokens}"
        raise LinnetError(explain(got, need="(rows, tokens) with a token at least, and at least 1, for all rows or for each"))
    check_writes(network.spec, "to write", hint=EMBED)
    limit, k, device = network.spec.max_length, beam.n_beams, network.device
    if limit is not None:
        longest = [min(most, limit - prompts.shape[1] + 1) for most in longest]
    rows = [Row(beam, []) for _ in prompts]
    hidden, state, _ = network(prompts, state=network.new_state(len(prompts), source=source))
    logits = network.logits(hidden[:, -1]).repeat_interleave(k, 0)  # (B·k, V)
    assert state is not None
    if k > 1:
        state = state.select(torch.arange(len(prompts), device=device).repeat_interleave(k))
    alive = list(range(len(prompts)))  # of those rows that go on, which they are
    scores = torch.full(
        (len(prompts), k), -math.inf, dtype=torch.float64, device=device
    )  # all beams are the same as yet: one counts
    scores[:, 0] = 0.0
    texts: list[list[tuple[int, ...]]] = [[()] * k for _ in prompts]
    for length in range(1, max(longest, default=0) + 1):
        texts, scores, origins, going = continued(logits, scores, texts, [rows[row] for row in alive], end_id, length)
        for place in going:
            if length == longest[alive[place]]:  # they had not ended
                for tokens, logprob in zip(texts[place], scores[place].tolist(), strict=True):
                    if logprob > -math.inf:
                        rows[alive[place]].add(tokens, logprob)
        going = [place for place in going if length < longest[alive[place]]]
        if not going:
            break
        came_from = (origins + torch.arange(len(origins), device=device)[:, None] * k)[going].flatten()
        alive, texts, scores = [alive[place] for place in going], [texts[place] for place in going], scores[going]
        if not torch.equal(came_from, torch.arange(origins.numel(), device=device)):
            state = state.select(came_from)
        last = torch.tensor([[text[-1]] for row in texts for text in row], device=device)
        hidden, state, _ = network(last, state=state)
        assert state is not None
        logits = network.logits(hidden[:, -1])
    return [row.ended for row in rows]


def continued(
    logits: Tensor, scores: Tensor, texts: list[list[tuple[int, ...]]], rows: list[Row], end_id: int, length: int
) -> tuple[list[list[tuple[int, ...]]], Tensor, Tensor, list[int]]:
    """One step of all rows that go on: logits (R·k, V), scores (R, k), and what each beam has said.

    Gives what each beam says now, its log p (R, k), the beam (R, k) that it goes on from, and the rows that are not done.
    """
    n_rows, k = scores.shape
    vocab = logits.shape[-1]
    logs = logits.double().log_softmax(-1).view(n_rows, k, vocab) + scores[:, :, None]
    best, places = logs.flatten(1).topk(min(2 * k, k * vocab), dim=1)  # (R, 2k): k of them do not end
    after: list[list[tuple[int, ...]]] = []
    sums: list[list[float]] = []
    origins: list[list[int]] = []
    going: list[int] = []
    for number, (row, text) in enumerate(zip(rows, texts, strict=True)):
        next_text: list[tuple[int, ...]] = []
        next_sums: list[float] = []
        next_origins: list[int] = []
        for rank, (logprob, place) in enumerate(zip(best[number].tolist(), places[number].tolist())):
            beam, token = divmod(place, vocab)
            if logprob == -math.inf:
                break
            if token == end_id:
                if rank < k:
                    row.add((*text[beam], token), logprob)
            elif len(next_text) < k:
                next_text.append((*text[beam], token))
                next_sums.append(logprob)
                next_origins.append(beam)
        if next_sums and not row.done(next_sums[0], length):
            going.append(number)
        missing = k - len(next_text)  # where there are fewer continuations than beams
        after.append(next_text + [(*text[0], end_id)] * missing)
        sums.append(next_sums + [-math.inf] * missing)
        origins.append(next_origins + [0] * missing)
    return after, scores.new_tensor(sums), torch.tensor(origins, device=logits.device), going

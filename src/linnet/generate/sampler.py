"""From logits to the next token: penalties, temperature, cuts, one draw.

    logits → penalize → temperature → keep_top_k → keep_top_p → keep_min_p → softmax → inverse CDF

The order is that of Hugging Face's logits processors, so the same numbers mean the same distribution there. Each step
is a pure function of (B, V) float logits that returns new ones; what it cuts becomes -inf. `Sampler` only chains them.

A row uses one uniform number per token, u in [0, 1), and takes the first token whose cumulative probability exceeds u.
So a row's text depends on its own seed and its own logits, never on its neighbours in the batch. Where two tokens tie
at a cut, both stay: the result never depends on the order of a sort.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from linnet.core.errors import LinnetError, explain
from linnet.core.spec import Spec

CUT = -math.inf  # the logit of a token that may not be drawn
FIRST_LOOK = 256  # tokens that `keep_top_p` looks at before it looks at more (CPU)


class Sampling(Spec):
    """How the next token is chosen. The defaults draw from the model's own distribution.

    temperature          0 is greedy: the likeliest token; 1 is the model as it is
    top_k                keep the k likeliest tokens; 0 keeps all
    top_p                keep the smallest set of likeliest tokens with at least this mass; 1 keeps all
    min_p                keep tokens with at least this share of the likeliest token's probability; 0 keeps all
    repetition_penalty   divide (positive) or multiply (negative) the logit of what was seen; 1 is off
    presence_penalty     subtract this from the logit of what was generated at all; 0 is off
    frequency_penalty    subtract this once per time that it was generated; 0 is off
    """

    temperature: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0
    top_k: Annotated[int, Field(ge=0)] = 0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    min_p: Annotated[float, Field(ge=0, le=1)] = 0.0
    repetition_penalty: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] = 0.0
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] = 0.0

    @property
    def penalizes(self) -> bool:
        """Whether the sampler needs counts of the tokens so far."""
        return (self.repetition_penalty, self.presence_penalty, self.frequency_penalty) != (1.0, 0.0, 0.0)


def count_tokens(tokens: Tensor, vocab_size: int, mask: Tensor | None = None) -> Tensor:
    """How often each token stands in each row: (B, T) int64 → (B, V) int64.

    `mask` (B, T) bool says which places count (padding does not).
    """
    counts = torch.zeros(tokens.shape[0], vocab_size, dtype=torch.int64, device=tokens.device)
    ones = torch.ones_like(tokens) if mask is None else mask.to(tokens.dtype)
    return counts.scatter_add_(1, tokens, ones)


def penalize(
    logits: Tensor,
    counts: Tensor,
    *,
    repetition: float = 1.0,
    presence: float = 0.0,
    frequency: float = 0.0,
    prompt: Tensor | None = None,
) -> Tensor:
    """Make tokens that have appeared less likely (a penalty on the other side of neutral: more likely).

    logits (B, V); counts (B, V): how often each token was *generated*; prompt (B, V): how often it stands in the
    prompt, which the repetition penalty alone looks at. Returns (B, V).

    Sources: repetition, CTRL (1909.05858, section 4.1), with Hugging Face's sign rule: a positive logit is divided, a
    negative one multiplied. Then presence and frequency as OpenAI's API defines them:
    `logit -= count · frequency + (count > 0) · presence`.
    """
    if repetition != 1.0:
        seen = counts > 0 if prompt is None else (counts > 0) | (prompt > 0)  # (B, V)
        logits = torch.where(seen, torch.where(logits < 0, logits * repetition, logits / repetition), logits)
    if frequency != 0.0:
        logits = logits - frequency * counts
    if presence != 0.0:
        logits = logits - presence * (counts > 0)
    return logits


def temperature(logits: Tensor, value: float) -> Tensor:
    """p ∝ p^(1/value): below 1 sharper, above 1 flatter. (B, V) → (B, V); `value` > 0 (Ackley et al. 1985)."""
    return logits if value == 1.0 else logits / value


def keep_top_k(logits: Tensor, k: int) -> Tensor:
    """Cut all but the k likeliest tokens; ties with the last of them stay (1805.04833, section 5.4). (B, V) → (B, V)."""
    if k == 0 or k >= logits.shape[-1]:
        return logits
    last = logits.topk(k, dim=-1, sorted=False).values.amin(dim=-1, keepdim=True)  # (B, 1)
    return logits.masked_fill(logits < last, CUT)


def keep_top_p(logits: Tensor, p: float) -> Tensor:
    """Nucleus sampling: keep a token iff the tokens above it have less than mass p (1904.09751, eq. 2 and 3).

    (B, V) → (B, V). The likeliest token always stays. On a CPU only as many tokens are sorted as the nucleus needs;
    on other devices all are, because asking how many are needed would make the host wait.
    """
    if p >= 1.0:
        return logits
    probs = logits.softmax(dim=-1)  # (B, V)
    vocab_size = logits.shape[-1]
    width = min(FIRST_LOOK, vocab_size) if logits.device.type == "cpu" else vocab_size
    while True:
        best = probs.topk(width, dim=-1).values  # (B, W), falling
        mass = best.cumsum(dim=-1, dtype=_wide(logits.device))
        if width == vocab_size or bool((mass[:, -1] >= p).all()):
            break
        width = min(8 * width, vocab_size)
    last = best.masked_fill(mass - best >= p, math.inf).amin(dim=-1, keepdim=True)  # (B, 1)
    return logits.masked_fill(probs < last, CUT)


def keep_min_p(logits: Tensor, share: float) -> Tensor:
    """Cut tokens with less than `share` of the likeliest token's probability (2407.01082). (B, V) → (B, V).

    Probabilities share their denominator, so the cut is a plain difference of logits.
    """
    if share == 0.0:
        return logits
    return logits.masked_fill(logits < logits.amax(dim=-1, keepdim=True) + math.log(share), CUT)


def draw(logits: Tensor, uniform: Tensor) -> Tensor:
    """Inverse CDF: the first token whose cumulative probability exceeds `uniform` (B,) in [0, 1). (B, V) → (B,) int64.

    A token of probability 0 is never drawn: the cumulative sum does not rise there.
    """
    cdf = logits.softmax(dim=-1).cumsum(dim=-1, dtype=uniform.dtype)  # (B, V)
    return torch.searchsorted(cdf, (uniform * cdf[:, -1])[:, None], right=True)[:, 0]


def uniforms(generator: torch.Generator | Sequence[torch.Generator], rows: int, device: torch.device) -> Tensor:
    """One number in [0, 1) per row, (B,): from one generator in row order, or row i from generator i.

    Generators live on the CPU as a rule, so that a seed says the same on every device; B numbers are moved.
    """
    wide = _wide(device)
    if isinstance(generator, torch.Generator):
        return torch.rand(rows, generator=generator, device=generator.device, dtype=wide).to(device)
    if len(generator) != rows:
        raise LinnetError(explain(f"{len(generator)} generators for {rows} rows", need="one generator, or one per row"))
    return torch.stack([torch.rand((), generator=each, device=each.device, dtype=wide) for each in generator]).to(device)


def _wide(device: torch.device) -> torch.dtype:
    """The widest float of a device: with float32, tokens below 6e-8 could not be told apart by one uniform number."""
    return torch.float32 if device.type == "mps" else torch.float64


class Sampler:
    """Chooses the next token of each row.

    >>> sampler = Sampler(Sampling(temperature=0))
    >>> sampler(torch.tensor([[0.0, 2.0, 1.0]]))[0].tolist()
    [1]
    """

    def __init__(self, spec: Sampling) -> None:
        self.spec = spec

    def process(self, logits: Tensor, seen: Tensor | None = None, *, prompt: Tensor | None = None) -> Tensor:
        """The logits (B, V) float32 whose softmax the token is drawn from (temperature 0: whose argmax it is)."""
        spec = self.spec
        logits = logits.float()
        if spec.penalizes:
            if seen is None:
                raise LinnetError(
                    explain(
                        "penalties without counts of the tokens so far",
                        need="seen (B, V)",
                        hint="count_tokens(tokens, vocab_size)",
                    )
                )
            logits = penalize(
                logits,
                seen,
                repetition=spec.repetition_penalty,
                presence=spec.presence_penalty,
                frequency=spec.frequency_penalty,
                prompt=prompt,
            )
        if spec.temperature == 0:
            return logits
        logits = temperature(logits, spec.temperature)
        logits = keep_top_k(logits, spec.top_k)
        logits = keep_top_p(logits, spec.top_p)
        return keep_min_p(logits, spec.min_p)

    def __call__(
        self,
        logits: Tensor,
        seen: Tensor | None = None,
        generator: torch.Generator | Sequence[torch.Generator] | None = None,
        *,
        prompt: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """(B, V) logits → token (B,) int64 and logprob (B,) float32.

        seen (B, V)     counts of what was generated so far; needed iff `spec.penalizes`
        prompt (B, V)   counts of the prompt, for the repetition penalty
        generator       one for the batch, or one per row (row i then equals that row sampled alone); greedy needs none

        logprob is what the *model* gives the token, before penalties, temperature and cuts: scoring the text again
        gives the same number. The host waits for nothing, but for the nucleus on a CPU.
        """
        processed = self.process(logits, seen, prompt=prompt)  # (B, V)
        if self.spec.temperature == 0:
            token = processed.argmax(dim=-1)  # (B,)
        elif generator is None:
            raise LinnetError(
                explain(
                    f"temperature {self.spec.temperature} and no generator", need="one, or one per row", hint="temperature: 0"
                )
            )
        else:
            token = draw(processed, uniforms(generator, logits.shape[0], logits.device))  # (B,)
            if logits.device.type == "cpu" and bool((token >= logits.shape[-1]).any()):  # only NaN ends beyond the last token
                raise LinnetError(
                    explain(
                        "logits that are not numbers (NaN)",
                        need="finite logits",
                        hint="evaluate the model, its weights may have diverged",
                    )
                )
        logprob = logits.float().log_softmax(dim=-1).gather(-1, token[:, None])[:, 0]  # (B,)
        return token, logprob

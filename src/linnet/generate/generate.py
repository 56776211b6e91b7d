"""Text in, text out: prompts through a tokenizer, a decoder, a stopper, and back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from linnet.core.seeds import generator
from linnet.generate.decode import Decoder
from linnet.generate.sampler import Sampling
from linnet.generate.stop import Stopper
from linnet.model.network import Network
from linnet.tokenizer.base import Tokenizer


@dataclass(frozen=True)
class Generation:
    """What was written after a prompt.

    text        without the prompt, cut before a stop string
    tokens      ids drawn, a stop token included
    logprobs    log p of each of them under the model
    reason      stop_string, stop_token or length
    """

    prompt: str
    text: str
    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]
    reason: str


@dataclass(frozen=True)
class Piece:
    """A part of a row's text, as it is written; `done` carries the whole at the end."""

    row: int
    text: str
    done: Generation | None = None


def stream(
    network: Network,
    tokenizer: Tokenizer,
    prompts: Sequence[str | Sequence[int]],
    *,
    sampling: Sampling | None = None,
    max_tokens: int = 256,
    stop: Sequence[str] = (),
    stop_tokens: Sequence[int] = (),
    begin: Sequence[int] = (),
    seed: int = 0,
    context_length: int | None = None,
    fresh_documents: bool = True,
) -> Iterator[Piece]:
    """Write after every prompt, a text or ids, at once; pieces come as they are certain, rows in turn.

    Row i draws from the stream `generate/i` of `seed`. The end token always stops a row. An empty prompt begins a new
    document: its first token is drawn after the end token, and with `fresh_documents` (a model that was trained with
    document masks) the document then begins from nothing, as it did in training. `begin` are ids that stand before every
    text; a prompt of ids has its own.
    """
    sampling = sampling or Sampling()
    generators = [generator(seed, f"generate/{row}") for row in range(len(prompts))]
    given = [[*begin, *tokenizer.encode(prompt)] if isinstance(prompt, str) else list(prompt) for prompt in prompts]
    ids = [prompt or [tokenizer.end_id] for prompt in given]
    stoppers = [Stopper(stop, {tokenizer.end_id, *stop_tokens}, max_tokens) for _ in prompts]
    drawn: list[list[int]] = [[] for _ in prompts]
    logprobs: list[list[float]] = [[] for _ in prompts]

    was_training = network.training
    network.eval()
    try:
        decoder = Decoder(network, ids, sampling, generators, context_length=context_length)
        alive = list(range(len(prompts)))
        while alive:
            tokens, logs = decoder.step()
            staying = []
            for place, (row, token, log) in enumerate(zip(alive, tokens.tolist(), logs.tolist(), strict=True)):
                drawn[row].append(token)
                logprobs[row].append(log)
                stopper = stoppers[row]
                text = stopper.push(token, tokenizer.token_bytes(token))
                if stopper.reason is None:
                    staying.append(place)
                    if text:
                        yield Piece(row, text)
                else:
                    prompt = prompts[row]
                    asked = prompt if isinstance(prompt, str) else tokenizer.decode(prompt)
                    whole = Generation(asked, stopper.text, tuple(drawn[row]), tuple(logprobs[row]), stopper.reason)
                    yield Piece(row, text, whole)
            if len(staying) < len(alive):
                alive = [alive[place] for place in staying]
                if alive:
                    decoder.keep(staying)
            if alive:
                if fresh_documents and any(row == [tokenizer.end_id, row[-1]] for row in decoder.rows if len(row) == 2):
                    decoder.forget_end(tokenizer.end_id)
                else:
                    decoder.read()
    finally:
        network.train(was_training)


def generate(
    network: Network, tokenizer: Tokenizer, prompts: Sequence[str | Sequence[int]], **options: object
) -> list[Generation]:
    """The same, all at once: one Generation for each prompt, in order. Options as for `stream`."""
    done: list[Generation | None] = [None] * len(prompts)
    for piece in stream(network, tokenizer, prompts, **options):  # type: ignore[arg-type]
        if piece.done is not None:
            done[piece.row] = piece.done
    assert all(item is not None for item in done)
    return [item for item in done if item is not None]

"""What people hold: a network, its tokenizer and its manifest. Text in, text out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from linnet.core.errors import ConfigError, LinnetError, explain
from linnet.core.spec import load
from linnet.generate.beam import Beam
from linnet.generate.decode import EMBED, score_tokens
from linnet.generate.fill import Filled, fill
from linnet.generate.generate import Generation, Piece, generate, stream
from linnet.generate.sampler import Sampling
from linnet.generate.translate import translate
from linnet.interop.native import Manifest, begin_of, load_model, make_manifest, save_model, template_of
from linnet.model.causal import is_headless
from linnet.model.network import Network
from linnet.tokenizer.base import Tokenizer
from linnet.tokenizer.chat import ChatTemplate, Said, Turn, as_turns


@dataclass(frozen=True)
class LanguageModel:
    """A model that is ready to be used.

    >>> model = linnet.load("runs/demo")                    # doctest: +SKIP
    >>> model.generate("Once upon a time", max_tokens=50)   # doctest: +SKIP
    """

    network: Network
    tokenizer: Tokenizer
    manifest: Manifest

    @classmethod
    def load(cls, folder: str | Path, *, device: str = "cpu") -> LanguageModel:
        """Read a run folder or a model folder. Raises CheckpointError or TokenizerError for anything that does not fit."""
        return cls(*load_model(Path(folder), device=torch.device(device)))

    @classmethod
    def assemble(
        cls,
        network: Network,
        tokenizer: Tokenizer,
        *,
        context_length: int,
        document_mask: bool = True,
        template: ChatTemplate | None = None,
    ) -> LanguageModel:
        """A model from its parts."""
        manifest = make_manifest(
            network, tokenizer, context_length=context_length, document_mask=document_mask, template=template
        )
        return cls(network, tokenizer, manifest)

    def save(self, folder: str | Path) -> None:
        """Write model.safetensors, tokenizer.json and manifest.json."""
        save_model(Path(folder), self.network, self.tokenizer, self.manifest)

    def generate(self, prompt: str = "", **options: Any) -> str:
        """What the model writes after `prompt` (not included). Options as for `complete`."""
        return self.complete([prompt], **options)[0].text

    def complete(
        self,
        prompts: Sequence[str],
        *,
        n: int = 1,
        max_tokens: int = 256,
        temperature: float = 0.8,
        stop: Sequence[str] = (),
        stop_tokens: Sequence[int] = (),
        seed: int = 0,
        **sampling: Any,
    ) -> list[Generation]:
        """`n` texts for each prompt, prompt by prompt; a text ends before any of `stop` and after any of `stop_tokens` (ids; the end
        token always is one). More sampling options: top_k, top_p, min_p, repetition_penalty,
        presence_penalty, frequency_penalty (see generate/sampler.py)."""
        rows = [prompt for prompt in prompts for _ in range(n)]
        return generate(
            self.network, self.tokenizer, rows, **self._options(max_tokens, temperature, stop, stop_tokens, seed, sampling)
        )

    def translate(
        self, sources: Sequence[str], *, beams: int = 5, length_penalty: float = 1.0, max_tokens: int | None = None
    ) -> list[str]:
        """What a model with an encoder makes of each source, in order, by beam search (generate/translate.py).

        >>> model.translate(["ein Hund"])   # doctest: +SKIP

        Raises LinnetError for a model without an encoder, and for a source that is empty or longer than the model's context.
        """
        beam = load(Beam, {"n_beams": beams, "length_penalty": length_penalty}, name="how to search")
        context = self.manifest.context_length
        found = translate(self.network, self.tokenizer, sources, beam=beam, max_tokens=max_tokens, context_length=context)
        return [each.text for each in found]

    def fill(self, texts: Sequence[str], *, k: int = 5) -> list[Filled]:
        """What a model that sees both ways has for the masked places of each text, and the k likeliest tokens of each place.

        >>> model.fill(["One day, a <|mask|> went home."])   # doctest: +SKIP

        Raises LinnetError for a text without a masked place, and for one that is longer than the model's context; ConfigError for a
        model that sees only what stands before, or has no head; TokenizerError for a tokenizer without a mask token.
        """
        manifest = self.manifest
        if is_headless(self.network) and manifest.data is None:
            raise ConfigError(explain("a model without a head, to fill masked places", need="one with its head", hint=EMBED))
        return fill(self.network, self.tokenizer, texts, k=k, begin=begin_of(manifest), context_length=manifest.context_length)

    def chat(self, turns: Said, **options: Any) -> str:
        """What the model replies to a conversation so far, whose last turn is the user's; a text alone is that turn.

        >>> model.chat([("system", "Be brief."), ("user", "Who sings?")])                       # doctest: +SKIP
        >>> model.chat([{"role": "user", "content": "Who sings?"}], temperature=0)   # doctest: +SKIP

        options   max_tokens, temperature, stop, seed, and the sampling options of `complete`

        Raises LinnetError for a model that was taught no conversations, and for a question that is longer than its context; DataError for
        turns in another order, or that say nothing.
        """
        return "".join(self.stream_chat(turns, **options))

    def stream_chat(
        self,
        turns: Said,
        *,
        max_tokens: int = 256,
        temperature: float = 0.8,
        stop: Sequence[str] = (),
        seed: int = 0,
        **sampling: Any,
    ) -> Iterator[str]:
        """The same, piece by piece as it is written; it ends with the mark that ends an assistant's turn, or where the context does.

        What was said first is left out where the conversation would leave less than half of the model's context for the reply; the system's
        turn and the last question stay, and are before the model until the reply ends.
        """
        template = template_of(self.manifest)
        if template is None:
            raise LinnetError(
                explain(
                    "a model that was taught no conversations",
                    need="one that was trained on a source of kind: conversations",
                    hint="generate",
                )
            )
        context = self.manifest.context_length
        ids = lately(template, self.tokenizer, as_turns(turns), max(1, context // 2))
        if len(ids) >= context:
            got = f"{len(ids):,} tokens of the last question and the system's turn, if there is one"
            raise LinnetError(
                explain(got, need=f"fewer than the model's context of {context:,}", hint="saying it in fewer words")
            )
        max_tokens = min(max_tokens, context - len(ids))
        options = self._options(max_tokens, temperature, stop, template.marks(self.tokenizer), seed, sampling)
        pieces = (piece.text for piece in stream(self.network, self.tokenizer, [ids], **options) if piece.text)
        return without_space(pieces) if begins_with_space(self.tokenizer) else pieces

    def stream(
        self,
        prompt: str = "",
        *,
        max_tokens: int = 256,
        temperature: float = 0.8,
        stop: Sequence[str] = (),
        stop_tokens: Sequence[int] = (),
        seed: int = 0,
        **sampling: Any,
    ) -> Iterator[str]:
        """The same as `generate`, piece by piece as it is written."""
        pieces: Iterator[Piece] = stream(
            self.network, self.tokenizer, [prompt], **self._options(max_tokens, temperature, stop, stop_tokens, seed, sampling)
        )
        return (piece.text for piece in pieces if piece.text)

    def score(self, text: str) -> float:
        """Mean -log p of the tokens of `text` in nats, the first one given the end token before it; inf for no text."""
        ids = self.tokenizer.encode(text)
        if not ids:
            return math.inf
        manifest = self.manifest
        tokens = [*(manifest.begin or [self.tokenizer.end_id]), *ids]
        return float(
            -score_tokens(self.network, tokens, context_length=manifest.context_length, fresh_documents=manifest.document_mask)[
                -len(ids) :
            ].mean()
        )

    def to(self, device: str) -> LanguageModel:
        """The same model on another device."""
        return replace(self, network=self.network.to(device))

    def _options(
        self,
        max_tokens: int,
        temperature: float,
        stop: Sequence[str],
        stop_tokens: Sequence[int],
        seed: int,
        sampling: dict[str, Any],
    ) -> dict[str, Any]:
        beyond = [token for token in stop_tokens if not 0 <= token < self.tokenizer.vocab_size]
        if beyond:
            raise LinnetError(explain(f"stop tokens {beyond}", need=f"ids from 0 to {self.tokenizer.vocab_size - 1}"))
        return {
            "stop_tokens": (*stop_tokens, *self.manifest.stop),
            "begin": tuple(self.manifest.begin),
            "sampling": load(Sampling, {"temperature": temperature, **sampling}, name="how to draw"),
            "max_tokens": max_tokens,
            "stop": (stop,) if isinstance(stop, str) else tuple(stop),
            "seed": seed,
            "context_length": self.manifest.context_length,
            "fresh_documents": self.manifest.document_mask,
        }


def begins_with_space(tokenizer: Tokenizer) -> bool:
    """Whether a tokenizer puts a space before every text, as SentencePiece's do, and so before every turn."""
    return b"".join(map(tokenizer.token_bytes, tokenizer.encode("x"))) == b" x"


def without_space(pieces: Iterator[str]) -> Iterator[str]:
    """A reply without the space before it, so that it is encoded again as it was written."""
    for number, piece in enumerate(pieces):
        text = piece.removeprefix(" ") if number == 0 else piece
        if text:
            yield text


def lately(template: ChatTemplate, tokenizer: Tokenizer, turns: Sequence[Turn], room: int) -> list[int]:
    """The ids of a conversation as far as the reply, its earliest exchanges left out where they are more than `room` tokens; a system's
    turn stays, and the last question."""
    ids, spans = template.render(tokenizer, turns, reply=True)
    before = len(template.written(tokenizer, template.frame("user").before))
    begins = [span.start - before for span in spans if span.role == "user"]  # where exchanges do
    first = next((begin for begin in begins if begins[0] + len(ids) - begin <= room), begins[-1])
    return ids[: begins[0]] + ids[first:]

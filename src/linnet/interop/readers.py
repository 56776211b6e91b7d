"""Others who read an exported folder: the `tokenizers` library, and `transformers`. Nothing is fetched, and no code of the folder is run."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from linnet.core.errors import CheckpointError
from linnet.core.extras import need
from linnet.core.files import read_json
from linnet.tokenizer.chat import Turn

WANTED = "check an export"


class ByTokenizers:
    """tokenizer.json as the `tokenizers` library reads it."""

    def __init__(self, folder: Path) -> None:
        library = need("tokenizers", extra="transformers", to=WANTED)
        self.tokenizer = library.Tokenizer.from_file(str(folder / "tokenizer.json"))

    def ids(self, text: str) -> list[int]:
        """Ids of a text in which the names of special tokens are these."""
        return list(self.tokenizer.encode(text, add_special_tokens=False).ids)

    def ids_of_plain_text(self, text: str) -> list[int]:
        """Ids of a text in which nothing is special."""
        self.tokenizer.encode_special_tokens = True
        try:
            return self.ids(text)
        finally:
            self.tokenizer.encode_special_tokens = False

    def specials(self) -> dict[str, int]:
        """Name → id of the added tokens that are special."""
        return {token.content: each for each, token in self.tokenizer.get_added_tokens_decoder().items() if token.special}


class ByTransformers:
    """The whole folder as `transformers` reads it, in float32."""

    def __init__(self, folder: Path) -> None:
        library = need("transformers", extra="transformers", to=WANTED)
        config = read_json(folder / "config.json", what="the config.json of a Hugging Face model", error=CheckpointError)
        self.version = str(library.__version__)
        with quiet(library):
            self.tokenizer: Any = library.AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
            kind = getattr(library, config["architectures"][0])
            self.model: Any = kind.from_pretrained(
                str(folder), local_files_only=True, dtype=torch.float32, attn_implementation="eager"
            ).eval()
        self.library = library

    def quiet(self) -> contextlib.AbstractContextManager[None]:
        """Without its warnings: a text that is longer than the context is asked for on purpose."""
        return quiet(self.library)

    def ids(self, text: str) -> list[int]:
        """Ids of a text in which the names of special tokens are these."""
        return list(self.tokenizer.encode(text, add_special_tokens=False))

    def ids_as_given(self, text: str) -> list[int]:
        """Ids of a text with what stands before every text."""
        return list(self.tokenizer.encode(text))

    def specials(self) -> dict[str, int]:
        """Name → id of the added tokens that are special."""
        return {token.content: each for each, token in self.tokenizer.added_tokens_decoder.items() if token.special}

    @property
    def end(self) -> int | None:
        return self.tokenizer.eos_token_id

    @torch.no_grad()
    def scores(self, ids: Tensor, **beside: Tensor) -> Tensor:
        """Logits (B, T, V); hidden states of a model without a head. `beside`: what it has to be given beside the ids."""
        out = self.model(ids, **beside)
        return out.logits if hasattr(out, "logits") else out.last_hidden_state

    def conversation(self, turns: Sequence[Turn]) -> str:
        """A conversation as text, as far as where the assistant begins to speak."""
        messages = [{"role": turn.role, "content": turn.content} for turn in turns]
        return str(self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))

    def stops(self) -> set[int]:
        """The ids at which writing stops."""
        said = self.model.generation_config.eos_token_id
        return set(said) if isinstance(said, list) else set() if said is None else {said}

    @torch.no_grad()
    def greedy(self, prompt: Sequence[int], n: int) -> list[int]:
        """The likeliest tokens after a prompt, up to and with where it stops; a translator's, to the prompt as a source."""
        ids = torch.tensor([list(prompt)])
        written = self.model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=n, do_sample=False, num_beams=1)
        before = 1 if self.model.config.is_encoder_decoder else len(prompt)
        return [int(each) for each in written[0, before:]]


@contextlib.contextmanager
def quiet(library: Any) -> Iterator[None]:
    """Without its bars and warnings, which are put back."""
    logging = library.utils.logging
    before, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if bars:
            logging.enable_progress_bar()

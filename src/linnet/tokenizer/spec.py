"""The words for tokenizers in a run file, and how each makes a tokenizer from texts.

tokenizer: {kind: bpe, vocab_size: 1024}      byte-level BPE, trained on the run's own text
tokenizer: char                               one id a character
tokenizer: byte                               one id a byte
tokenizer: {kind: file, path: tokenizer.json} one that exists already
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from linnet.core.errors import TokenizerError, explain
from linnet.core.spec import Spec
from linnet.tokenizer.base import END_OF_TEXT, Tokenizer
from linnet.tokenizer.bpe_tokenizer import train_bpe
from linnet.tokenizer.load import content_of, load_tokenizer
from linnet.tokenizer.simple import byte_tokenizer, train_char
from linnet.tokenizer.vocabulary import Progress, special_names


class TokenizerSpec(Spec):
    """How text becomes ids."""

    def train(self, texts: Iterable[str], *, special: Sequence[str] = (), progress: Progress | None = None) -> Tokenizer:
        """Make the tokenizer; see `train_tokenizer`."""
        raise NotImplementedError

    def with_special(self, names: Sequence[str]) -> TokenizerSpec:
        """The same with more special tokens; a tokenizer that exists already has those that it has."""
        return self


def _read_names(value: Any) -> Any:
    """Special tokens come as a list from YAML; each name once, and none empty."""
    if isinstance(value, (list, tuple)) and all(isinstance(name, str) for name in value):
        special_names(value)
        return tuple(value)
    return value


SpecialNames = Annotated[tuple[str, ...], BeforeValidator(_read_names)]


class Trained(TokenizerSpec):
    """Family: tokenizers that are made for a run, and get the special tokens that it needs."""

    def names(self, more: Sequence[str] = ()) -> tuple[str, ...]:
        """Its special tokens and more of them, <|endoftext|> left out."""
        own: tuple[str, ...] = self.special  # type: ignore[attr-defined]
        return (*own, *(name for name in more if name not in (END_OF_TEXT, *own)))

    def with_special(self, names: Sequence[str]) -> TokenizerSpec:
        return self.replace(special=self.names(names)) if names else self


class BPE(Trained):
    """Byte-level BPE, trained on the texts.

    vocab_size   all ids: 256 bytes, merges, special tokens; default: by the length of the text
    pattern      how text is split before merging, by the name of the model that brought it
    special      special tokens besides <|endoftext|>
    """

    kind: Literal["bpe"] = "bpe"
    vocab_size: Annotated[int, Field(ge=257)] | None = None
    pattern: Literal["gpt2", "gpt4", "cl100k", "qwen", "o200k"] = "gpt4"
    special: SpecialNames = ()

    def train(self, texts: Iterable[str], *, special: Sequence[str] = (), progress: Progress | None = None) -> Tokenizer:
        if self.vocab_size is None:
            raise TokenizerError(
                explain("a bpe tokenizer without vocab_size", need="a number to train to", hint="spec.replace(vocab_size=1024)")
            )
        return train_bpe(texts, self.vocab_size, pattern=self.pattern, special=self.names(special), progress=progress)


class Char(Trained):
    """One id for each character that the texts contain.

    special   special tokens besides <|endoftext|>
    """

    kind: Literal["char"] = "char"
    special: SpecialNames = ()

    def train(self, texts: Iterable[str], *, special: Sequence[str] = (), progress: Progress | None = None) -> Tokenizer:
        return train_char(texts, special=self.names(special), progress=progress)


class Byte(Trained):
    """One id for each byte; learns nothing from the texts.

    special   special tokens besides <|endoftext|>
    """

    kind: Literal["byte"] = "byte"
    special: SpecialNames = ()

    def train(self, texts: Iterable[str], *, special: Sequence[str] = (), progress: Progress | None = None) -> Tokenizer:
        return byte_tokenizer(self.names(special))


class TokenizerFile(TokenizerSpec):
    """A tokenizer that exists already; learns nothing from the texts.

    path      a tokenizer.json, a run folder, a folder with GPT-2's two files, tiktoken's ranks, a SentencePiece model, BERT's vocab.txt
    pattern   how text is split, for ranks whose name does not tell
    """

    kind: Literal["file"] = "file"
    path: str
    pattern: Literal["gpt2", "gpt4", "cl100k", "qwen", "o200k"] | None = None

    @classmethod
    def examples(cls) -> tuple[TokenizerFile, ...]:
        return (cls(path="tokenizer.json"),)

    def train(self, texts: Iterable[str], *, special: Sequence[str] = (), progress: Progress | None = None) -> Tokenizer:
        return load_tokenizer(Path(self.path), pattern=self.pattern)

    def content(self) -> str | None:
        """A text that stands for the tokenizer, without opening it; None where it has to be opened to be known."""
        files = content_of(self.path)
        return None if files is None else f"{files} {self.pattern}"


def train_tokenizer(
    spec: TokenizerSpec, texts: Iterable[str], *, special: Sequence[str] = (), progress: Progress | None = None
) -> Tokenizer:
    """The tokenizer that `spec` describes, learned from `texts` where it learns.

    texts      read once, one at a time; not read at all by words that do not learn
    special    special tokens that it needs besides those of the spec, as a chat template does; a file has those that it has
    progress   called as progress(stage, done, total): ("reading", texts so far, None), ("merging", merges, of them)

    Raises TokenizerError where the texts are empty, the vocabulary too small, or the file is not a tokenizer.
    """
    return spec.train(texts, special=special, progress=progress)

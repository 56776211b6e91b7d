"""What every tokenizer can do: text to ids and back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence, Sized
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

END_OF_TEXT = "<|endoftext|>"  # stands after every document; also where generation starts and stops
ENDS = (END_OF_TEXT, "</s>", "<eos>", "<|end_of_text|>")  # what the token that ends a document may be called in files of others
SpecialInText = Literal["text", "token", "refuse"]  # what the name of a special token inside a text is: text like any other, …


def ends_of(parts: Sequence[Sized]) -> NDArray[np.uint64]:
    """Where each of some parts (n,) ends if they lie one after the other (n,)."""
    return np.cumsum(np.fromiter(map(len, parts), np.uint64, len(parts)), dtype=np.uint64)


class Tokenizer(ABC):
    """Bytes ↔ ids. Immutable once made.

    special   name → id of the special tokens; among them the one that ends a document
    exact     whether ids hold every byte of a text but for what is unknown; those of other programs may lose spaces or capitals
    """

    special: Mapping[str, int]
    exact: ClassVar[bool] = True

    @property
    @abstractmethod
    def vocab_size(self) -> int:
        """Number of ids, specials counted in: valid ids are 0 … vocab_size - 1."""

    @property
    def end_id(self) -> int:
        """The id that ends a document."""
        return self.special[END_OF_TEXT]

    @abstractmethod
    def encode(self, text: str, *, special: SpecialInText = "text") -> list[int]:
        """Ids of a text.

        special   what the name of a special token inside it is: `text` like any other, that `token`, or a reason to `refuse` the text

        Raises TokenizerError for a text that is refused, with the name and its place, and for any other word.
        """

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of many texts."""
        return [self.encode(text) for text in texts]

    def encode_to_arrays(self, texts: Sequence[str]) -> tuple[NDArray[np.uint32], NDArray[np.uint64]]:
        """Ids of many texts (N,), one text after the other, and where those of each text end (texts,)."""
        ids = self.encode_batch(texts)
        ends = ends_of(ids)
        return np.fromiter((token for each in ids for token in each), np.uint32, int(ends[-1]) if len(ends) else 0), ends

    def encode_joined(
        self, joined: bytes | memoryview, ends: NDArray[np.uint64], *, n_threads: int | None = None
    ) -> tuple[NDArray[np.uint32], NDArray[np.uint64]]:
        """`encode_to_arrays` of texts that lie one after the other as UTF-8, and where each ends (texts,).

        n_threads   at most so many, where that makes a difference; None: all cores
        """
        borders = [0, *ends.tolist()]
        return self.encode_to_arrays([bytes(joined[start:end]).decode("utf-8") for start, end in pairwise(borders)])

    @property
    def in_rust(self) -> Any:
        """Its `native.Encoder`, where it has one."""
        return None

    @abstractmethod
    def decode_bytes(self, ids: Sequence[int]) -> bytes:
        """The exact bytes of some ids; a special token gives the bytes of its name."""

    def decode(self, ids: Sequence[int]) -> str:
        """The text of some ids; bytes that are not UTF-8 become U+FFFD."""
        return self.decode_bytes(ids).decode("utf-8", errors="replace")

    @abstractmethod
    def token_bytes(self, token: int) -> bytes:
        """The bytes that one id stands for."""

    def token_sizes(self) -> NDArray[np.uint32]:
        """How many bytes each id stands for (vocab_size,)."""
        return np.array([len(self.token_bytes(token)) for token in range(self.vocab_size)], np.uint32)

    @abstractmethod
    def to_json(self) -> str:
        """The content of `tokenizer.json`; the `tokenizers` library reads it and gives the same ids."""

    @abstractmethod
    def save(self, path: Path) -> None:
        """Write `tokenizer.json` (a file path), atomically."""

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """SHA-256 over what decides the ids; equal fingerprints encode every text alike."""

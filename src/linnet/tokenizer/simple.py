"""The two tokenizers without training: one id a byte, and one id a character.

Byte    ids 0 … 255 are the bytes, then the special tokens; every text has ids
Char    ids of the characters of the training text in the order of their code points, then <|endoftext|> and
        <|unknown|>; a character that the training text did not have becomes <|unknown|>, and is read back as
        U+FFFD. So is a lone surrogate, which no UTF-8 file can hold.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from linnet.core.errors import TokenizerError, explain
from linnet.tokenizer.base import END_OF_TEXT
from linnet.tokenizer.bpe_tokenizer import checked_texts, no_text
from linnet.tokenizer.pretokenize import text_to_bytes
from linnet.tokenizer.vocabulary import Progress, VocabularyTokenizer, special_names

UNKNOWN = "<|unknown|>"  # the special token for a character without an id
REPLACEMENT = "\N{REPLACEMENT CHARACTER}".encode()


class ByteTokenizer(VocabularyTokenizer):
    """One id a byte: id = value of the byte."""

    kind = "byte"

    def __init__(self, special: Mapping[str, int] | None = None) -> None:
        super().__init__({bytes([byte]): byte for byte in range(256)}, special if special is not None else {END_OF_TEXT: 256})

    def encode_ordinary(self, text: str) -> list[int]:
        return list(text_to_bytes(text))

    def rules(self) -> dict[str, Any]:
        return {}


class CharTokenizer(VocabularyTokenizer):
    """One id a character (a Unicode code point).

    characters   character → id
    special      name → id; END_OF_TEXT and UNKNOWN among them
    """

    kind = "char"

    def __init__(self, characters: Mapping[str, int], special: Mapping[str, int]) -> None:
        wrong = [character for character in characters if len(character) != 1 or is_surrogate(character)]
        if wrong or UNKNOWN not in special:
            got = f"the token {wrong[0]!r}" if wrong else f"no special token {UNKNOWN!r}"
            raise TokenizerError(explain(got, need=f"single characters, and {UNKNOWN!r} for all others"))
        super().__init__({character.encode("utf-8"): token_id for character, token_id in characters.items()}, special)
        self.characters = dict(characters)
        self._unknown = self.special[UNKNOWN]
        self._table = tuple(REPLACEMENT if token_id == self._unknown else token for token_id, token in enumerate(self._table))

    def encode_ordinary(self, text: str) -> list[int]:
        known, unknown = self.characters.get, self._unknown
        return [known(character, unknown) for character in text]

    def spelling(self, token: bytes) -> str:
        return token.decode("utf-8")

    def unspelled(self, name: str) -> bytes:
        return name.encode("utf-8")

    def rules(self) -> dict[str, Any]:
        return {}


def byte_tokenizer(special: Sequence[str] = ()) -> ByteTokenizer:
    """One id a byte, and some special tokens besides <|endoftext|>."""
    return ByteTokenizer({name: token_id for token_id, name in enumerate(special_names(special), 256)})


def train_char(texts: Iterable[str], *, special: Sequence[str] = (), progress: Progress | None = None) -> CharTokenizer:
    """The tokenizer of all characters that occur in some texts, and some special tokens besides <|endoftext|> and <|unknown|>.
    Raises TokenizerError where there are no texts."""
    found: set[str] = set()
    for done, text in enumerate(checked_texts(texts), 1):
        found.update(text)
        if progress is not None:
            progress("reading", done, None)
    if not found:
        raise no_text()
    ordered = sorted(character for character in found if not is_surrogate(character))
    return CharTokenizer(
        {character: token_id for token_id, character in enumerate(ordered)},
        {name: token_id for token_id, name in enumerate(special_names([UNKNOWN, *special]), len(ordered))},
    )


def is_surrogate(character: str) -> bool:
    """Whether a character is half of a UTF-16 pair, which UTF-8 has no bytes for."""
    return "\ud800" <= character <= "\udfff"

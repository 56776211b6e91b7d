"""What all of linnet's tokenizers share: a table of token bytes, special tokens, saving and the fingerprint.

A subclass says how ordinary text becomes ids (`encode_ordinary`) and what decides them (`content`). Ids are
0 … vocab_size - 1 without gaps, ordinary tokens and special ones together.
"""

from __future__ import annotations

import hashlib
import json
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, get_args

import numpy as np
import regex
from numpy.typing import NDArray

from linnet.core.errors import TokenizerError, explain, listing
from linnet.core.files import write_text
from linnet.core.names import nearest
from linnet.tokenizer.base import END_OF_TEXT, ENDS, SpecialInText, Tokenizer
from linnet.tokenizer.spelling import spell, unspell

Progress = Callable[[str, int, int | None], None]  # (stage, done, total or None where nobody knows it)


class TableTokenizer(Tokenizer):
    """A tokenizer with a table from ids to bytes.

    table     the bytes of every id, in order; of a special token those of its name
    special   name of a special token → its id
    end       the special token that ends a document
    """

    kind: ClassVar[str]

    def __init__(self, table: Sequence[bytes], special: Mapping[str, int], end: str = END_OF_TEXT) -> None:
        self.special = dict(special)
        self.end = end
        self._table = tuple(table)

    @abstractmethod
    def encode_ordinary(self, text: str) -> list[int]:
        """Ids of a text in which nothing is special."""

    @abstractmethod
    def content(self) -> dict[str, Any]:
        """All that decides the ids, as plain JSON data."""

    @property
    def vocab_size(self) -> int:
        return len(self._table)

    @property
    def end_id(self) -> int:
        return self.special[self.end]

    def encode(self, text: str, *, special: SpecialInText = "text") -> list[int]:
        if special == "token":
            return self._encode_with_special(text)
        if special == "refuse":
            self._refuse_special(text)
        elif special != "text":
            raise unknown_choice(special)
        return self.encode_ordinary(text)

    def _encode_with_special(self, text: str) -> list[int]:
        """Ids of a text in which the names of special tokens are those tokens."""
        ids: list[int] = []
        position = 0
        for match in self._special_names.finditer(text):
            ids += self.encode_ordinary(text[position : match.start()])
            ids.append(self.special[match[0]])
            position = match.end()
        return ids + self.encode_ordinary(text[position:])

    def _refuse_special(self, text: str) -> None:
        """Raise TokenizerError where a text has the name of a special token in it."""
        found = self._special_names.search(text)
        if found is not None:
            got = f"the special token {found[0]!r} in a text, at character {found.start():,} counted from 0"
            hint = "special 'text' to take it for text like any other, 'token' to take it for that token"
            raise TokenizerError(explain(got, need="a text without names of special tokens", hint=hint))

    @cached_property
    def _special_names(self) -> Any:
        longest_first = sorted(self.special, key=lambda name: (-len(name), name))
        return regex.compile("|".join(map(regex.escape, longest_first)))

    def token_bytes(self, token: int) -> bytes:
        return self._joined([token])

    def token_sizes(self) -> NDArray[np.uint32]:
        return np.fromiter(map(len, self._table), np.uint32, len(self._table))

    def decode_bytes(self, ids: Sequence[int]) -> bytes:
        return self._joined(ids)

    def _joined(self, ids: Sequence[int]) -> bytes:
        try:
            if len(ids) and min(ids) < 0:
                raise IndexError
            return b"".join([self._table[token] for token in ids])
        except IndexError:
            wrong = next(int(token) for token in ids if not 0 <= token < self.vocab_size)
            raise TokenizerError(
                explain(
                    f"the id {wrong}", need=f"ids from 0 to {self.vocab_size - 1}", hint="the tokenizer that these ids came from"
                )
            ) from None

    def to_json(self) -> str:
        from linnet.tokenizer.tokenizer_json import write_tokenizer  # which knows all kinds, and so imports this file

        return write_tokenizer(self)

    def save(self, path: Path) -> None:
        write_text(Path(path), self.to_json())

    @cached_property
    def fingerprint(self) -> str:  # type: ignore[override]
        return hashlib.sha256(json.dumps(self.content(), sort_keys=True).encode("utf-8")).hexdigest()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(vocab_size={self.vocab_size:,}, special={list(self.special)})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickling and copying go through JSON: caches, patterns and native handles stay behind."""
        from linnet.tokenizer.load import tokenizer_from_json

        return tokenizer_from_json, (self.to_json(),)


class VocabularyTokenizer(TableTokenizer):
    """A tokenizer whose ordinary tokens are different bytes.

    tokens    bytes of an ordinary token → its id
    special   name of a special token → its id; one of ENDS among them, and the first of these ends a document

    Raises TokenizerError, with all problems, unless the ids are 0 … n - 1, each once.
    """

    def __init__(self, tokens: Mapping[bytes, int], special: Mapping[str, int]) -> None:
        check_ids(tokens, special)
        clash = {name for name in special if self.unspelled(name) in tokens}
        if clash:
            name = min(clash)
            raise TokenizerError(
                explain(
                    f"a special token named {name!r}, which is an ordinary token too", need="another name", hint=f"<|{name}|>"
                )
            )
        table: list[bytes] = [b""] * (len(tokens) + len(special))
        for token, token_id in tokens.items():
            table[token_id] = token
        for name, token_id in special.items():
            table[token_id] = name.encode("utf-8")
        super().__init__(table, special, next(name for name in ENDS if name in special))
        self.tokens = dict(tokens)

    @abstractmethod
    def rules(self) -> dict[str, Any]:
        """Whatever decides the ids besides the two tables, as plain JSON data."""

    def spelling(self, token: bytes) -> str:
        """How an ordinary token is written in `tokenizer.json`."""
        return spell(token)

    def unspelled(self, name: str) -> bytes | None:
        """The bytes that would be written so; None where none would."""
        return unspell(name)

    def content(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "tokens": [[token_id, token.hex()] for token, token_id in sorted(self.tokens.items(), key=lambda item: item[1])],
            "special": sorted(self.special.items()),
            "rules": self.rules(),
        }


def check_ids(tokens: Mapping[bytes, int], special: Mapping[str, int]) -> None:
    """Refuse tables in which an id is missing, is there twice, or a name cannot be a special token's."""
    size = len(tokens) + len(special)
    problems = []
    if not any(name in special for name in ENDS):
        problems.append(f"the special token {END_OF_TEXT!r} is missing")
    problems += [f"{name!r} cannot be the name of a special token" for name in special if not is_name(name)]
    if sorted([*tokens.values(), *special.values()]) != list(range(size)):
        problems += wrong_ids(tokens, special, size)
    if problems:
        raise TokenizerError(listing(problems, "this is not a vocabulary"))


def wrong_ids(tokens: Mapping[bytes, int], special: Mapping[str, int], size: int) -> list[str]:
    """What is wrong with ids that are not 0 … size - 1, each once."""
    holders: dict[int, list[Any]] = {}
    for token, token_id in [*tokens.items(), *special.items()]:
        holders.setdefault(token_id, []).append(token)
    shared = [token_id for token_id, names in holders.items() if len(names) > 1]
    outside = sorted(token_id for token_id in holders if not 0 <= token_id < size)
    gaps = [token_id for token_id in range(size) if token_id not in holders]
    problems = [f"the id {token_id} belongs to {' and '.join(map(repr, holders[token_id]))}" for token_id in sorted(shared)[:5]]
    if gaps or outside:
        problems.append(f"{size} tokens need the ids 0 to {size - 1}; missing: {gaps[:5]}, outside: {outside[:5]}")
    return problems


def special_names(extra: Sequence[str]) -> tuple[str, ...]:
    """END_OF_TEXT, then the extra special tokens in their order. Raises TokenizerError for bad names."""
    names = (END_OF_TEXT, *extra)
    twice = [f"the special token {name!r} twice" for name in sorted(set(names)) if names.count(name) > 1]
    wrong = twice + [f"a special token named {name!r}" for name in names if not is_name(name)]
    if wrong:
        raise TokenizerError(
            explain(
                wrong[0],
                need=f"each name once, and as UTF-8; {END_OF_TEXT!r} is always there",
                hint="['<|user|>', '<|assistant|>']",
            )
        )
    return names


def unknown_choice(special: object) -> TokenizerError:
    """The error for another word than those of `SpecialInText`."""
    known = get_args(SpecialInText)
    return TokenizerError(explain(f"special = {special!r}", need=f"one of {', '.join(known)}", hint=nearest(str(special), known)))


def is_name(name: str) -> bool:
    """Whether a special token can be called that: something, and something that UTF-8 has bytes for."""
    return name != "" and not any("\ud800" <= character <= "\udfff" for character in name)

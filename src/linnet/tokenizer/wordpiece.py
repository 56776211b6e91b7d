"""WordPiece, as BERT uses it (1810.04805; 1609.08144): words and punctuation, each cut from its beginning into the longest tokens.

    "Unaffable!"  →  unaffable !  →  una ##ffa ##ble !

Text loses its spaces, and with `lowercase` its capitals and accents: decoding gives words with one space between them.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import regex

from linnet.core.errors import TokenizerError, explain, listing
from linnet.tokenizer.bpe_tokenizer import remember
from linnet.tokenizer.strict_json import capped
from linnet.tokenizer.vocabulary import TableTokenizer, is_name

INSIDE = "##"  # in front of a token that goes on with a word
UNKNOWN, END = "[UNK]", "[SEP]"
LONGEST_WORD = 100  # characters; a longer one is unknown
IDEOGRAPH = regex.compile(
    "[\u4e00-\u9fff\u3400-\u4dbf\U00020000-\U0002a6df\U0002a700-\U0002b73f\U0002b740-\U0002b81f"
    "\U0002b820-\U0002ceaf\uf900-\ufaff\U0002f800-\U0002fa1f]"
)  # a word by itself


class WordPieceTokenizer(TableTokenizer):
    """Tokens of words.

    tokens      token → id, `##` in front of those that go on with a word; [UNK] and [SEP], which ends a document, among them
    lowercase   whether capitals and accents go
    """

    kind = "wordpiece"
    exact = False

    def __init__(self, tokens: Mapping[str, int], *, lowercase: bool) -> None:
        names = check_tokens(tokens)
        special = {name: tokens[name] for name in names if name.startswith("[") and name.endswith("]") and len(name) > 2}
        super().__init__([self._read_back(name, special) for name in names], special, END)
        self.tokens, self.lowercase = dict(tokens), lowercase
        self._longest = max(map(len, names))
        self._cache: dict[str, list[int]] = {}

    @staticmethod
    def _read_back(name: str, special: Mapping[str, int]) -> bytes:
        text = name if name in special else name.removeprefix(INSIDE) if name.startswith(INSIDE) else f" {name}"
        return text.encode("utf-8")

    def encode_ordinary(self, text: str) -> list[int]:
        ids: list[int] = []
        for word in words_of(text, lowercase=self.lowercase):
            known = self._cache.get(word)
            ids += known if known is not None else remember(self._cache, word, self._longest_first(word))
        return ids

    def _longest_first(self, word: str) -> list[int]:
        ids: list[int] = []
        start = 0
        while start < len(word) <= LONGEST_WORD:
            lead = INSIDE if start else ""
            for stop in range(min(len(word), start + self._longest), start, -1):
                token = self.tokens.get(lead + word[start:stop])
                if token is not None:
                    break
            else:
                break
            ids.append(token)
            start = stop
        return ids if start == len(word) else [self.tokens[UNKNOWN]]

    def decode_bytes(self, ids: Any) -> bytes:
        return self._joined(ids).removeprefix(b" ")

    def content(self) -> dict[str, Any]:
        return {"kind": self.kind, "tokens": sorted(self.tokens, key=self.tokens.__getitem__), "lowercase": self.lowercase}


def load_wordpiece(path: Path | str, *, lowercase: bool | None = None) -> WordPieceTokenizer:
    """The tokenizer of a `vocab.txt`: a token a line, its id the number of the line.

    lowercase   None: yes, unless a token has a capital
    """
    path = Path(path)
    try:
        lines = path.read_text("utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise TokenizerError(
            explain(f"{path} cannot be read ({error})", need="a token a line", hint="an undamaged copy")
        ) from error
    names = [line.removesuffix("\r") for line in (lines[:-1] if lines[-1] == "" else lines)]
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        got = f"{path}, line {names.index(twice[0]) + 1} and later: {twice[0]!r} twice"
        raise TokenizerError(explain(got, need="each token once", hint="an undamaged copy"))
    if lowercase is None:
        lowercase = not any(name != name.lower() for name in names if not name.startswith("["))
    return WordPieceTokenizer({name: i for i, name in enumerate(names)}, lowercase=lowercase)


def words_of(text: str, *, lowercase: bool) -> list[str]:
    """Words, single ideographs, single punctuation marks: BERT's basic tokenizer."""
    text = "".join(" " if is_space(c) else c for c in text if not is_control(c))
    text = IDEOGRAPH.sub(r" \g<0> ", text)
    if lowercase:
        text = "".join(c for c in unicodedata.normalize("NFD", text) if unicodedata.category(c) != "Mn").lower()
    words: list[str] = regex.findall(r"[!-/:-@\[-`{-~\p{P}]|[^\s!-/:-@\[-`{-~\p{P}]+", text)
    return words


def is_space(character: str) -> bool:
    return character in " \t\n\r" or unicodedata.category(character) == "Zs"


def is_control(character: str) -> bool:
    """NUL, U+FFFD, and all that Unicode calls control, format, private or unassigned; tabs and line ends are spaces."""
    return character in "\0\ufffd" or (character not in "\t\n\r" and unicodedata.category(character).startswith("C"))


def check_tokens(tokens: Mapping[str, int]) -> list[str]:
    """The tokens in the order of their ids. Raises TokenizerError for gaps, empty tokens, and where [UNK] or [SEP] is missing."""
    problems = [f"{name} is missing" for name in (UNKNOWN, END) if name not in tokens]
    problems += [f"the token of id {tokens[name]} is empty, or no text" for name in tokens if not is_name(name) or name == INSIDE]
    if sorted(tokens.values()) != list(range(len(tokens))):
        problems.append(f"{len(tokens)} tokens need the ids 0 to {len(tokens) - 1}, each once")
    if problems:
        raise TokenizerError(listing(capped(problems), "this is no vocabulary of WordPiece"))
    return sorted(tokens, key=tokens.__getitem__)

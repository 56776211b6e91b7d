"""WordPiece, as BERT uses it (1810.04805; 1609.08144): words and punctuation, each cut from its beginning into the longest tokens.

    "Unaffable!"  →  unaffable !  →  una ##ffa ##ble !

Text loses its spaces, and with `lowercase` its capitals and accents: decoding gives words with one space between them.

What is an accent or a punctuation mark is what the `tokenizers` library takes for one, whose tables are of several versions of
Unicode: `wordpiece_classes.txt` has its answers for every character (scripts/unicode_classes.py).
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from linnet.core.errors import TokenizerError, explain, listing
from linnet.tokenizer.bpe_tokenizer import remember
from linnet.tokenizer.strict_json import capped
from linnet.tokenizer.vocabulary import TableTokenizer, is_name

INSIDE = "##"  # in front of a token that goes on with a word
UNKNOWN, END = "[UNK]", "[SEP]"
LONGEST_WORD = 100  # characters; a longer one is unknown
CLASSES_FILE = Path(__file__).with_name("wordpiece_classes.txt")


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


class Characters(NamedTuple):
    """Patterns of what is done to characters, in this order, and the lower case of those that have one.

    gone        left out: controls, formats, private ones
    space       becomes a space
    ideograph   becomes a word by itself
    composed    a run of what canonical decomposition takes apart or moves
    accent      left out where capitals are
    word        a punctuation mark, or a run of anything else but spaces
    """

    gone: re.Pattern[str]
    space: re.Pattern[str]
    ideograph: re.Pattern[str]
    composed: re.Pattern[str]
    accent: re.Pattern[str]
    word: re.Pattern[str]
    lower: dict[int, int]


@cache
def characters() -> Characters:
    """What the file says."""
    ranges: defaultdict[str, str] = defaultdict(str)
    lower: dict[int, int] = {}
    for line in CLASSES_FILE.read_text("utf-8").splitlines()[1:]:
        start, end, *what = line.split()
        first, last = int(start, 16), int(end, 16)
        if len(what) == 1:
            ranges[what[0]] += f"\\U{first:08x}-\\U{last:08x}"
        else:
            step, distance = map(int, what)
            lower |= {code: code + distance for code in range(first, last + 1, step)}
    mark = ranges["mark"]
    return Characters(
        gone=re.compile(f"[{ranges['gone']}]"),
        space=re.compile(f"[{ranges['space']}]"),
        ideograph=re.compile(f"[{ranges['ideograph']}]"),
        composed=re.compile(f"[{ranges['composed']}]+"),
        accent=re.compile(f"[{ranges['accent']}]"),
        word=re.compile(f"[{mark}]|[^ {mark}]+"),
        lower=lower,
    )


def words_of(text: str, *, lowercase: bool) -> list[str]:
    """Words, single ideographs, single punctuation marks: BERT's basic tokenizer."""
    of = characters()
    text = of.space.sub(" ", of.gone.sub("", text))
    if lowercase and text.isascii():
        text = text.lower()
    elif not text.isascii():
        text = of.ideograph.sub(r" \g<0> ", text)
        if lowercase:
            text = of.composed.sub(lambda run: unicodedata.normalize("NFD", run[0]), text)
            text = of.accent.sub("", text).translate(of.lower)  # each by itself: Σ is σ at the end of a word, too
    return of.word.findall(text)


def check_tokens(tokens: Mapping[str, int]) -> list[str]:
    """The tokens in the order of their ids. Raises TokenizerError for gaps, empty tokens, and where [UNK] or [SEP] is missing."""
    problems = [f"{name} is missing" for name in (UNKNOWN, END) if name not in tokens]
    problems += [f"the token of id {tokens[name]} is empty, or no text" for name in tokens if not is_name(name) or name == INSIDE]
    if sorted(tokens.values()) != list(range(len(tokens))):
        problems.append(f"{len(tokens)} tokens need the ids 0 to {len(tokens) - 1}, each once")
    if problems:
        raise TokenizerError(listing(capped(problems), "this is no vocabulary of WordPiece"))
    return sorted(tokens, key=tokens.__getitem__)

"""Splitting text into chunks, the first step of byte-level BPE: no merge ever crosses a chunk's border.

    "I can't, 1234!"  →  "I" " can" "'t" "," " " "123" "4" "!"

A pattern is an alternation that matches at every position, so that joining the chunks gives the text back. A few
are known, by name; a file that brings another one is refused, because a pattern is code that runs on every text.

What is a letter or a number is a matter of Unicode's version, and libraries bring different ones. Here it is always
Unicode 16.0's, from `unicode_classes.txt`: characters beyond ASCII are matched by a stand-in of the same class that
every version knows. The same in Rust, by hand and without regular expressions, is `native/src/bpe/scan.rs`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import regex

from linnet.core.errors import TokenizerError, explain
from linnet.core.names import nearest

_GPT4 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"

PATTERNS: dict[str, str] = {
    # GPT-2: openai/gpt-2, src/encoder.py. Contractions, letters, digits, the rest; each with one space before it.
    "gpt2": r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+""",
    # GPT-4 as `tokenizers` has it; also Llama 3. Digits by threes, line ends apart, any one mark before a word.
    "gpt4": _GPT4,
    # GPT-4 as tiktoken has it (openai/tiktoken, cl100k_base): white space at the very end of a text stays in one piece.
    "cl100k": _GPT4.replace(r"|\s*[\r\n]+", r"|\s+(?![\s\S])|\s*[\r\n]+"),
    # Qwen: as GPT-4, but every digit stands alone.
    "qwen": _GPT4.replace(r"\p{N}{1,3}", r"\p{N}"),
    # GPT-4o: openai/tiktoken, o200k_base. Words end where a capital follows a small letter, and keep their contractions.
    "o200k": rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    rf"|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
}

CLASSES_FILE = Path(__file__).with_name("unicode_classes.txt")
STAND_INS = {"Lu": "À", "Ll": "à", "Lt": "ǅ", "Lm": "ʰ", "Lo": "ª", "M": "\u0300", "N": "²", "S": "\u00a0", "": "§"}
LONG_S = "ſ"  # stands for itself, because a contraction in any case may be written with it


@cache
def unicode_classes() -> tuple[list[int], list[str]]:
    """(first, class): code points from first[i] up to first[i + 1] are of class[i]: Lu Ll Lt Lm Lo M N S, or "" for all else."""
    first, classes = [0], [""]
    for line in CLASSES_FILE.read_text("utf-8").splitlines()[1:]:
        start, last, name = line.split()
        if first[-1] == int(start, 16):
            classes[-1] = name
        else:
            first.append(int(start, 16))
            classes.append(name)
        first.append(int(last, 16) + 1)
        classes.append("")
    return first, classes


def class_of(character: str) -> str:
    """The class of a character in Unicode 16.0, as the file names it."""
    first, classes = unicode_classes()
    return classes[bisect_right(first, ord(character)) - 1]


class _Shadow(dict[int, str]):
    """For `str.translate`: ASCII stays as it is, other characters become the stand-in of their class."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        self[code] = character if code < 128 or character == LONG_S else STAND_INS[class_of(character)]
        return self[code]


_SHADOW = _Shadow()


@cache
def compiled(pattern: str) -> Any:
    """The compiled form of a pattern of `PATTERNS`, by its name."""
    return regex.compile(PATTERNS[pattern])


def splitter(pattern: str) -> Callable[[str], list[str]]:
    """A function from a text to its chunks, in order; `"".join(chunks) == text`."""
    find: Callable[[str], list[str]] = compiled(pattern).findall
    return lambda text: find(text) if text.isascii() else list(chunks_of(text, pattern))


def chunks_of(text: str, pattern: str) -> Iterator[str]:
    """The chunks of a text one by one, for texts too long to hold all of their chunks."""
    shadow = text if text.isascii() else text.translate(_SHADOW)
    return (text[match.start() : match.end()] for match in compiled(pattern).finditer(shadow))


def chunks_of_bytes(data: bytes, pattern: str) -> list[bytes]:
    """The same for bytes: one that belongs to no character counts as a character without a class."""
    parts = list(_CHARACTER.finditer(data))
    text = "".join([part[0].decode("utf-8", errors="surrogatepass") if part.lastgroup else STAND_INS[""] for part in parts])
    chunks, place = [], 0
    for chunk in splitter(pattern)(text):
        last = place + len(chunk) - 1
        chunks.append(data[parts[place].start() : parts[last].end()])
        place = last + 1
    return chunks


_CHARACTER = regex.compile(
    rb"(?P<character>[\x00-\x7f]|[\xc2-\xdf][\x80-\xbf]|\xe0[\xa0-\xbf][\x80-\xbf]|[\xe1-\xef][\x80-\xbf]{2}"
    rb"|\xf0[\x90-\xbf][\x80-\xbf]{2}|[\xf1-\xf3][\x80-\xbf]{3}|\xf4[\x80-\x8f][\x80-\xbf]{2})|[\x00-\xff]"
)  # a character of UTF-8, lone surrogates among them, or else one byte


def unknown_pattern(pattern: str) -> TokenizerError:
    """The error for the name of a pattern that is not in `PATTERNS`."""
    return TokenizerError(
        explain(f"the splitting pattern {pattern!r}", need="one that is known", hint=nearest(pattern, PATTERNS))
    )


def text_to_bytes(text: str) -> bytes:
    """The bytes of a text: UTF-8. A lone surrogate, which UTF-8 has no bytes for, keeps its three (WTF-8)."""
    return text.encode("utf-8", errors="surrogatepass")

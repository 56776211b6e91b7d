"""Splitting text into chunks, the first step of byte-level BPE: no merge ever crosses a chunk's border.

    "I can't, 1234!"  →  "I" " can" "'t" "," " " "123" "4" "!"

A pattern is an alternation that matches at every position, so that joining the chunks gives the text back. Three
are known, by name; a file that brings another one is refused, because a pattern is code that runs on every text.

The Unicode classes \\p{L} and \\p{N} are those of the installed `regex` library. Other libraries bring other
versions of Unicode, and may split at characters that were assigned only lately.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import regex

PATTERNS: dict[str, str] = {
    # GPT-2: openai/gpt-2, src/encoder.py. Contractions, letters, digits, the rest; each with one space before it.
    "gpt2": r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+""",
    # GPT-4: openai/tiktoken, cl100k_base; also Llama 3. Digits by threes, line ends apart, any one mark before a word.
    "gpt4": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+",
    # Qwen: as GPT-4, but every digit stands alone.
    "qwen": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+",
}


@cache
def compiled(pattern: str) -> Any:
    """The compiled form of a pattern of `PATTERNS`, by its name."""
    return regex.compile(PATTERNS[pattern])


def splitter(pattern: str) -> Callable[[str], list[str]]:
    """A function from a text to its chunks, in order; `"".join(chunks) == text`."""
    split: Callable[[str], list[str]] = compiled(pattern).findall
    return split


def chunks_of(text: str, pattern: str) -> Iterator[str]:
    """The chunks of a text one by one, for texts too long to hold all of their chunks."""
    return (match[0] for match in compiled(pattern).finditer(text))


def text_to_bytes(text: str) -> bytes:
    """The bytes of a text: UTF-8. A lone surrogate, which UTF-8 has no bytes for, keeps its three (WTF-8)."""
    return text.encode("utf-8", errors="surrogatepass")

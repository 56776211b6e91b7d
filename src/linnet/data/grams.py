"""Words and n-grams of texts as 64-bit hashes: what near copies and overlaps are looked for by.

    "Don't panic, 大家!"  →  dont panic 大 家  →  a hash each  →  a hash for any n of them in a row

A word is a run of letters, marks and digits in lower case. Apostrophes are left out; everything else (punctuation, white
space, symbols, the underscore) divides. Characters of scripts that put no space between words (Han, kana, bopomofo, Thai, Lao,
Khmer, Myanmar) are a word each. Nothing is normalised beyond that: é in one character and in two are two words.

Which characters these are, and what their lower case is, is Unicode 16.0's, in two files beside the tokenizers, so that no
library and no Python gives another answer. `native/src/documents/words.rs` does the same; it is used where it is there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from linnet.core.native import checked, native_available, opened, pointer
from linnet.data.look import Texts
from linnet.tokenizer.pretokenize import CLASSES_FILE, class_of

LOWER_FILE = CLASSES_FILE.with_name("unicode_lower.txt")
APOSTROPHES = "'\u2019"
ALONE = (  # first and last code point of the scripts whose characters are a word each; as in native/src/documents/words.rs
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x3005, 0x3007),  # 々〆〇
    (0x3021, 0x3029),  # Hangzhou numerals
    (0x3040, 0x312F),  # kana, bopomofo
    (0x31A0, 0x31BF),  # more bopomofo
    (0x31F0, 0x31FF),  # more kana
    (0x3400, 0x4DBF),  # Han
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0xFF66, 0xFF9F),  # kana of half width
    (0x1AFF0, 0x1B16F),  # more kana
    (0x20000, 0x3FFFF),  # Han
)

MASK = 2**64 - 1
START = 0xCBF29CE484222325  # of FNV-1a
MIX = 0x9E3779B97F4A7C15  # 2^64 / golden ratio
STEP = 0xD1342543DE82EF95  # a multiplier of Steele and Vigna (2021)


@cache
def lower_cases() -> dict[int, int]:
    """Code point → that of its lower case, for those that have another one."""
    found: dict[int, int] = {}
    for line in LOWER_FILE.read_text("utf-8").splitlines()[1:]:
        first, last, step, distance = line.split()
        found |= {code: code + int(distance) for code in range(int(first, 16), int(last, 16) + 1, int(step))}
    return found


class _Letters(dict[int, str]):
    """For `str.translate`: a letter becomes its lower case, with spaces about it where it is a word; what divides, a space."""

    def __missing__(self, code: int) -> str:
        if chr(code) in APOSTROPHES:
            self[code] = ""
        elif class_of(chr(code))[:1] in ("L", "M", "N"):
            letter = chr(lower_cases().get(code, code))
            self[code] = f" {letter} " if any(first <= code <= last for first, last in ALONE) else letter
        else:
            self[code] = " "
        return self[code]


_LETTERS = _Letters()


def words_of(text: str) -> list[str]:
    """The words of a text, in order."""
    return text.translate(_LETTERS).split()


@lru_cache(2**18)
def hash_of(word: str) -> int:
    """64 bits that stand for a word: FNV-1a over its code points, with another multiplier, folded."""
    found = START
    for character in word:
        found = (found ^ ord(character)) * MIX & MASK
    return found ^ found >> 32


def mixed(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Every bit of each number spread over all of its bits (the finaliser of MurmurHash3)."""
    x = (x ^ (x >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    x = (x ^ (x >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
    return x ^ (x >> np.uint64(33))


def folded(words: Iterable[NDArray[np.uint64]]) -> NDArray[np.uint64]:
    """(m,) a hash for each m words in a row; `words`: first words (m,), second words (m,) …  As many others give other hashes."""
    found: Any = np.uint64(1)
    for each in words:
        found = found * np.uint64(STEP) + each
    return mixed(found)


def grams(words: NDArray[np.uint64], n: int) -> NDArray[np.uint64]:
    """(w,) → (w - n + 1,): a hash for each n words in a row of w, at least n."""
    return folded(words[i : len(words) - n + 1 + i] for i in range(n))


class Words:
    """The words of some texts.

    hashes   (w,) uint64, one text's after the other's
    ends     (n,) int64, where those of each text end
    """

    def __init__(self, hashes: NDArray[np.uint64], ends: NDArray[np.int64]) -> None:
        self.hashes, self.ends = hashes, ends
        self.counts = np.diff(ends, prepend=0)  # (n,) words of each text

    @classmethod
    def of(cls, texts: Texts) -> Words:
        """In Rust where that is there."""
        return words_natively(texts) if native_available() and len(texts) else words_plainly(texts)

    def grams(self, n: int) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
        """(texts, hashes): for each n words in a row of one text its number, and a hash of them."""
        if len(self.hashes) < n:
            return np.empty(0, np.int64), np.empty(0, np.uint64)
        texts = np.repeat(np.arange(len(self.ends)), self.counts)  # of each word
        inside = texts[: len(texts) - n + 1] == texts[n - 1 :]  # the last of the n words is of the first one's text
        return texts[: len(inside)][inside], grams(self.hashes, n)[inside]

    def whole(self, fewest: int, beyond: int) -> Iterator[tuple[int, NDArray[np.int64], NDArray[np.uint64]]]:
        """(k, texts, hashes of all their words) of the texts of k words, for each k from `fewest` up to `beyond` that there is."""
        for k in range(max(fewest, 1), beyond):
            texts = np.nonzero(self.counts == k)[0]
            if len(texts):
                begins = self.ends[texts] - k
                yield k, texts, folded(self.hashes[begins + i] for i in range(k))


def words_plainly(texts: Texts) -> Words:
    """`Words.of` in Python."""
    found = [[hash_of(word) for word in words_of(texts[number].decode("utf-8", "replace"))] for number in range(len(texts))]
    return Words(
        np.array([each for text in found for each in text], np.uint64), np.cumsum([len(text) for text in found], dtype=np.int64)
    )


def words_natively(texts: Texts) -> Words:
    """`Words.of` in Rust."""
    _, lib, _ = opened()
    hashes = np.empty((len(texts.joined) + len(texts)) // 2, np.uint64)  # no text has more words than half its bytes, and one
    ends = np.empty(len(texts), np.uint64)
    code = lib.linnet_documents_words(*given(texts), pointer("uint64_t", hashes), pointer("uint64_t", ends))
    checked(code, "linnet_documents_words")
    return Words(hashes[:code].copy(), ends.astype(np.int64))


def given(texts: Texts) -> tuple[Any, Any, int]:
    """(bytes, ends, n), as the functions of the library take texts."""
    return pointer("uint8_t", texts.joined), pointer("uint64_t", texts.ends), len(texts)

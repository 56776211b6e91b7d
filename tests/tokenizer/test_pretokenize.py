"""Splitting: nothing is lost, and other implementations split alike."""

from __future__ import annotations

import random

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st
from random_text import random_text

from linnet.tokenizer.pretokenize import PATTERNS, STAND_INS, chunks_of, class_of, splitter, text_to_bytes

TIKTOKENS = {"gpt2": "r50k_pat_str", "cl100k": "cl100k_base", "o200k": "o200k_base"}
CODE_POINTS = [code for code in range(0x110000) if not 0xD800 <= code < 0xE000]

ANY_TEXT = st.text(st.characters())  # lone surrogates and NUL too
REAL_TEXTS = ["multilingual/ar.txt", "multilingual/hi.txt", "multilingual/ja.txt", "multilingual/ru.txt", "multilingual/zh.txt"]
REAL_TEXTS += ["multilingual/emoji_text.txt", "multilingual/code/humaneval_python.jsonl", "multilingual/code/humaneval_cpp.jsonl"]


def loses_nothing(split, text: str) -> bool:
    """The law of splitting."""
    return "".join(split(text)) == text


@pytest.mark.parametrize("pattern", PATTERNS)
@given(text=ANY_TEXT)
def test_nothing_is_lost(pattern: str, text: str) -> None:
    assert loses_nothing(splitter(pattern), text)
    assert splitter(pattern)(text) == list(chunks_of(text, pattern))


@pytest.mark.parametrize("pattern", PATTERNS)
def test_the_law_finds_a_pattern_with_a_hole(pattern: str) -> None:
    mutant = regex.compile(PATTERNS[pattern].removesuffix(r"|\s+")).findall
    assert not loses_nothing(mutant, "a\tb" if pattern == "gpt2" else "a \t1")


@pytest.mark.parametrize(
    ("pattern", "chunks"),
    [
        ("gpt2", ["I", " can", "'t", ",", " 1234", "!", "\n\n   ", " He", "'", "LL"]),
        ("gpt4", ["I", " can", "'t", ",", " ", "123", "4", "!\n\n", "   ", " He", "'LL"]),
        ("cl100k", ["I", " can", "'t", ",", " ", "123", "4", "!\n\n", "   ", " He", "'LL"]),
        ("qwen", ["I", " can", "'t", ",", " ", "1", "2", "3", "4", "!\n\n", "   ", " He", "'LL"]),
        ("o200k", ["I", " can't", ",", " ", "123", "4", "!\n\n", "   ", " He'LL"]),
    ],
)
def test_one_example(pattern: str, chunks: list[str]) -> None:
    assert splitter(pattern)("I can't, 1234!\n\n    He'LL") == chunks


@pytest.mark.parametrize("name", REAL_TEXTS)
@pytest.mark.parametrize("pattern", PATTERNS)
def test_tokenizers_splits_alike(real, name: str, pattern: str) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    text = real(name).read_text("utf-8")[:100_000]
    split = tokenizers.pre_tokenizers.Split(tokenizers.Regex(PATTERNS[pattern]), "isolated")
    assert [chunk for chunk, _ in split.pre_tokenize_str(text)] == splitter(pattern)(text)


@pytest.mark.parametrize("name", REAL_TEXTS)
@pytest.mark.parametrize("pattern", TIKTOKENS)
def test_tiktoken_splits_alike(real, name: str, pattern: str) -> None:
    text = real(name).read_text("utf-8")[:100_000]
    assert chunks_by_tiktoken(text, pattern) == [chunk.encode() for chunk in splitter(pattern)(text)]


@pytest.mark.parametrize("pattern", TIKTOKENS)
def test_tiktoken_splits_random_text_alike(pattern: str) -> None:
    chance = random.Random(0)
    texts = [random_text(chance) for _ in range(2000)]
    for text in texts:
        assert chunks_by_tiktoken(text, pattern) == [chunk.encode() for chunk in splitter(pattern)(text)], text


def test_classes_are_those_of_tiktoken() -> None:
    """Of every code point, in one version of Unicode whatever the installed `regex` has."""
    for name in ("L", "N", "M", "Lu", "Ll", "Lt", "Lm", "Lo"):
        ours = {code for code in CODE_POINTS if class_of(chr(code)).startswith(name)}
        assert matched_by_tiktoken(rf"\p{{{name}}}") == ours, name
    assert matched_by_tiktoken(r"\s") == {code for code in CODE_POINTS if class_of(chr(code)) == "S"}


def test_stand_ins_are_of_the_class_that_they_stand_for() -> None:
    assert {name: class_of(character) for name, character in STAND_INS.items()} == {name: name for name in STAND_INS}


def matched_by_tiktoken(pattern: str) -> set[int]:
    """The code points that a pattern matches: what it does not match has no ids there."""
    tiktoken = pytest.importorskip("tiktoken")
    ranks = {bytes([byte]): byte for byte in range(256)}
    encoding = tiktoken.Encoding("classes", pat_str=pattern, mergeable_ranks=ranks, special_tokens={})
    return {code for code in CODE_POINTS if encoding.encode_ordinary(chr(code))}


def chunks_by_tiktoken(text: str, pattern: str) -> list[bytes]:
    """With a vocabulary that holds every chunk whole, tiktoken's tokens are its chunks."""
    tiktoken = pytest.importorskip("tiktoken")
    ranks = {bytes([byte]): byte for byte in range(256)}
    for chunk in splitter(pattern)(text):
        ranks.setdefault(chunk.encode(), len(ranks))
    pat_str = tiktoken_pattern(TIKTOKENS[pattern])
    encoding = tiktoken.Encoding("chunks", pat_str=pat_str, mergeable_ranks=ranks, special_tokens={})
    return encoding.decode_tokens_bytes(encoding.encode_ordinary(text))


def tiktoken_pattern(encoding: str) -> str:
    """tiktoken's own text of a pattern; of the functions the source is read, because calling them downloads the ranks."""
    import inspect
    import re

    from tiktoken_ext import openai_public

    if hasattr(openai_public, encoding) and isinstance(getattr(openai_public, encoding), str):
        return getattr(openai_public, encoding)
    source = inspect.getsource(getattr(openai_public, encoding))
    return "|".join(re.findall(r'r"""(.*?)"""', source))


def test_bytes_of_a_text() -> None:
    assert text_to_bytes("é😀\0") == "é😀\0".encode()
    assert text_to_bytes("\ud800") == b"\xed\xa0\x80"


def test_the_two_names_of_gpt4s_pattern_differ_at_the_end_of_a_text() -> None:
    assert splitter("gpt4")("a\n\n ") == ["a", "\n\n", " "]
    assert splitter("cl100k")("a\n\n ") == ["a", "\n\n "]
    assert splitter("gpt4")("a\n\n b") == splitter("cl100k")("a\n\n b") == ["a", "\n\n", " b"]

"""Splitting: nothing is lost, and other implementations split alike."""

from __future__ import annotations

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from linnet.tokenizer.pretokenize import PATTERNS, chunks_of, splitter, text_to_bytes

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
        ("qwen", ["I", " can", "'t", ",", " ", "1", "2", "3", "4", "!\n\n", "   ", " He", "'LL"]),
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
@pytest.mark.parametrize(("pattern", "encoding"), [("gpt2", "r50k_pat_str"), ("gpt4", "cl100k_base")])
def test_tiktoken_splits_alike(real, name: str, pattern: str, encoding: str) -> None:
    """With a vocabulary that holds every chunk whole, tiktoken's tokens are its chunks."""
    tiktoken = pytest.importorskip("tiktoken")
    text = real(name).read_text("utf-8")[:100_000]
    ours = [chunk.encode() for chunk in splitter(pattern)(text)]
    ranks = {bytes([byte]): byte for byte in range(256)}
    for chunk in ours:
        ranks.setdefault(chunk, len(ranks))
    theirs = tiktoken.Encoding("chunks", pat_str=tiktoken_pattern(encoding), mergeable_ranks=ranks, special_tokens={})
    assert theirs.decode_tokens_bytes(theirs.encode_ordinary(text)) == ours


def tiktoken_pattern(encoding: str) -> str:
    """tiktoken's own text of a pattern; the source of cl100k_base is read, because calling it downloads the ranks."""
    import inspect

    from tiktoken_ext import openai_public

    if hasattr(openai_public, encoding) and isinstance(getattr(openai_public, encoding), str):
        return getattr(openai_public, encoding)
    source = inspect.getsource(getattr(openai_public, encoding))
    return source.partition('r"""')[2].partition('"""')[0]


def test_bytes_of_a_text() -> None:
    assert text_to_bytes("é😀\0") == "é😀\0".encode()
    assert text_to_bytes("\ud800") == b"\xed\xa0\x80"

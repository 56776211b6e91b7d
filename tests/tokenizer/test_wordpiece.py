"""WordPiece: Hugging Face's BERT tokenizers give the same ids."""

from __future__ import annotations

import json
import random
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from random_text import random_text
from test_llama_cpp import bert

from linnet.core.errors import TokenizerError
from linnet.tokenizer import load_tokenizer
from linnet.tokenizer.load import tokenizer_from_json
from linnet.tokenizer.wordpiece import WordPieceTokenizer, load_wordpiece, words_of

Real = Callable[[str], Path]
SMALL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "un", "##aff", "##able", "a", "##b", "!", "中"]


@pytest.fixture(params=[True, False], ids=["lowercase", "as it is"])
def real_one(request: pytest.FixtureRequest, real: Real) -> WordPieceTokenizer:
    made = bert(real)
    assert isinstance(made, WordPieceTokenizer)
    return WordPieceTokenizer(made.tokens, lowercase=request.param)


def test_tokenizers_gives_the_same_ids(real_one: WordPieceTokenizer, real: Real) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    theirs = tokenizers.Tokenizer.from_str(real_one.to_json())
    theirs.encode_special_tokens = True
    chance = random.Random(0)
    texts = [random_text(chance) for _ in range(3000)]
    texts += [
        real(f"multilingual/{name}").read_text("utf-8")[:30_000] for name in ("ar.txt", "hi.txt", "ja.txt", "ru.txt", "zh.txt")
    ]
    for text in texts:
        assert real_one.encode(text) == theirs.encode(text, add_special_tokens=False).ids, repr(text)


@pytest.mark.parametrize("lowercase", [True, False])
def test_tokenizers_has_the_same_words(lowercase: bool) -> None:
    """Every code point within a word, marks in any order, Σ at the end of a word."""
    tokenizers = pytest.importorskip("tokenizers")
    made = json.loads(WordPieceTokenizer({name: i for i, name in enumerate(SMALL)}, lowercase=lowercase).to_json())
    normalizer = tokenizers.normalizers.BertNormalizer(**{k: v for k, v in made["normalizer"].items() if k != "type"})
    split = tokenizers.pre_tokenizers.BertPreTokenizer().pre_tokenize_str
    codes = [code for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    texts = ["".join(f"a{chr(code)}b " for code in codes[i : i + 4096]) for i in range(0, len(codes), 4096)]
    chance = random.Random(0)
    marks = [chr(code) for code in codes if unicodedata.combining(chr(code)) or unicodedata.decomposition(chr(code))]
    texts += ["e" + "".join(chance.choices(marks, k=6)) for _ in range(5_000)]
    texts += ["ΟΔΟΣ ΣΑΣ, ΑΣ. İI", "\u1e69 s\u0323\u0307 s\u0307\u0323"]
    for text in texts:
        assert words_of(text, lowercase=lowercase) == [word for word, _ in split(normalizer.normalize_str(text))], ascii(text)


def test_a_vocabulary_file(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("\n".join(SMALL) + "\n", "utf-8")
    made = load_tokenizer(tmp_path)
    assert isinstance(made, WordPieceTokenizer)
    assert made.lowercase
    ids = made.encode("  UNaffable!\tÁb中a " + "a" * 101)
    assert ids == [4, 5, 6, 9, 7, 8, 10, 7, 1]
    assert made.decode(ids[:-1]) == "unaffable ! ab 中 a"
    assert made.end_id == 3
    assert made.encode("a[SEP]a", special="token") == [7, 3, 7]
    assert made.encode("[SEP]") == [1, 1, 1]
    assert tokenizer_from_json(made.to_json()).fingerprint == made.fingerprint
    assert load_wordpiece(tmp_path / "vocab.txt", lowercase=False).encode("A") == [1]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["[UNK]", "a"], r"\[SEP\] is missing"),
        ([*SMALL, "a"], "line 8 and later: 'a' twice"),
        ([*SMALL, "", "b"], "the token of id 11 is empty"),
        ([*SMALL, "##"], "the token of id 11 is empty"),
    ],
)
def test_a_broken_vocabulary_is_refused(lines: list[str], message: str, tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("\n".join(lines) + "\n", "utf-8")
    with pytest.raises(TokenizerError, match=message):
        load_tokenizer(tmp_path)

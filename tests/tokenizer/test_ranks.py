"""Vocabularies of other programs: their ids are those programs' ids."""

from __future__ import annotations

import base64
import csv
import gzip
import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from random_text import random_text
from test_pretokenize import tiktoken_pattern

from linnet.core.errors import TokenizerError
from linnet.core.native import native_available
from linnet.tokenizer import native, ranks
from linnet.tokenizer.bpe import learn_merges
from linnet.tokenizer.bpe_tokenizer import BPETokenizer, count_chunks
from linnet.tokenizer.load import load_tokenizer, tokenizer_from_json
from linnet.tokenizer.ranks import load_gpt2, load_tiktoken, merges_of_ranks, of_ranks

RANKS = {"cl100k": "tokenizers/tiktoken/cl100k_base.tiktoken", "o200k": "tokenizers/tiktoken/o200k_base.tiktoken.gz"}
TABLES = {"gpt2": "r50k_base", "cl100k": "cl100k_base", "o200k": "o200k_base"}
PATTERN_OF = {"gpt2": "r50k_pat_str", "cl100k": "cl100k_base", "o200k": "o200k_base"}
Real = Callable[[str], Path]
made: dict[str, BPETokenizer] = {}


def ours(name: str, real: Real) -> BPETokenizer:
    """One of the real vocabularies, read once."""
    if name not in made:
        made[name] = (
            load_gpt2(real("tokenizers/gpt2/encoder.json").parent)
            if name == "gpt2"
            else load_tiktoken(real(RANKS[name]), pattern=name)
        )
    return made[name]


def theirs(name: str, real: Real):
    """The same vocabulary in tiktoken."""
    tiktoken = pytest.importorskip("tiktoken")
    return tiktoken.Encoding(
        name, pat_str=tiktoken_pattern(PATTERN_OF[name]), mergeable_ranks=ours(name, real).tokens, special_tokens={}
    )


@pytest.mark.parametrize("name", TABLES)
def test_published_ids(name: str, real: Real) -> None:
    """Hundreds of texts with the ids that others recorded."""
    tokenizer = ours(name, real)
    with real(f"tokenizers/tiktoken/{TABLES[name]}_encodings.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) > 400
    for row in rows:
        ids = json.loads(row["output"])
        assert tokenizer.encode(row["input"]) == ids
        assert tokenizer.decode(ids) == row["input"]


@pytest.mark.parametrize("name", TABLES)
def test_real_text(name: str, real: Real) -> None:
    tokenizer, other = ours(name, real), theirs(name, real)
    files = sorted(path for path in real("multilingual/ar.txt").parent.rglob("*") if path.is_file())
    texts = [path.read_text("utf-8") for path in files]
    texts += [
        gzip.decompress(real("wikitext2/train.txt.gz").read_bytes()).decode("utf-8")[:3_000_000],
        real("wikitext2/test.txt").read_text("utf-8"),
    ]
    assert len(texts) > 10
    for text in texts:
        assert tokenizer.encode(text) == other.encode_ordinary(text)


@pytest.mark.parametrize("name", TABLES)
def test_random_text(name: str, real: Real) -> None:
    tokenizer, other = ours(name, real), theirs(name, real)
    chance = random.Random(6)
    for _ in range(20_000):
        text = random_text(chance)
        assert tokenizer.encode(text) == other.encode_ordinary(text), repr(text)


@pytest.mark.skipif(not native_available(), reason="minutes in Python alone")
@pytest.mark.parametrize("name", TABLES)
def test_long_words(name: str, real: Real) -> None:
    """Words of many thousand characters, which are merged a window at a time: many tables' worth of pairs that are no tokens' pairs."""
    letters = "".join(filter(str.isalpha, real("wikitext2/test.txt").read_text("utf-8")))
    chance = random.Random(3)
    texts = [
        letters[:500_000],
        "".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=500_000)),
        "".join(chance.choices("etaoinshrETAOÄüñжш的", k=200_000)),
        "".join(chance.choice("ab=-") * chance.randrange(1, 2000) for _ in range(300)),
        "".join(letters[i : i + 300] + "a" * (i % 997) for i in range(0, 200_000, 300)),
    ]
    encode, other = ours(name, real).encode, theirs(name, real)
    for text in texts:
        assert encode(text) == other.encode_ordinary(text)


@pytest.mark.parametrize("pattern", ["cl100k", "o200k"])
def test_a_tokenizer_json_says_the_same(pattern: str, real: Real) -> None:
    tokenizer = ours(pattern, real)
    again = tokenizer_from_json(tokenizer.to_json())
    assert again.fingerprint == tokenizer.fingerprint
    text = (
        real("multilingual/zh.txt").read_text("utf-8")[:20_000] + real("multilingual/emoji_text.txt").read_text("utf-8")[:20_000]
    )
    assert again.encode(text) == tokenizer.encode(text)


@pytest.mark.parametrize("seed", range(20))
def test_merges_in_python_and_in_rust(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of learned vocabularies, whose merges they give back, and of tokens at random, of which some are never made."""
    chance = random.Random(seed)
    text = "".join(chance.choices("abcde ", k=3000))
    merges = learn_merges(count_chunks([text], "gpt4"), 100)
    tokens = list(BPETokenizer.from_merges(merges).tokens)
    at_random = {bytes(chance.choices(b"abc", k=chance.randint(2, 6))) for _ in range(60)}
    vocabularies = [
        tokens,
        [*tokens[:256], *sorted(at_random, key=lambda token: (len(token), token))],
        [*tokens[:256], *sorted(at_random)],
    ]
    for vocabulary in vocabularies:
        by_rank = {token: rank for rank, token in enumerate(vocabulary)}
        found = merges_of_ranks(by_rank)
        monkeypatch.setattr(ranks, "native_available", lambda: False)
        assert merges_of_ranks(by_rank) == found
        monkeypatch.undo()
        assert vocabulary is not tokens or [(a, b) for a, b, _ in found] == merges
        plain = of_ranks(by_rank, pattern="gpt4")
        if native_available():
            encoder = native.Encoder(
                "gpt4", vocabulary, None, whole=True
            )  # every two tokens that spell a third, as tiktoken looks
            assert all(encoder.encode(chunk.encode()).tolist() == plain.encode_plainly(chunk) for chunk in text.split())


def test_a_token_that_no_merge_makes_is_used_for_a_chunk_of_its_own() -> None:
    by_rank = {bytes([byte]): byte for byte in range(256)} | {b"abc": 256}
    tokenizer = of_ranks(by_rank, pattern="gpt2")
    assert tokenizer.whole
    assert tokenizer.encode("abc") == tokenizer.encode_plainly("abc") == [256]
    assert tokenizer.encode("xabc") == tokenizer.encode_plainly("xabc") == [120, 97, 98, 99]
    assert tokenizer_from_json(tokenizer.to_json()).encode("abc") == [256]


def ranks_file(path: Path, ranks: dict[bytes, int]) -> Path:
    path.write_text("".join(f"{base64.b64encode(token).decode()} {rank}\n" for token, rank in ranks.items()))
    return path


def test_special_tokens_may_leave_ids_out(tmp_path: Path) -> None:
    by_rank = {bytes([byte]): byte for byte in range(256)} | {b"ab": 256}
    tokenizer = load_tiktoken(
        ranks_file(tmp_path / "r", by_rank), pattern="cl100k", special={"<|endoftext|>": 258, "<|user|>": 260}
    )
    assert tokenizer.vocab_size == 261
    assert tokenizer.special == {"<|endoftext|>": 258, "<|user|>": 260, "<|reserved_257|>": 257, "<|reserved_259|>": 259}
    assert tokenizer.encode("<|user|>ab", special="token") == [260, 256]


DAMAGE: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "a gap": (lambda content: b"\n".join(line for line in content.split(b"\n") if not line.endswith(b" 100")), "missing: 100"),
    "a cut line": (lambda content: content + b"YWJj", "line 258: 'YWJj'"),
    "no base64": (lambda content: content + b"a?c 257", "line 258"),
    "a token twice": (lambda content: content + b"YWI= 257", "the token stands there already"),
    "no rank": (lambda content: content + b"YWJj x", "line 258"),
    "a byte without a rank": (lambda content: b"\n".join(content.split(b"\n")[:200]), "no rank for the bytes 200"),
    "nothing": (lambda content: b"", "no rank for the bytes 0"),
    "a damaged gz": (lambda content: gzip.compress(content)[:10] + b"\xff" + gzip.compress(content)[11:], "cannot be read"),
    "a cut gz": (lambda content: gzip.compress(content)[:-20], "cannot be read"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_ranks_are_refused(damage: str, tmp_path: Path) -> None:
    change, message = DAMAGE[damage]
    path = ranks_file(tmp_path / "ranks", {bytes([byte]): byte for byte in range(256)} | {b"ab": 256})
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(TokenizerError, match="(?s)" + message.replace("?", r"\?")) as error:
        load_tiktoken(path, pattern="gpt4")
    assert "try" in str(error.value)


def test_damaged_files_of_gpt2_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match=r"no encoder\.json"):
        load_gpt2(tmp_path)
    spelled = json.loads(BPETokenizer.from_merges([(97, 98)]).to_json())["model"]["vocab"]
    (tmp_path / "vocab.json").write_text(json.dumps(spelled), "utf-8")
    with pytest.raises(TokenizerError, match=r"no vocab\.bpe"):
        load_gpt2(tmp_path)
    (tmp_path / "merges.txt").write_text("#version: 0.2\na b\n", "utf-8")
    assert load_gpt2(tmp_path).encode("ab") == [256]
    (tmp_path / "merges.txt").write_text("a b\na\n", "utf-8")
    with pytest.raises(TokenizerError, match=r"merges\.txt, line 2: 'a'"):
        load_gpt2(tmp_path)
    for content in ("{", "[" * 200_000, f'{{"a": {"9" * 5000}}}'):
        (tmp_path / "vocab.json").write_text(content, "utf-8")
        with pytest.raises(TokenizerError, match=r"vocab\.json cannot be read"):
            load_gpt2(tmp_path)


@pytest.mark.parametrize("name", ["cl100k", "o200k"])
def test_special_tokens_of_published_files_are_their_makers(name: str, real: Real, monkeypatch: pytest.MonkeyPatch) -> None:
    public = pytest.importorskip("tiktoken_ext.openai_public")
    monkeypatch.setattr(public, "load_tiktoken_bpe", lambda *_, **__: {})
    expected = getattr(public, f"{name}_base")()["special_tokens"]
    found = load_tokenizer(real(RANKS[name])).special
    assert {key: token for key, token in found.items() if not key.startswith("<|reserved")} == expected
    assert set(found.values()) | set(ours(name, real).tokens.values()) == set(range(max(expected.values()) + 1))


def test_a_vocabulary_that_was_cut_is_refused(tmp_path: Path, real: Real) -> None:
    """Fewer merges, or fewer ranks, give other ids, and no other sign."""
    folder = real("tokenizers/gpt2/encoder.json").parent
    (tmp_path / "encoder.json").write_bytes((folder / "encoder.json").read_bytes())
    (tmp_path / "vocab.bpe").write_bytes(b"".join((folder / "vocab.bpe").read_bytes().splitlines(keepends=True)[:20_001]))
    with pytest.raises(TokenizerError, match="no merge makes 30,000 tokens"):
        load_tokenizer(tmp_path)
    lines = real(RANKS["cl100k"]).read_bytes().splitlines(keepends=True)[:60_000]
    (tmp_path / "cl100k_base.tiktoken").write_bytes(b"".join(lines))
    with pytest.raises(TokenizerError, match="60,000 ranks where the file of that name has 100,256"):
        load_tokenizer(tmp_path / "cl100k_base.tiktoken")

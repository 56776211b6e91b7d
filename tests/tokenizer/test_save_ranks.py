"""Vocabularies written for other programs: those programs read them, and give every text our ids."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from random_text import random_text
from test_ranks import ours

from linnet.core.errors import TokenizerError
from linnet.tokenizer import ranks
from linnet.tokenizer.bpe_tokenizer import BPETokenizer, train_bpe
from linnet.tokenizer.pretokenize import PATTERNS
from linnet.tokenizer.ranks import load_gpt2, load_tiktoken, of_ranks, save_gpt2, save_tiktoken
from linnet.tokenizer.simple import ByteTokenizer

Real = Callable[[str], Path]
TEXT = "It's a small world: the small wren, the small linnet. Ein großer Vogel, 1234 Wörter; 😀😀😀\n\n" * 3
RANKS = {
    "cl100k": "tokenizers/tiktoken/cl100k_base.tiktoken",
    "o200k": "tokenizers/tiktoken/o200k_base.tiktoken.gz",
    "qwen": "tokenizers/qwen/qwen.tiktoken.gz",
    "gpt4": "tokenizers/llama3/tokenizer.model.gz",
}


def learned(pattern: str, n_ids: int = 400) -> BPETokenizer:
    return train_bpe([TEXT], n_ids, pattern=pattern, special=["<|user|>"])


def texts(n: int, seed: int = 4) -> list[str]:
    chance = random.Random(seed)
    return [TEXT, *(random_text(chance) for _ in range(n))]


@pytest.fixture
def tiktoken_load(monkeypatch: pytest.MonkeyPatch):
    """tiktoken's own reader of ranks, without its cache of files."""
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", "")
    return pytest.importorskip("tiktoken.load")


@pytest.mark.parametrize("pattern", RANKS)
def test_real_ranks_come_out_byte_for_byte(pattern: str, real: Real, tmp_path: Path) -> None:
    content = real(RANKS[pattern]).read_bytes()
    tokenizer = load_tiktoken(real(RANKS[pattern]), pattern=pattern)
    save_tiktoken(tokenizer, tmp_path / "made.tiktoken")
    written = (tmp_path / "made.tiktoken").read_bytes()
    assert written == (gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content)


def test_files_of_gpt2_come_out_byte_for_byte(real: Real, tmp_path: Path) -> None:
    folder = real("tokenizers/gpt2/encoder.json").parent
    save_gpt2(ours("gpt2", real), tmp_path / "gpt2")
    for name in ("encoder.json", "vocab.bpe"):
        assert (tmp_path / "gpt2" / name).read_bytes() == (folder / name).read_bytes()


def test_ranks_of_gpt2_are_those_that_tiktoken_makes_of_its_files(real: Real, tmp_path: Path, tiktoken_load) -> None:
    folder = real("tokenizers/gpt2/encoder.json").parent
    theirs = tiktoken_load.data_gym_to_mergeable_bpe_ranks(str(folder / "vocab.bpe"), str(folder / "encoder.json"))
    save_tiktoken(ours("gpt2", real), tmp_path / "ours")
    assert tiktoken_load.load_tiktoken_bpe(str(tmp_path / "ours")) == theirs
    again = load_tiktoken(tmp_path / "ours", pattern="gpt2")
    assert again.fingerprint == ours("gpt2", real).fingerprint
    save_gpt2(again, tmp_path / "gpt2")
    assert (tmp_path / "gpt2" / "vocab.bpe").read_bytes() == (folder / "vocab.bpe").read_bytes()


@pytest.mark.parametrize("pattern", ["gpt2", "gpt4", "cl100k", "qwen", "o200k"])
def test_tiktoken_reads_what_was_learned_here(pattern: str, tmp_path: Path, tiktoken_load) -> None:
    import tiktoken

    tokenizer = learned(pattern)
    save_tiktoken(tokenizer, tmp_path / "r.tiktoken")
    theirs = tiktoken.Encoding(
        "ours",
        pat_str=PATTERNS[pattern],
        mergeable_ranks=tiktoken_load.load_tiktoken_bpe(str(tmp_path / "r.tiktoken")),
        special_tokens=dict(tokenizer.special),
    )
    assert theirs.n_vocab == tokenizer.vocab_size
    for text in texts(500):
        assert tokenizer.encode(text) == theirs.encode_ordinary(text), repr(text)
    again = load_tiktoken(tmp_path / "r.tiktoken", pattern=pattern, special=tokenizer.special)
    assert again.fingerprint == tokenizer.fingerprint


def test_tokenizers_reads_what_was_learned_here_as_gpt2(tmp_path: Path) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    tokenizer = learned("gpt2")
    save_gpt2(tokenizer, tmp_path / "gpt2")
    theirs = tokenizers.ByteLevelBPETokenizer.from_file(
        str(tmp_path / "gpt2" / "encoder.json"), str(tmp_path / "gpt2" / "vocab.bpe")
    )
    assert theirs.get_vocab_size() == tokenizer.vocab_size
    for text in texts(500):
        assert tokenizer.encode(text) == theirs.encode(text).ids, repr(text)
    assert load_gpt2(tmp_path / "gpt2").fingerprint == tokenizer.fingerprint


@cache
def cuts() -> tuple[BPETokenizer, list[tuple[int, int]]]:
    """A learned vocabulary, and all ways to cut a token of it in two."""
    tokenizer = learned("gpt2", 300)
    tokens = tokenizer.tokens
    halves = [(token[:i], token[i:]) for token in tokens for i in range(1, len(token))]
    return tokenizer, [(tokens[a], tokens[b]) for a, b in halves if a in tokens and b in tokens]


def at_random(chance: random.Random) -> BPETokenizer:
    """A learned vocabulary, or one whose merges are out of order, lacking or too many, or whose whole chunks stay."""
    learned_one, pairs = cuts()
    tokens, order = dict(learned_one.tokens), list(learned_one.merges)
    if chance.random() < 0.4:
        a = chance.randrange(len(order) - 1)
        order[a], order[a + 1] = order[a + 1], order[a]
    if chance.random() < 0.2:
        order.pop(chance.randrange(len(order)))
    if chance.random() < 0.2:
        order.append(chance.choice(pairs))
    first = chance.random() < 0.1  # special tokens before all others, as `tokenizers` puts them
    if first:
        tokens = {spelled: i + 1 for spelled, i in tokens.items()}
        order = [(a + 1, b + 1) for a, b in order]
    special = {"<|endoftext|>": 0 if first else len(tokens)}
    return BPETokenizer(tokens, order, pattern="gpt2", special=special, whole=chance.random() < 0.2)


def saved_alike(n: int, folder: Path) -> tuple[int, int]:
    """Of n vocabularies: how many are written, of these how many are another when tiktoken reads them."""
    tiktoken = pytest.importorskip("tiktoken")
    chance = random.Random(8)
    written = wrong = 0
    words = [*TEXT.split(), *("".join(chance.choices("smalwrentdigß ", k=9)) for _ in range(200))]
    for _ in range(n):
        tokenizer = at_random(chance)
        try:
            save_tiktoken(tokenizer, folder / "r")
        except TokenizerError:
            continue
        table = load_tiktoken(folder / "r", pattern="gpt2").tokens
        theirs = tiktoken.Encoding("ours", pat_str=PATTERNS["gpt2"], mergeable_ranks=table, special_tokens={})
        written += 1
        wrong += any(tokenizer.encode(word) != theirs.encode_ordinary(word) for word in words)
    return written, wrong


def test_what_is_written_as_ranks_gives_the_same_ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written, wrong = saved_alike(80, tmp_path)
    assert wrong == 0
    assert 10 < written < 70
    monkeypatch.setattr(ranks, "beyond_ranks", lambda tokenizer: [])  # the law finds a writer that refuses nothing
    assert saved_alike(80, tmp_path)[1] > 5


def with_merges(*merges: tuple[int, int], **changes) -> BPETokenizer:
    tokens = {bytes([byte]): byte for byte in range(256)} | {b"ab": 256, b"bc": 257, b"abc": 258}
    return BPETokenizer(tokens, merges, **{"pattern": "gpt2", "special": {"<|endoftext|>": 259}} | changes)


BYTES = {bytes([byte]): byte for byte in range(256)}
IN_ORDER = ((97, 98), (98, 99), (256, 99))
NO_RANKS: dict[str, tuple[Callable[[], object], str]] = {
    "out of order": (lambda: with_merges((98, 99), (97, 98), (256, 99)), "256 is made by a later merge than 257"),
    "a merge too few": (lambda: with_merges((97, 98), (98, 99), (97, 257)), "no merge of 256 and 99 into 258"),
    "never made": (
        lambda: BPETokenizer(BYTES | {b"abc": 256}, [], pattern="gpt2", special={"<|endoftext|>": 257}),
        "never makes 256",
    ),
    "special first": (
        lambda: BPETokenizer({token: i + 1 for token, i in BYTES.items()}, [], pattern="gpt2", special={"<|endoftext|>": 0}),
        "'<|endoftext|>' has the id 0, before the last of 256",
    ),
    "no merges": (ByteTokenizer, "it is a ByteTokenizer"),
}
NO_GPT2: dict[str, tuple[Callable[[], object], str]] = {
    "another pattern": (lambda: with_merges(*IN_ORDER, pattern="gpt4"), "text is split by gpt4"),
    "whole": (lambda: with_merges(*IN_ORDER, whole=True), "stays one, whatever the merges"),
    "special": (
        lambda: with_merges(*IN_ORDER, special={"<|endoftext|>": 259, "<user>": 260}),
        "'<user>' would be read as an ordinary",
    ),
    "ordinary": (
        lambda: BPETokenizer(BYTES | {b"<|x|>": 256}, [], pattern="gpt2", special={"<|endoftext|>": 257}),
        "'<|x|>' would be read as a special",
    ),
    "no merges": (ByteTokenizer, "it is a ByteTokenizer"),
}


@pytest.mark.parametrize("case", NO_RANKS)
def test_what_ranks_cannot_say_is_refused(case: str, tmp_path: Path) -> None:
    make, message = NO_RANKS[case]
    with pytest.raises(TokenizerError) as error:
        save_tiktoken(make(), tmp_path / "r")  # type: ignore[arg-type]
    assert message in str(error.value)
    assert "needed: " in str(error.value)
    assert "try: a tokenizer.json" in str(error.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("case", NO_GPT2)
def test_what_files_of_gpt2_cannot_say_is_refused(case: str, tmp_path: Path) -> None:
    make, message = NO_GPT2[case]
    with pytest.raises(TokenizerError) as error:
        save_gpt2(make(), tmp_path / "gpt2")  # type: ignore[arg-type]
    assert message in str(error.value)
    assert "try: a tokenizer.json" in str(error.value)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "encoder.json").write_text("mine")
    with pytest.raises(TokenizerError, match="exists already"):
        save_gpt2(learned("gpt2"), tmp_path)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]


def test_more_merges_than_ever_happen_are_left_out(tmp_path: Path) -> None:
    """As in tokenizer.json files that were made of ranks, which have every way to cut a token."""
    tokenizer = with_merges((97, 98), (98, 99), (97, 257), (256, 99), whole=True)
    save_tiktoken(tokenizer, tmp_path / "r")
    again = load_tiktoken(tmp_path / "r", pattern="gpt2")
    assert again.merges == IN_ORDER
    assert of_ranks(tokenizer.tokens, pattern="gpt2").fingerprint == again.fingerprint
    for text in ("abc", "xabc", "bcabcab", "aabcc"):
        assert tokenizer.encode(text) == again.encode(text)


def test_tokens_are_spelled_as_gpt2_spells_them(tmp_path: Path) -> None:
    tokenizer = BPETokenizer.from_merges([(32, 255), (256, 0)], pattern="gpt2")
    save_gpt2(tokenizer, tmp_path / "gpt2")
    assert (tmp_path / "gpt2" / "vocab.bpe").read_text("utf-8") == "#version: 0.2\nĠ ÿ\nĠÿ Ā\n"
    table = json.loads((tmp_path / "gpt2" / "encoder.json").read_text("utf-8"))
    assert list(table.values()) == list(range(259))
    assert (table["ĠÿĀ"], table["<|endoftext|>"]) == (257, 258)

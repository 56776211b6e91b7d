"""The tokenizers as people use them: round trips, special tokens, fingerprints, streams, specs."""

from __future__ import annotations

import copy
import pickle
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linnet.core.errors import ConfigError, TokenizerError
from linnet.core.spec import dump, json_schema, load
from linnet.tokenizer import (
    BPE,
    END_OF_TEXT,
    Byte,
    Char,
    StreamDecoder,
    Tokenizer,
    TokenizerFile,
    TokenizerSpec,
    load_tokenizer,
    train_tokenizer,
)
from linnet.tokenizer import bpe_tokenizer as module
from linnet.tokenizer.bpe_tokenizer import BPETokenizer, train_bpe
from linnet.tokenizer.pretokenize import PATTERNS, text_to_bytes
from linnet.tokenizer.simple import UNKNOWN, ByteTokenizer, train_char

ANY_TEXT = st.text(st.characters())  # lone surrogates and NUL too
TEXT = "It's a small world: the small wren, the small linnet. Ein großer Vogel, 1234 Wörter; 😀😀😀\n\n" * 3
KINDS = {
    "bpe": train_bpe([TEXT], 300, special=["<|user|>"]),
    "gpt2 pattern": train_bpe([TEXT], 300, pattern="gpt2"),
    "byte": ByteTokenizer(),
}
ALL_KINDS = KINDS | {"char": train_char([TEXT])}
TRICKY = [
    "",
    "\0",
    "a\0b",
    "😀",
    "👩‍👩‍👧‍👦",
    "e\u0301",
    "\ud800",
    "\ud83d\ude00",
    "\r\n \t",
    "\u2028",
    "<|endoftext|>",
    "<|user|>",
    " " * 70,
    "x" * 500,
]


def comes_back(tokenizer: Tokenizer, text: str) -> bool:
    """The law of the round trip."""
    return tokenizer.decode_bytes(tokenizer.encode(text)) == text_to_bytes(text)


@pytest.mark.parametrize("kind", KINDS)
@given(text=ANY_TEXT)
def test_every_text_comes_back(kind: str, text: str) -> None:
    assert comes_back(KINDS[kind], text)
    assert KINDS[kind].encode(text) == KINDS[kind].encode(text)  # from the cache


@pytest.mark.parametrize("text", TRICKY)
@pytest.mark.parametrize("kind", KINDS)
def test_tricky_texts_come_back(kind: str, text: str) -> None:
    assert comes_back(KINDS[kind], text)


def test_the_law_finds_a_tokenizer_that_drops_what_utf8_has_no_bytes_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "text_to_bytes", lambda text: text.encode("utf-8", errors="ignore"))
    mutant = train_bpe([TEXT], 300)
    assert comes_back(mutant, "a")
    assert not comes_back(mutant, "a\ud800")


@pytest.mark.parametrize("text", [text for text in TRICKY if not any("\ud800" <= c <= "\udfff" for c in text)])
def test_characters_come_back_where_they_are_known(text: str) -> None:
    assert comes_back(train_char([text, "a"]), text)


def test_unknown_characters() -> None:
    tokenizer = train_char(["cab", "ab\ud800"])
    assert tokenizer.tokens == {b"a": 0, b"b": 1, b"c": 2}
    assert tokenizer.special == {END_OF_TEXT: 3, UNKNOWN: 4}
    assert tokenizer.encode("aéc\ud800") == [0, 4, 2, 4]
    assert tokenizer.decode([0, 4, 2]) == "a\ufffdc"
    assert tokenizer.decode_bytes([3]) == b"<|endoftext|>"


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_names_of_special_tokens_are_ordinary_text_unless_allowed(kind: str) -> None:
    tokenizer = ALL_KINDS[kind]
    text = f"small{END_OF_TEXT}world{END_OF_TEXT}"
    plain, special = tokenizer.encode(text), tokenizer.encode(text, special="token")
    assert tokenizer.end_id not in plain
    assert special == [*tokenizer.encode("small"), tokenizer.end_id, *tokenizer.encode("world"), tokenizer.end_id]
    assert tokenizer.decode(special) == text
    assert tokenizer.encode_batch([text, "a"]) == [plain, tokenizer.encode("a")]


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_a_text_with_the_name_of_a_special_token_can_be_refused(kind: str) -> None:
    tokenizer = ALL_KINDS[kind]
    assert tokenizer.encode("small <|end", special="refuse") == tokenizer.encode("small <|end")
    with pytest.raises(TokenizerError, match=r"'<\|endoftext\|>' in a text, at character 6 .*; needed: .*; try: ") as refused:
        tokenizer.encode(f"small {END_OF_TEXT}world{END_OF_TEXT}", special="refuse")
    assert "'token'" in str(refused.value)


def test_refusing_agrees_with_tiktoken() -> None:
    """Both refuse the same texts, and give the others the same ids."""
    tiktoken = pytest.importorskip("tiktoken")
    ours = train_bpe([TEXT], 300, pattern="cl100k", special=["<|a", "<|a|>"])
    theirs = tiktoken.Encoding("ours", pat_str=PATTERNS["cl100k"], mergeable_ranks=ours.tokens, special_tokens=ours.special)
    chance = random.Random(3)
    refused = 0
    for _ in range(2000):
        text = "".join(chance.choices(["<|a", "<|", "|>", "<", "a", " small", "endoftext", "é"], k=4))
        try:
            expected = theirs.encode(text)  # which refuses unless told otherwise
        except ValueError:
            refused += 1
            with pytest.raises(TokenizerError, match="in a text, at character"):
                ours.encode(text, special="refuse")
        else:
            assert ours.encode(text, special="refuse") == expected
        assert ours.encode(text) == theirs.encode(text, disallowed_special=())
    assert 200 < refused < 1800


def test_another_word_for_special_is_refused() -> None:
    with pytest.raises(TokenizerError, match=r"special = 'tokens'; needed: one of text, token, refuse; did you mean 'token'\?"):
        train_bpe([TEXT], 300).encode("a", special="tokens")  # type: ignore[arg-type]


def test_the_longest_name_wins() -> None:
    tokenizer = train_bpe([TEXT], 300, special=["<|a", "<|a|>"])
    assert tokenizer.encode("<|a|>", special="token") == [tokenizer.special["<|a|>"]]


def test_ids_of_a_trained_tokenizer() -> None:
    tokenizer = train_bpe(["ab ab ab"], 260, special=["<|user|>"])
    assert [tokenizer.token_bytes(byte) for byte in range(256)] == [bytes([byte]) for byte in range(256)]
    assert tokenizer.token_bytes(256) == b"ab"
    assert tokenizer.token_bytes(257) == b" ab"
    assert tokenizer.special == {END_OF_TEXT: 258, "<|user|>": 259}
    assert tokenizer.vocab_size == 260


def test_a_small_text_gives_a_small_vocabulary() -> None:
    tokenizer = train_bpe(["abab"], 5000)
    assert tokenizer.vocab_size == 256 + 1 + 1  # "ab", and then nothing occurs twice
    assert tokenizer.end_id == 257


@pytest.mark.parametrize("wrong", [-1, 10_000])
@pytest.mark.parametrize("kind", ALL_KINDS)
def test_ids_that_are_none(kind: str, wrong: int) -> None:
    with pytest.raises(TokenizerError, match=f"the id {wrong}; needed: ids from 0 to"):
        ALL_KINDS[kind].decode([1, wrong])


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_saved_and_loaded(kind: str, tmp_path: Path) -> None:
    tokenizer = ALL_KINDS[kind]
    tokenizer.save(tmp_path / "tokenizer.json")
    for loaded in (
        load_tokenizer(tmp_path),
        load_tokenizer(tmp_path / "tokenizer.json"),
        pickle.loads(pickle.dumps(tokenizer)),
        copy.deepcopy(tokenizer),
    ):
        assert type(loaded) is type(tokenizer)
        assert loaded.fingerprint == tokenizer.fingerprint
        assert loaded.to_json() == tokenizer.to_json()
        assert loaded.encode(TEXT) == tokenizer.encode(TEXT)


def test_fingerprints_tell_apart_what_encodes_differently() -> None:
    merges = [(97, 98), (98, 99)]
    made = [
        BPETokenizer.from_merges(merges),
        BPETokenizer.from_merges(merges[::-1]),
        BPETokenizer.from_merges(merges, pattern="gpt2"),
        BPETokenizer.from_merges(merges, special=["<|user|>"]),
        BPETokenizer.from_merges([]),
        *ALL_KINDS.values(),
    ]
    assert len({tokenizer.fingerprint for tokenizer in made}) == len(made)
    assert BPETokenizer.from_merges(merges).fingerprint == made[0].fingerprint


def test_the_cache_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CACHE_CHUNKS", 5)
    tokenizer = train_bpe([TEXT], 300)
    words = " ".join(f"w{i}" for i in range(100)) + " " + "y" * 100
    assert tokenizer.encode_plainly(words) == tokenizer.encode(words)
    assert 0 < len(tokenizer._cache) <= 5


# ── Streams ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def streams_like_decoding(decoder_of: type, tokenizer: Tokenizer, ids: list[int]) -> bool:
    """The law of streams."""
    decoder = decoder_of(tokenizer)
    return "".join([*map(decoder.push, ids), decoder.flush()]) == tokenizer.decode(ids)


@pytest.mark.parametrize("kind", ALL_KINDS)
@given(data=st.data())
def test_a_stream_gives_what_decoding_gives(kind: str, data: st.DataObject) -> None:
    ids = data.draw(st.lists(st.integers(0, ALL_KINDS[kind].vocab_size - 1)))
    assert streams_like_decoding(StreamDecoder, ALL_KINDS[kind], ids)


def test_the_law_finds_a_stream_that_decodes_token_by_token() -> None:
    class Hasty(StreamDecoder):
        def push(self, token: int) -> str:
            return self._tokenizer.decode([token])

    ids = list("é".encode())
    assert streams_like_decoding(StreamDecoder, KINDS["byte"], ids)
    assert not streams_like_decoding(Hasty, KINDS["byte"], ids)


def test_a_character_is_held_back_until_it_is_whole() -> None:
    decoder = StreamDecoder(KINDS["byte"])
    assert [decoder.push(byte) for byte in "a😀".encode()] == ["a", "", "", "", "😀"]
    assert decoder.push(0xF0) == ""
    assert decoder.flush() == "\ufffd"
    assert decoder.push(ord("b")) == "b"  # as new
    assert decoder.flush() == ""


# ── Specs ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "spec", [BPE(), BPE(vocab_size=512, pattern="gpt2", special=("<|user|>",)), Char(), Byte(), TokenizerFile(path="x.json")]
)
def test_specs_come_back(spec: TokenizerSpec) -> None:
    assert load(TokenizerSpec, dump(spec)) == spec


def test_specs_are_strict() -> None:
    assert load(TokenizerSpec, "char") == Char()
    with pytest.raises(ConfigError, match="did you mean 'vocab_size'"):
        load(TokenizerSpec, {"kind": "bpe", "vocab_sise": 512})
    with pytest.raises(ConfigError, match=r"vocab_size: got 100; needed: at least 257"):
        load(TokenizerSpec, {"kind": "bpe", "vocab_size": 100})
    with pytest.raises(ConfigError, match="twice"):
        load(TokenizerSpec, {"kind": "bpe", "special": ["<|a|>", "<|a|>"]})
    with pytest.raises(ConfigError, match="special"):
        load(TokenizerSpec, {"kind": "bpe", "special": "<|a|>"})
    with pytest.raises(ConfigError, match="did you mean 'char'"):
        load(TokenizerSpec, {"kind": "chars"})
    assert "vocab_size" in str(json_schema(TokenizerSpec))


def test_training_by_spec(tmp_path: Path) -> None:
    heard: list[tuple[str, int, int | None]] = []
    tokenizer = train_tokenizer(
        BPE(vocab_size=300, special=("<|user|>",)), iter([TEXT, TEXT]), progress=lambda *told: heard.append(told)
    )
    assert tokenizer.vocab_size == 300
    assert ("reading", 2, None) in heard
    assert heard[-1] == ("merging", 300 - 256 - 2, 300 - 256 - 2)
    tokenizer.save(tmp_path / "t.json")
    assert train_tokenizer(TokenizerFile(path=str(tmp_path / "t.json")), []).fingerprint == tokenizer.fingerprint
    assert train_tokenizer(Char(), ["ab"]).vocab_size == 4
    assert train_tokenizer(Byte(), []).vocab_size == 257


@pytest.mark.parametrize(
    ("spec", "texts", "message"),
    [
        (BPE(), ["text"], "without vocab_size"),
        (BPE(vocab_size=257, special=("<|user|>",)), ["text"], "needed: at least 258"),
        (BPE(vocab_size=300), [], "no text"),
        (BPE(vocab_size=300), ["", ""], "no text"),
        (BPE(vocab_size=300), "text", r"try: \[text\]"),
        (Char(), [], "no text"),
        (Char(), "text", r"try: \[text\]"),
        (TokenizerFile(path="nowhere/tokenizer.json"), [], "does not exist"),
    ],
)
def test_training_that_cannot_be(spec: TokenizerSpec, texts, message: str) -> None:
    with pytest.raises(TokenizerError, match=message):
        train_tokenizer(spec, texts)


def test_special_tokens_that_cannot_be() -> None:
    for special, message in ((["<|a|>", "<|a|>"], "twice"), ([""], "named ''"), (["\ud800"], "named"), ([END_OF_TEXT], "twice")):
        with pytest.raises(TokenizerError, match=message):
            train_bpe([TEXT], 300, special=special)
    with pytest.raises(TokenizerError, match="ordinary token too"):
        train_bpe(["small" * 3], 300, special=["small"])
    with pytest.raises(TokenizerError, match="did you mean 'gpt4'"):
        BPETokenizer.from_merges([], pattern="gpt44")
    with pytest.raises(TokenizerError, match="merge 0 joins 97 and 256"):
        BPETokenizer.from_merges([(97, 256)])

"""tokenizer.json: `tokenizers` reads ours, we read theirs, and whatever is damaged is refused with a reason."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linnet.core.errors import TokenizerError
from linnet.tokenizer import END_OF_TEXT, Tokenizer, load_tokenizer
from linnet.tokenizer.bpe_tokenizer import BPETokenizer, train_bpe
from linnet.tokenizer.load import tokenizer_from_json
from linnet.tokenizer.pretokenize import PATTERNS
from linnet.tokenizer.simple import ByteTokenizer, train_char
from linnet.tokenizer.spelling import spell, unspell
from linnet.tokenizer.tokenizer_json import BYTE_LEVEL, split_at

tokenizers = pytest.importorskip("tokenizers")

TEXT = "It's a small world: the small wren, the small linnet. Ein großer Vogel, 1234 Wörter; 😀😀😀\n\n" * 3
KINDS = {pattern: train_bpe([TEXT], 320, pattern=pattern, special=["<|user|>"]) for pattern in PATTERNS}
KINDS |= {"byte": ByteTokenizer(), "char": train_char([TEXT])}
REAL_TEXTS = ["ar.txt", "hi.txt", "ja.txt", "ru.txt", "zh.txt", "emoji_text.txt", "code/humaneval_java.jsonl"]


def same_ids(ours: Tokenizer, theirs: Any, text: str) -> bool:
    """The law of the file: `tokenizers` gives the ids that linnet gives, special tokens allowed or not."""
    theirs.encode_special_tokens = False
    special = theirs.encode(text, add_special_tokens=False).ids == ours.encode(text, special="token")
    theirs.encode_special_tokens = True
    return special and theirs.encode(text, add_special_tokens=False).ids == ours.encode(text)


# Old scripts and signs only: what Unicode assigned lately is a letter to one library and not yet to the other.
SETTLED = (
    st.characters(codec="utf-8", max_codepoint=0x52F)
    | st.sampled_from("가나漢字かなアー語ก็हिनदी😀👩‍\u2028\u3000\0\x1c\x85")
    | st.sampled_from(" '\n\tIl1")
)


@pytest.mark.parametrize("kind", KINDS)
@given(pieces=st.lists(st.text(SETTLED) | st.sampled_from([END_OF_TEXT, "<|user|>", "<|unknown|>", "'ll", "small"])))
def test_tokenizers_reads_ours_and_gives_the_same_ids(kind: str, pieces: list[str]) -> None:
    assert same_ids(KINDS[kind], tokenizers.Tokenizer.from_str(KINDS[kind].to_json()), "".join(pieces))


def test_the_law_finds_other_patterns_merges_names() -> None:
    ours = KINDS["gpt4"]
    text = f"the small world{END_OF_TEXT} 1234"

    def theirs(mutate: Callable[[dict], None]) -> Any:
        data = json.loads(ours.to_json())
        mutate(data)
        return tokenizers.Tokenizer.from_str(json.dumps(data))

    assert same_ids(ours, theirs(lambda data: None), text)
    assert not same_ids(ours, theirs(lambda data: data["pre_tokenizer"]["pretokenizers"].__setitem__(0, split_at(r"\s+"))), text)
    assert not same_ids(ours, theirs(lambda data: data["model"]["merges"].clear()), text)
    assert not same_ids(ours, theirs(lambda data: data["added_tokens"][0].update(content="<|end|>")), text)


@pytest.mark.parametrize("name", REAL_TEXTS)
@pytest.mark.parametrize("pattern", PATTERNS)
def test_the_same_ids_on_real_text(real, name: str, pattern: str) -> None:
    text = real(f"multilingual/{name}").read_text("utf-8")[:50_000]
    ours = train_bpe([text], 1000, pattern=pattern)
    assert same_ids(ours, tokenizers.Tokenizer.from_str(ours.to_json()), text)


def trained_by_tokenizers(**options: Any) -> Any:
    theirs = tokenizers.Tokenizer(tokenizers.models.BPE())
    theirs.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    theirs.post_processor = tokenizers.processors.ByteLevel(trim_offsets=False)
    theirs.decoder = tokenizers.decoders.ByteLevel()
    settings = {
        "vocab_size": 330,
        "initial_alphabet": tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        "special_tokens": [END_OF_TEXT, "<|pad|>"],
    }
    theirs.train_from_iterator([TEXT], tokenizers.trainers.BpeTrainer(show_progress=False, **(settings | options)))
    return theirs


def test_ours_reads_what_tokenizers_trained_and_gives_it_back() -> None:
    theirs = trained_by_tokenizers()
    ours = tokenizer_from_json(theirs.to_str())
    text = f"the small <|pad|>Ä 😀 12{END_OF_TEXT}"
    assert isinstance(ours, BPETokenizer)
    assert ours.special == {END_OF_TEXT: 0, "<|pad|>": 1}  # the ids of `tokenizers`, which puts special tokens first
    assert same_ids(ours, theirs, text)
    assert same_ids(ours, tokenizers.Tokenizer.from_str(ours.to_json()), text)
    assert tokenizer_from_json(ours.to_json()).fingerprint == ours.fingerprint
    assert ours.decode(ours.encode(text)) == text


def gpt2_json(real: Callable[[str], Path]) -> str:
    """GPT-2's two files as one tokenizer.json, written by `tokenizers`."""
    model = tokenizers.models.BPE.from_file(str(real("tokenizers/gpt2/encoder.json")), str(real("tokenizers/gpt2/vocab.bpe")))
    gpt2 = tokenizers.Tokenizer(model)
    gpt2.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    gpt2.decoder = tokenizers.decoders.ByteLevel()
    gpt2.add_special_tokens([END_OF_TEXT])
    return gpt2.to_str()


def test_gpt2_gives_its_published_ids(real) -> None:
    gpt2 = tokenizer_from_json(gpt2_json(real))
    assert (gpt2.vocab_size, gpt2.end_id) == (50257, 50256)
    with open(real("tokenizers/tiktoken/r50k_base_encodings.csv"), encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) > 400
    for row in rows:
        assert gpt2.encode(row["input"]) == json.loads(row["output"]), row["input"]
        assert gpt2.decode(json.loads(row["output"])) == row["input"]


@given(st.binary())
def test_spelling(token: bytes) -> None:
    assert unspell(spell(token)) == token
    assert spell(b" the") == "Ġthe"
    assert unspell("Ġ the") is None


# ── Refusals ────────────────────────────────────────────────────────────────────────────────────────────────────────

GOOD = KINDS["gpt4"].to_json()


def test_the_good_file_is_good() -> None:
    assert tokenizer_from_json(GOOD).fingerprint == KINDS["gpt4"].fingerprint


def damaged(change: Callable[[dict], Any]) -> str:
    data = json.loads(GOOD)
    change(data)
    return json.dumps(data)


def drop_token(data: dict, token: str) -> None:
    del data["model"]["vocab"][token]


DAMAGE: dict[str, tuple[Callable[[dict], Any], str]] = {
    "an unknown part": (lambda d: d.update(postscript=1), "postscript is not known"),
    "another version": (lambda d: d.update(version="2.0"), 'version is "2.0"; needed: "1.0"'),
    "a normalizer": (lambda d: d.update(normalizer={"type": "NFC"}), "normalizer is"),
    "truncation": (lambda d: d.update(truncation={"max_length": 3}), "truncation is"),
    "another model": (lambda d: d["model"].update(type="Markov"), "model is of type 'Markov'"),
    "no model": (lambda d: d.pop("model"), "model is of type None"),
    "dropout": (lambda d: d["model"].update(dropout=0.1), "model.dropout is 0.1"),
    "an unknown option": (lambda d: d["model"].update(shortcut=True), "model.shortcut is not known"),
    "ignore_merges": (lambda d: d["model"].update(ignore_merges="yes"), 'ignore_merges is "yes"'),
    "no vocabulary": (lambda d: d["model"].update(vocab=[]), "model.vocab is"),
    "no merges": (lambda d: d["model"].update(merges=None), "model.merges is null"),
    "a gap in the ids": (lambda d: d["model"]["vocab"].update({"Ġsmall": 5000}), r"missing: \[\d+\], outside: \[5000\]"),
    "one id twice": (lambda d: d["model"]["vocab"].update({"Ġsmall": 97}), "the id 97 belongs to"),
    "an id that is no number": (lambda d: d["model"]["vocab"].update({"a": "97"}), "has the id '97'"),
    "an id that is true": (lambda d: d["model"]["vocab"].update({"Ģ": True}), "has the id True"),
    "a merge of unknown tokens": (lambda d: d["model"]["merges"].append(["Ġq", "zz"]), "needs the token 'Ġq'"),
    "a merge that makes nothing": (lambda d: d["model"]["merges"].append(["q", "z"]), "needs the token 'qz'"),
    "a merge of three": (lambda d: d["model"]["merges"].append("a b c"), "needed: two tokens"),
    "a merge twice": (lambda d: d["model"]["merges"].append(d["model"]["merges"][0]), "stands there 2 times"),
    "lost merges": (lambda d: d["model"]["merges"].clear(), "no merge makes the token"),
    "a lost byte": (lambda d: drop_token(d, "z"), "1 of the 256 bytes have no token"),
    "a token that is not bytes": (lambda d: d["model"]["vocab"].update({"漢": 320}), "not spelled in bytes"),
    "two special tokens of one name": (lambda d: d["added_tokens"].append(d["added_tokens"][0]), "two special tokens are called"),
    "no end of text": (lambda d: d["added_tokens"].pop(0), "no special token '<|endoftext|>'"),
    "two ids of a special token": (lambda d: d["added_tokens"][1].update(id=7), "has the ids 7 and"),
    "a special token that eats spaces": (lambda d: d["added_tokens"][1].update(lstrip=True), r"added_tokens\[1\].lstrip is true"),
    "a special token without a name": (lambda d: d["added_tokens"][1].pop("content"), "needed: content and id"),
    "special tokens that are no list": (lambda d: d.update(added_tokens=None), "added_tokens is null"),
    "another pattern": (
        lambda d: d["pre_tokenizer"]["pretokenizers"][0]["pattern"].update(Regex=r"\w+"),
        "known patterns: gpt2, gpt4, cl100k, qwen, o200k",
    ),
    "a prefix space": (lambda d: d["pre_tokenizer"]["pretokenizers"][1].update(add_prefix_space=True), "without a prefix space"),
    "no pre-tokenizer": (lambda d: d.update(pre_tokenizer=None), "pre_tokenizer is null"),
    "merges and no split": (lambda d: d.update(pre_tokenizer=BYTE_LEVEL), "without a splitting pattern"),
    "another decoder": (lambda d: d.update(decoder={"type": "WordPiece"}), "decoder is"),
    "a template": (lambda d: d.update(post_processor={"type": "TemplateProcessing"}), "post_processor is"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_refused(damage: str) -> None:
    change, message = DAMAGE[damage]
    with pytest.raises(TokenizerError, match=message):
        tokenizer_from_json(damaged(change))


def test_all_problems_are_listed_at_once() -> None:
    with pytest.raises(TokenizerError, match=r"(?s)2 problems.*normalizer.*added_tokens"):
        tokenizer_from_json(damaged(lambda data: data.update(normalizer=1, added_tokens=2)))


def test_files_that_are_no_json(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    with pytest.raises(TokenizerError, match="does not exist"):
        load_tokenizer(path)
    with pytest.raises(TokenizerError, match="does not exist"):
        load_tokenizer(tmp_path)
    for content in (b"", GOOD.encode()[: len(GOOD) // 2], b"[" * 100_000, b'{"n": ' + b"9" * 5000 + b"}"):
        path.write_bytes(content)
        with pytest.raises(TokenizerError, match="not valid JSON"):
            load_tokenizer(path)
    path.write_bytes(b"\xff\xfe{}")
    with pytest.raises(TokenizerError, match="cannot be read"):
        load_tokenizer(path)
    path.write_bytes(b"[]")
    with pytest.raises(TokenizerError, match=r"holds \[\]"):
        load_tokenizer(path)
    path.write_text(GOOD.replace('"version": "1.0",', '"version": "1.0", "version": "1.0",'), "utf-8")
    with pytest.raises(TokenizerError, match="'version' stands twice"):
        load_tokenizer(path)


@given(st.integers(0, len(GOOD)), st.integers(1, 40))
def test_a_damaged_file_is_refused_or_unchanged_in_meaning(start: int, length: int) -> None:
    """Cutting anything out never crashes, and never gives other ids than a file that `tokenizers` takes as well."""
    content = GOOD[:start] + GOOD[start + length :]
    try:
        loaded = tokenizer_from_json(content)
    except TokenizerError:
        return
    assert same_ids(loaded, tokenizers.Tokenizer.from_str(content), TEXT)


def test_a_character_file_is_strict() -> None:
    for change, message in (
        (lambda d: d["model"].update(unk_token="?"), "unk_token is"),
        (lambda d: d.pop("pre_tokenizer"), "pre_tokenizer is null"),
        (lambda d: d["model"]["vocab"].update({"ab": len(d["model"]["vocab"])}), "the token 'ab'"),
    ):
        data = json.loads(KINDS["char"].to_json())
        change(data)
        with pytest.raises(TokenizerError, match=message):
            tokenizer_from_json(json.dumps(data))


def test_bytes_in_another_order_are_refused_without_a_pattern() -> None:
    data = json.loads(KINDS["byte"].to_json())
    vocabulary = data["model"]["vocab"]
    vocabulary["a"], vocabulary["b"] = vocabulary["b"], vocabulary["a"]
    with pytest.raises(TokenizerError, match="another order"):
        tokenizer_from_json(json.dumps(data))

"""Pieces as SentencePiece has them: its library gives the same ids, and so does `tokenizers` from what we write."""

from __future__ import annotations

import io
import json
import random
import unicodedata
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from random_text import random_text

from linnet.core.errors import TokenizerError
from linnet.tokenizer import load_tokenizer
from linnet.tokenizer.load import tokenizer_from_json
from linnet.tokenizer.normalize import Normalizer
from linnet.tokenizer.pieces import PairPieces, Piece, PieceTokenizer, UnigramPieces
from linnet.tokenizer.sentencepiece import read_model
from linnet.tokenizer.strict_json import SHOWN

Real = Callable[[str], Path]
TEXT = "It's a small world: the small wren, the small linnet. Ein großer Vogel, 1234 Wörter; ﬁne Ⅳ ½ ｶﾞ 😀\n"
OPTIONS: dict[str, dict[str, Any]] = {
    "bpe": {"model_type": "bpe"},
    "bpe, as Llama's": {
        "model_type": "bpe",
        "byte_fallback": True,
        "normalization_rule_name": "identity",
        "remove_extra_whitespaces": False,
        "split_digits": True,
    },
    "unigram": {"model_type": "unigram"},
    "unigram, bytes, no space in front": {"model_type": "unigram", "byte_fallback": True, "add_dummy_prefix": False},
    "unigram, case folded": {"model_type": "unigram", "normalization_rule_name": "nmt_nfkc_cf"},
    "user's pieces": {"model_type": "bpe", "user_defined_symbols": ["<mask>", "wren", "a b"]},
    "unigram, user's pieces": {"model_type": "unigram", "user_defined_symbols": ["<mask>", "wren"]},
    "pieces across spaces": {"model_type": "unigram", "split_by_whitespace": False},
}
trained: dict[str, bytes] = {}


def trained_model(name: str, shakespeare: str) -> bytes:
    """A model that SentencePiece's own library made, of a play and some odd characters."""
    library = pytest.importorskip("sentencepiece")
    if name not in trained:
        writer = io.BytesIO()
        lines = [line for line in shakespeare[:120_000].split("\n") if line] + [TEXT.strip()] * 5
        library.SentencePieceTrainer.train(
            sentence_iterator=iter(lines), model_writer=writer, vocab_size=700, minloglevel=3, **OPTIONS[name]
        )
        trained[name] = writer.getvalue()
    return trained[name]


def texts_for(shakespeare: str) -> list[str]:
    chance = random.Random(0)
    lines = [line for line in shakespeare[200_000:].split("\n") if line][:400]
    drawn = [random_text(chance) for _ in range(1500)]
    return ["", " ", "  a  b   ", "\n", TEXT, "wrenwren <mask>a b a  b", "ﬁﬁ e\u0301e\u0301", *lines, *drawn]


@pytest.mark.parametrize("name", OPTIONS)
def test_the_library_gives_the_same_ids_and_texts(name: str, shakespeare: str) -> None:
    model = trained_model(name, shakespeare)
    theirs = pytest.importorskip("sentencepiece").SentencePieceProcessor(model_proto=model)
    ours = read_model(model)
    assert ours.vocab_size == theirs.get_piece_size()
    assert ours.end_id == theirs.eos_id()
    for text in texts_for(shakespeare):
        ids = theirs.encode(text)
        assert ours.encode(text) == ids, repr(text)
        if theirs.unk_id() not in ids:
            assert ours.decode(ids) == theirs.decode(ids), repr(text)


@pytest.mark.parametrize("name", OPTIONS)
def test_what_is_written_is_read_again(name: str, shakespeare: str, tmp_path: Path) -> None:
    ours = read_model(trained_model(name, shakespeare))
    (tmp_path / "tokenizer.model").write_bytes(trained_model(name, shakespeare))
    assert load_tokenizer(tmp_path).fingerprint == ours.fingerprint
    again = tokenizer_from_json(ours.to_json())
    assert isinstance(again, type(ours))
    assert again.fingerprint == ours.fingerprint
    assert [again.encode(text) for text in texts_for(shakespeare)] == [ours.encode(text) for text in texts_for(shakespeare)]


@pytest.mark.parametrize("name", [name for name in OPTIONS if "user" not in name and "across" not in name])
def test_tokenizers_reads_ours_and_gives_the_same_ids(name: str, shakespeare: str) -> None:
    """On text without rare characters: its rules work on whole graphemes, ours and SentencePiece's on the longest match."""
    tokenizers = pytest.importorskip("tokenizers")
    ours = read_model(trained_model(name, shakespeare))
    theirs = tokenizers.Tokenizer.from_str(ours.to_json())
    theirs.encode_special_tokens = True
    for text in ["", "  a  b   ", TEXT.strip().replace("ｶﾞ", ""), *shakespeare[300_000:].split("\n")[:300]]:
        ids = theirs.encode(text, add_special_tokens=False).ids
        assert ours.encode(text) == ids, repr(text)
        if 0 not in ids:
            assert ours.decode(ids).strip() == theirs.decode(ids).strip()


def test_llama_2(real: Real) -> None:
    path = real("tokenizers/llama2/tokenizer.model")
    ours = load_tokenizer(path)
    theirs = pytest.importorskip("sentencepiece").SentencePieceProcessor(model_file=str(path))
    chance = random.Random(1)
    for name in ("multilingual/zh.txt", "multilingual/hi.txt", "multilingual/emoji_text.txt", "shakespeare/input.txt"):
        text = real(name).read_text("utf-8")[:20_000]
        assert ours.encode(text) == theirs.encode(text)
        assert ours.decode(ours.encode(text)) == text
    for _ in range(2000):
        text = random_text(chance)
        assert ours.encode(text) == theirs.encode(text), repr(text)
    assert tokenizer_from_json(ours.to_json()).fingerprint == ours.fingerprint
    assert ours.encode("<s>") != [1]
    assert ours.encode("a</s>", special="token")[-1] == 2


def piece(text: str, score: float = 0.0, kind: str = "normal") -> Piece:
    return Piece(text, score, kind)


BASIS = [piece("<unk>", kind="unknown"), piece("</s>", kind="control")]


def all_cuts(text: str) -> list[list[str]]:
    return (
        [[text]] if len(text) < 2 else [[text]] + [[text[:i], *rest] for i in range(1, len(text)) for rest in all_cuts(text[i:])]
    )


def test_unigram_is_the_likeliest_of_all_cuts() -> None:
    chance = random.Random(0)
    for _ in range(100):
        texts = {"".join(chance.choices("abc", k=chance.randint(1, 4))) for _ in range(12)} | set("abc")
        scores = {text: -chance.random() * 9 for text in sorted(texts)}
        made = UnigramPieces([*BASIS, *(piece(*each) for each in scores.items())], Normalizer(in_front=False), end=1)
        text = "".join(chance.choices("abc", k=9))
        best = max(sum(map(scores.__getitem__, cut)) for cut in all_cuts(text) if all(part in scores for part in cut))
        assert sum(scores[part] for part in made.cut(text)) == pytest.approx(best)


def test_bpe_joins_the_best_pair_first() -> None:
    def slowly(symbols: list[str], scores: dict[str, float]) -> list[str]:
        while True:
            found = [(-scores[a + b], i) for i, (a, b) in enumerate(pairwise(symbols)) if a + b in scores]
            if not found:
                return symbols
            i = min(found)[1]
            symbols = [*symbols[:i], symbols[i] + symbols[i + 1], *symbols[i + 2 :]]

    chance = random.Random(0)
    for _ in range(200):
        texts = sorted({"".join(chance.choices("ab", k=chance.randint(1, 5))) for _ in range(14)})
        scores = dict(zip(texts, chance.sample(range(100), len(texts))))
        made = PairPieces([*BASIS, *(piece(*each) for each in scores.items())], Normalizer(in_front=False), end=1)
        text = "".join(chance.choices("ab", k=20))
        assert made.cut(text) == slowly(list(text), scores)


def test_unused_pieces_are_only_on_the_way() -> None:
    pieces = [*BASIS, *map(piece, "abc"), piece("ab", 2, "unused"), piece("abc", 1)]
    made = PairPieces(pieces, Normalizer(in_front=False), end=1)
    assert made.cut("abcab") == ["abc", "a", "b"]
    with pytest.raises(TokenizerError, match="unused"):
        made.to_json()


BROKEN: dict[str, tuple[Sequence[Piece], str]] = {
    "twice": ([*BASIS, piece("a"), piece("a")], "pieces 2 and 3 are both 'a'"),
    "empty": ([*BASIS, piece("")], "piece 2 is empty"),
    "nothing unknown": ([piece("</s>", kind="control"), piece("a")], "0 pieces for what is unknown"),
    "some bytes": ([*BASIS, piece("<0x41>", kind="byte")], "1 pieces for bytes"),
    "no end": ([*BASIS[:1], piece("a")], "no control piece that ends a document"),
    "an end of another name": ([*BASIS[:1], piece("fin", kind="control")], "called 'fin'"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_pieces_that_no_text_can_be_written_in(name: str) -> None:
    pieces, message = BROKEN[name]
    with pytest.raises(TokenizerError, match=message):
        UnigramPieces(pieces, Normalizer(), end=min(1, len(pieces) - 1) if name != "nothing unknown" else 0)


def test_a_model_that_is_cut_is_refused_wherever(shakespeare: str, tmp_path: Path) -> None:
    model = trained_model("unigram", shakespeare)
    path = tmp_path / "tokenizer.model"
    refused = 0
    for length in [*range(1, 60), *range(60, len(model), 997)]:
        path.write_bytes(model[:length])
        try:
            load_tokenizer(path)
        except TokenizerError:
            refused += 1
    assert refused == 59 + len(range(60, len(model), 997))
    path.write_bytes(b"\x0a" + random.Random(0).randbytes(500))
    with pytest.raises(TokenizerError, match=r"tokenizer\.model"):
        load_tokenizer(path)


def test_rules_that_are_damaged_are_refused_on_loading(shakespeare: str) -> None:
    """Or they still make text of every text."""
    rules, chance = read_model(trained_model("unigram", shakespeare)).normalizer.rules, random.Random(0)
    replaced = "".join(c for c in map(chr, range(0x10000)) if unicodedata.normalize("NFKC", c) != c)
    size = int.from_bytes(rules[:4], "little")
    refused = []
    for place in [*(chance.randrange(4, size) for _ in range(30)), *(chance.randrange(4 + size, len(rules)) for _ in range(30))]:
        try:
            made = Normalizer(rules[:place] + bytes([rules[place] ^ 1 << chance.randrange(8)]) + rules[place + 1 :])
        except ValueError:
            refused.append(place)
        else:
            made(replaced)
    assert min(refused) < size < max(refused)
    with pytest.raises(ValueError, match="cut"):
        Normalizer(bytes(4))


CHANGES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "another normalizer": lambda data: data["normalizer"]["normalizers"].append({"type": "Lowercase"}),
    "rules that are cut": lambda data: data["normalizer"]["normalizers"][0].update(precompiled_charsmap="AAEA"),
    "rules that are no base64": lambda data: data["normalizer"]["normalizers"][0].update(precompiled_charsmap="?"),
    "a pre-tokenizer": lambda data: data.update(pre_tokenizer={"type": "Whitespace"}),
    "a decoder": lambda data: data.update(decoder=None),
    "scores that are none": lambda data: data["model"]["vocab"][5].__setitem__(1, "high"),
    "no end": lambda data: data["added_tokens"].pop(2),
    "nothing unknown": lambda data: data["model"].update(unk_id=None),
    "another piece unknown": lambda data: data["model"].update(unk_id=5),
    "a field": lambda data: data.update(more=1),
    "a field of the model": lambda data: data["model"].update(dropout=0.1),
    "a score without end": lambda data: data["model"]["vocab"][5].__setitem__(1, float("inf")),
    "rules that are no ASCII": lambda data: data["normalizer"]["normalizers"][0].update(precompiled_charsmap="é"),
    "another id": lambda data: data["added_tokens"][1].update(id=7),
    "an added token that is no piece": lambda data: data["added_tokens"][1].update(content="<other>"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_file_that_says_something_else_is_refused(name: str, shakespeare: str) -> None:
    data = json.loads(read_model(trained_model("unigram", shakespeare)).to_json())
    CHANGES[name](data)
    with pytest.raises(TokenizerError) as refused:
        tokenizer_from_json(json.dumps(data))
    assert str(refused.value).count("\n") < SHOWN + 6


PAIRS: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "a merge lost": (lambda model: model["merges"].pop(3), "no merge of"),
    "a merge of other pieces": (lambda model: model["merges"].append(["q", "x"]), "a merge of 'q' and 'x'"),
    "a merge of three": (lambda model: model["merges"].append(["q", "x", "z"]), "1 merges are not of two tokens"),
    "no merges": (lambda model: model.update(merges=[]), "no merge of"),
    "ids that are texts": (lambda model: model["vocab"].update(a="7"), "ids from 0 on"),
    "an id twice": (lambda model: model["vocab"].update(a=7), "ids from 0 on"),
    "dropout": (lambda model: model.update(dropout=0.1), r"model\.dropout is 0\.1"),
    "an unknown token that is a list": (lambda model: model.update(unk_token=["<unk>"]), "the unknown token is"),
}


@pytest.mark.parametrize("name", PAIRS)
def test_a_file_of_pairs_that_says_something_else_is_refused(name: str, shakespeare: str) -> None:
    data = json.loads(read_model(trained_model("bpe", shakespeare)).to_json())
    change, message = PAIRS[name]
    change(data["model"])
    with pytest.raises(TokenizerError, match=message):
        tokenizer_from_json(json.dumps(data))


def test_run_of_unknown_is_one(shakespeare: str) -> None:
    ours: PieceTokenizer = read_model(trained_model("bpe", shakespeare))
    assert ours.encode("龘龘龘 a").count(0) == 1
    assert ours.decode_bytes(ours.encode("龘")) == "\N{REPLACEMENT CHARACTER}".encode()

"""Pieces and WordPiece in `tokenizer.json`, written and read; see tokenizer_json.py.

pieces-bpe       model BPE; every cut of a piece into two others is a merge, best piece first
pieces-unigram   model Unigram
both             the rules for characters as Precompiled, a Prepend and a Replace for ▁
wordpiece        model WordPiece, BertNormalizer, BertPreTokenizer
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from typing import Any

from linnet.core.errors import TokenizerError, explain
from linnet.tokenizer.normalize import SPACE, Normalizer
from linnet.tokenizer.pieces import PairPieces, Piece, PieceTokenizer, UnigramPieces, cuts
from linnet.tokenizer.strict_json import capped, pair_of, shortened, unexpected
from linnet.tokenizer.wordpiece import INSIDE, LONGEST_WORD, UNKNOWN, WordPieceTokenizer

COLLAPSE = (
    {"type": "Strip", "strip_left": True, "strip_right": True},
    {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "},
)
SPACES = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
IN_FRONT = {"type": "Prepend", "prepend": SPACE}
STRIP = {"type": "Strip", "content": " ", "start": 1, "stop": 0}
DECODERS = (
    {"type": "Replace", "pattern": {"String": SPACE}, "content": " "},
    {"type": "ByteFallback"},
    {"type": "Fuse"},
)


OF_UNIGRAM: dict[str, tuple[Any, ...]] = {"byte_fallback": (False, True, None)}
OF_PAIRS: dict[str, tuple[Any, ...]] = OF_UNIGRAM | {
    "dropout": (None, 0),
    "continuing_subword_prefix": (None, ""),
    "end_of_word_suffix": (None, ""),
    "fuse_unk": (True,),
    "ignore_merges": (False, None),
}


def write_pieces(tokenizer: PieceTokenizer) -> dict[str, Any]:
    """normalizer, pre_tokenizer, decoder and model. Raises TokenizerError for pieces that the file has no form for."""
    if any(piece.kind == "unused" for piece in tokenizer.pieces):
        raise TokenizerError(
            explain("pieces that are unused", need="none: tokenizer.json has no form for them", hint="another model")
        )
    ready = tokenizer.normalizer
    steps: list[dict[str, Any]] = []
    if ready.rules:
        steps.append({"type": "Precompiled", "precompiled_charsmap": base64.b64encode(ready.rules).decode("ascii")})
    unknown = next(piece.text for piece in tokenizer.pieces if piece.kind == "unknown")
    with_bytes = any(piece.kind == "byte" for piece in tokenizer.pieces)
    model: dict[str, Any]
    if isinstance(tokenizer, PairPieces):
        merges = {text: [list(cut) for cut in cuts(text, tokenizer.ids)] for text in tokenizer.ranks}
        lost = [text for text, found in merges.items() if not found]
        if lost:
            got = f"the piece {lost[0]!r} of characters that are no pieces"
            raise TokenizerError(explain(got, need="a piece for each: tokenizer.json has no other form", hint="another model"))
        model = {
            "type": "BPE", "dropout": None, "unk_token": unknown, "continuing_subword_prefix": None, "end_of_word_suffix": None,
            "fuse_unk": True, "byte_fallback": with_bytes, "ignore_merges": False,
            "vocab": {piece.text: i for i, piece in enumerate(tokenizer.pieces)},
            "merges": [cut for found in merges.values() for cut in found],
        }  # fmt: skip
    else:
        unk_id = tokenizer.special[unknown]
        vocab = [[piece.text, piece.score] for piece in tokenizer.pieces]
        model = {"type": "Unigram", "unk_id": unk_id, "byte_fallback": with_bytes, "vocab": vocab}
    return {
        "normalizer": {"type": "Sequence", "normalizers": [*steps, *steps_of(ready)]},
        "pre_tokenizer": None,
        "decoder": decoder_of(ready),
        "model": model,
    }


def read_pieces(
    data: Mapping[str, Any], model: Mapping[str, Any], special: Mapping[str, int], user: Mapping[str, int], end: str
) -> PieceTokenizer:
    """The tokenizer of a BPE or Unigram file whose tokens are pieces. Raises TokenizerError with all problems."""
    problems: list[str] = []
    ready = read_normalizer(data.get("normalizer"), problems)
    must = {"pre_tokenizer": (None,), "post_processor": (None,), "decoder": (decoder_of(ready),)}
    problems += unexpected(data, must, None, "")
    pairs, added = model["type"] == "BPE", [*special.items(), *user.items()]
    fixed, free = (OF_PAIRS, ("unk_token", "merges")) if pairs else (OF_UNIGRAM, ("unk_id",))
    problems += unexpected(model, fixed, {*fixed, "type", "vocab", *free}, "model.")
    vocab = model.get("vocab")
    scored: list[tuple[str, float]] = []
    if (
        pairs
        and isinstance(vocab, dict)
        and all(type(i) is int for i in vocab.values())
        and {*vocab.values()} == {*range(len(vocab))}
    ):
        ranks = ranks_of(model.get("merges"), problems)
        scored = [(text, -float(ranks.get(text, len(vocab)))) for text in sorted(vocab, key=vocab.__getitem__)]
    elif not pairs and isinstance(vocab, list) and all(is_scored(each) for each in vocab):
        scored = [(text, float(score)) for text, score in vocab]
    else:
        problems.append(f"model.vocab is {shortened(vocab)}; needed: {'ids from 0 on' if pairs else 'pieces with scores'}")
    ids = {text: i for i, (text, _) in enumerate(scored)}
    problems += [
        f"the added token {name!r} has the id {i}, as a piece {ids.get(name)}" for name, i in added if ids.get(name) != i
    ]
    place = model.get("unk_id")
    unknown = model.get("unk_token") if pairs else scored[place][0] if type(place) is int and 0 <= place < len(scored) else None
    if not isinstance(unknown, str) or unknown not in special:
        problems.append(f"the unknown token is {shortened(unknown)}; needed: one of the special tokens")
    with_bytes = model.get("byte_fallback") is True
    if problems:
        raise TokenizerError("\n    ".join(capped(problems)))

    def kind(text: str) -> str:
        if text == unknown:
            return "unknown"
        if text in special:
            return "control"
        if text in user:
            return "user"
        return "byte" if with_bytes and len(text) == 6 and text.startswith("<0x") and text.endswith(">") else "normal"

    pieces = [Piece(text, score, kind(text)) for text, score in scored]
    if not pairs:
        return UnigramPieces(pieces, ready, end=special[end])
    made = PairPieces(pieces, ready, end=special[end])
    check_merges(made, model["merges"])
    return made


def steps_of(ready: Normalizer) -> list[dict[str, Any]]:
    """How text is made ready, after the rules for characters."""
    return [*(COLLAPSE if ready.collapse else ()), *([IN_FRONT] if ready.in_front else []), SPACES]


def decoder_of(ready: Normalizer) -> dict[str, Any]:
    return {"type": "Sequence", "decoders": [*DECODERS, *([STRIP] if ready.in_front else [])]}


def read_normalizer(part: Any, problems: list[str]) -> Normalizer:
    """What `write_pieces` writes, in its order."""
    steps = part.get("normalizers") if isinstance(part, dict) and part.get("type") == "Sequence" else None
    left = list(steps) if isinstance(steps, list) else []
    rules = b""
    try:
        if left and isinstance(first := left[0], dict) and first.get("type") == "Precompiled":
            left = left[1:]
            rules = base64.b64decode(str(first.get("precompiled_charsmap")), validate=True)
        ready = Normalizer(rules, in_front=IN_FRONT in left, collapse=COLLAPSE[0] in left)
    except ValueError as error:  # binascii.Error is one
        problems.append(f"normalizer: rules for characters that cannot be read ({error})")
        return Normalizer()
    if left != steps_of(ready):
        problems.append(
            f"normalizer is {shortened(part)}; needed: Precompiled, Strip and Replace, Prepend as wanted, then ▁ for spaces"
        )
    return ready


def ranks_of(merges: Any, problems: list[str]) -> dict[str, int]:
    """Pieces in the order in which merges first make them."""
    if not isinstance(merges, list):
        problems.append(f"model.merges is {shortened(merges)}; needed: a list")
        return {}
    found = [pair for merge in merges if (pair := pair_of(merge)) is not None]
    if len(found) < len(merges):
        problems.append(f"{len(merges) - len(found)} merges are not of two tokens")
    ranks: dict[str, int] = {}
    for rank, (a, b) in enumerate(found):
        ranks.setdefault(a + b, rank)
    return ranks


def check_merges(made: PairPieces, merges: list[Any]) -> None:
    """Raise TokenizerError unless the merges are all cuts of pieces into two others, and no more."""
    needed, listed = (
        {cut for text in made.ranks for cut in cuts(text, made.ids)},
        {pair_of(merge) or ("", "") for merge in merges},
    )
    wrong = [f"no merge of {a!r} and {b!r}, which make a piece" for a, b in sorted(needed - listed)]
    wrong += [f"a merge of {a!r} and {b!r}, which are not two pieces that make a third" for a, b in sorted(listed - needed)]
    if wrong:
        raise TokenizerError("\n    ".join(capped(wrong)))


def is_scored(each: Any) -> bool:
    """Whether this is a piece with a score: [text, number]."""
    return (
        isinstance(each, list)
        and len(each) == 2
        and isinstance(each[0], str)
        and type(each[1]) in (int, float)
        and math.isfinite(each[1])
    )


def write_wordpiece(tokenizer: WordPieceTokenizer) -> dict[str, Any]:
    """normalizer, pre_tokenizer, decoder and model."""
    return {
        "normalizer": bert_normalizer(lowercase=tokenizer.lowercase),
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "decoder": {"type": "WordPiece", "prefix": INSIDE, "cleanup": False},
        "model": {
            "type": "WordPiece",
            "unk_token": UNKNOWN,
            "continuing_subword_prefix": INSIDE,
            "max_input_chars_per_word": LONGEST_WORD,
            "vocab": dict(sorted(tokenizer.tokens.items(), key=lambda item: item[1])),
        },
    }


def bert_normalizer(*, lowercase: bool) -> dict[str, Any]:
    return {
        "type": "BertNormalizer",
        "clean_text": True,
        "handle_chinese_chars": True,
        "strip_accents": None,
        "lowercase": lowercase,
    }


def read_wordpiece(data: Mapping[str, Any], model: Mapping[str, Any], special: Mapping[str, int]) -> WordPieceTokenizer:
    """The tokenizer of a WordPiece file; with the decoder that tidies up, too, and BERT's own post-processor, which is not used."""
    lowercase = data.get("normalizer") == bert_normalizer(lowercase=True)
    decoders = tuple({"type": "WordPiece", "prefix": INSIDE, "cleanup": tidy} for tidy in (False, True))
    must = {
        "normalizer": (bert_normalizer(lowercase=lowercase),),
        "pre_tokenizer": ({"type": "BertPreTokenizer"},),
        "decoder": decoders,
    }
    problems = unexpected(data, must, None, "")
    after = data.get("post_processor")
    if after is not None and not (isinstance(after, dict) and after.get("type") in ("TemplateProcessing", "BertProcessing")):
        problems.append(f"post_processor is {shortened(after)}; needed: null, or BERT's, which is not used")
    of_model = {
        "unk_token": (UNKNOWN,),
        "continuing_subword_prefix": (INSIDE,),
        "max_input_chars_per_word": (LONGEST_WORD,),
    }
    problems += unexpected(model, of_model, {*of_model, "type", "vocab"}, "model.")
    vocab = model.get("vocab")
    if not (isinstance(vocab, dict) and all(type(token_id) is int for token_id in vocab.values())):
        problems.append(f"model.vocab is {shortened(vocab)}; needed: a table of tokens and ids")
    else:
        problems += [
            f"the special token {name!r} has no id {token_id}"
            for name, token_id in special.items()
            if vocab.get(name) != token_id
        ]
    if problems or not isinstance(vocab, dict):
        raise TokenizerError("\n    ".join(capped(problems)))
    return WordPieceTokenizer(vocab, lowercase=lowercase)

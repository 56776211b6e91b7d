"""`tokenizer.json`: the file format of the `tokenizers` library, written and read.

What linnet writes, `tokenizers` reads, and gives every text the same ids. How each kind says itself there:

    bpe    model BPE, split by the pattern as a Regex, then ByteLevel (which spells every byte as one character)
    byte   model BPE without merges, ByteLevel without a split
    char   model WordLevel, split at every character, <|unknown|> for the rest
    pieces and WordPiece    see pieces_json.py

`tokenizers` takes the names of special tokens in a text for the tokens, as `encode(text, special="token")` does;
with its `encode_special_tokens = True` they are ordinary text, as for linnet.

Reading is strict: a file that asks for anything that linnet would not do (normalizing, truncating, another model,
tokens that no merge makes …) is refused with all reasons, because ids that are almost right ruin a model quietly.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any, TypeGuard

from linnet.core.errors import TokenizerError, explain
from linnet.tokenizer.base import ENDS
from linnet.tokenizer.bpe import Pair
from linnet.tokenizer.bpe_tokenizer import BPETokenizer
from linnet.tokenizer.pieces import PieceTokenizer
from linnet.tokenizer.pieces_json import read_pieces, read_wordpiece, write_pieces, write_wordpiece
from linnet.tokenizer.pretokenize import PATTERNS
from linnet.tokenizer.simple import UNKNOWN, ByteTokenizer, CharTokenizer
from linnet.tokenizer.spelling import unspell
from linnet.tokenizer.strict_json import capped, pair_of, parse, refusal, shortened, unexpected
from linnet.tokenizer.vocabulary import TableTokenizer, VocabularyTokenizer
from linnet.tokenizer.wordpiece import WordPieceTokenizer

# ── Writing ─────────────────────────────────────────────────────────────────────────────────────────────────────────

ANY_CHARACTER = r"[\s\S]"
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
BPE_MODEL = {
    "type": "BPE",
    "dropout": None,
    "unk_token": None,
    "continuing_subword_prefix": None,
    "end_of_word_suffix": None,
    "fuse_unk": False,
    "byte_fallback": False,
    "ignore_merges": False,
}


def split_at(pattern: str) -> dict[str, Any]:
    """The pre-tokenizer that makes a chunk of every match."""
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


def write_tokenizer(tokenizer: TableTokenizer) -> str:
    """The content of `tokenizer.json`."""
    user: Mapping[str, int] = {}
    match tokenizer:
        case VocabularyTokenizer():
            parts = write_vocabulary(tokenizer)
        case PieceTokenizer():
            parts, user = write_pieces(tokenizer), {piece: tokenizer.ids[piece] for piece in tokenizer.user}
        case WordPieceTokenizer():
            parts = write_wordpiece(tokenizer)
        case _:
            raise TypeError(f"{type(tokenizer).__name__} has no form in tokenizer.json")
    added = [(token_id, name, True) for name, token_id in tokenizer.special.items()]
    added += [(token_id, piece, False) for piece, token_id in user.items()]
    content = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [added_token(name, token_id, special) for token_id, name, special in sorted(added)],
        "normalizer": parts.get("normalizer"),
        "pre_tokenizer": parts["pre_tokenizer"],
        "post_processor": None,
        "decoder": parts["decoder"],
        "model": parts["model"],
    }
    a_line_an_entry = (",\n", ": ")  # indented, it would be written by Python's own Python, in ten times the time
    return json.dumps(content, separators=a_line_an_entry, ensure_ascii=False) + "\n"


def write_vocabulary(tokenizer: VocabularyTokenizer) -> dict[str, Any]:
    """pre_tokenizer, decoder and model of a tokenizer over bytes or characters."""
    spelling = {token_id: tokenizer.spelling(token) for token, token_id in tokenizer.tokens.items()}
    special = {token_id: name for name, token_id in tokenizer.special.items()}
    vocab: dict[str, Any] = {"vocab": {token: token_id for token_id, token in sorted((spelling | special).items())}}
    match tokenizer:
        case BPETokenizer():
            merges = [[spelling[a], spelling[b]] for a, b in tokenizer.merges]
            model = BPE_MODEL | {"ignore_merges": tokenizer.whole, "merges": merges} | vocab
            split = {"type": "Sequence", "pretokenizers": [split_at(PATTERNS[tokenizer.pattern]), BYTE_LEVEL]}
            return {"pre_tokenizer": split, "decoder": BYTE_LEVEL, "model": model}
        case ByteTokenizer():
            return {"pre_tokenizer": BYTE_LEVEL, "decoder": BYTE_LEVEL, "model": BPE_MODEL | {"merges": []} | vocab}
        case CharTokenizer():
            model = {"type": "WordLevel", "unk_token": UNKNOWN} | vocab
            return {"pre_tokenizer": split_at(ANY_CHARACTER), "decoder": {"type": "Fuse"}, "model": model}
        case _:
            raise TypeError(f"{type(tokenizer).__name__} has no form in tokenizer.json")


def added_token(name: str, token_id: int, special: bool = True) -> dict[str, Any]:
    """One special token, as `tokenizers` writes it."""
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": special}
    return {"id": token_id, "content": name} | flags


# ── Reading ─────────────────────────────────────────────────────────────────────────────────────────────────────────

MUST_BE = {"version": ("1.0",), "truncation": (None,), "padding": (None,)}
TOP_LEVEL = {*MUST_BE, "normalizer", "added_tokens", "pre_tokenizer", "post_processor", "decoder", "model"}
BPE_MUST_BE: dict[str, tuple[Any, ...]] = {
    "dropout": (None, 0),
    "continuing_subword_prefix": (None, ""),
    "end_of_word_suffix": (None, ""),
    "byte_fallback": (False, None),
    "ignore_merges": (False, True, None),
}
BPE_KEYS = {*BPE_MODEL, "vocab", "merges"}  # unk_token and fuse_unk may be anything: every byte is known
ADDED_TOKEN_MUST_BE = {
    "single_word": (False,),
    "lstrip": (False,),
    "rstrip": (False,),
    "normalized": (False, True),
    "special": (False, True),
}


def read_tokenizer(content: str, *, name: str) -> TableTokenizer:
    """The tokenizer that the content of a `tokenizer.json` describes; `name` is what errors call the file.

    Takes what linnet writes, and a byte-level BPE of `tokenizers` with a known splitting pattern, <|endoftext|> and
    all 256 bytes. Added tokens that are not marked as special count as special tokens here: they are found in a
    text only with `special="token"`; only those of pieces are found always.

    Raises TokenizerError with everything that is in the way.
    """
    data = parse(content, name)
    problems = unexpected(data, MUST_BE, TOP_LEVEL, "")
    normalizer = data.get("normalizer")
    if normalizer is not None and not isinstance(normalizer, dict):
        problems.append(f"normalizer is {shortened(normalizer)}; needed: null, or a table")
    special, user = read_added(data.get("added_tokens"), problems)
    model = data.get("model")
    model_type = model.get("type") if isinstance(model, dict) else None
    if not isinstance(model, dict) or model_type not in ("BPE", "WordLevel", "Unigram", "WordPiece"):
        problems.append(f"model is of type {model_type!r}; known: BPE, WordLevel, Unigram, WordPiece")
    if problems or not isinstance(model, dict):
        raise refusal(name, problems)
    try:
        if model_type == "Unigram" or (model_type == "BPE" and isinstance(normalizer, dict)):
            end = next((each for each in ENDS if each in special), None)
            if end is None:
                got = "no special token that ends a document"
                raise TokenizerError(explain(got, need=f"one, to stand after every document: {', '.join(ENDS)}"))
            return read_pieces(data, model, special, user, end)
        special |= user
        if model_type == "WordPiece":
            return read_wordpiece(data, model, special)
        problems = unexpected(data, {"normalizer": (None,)}, None, "")
        if not any(each in special for each in ENDS):
            problems.append(
                explain(f"no special token {ENDS[0]!r}", need=f"one, to stand after every document, or {', '.join(ENDS[1:])}")
            )
        ordinary = read_vocabulary(model.get("vocab"), special, problems)
        if problems:
            raise TokenizerError("\n    ".join(problems))
        return (read_char if model_type == "WordLevel" else read_bpe)(data, model, ordinary, special)
    except TokenizerError as error:
        raise refusal(name, [str(error)]) from error


def read_char(
    data: Mapping[str, Any], model: Mapping[str, Any], ordinary: dict[str, int], special: dict[str, int]
) -> CharTokenizer:
    """The character tokenizer of a WordLevel file."""
    problems = unexpected(model, {"unk_token": (UNKNOWN,)}, {"type", "unk_token", "vocab"}, "model.")
    problems += unexpected(
        data, {"pre_tokenizer": (split_at(ANY_CHARACTER),), "post_processor": (None,), "decoder": ({"type": "Fuse"},)}, None, ""
    )
    if problems:
        raise TokenizerError("\n    ".join(problems))
    return CharTokenizer(ordinary, special)


def read_bpe(
    data: Mapping[str, Any], model: Mapping[str, Any], ordinary: dict[str, int], special: dict[str, int]
) -> BPETokenizer | ByteTokenizer:
    """The BPE or byte tokenizer of a BPE file."""
    problems = unexpected(model, BPE_MUST_BE, BPE_KEYS, "model.")
    if not is_byte_level(data.get("decoder")):
        problems.append(f"decoder is {shortened(data.get('decoder'))}; needed: ByteLevel")
    if not (data.get("post_processor") is None or is_byte_level(data["post_processor"])):
        problems.append(f"post_processor is {shortened(data['post_processor'])}; needed: null or ByteLevel")
    pattern = read_pattern(data.get("pre_tokenizer"), problems)
    tokens: dict[bytes, int] = {}
    for spelling, token_id in ordinary.items():
        token = unspell(spelling)
        if not token:
            problems.append(f"the token {spelling!r} is not spelled in bytes")
        else:
            tokens[token] = token_id
    lacking = [byte for byte in range(256) if bytes([byte]) not in tokens]
    if lacking:
        hint = "train with initial_alphabet=pre_tokenizers.ByteLevel.alphabet()"
        problems.append(explain(f"{len(lacking)} of the 256 bytes have no token", need="one for each", hint=hint))
    whole = model.get("ignore_merges") is True
    merges = read_merges(model.get("merges"), ordinary, problems, whole=whole)
    if problems:
        raise TokenizerError("\n    ".join(capped(problems)))
    if pattern is None:
        if merges or any(token != bytes([token_id]) for token, token_id in tokens.items()):
            got = "merges, or bytes in another order, without a splitting pattern"
            raise TokenizerError(explain(got, need="a Split with a Regex before ByteLevel"))
        return ByteTokenizer(special)
    return BPETokenizer(tokens, merges, pattern=pattern, special=special, whole=whole)


def read_pattern(part: Any, problems: list[str]) -> str | None:
    """The name of the splitting pattern of a pre-tokenizer; None where it does not split."""
    steps = part.get("pretokenizers") if isinstance(part, dict) and part.get("type") == "Sequence" else [part]
    *before, last = steps if isinstance(steps, list) and steps else [None]
    if not is_byte_level(last) or last["add_prefix_space"] or len(before) > 1:
        need = "ByteLevel without a prefix space, or one Split and then that"
        problems.append(f"pre_tokenizer is {shortened(part)}; needed: {need}")
        return None
    uses_own = last.get("use_regex", True)
    if not before:
        return "gpt2" if uses_own else None
    for pattern, text in PATTERNS.items():
        if before[0] == split_at(text) and not uses_own:
            return pattern
    problems.append(f"pre_tokenizer splits by {shortened(before[0])}; known patterns: {', '.join(PATTERNS)}")
    return None


def is_byte_level(part: Any) -> TypeGuard[dict[str, Any]]:
    """Whether a part of the file is a well-formed ByteLevel."""
    if not isinstance(part, dict) or part.get("type") != "ByteLevel" or not part.keys() <= BYTE_LEVEL.keys():
        return False
    return all(isinstance(part.get(key, key == "use_regex" or None), bool) for key in BYTE_LEVEL if key != "type")


def read_added(part: Any, problems: list[str]) -> tuple[dict[str, int], dict[str, int]]:
    """Name → id of the added tokens: those marked as special, and the others."""
    found: tuple[dict[str, int], dict[str, int]] = ({}, {})
    if not isinstance(part, list):
        problems.append(f"added_tokens is {shortened(part)}; needed: a list")
        return found
    for place, token in enumerate(part):
        where = f"added_tokens[{place}]"
        if not isinstance(token, dict) or not isinstance(token.get("content"), str) or type(token.get("id")) is not int:
            problems.append(f"{where} is {shortened(token)}; needed: content and id")
            continue
        problems += unexpected(token, ADDED_TOKEN_MUST_BE, {*ADDED_TOKEN_MUST_BE, "id", "content"}, f"{where}.")
        if any(token["content"] in those for those in found):
            problems.append(f"two special tokens are called {token['content']!r}")
        found[0 if token.get("special") else 1][token["content"]] = token["id"]
    return found


def read_vocabulary(part: Any, special: Mapping[str, int], problems: list[str]) -> dict[str, int]:
    """Spelling → id of the tokens that are not special."""
    ordinary: dict[str, int] = {}
    if not isinstance(part, dict):
        problems.append(f"model.vocab is {shortened(part)}; needed: a table of tokens and ids")
        return ordinary
    wrong = []
    for spelling, token_id in part.items():
        if type(token_id) is not int:
            wrong.append(f"the token {spelling!r} has the id {token_id!r}; needed: a whole number")
        elif spelling not in special:
            ordinary[spelling] = token_id
        elif special[spelling] != token_id:
            wrong.append(f"the special token {spelling!r} has the ids {special[spelling]} and {token_id}")
    problems += capped(wrong)
    return ordinary


def read_merges(part: Any, ordinary: Mapping[str, int], problems: list[str], *, whole: bool = False) -> list[Pair]:
    """The merges as pairs of ids.

    whole: whether a chunk that is a token stays one, so that a token that no merge makes has its use.
    """
    if not isinstance(part, list):
        problems.append(f"model.merges is {shortened(part)}; needed: a list")
        return []
    merges: list[Pair] = []
    wrong: list[str] = []
    made: set[str] = set()
    for rank, merge in enumerate(part):
        pair = pair_of(merge)
        if pair is None:
            wrong.append(f"merge {rank} is {shortened(merge)}; needed: two tokens")
            continue
        unknown = [token for token in (*pair, pair[0] + pair[1]) if token not in ordinary]
        if unknown:
            wrong.append(f"merge {rank} {pair} needs the token {unknown[0]!r}, which is not in the vocabulary")
            continue
        made.add(pair[0] + pair[1])
        merges.append((ordinary[pair[0]], ordinary[pair[1]]))
    wrong += [f"the merge of {a} and {b} stands there {count} times" for (a, b), count in Counter(merges).items() if count > 1]
    problems += capped(wrong)
    if not wrong and not whole:
        orphans = [token for token in ordinary if len(token) > 1 and token not in made]
        problems += capped([f"no merge makes the token {token!r}" for token in orphans])
    return merges

"""`tokenizer.json`: the file format of the `tokenizers` library, written and read.

What linnet writes, `tokenizers` reads, and gives every text the same ids. How each kind says itself there:

    bpe    model BPE, split by the pattern as a Regex, then ByteLevel (which spells every byte as one character)
    byte   model BPE without merges, ByteLevel without a split
    char   model WordLevel, split at every character, <|unknown|> for the rest

`tokenizers` takes the names of special tokens in a text for the tokens, as `encode(text, allow_special=True)` does;
with its `encode_special_tokens = True` they are ordinary text, as for linnet.

Reading is strict: a file that asks for anything that linnet would not do (normalizing, truncating, another model,
tokens that no merge makes …) is refused with all reasons, because ids that are almost right ruin a model quietly.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, TypeGuard

from linnet.core.errors import TokenizerError, explain, listing
from linnet.tokenizer.base import END_OF_TEXT
from linnet.tokenizer.bpe import Pair
from linnet.tokenizer.bpe_tokenizer import BPETokenizer
from linnet.tokenizer.pretokenize import PATTERNS
from linnet.tokenizer.simple import UNKNOWN, ByteTokenizer, CharTokenizer
from linnet.tokenizer.spelling import unspell
from linnet.tokenizer.vocabulary import VocabularyTokenizer

SHOWN = 5  # problems of one sort that are listed one by one

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


def write_tokenizer(tokenizer: VocabularyTokenizer) -> str:
    """The content of `tokenizer.json`."""
    spelling = {token_id: tokenizer.spelling(token) for token, token_id in tokenizer.tokens.items()}
    pre_tokenizer: dict[str, Any]
    match tokenizer:
        case BPETokenizer():
            pre_tokenizer = {"type": "Sequence", "pretokenizers": [split_at(PATTERNS[tokenizer.pattern]), BYTE_LEVEL]}
            merges = [[spelling[a], spelling[b]] for a, b in tokenizer.merges]
            model = BPE_MODEL | {"ignore_merges": tokenizer.whole, "merges": merges}
        case ByteTokenizer():
            pre_tokenizer = BYTE_LEVEL
            model = BPE_MODEL | {"merges": []}
        case CharTokenizer():
            pre_tokenizer = split_at(ANY_CHARACTER)
            model = {"type": "WordLevel", "unk_token": UNKNOWN}
        case _:
            raise TypeError(f"{type(tokenizer).__name__} has no form in tokenizer.json")
    special = {token_id: name for name, token_id in tokenizer.special.items()}
    content = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [added_token(name, token_id) for token_id, name in sorted(special.items())],
        "normalizer": None,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": None,
        "decoder": {"type": "Fuse"} if isinstance(tokenizer, CharTokenizer) else BYTE_LEVEL,
        "model": model | {"vocab": {token: token_id for token_id, token in sorted((spelling | special).items())}},
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def added_token(name: str, token_id: int) -> dict[str, Any]:
    """One special token, as `tokenizers` writes it."""
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {"id": token_id, "content": name} | flags


# ── Reading ─────────────────────────────────────────────────────────────────────────────────────────────────────────

MUST_BE = {"version": ("1.0",), "truncation": (None,), "padding": (None,), "normalizer": (None,)}
TOP_LEVEL = {*MUST_BE, "added_tokens", "pre_tokenizer", "post_processor", "decoder", "model"}
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


def read_tokenizer(content: str, *, name: str) -> VocabularyTokenizer:
    """The tokenizer that the content of a `tokenizer.json` describes; `name` is what errors call the file.

    Takes what linnet writes, and a byte-level BPE of `tokenizers` with a known splitting pattern, <|endoftext|> and
    all 256 bytes. Added tokens that are not marked as special count as special tokens here: they are found in a
    text only with `allow_special`.

    Raises TokenizerError with everything that is in the way.
    """
    data = parse(content, name)
    problems = unexpected(data, MUST_BE, TOP_LEVEL, "")
    special = read_special(data.get("added_tokens"), problems)
    model = data.get("model")
    model_type = model.get("type") if isinstance(model, dict) else None
    if not isinstance(model, dict) or model_type not in ("BPE", "WordLevel"):
        problems.append(f"model is of type {model_type!r}; known: BPE, WordLevel")
        raise refusal(name, problems)
    ordinary = read_vocabulary(model.get("vocab"), special, problems)
    if problems:
        raise refusal(name, problems)
    try:
        read = read_char if model_type == "WordLevel" else read_bpe
        return read(data, model, ordinary, special)
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


def read_special(part: Any, problems: list[str]) -> dict[str, int]:
    """Name → id of the added tokens."""
    special: dict[str, int] = {}
    if not isinstance(part, list):
        problems.append(f"added_tokens is {shortened(part)}; needed: a list")
        return special
    for place, token in enumerate(part):
        where = f"added_tokens[{place}]"
        if not isinstance(token, dict) or not isinstance(token.get("content"), str) or type(token.get("id")) is not int:
            problems.append(f"{where} is {shortened(token)}; needed: content and id")
            continue
        problems += unexpected(token, ADDED_TOKEN_MUST_BE, {*ADDED_TOKEN_MUST_BE, "id", "content"}, f"{where}.")
        if token["content"] in special:
            problems.append(f"two special tokens are called {token['content']!r}")
        special[token["content"]] = token["id"]
    if END_OF_TEXT not in special:
        problems.append(explain(f"no special token {END_OF_TEXT!r}", need="one, to stand after every document"))
    return special


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
    """The merges as pairs of ids. Both ways of writing them are read: ["a", "b"] and "a b".

    whole: whether a chunk that is a token stays one, so that a token that no merge makes has its use.
    """
    if not isinstance(part, list):
        problems.append(f"model.merges is {shortened(part)}; needed: a list")
        return []
    merges: list[Pair] = []
    wrong: list[str] = []
    made: set[str] = set()
    for rank, merge in enumerate(part):
        pair = merge.split(" ") if isinstance(merge, str) else merge
        if not (isinstance(pair, list) and len(pair) == 2 and all(isinstance(side, str) for side in pair)):
            wrong.append(f"merge {rank} is {shortened(merge)}; needed: two tokens")
            continue
        unknown = [token for token in (*pair, pair[0] + pair[1]) if token not in ordinary]
        if unknown:
            wrong.append(f"merge {rank} {tuple(pair)} needs the token {unknown[0]!r}, which is not in the vocabulary")
            continue
        made.add(pair[0] + pair[1])
        merges.append((ordinary[pair[0]], ordinary[pair[1]]))
    wrong += [f"the merge of {a} and {b} stands there {count} times" for (a, b), count in Counter(merges).items() if count > 1]
    problems += capped(wrong)
    if not wrong and not whole:
        orphans = [token for token in ordinary if len(token) > 1 and token not in made]
        problems += capped([f"no merge makes the token {token!r}" for token in orphans])
    return merges


# ── Strictness ──────────────────────────────────────────────────────────────────────────────────────────────────────


def parse(content: str, name: str) -> dict[str, Any]:
    """A JSON object in which no key stands twice."""

    def unique(items: list[tuple[str, Any]]) -> dict[str, Any]:
        table = dict(items)
        if len(table) < len(items):
            twice = Counter(key for key, _ in items).most_common(1)[0][0]
            raise refusal(name, [f"the key {twice!r} stands twice in one table"])
        return table

    try:
        data = json.loads(content, object_pairs_hook=unique)
    except (json.JSONDecodeError, RecursionError) as error:
        raise TokenizerError(
            explain(f"{name} is not valid JSON ({error})", need="a tokenizer.json", hint="an undamaged copy of it")
        ) from error
    if not isinstance(data, dict):
        raise TokenizerError(explain(f"{name} holds {shortened(data)}", need="a tokenizer.json", hint="another file"))
    return data


def unexpected(table: Mapping[str, Any], must_be: Mapping[str, tuple[Any, ...]], known: set[str] | None, where: str) -> list[str]:
    """Problems of a table: keys that are not known (where `known` is given), values that linnet does not follow.

    A key that is missing counts as null, as it does for `tokenizers`.
    """
    problems = [f"{where}{key} is not known" for key in table if known is not None and key not in known]
    for key, allowed in must_be.items():
        if table.get(key) not in allowed:
            problems.append(f"{where}{key} is {shortened(table.get(key))}; needed: {' or '.join(map(shortened, allowed))}")
    return problems


def is_byte_level(part: Any) -> TypeGuard[dict[str, Any]]:
    """Whether a part of the file is a well-formed ByteLevel."""
    if not isinstance(part, dict) or part.get("type") != "ByteLevel" or not part.keys() <= BYTE_LEVEL.keys():
        return False
    return all(isinstance(part.get(key, key == "use_regex"), bool) for key in BYTE_LEVEL if key != "type")


def shortened(value: Any) -> str:
    """A value as JSON, cut to what fits a line."""
    text = json.dumps(value, ensure_ascii=False).encode("utf-8", errors="backslashreplace").decode("utf-8")
    return text if len(text) <= 120 else text[:117] + "..."


def capped(problems: Iterable[str]) -> list[str]:
    """The first few problems, and how many more there are."""
    found = list(problems)
    return found if len(found) <= SHOWN else [*found[:SHOWN], f"… and {len(found) - SHOWN} more like these"]


def refusal(name: str, problems: list[str]) -> TokenizerError:
    """The error that lists all problems of a file."""
    return TokenizerError(
        listing(problems, f"{name} is not a tokenizer that linnet can follow to the letter")
        + "\n  try: an undamaged copy of the file"
    )

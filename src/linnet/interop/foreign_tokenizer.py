"""The tokenizer of a Hugging Face folder, and what stands in its files beside: what begins a text, where writing stops, how a
conversation is written.

    tokenizer.json, or GPT-2's two files, or SentencePiece's model, or vocab.txt  ·  tokenizer_config.json  ·  generation_config.json
    chat_template.jinja
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from linnet.core.errors import CheckpointError, LinnetError, TokenizerError, explain
from linnet.core.files import read_json
from linnet.interop.chat_jinja import matching
from linnet.tokenizer.bpe_tokenizer import BPETokenizer
from linnet.tokenizer.chat import ChatTemplate
from linnet.tokenizer.load import content_of, load_tokenizer
from linnet.tokenizer.pieces import Piece, PieceTokenizer
from linnet.tokenizer.sentencepiece import load_sentencepiece, looks_like_sentencepiece
from linnet.tokenizer.simple import ByteTokenizer, CharTokenizer
from linnet.tokenizer.strict_json import shortened
from linnet.tokenizer.tokenizer_json import read_tokenizer
from linnet.tokenizer.vocabulary import TableTokenizer
from linnet.tokenizer.wordpiece import WordPieceTokenizer

MOST_PADDING = 1024  # rows of an embedding that no token has: more is another tokenizer's embedding
BEGINS_WITH_BOS = (
    "llama",
    "mistral",
    "mixtral",
)  # families whose SentencePiece models begin every text, where nothing says otherwise
NAMES = ("bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token", "mask_token")


@dataclass(frozen=True)
class Foreign:
    """What a folder says of text.

    begin      ids that stand before every text
    stop       ids at which writing stops, beside the tokenizer's own end
    template   how conversations are written, where linnet has one that writes them so
    jinja      the folder's template, where linnet has none
    notes      what is to be said of it
    """

    tokenizer: TableTokenizer
    begin: tuple[int, ...] = ()
    stop: tuple[int, ...] = ()
    template: ChatTemplate | None = None
    jinja: str | None = None
    notes: tuple[str, ...] = ()


def read_foreign(folder: Path, config: Mapping[str, Any]) -> Foreign:
    """All of it. Raises TokenizerError for a tokenizer that linnet cannot follow to the last id."""
    settings = table_of(folder / "tokenizer_config.json")
    notes: list[str] = []
    path = folder / "tokenizer.json"
    tokenizer: TableTokenizer
    begin: tuple[int, ...] | None = None
    if not path.is_file():
        if content_of(folder) is None:
            need = "tokenizer.json, tokenizer.model, vocab.txt, or GPT-2's vocab.json and merges.txt"
            raise TokenizerError(explain(f"{folder} has no tokenizer", need=need, hint="all files of the model, in one folder"))
        tokenizer = load_tokenizer(folder)
    else:
        try:
            tokenizer, begin = read_with_begin(path, notes)
        except TokenizerError as error:
            tokenizer = in_its_place(folder, error)
            notes.append(
                "tokenizer.json is not one that linnet follows: tokenizer.model, of the same tokens, is read in its place"
            )
    if begin is None:
        adds = settings.get("add_bos_token")
        if adds is None:
            adds = isinstance(tokenizer, PieceTokenizer) and config.get("model_type") in BEGINS_WITH_BOS
        name = str(plain_name(settings.get("bos_token")) or "<s>")
        begin = (tokenizer.special[name],) if adds and name in tokenizer.special else ()
    names = {key: token for key in NAMES if (token := plain_name(settings.get(key))) is not None}
    lacking = [f"{key} = {name!r}" for key, name in names.items() if not has_token(tokenizer, name)]
    if (folder / "added_tokens.json").is_file():
        added = table_of(folder / "added_tokens.json")
        lacking += [f"{name!r}, of added_tokens.json" for name in added if not has_token(tokenizer, name)]
    if lacking:
        got = f"{folder.name}/tokenizer_config.json names tokens that the tokenizer does not have: {', '.join(lacking)}"
        raise TokenizerError(explain(got, need="a token for each", hint="the tokenizer.json of this model"))
    source = template_source(folder, settings)
    found = matching(source, names=names, end=tokenizer.end) if source is not None else None
    if found is not None:
        try:
            found.check(tokenizer)
        except TokenizerError as error:
            notes.append(f"conversations: {error}")
            found = None
    if source is not None and found is None:
        notes.append("its chat template is none that linnet writes: kept as chat_template.jinja, and linnet chat is off")
    stop = stops_of(folder, config, tokenizer, notes)
    marks = found.marks(tokenizer) if found is not None else ()
    return Foreign(
        tokenizer,
        begin,
        tuple(token for token in stop if token not in marks),
        found,
        source if found is None else None,
        tuple(notes),
    )


def in_its_place(folder: Path, error: TokenizerError) -> TableTokenizer:
    """SentencePiece's model beside a tokenizer.json that was refused, where it has all of the tokens that this one adds; raises the
    error where there is none."""
    model = folder / "tokenizer.model"
    if not model.is_file() or not looks_like_sentencepiece(model):
        raise error
    tokenizer = load_sentencepiece(model)
    added = table_of(folder / "tokenizer.json").get("added_tokens")
    for each in added if isinstance(added, list) else [None]:
        name = each.get("content") if isinstance(each, dict) else None
        if tokenizer.special.get(str(name), tokenizer.ids.get(str(name), -1)) != (each or {}).get("id"):
            raise error
    return tokenizer


def table_of(path: Path) -> dict[str, Any]:
    """A JSON file's table; empty where there is no file. Raises CheckpointError where it is none."""
    if not path.is_file():
        return {}
    table = read_json(path, what="a JSON table", error=CheckpointError)
    if not isinstance(table, dict):
        raise CheckpointError(explain(f"{path} holds {shortened(table)}", need="a table"))
    return table


def plain_name(value: Any) -> str | None:
    """A special token's name, which stands there alone or in a table."""
    value = value.get("content") if isinstance(value, Mapping) else value
    return value if isinstance(value, str) else None


def has_token(tokenizer: TableTokenizer, name: str) -> bool:
    return name in tokenizer.special or name in getattr(tokenizer, "ids", ()) or name in getattr(tokenizer, "tokens", ())


def read_with_begin(path: Path, notes: list[str]) -> tuple[TableTokenizer, tuple[int, ...]]:
    """The tokenizer of a tokenizer.json, and what its post-processor puts before a text. How texts are cut and padded is left to
    who asks for it."""
    data = read_json(path, what="a tokenizer.json", error=TokenizerError)
    if not isinstance(data, dict):
        raise TokenizerError(explain(f"{path} holds {shortened(data)}", need="a table"))
    left = [key for key in ("truncation", "padding") if data.get(key) is not None]
    if left:
        notes.append(f"{' and '.join(left)} in tokenizer.json are not followed: texts are cut and padded where they are used")
        data |= dict.fromkeys(left)
    words = isinstance(data.get("model"), dict) and data["model"].get("type") == "WordPiece"
    begin = [] if words else begin_of(data.get("post_processor"), path)
    tokenizer = read_tokenizer(json.dumps(data if words else data | {"post_processor": None}), name=str(path))
    unknown = [name for name in begin if name not in tokenizer.special]
    if unknown:
        got = f"{path}: a text begins with {', '.join(map(repr, unknown))}"
        raise TokenizerError(explain(got, need="special tokens of this tokenizer"))
    return tokenizer, tuple(tokenizer.special[name] for name in begin)


def begin_of(part: Any, path: Path) -> list[str]:
    """Names of the special tokens that a post-processor puts before a text. Raises TokenizerError for one that does more."""
    kind = part.get("type") if isinstance(part, dict) else None
    if part is None or kind == "ByteLevel":
        return []
    if kind == "Sequence" and isinstance(part.get("processors"), list):
        return [name for each in part["processors"] for name in begin_of(each, path)]
    if kind == "TemplateProcessing" and isinstance(part.get("single"), list):
        single = [(key, value) for each in part["single"] if isinstance(each, dict) for key, value in each.items()]
        *before, last = single or [("", {})]
        if last[0] == "Sequence" and all(key == "SpecialToken" and isinstance(value, dict) for key, value in before):
            return [str(value.get("id")) for _, value in before]
    got = f"{path}: post_processor is {shortened(part)}"
    raise TokenizerError(explain(got, need="null, ByteLevel, or a template of special tokens before the text"))


def template_source(folder: Path, settings: Mapping[str, Any]) -> str | None:
    """The folder's chat template: a file of its own, or in tokenizer_config.json; of several, the one called default."""
    file = folder / "chat_template.jinja"
    try:
        if file.is_file():
            return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TokenizerError(explain(f"{file} cannot be read ({error})", need="text in UTF-8")) from error
    found = settings.get("chat_template")
    if isinstance(found, list):
        by_name = {each.get("name"): each.get("template") for each in found if isinstance(each, dict)}
        found = by_name.get("default")
    return found if isinstance(found, str) else None


def stops_of(folder: Path, config: Mapping[str, Any], tokenizer: TableTokenizer, notes: list[str]) -> tuple[int, ...]:
    """Where writing stops, by generation_config.json, else by config.json, beside the end of a document, which always is one."""
    table = table_of(folder / "generation_config.json")
    asked = table.get("eos_token_id", config.get("eos_token_id"))
    ids = asked if isinstance(asked, list) else [] if asked is None else [asked]
    strange = [each for each in ids if type(each) is not int or not 0 <= each < tokenizer.vocab_size]
    if strange:
        notes.append(f"writing should stop at {', '.join(map(str, strange))}, which no token has: left out")
    good = [each for each in ids if each not in strange]
    if good and tokenizer.end_id not in good:
        notes.append(f"writing stops at {tokenizer.end!r} too, which ends a document for this tokenizer")
    return tuple(dict.fromkeys(each for each in good if each != tokenizer.end_id))


def fitted(found: Foreign, rows: int) -> Foreign:
    """The same with a tokenizer of as many ids as an embedding has rows, which are often padded to a round number: rows that no token
    has become special tokens <|reserved_N|>, so that nothing of the weights is lost. Raises TokenizerError where that is not what
    they are."""
    size = found.tokenizer.vocab_size
    if size == rows:
        return found
    more = rows - size
    if more < 0 or rows % 8 or more > min(MOST_PADDING, size // 2):
        need = f"one id a row; rows to spare are taken where they pad to a multiple of 8, at most {MOST_PADDING:,} and half of the ids"
        got = f"a tokenizer of {size:,} ids beside an embedding of {rows:,} rows"
        raise TokenizerError(explain(got, need=need, hint="the tokenizer that these weights were trained with"))
    note = f"the last {more:,} rows of the embedding have no token: they are called <|reserved_{size}|> … <|reserved_{rows - 1}|>"
    return replace(found, tokenizer=widened(found.tokenizer, rows), notes=(*found.notes, note))


def widened(tokenizer: TableTokenizer, rows: int) -> TableTokenizer:
    """A tokenizer with special tokens for all ids up to `rows`; what ids ordinary text has does not change."""
    more = {f"<|reserved_{free}|>": free for free in range(tokenizer.vocab_size, rows)}
    special = {**tokenizer.special, **more}
    match tokenizer:
        case BPETokenizer():
            return BPETokenizer(
                tokenizer.tokens, tokenizer.merges, pattern=tokenizer.pattern, special=special, whole=tokenizer.whole
            )
        case ByteTokenizer():
            return ByteTokenizer(special)
        case CharTokenizer():
            return CharTokenizer(tokenizer.characters, special)
        case PieceTokenizer():
            pieces = [*tokenizer.pieces, *(Piece(name, 0.0, "control") for name in more)]
            return type(tokenizer)(pieces, tokenizer.normalizer, end=tokenizer.end_id)
        case WordPieceTokenizer():
            named = {f"[{name[2:-2]}]": token_id for name, token_id in more.items()}
            return WordPieceTokenizer({**tokenizer.tokens, **named}, lowercase=tokenizer.lowercase)
        case _:
            raise LinnetError(f"{type(tokenizer).__name__} cannot be widened")

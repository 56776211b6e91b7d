"""SentencePiece's model file: pieces, their scores, and how text is made ready for them.

A `tokenizer.model` is one protocol-buffer message (google/sentencepiece, src/sentencepiece_model.proto). Of it count:

    1 pieces            a message each: 1 text · 2 score · 3 kind
    2 trainer           3 unigram (1) or bpe (2) · 24 spaces as suffixes · 35 bytes for what no piece spells · 42 the end's id
    3 normalizer        2 the rules for characters · 3 a space in front · 4 spaces collapsed · 5 spaces as ▁
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

from linnet.core.errors import TokenizerError, explain
from linnet.tokenizer.normalize import Normalizer
from linnet.tokenizer.pieces import PairPieces, Piece, PieceTokenizer, UnigramPieces

KINDS = {1: "normal", 2: "unknown", 3: "control", 4: "user", 5: "unused", 6: "byte"}
MODELS: dict[int, type[PieceTokenizer]] = {1: UnigramPieces, 2: PairPieces}

Value = int | float | bytes


def looks_like_sentencepiece(path: Path) -> bool:
    """Whether a file begins as one of SentencePiece's does: with its first piece."""
    with open(path, "rb") as handle:
        return handle.read(1) == b"\x0a"


def load_sentencepiece(path: Path | str) -> PieceTokenizer:
    """The tokenizer of a SentencePiece model.

    Raises TokenizerError where the file is cut or is none, and for what is not followed: words and characters as models, spaces
    that end pieces.
    """
    path = Path(path)
    try:
        return read_model(path.read_bytes())
    except TokenizerError as error:
        raise TokenizerError(f"{path}: {error}") from error
    except (OSError, ValueError, struct.error) as error:
        raise TokenizerError(
            explain(f"{path} cannot be read ({error})", need="a model of SentencePiece", hint="an undamaged copy of it")
        ) from error


def read_model(data: bytes) -> PieceTokenizer:
    """The tokenizer that the content of a model file describes. Raises ValueError for what it cannot read, TokenizerError for
    what it does not follow."""
    pieces: list[Piece] = []
    trainer: dict[int, Value] | None = None
    normalizer: dict[int, Value] | None = None
    for field, value in fields(data):
        if field == 1:
            pieces.append(read_piece(message(value), len(pieces)))
        elif field == 2:
            trainer = dict(fields(message(value)))
        elif field == 3:
            normalizer = dict(fields(message(value)))
    if trainer is None or normalizer is None:
        raise ValueError("it ends before it says how it was trained and how text is made ready")
    kind = trainer.get(3, 1)
    if kind not in MODELS:
        raise TokenizerError(explain(f"a model of kind {kind!r}", need="1 (unigram) or 2 (bpe)", hint="a byte or char tokenizer"))
    if trainer.get(24) or not normalizer.get(5, 1):
        raise TokenizerError(
            explain("spaces at the end of pieces, or not in them", need="▁ in front of them", hint="another model")
        )
    if not pieces:
        raise ValueError("no pieces")
    rules = normalizer.get(2, b"")
    ready = Normalizer(message(rules), in_front=bool(normalizer.get(3, 1)), collapse=bool(normalizer.get(4, 1)))
    end = trainer.get(42, 2)
    return MODELS[int(kind)](pieces, ready, end=int(end))


def read_piece(data: bytes, place: int) -> Piece:
    found = dict(fields(data))
    kind = KINDS.get(int(found.get(3, 1)))
    score = found.get(2, 0.0)
    if kind is None or not isinstance(score, float):
        raise ValueError(f"piece {place} is of kind {found.get(3)!r} with the score {score!r}")
    return Piece(message(found.get(1, b"")).decode("utf-8"), score, kind)


def message(value: Value) -> bytes:
    if not isinstance(value, bytes):
        raise ValueError(f"{value!r} where a text or message should be")
    return value


def fields(data: bytes) -> Iterator[tuple[int, Value]]:
    """The fields of a message, each with its number: https://protobuf.dev/programming-guides/encoding."""
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            if at >= len(data) or shift > 63:
                raise ValueError(f"it ends or is damaged at byte {at}")
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value if value < 1 << 63 else value - (1 << 64)
            shift += 7

    while at < len(data):
        key = varint()
        number, wire = key >> 3, key & 7
        if wire == 0:
            yield number, varint()
            continue
        size = {1: 8, 5: 4}.get(wire) if wire != 2 else varint()
        if size is None or number < 1 or not 0 <= size <= len(data) - at:
            raise ValueError(f"it ends or is damaged at byte {at}")
        part = data[at : at + size]
        at += size
        yield number, part if wire == 2 else struct.unpack("<f" if size == 4 else "<d", part)[0]

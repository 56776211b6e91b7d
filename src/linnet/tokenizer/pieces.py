"""Tokenizers over scored pieces of text, as SentencePiece makes them: BPE over characters (1508.07909) and unigram (1804.10959).

    "Hello world" → ▁Hello▁world → ▁Hell o ▁world → ids

Text is made ready first (normalize.py), so that a space is a part of the word behind it. What no piece spells is written in bytes,
where the model has pieces for these, or is `<unk>`. Decoding gives the text as it was made ready.

    BPE        of two neighbours that make a piece, those whose piece has the best score become it; again, until none do
    unigram    the cut of the text whose pieces' scores, their log-probabilities, have the largest sum (Viterbi)
"""

from __future__ import annotations

import heapq
from abc import abstractmethod
from collections.abc import Callable, Container, Iterator, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import regex

from linnet.core.errors import TokenizerError, explain, listing
from linnet.tokenizer.base import ENDS
from linnet.tokenizer.bpe_tokenizer import remember
from linnet.tokenizer.normalize import SPACE, Normalizer
from linnet.tokenizer.strict_json import capped
from linnet.tokenizer.vocabulary import TableTokenizer, is_name

REPLACEMENT = "\N{REPLACEMENT CHARACTER}".encode()  # what an unknown piece is read back as
UNKNOWN_PENALTY = 10.0  # below the worst score: that of a character that no piece spells, in a unigram model


class Piece(NamedTuple):
    """kind: normal, unknown, control, user (found before anything else), unused (only on the way to others) or byte (<0x41>)."""

    text: str
    score: float
    kind: str


class PieceTokenizer(TableTokenizer):
    """Pieces in the order of their ids, and how text is made ready for them.

    end    the id of the piece that ends a document: a control piece
    ids    of the pieces that text is written in, but for bytes
    user   those of them that are found before anything else is done with a text

    Raises TokenizerError, with all problems, for pieces that no text can be written in.
    """

    exact = False  # text is made ready first

    def __init__(self, pieces: Sequence[Piece], normalizer: Normalizer, *, end: int) -> None:
        special = {piece.text: i for i, piece in enumerate(pieces) if piece.kind in ("control", "unknown")}
        check_pieces(pieces, end)
        super().__init__([piece_bytes(piece) for piece in pieces], special, pieces[end].text)
        self.pieces = tuple(pieces)
        self.normalizer = normalizer
        self.ids = {piece.text: i for i, piece in enumerate(pieces) if piece.kind in ("normal", "user", "unused")}
        self._unused = frozenset(piece.text for piece in pieces if piece.kind == "unused")
        self.user = frozenset(piece.text for piece in pieces if piece.kind == "user")
        self._unknown = next(i for i, piece in enumerate(pieces) if piece.kind == "unknown")
        byte_ids = {piece.text: i for i, piece in enumerate(pieces) if piece.kind == "byte"}
        self._byte_ids = [byte_ids[f"<0x{byte:02X}>"] for byte in range(256)] if byte_ids else None
        self._cache: dict[str, list[int]] = {}

    def encode_ordinary(self, text: str) -> list[int]:
        ids: list[int] = []
        for chunk in self._chunks(self.normalizer(text, self.user)):
            known = self._cache.get(chunk)
            ids += known if known is not None else remember(self._cache, chunk, self._ids_of(chunk))
        if self._byte_ids is None:  # neighbours without ids become one
            ids = [token for i, token in enumerate(ids) if token != self._unknown or i == 0 or ids[i - 1] != token]
        return ids

    def _ids_of(self, chunk: str) -> list[int]:
        return [token for piece in self.cut(chunk) for token in self._written(piece)]

    def _written(self, piece: str) -> list[int]:
        token = self.ids.get(piece)
        if token is not None:
            return [token]
        return [self._unknown] if self._byte_ids is None else [self._byte_ids[byte] for byte in piece.encode("utf-8")]

    @abstractmethod
    def cut(self, text: str) -> list[str]:
        """A text that was made ready, in pieces; a character that no piece spells is one by itself."""

    @cached_property
    def _chunks(self) -> Callable[[str], list[str]]:
        """Cuts a text where no piece can lie across: before spaces, if a space only ever begins a piece."""
        across = any(SPACE in text.lstrip(SPACE) for text in self.ids)
        return (lambda text: [text] if text else []) if across else regex.compile(f"{SPACE}+[^{SPACE}]*|[^{SPACE}]+").findall

    @cached_property
    def _symbols(self) -> Callable[[str], list[str]]:
        """A text in characters and the user's pieces, the longest first."""
        user = sorted(self.user, key=lambda piece: (-len(piece), piece))
        return regex.compile("|".join([*map(regex.escape, user), "."]), regex.DOTALL).findall

    def decode_bytes(self, ids: Sequence[int]) -> bytes:
        """The text without the space in front that `encode` gave it."""
        data = self._joined(ids)
        return data[1:] if self.normalizer.in_front and data[:1] == b" " else data

    def content(self) -> dict[str, Any]:
        ready = self.normalizer
        return {
            "kind": self.kind,
            "pieces": [[piece.text, score, piece.kind] for piece, score in zip(self.pieces, self.order(), strict=True)],
            "ready": [ready.rules.hex(), ready.in_front, ready.collapse],
            "end": self.end,
        }

    def order(self) -> Sequence[float]:
        """What of the scores decides the ids."""
        return [piece.score for piece in self.pieces]


class PairPieces(PieceTokenizer):
    """BPE: neighbours become a piece, that with the best score first, of equal ones that of the lower id."""

    kind = "pieces-bpe"

    def __init__(self, pieces: Sequence[Piece], normalizer: Normalizer, *, end: int) -> None:
        super().__init__(pieces, normalizer, end=end)
        made = [text for text in self.ids if any(True for _ in cuts(text, self.ids, characters=True))]
        by_score = sorted(made, key=lambda text: (-self.pieces[self.ids[text]].score, self.ids[text]))
        self.ranks = {text: rank for rank, text in enumerate(by_score)}  # of those that two others make

    def cut(self, text: str) -> list[str]:
        symbols: list[str] = self._symbols(text)
        left, right = list(range(-1, len(symbols) - 1)), [*range(1, len(symbols)), -1]
        made: dict[str, tuple[str, str]] = {}  # unused pieces, and of what they were made
        waiting: list[tuple[int, int, int, int]] = []  # rank, left place, right place, characters

        def offer(a: int, b: int) -> None:
            if a < 0 or b < 0 or symbols[a] in self.user or symbols[b] in self.user:
                return
            joined = symbols[a] + symbols[b]
            if joined in self.ranks:
                heapq.heappush(waiting, (self.ranks[joined], a, b, len(joined)))
                if joined in self._unused:
                    made[joined] = (symbols[a], symbols[b])

        for place in range(1, len(symbols)):
            offer(place - 1, place)
        while waiting:
            _, a, b, length = heapq.heappop(waiting)
            if not symbols[a] or not symbols[b] or len(symbols[a]) + len(symbols[b]) != length:
                continue  # one of them has become something else
            symbols[a], symbols[b] = symbols[a] + symbols[b], ""
            right[a] = right[b]
            if right[b] >= 0:
                left[right[b]] = a
            offer(left[a], a)
            offer(a, right[a])
        return [piece for symbol in symbols if symbol for piece in unmade(symbol, made)]

    def order(self) -> Sequence[float]:
        return [self.ranks.get(piece.text, -1) for piece in self.pieces]


def cuts(text: str, known: Container[str], *, characters: bool = False) -> Iterator[tuple[str, str]]:
    """All ways to cut a piece into two that are known; with `characters` every single one is."""
    for place in range(1, len(text)):
        a, b = text[:place], text[place:]
        if all(part in known or (characters and len(part) == 1) for part in (a, b)):
            yield a, b


def unmade(symbol: str, made: dict[str, tuple[str, str]]) -> Iterator[str]:
    """An unused piece in the pieces that it was made of."""
    if symbol not in made:
        yield symbol
        return
    for part in made[symbol]:
        yield from unmade(part, made)


class UnigramPieces(PieceTokenizer):
    """Unigram: the likeliest cut. A user's piece counts a tenth less than so many bytes of the best score."""

    kind = "pieces-unigram"

    def __init__(self, pieces: Sequence[Piece], normalizer: Normalizer, *, end: int) -> None:
        super().__init__(pieces, normalizer, end=end)
        normal = [piece.score for piece in pieces if piece.kind == "normal"]
        best, worst = max(normal, default=0.0), min(normal, default=0.0)
        self._unknown_score = worst - UNKNOWN_PENALTY
        self._scores = {piece.text: piece.score for piece in pieces if piece.kind == "normal"}
        self._scores |= {text: len(text.encode("utf-8")) * best - 0.1 for text in self.user}
        self._longest = max(map(len, self._scores), default=1)

    def cut(self, text: str) -> list[str]:
        n = len(text)
        best = [0.0, *[float("-inf")] * n]  # the largest sum of scores up to each place
        begin = [0] * (n + 1)  # of the last piece on the way there
        for at in range(n):
            here = best[at]
            if text[at] not in self._scores and best[at + 1] < here + self._unknown_score:
                best[at + 1], begin[at + 1] = here + self._unknown_score, at
            for stop in range(at + 1, min(n, at + self._longest) + 1):
                score = self._scores.get(text[at:stop])
                if score is not None and best[stop] < here + score:
                    best[stop], begin[stop] = here + score, at
        pieces = []
        while n > 0:
            pieces.append(text[begin[n] : n])
            n = begin[n]
        return pieces[::-1]


def piece_bytes(piece: Piece) -> bytes:
    """What a piece is read back as."""
    if piece.kind == "unknown":
        return REPLACEMENT
    if piece.kind == "byte":
        return bytes([int(piece.text[3:5], 16)])
    text = piece.text if piece.kind == "control" else piece.text.replace(SPACE, " ")
    return text.encode("utf-8")


def check_pieces(pieces: Sequence[Piece], end: int) -> None:
    """Refuse pieces that stand twice, are empty, or lack what every text may need."""
    problems = [f"piece {i} is empty, or no text" for i, piece in enumerate(pieces) if not is_name(piece.text)]
    first: dict[str, int] = {}
    problems += [
        f"pieces {first[piece.text]} and {i} are both {piece.text!r}"
        for i, piece in enumerate(pieces)
        if first.setdefault(piece.text, i) != i
    ]
    unknown = sum(piece.kind == "unknown" for piece in pieces)
    if unknown != 1:
        problems.append(f"{unknown} pieces for what is unknown; needed: one")
    written = [piece.text for piece in pieces if piece.kind == "byte"]
    if written and sorted(written) != [f"<0x{byte:02X}>" for byte in range(256)]:
        problems.append(f"{len(written)} pieces for bytes; needed: <0x00> to <0xFF>, or none")
    if not 0 <= end < len(pieces) or pieces[end].kind != "control":
        problems.append(f"no control piece that ends a document at id {end}")
    elif pieces[end].text not in ENDS:
        problems.append(explain(f"a document's end called {pieces[end].text!r}", need=f"one of {', '.join(ENDS)}"))
    if problems:
        raise TokenizerError(listing(capped(problems), "these are no pieces that text can be written in"))

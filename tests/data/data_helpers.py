"""What the data tests share: a tiny byte tokenizer, small corpora, where the real data sets are."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from linnet.core.files import write_text
from linnet.core.spec import load
from linnet.data import files, spool
from linnet.data.grams import words_of
from linnet.data.prepare import prepare
from linnet.data.prepared import Prepared
from linnet.data.sources import Source
from linnet.data.spec import DataSpec
from linnet.tokenizer.base import END_OF_TEXT, Tokenizer


class ByteTokenizer(Tokenizer):
    """One id a byte, in an order of its own; 256 ends a document. `vocab` can be widened to force uint32."""

    def __init__(self, turn: int = 0, vocab: int = 257) -> None:
        self.turn, self.vocab = turn, vocab
        self.special = {END_OF_TEXT: 256}

    @property
    def vocab_size(self) -> int:
        return self.vocab

    def encode(self, text: str, *, special: str = "text") -> list[int]:
        return [(byte + self.turn) % 256 for byte in text.encode("utf-8")]

    def decode_bytes(self, ids: Sequence[int]) -> bytes:
        return b"".join(self.token_bytes(token) for token in ids)

    def token_bytes(self, token: int) -> bytes:
        return END_OF_TEXT.encode() if token == 256 else bytes([(token - self.turn) % 256]) if token < 256 else b"?"

    def to_json(self) -> str:
        return json.dumps({"turn": self.turn, "vocab": self.vocab})

    def save(self, path: Path) -> None:
        write_text(path, self.to_json())

    @classmethod
    def load(cls, path: Path) -> ByteTokenizer:
        return cls(**json.loads(path.read_text()))

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(self.to_json().encode()).hexdigest()


def shared(name: str) -> Path:
    """A file of the real data sets, beside the repository or one level up; the test is skipped where it is absent."""
    root = Path(__file__).resolve().parents[2]
    for parent in (root.parent, root.parent.parent):
        if (parent / "shared" / "data" / name).exists():
            return parent / "shared" / "data" / name
    pytest.skip(f"the data set shared/data/{name} is not here")


def spec_of(*sources: dict[str, object], **options: object) -> DataSpec:
    """A data spec through the strict door."""
    return load(DataSpec, {"sources": list(sources), **options}, path="data")


@contextmanager
def small_parts() -> Iterator[None]:
    """Parts, and so shards, of a few documents."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spool, "PART", 300)
        patch.setattr(files, "BATCH", 10)
        yield


def by_portions(source: Source) -> list[str]:
    """The texts of a source, read a portion at a time."""
    return [text.decode() for portion in source.portions() for batch in source.texts(portion.what) for text in batch]


def prepared_texts(tmp_path: Path, *corpora: Iterable[str], weights: Sequence[float] = (), **options: object) -> Prepared:
    """Some lists of texts, one a source, prepared with the byte tokenizer."""
    sources: list[dict[str, object]] = []
    for number, texts in enumerate(corpora):
        file = tmp_path / f"corpus{number}.jsonl"
        file.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
        sources.append({"kind": "files", "path": str(file), "weight": float(weights[number]) if weights else 1.0})
    return prepare(spec_of(*sources, **options), ByteTokenizer(), tmp_path / "prepared")


def overlaps_by_hand(evaluation: list[str], documents: list[str], n: int, shortest: int) -> list[int]:
    """Places in each document where a tuple of an evaluation text's words stands."""
    shortest = min(shortest, n)
    inside: set[tuple[str, ...]] = set()
    alone: set[tuple[str, ...]] = set()
    for text in evaluation:
        words = tuple(words_of(text))
        if len(words) >= n:
            inside |= {words[i : i + n] for i in range(len(words) - n + 1)}
        elif len(words) >= shortest:
            inside.add(words)
        elif words:
            alone.add(words)
    found = []
    for text in documents:
        words = tuple(words_of(text))
        places = [words[i : i + k] in inside for k in range(1, n + 1) for i in range(len(words) - k + 1)]
        found.append(sum(places) + (words in alone))
    return found

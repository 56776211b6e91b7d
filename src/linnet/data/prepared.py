"""A prepared corpus: the folder that `prepare` makes, opened.

Opening maps files and checks sizes; it reads no tokens. The tokenizer is checked by fingerprint, for tokens mean
nothing under another one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from linnet.core.errors import DataError, TokenizerError, explain
from linnet.core.files import read_json
from linnet.core.spec import dump, load
from linnet.data.card import DataCard
from linnet.data.shards import Split, Stream, document_ids, open_splits, read_index
from linnet.data.spec import DataSpec
from linnet.tokenizer.base import Tokenizer
from linnet.tokenizer.load import FILE_NAME, load_tokenizer

DRAWING = ("prepared", "document_mask", "rows")  # fields of a spec that say how tokens are drawn, not which ones there are


@dataclass(frozen=True, eq=False)
class Prepared:
    """A corpus as tokens, with the tokenizer that made them.

    Text is had by decoding tokens, not by keeping a copy: it costs no disk, and it is what the model is shown, byte
    for byte: `prepare` has checked that every document's ids stand for as many bytes as its text has. (Only a
    tokenizer with a closed vocabulary gives something else for what is unknown to it; the card counts how often.)

    recipe   how the tokenizer was trained, its spec as JSON; "" for one that was there before
    """

    folder: Path
    fingerprint: str
    tokenizer: Tokenizer
    spec: DataSpec
    card: DataCard
    recipe: str
    train: Split
    validation: Split
    reused: bool

    def drawn_by(self, spec: DataSpec) -> Prepared:
        """The same tokens, drawn as another spec says."""
        return replace(self, spec=self.spec.replace(**{name: getattr(spec, name) for name in DRAWING}))

    def validation_text(self) -> bytes:
        """All validation text, documents joined with nothing between; as long as `validation.bytes`."""
        return b"".join(text for stream in self.validation.streams for text in self.texts(stream))

    def train_text(self, limit: int | None = None) -> bytes:
        """The first `limit` bytes of training text; of several sources, each gives its share by size."""
        if limit is None or limit >= self.train.bytes:
            return b"".join(text for stream in self.train.streams for text in self.texts(stream))
        sizes = _shares([stream.bytes for stream in self.train.streams], limit)
        return b"".join(_first_bytes(self.texts(stream), size) for stream, size in zip(self.train.streams, sizes))

    def some_tokens(self, split: Split, limit: int) -> NDArray[np.int64]:
        """The first `limit` tokens of a split (N,); of several sources, each gives its share by size."""
        sizes = _shares([stream.tokens for stream in split.streams], min(limit, split.tokens))
        return np.concatenate([stream.read(0, size) for stream, size in zip(split.streams, sizes)]).astype(np.int64)

    def some_learned(self, split: Split, limit: int) -> NDArray[np.bool_]:
        """Which of those are learned (N,)."""
        sizes = _shares([stream.tokens for stream in split.streams], min(limit, split.tokens))
        return np.concatenate([stream.learned(0, size) for stream, size in zip(split.streams, sizes)])

    @cached_property
    def markup(self) -> NDArray[np.int64]:
        """The ids that are no text: the end token, and the special tokens of the template in which conversations are written."""
        template = self.spec.template
        names = template.special_names() if template is not None else ()
        return np.array([self.train.end_id, *(self.tokenizer.special[name] for name in names)])

    def text_of(self, tokens: NDArray[Any]) -> bytes:
        """The text of some tokens, without end tokens and special tokens of a template."""
        return self.tokenizer.decode_bytes(tokens[~np.isin(tokens, self.markup)].tolist())

    def texts(self, stream: Stream) -> Iterator[bytes]:
        """The text of each document of a stream, without its end token; of a conversation all but special tokens."""
        for ids in document_ids(stream):
            if stream.masks:
                yield self.text_of(ids)
            else:
                yield self.tokenizer.decode_bytes((ids[:-1] if ids[-1] == self.train.end_id else ids).tolist())

    def learned_texts(self, stream: Stream) -> Iterator[bytes]:
        """What is learned of the text of each document: all of it, or the turns of some roles one after the other, a line each."""
        if not stream.masks:
            yield from self.texts(stream)
            return
        for start, stop in pairwise(stream.starts.tolist()):
            ids, learned = stream.read(start, stop), stream.learned(start, stop)
            borders = np.flatnonzero(np.diff(learned, prepend=False, append=False))  # where turns begin and end, in turn
            yield b"\n".join(self.text_of(ids[first:last]) for first, last in borders.reshape(-1, 2).tolist())


def _shares(sizes: list[int], limit: int) -> list[int]:
    """`limit` dealt out in proportion to some sizes, to the last one."""
    ends = np.cumsum(sizes) * limit // max(1, sum(sizes))
    return [int(share) for share in np.diff(ends, prepend=0)]


def _first_bytes(texts: Iterable[bytes], limit: int) -> bytes:
    parts, size = [], 0
    for text in texts:
        if size >= limit:
            break
        parts.append(text[: limit - size])
        size += len(parts[-1])
    return b"".join(parts)


def content_of(spec: DataSpec) -> dict[str, Any]:
    """What a spec says that decides the tokens, as plain data."""
    return {name: value for name, value in dump(spec).items() if name not in DRAWING}


def is_prepared(folder: Path) -> bool:
    """Whether `linnet prepare` made it."""
    return any((file.parent / "card.json").is_file() for at in ("", "*/") for file in folder.glob(f"{at}index.json"))


def places_of(folder: Path, file: str) -> list[Path]:
    """Where a file of prepared data stands: in the folder given, in folders of it, in those of a run."""
    return sorted(found.parent for at in ("", "*/", "data/*/") for found in folder.glob(f"{at}{file}"))


def prepared_place(folder: Path) -> Path:
    """The folder with index.json: the one given, the only one in it, or that of a run. Raises DataError."""
    places = places_of(folder, "index.json")
    if len(places) == 1:
        return places[0]
    if not places:
        raise DataError(
            explain(
                f"{folder} holds no index.json", need="a folder that linnet prepare made, or a run's", hint="linnet prepare TEXT"
            )
        )
    newest = sorted(places, key=lambda place: (place / "index.json").stat().st_mtime, reverse=True)
    several = "; ".join(f"{place} ({known_by(place)})" for place in newest[:3])
    raise DataError(explain(f"{folder} holds {len(places)} prepared folders: {several}", need="one of them", hint=str(newest[0])))


def known_by(place: Path) -> str:
    """What a person knows a prepared folder by: when it was made, its size, its vocabulary."""
    made = datetime.fromtimestamp((place / "index.json").stat().st_mtime)
    if not (place / "card.json").is_file():
        return f"{made:%d %b %H:%M}"
    card = read_card(place / "card.json")
    return f"{made:%d %b %H:%M}, {sum(card.bytes.values()):,} bytes, {card.vocab_size:,} ids"


def read_card(file: Path) -> DataCard:
    """A data card. Raises DataError."""
    return DataCard.from_json(read_json(file, what="the data card of a prepared folder", error=DataError), str(file))


def find_card(folder: Path) -> tuple[Path, DataCard]:
    """The prepared folder in a run, or the one given, and its card. Raises DataError where there is none, or several."""
    places = places_of(folder, "card.json")
    if not places and (folder / "data_card.json").is_file():  # of a run whose tokens lie elsewhere
        return folder, read_card(folder / "data_card.json")
    if len(places) != 1:
        several = ", ".join(map(str, places[:3]))
        raise DataError(
            explain(
                f"{folder} holds {several or 'no card.json'}",
                need="a run folder or one of prepared data",
                hint="naming one of them",
            )
        )
    return places[0], read_card(places[0] / "card.json")


def open_named(spec: DataSpec) -> Prepared:
    """The tokens that `spec.prepared` names. Raises DataError where they were made of something else than the spec says.

    A field that stands at its default says nothing: `{prepared: FOLDER}` alone is enough.
    """
    assert spec.prepared is not None
    place = prepared_place(Path(spec.prepared).expanduser())
    prepared = open_prepared(place, load_tokenizer(place / FILE_NAME))
    defaults, said, made = content_of(load(DataSpec, {"prepared": ""})), content_of(spec), content_of(prepared.spec)
    wrong = [name for name in said if said[name] not in (defaults[name], made[name])]
    if wrong:
        raise DataError(
            explain(
                f"other {', '.join(wrong)} in data: than {place} was prepared with",
                need="the same, or nothing but data.prepared",
                hint="linnet prepare with this run file, or leaving them out",
            )
        )
    return prepared.drawn_by(spec)


def open_prepared(folder: Path, tokenizer: Tokenizer, *, verify: bool = False) -> Prepared:
    """Open one prepared folder (the one with index.json in it). `verify` compares every file's SHA-256.

    Raises DataError for a missing, cut or changed file, TokenizerError if the tokens are not this tokenizer's.
    """
    return open_folder(Path(folder), tokenizer, reused=True, verify=verify)


def open_folder(folder: Path, tokenizer: Tokenizer, *, reused: bool, verify: bool = False) -> Prepared:
    """The same; `reused` is what the result says of itself."""
    index = read_index(folder)
    if tokenizer.fingerprint != index["tokenizer"]:
        raise TokenizerError(
            explain(
                f"the tokenizer {tokenizer.fingerprint[:16]}… for {folder}, encoded with {index['tokenizer'][:16]}…",
                need="the tokenizer that encoded the data",
                hint=f"{folder / 'tokenizer.json'}, or preparing the data anew",
            )
        )
    splits = open_splits(folder, index, verify=verify)
    card = read_card(folder / "card.json")
    spec = load(DataSpec, index["spec"], name=f"{folder}/index.json")
    return Prepared(
        folder, index["fingerprint"], tokenizer, spec, card, index["recipe"], splits["train"], splits["validation"], reused
    )

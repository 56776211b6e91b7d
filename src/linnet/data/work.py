"""The pieces of work that preparing is made of, each of which any process can do by itself:

    read     a portion of a source, cleaned, into parts of a spool
    mark     a part of a spool, where near copies or overlaps are looked for
    encode   a part of a spool into shards, and masks where not everything is learned

A unit of work is a few plain JSON values, what comes of it is told as events, also plain JSON: `{"bytes": how far}`,
`{"part": …}`, `{"shards": …}`. Everything else that a unit needs lies in the folder where all work is done.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from linnet.core.errors import DataError, explain
from linnet.core.spec import dump, load
from linnet.data.clean import NotUtf8
from linnet.data.close import Closing
from linnet.data.contamination import NGrams
from linnet.data.encode import Cut, encode_part
from linnet.data.look import Texts
from linnet.data.mark import mark_part
from linnet.data.spec import DataSpec
from linnet.data.spool import Part, as_it_was, write_parts
from linnet.tokenizer.base import Tokenizer
from linnet.tokenizer.load import FILE_NAME, load_tokenizer

Event = dict[str, Any]
Unit = dict[str, Any]


@dataclasses.dataclass
class Work:
    """What every process knows.

    folder      where all work is done: spool/, built/, tokenizer.json
    n_threads   that one unit may take; None: all cores
    tokenizer   if it is at hand; else it is read from the folder
    """

    spec: DataSpec
    seed: int
    folder: Path
    n_threads: int | None = None
    tokenizer: Tokenizer | None = None

    @property
    def spool(self) -> Path:
        """Where read text lies."""
        return self.folder / "spool"

    @property
    def built(self) -> Path:
        """What is to become the prepared folder."""
        return self.folder / "built"

    @cached_property
    def names(self) -> list[str]:
        """Of the sources."""
        return self.spec.names()

    @cached_property
    def closing(self) -> Closing:
        """The tokenizer, and what its ids are closed with."""
        return Closing(self.tokenizer or load_tokenizer(self.folder / FILE_NAME))

    def warm(self) -> None:
        """Make now what the first text would make, for copies of this process."""
        self.closing.tokenizer.encode_joined(b"", np.empty(0, np.uint64))

    @cached_property
    def against(self) -> list[NGrams]:
        """What is looked for in documents."""
        return [each.grams() for each in self.spec.against]

    def to_json(self) -> dict[str, Any]:
        """For another process, which takes one core."""
        return {"spec": dump(self.spec), "seed": self.seed, "folder": str(self.folder.absolute())}

    @classmethod
    def from_json(cls, said: dict[str, Any]) -> Work:
        return cls(load(DataSpec, said["spec"]), said["seed"], Path(said["folder"]), n_threads=1)

    def texts(self, source: int, part: Part) -> Iterator[Texts]:
        """The documents of a part of a source, from where they lie. Raises DataError where they are others than they were."""
        if part.left is None:
            return part.texts(self.spool)
        return part.texts_again(self.spec.sources[source].texts(part.left, seed=self.seed), self.spool)

    def do(self, unit: Unit) -> Iterator[Event]:
        """A unit of work."""
        return {"read": self.read, "mark": self.mark, "encode": self.encode}[unit["do"]](unit)

    def read(self, unit: Unit) -> Iterator[Event]:
        """source, portion: their numbers; what: the portion; again: whether that can be read again; done: its parts that were read before."""
        source = self.spec.sources[unit["source"]]
        name = f"{self.names[unit['source']]}.{unit['portion']:05d}"
        done = [Part(**part) for part in unit["done"]]
        try:
            texts = source.texts(unit["what"], seed=self.seed)
            left = unit["what"] if unit["again"] else None
            for event in write_parts(name, texts, self.spec.clean, self.spool, done=done, cleaned=source.cleaned, left=left):
                yield {"part": dataclasses.asdict(event)} if isinstance(event, Part) else {"bytes": event}
        except NotUtf8 as error:
            source.refuse(unit["what"])
            raise DataError(explain(f"a text of {name} is not UTF-8", need="valid Unicode")) from error

    def mark(self, unit: Unit) -> Iterator[Event]:
        """source: its number; part: its description."""
        part = Part(**unit["part"])
        texts, said = self.texts(unit["source"], part), self.spec.sources[unit["source"]].said
        with as_it_was():
            for done in mark_part(part.name, texts, self.spec.near, self.against, self.spool, said):
                yield {"bytes": done}

    def encode(self, unit: Unit) -> Iterator[Event]:
        """part: its description; first: the number of its first document in the source; cut: where one is divided; name: of the shards."""
        part = Part(**unit["part"])
        sides = np.fromfile(self.spool / f"{unit['source']}.sides", np.uint8, part.documents, offset=unit["first"])
        cut = Cut(*unit["cut"]) if unit["cut"] else None
        encoder = self.spec.sources[unit["source"]].encoder(self.closing)
        texts = self.texts(unit["source"], part)
        with as_it_was():
            for event in encode_part(texts, sides, cut, encoder, self.spool, self.built, unit["name"], n_threads=self.n_threads):
                yield {"bytes": event} if isinstance(event, int) else {"shards": event}

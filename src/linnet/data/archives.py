"""Files that hold many documents each, in a form that is neither lines nor a table: what dumps and archives have in common.

A word of this kind says which endings it knows, how a part of a file is read, and, where it can be sure, at which bytes a
file may be cut in two. The rest is as for other files: portions of about the same size, a digest of the content.
What a library makes of the same bytes may differ from version to version, so its version is a part of the digest.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

from pydantic import Field

from linnet.core.errors import DataError, explain
from linnet.core.extras import need
from linnet.data.files import encoded, find_files
from linnet.data.formats import Rows
from linnet.data.look import Texts
from linnet.data.portions import Slice, portion_size, together
from linnet.data.sources import Described, Document, Portion, as_label, digest_of_files


class Archives(Described):
    """What `wikipedia` and `warc` have in common.

    path   of the file, of a folder with everything in it, or a glob
    """

    endings: ClassVar[tuple[str, ...]]  # of the files that it reads
    libraries: ClassVar[tuple[str, ...]]  # that it reads them with, by the names that they are installed by
    purpose: ClassVar[str]  # completes "… is needed to …"

    path: str = Field(min_length=1)

    @abstractmethod
    def read(self, part: Slice) -> Rows:
        """(where, text) of each document in a part of a file. Raises DataError."""

    def border(self, handle: BinaryIO, place: int, size: int) -> int:
        """The first byte from `place` on at which a file may be cut in two; its size, where it may not be."""
        return size

    def label(self) -> str:
        return self.name or as_label(Path(self.path).name.split(".")[0]) or super().label()

    def files(self) -> list[Path]:
        """The files that the path stands for, sorted. Raises DataError if there are none, or one has another ending."""
        return find_files(self.path, lambda file: file.name.lower().endswith(self.endings), ", ".join(self.endings))

    def documents(self, *, seed: int = 0) -> Iterator[Document]:
        label = self.label()
        for file in self.files():
            for where, text in self.read(Slice(str(file), 0, None, 0)):
                yield Document(text, label, f"{file}{where}")

    def portions(self) -> list[Portion]:
        files = self.files()
        try:
            size = portion_size(sum(file.stat().st_size for file in files))
            found = together((part for file in files for part in self.cut(file, size)), size)
        except OSError as error:
            raise DataError(explain(f"{error.filename} cannot be read ({error.strerror})", need="a readable file")) from error
        return [Portion([dataclasses.astuple(part) for part in parts], sum(part.size for part in parts)) for parts in found]

    def texts(self, portion: Any = None, *, seed: int = 0) -> Iterator[Texts]:
        for part in portion:
            yield from encoded(self.read(Slice(*part)), part[0])

    def cut(self, file: Path, portion: int) -> Iterator[Slice]:
        """The parts of a file, of about `portion` bytes."""
        size, start = file.stat().st_size, 0
        with open(file, "rb") as handle:
            for place in range(portion, size, portion):
                if place <= start:
                    continue
                stop = self.border(handle, place, size)
                if stop >= size:
                    break
                yield Slice(str(file), start, stop, stop - start)
                start = stop
        yield Slice(str(file), start, None, size - start)

    def digest(self, *, seed: int = 0) -> str:
        for library in self.libraries:
            need(library, extra="sources", to=self.purpose)
        versions = " ".join(f"{library} {importlib.metadata.version(library)}" for library in self.libraries)
        return f"{versions}\n{digest_of_files(self.files())}"

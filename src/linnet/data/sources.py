"""Where documents come from: one word a source, each a stream of `Document`s.

    files        a file, a folder or a glob of txt, md, jsonl, csv, tsv, parquet, each also .gz or .zst
    stdin        what is piped in
    stories      the synthetic world's stories, endless, as many as asked
    passkey      stories that hide a key and ask for it, as many as asked
    python_docs  the documentation that comes with Python itself
    wikipedia    dumps of a MediaWiki (wikipedia.py)
    warc         archives of the web (warc.py)
    hub          data sets of the Hugging Face Hub (hub.py)
    conversations   turns of people and assistants, of which a part is learned (chats.py)
    pairs        two texts each, of which the second is learned given the first (pairs.py)

A source streams: nothing here holds more than a block of a file. It also names what it is made of (`digest`), so
that a corpus prepared once is used again while nothing has changed, and never after something has.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import re
import sys
from abc import abstractmethod
from codecs import BOM_UTF8
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from linnet.core.errors import DataError, explain
from linnet.core.files import sha256_file
from linnet.core.seeds import stream_seed
from linnet.core.spec import Spec
from linnet.data.clean import CleanStep, clean_texts
from linnet.data.close import Closing
from linnet.data.encode import Encoder, TextEncoder
from linnet.data.files import FORMATS, encoded, ending, find_files, is_plain, read_file, read_slice, refuse_slice
from linnet.data.formats import Options, conversation_in, one_line
from linnet.data.look import Looks, Texts
from linnet.data.mixture import Weight
from linnet.data.portions import Slice, portion_size, slices, together
from linnet.data.reading import CHUNK, COMPRESSED, Encoding

Separator = Annotated[str | None, AfterValidator(one_line)]
LONGEST_NAME = 100  # characters of a source's name: files are called by it, and more behind it
HASHED_BYTES = 2**28  # a source of fewer bytes is known by its content, a larger one by sizes and times


@dataclass(frozen=True)
class Document:
    """One text of a corpus.

    source   the name of its source
    name     where it stood: a file, a file and line, a number; for messages
    """

    text: str
    source: str
    name: str


@dataclass(frozen=True)
class Portion:
    """A part of a source that is read apart from the others.

    what    which one, in plain JSON types; None: all of it
    size    its bytes on disk, 0 where nobody knows
    plain   whether these are bytes of text, so that one can say how far reading is
    again   whether reading it again costs less than writing down what was read, and gives the same
    """

    what: Any = None
    size: int = 0
    plain: bool = False
    again: bool = False


class Source(Spec):
    """A family: anything that yields documents.

    whole   whether a document of it is never divided into training and validation text
    """

    whole: ClassVar[bool] = False

    @abstractmethod
    def documents(self, *, seed: int = 0) -> Iterator[Document]:
        """The documents in a fixed order. `seed` is the run's; only generated sources use it. Raises DataError."""

    @abstractmethod
    def digest(self, *, seed: int = 0) -> str | None:
        """A text that changes when the documents do; None where only reading them can tell."""

    def portions(self) -> list[Portion]:
        """Its parts, in order; what `texts` gives for them, one after the other, is what `documents` gives. Raises DataError."""
        return [Portion()]

    def texts(self, portion: Any = None, *, seed: int = 0) -> Iterator[Texts]:
        """The documents of a portion (its `what`) as UTF-8, many at a time. Raises DataError."""
        yield from encoded((document.name, document.text) for document in self.documents(seed=seed))

    def refuse(self, portion: Any) -> None:
        """Raise a DataError that says which bytes of a portion are no UTF-8, where `texts` gave such."""

    def cleaned(self, texts: Texts, steps: Sequence[CleanStep], counts: Counter[str]) -> tuple[Texts, Looks]:
        """What is left of some documents after all steps; `counts` is added to. Raises NotUtf8."""
        return clean_texts(texts, steps, counts)

    def said(self, texts: Texts) -> Texts:
        """What is said in some cleaned documents, in which near copies and overlaps are looked for."""
        return texts

    def first_lessons(self) -> Iterable[str]:
        """The texts that a tokenizer learns from whatever the documents say."""
        return ()

    def lessons(self, text: str) -> Iterable[str]:
        """The texts that a tokenizer learns from a cleaned document."""
        return (text,)

    def encoder(self, closing: Closing) -> Encoder:
        """What makes ids of cleaned documents. Raises TokenizerError for a tokenizer that cannot."""
        return TextEncoder(closing)


class Described(Source):
    """What every word of the family can be told.

    name      what cards and folders call it; default: from its path or kind
    weight    its share of the training rows is weight ÷ the sum of the weights; a table makes it change over the run
    licence   for the data card
    part      both: divided into training and validation; or all of it is training, or all of it validation
    """

    name: str = Field(default="", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$|^$", max_length=LONGEST_NAME)
    weight: Weight = 1.0
    licence: str = "unknown"
    part: Literal["both", "train", "validation"] = "both"

    def label(self) -> str:
        """The name, or a default one."""
        return self.name or getattr(self, "kind", "source")


class Files(Described):
    """A file, a folder (with everything in it) or a glob, of any mixture of known formats.

    path        of the file, the folder, or a glob such as "notes/**/*.md"
    text        the field (jsonl) or column (csv, tsv, parquet) that holds the text; default: the first known one
    separator   for txt and md, the line between two documents ("": an empty line); default: <|endoftext|>
    encoding    how the files spell characters
    """

    kind: Literal["files"] = "files"
    path: str = Field(min_length=1)
    text: str | None = None
    separator: Separator = None
    encoding: Encoding = "utf-8"

    @classmethod
    def examples(cls) -> tuple[Files, ...]:
        return cls(path="notes/"), cls(path="*.jsonl", text="body", name="posts", weight=2.0, licence="MIT", part="train")

    def label(self) -> str:
        return self.name or as_label(Path(self.path).name.split(".")[0]) or "files"

    def documents(self, *, seed: int = 0) -> Iterator[Document]:
        options, label = self.options(), self.label()
        for path in self.files():
            for where, text in read_file(path, options):
                yield Document(text, label, f"{path}{where}")

    def portions(self) -> list[Portion]:
        return portions_of(self.files(), self.options())

    def texts(self, portion: Any = None, *, seed: int = 0) -> Iterator[Texts]:
        for part in parts_of(portion):
            yield from read_slice(part, self.options())

    def refuse(self, portion: Any) -> None:
        for part in parts_of(portion):
            refuse_slice(part, self.options())

    def options(self) -> Options:
        """What its readers are told."""
        return Options(self.text, self.separator, self.encoding)

    def files(self) -> list[Path]:
        """The files that the path stands for, sorted. Raises DataError if there are none, or one is of no known format."""
        return find_files(self.path)

    def digest(self, *, seed: int = 0) -> str:
        return digest_of_files(self.files())


class Stdin(Described):
    """What is piped in, as plain text or in one of the line formats.

    format      what is piped in
    text        the field or column that holds the text; default: the first known one
    separator   for txt, the line between two documents ("": an empty line); default: <|endoftext|>
    encoding    how it spells characters
    """

    kind: Literal["stdin"] = "stdin"
    format: Literal["txt", "jsonl", "csv", "tsv"] = "txt"
    text: str | None = None
    separator: Separator = None
    encoding: Encoding = "utf-8"

    def documents(self, *, seed: int = 0) -> Iterator[Document]:
        if sys.stdin is None or sys.stdin.isatty():
            raise DataError(explain("nothing is piped into standard input", need="text there", hint="cat notes.txt | linnet …"))
        pieces: Iterable[bytes] = iter(lambda: sys.stdin.buffer.read(CHUNK), b"")
        if self.format == "txt":
            pieces = refuse_records(pieces)
        options = Options(self.text, self.separator, self.encoding)
        for where, text in FORMATS[f".{self.format}"](pieces, "standard input", options):
            yield Document(text, self.label(), f"standard input{where}")

    def digest(self, *, seed: int = 0) -> None:
        return None


class Stories(Described):
    """Stories of the synthetic world, made by rule.

    count   how many
    seed    another one tells other stories; default: by the run's
    """

    kind: Literal["stories"] = "stories"
    count: int = Field(10_000, gt=0)
    seed: int | None = None
    licence: str = "MIT"

    def documents(self, *, seed: int = 0) -> Iterator[Document]:
        from linnet.data.worlds.stories import stories

        own = self.seed if self.seed is not None else stream_seed(seed, "data/stories")
        for number, story in enumerate(itertools.islice(stories(own), self.count)):
            yield Document(story.text, self.label(), f"story {number}")

    def digest(self, *, seed: int = 0) -> str:
        return f"{self.count} {_first_ones(self.documents(seed=seed), 32)}"


class Passkeys(Described):
    """Stories in which a key is hidden that is asked for at their end, made by rule.

    count      how many
    length     words of each, at most
    shortest   words of the shortest ones, at most; lengths between are as likely; default: all are as long as length lets them be
    digits     of a key
    seed       another one tells other stories and keys; default: by the run's
    """

    kind: Literal["passkey"] = "passkey"
    count: int = Field(10_000, gt=0)
    length: int = Field(90, ge=1)
    shortest: int | None = Field(None, ge=1)
    digits: int = Field(4, ge=1, le=18)
    seed: int | None = None
    licence: str = "MIT"

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.shortest is not None and self.shortest > self.length:
            raise ValueError(f"shortest = {self.shortest} with length = {self.length}; needed: shortest of at most length")
        return self

    def documents(self, *, seed: int = 0) -> Iterator[Document]:
        from linnet.data.worlds.passkey import passkeys

        own = self.seed if self.seed is not None else stream_seed(seed, "data/passkey")
        for number, found in enumerate(
            itertools.islice(passkeys(own, self.length, shortest=self.shortest, digits=self.digits), self.count)
        ):
            yield Document(found.text, self.label(), f"passkey {number}")

    def digest(self, *, seed: int = 0) -> str:
        return f"{self.count} {_first_ones(self.documents(seed=seed), 32)}"


class PythonDocs(Described):
    """The documentation in Python's own standard library: real English about code, on every machine."""

    kind: Literal["python_docs"] = "python_docs"
    licence: str = "PSF-2.0"

    def documents(self, *, seed: int = 0) -> Iterator[Document]:
        from linnet.data.python_docs import python_docs

        for name, text in python_docs():
            yield Document(text, self.label(), name)

    def digest(self, *, seed: int = 0) -> str:
        return f"{sys.version} {_first_ones(self.documents(seed=seed), 4)}"


def refuse_records(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """What is piped in as text. Raises DataError where its first line is a record of a conversation, which nobody means as it stands."""
    for number, piece in enumerate(pieces):
        if number == 0 and (form := form_of_line(piece.removeprefix(BOM_UTF8).lstrip().partition(b"\n")[0])):
            hint = "writing them to a file: linnet prepare chats.jsonl; of texts, --set data.sources.0.format=jsonl"
            raise DataError(explain(f"standard input begins with a conversation ({form})", need="text", hint=hint))
        yield piece


def form_of_line(line: bytes) -> str | None:
    """The form of a conversation that a line holds as JSON; None for any other line."""
    try:
        record = json.loads(line) if line.startswith(b"{") else {}
    except (ValueError, RecursionError):
        return None
    return conversation_in(record)


def as_label(text: str) -> str:
    """What of a text a source's name may hold, cut where it is long; "" if that is nothing."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._")[:LONGEST_NAME].rstrip("-._")


def digest_of_files(files: Sequence[Path]) -> str:
    """A text that changes when the files do: their hashes, or of much text their sizes and times. Raises DataError."""
    try:
        sizes = [file.stat().st_size for file in files]
        if sum(sizes) <= HASHED_BYTES:
            return " ".join(f"{kind_of_file(file)}:{sha256_file(file)}" for file in files)
        return "\n".join(f"{file} {size} {file.stat().st_mtime_ns}" for file, size in zip(files, sizes))
    except OSError as error:
        raise DataError(explain(f"{error.filename} cannot be read ({error.strerror})", need="a readable file")) from error


def kind_of_file(file: Path) -> str:
    """Its endings, which say how it is read: ".jsonl.gz"."""
    return "".join(Path(file.name.lower()).suffixes[-2:])


def parts_of(portion: Any) -> list[Slice]:
    """The parts of files that a portion is."""
    return [Slice(*part) for part in portion]


def portions_of(files: Sequence[Path], options: Options) -> list[Portion]:
    """Some files in portions of about the same size; `parts_of` gives the parts of one."""
    size = portion_size(sum(file.stat().st_size for file in files))
    found = together((part for file in files for part in slices(file, ending(file), options, size)), size)
    return [
        Portion(
            [dataclasses.astuple(part) for part in parts], sum(part.size for part in parts), _plain(parts), _again(parts, options)
        )
        for parts in found
    ]


def _plain(parts: Sequence[Slice]) -> bool:
    """Whether nothing has to be unpacked to read them."""
    return not any(part.path.endswith((*COMPRESSED, ".parquet")) for part in parts)


def _again(parts: Sequence[Slice], options: Options) -> bool:
    """Whether they are read as fast as a copy would be: cut at a line here and there, not taken apart."""
    return (
        _plain(parts)
        and options.encoding == "utf-8"
        and options.separator != "\n"
        and all(is_plain(Path(part.path)) for part in parts)
    )


def _first_ones(documents: Iterator[Document], count: int) -> str:
    """A hash of the first documents, which a change of their generator would change."""
    digest = hashlib.sha256()
    for document in itertools.islice(documents, count):
        digest.update(document.text.encode("utf-8", "surrogatepass") + b"\0")
    return digest.hexdigest()

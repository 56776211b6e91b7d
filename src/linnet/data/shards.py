"""Tokens on disk: raw little-endian shards that are mapped, not read, and an index that says what they are.

    index.json                      everything below, with the SHA-256 of every file of tokens
    train/NAME.00000.bin            tokens of source NAME, uint16 (uint32 above 65,536 ids), documents one after the other;
                                    a shard a part of the text (`spool.py`), as the index lists them
    train/NAME.documents            uint64: the first token of each document, then the number of tokens
    validation/…                    the same

A document's tokens end with the end token (but for the first half of a document that a tail split divides). No
pickle, no header: a shard's size is tokens x width and nothing else, so a cut shard is seen at once.
"""

from __future__ import annotations

import hashlib
import os
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from linnet.core.errors import DataError, explain
from linnet.core.files import read_json, sha256_file, sync_file, temporary_name
from linnet.core.spec import fitting

FORMAT = "linnet-tokens"
VERSION = 2
SPLITS = ("train", "validation")


@dataclass(frozen=True)
class IndexedFile:
    """A file as its index names it."""

    file: str
    sha256: str


@dataclass(frozen=True)
class IndexedShard(IndexedFile):
    """A shard as its index names it."""

    tokens: int


@dataclass(frozen=True)
class IndexedStream:
    """One source in one split."""

    source: str
    documents: int
    bytes: int
    tokens: int
    shards: tuple[IndexedShard, ...]
    starts: IndexedFile


@dataclass(frozen=True)
class IndexedSplits:
    """The sources of each split."""

    train: tuple[IndexedStream, ...]
    validation: tuple[IndexedStream, ...]


@dataclass(frozen=True)
class Index:
    """What has to be in an index.json, besides its format and version."""

    fingerprint: str
    dtype: Literal["uint16", "uint32"]
    end_id: int
    tokenizer: str
    recipe: str
    spec: dict[str, Any]
    weights: dict[str, float]
    splits: IndexedSplits


def token_dtype(vocab_size: int) -> np.dtype[Any]:
    """The narrowest of uint16 and uint32 that holds all ids."""
    return np.dtype("<u2") if vocab_size <= 2**16 else np.dtype("<u4")


class ShardWriter:
    """Writes one shard, and beside it, elsewhere, how many tokens each of its documents has.

    folder    of the index; `file`: the shard's name in it
    lengths   where the lengths go: uint64, one a document
    """

    def __init__(self, folder: Path, file: str, lengths: Path, dtype: np.dtype[Any]) -> None:
        self.file, self.dtype = file, dtype
        self.tokens = self.bytes = self.documents = self.unknown = 0
        (folder / file).parent.mkdir(exist_ok=True)
        self.shard = _Hashed(folder / file)
        self.lengths = _Hashed(lengths)

    def append(self, ids: NDArray[np.unsignedinteger], lengths: NDArray[np.int64], n_bytes: int, unknown: int = 0) -> None:
        """Some documents (or what stands of them in this split): their ids (N,) with end tokens, how many each has (n,), their
        bytes and their unknown tokens, of all together."""
        self.lengths.write(np.ascontiguousarray(lengths, "<u8").data)
        self.shard.write(np.ascontiguousarray(ids, self.dtype).data)
        self.tokens += len(ids)
        self.documents += len(lengths)
        self.bytes += n_bytes
        self.unknown += unknown

    def close(self) -> dict[str, Any]:
        """Finish the files; what there is to know of them."""
        self.lengths.close()
        return {
            "file": self.file,
            "tokens": self.tokens,
            "sha256": self.shard.close(),
            "documents": self.documents,
            "bytes": self.bytes,
            "unknown": self.unknown,
        }

    def abandon(self) -> None:
        """Delete what was written."""
        self.lengths.abandon()
        self.shard.abandon()


def write_stream(
    folder: Path, split: str, source: str, shards: Sequence[dict[str, Any]], lengths: Iterable[Path]
) -> dict[str, Any]:
    """The entry of a source's tokens of one split in the index, and its file of documents. shards: as their writers gave them."""
    name = f"{split}/{source}.documents"
    starts, first = _Hashed(folder / name), 0
    for path in lengths:
        sizes = np.fromfile(path, "<u8")
        ends = first + np.cumsum(sizes, dtype=np.uint64)
        starts.write((ends - sizes).astype("<u8", copy=False).tobytes())
        first = int(ends[-1]) if len(ends) else first
    starts.write(first.to_bytes(8, "little"))
    sha256 = starts.close()
    sync_file(folder / name)
    total = {what: sum(shard[what] for shard in shards) for what in ("documents", "bytes", "tokens", "unknown")}
    return {
        "source": source,
        **total,
        "shards": [{key: shard[key] for key in ("file", "tokens", "sha256")} for shard in shards],
        "starts": {"file": name, "sha256": sha256},
    }


class _Hashed:
    """A file that is hashed while it is written, and gets its name when it is whole."""

    def __init__(self, path: Path) -> None:
        self.path, self.temporary = path, temporary_name(path)
        self.handle: BinaryIO = open(self.temporary, "wb", buffering=2**20)  # noqa: SIM115
        self.digest = hashlib.sha256()

    def write(self, content: bytes | memoryview) -> None:
        self.digest.update(content)
        self.handle.write(content)

    def close(self) -> str:
        """Its SHA-256. The file has its name from then on; whoever relies on it after a power cut has to sync it."""
        self.handle.close()
        os.replace(self.temporary, self.path)
        return self.digest.hexdigest()

    def abandon(self) -> None:
        """Delete it."""
        self.handle.close()
        self.temporary.unlink(missing_ok=True)


@dataclass(frozen=True, eq=False)
class Stream:
    """The tokens of one source in one split: one long sequence, mapped from its shards.

    bytes   of the documents' text as UTF-8, end tokens not counted
    """

    source: str
    weight: float
    tokens: int
    bytes: int
    documents: int
    maps: tuple[NDArray[np.unsignedinteger], ...]
    starts: NDArray[np.uint64]

    @cached_property
    def _firsts(self) -> list[int]:
        """The first token of each shard."""
        return [0, *np.cumsum([len(shard) for shard in self.maps])[:-1].tolist()]

    def read(self, start: int, stop: int) -> NDArray[np.unsignedinteger]:
        """Tokens start … stop - 1, (stop - start,)."""
        if len(self.maps) == 1:
            return self.maps[0][start:stop]
        first, last = bisect_right(self._firsts, start) - 1, max(bisect_left(self._firsts, stop), 1)
        begins = self._firsts[first:last]
        parts = [shard[max(start - begin, 0) : stop - begin] for begin, shard in zip(begins, self.maps[first:last])]
        return parts[0] if len(parts) == 1 else np.concatenate(parts) if parts else self.maps[0][:0]


@dataclass(frozen=True, eq=False)
class Split:
    """All streams of training or of validation, in the spec's order of sources.

    fingerprint   of the prepared folder, so that a loader's saved position is never used on other data
    """

    name: str
    streams: tuple[Stream, ...]
    end_id: int
    fingerprint: str

    @property
    def tokens(self) -> int:
        """Tokens, end tokens included."""
        return sum(stream.tokens for stream in self.streams)

    @property
    def bytes(self) -> int:
        """Bytes of text."""
        return sum(stream.bytes for stream in self.streams)

    @property
    def documents(self) -> int:
        """Documents."""
        return sum(stream.documents for stream in self.streams)

    @property
    def bytes_per_token(self) -> float:
        """Bytes of text ÷ tokens, end tokens counted: bits per byte = nats per token ÷ (ln 2 · this)."""
        return self.bytes / self.tokens


def read_index(folder: Path) -> dict[str, Any]:
    """The index of a prepared folder. Raises DataError if it is missing, broken, of another version or not whole."""
    index = read_json(folder / "index.json", what="a prepared data folder with its index.json", error=DataError)
    got = (index.get("format"), index.get("version")) if isinstance(index, dict) else None
    if got != (FORMAT, VERSION):
        raise DataError(
            explain(f"{folder / 'index.json'} is of format {got}", need=f"{(FORMAT, VERSION)}", hint="preparing the data anew")
        )
    fitting(Index, index, name=str(folder / "index.json"), error=DataError)
    unknown = {entry["source"] for name in SPLITS for entry in index["splits"][name]} - index["weights"].keys()
    if unknown:
        lacks = f"{folder / 'index.json'} has no weight of {', '.join(sorted(unknown))}"
        raise DataError(explain(lacks, need="one for each source", hint="preparing the data anew"))
    return index


def open_splits(folder: Path, index: dict[str, Any], *, verify: bool = False) -> dict[str, Split]:
    """Map both splits. Sizes are always checked; `verify` reads every file again and compares its SHA-256.

    Raises DataError with the first file that is missing, cut or changed.
    """
    dtype = np.dtype(index["dtype"])
    splits = {}
    for name in SPLITS:
        streams = []
        for entry in index["splits"][name]:
            files = [(shard["file"], shard["tokens"] * dtype.itemsize, shard["sha256"]) for shard in entry["shards"]]
            files.append((entry["starts"]["file"], (entry["documents"] + 1) * 8, entry["starts"]["sha256"]))
            for file, size, sha256 in files:
                _check_file(folder / file, size, sha256 if verify else None)
            maps = tuple(_mapped(folder / shard["file"], dtype) for shard in entry["shards"])
            starts = _mapped(folder / entry["starts"]["file"], np.dtype("<u8"))
            weight = index["weights"][entry["source"]]
            streams.append(Stream(entry["source"], weight, entry["tokens"], entry["bytes"], entry["documents"], maps, starts))
        splits[name] = Split(name, tuple(streams), index["end_id"], index["fingerprint"])
    return splits


def _mapped(path: Path, dtype: np.dtype[Any]) -> NDArray[Any]:
    """A file as an array, mapped; a plain view, for slices of np.memmap itself are slow to make."""
    return np.asarray(np.memmap(path, dtype=dtype, mode="r"))


def _check_file(path: Path, size: int, sha256: str | None) -> None:
    again = "deleting the folder and preparing the data again"
    if not path.is_file():
        raise DataError(explain(f"{path} is missing", need=f"a file of {size:,} bytes", hint=again))
    if path.stat().st_size != size:
        raise DataError(explain(f"{path} has {path.stat().st_size:,} bytes", need=f"{size:,}, as its index says", hint=again))
    if sha256 is not None and (got := sha256_file(path)) != sha256:
        raise DataError(explain(f"{path} has changed: its SHA-256 is {got}", need=sha256, hint=again))


def document_ids(stream: Stream) -> Iterator[NDArray[np.unsignedinteger]]:
    """The tokens of each document, end token included, in order."""
    for number in range(stream.documents):
        yield stream.read(int(stream.starts[number]), int(stream.starts[number + 1]))

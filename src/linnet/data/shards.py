"""Tokens on disk: raw little-endian shards that are mapped, not read, and an index that says what they are.

    index.json                      everything below, with the SHA-256 of every file of tokens
    train/NAME.00000.bin            tokens of source NAME, uint16 (uint32 above 65,536 ids), documents one after the other;
                                    a shard a part of the text (`spool.py`), as the index lists them
    train/NAME.00000.mask           where not all tokens are learned: a bit for each token of that shard, the first one
                                    the lowest bit of the first byte
    train/NAME.documents            uint64: the first token of each document, then the number of tokens
    validation/…                    the same

A document's tokens end with the end token (but for the first half of a document that a tail split divides). No
pickle, no header: a shard's size is tokens x width and nothing else, so a cut shard is seen at once.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from linnet.core.errors import DataError, explain
from linnet.core.files import read_json, sha256_file
from linnet.core.spec import fitting
from linnet.data.mixture import Ramp, Weight, as_weight

FORMAT = "linnet-tokens"
VERSION = 2
SPLITS = ("train", "validation")
MASK = ".mask"
MANY = 2**22  # bytes of a mask, or tokens, that are looked through at a time


@dataclass(frozen=True)
class IndexedFile:
    """A file as its index names it."""

    file: str
    sha256: str


@dataclass(frozen=True)
class IndexedMask(IndexedFile):
    """Which tokens of a shard are learned, as its index names it."""

    n_learned: int


@dataclass(frozen=True)
class IndexedShard(IndexedFile):
    """A shard as its index names it; mask: which of its tokens are learned, where not all are."""

    tokens: int
    mask: IndexedMask | None = None


@dataclass(frozen=True)
class IndexedStream:
    """One source in one split; n_learned, learned_bytes: tokens that are learned and the bytes they stand for, where not all are."""

    source: str
    documents: int
    bytes: int
    tokens: int
    shards: tuple[IndexedShard, ...]
    starts: IndexedFile
    n_learned: int | None = None
    learned_bytes: int | None = None


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
    weights: dict[str, Weight]
    splits: IndexedSplits


def token_dtype(vocab_size: int) -> np.dtype[Any]:
    """The narrowest of uint16 and uint32 that holds all ids."""
    return np.dtype("<u2") if vocab_size <= 2**16 else np.dtype("<u4")


def files_of(shard: dict[str, Any]) -> list[dict[str, Any]]:
    """The files that an index names for a shard: itself, and its mask, if it has one."""
    return [shard, shard["mask"]] if shard.get("mask") else [shard]


def mask_of(file: str) -> str:
    """The name of the mask beside a shard."""
    return file.removesuffix(".bin") + MASK


def mask_bytes(tokens: int) -> int:
    """The size of the mask of so many tokens."""
    return -(-tokens // 8)


@dataclass(frozen=True, eq=False)
class Stream:
    """The tokens of one source in one split: one long sequence, mapped from its shards.

    bytes           of the documents' text as UTF-8, end tokens and a template's special tokens not counted
    masks           of each shard, which of its tokens are learned; empty: all are
    n_learned       how many are; None: all
    learned_bytes   of what those stand for; None: all
    """

    source: str
    weight: float | Ramp
    tokens: int
    bytes: int
    documents: int
    maps: tuple[NDArray[np.unsignedinteger], ...]
    starts: NDArray[np.uint64]
    masks: tuple[NDArray[np.uint8], ...] = ()
    n_learned: int | None = None
    learned_bytes: int | None = None

    @cached_property
    def _firsts(self) -> list[int]:
        """The first token of each shard."""
        return [0, *np.cumsum([len(shard) for shard in self.maps])[:-1].tolist()]

    def read(self, start: int, stop: int) -> NDArray[np.unsignedinteger]:
        """Tokens start … stop - 1, (stop - start,)."""
        if len(self.maps) == 1:
            return self.maps[0][start:stop]
        parts = [self.maps[number][low:high] for number, low, high in self._parts(start, stop)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts) if parts else self.maps[0][:0]

    def _parts(self, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
        """(shard, low, high): the stretches low … high - 1 of shards that tokens start … stop - 1 are."""
        first, last = bisect_right(self._firsts, start) - 1, max(bisect_left(self._firsts, stop), 1)
        for number in range(first, last):
            begin = self._firsts[number]
            yield number, max(start - begin, 0), min(stop - begin, len(self.maps[number]))

    def learned(self, start: int, stop: int) -> NDArray[np.bool_]:
        """Which of tokens start … stop - 1 are learned, (stop - start,)."""
        if not self.masks:
            return np.ones(stop - start, bool)
        parts = []
        for number, low, high in self._parts(start, stop):
            bits = np.unpackbits(self.masks[number][low // 8 : mask_bytes(high)], bitorder="little")
            parts.append(bits[low % 8 : low % 8 + high - low].astype(bool))
        return np.concatenate(parts) if parts else np.empty(0, bool)

    @cached_property
    def learned_stretches(self) -> NDArray[np.int64]:
        """(n, 2): the first token of each stretch of learned ones, and the first behind it; about two numbers a turn."""
        edges, before = [], False
        for start in range(0, self.tokens, MANY):
            marks = self.learned(start, min(start + MANY, self.tokens))
            edges.append(start + np.flatnonzero(np.diff(marks, prepend=before)))
            before = bool(marks[-1])
        return np.concatenate([*edges, [self.tokens] * before]).astype(np.int64).reshape(-1, 2)

    def any_learned(self, starts: NDArray[np.int64], length: int) -> NDArray[np.bool_]:
        """Whether any of the `length` tokens from each of some places (n,) on is learned, (n,)."""
        if not self.masks:
            return np.ones(len(starts), bool)
        firsts, behind = self.learned_stretches.T
        following = np.searchsorted(behind, starts, side="right")  # the first stretch that does not end before the place
        return np.append(firsts, self.tokens + length)[following] < starts + length

    def ends(self, start: int, stop: int) -> NDArray[np.bool_]:
        """Which of tokens start … stop - 1 are the last of a document, (stop - start,): by where documents begin, for a conversation may
        hold end tokens that do not end it."""
        low, high = np.searchsorted(self.starts, start + 1), np.searchsorted(self.starts, stop, side="right")
        ends = np.zeros(stop - start, bool)
        ends[self.starts[low:high].astype(np.int64) - 1 - start] = True
        return ends


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
    def n_learned(self) -> int:
        """Tokens that are learned."""
        return sum(stream.tokens if stream.n_learned is None else stream.n_learned for stream in self.streams)

    @property
    def learned_bytes(self) -> int:
        """Bytes of text that is learned."""
        return sum(stream.bytes if stream.learned_bytes is None else stream.learned_bytes for stream in self.streams)

    @property
    def all_learned(self) -> bool:
        """Whether all its tokens are."""
        return not any(stream.masks for stream in self.streams)

    @property
    def bytes_per_token(self) -> float:
        """Bytes of text ÷ tokens, end tokens counted."""
        return self.bytes / self.tokens

    def bits_per_byte(self, nats: float) -> float | None:
        """What so many nats a learned token are for each byte of text that is learned; None where there is none."""
        return nats / (math.log(2) * (self.learned_bytes / self.n_learned)) if self.learned_bytes else None


def read_index(folder: Path) -> dict[str, Any]:
    """The index of a prepared folder. Raises DataError if it is missing, broken, of another version or not whole."""
    index = read_json(folder / "index.json", what="a prepared data folder with its index.json", error=DataError)
    got = (index.get("format"), index.get("version")) if isinstance(index, dict) else None
    if got != (FORMAT, VERSION):
        raise DataError(explain(f"{folder / 'index.json'} is of format {got}", need=f"{(FORMAT, VERSION)}", hint=anew(folder)))
    fitting(Index, index, name=str(folder / "index.json"), error=DataError)
    unknown = {entry["source"] for name in SPLITS for entry in index["splits"][name]} - index["weights"].keys()
    if unknown:
        lacks = f"{folder / 'index.json'} has no weight of {', '.join(sorted(unknown))}"
        raise DataError(explain(lacks, need="one for each source", hint=anew(folder)))
    return index


def anew(folder: Path) -> str:
    """What to try where a prepared folder is not what it should be: as long as it is there, preparing again finds it."""
    return f"deleting {folder} and preparing again"


def conversations_in(index: dict[str, Any]) -> set[str]:
    """The names of an index's sources of conversations and of pairs, which need masks."""
    sources = index["spec"].get("sources")  # in the order of the weights
    kinds = [each.get("kind") for each in sources if isinstance(each, dict)] if isinstance(sources, list) else []
    return {name for name, kind in zip(index["weights"], kinds) if kind in ("conversations", "pairs")}


def open_splits(folder: Path, index: dict[str, Any], *, verify: bool = False) -> dict[str, Split]:
    """Map both splits. Sizes are always checked; `verify` reads every file again and compares its SHA-256.

    Raises DataError with the first file that is missing, cut or changed.
    """
    dtype, talks = np.dtype(index["dtype"]), conversations_in(index)
    splits = {}
    for name in SPLITS:
        streams = []
        for entry in index["splits"][name]:
            _check_masks(entry, folder, talks)
            files = [(shard["file"], shard["tokens"] * dtype.itemsize, shard["sha256"]) for shard in entry["shards"]]
            files.append((entry["starts"]["file"], (entry["documents"] + 1) * 8, entry["starts"]["sha256"]))
            masked = [shard for shard in entry["shards"] if shard.get("mask")]
            files += [(shard["mask"]["file"], mask_bytes(shard["tokens"]), shard["mask"]["sha256"]) for shard in masked]
            for file, size, sha256 in files:
                _check_file(folder / file, size, sha256 if verify else None)
            maps = tuple(_mapped(folder / shard["file"], dtype) for shard in entry["shards"])
            starts = _mapped(folder / entry["starts"]["file"], np.dtype("<u8"))
            masks = tuple(_mapped(folder / shard["mask"]["file"], np.dtype("u1")) for shard in masked)
            _check_counts(entry, folder, masks if verify else None)
            stream = Stream(
                source=entry["source"],
                weight=as_weight(index["weights"][entry["source"]]),
                tokens=entry["tokens"],
                bytes=entry["bytes"],
                documents=entry["documents"],
                maps=maps,
                starts=starts,
                masks=masks,
                n_learned=entry.get("n_learned"),
                learned_bytes=entry.get("learned_bytes"),
            )
            streams.append(stream)
        splits[name] = Split(name, tuple(streams), index["end_id"], index["fingerprint"])
    return splits


def _check_masks(entry: dict[str, Any], folder: Path, talks: set[str]) -> None:
    """Raise DataError unless all shards of a source have a mask, or none, which conversations (`talks`) need."""
    shards, index, source = entry["shards"], folder / "index.json", entry["source"]
    masks = sum(bool(shard.get("mask")) for shard in shards)
    if any("learned" in each for each in (entry, *shards)):
        got, need = f"{index} says `learned`, as it did before masks were called so", "one that names masks"
    elif masks not in (0, len(shards)):
        got, need = f"{index} names masks of {masks} of the {len(shards)} shards of {source!r}", "one for each, or none"
    elif not masks and source in talks:
        got, need = (
            f"{index} names no masks of {source!r}, which is conversations or pairs",
            "masks that say what of them is learned",
        )
    else:
        return
    raise DataError(explain(got, need=need, hint=anew(folder)))


def _check_counts(entry: dict[str, Any], folder: Path, masks: Sequence[NDArray[np.uint8]] | None) -> None:
    """Raise DataError unless what the index counts in the masks of a source agrees; masks: to count again."""
    shards, name, index = entry["shards"], entry["source"], folder / "index.json"
    counts = [shard["mask"]["n_learned"] for shard in shards if shard.get("mask")]
    n_learned, n_bytes = entry.get("n_learned"), entry.get("learned_bytes")
    if not counts:
        fits = n_learned is None and n_bytes is None
    else:
        fits = (
            n_learned == sum(counts) > 0
            and all(0 <= count <= shard["tokens"] for count, shard in zip(counts, shards))
            and n_bytes is not None
            and 0 < n_bytes <= entry["bytes"]
        )
    if fits and masks:
        bits = [[np.count_nonzero(np.unpackbits(mask[at : at + MANY])) for at in range(0, len(mask), MANY)] for mask in masks]
        fits = counts == [sum(each) for each in bits]
    if not fits:
        got = f"{index}: {n_learned} tokens and {n_bytes} bytes of {name!r} are learned, {counts or 'no'} in the masks of its shards"
        need = f"counts that agree, of {entry['tokens']:,} tokens and {entry['bytes']:,} bytes"
        raise DataError(explain(got, need=need, hint=anew(folder)))


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

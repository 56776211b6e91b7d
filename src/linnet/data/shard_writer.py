"""Tokens to disk, as `shards.py` says: a shard and its mask, hashed while they are written; where documents begin."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from linnet.core.files import Unnamed, sync_file
from linnet.data.shards import mask_of


class ShardWriter:
    """Writes one shard, and beside it, elsewhere, how many tokens each of its documents has.

    folder    of the index; `file`: the shard's name in it
    lengths   where the lengths go: uint64, one a document
    masked    whether a mask says which tokens are learned
    """

    def __init__(self, folder: Path, file: str, lengths: Path, dtype: np.dtype[Any], *, masked: bool = False) -> None:
        self.file, self.dtype = file, dtype
        self.tokens = self.bytes = self.documents = self.unknown = 0
        (folder / file).parent.mkdir(exist_ok=True)
        self.shard = Unnamed(folder / file, hashed=True)
        self.lengths = Unnamed(lengths)
        self.mask = Unnamed(folder / mask_of(file), hashed=True) if masked else None
        self.waiting = np.empty(0, bool)  # fewer than eight bits, which do not fill a byte yet
        self.n_learned = self.learned_bytes = 0

    def append(
        self,
        ids: NDArray[np.unsignedinteger],
        lengths: NDArray[np.int64],
        n_bytes: int,
        unknown: int = 0,
        *,
        mask: NDArray[np.bool_] | None = None,
        learned_bytes: int = 0,
    ) -> None:
        """Some documents (or what stands of them in this split): their ids (N,) with end tokens, how many each has (n,), their
        bytes and their unknown tokens, of all together; of a shard with a mask which of the ids are learned (N,), and their bytes."""
        assert (mask is None) == (self.mask is None) and (mask is None or len(mask) == len(ids))
        self.lengths.write(np.ascontiguousarray(lengths, "<u8").data)
        self.shard.write(np.ascontiguousarray(ids, self.dtype).data)
        self.tokens += len(ids)
        self.documents += len(lengths)
        self.bytes += n_bytes
        self.unknown += unknown
        if mask is not None:
            self._append_mask(mask)
            self.learned_bytes += learned_bytes

    def _append_mask(self, learned: NDArray[np.bool_]) -> None:
        assert self.mask is not None
        self.n_learned += int(np.count_nonzero(learned))
        bits = np.concatenate([self.waiting, learned])
        whole = len(bits) // 8 * 8
        self.mask.write(np.packbits(bits[:whole], bitorder="little").data)
        self.waiting = bits[whole:]

    def close(self) -> dict[str, Any]:
        """Finish the files; what there is to know of them."""
        self.lengths.close()
        mask: dict[str, Any] = {}
        if self.mask is not None:
            self.mask.write(np.packbits(self.waiting, bitorder="little").data)
            file = {"file": mask_of(self.file), "sha256": self.mask.close(), "n_learned": self.n_learned}
            mask = {"mask": file, "learned_bytes": self.learned_bytes}
        return {
            "file": self.file,
            "tokens": self.tokens,
            "sha256": self.shard.close(),
            "documents": self.documents,
            "bytes": self.bytes,
            "unknown": self.unknown,
            **mask,
        }

    def abandon(self) -> None:
        """Delete what was written."""
        for file in (self.lengths, self.shard, self.mask):
            if file is not None:
                file.abandon()


def write_stream(
    folder: Path, split: str, source: str, shards: Sequence[dict[str, Any]], lengths: Iterable[Path]
) -> dict[str, Any]:
    """The entry of a source's tokens of one split in the index, and its file of documents. shards: as their writers gave them."""
    name = f"{split}/{source}.documents"
    starts, first = Unnamed(folder / name, hashed=True), 0
    for path in lengths:
        sizes = np.fromfile(path, "<u8")
        ends = first + np.cumsum(sizes, dtype=np.uint64)
        starts.write((ends - sizes).astype("<u8", copy=False).tobytes())
        first = int(ends[-1]) if len(ends) else first
    starts.write(first.to_bytes(8, "little"))
    sha256 = starts.close()
    sync_file(folder / name)
    total = {what: sum(shard[what] for shard in shards) for what in ("documents", "bytes", "tokens", "unknown")}
    if any("mask" in shard for shard in shards):
        total["n_learned"] = sum(shard["mask"]["n_learned"] for shard in shards)
        total["learned_bytes"] = sum(shard["learned_bytes"] for shard in shards)
    return {
        "source": source,
        **total,
        "shards": [{key: shard[key] for key in ("file", "tokens", "sha256", "mask") if key in shard} for shard in shards],
        "starts": {"file": name, "sha256": sha256},
    }

"""From a data spec to a folder of tokens: read, clean, drop copies, split, train a tokenizer if asked, encode, count.

    sources -> spool (read once, cleaned) -> plan (copies out, sides decided) -> [tokenizer from training text] -> shards + card

    FOLDER/3f9c…/index.json · card.json · card.md · tokenizer.json · train/ · validation/

The folder's name is the fingerprint of everything that decides its content: the spec, what the sources are made of,
the tokenizer (or the recipe to train it) and this format's version. The same question finds the same folder again;
any other question gets a folder beside it. A folder is renamed into place when it is whole, so there is never half of one.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from linnet.core.errors import DataError, TokenizerError, explain
from linnet.core.files import TEMPORARY, atomic_folder, explained_disk_errors, read_json, write_json, write_text
from linnet.core.spec import dump, load
from linnet.data.card import DataCard, SourceCard, percentages
from linnet.data.shards import FORMAT, SHARD_TOKENS, SPLITS, VERSION, Split, Stream, StreamWriter, document_ids, open_splits, read_index, token_dtype
from linnet.data.spec import DataSpec
from linnet.data.split import Plan, make_plan, repeated
from linnet.data.spool import Spool, write_spool
from linnet.tokenizer.base import Tokenizer

Progress = Callable[[float | None, str], None]  # part done, 0 … 1 or None where nobody knows, and what is going on

BATCH_CHARACTERS = 2**20  # of texts that are encoded together
BATCH_TEXTS = 1024


@dataclass(frozen=True)
class TokenizerTrainer:
    """A tokenizer that is yet to be trained, on training text only.

    train    from an iterator of texts to a tokenizer
    load     reads a tokenizer.json back
    recipe   a text that decides the outcome of `train` on given texts (its spec as JSON); with "" a second run
             reads and trains again before it can tell that nothing changed
    """

    train: Callable[[Iterable[str]], Tokenizer]
    load: Callable[[Path], Tokenizer] | None = None
    recipe: str = ""


@dataclass(frozen=True)
class Prepared:
    """A corpus as tokens, with the tokenizer that made them.

    Text is had by decoding tokens, not by keeping a copy: it costs no disk, it is what the model is shown, byte for
    byte, and `prepare` has checked for every document that it decodes to as many bytes as its text has.
    """

    folder: Path
    fingerprint: str
    tokenizer: Tokenizer
    spec: DataSpec
    card: DataCard
    train: Split
    validation: Split
    reused: bool

    def validation_text(self) -> bytes:
        """All validation text, documents joined with nothing between; as long as `validation.bytes`."""
        return b"".join(text for stream in self.validation.streams for text in self.texts(stream))

    def train_text(self, limit: int | None = None) -> bytes:
        """The first `limit` bytes of training text; of several sources, each gives its share by size."""
        if limit is None or limit >= self.train.bytes:
            return b"".join(text for stream in self.train.streams for text in self.texts(stream))
        ends = np.cumsum([stream.bytes for stream in self.train.streams]) * limit // self.train.bytes
        return b"".join(_first_bytes(self.texts(stream), int(size)) for stream, size in zip(self.train.streams, np.diff(ends, prepend=0)))

    def texts(self, stream: Stream) -> Iterator[bytes]:
        """The text of each document of a stream, without its end token."""
        for ids in document_ids(stream):
            whole = ids.tolist()
            yield self.tokenizer.decode_bytes(whole[:-1] if whole[-1] == self.train.end_id else whole)


def _first_bytes(texts: Iterable[bytes], limit: int) -> bytes:
    parts, size = [], 0
    for text in texts:
        if size >= limit:
            break
        parts.append(text[: limit - size])
        size += len(parts[-1])
    return b"".join(parts)


def prepare(
    spec: DataSpec,
    tokenizer: Tokenizer | TokenizerTrainer | Callable[[Iterable[str]], Tokenizer],
    folder: Path,
    *,
    seed: int = 0,
    progress: Progress | None = None,
    shard_tokens: int = SHARD_TOKENS,
) -> Prepared:
    """Prepare a corpus inside `folder`, or find it there prepared already.

    tokenizer   a Tokenizer, or how to train one: a TokenizerTrainer, or just its `train`
    seed        the run's; decides what generated sources say, and nothing else
    progress    told how far it is

    Needs room for the corpus's cleaned text while it runs, and about 40 bytes of memory a document.
    Raises DataError for anything wrong with the text, TokenizerError for a tokenizer that loses bytes, LinnetError
    for a full disk; whatever it raises, nothing half written stays.
    """
    folder = Path(folder)
    tell = progress or (lambda done, message: None)
    if not isinstance(tokenizer, (Tokenizer, TokenizerTrainer)):
        tokenizer = TokenizerTrainer(tokenizer)
    maker = tokenizer.fingerprint if isinstance(tokenizer, Tokenizer) else f"trained {tokenizer.recipe}" if tokenizer.recipe else None
    signatures = [source.signature(seed=seed) for source in spec.sources]
    if maker is not None and None not in signatures:
        found = _reuse(folder / _name(spec, signatures, maker), tokenizer, tell)
        if found is not None:
            return found

    folder.mkdir(parents=True, exist_ok=True)
    with _spool_folder(folder) as place:
        spools = _read_all(spec, seed, place, tell)
        plans = _plan_all(spec, spools)
        trained = tokenizer
        if isinstance(tokenizer, TokenizerTrainer):
            tell(None, "training the tokenizer")
            trained = tokenizer.train(text for side, text, _, _, _ in _parts(spec, spools, plans) if side == "train")
        assert isinstance(trained, Tokenizer)
        signatures = [signature or spool.digest for signature, spool in zip(signatures, spools)]
        target = folder / _name(spec, signatures, maker or trained.fingerprint)
        found = _reuse(target, trained, tell)
        if found is not None:
            return found
        if target.exists():
            raise DataError(explain(f"{target} exists and has no index.json", need="that name for prepared data", hint="moving it away"))
        with atomic_folder(target) as building:
            index = _encode_all(spec, spools, plans, trained, building, target.name, shard_tokens, tell)
            trained.save(building / "tokenizer.json")
            write_json(building / "index.json", index)
            card = _card(spec, spools, plans, index)
            write_json(building / "card.json", card.to_json())
            write_text(building / "card.md", card.to_markdown())
    tell(1.0, card.announcement())
    return _open(target, trained, reused=False)


def open_prepared(folder: Path, tokenizer: Tokenizer, *, verify: bool = False) -> Prepared:
    """Open one prepared folder (the one with index.json in it). `verify` compares every file's SHA-256.

    Raises DataError for a missing, cut or changed file, TokenizerError if the tokens are not this tokenizer's.
    """
    return _open(Path(folder), tokenizer, reused=True, verify=verify)


def _open(folder: Path, tokenizer: Tokenizer, *, reused: bool, verify: bool = False) -> Prepared:
    index = read_index(folder)
    if tokenizer.fingerprint != index["tokenizer"]:
        raise TokenizerError(
            explain(
                f"the tokenizer {tokenizer.fingerprint[:16]}… for data that was encoded with {index['tokenizer'][:16]}… ({folder})",
                need="the tokenizer that encoded the data",
                hint=f"{folder / 'tokenizer.json'}, or preparing the data anew",
            )
        )
    splits = open_splits(folder, index, verify=verify)
    card = DataCard.from_json(read_json(folder / "card.json", what="the data card of a prepared folder", error=DataError))
    spec = load(DataSpec, index["spec"], path="data")
    return Prepared(folder, index["fingerprint"], tokenizer, spec, card, splits["train"], splits["validation"], reused)


def _reuse(target: Path, tokenizer: Tokenizer | TokenizerTrainer, tell: Progress) -> Prepared | None:
    """The prepared folder at `target` if it is there and whole; None if it has to be made."""
    if not (target / "index.json").is_file():
        return None
    if isinstance(tokenizer, TokenizerTrainer):
        if tokenizer.load is None:
            return None
        tokenizer = tokenizer.load(target / "tokenizer.json")
    prepared = _open(target, tokenizer, reused=True)
    tell(1.0, f"prepared before: {prepared.card.announcement()}")
    return prepared


def _name(spec: DataSpec, signatures: list[str | None], maker: str) -> str:
    """16 hex digits that stand for the question: the whole spec, what the sources are made of, who makes the tokens."""
    described = [FORMAT, VERSION, dump(spec), signatures, maker]
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:16]


@contextlib.contextmanager
def _spool_folder(folder: Path) -> Iterator[Path]:
    """A temporary folder of this process; those that killed ones left are deleted."""
    place = folder / f"spool.{os.getpid()}{TEMPORARY}"
    for leftover in folder.glob(f"*.*{TEMPORARY}"):
        owner = leftover.name.removesuffix(TEMPORARY).rpartition(".")[2]
        if owner.isdigit() and not psutil.pid_exists(int(owner)):
            shutil.rmtree(leftover, ignore_errors=True)
    with explained_disk_errors(place):
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        try:
            yield place
        finally:
            shutil.rmtree(place, ignore_errors=True)


def _read_all(spec: DataSpec, seed: int, place: Path, tell: Progress) -> list[Spool]:
    spools = []
    for source, name in zip(spec.sources, spec.names()):
        tell(None, f"reading {name}")

        def report(documents: int, size: int, name: str = name) -> None:
            tell(None, f"reading {name}: {documents:,} documents, {size / 1e6:,.0f} MB")

        spools.append(write_spool(name, source.documents(seed=seed), spec.clean, place, report))
    return spools


@dataclass(frozen=True)
class _SourcePlan:
    kept: NDArray[np.bool_]  # (records,) not a copy of an earlier document
    plan: Plan  # over the kept ones


def _plan_all(spec: DataSpec, spools: list[Spool]) -> list[_SourcePlan]:
    """Copies out, over all sources at once, and each source's sides. Where validation text stands again in a training-only source, the latter loses it."""
    sizes = [len(spool.records()) for spool in spools]
    copies = [np.zeros(size, bool) for size in sizes]
    if spec.deduplicate:
        order = sorted(range(len(spools)), key=lambda i: spec.described()[i].part != "validation")
        flat = repeated(np.concatenate([spools[i].records()["fingerprint"] for i in order]))
        for i, part in zip(order, np.split(flat, np.cumsum([sizes[i] for i in order])[:-1])):
            copies[i] = part
    plans = []
    for spool, source, copy in zip(spools, spec.described(), copies):
        records = spool.records()[~copy]
        if not len(records):
            raise DataError(explain(f"source {spool.name!r} holds only copies of other sources' documents", need="text of its own", hint="leaving it out"))
        if source.part == "both":
            plan = make_plan(spool.name, spec.split, spec.validation, records["fingerprint"][:, 0], records["bytes"], records["characters"])
        else:
            plan = Plan(source.part, np.full(len(records), source.part == "validation"))
        plans.append(_SourcePlan(~copy, plan))
    return plans


def _parts(spec: DataSpec, spools: list[Spool], plans: list[_SourcePlan]) -> Iterator[tuple[str, str, bool, int, int]]:
    """(split, text, whether the document ends there, number of its source, bytes of its document once) for all kept text in order."""
    for number, (spool, plan) in enumerate(zip(spools, plans)):
        for document, text, size in spool.texts(plan.kept):
            parts = plan.plan.parts(document, text, exact=spec.exact)
            for validation, part, ends in parts:
                yield SPLITS[validation], part, ends, number, size if len(parts) == 1 else len(part.encode("utf-8"))


def _encode_all(
    spec: DataSpec, spools: list[Spool], plans: list[_SourcePlan], tokenizer: Tokenizer, folder: Path, fingerprint: str, shard_tokens: int, tell: Progress
) -> dict[str, Any]:
    """Write all shards; the index."""
    dtype = token_dtype(tokenizer.vocab_size)
    widths = np.array([len(tokenizer.token_bytes(token)) for token in range(tokenizer.vocab_size)])
    total = sum(int(spool.records()["bytes"][plan.kept].sum()) for spool, plan in zip(spools, plans))
    done = 0
    writers: dict[tuple[str, int], StreamWriter] = {}
    batch: list[tuple[StreamWriter, str, bool, int]] = []

    def flush() -> None:
        for (writer, _, ends, size), ids in zip(batch, tokenizer.encode_batch([text for _, text, _, _ in batch])):
            writer.append(_checked(ids, tokenizer, widths, size, ends), size)
        batch.clear()
        tell(done / total, f"encoding: {done / 1e6:,.0f} of {total / 1e6:,.0f} MB")

    try:
        characters = 0
        for split, text, ends, number, size in _parts(spec, spools, plans):
            if (split, number) not in writers:
                writers[split, number] = StreamWriter(folder, split, spools[number].name, dtype, shard_tokens)
            batch.append((writers[split, number], text, ends, size))
            characters += len(text)
            done += size
            if characters >= BATCH_CHARACTERS or len(batch) >= BATCH_TEXTS:
                flush()
                characters = 0
        flush()
        entries = {key: writer.close() for key, writer in writers.items()}
    except BaseException:
        for writer in writers.values():
            with contextlib.suppress(OSError):
                writer.abandon()
        raise
    return {
        "format": FORMAT,
        "version": VERSION,
        "fingerprint": fingerprint,
        "dtype": dtype.name,
        "vocab_size": tokenizer.vocab_size,
        "end_id": tokenizer.end_id,
        "tokenizer": tokenizer.fingerprint,
        "spec": dump(spec),
        "weights": {spool.name: source.weight for spool, source in zip(spools, spec.described())},
        "splits": {split: [entries[split, number] for number in range(len(spools)) if (split, number) in entries] for split in SPLITS},
    }


def _checked(ids: list[int], tokenizer: Tokenizer, widths: NDArray[np.int64], size: int, ends: bool) -> NDArray[np.unsignedinteger]:
    """A document's ids as an array, with the end token; refused if they do not stand for exactly its bytes."""
    array = np.empty(len(ids) + ends, np.uint32)
    array[: len(ids)] = ids
    body = array[: len(ids)]
    if len(body) and int(body.max()) >= len(widths):
        raise TokenizerError(explain(f"the tokenizer gave id {int(body.max())}", need=f"ids below its vocab_size = {len(widths)}"))
    if int(widths[body].sum()) != size:
        raise TokenizerError(
            explain(
                f"the tokenizer turned {size:,} bytes of text into ids that stand for {int(widths[body].sum()):,} bytes",
                need="a tokenizer that loses nothing, so that bits per byte mean something",
                hint="a byte-level one",
            )
        )
    if ends:
        array[-1] = tokenizer.end_id
    return array


def _card(spec: DataSpec, spools: list[Spool], plans: list[_SourcePlan], index: dict[str, Any]) -> DataCard:
    found = {split: {entry["source"]: entry for entry in index["splits"][split]} for split in SPLITS}

    def count(what: str, name: str) -> dict[str, int]:
        return {split: found[split].get(name, {}).get(what, 0) for split in SPLITS}

    def total(what: str) -> dict[str, int]:
        return {split: sum(entry[what] for entry in found[split].values()) for split in SPLITS}

    names = [spool.name for spool in spools]
    weights = [index["weights"][name] if name in found["train"] else 0.0 for name in names]
    train = [count("tokens", name)["train"] for name in names]
    asked, actual = percentages(weights), percentages(train)
    cards = []
    for i, (spool, plan, source) in enumerate(zip(spools, plans, spec.described())):
        tokens, size, records = count("tokens", spool.name), count("bytes", spool.name), len(plan.kept)
        entries = [found[split][spool.name] for split in SPLITS if spool.name in found[split]]
        cards.append(
            SourceCard(
                name=spool.name,
                kind=dump(source)["kind"],
                licence=source.licence,
                split=plan.plan.kind,
                documents_read=spool.read,
                documents_dropped=spool.read - records,
                duplicates_dropped=records - int(plan.kept.sum()),
                cleaned=dict(sorted(spool.cleaned.items())),
                documents=count("documents", spool.name),
                bytes=size,
                tokens=tokens,
                bytes_per_token=sum(size.values()) / sum(tokens.values()),
                asked_percent=asked[i],
                actual_percent=actual[i],
                passes=weights[i] / sum(weights) * sum(train) / train[i] if train[i] else 0.0,
                sha256={shard["file"]: shard["sha256"] for entry in entries for shard in entry["shards"]},
            )
        )
    tokens, size = total("tokens"), total("bytes")
    return DataCard(
        fingerprint=index["fingerprint"],
        tokenizer=index["tokenizer"],
        vocab_size=index["vocab_size"],
        validation_asked=spec.validation,
        split_asked=spec.split,
        deduplicate=spec.deduplicate,
        documents=total("documents"),
        bytes=size,
        tokens=tokens,
        bytes_per_token={split: size[split] / tokens[split] for split in SPLITS},
        sources=tuple(cards),
    )

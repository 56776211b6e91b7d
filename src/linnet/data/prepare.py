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

from linnet.core.errors import DataError, explain
from linnet.core.files import TEMPORARY, atomic_folder, explained_disk_errors, write_json, write_text
from linnet.core.spec import dump
from linnet.data.card import DataCard, SourceCard, percentages
from linnet.data.encode import Progress, SourcePlan, encode_all, parts
from linnet.data.prepared import Prepared, open_folder
from linnet.data.shards import FORMAT, SHARD_TOKENS, SPLITS, VERSION
from linnet.data.spec import DataSpec
from linnet.data.split import Plan, make_plan, repeated
from linnet.data.spool import Spool, write_spool
from linnet.tokenizer.base import Tokenizer


@dataclass(frozen=True)
class TokenizerTrainer:
    """A tokenizer that is yet to be trained, on training text only.

    train    from texts, which can be read again, to a tokenizer
    load     reads a tokenizer.json back
    recipe   a text that decides the outcome of `train` on given texts (its spec as JSON); with "" a second run
             reads and trains again before it can tell that nothing changed
    """

    train: Callable[[Iterable[str]], Tokenizer]
    load: Callable[[Path], Tokenizer] | None = None
    recipe: str = ""


class TrainingTexts:
    """The texts of the training part, read anew each time that they are gone through."""

    def __init__(self, read: Callable[[], Iterable[tuple[str, str, Any, Any, Any]]]) -> None:
        self._read = read

    def __iter__(self) -> Iterator[str]:
        return (text for side, text, *_ in self._read() if side == "train")


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

    Needs room for the corpus's cleaned text while it runs, and about 50 bytes of memory a document.
    Raises DataError for anything wrong with the text, TokenizerError for a tokenizer that loses bytes, LinnetError
    for a full disk; whatever it raises, nothing half written stays.
    """
    folder = Path(folder)
    tell = progress or (lambda done, message: None)
    if not isinstance(tokenizer, (Tokenizer, TokenizerTrainer)):
        tokenizer = TokenizerTrainer(tokenizer)
    maker = (
        tokenizer.fingerprint if isinstance(tokenizer, Tokenizer) else f"trained {tokenizer.recipe}" if tokenizer.recipe else None
    )
    signatures = [source.signature(seed=seed) for source in spec.sources]
    if maker is not None and None not in signatures:
        found = _reuse(folder / _name(spec, signatures, maker), tokenizer, tell)
        if found is not None:
            return found

    folder.mkdir(parents=True, exist_ok=True)
    with _spool_folder(folder) as place:
        spools = _read_all(spec, seed, place, tell)
        if [source.signature(seed=seed) for source in spec.sources] != signatures:
            raise DataError(
                explain("a source changed while it was read", need="files that stay as they are", hint="the same again")
            )
        plans = _plan_all(spec, spools)
        trained = tokenizer
        if isinstance(tokenizer, TokenizerTrainer):
            tell(None, "training the tokenizer")
            trained = tokenizer.train(TrainingTexts(lambda: parts(spec, spools, plans)))
        assert isinstance(trained, Tokenizer)
        signatures = [signature or spool.digest for signature, spool in zip(signatures, spools)]
        target = folder / _name(spec, signatures, maker or trained.fingerprint)
        found = _reuse(target, trained, tell)
        if found is not None:
            return found
        if target.exists():
            raise DataError(
                explain(f"{target} exists and has no index.json", need="that name for prepared data", hint="moving it away")
            )
        try:
            with atomic_folder(target) as building:
                index = encode_all(spec, spools, plans, trained, building, target.name, shard_tokens, tell)
                trained.save(building / "tokenizer.json")
                write_json(building / "index.json", index)
                card = _card(spec, spools, plans, index)
                write_json(building / "card.json", card.to_json())
                write_text(building / "card.md", card.to_markdown())
        except OSError:
            found = _reuse(target, trained, tell)  # another process asked the same and was first
            if found is None:
                raise
            return found
    tell(1.0, card.announcement())
    return open_folder(target, trained, reused=False)


def _reuse(target: Path, tokenizer: Tokenizer | TokenizerTrainer, tell: Progress) -> Prepared | None:
    """The prepared folder at `target` if it is there and whole; None if it has to be made."""
    if not (target / "index.json").is_file():
        return None
    if isinstance(tokenizer, TokenizerTrainer):
        if tokenizer.load is None:
            return None
        tokenizer = tokenizer.load(target / "tokenizer.json")
    prepared = open_folder(target, tokenizer, reused=True)
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


def _plan_all(spec: DataSpec, spools: list[Spool]) -> list[SourcePlan]:
    """Copies out, over all sources at once, and each source's sides.

    Of copies the first stays, but one in a validation-only source before all others: training loses it.
    """
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
            raise DataError(
                explain(
                    f"source {spool.name!r} holds only copies of other sources' documents",
                    need="text of its own",
                    hint="leaving it out",
                )
            )
        if source.part == "both":
            plan = make_plan(
                spool.name, spec.split, spec.validation, records["fingerprint"][:, 0], records["bytes"], records["characters"]
            )
        else:
            plan = Plan(source.part, np.full(len(records), source.part == "validation"))
        plans.append(SourcePlan(~copy, plan))
    return plans


def _card(spec: DataSpec, spools: list[Spool], plans: list[SourcePlan], index: dict[str, Any]) -> DataCard:
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
                unknown=count("unknown", spool.name),
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

"""From a data spec to a folder of tokens: read, clean, drop copies, split, train a tokenizer if asked, encode, count.

    sources -> spool (read once, cleaned) -> [marks for near copies and overlaps] -> plan (copies out, sides decided)
            -> [tokenizer from training text] -> shards + card

    FOLDER/3f9c…/index.json · card.json · card.md · tokenizer.json · train/ · validation/

The folder's name is the fingerprint of everything that decides its content: the spec, what the sources are made of,
the tokenizer (or the recipe to train it) and this format's version. The same question finds the same folder again;
any other question gets a folder beside it. A folder is renamed into place when it is whole, so there is never half of one.

Reading, marking and encoding are cut into units that are done by all cores (`work.py`, `engine.py`); a journal says which are done,
so that the same question, asked again after a kill, goes on where it stopped.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np

from linnet.core.errors import DataError, explain
from linnet.core.files import sha256_file, sweep, sync_file, sync_folder, write_bytes, write_json, write_text
from linnet.core.spec import dump
from linnet.data.engine import Engine, Here, Processes, Ray, engine_for
from linnet.data.files import UNFINISHED
from linnet.data.journal import Journal
from linnet.data.mark import are_marked
from linnet.data.prepared import Prepared, open_folder
from linnet.data.question import (
    Question,
    TokenizerLater,
    TokenizerTrainer,
    answer_in,
    digest_of,
    maker_of,
    name_of,
    refuse_changes,
)
from linnet.data.shard_writer import write_stream
from linnet.data.shards import FORMAT, SPLITS, VERSION, files_of, token_dtype
from linnet.data.sides import SourcePlan, TrainingTexts, plan_all, training_texts
from linnet.data.sources import Portion
from linnet.data.spec import DataSpec
from linnet.data.spool import Part, Spool
from linnet.data.tally import card_of
from linnet.data.work import Event, Unit, Work
from linnet.data.workplace import Progress, made_folder, sweep_unfinished, work_folder
from linnet.tokenizer.base import Tokenizer
from linnet.tokenizer.load import FILE_NAME

READING, SIGNING, COMPARING, ENCODING = 1.0, 1.2, 0.9, 1.8  # times for the same text, about, where the tokenizer is there


def prepare(
    spec: DataSpec,
    tokenizer: Tokenizer | TokenizerTrainer | TokenizerLater | Callable[[Iterable[str]], Tokenizer],
    folder: Path,
    *,
    seed: int = 0,
    progress: Progress | None = None,
    engine: Engine = "auto",
    workers: int | None = None,
) -> Prepared:
    """Prepare a corpus inside `folder`, or find it there prepared already.

    tokenizer   a Tokenizer, how to open one, or how to train one: a TokenizerTrainer, or just its `train`
    seed        the run's; decides what generated sources say, and nothing else
    progress    told how far it is
    engine      who works: this process, others, a cluster; auto: others where there is much text and more than one core
    workers     how many processes; None: one a core

    Needs room for the corpus's cleaned text while it runs (not for plain text that cleaning leaves as it is), and about 50 bytes of memory a document.
    Raises DataError for anything wrong with the text, TokenizerError for a tokenizer that loses bytes, LinnetError
    for a full disk; whatever it raises, nothing half written stays. Killed or interrupted, it goes on when asked again.
    """
    folder = Path(folder)
    tell = progress or (lambda done, message: None)
    if not isinstance(tokenizer, (Tokenizer, TokenizerTrainer, TokenizerLater)):
        tokenizer = TokenizerTrainer(tokenizer)
    question = Question(spec, seed, tokenizer, folder)
    found = question.answer(tell)
    if found is not None:
        if (left := folder / f"{question.work_name}{UNFINISHED}").exists():
            sweep_unfinished(left)
        return found

    with made_folder(folder), work_folder(folder, question.work_name, tell) as place:
        found = question.answer(tell)  # another process asked the same, and this one waited for it
        if found is not None:
            return found
        work = Work(spec, seed, place, tokenizer=question.tokenizer if isinstance(question.tokenizer, Tokenizer) else None)
        with contextlib.closing(Preparation(work, engine, workers, tell)) as preparation:
            return preparation.run(question, folder)


class Preparation:
    """One corpus on its way: what is read, what is decided, what is encoded."""

    def __init__(self, work: Work, engine: Engine, workers: int | None, tell: Progress) -> None:
        self.work, self.engine, self.workers, self.tell = work, engine, workers, tell
        self.spec = work.spec
        work.spool.mkdir(exist_ok=True)
        work.built.mkdir(exist_ok=True)
        self.journal = Journal(work.folder / "journal.jsonl")
        self.crew: Here | Processes | Ray | None = None
        times = [READING, SIGNING * (self.spec.near is not None), COMPARING * len(self.spec.against), ENCODING]
        self.reading = times[0] / sum(times)  # part of the time
        self.marking = (times[1] + times[2]) / sum(times)

    def close(self) -> None:
        """End the workers, close the files."""
        if self.crew is not None:
            self.crew.close()
        self.journal.close()

    def run(self, question: Question, folder: Path) -> Prepared:
        """All of it; the prepared folder."""
        _ = self.work.against  # what is wrong with evaluation texts is said before anything is read

        def meanwhile() -> None:
            if isinstance(opened := question.opened(), Tokenizer):
                self.keep(opened)

        spools, digests = self.read(meanwhile), question.digests
        refuse_changes(self.spec, self.work.seed, digests, repeat(True))
        tokenizer = question.opened()
        self.mark(spools)
        plans = plan_all(self.spec, spools)
        trained = self.trained(tokenizer, spools, plans)
        self.spec.check(trained)
        known = [digest or digest_of(spool) for digest, spool in zip(digests, spools)] + digests[len(spools) :]
        target = folder / name_of(self.spec, known, maker_of(tokenizer) or trained.fingerprint)
        found = answer_in(target, trained, self.tell)
        if found is not None:
            return found
        if target.exists():
            raise DataError(
                explain(f"{target} exists and has no index.json", need="that name for prepared data", hint="moving it away")
            )
        index = self.encode(spools, plans, trained, target.name)
        refuse_changes(
            self.spec, self.work.seed, digests, [any(part.left is not None for part in spool.parts) for spool in spools]
        )
        index["recipe"] = tokenizer.recipe if isinstance(tokenizer, TokenizerTrainer) else ""
        card = card_of(self.spec, spools, plans, index, exact=trained.exact)
        write_bytes(self.work.built / FILE_NAME, (self.work.folder / FILE_NAME).read_bytes())
        write_json(self.work.built / "card.json", card.to_json())
        write_text(self.work.built / "card.md", card.to_markdown())
        write_json(self.work.built / "index.json", index)
        for split in SPLITS:
            sweep(self.work.built / split)
            sync_folder(self.work.built / split)
        sweep(self.work.built)
        try:
            os.replace(self.work.built, target)
        except OSError:
            found = answer_in(target, trained, self.tell)  # another process came to the same by another way, and was first
            if found is None:
                raise
            return found
        sync_folder(folder)
        self.tell(1.0, card.announcement())
        return open_folder(target, trained, reused=False)

    def told(self, units: list[Unit], alone: bool, n_bytes: int | None) -> Iterator[tuple[int, Event | None]]:
        """What the units say, from whoever does them."""
        if not units:
            return
        if self.crew is None or isinstance(self.crew, Here):
            self.crew = engine_for(self.engine, self.work, self.workers, alone=alone, n_bytes=n_bytes)
        yield from self.crew(units)

    def read(self, meanwhile: Callable[[], None]) -> list[Spool]:
        """All sources, by portions; those that were read before are not read again. `meanwhile`: what is done while others read."""
        portions = [source.portions() for source in self.spec.sources]
        parts = self.read_before(portions)
        units = [
            {
                "do": "read",
                "source": i,
                "portion": j,
                "what": portion.what,
                "again": portion.again,
                "done": [vars(part) for part in parts[i, j]],
            }
            for i, each in enumerate(portions)
            for j, portion in enumerate(each)
            if f"end/{i}/{j}" not in self.journal.entries
        ]
        everything = [portion for each in portions for portion in each]
        total = sum(portion.size for portion in everything) if all(portion.plain for portion in everything) else None
        done = {key: sum(part.size for part in found) for key, found in parts.items()}
        alone = not all(
            type(source).__module__.startswith("linnet.") and type(source).__name__ != "Stdin" for source in self.spec.sources
        )
        self.tell(0.0 if total else None, "reading")
        for done_so_far, (number, event) in enumerate(self.told(units, alone, _known_size(portions))):
            if not done_so_far:
                meanwhile()
            i, j = units[number]["source"], units[number]["portion"]
            if event is None:
                self.journal.add(f"end/{i}/{j}", {})
            elif "part" in event:
                found = parts[i, j]
                self.journal.add(f"read/{i}/{j}/{len(found)}", event["part"])
                found.append(Part(**event["part"]))
                done[i, j] = sum(part.size for part in found)
            elif "bytes" in event:
                done[i, j] = event["bytes"]
            size = sum(done.values())
            name = self.work.names[i]
            self.tell(min(1.0, size / total) * self.reading if total else None, f"reading {name}: {size / 1e6:,.0f} MB")
        spools = [
            Spool(name, self.work.spool, [part for j in range(len(portions[i])) for part in parts[i, j]])
            for i, name in enumerate(self.work.names)
        ]
        for spool in spools:
            spool.refuse_empty()
        return spools

    def read_before(self, portions: list[list[Portion]]) -> dict[tuple[int, int], list[Part]]:
        """The parts of every portion that are there and whole."""
        found: dict[tuple[int, int], list[Part]] = {}
        for i, each in enumerate(portions):
            for j, portion in enumerate(each):
                parts: list[Part] = []
                found[i, j] = parts
                while (entry := self.journal.entries.get(f"read/{i}/{j}/{len(parts)}")) is not None:
                    part = Part(**entry)
                    if not (part.is_of(portion.what) and self.is_whole(i, part)):
                        self.journal.entries.pop(f"end/{i}/{j}", None)
                        break
                    parts.append(part)
        return found

    def is_whole(self, source: int, part: Part) -> bool:
        """Whether a part is there; after a restart of the machine, when files may be lost, its texts are looked at, too."""
        if not part.is_whole(self.work.spool):
            return False
        return not self.journal.rebooted or part.are_its(self.work.texts(source, part), self.work.spool)

    def mark(self, spools: list[Spool]) -> None:
        """What near copies and overlaps are found by, where they are looked for."""
        if not self.marking:
            return
        keys = {f"mark/{part.name}": part for spool in spools for part in spool.parts}
        of = {f"mark/{part.name}": i for i, spool in enumerate(spools) for part in spool.parts}
        against = len(self.spec.against)
        left = {
            key: part
            for key, part in keys.items()
            if self.journal.rebooted
            or key not in self.journal.entries
            or not are_marked(part, self.spec.near, against, self.work.spool)
        }
        total = sum(part.size for part in keys.values())
        before = total - sum(part.size for part in left.values())
        done = dict.fromkeys(left, 0)
        names = list(left)
        units = [{"do": "mark", "source": of[key], "part": vars(part)} for key, part in left.items()]
        for number, event in self.told(units, False, total - before):
            name = names[number]
            if event is None:
                self.journal.add(name, {})
            done[name] = left[name].size if event is None else event["bytes"]
            size = before + sum(done.values())
            self.tell(
                self.reading + self.marking * size / total, f"looking for copies: {size / 1e6:,.0f} of {total / 1e6:,.0f} MB"
            )

    def trained(self, tokenizer: Tokenizer | TokenizerTrainer, spools: list[Spool], plans: list[SourcePlan]) -> Tokenizer:
        """The tokenizer, trained if it has to be, and in the work folder for whoever encodes."""
        path = self.work.folder / FILE_NAME
        if isinstance(tokenizer, TokenizerTrainer):
            if "trained" in self.journal.entries and path.exists() and tokenizer.load is not None:
                trained = tokenizer.load(path)
                if trained.fingerprint == self.journal.entries["trained"]["fingerprint"]:
                    return trained
            self.tell(None, "training the tokenizer")
            tokenizer = tokenizer.train(TrainingTexts(lambda: training_texts(self.work, spools, plans)))
        self.keep(tokenizer)
        return tokenizer

    def keep(self, tokenizer: Tokenizer) -> None:
        """Write the tokenizer where those who encode find it, if it is not there."""
        path, this = self.work.folder / FILE_NAME, {"fingerprint": tokenizer.fingerprint}
        before = self.journal.entries.get("trained")
        if before not in (None, this):
            self.journal.forget("encode/")  # shards of two tokenizers have the same names
        if before != this or not path.exists():
            tokenizer.save(path)
            self.journal.add("trained", this)
        self.work.tokenizer = tokenizer
        self.work.warm()

    def encode(self, spools: list[Spool], plans: list[SourcePlan], tokenizer: Tokenizer, fingerprint: str) -> dict[str, Any]:
        """Write all shards; the index."""
        maker = tokenizer.fingerprint
        if isinstance(self.crew, Processes):
            self.crew.renew()
        units: list[Unit] = []
        shards: dict[tuple[int, int], dict[str, Any]] = {}
        for i, (spool, plan) in enumerate(zip(spools, plans)):
            sides, cut = plan.sides(exact=self.spec.exact)
            sides.tofile(self.work.spool / f"{i}.sides")
            for k, (part, first) in enumerate(zip(spool.parts, spool.firsts())):
                mine = sides[first : first + part.documents]
                before = self.encoded_before(f"encode/{maker}/{i}/{k}")
                if before is not None or not mine.any():
                    shards[i, k] = before or {}
                    continue
                here = cut is not None and first <= cut.document < first + part.documents
                units.append(
                    {
                        "do": "encode",
                        "source": i,
                        "number": k,
                        "part": vars(part),
                        "first": first,
                        "name": f"{spool.name}.{k:05d}",
                        "cut": [cut.document - first, cut.character, cut.reach] if cut is not None and here else None,
                    }
                )
        units.sort(key=lambda unit: -unit["part"]["size"])  # the small ones last: then all workers end at about the same time
        total = sum(part.size for spool in spools for part in spool.parts) or 1
        left = sum(unit["part"]["size"] for unit in units)
        done = dict.fromkeys(range(len(units)), 0)
        alone = not type(tokenizer).__module__.startswith("linnet.")
        for number, event in self.told(units, alone, left):
            unit = units[number]
            if event is not None and "shards" in event:
                key = (unit["source"], unit["number"])
                shards[key] = event["shards"]
                for shard in event["shards"].values():
                    for file in files_of(shard):
                        sync_file(self.work.built / file["file"])  # here, where nobody waits for it
                self.journal.add(f"encode/{maker}/{key[0]}/{key[1]}", event["shards"])
            done[number] = unit["part"]["size"] if event is None else event.get("bytes", done[number])
            size = total - left + sum(done.values())
            begun = self.reading + self.marking
            self.tell(begun + (1 - begun) * size / total, f"encoding: {size / 1e6:,.0f} of {total / 1e6:,.0f} MB")
        return self.index(spools, shards, tokenizer, fingerprint)

    def encoded_before(self, key: str) -> dict[str, Any] | None:
        """The shards of a part, if they are there and whole."""
        shards: dict[str, Any] | None = self.journal.entries.get(key)
        if shards is None:
            return None
        for split, shard in shards.items():
            files = {self.work.built / file["file"]: file["sha256"] for file in files_of(shard)}
            lengths = self.work.spool / f"{Path(shard['file']).stem}.{split}.lengths"
            there = all(file.is_file() for file in (*files, lengths))
            if not there or lengths.stat().st_size != shard["documents"] * 8:
                return None
            if self.journal.rebooted and (
                any(sha256_file(file) != sha256 for file, sha256 in files.items())
                or np.fromfile(lengths, "<u8").sum() != shard["tokens"]
            ):
                return None
        return shards

    def index(
        self, spools: list[Spool], shards: dict[tuple[int, int], dict[str, Any]], tokenizer: Tokenizer, fingerprint: str
    ) -> dict[str, Any]:
        """What index.json says; writes the files that say where documents begin."""
        splits: dict[str, list[dict[str, Any]]] = {}
        for split in SPLITS:
            (self.work.built / split).mkdir(exist_ok=True)
            splits[split] = []
            for i, spool in enumerate(spools):
                mine = [shards[i, k][split] for k in range(len(spool.parts)) if split in shards[i, k]]
                lengths = [self.work.spool / f"{Path(shard['file']).stem}.{split}.lengths" for shard in mine]
                if mine:
                    splits[split].append(write_stream(self.work.built, split, spool.name, mine, lengths))
        return {
            "format": FORMAT,
            "version": VERSION,
            "fingerprint": fingerprint,
            "dtype": token_dtype(tokenizer.vocab_size).name,
            "vocab_size": tokenizer.vocab_size,
            "end_id": tokenizer.end_id,
            "tokenizer": tokenizer.fingerprint,
            "spec": dump(self.spec),
            "weights": {spool.name: dump(source.weight) for spool, source in zip(spools, self.spec.described())},
            "splits": splits,
        }


def _known_size(portions: list[list[Portion]]) -> int | None:
    """The bytes of all portions; None where a source has several and does not know how large they are."""
    if any(len(each) > 1 and not any(portion.size for portion in each) for each in portions):
        return None
    return sum(portion.size for each in portions for portion in each)

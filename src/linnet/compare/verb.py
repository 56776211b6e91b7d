"""A comparison from what was asked to its pages.

    OUT/compare.yaml     what was asked, so that OUT alone is enough to go on
    OUT/data/            the text as tokens, once for all
    OUT/runs/            NAME-seed-N: an ordinary run folder; NAME-seed-N.json: what came of it; NAME-seed-N.log
    OUT/compare.json · compare.md · compare.html · loss-….svg

Entrants and seeds can be added to a comparison later, by asking for more with the same --out; its budget and its text cannot change, and
what was begun in it stays in it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

from linnet.compare.ledger import check_kept, kept_at, write_ledger
from linnet.compare.measure import decode_speeds
from linnet.compare.pages import write_pages
from linnet.compare.question import LISTED, Budget, Entrant, Trial, budget_of, differences, entrants_of, trials_of
from linnet.compare.race import done_share, is_done, outcome_of, race
from linnet.compare.summary import GOOD, read_summary, summarise
from linnet.core.errors import ConfigError, explain, listing
from linnet.core.files import write_json, write_text
from linnet.core.names import nearest
from linnet.core.spec import dump, fitting, load
from linnet.core.yaml import read_yaml, to_yaml
from linnet.data.corpus import prepare_corpus
from linnet.data.prepared import Prepared, open_named
from linnet.interop.native import MANIFEST
from linnet.objective import Objective
from linnet.train.begin import check_tokens
from linnet.train.evaluation import yardsticks_of
from linnet.train.machine import describe_machine
from linnet.train.progress import clock_text
from linnet.train.record import locked, read_record
from linnet.train.settle import check_sides
from linnet.train.spec import RunSpec

ASKED = "compare.yaml"
OUT = Path("runs/compare")  # where no folder is said
SEEDS = 3


@dataclass(frozen=True)
class Wish:
    """What was asked on the command line."""

    what: tuple[str, ...]
    models: tuple[str, ...] = ()
    minutes: float | None = None
    flops: float | None = None
    tokens: float | None = None
    seeds: int | None = None  # None: as many as there are, or SEEDS
    baseline: str | None = None
    at_once: int = 1
    threads: int | None = None
    set: tuple[str, ...] = ()


def carry_out(wish: Wish, out: Path | None, *, ledger: Path | None, console: Console) -> tuple[dict[str, Any], list[Path]]:
    """The summary of a comparison, trained as far as it was not yet, and the pages that were written."""
    only = Path(wish.what[0]) if len(wish.what) == 1 else None
    if only is not None and only.suffix == ".json":
        summary, written = read_summary(only), list[Path]()
        name = only.stem if only.stem != "compare" else only.absolute().parent.name
    else:
        folder = place_of(wish, out)
        name = folder.absolute().name
        if folder == only and (folder / ASKED).is_file():
            wish = read_wish(folder, wish, out)

        def check(budget: Budget, fingerprint: str, objective: Any) -> None:
            if ledger is not None:
                check_kept(kept_at(ledger, name), budget, fingerprint, objective)

        summary, written = trained(wish, folder, console, check)
    if ledger is not None:
        written = [*written, *write_ledger(summary, ledger, name)]
    return summary, written


def place_of(wish: Wish, out: Path | None) -> Path:
    """The folder of the comparison: the one that is named in the place of run files, or `out`, or OUT."""
    only = Path(wish.what[0]) if len(wish.what) == 1 else None
    return only if only is not None and (only / ASKED).is_file() else out or OUT


def read_wish(folder: Path, now: Wish, out: Path | None) -> Wish:
    """What was asked of the comparison in a folder; how many seeds, how many at a time, and on how many threads, can be said anew."""
    said = [name for name in ("models", "minutes", "flops", "tokens", "baseline", "set") if getattr(now, name)]
    if out is not None and out.absolute() != folder.absolute():
        said.append("out")
    if said:
        got = f"{folder}, which is a comparison that was begun, with --{', --'.join(said)}"
        raise ConfigError(
            explain(got, need="nothing else: it goes on as it was begun", hint="the run files again, with another --out")
        )
    before = fitting(Wish, read_yaml(folder / ASKED), name=f"{folder}/{ASKED}", error=ConfigError)
    default = Wish(what=())
    how = {name: getattr(now, name) for name in ("seeds", "at_once", "threads") if getattr(now, name) != getattr(default, name)}
    return replace(before, **how)


def trained(
    wish: Wish, out: Path, console: Console, check: Callable[[Budget, str, Any], None]
) -> tuple[dict[str, Any], list[Path]]:
    """The comparison in `out`, all of it.

    check   raises, before anything is trained, where its budget and the fingerprint of its tokens will not do
    """
    seeds = SEEDS if wish.seeds is None else wish.seeds
    wish = replace(wish, seeds=seeds)
    entrants = entrants_of(wish.what, wish.models, wish.set)
    budget = budget_of(wish.minutes, wish.flops, wish.tokens)
    for name, value in (
        ("seeds", seeds),
        ("at-once", wish.at_once),
        ("threads", 1 if wish.threads is None else wish.threads),
    ):
        if value < 1:
            raise ConfigError(explain(f"--{name} {value}", need="at least 1", hint=f"--{name} {SEEDS if name == 'seeds' else 1}"))
    names = [entrant.name for entrant in entrants]
    baseline = wish.baseline or names[0]
    if baseline not in names:
        raise ConfigError(explain(f"--baseline {baseline}", need="one of those that are compared", hint=nearest(baseline, names)))
    threads = wish.threads or (None if wish.at_once == 1 else max(1, (os.cpu_count() or 1) // wish.at_once))
    check_place(out)
    with locked(out):
        check_budget(out, budget)
        prepared = text_of(entrants[0], out, console)
        check(budget, prepared.fingerprint, dump(entrants[0].spec.objective))
        check_rows(entrants, prepared)
        for entrant in entrants:
            if entrant.spec.weights is not None:
                check_tokens(Path(entrant.spec.weights), prepared.tokenizer)
        trials = trials_of(entrants, budget, seeds, out, prepared.folder, prepared.tokenizer.vocab_size, threads)
        check_before(trials, prepared.fingerprint)
        check_all(trials, out)
        write_text(out / ASKED, to_yaml(as_table(wish)))
        give_yardsticks(trials, prepared, entrants[0].spec.objective.bound(prepared.tokenizer))
        run_all(trials, wish.at_once, budget, console)
        best = {trial.name: trial.folder for trial in reversed(trials) if came_to_an_end(trial)}
        speeds = decode_speeds(best, threads=threads)
        machine = describe_machine(torch.device("cpu"))
        how = {
            "machine": f"{machine['system']}, {machine['cores']} cores",
            "torch": machine["torch"],
            "at_once": wish.at_once,
            "threads": threads,
        }
        summary = summarise(entrants, trials, budget, prepared, baseline=baseline, speeds=speeds, how=how)
        return summary, write_pages(summary, out)


def check_rows(entrants: Sequence[Entrant], prepared: Prepared) -> None:
    """Raise ConfigError for an entrant that cannot read tokens that were prepared before."""
    for entrant in entrants:
        try:
            check_sides(entrant.spec.model.sentence(prepared.tokenizer.vocab_size), prepared.spec.rows)
        except ConfigError as error:
            raise ConfigError(f"{entrant.name}: {error}") from None


def as_table(wish: Wish) -> dict[str, Any]:
    """A wish as plain data; paths that are there are written out, so that it means the same from anywhere."""
    what = [os.path.abspath(each) if Path(each).exists() else each for each in wish.what]
    return asdict(wish) | {"what": what, "models": list(wish.models), "set": list(wish.set)}


def came_to_an_end(trial: Trial) -> bool:
    """Whether a run has a model to show."""
    found = outcome_of(trial)
    return found is not None and found["why"] in GOOD


def check_place(out: Path) -> None:
    """Raise ConfigError where `out` is the folder of a run or of a model."""
    for mark in ("run.yaml", MANIFEST):
        if (out / mark).is_file():
            got = f"--out {out}, where there is a {mark}"
            raise ConfigError(explain(got, need="a folder of the comparison's own", hint="another --out"))


def check_all(trials: Sequence[Trial], out: Path) -> None:
    """Raise ConfigError where a run that was begun in `out` is not among those asked for: it would be left out of what is shown."""
    begun = {file.parent.name for file in (out / "runs").glob("*/run.yaml")}
    missing = sorted(begun - {trial.folder.name for trial in trials})
    if missing:
        shown = ", ".join(missing[:LISTED]) + (f" and {len(missing) - LISTED} more" if len(missing) > LISTED else "")
        got = f"{out} holds {shown}, which {'is' if len(missing) == 1 else 'are'} not asked for"
        raise ConfigError(
            explain(
                got, need="all that was begun there, or more", hint=f"linnet compare {out} to go on with it, or another --out"
            )
        )


def check_budget(out: Path, budget: Budget) -> None:
    """Raise ConfigError where `out` holds a comparison with another budget."""
    if not (out / ASKED).is_file():
        return
    before = fitting(Wish, read_yaml(out / ASKED), name=f"{out}/{ASKED}", error=ConfigError)
    had = budget_of(before.minutes, before.flops, before.tokens)
    if had != budget:
        raise ConfigError(
            explain(f"{out} holds a comparison at {had}", need=f"the same budget, not {budget}", hint="another --out")
        )


def check_before(trials: Sequence[Trial], fingerprint: str) -> None:
    """Raise ConfigError where a run that is there already is another one than is asked for now. Everything counts, what is null as well;
    only the tokens may lie elsewhere than they did, as long as they are the same.

    fingerprint   of the tokens
    """
    moved = []
    for trial in trials:
        if not (trial.folder / "run.yaml").is_file():
            continue
        record = read_record(trial.folder)
        asked = record.get("asked") or record["resolved"]
        before = dump(load(RunSpec, asked, name=f"{trial.folder}/run.yaml"))
        place, tokens = trial.table["data"]["prepared"], before["data"]["prepared"]
        if record.get("data") == fingerprint:
            before["data"]["prepared"] = place
        found = differences(dump(load(RunSpec, trial.table)), before, "")
        if found:
            lines = [f"{path.lstrip('.')} = {now!r}; the run has {had!r}" for path, now, had in found]
            hint = "try: what was asked for before, or another --out"
            raise ConfigError(listing([*lines, hint], f"{trial.folder} holds another run than this one"))
        if tokens != place:
            moved.append((trial.folder, record))
    for folder, record in moved:
        for part in (record["resolved"], record.get("asked")):
            if part is not None:
                part["data"]["prepared"] = place
        write_text(folder / "run.yaml", to_yaml(record))


def text_of(entrant: Entrant, out: Path, console: Console) -> Prepared:
    """The text of all of them as tokens: made once, or found where it was made before."""
    spec = entrant.spec
    if spec.data.prepared is not None:
        return open_named(spec.data)
    with console.status("reading the text") as status:
        return prepare_corpus(
            spec.corpus, out / "data", lambda done, what: status.update(Text(what if done is None else f"{what} {done:.0%}"))
        )


def give_yardsticks(trials: Sequence[Trial], prepared: Prepared, objective: Objective) -> None:
    """What n-grams and xz make of the text, measured once for an objective that is the same for all, into the folders of runs that have not begun."""
    new = [trial for trial in trials if not (trial.folder / "yardsticks.json").is_file()]
    if not new:
        return
    measured = yardsticks_of(prepared, objective)
    for trial in new:
        write_json(trial.folder / "yardsticks.json", measured)


def run_all(trials: Sequence[Trial], at_once: int, budget: Budget, console: Console) -> None:
    """Run what is missing, with one bar over all of it."""
    done = sum(is_done(trial) for trial in trials)
    if done == len(trials):
        return
    again = f", {done} of them done already" if done else ""
    length = ""
    if budget.seconds is not None:
        length = f"; about {clock_text(budget.seconds * -(-(len(trials) - done) // at_once))} and what reading and measuring take"
    console.print(Text(f"{len(trials)} runs, {budget} each{again}{length}"), soft_wrap=True)
    began, before = time.perf_counter(), sum(done_share(trial) for trial in trials)
    said: set[Trial] = {trial for trial in trials if is_done(trial)}
    bar = Progress(
        TextColumn("{task.fields[done]} of {task.total:.0f}"), BarColumn(bar_width=28), TextColumn("{task.percentage:3.0f}%"),
        TextColumn("{task.fields[left]} left"), TextColumn("[dim]{task.fields[now]}"),
        console=console, refresh_per_second=2, disable=console.quiet or not console.is_terminal,
    )  # fmt: skip
    with bar:
        task = bar.add_task("runs", total=len(trials), completed=0, done=done, left="–", now="")

        def tell(running: Sequence[Trial], shares: dict[Trial, float]) -> None:
            total, spent = sum(shares.values()), time.perf_counter() - began
            left = clock_text(spent * (len(trials) - total) / (total - before)) if total - before > 0.02 else "–"
            now = ", ".join(f"{trial.name} {trial.seed} {shares[trial]:.0%}" for trial in running)
            ended = [trial for trial in trials if outcome_of(trial) is not None and trial not in running]
            for trial in ended:
                if trial not in said:
                    said.add(trial)
                    console.print(Text(line_of(trial)), soft_wrap=True)
            bar.update(task, completed=total, done=len(ended), left=left, now=now)

        race(trials, at_once, tell)


def line_of(trial: Trial) -> str:
    """What came of one run, when it ends."""
    found = outcome_of(trial) or {}
    loss = (
        f"{found['loss']:.4f} nats a token after {found['step']:,} steps"
        if found.get("loss") is not None
        else found.get("message", "")
    )
    return f"{trial.name}, seed {trial.seed}: {found.get('why')}, {loss}"

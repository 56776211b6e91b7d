"""What is compared with what, and why that is fair: run files, one budget, some seeds.

    run files (or one, and names of families) → entrants → refused where they do not read the same text in the same tokens
    entrant × seed → Trial: an ordinary run, whose length is the budget and whose tokens are prepared once for all

A budget is time in the training loop, arithmetic, or tokens read. Of the last two a run's number of steps follows, so that they give the same
on every machine. Deliberately no search for the best learning rate of each: what the run files say is compared.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from linnet.asked import change
from linnet.command import ask, table_of
from linnet.core.errors import ConfigError, explain, listing
from linnet.core.names import nearest
from linnet.core.spec import dump, load, words
from linnet.data.prepared import DRAWING
from linnet.model.count import Cost, count
from linnet.train.begin import begun_from
from linnet.train.settle import check_model, context_of
from linnet.train.spec import RunSpec
from linnet.zoo import Decoder, Family

BudgetKind = Literal["minutes", "flops", "tokens"]
KEPT = {*Decoder.model_fields} - {"n_kv_heads", "d_head", "d_ff"}  # of a model whose family is exchanged
LISTED = 8  # differences that a refusal names


@dataclass(frozen=True)
class Budget:
    """What each run may use: minutes in the training loop, FLOPs of training, or tokens that are trained on."""

    kind: BudgetKind
    value: float

    def __str__(self) -> str:
        if self.kind == "minutes":
            return f"{self.value:g} minute{'s' if self.value != 1 else ''} of training"
        return f"{self.value:,.0f} tokens" if self.kind == "tokens" else f"{self.value:.3g} FLOP"

    @property
    def seconds(self) -> float | None:
        """Of the training loop; None where steps are counted."""
        return 60 * self.value if self.kind == "minutes" else None

    def train(self, spec: RunSpec, cost: Cost, context: int) -> dict[str, Any]:
        """The fields of `train:` that say it."""
        if self.kind == "minutes":
            return {"minutes": float(self.value), "steps": None}
        tokens = self.value if self.kind == "tokens" else self.value / cost.train_flops
        return {"steps": max(1, math.ceil(tokens / (spec.train.batch_size * context))), "minutes": None}


def budget_of(minutes: float | None, flops: float | None, tokens: float | None) -> Budget:
    """The one budget that was said. Raises ConfigError for none or several, and for one that is no number above 0."""
    given: dict[BudgetKind, float | None] = {"minutes": minutes, "flops": flops, "tokens": tokens}
    said = [Budget(kind, value) for kind, value in given.items() if value is not None]
    if len(said) != 1:
        got = "no budget" if not said else " and ".join(f"--{each.kind}" for each in said)
        raise ConfigError(explain(got, need="one of --minutes, --flops and --tokens", hint="--minutes 3"))
    if not (math.isfinite(said[0].value) and said[0].value > 0):
        got = f"--{said[0].kind} {said[0].value:g}"
        raise ConfigError(explain(got, need="more than 0", hint="--minutes 3"))
    return said[0]


@dataclass(frozen=True)
class Entrant:
    """One of those that are compared: a name, and the run that its file asks for."""

    name: str
    spec: RunSpec


@dataclass(frozen=True, eq=False)
class Trial:
    """A run of an entrant with a seed: its table, with everything written out, and where it goes."""

    name: str
    seed: int
    table: dict[str, Any]
    folder: Path
    seconds: float | None  # of the training loop
    threads: int | None  # None: as many as torch takes

    @property
    def outcome(self) -> Path:
        """What came of it, once something has."""
        return self.folder.parent / f"{self.folder.name}.json"

    @property
    def log(self) -> Path:
        """What it said to nobody."""
        return self.folder.parent / f"{self.folder.name}.log"


def entrants_of(what: Sequence[str], models: Sequence[str] = (), changes: Sequence[str] = ()) -> list[Entrant]:
    """An entrant for each run file, or of one file for each family named. Raises ConfigError for none, for two of one name, and
    for those that do not read the same text in the same tokens."""
    if not what:
        raise ConfigError(
            explain("nothing to compare", need="run files", hint="linnet compare configs/compare/*.yaml --minutes 3")
        )
    if models and len(what) > 1:
        got = f"--models beside {len(what)} run files"
        raise ConfigError(
            explain(got, need="one run file, whose model is exchanged", hint=f"{what[0]} --models {','.join(models)}")
        )
    found = [of_family(what[0], model, changes) for model in models] if models else [of_file(each, changes) for each in what]
    names = [entrant.name for entrant in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(
            explain(f"two entrants are called {', '.join(twice)}", need="a name for each", hint="name: in one of the run files")
        )
    check_same_text(found)
    return found


def of_file(what: str, changes: Sequence[str]) -> Entrant:
    """The entrant that a run file asks for; it is called as the file is, unless it says another name. What a run that begins from
    weights leaves open is theirs. Raises ConfigError for a name that cannot be a folder's."""
    asked = ask(what, set=changes)
    name = asked.spec.name or asked.name
    if Path(name).name != name or "\\" in name:
        raise ConfigError(explain(f"{what}: name = {name!r}", need="a name, not a path", hint="one without / and \\"))
    return Entrant(name, begun_from(asked.spec))


def of_family(what: str, kind: str, changes: Sequence[str]) -> Entrant:
    """The entrant of a run file with another family in the place of its model, of the same size."""
    if kind not in words(Family):  # type: ignore[type-abstract]
        raise ConfigError(explain(f"--models {kind}", need="a family", hint=nearest(kind, words(Family))))  # type: ignore[type-abstract]
    table, _, called = table_of(what)
    base = load(RunSpec, table, name=called).model
    fields = words(Family)[kind].model_fields  # type: ignore[type-abstract]
    kept = {name: value for name, value in dump(base).items() if name in KEPT and name in fields and name != "kind"}
    table = deepcopy(table) | {"model": {"kind": kind} | kept}
    change(RunSpec, table, changes)
    spec = load(RunSpec, table, name=f"{called} with model {kind}")
    try:
        check_model(spec, table)
    except ConfigError as error:
        raise ConfigError(f"{called} with model {kind}: {error}") from None
    if spec.weights is not None:
        got = f"--models with weights: {spec.weights}"
        raise ConfigError(explain(got, need="no weights, which fit one model alone", hint="run files, one a model"))
    return Entrant(kind, spec)


# ---- what has to be the same, and what is not --------------------------------------------------------------------------


def check_same_text(entrants: Sequence[Entrant]) -> None:
    """Raise ConfigError where losses could not be compared: another text, other tokens, another objective, other rows."""
    first, problems = entrants[0], []
    for other in entrants[1:]:
        for part in ("data", "tokenizer", "objective", "seed"):
            for path, here, there in differences(dump(getattr(first.spec, part)), dump(getattr(other.spec, part)), part):
                problems.append(f"{path}: {here!r} in {first.name}, {there!r} in {other.name}")
        here, there = (each.spec.train.context_length or each.spec.model.reads for each in (first, other))
        if here != there:
            problems.append(f"tokens read at a time: {here} in {first.name}, {there} in {other.name}")
    if problems:
        more = [f"… and {len(problems) - LISTED} more"] if len(problems) > LISTED else []
        heading = "losses on different text, or in different tokens, cannot be compared"
        hint = "try: the same in all of them, or --set PART.FIELD=VALUE, which changes them all"
        raise ConfigError(f"{listing(problems[:LISTED] + more, heading)}\n  {hint}")


def differences(here: Any, there: Any, path: str) -> list[tuple[str, Any, Any]]:
    """Where two plain values differ: (path, the one, the other)."""
    if isinstance(here, dict) and isinstance(there, dict) and here.get("kind") == there.get("kind"):
        keys = list(dict.fromkeys([*here, *there]))
        return [found for key in keys for found in differences(here.get(key), there.get(key), f"{path}.{key}")]
    return [] if here == there else [(path, here, there)]


def terms(entrants: Sequence[Entrant]) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """On what terms they are trained: what is the same for all, and part by part what each of them says."""
    parts = {
        "objective": lambda spec: dump(spec.objective),
        "optimizer": lambda spec: dump(spec.optimizer),
        "schedule": lambda spec: dump(spec.schedule),
        "rows a step": lambda spec: spec.train.batch_size,
        "tokens a row": lambda spec: spec.train.context_length or spec.model.reads,
        "clip": lambda spec: spec.train.clip,
        "precision": lambda spec: spec.train.precision,
    }
    same: dict[str, Any] = {}
    own: dict[str, dict[str, Any]] = {}
    for part, of in parts.items():
        said = {entrant.name: of(entrant.spec) for entrant in entrants}
        if all(value == said[entrants[0].name] for value in said.values()):
            same[part] = said[entrants[0].name]
        else:
            own[part] = said
    return same, own


# ---- the runs ----------------------------------------------------------------------------------------------------------


def trials_of(
    entrants: Sequence[Entrant], budget: Budget, seeds: int, out: Path, tokens: Path, vocab_size: int, threads: int | None
) -> list[Trial]:
    """Every entrant with every seed, seed by seed, so that what is there early says something of all of them.

    tokens   the folder of prepared tokens
    """
    if seeds < 1:
        raise ConfigError(explain(f"--seeds {seeds}", need="at least 1", hint="--seeds 3, which gives an interval"))
    found = []
    for number in range(seeds):
        for entrant in entrants:
            spec, seed = entrant.spec, entrant.spec.seed + number
            sentence = spec.model.sentence(vocab_size)
            context = context_of(spec, sentence)
            table = dump(spec) | {"seed": seed, "name": None}
            del table["tokenizer"]
            table["data"] = {name: table["data"][name] for name in DRAWING} | {"prepared": str(tokens.absolute())}
            table["train"] |= budget.train(spec, count(sentence, context), context) | {"threads": None}
            table["validation"] |= {"patience": None}  # each has the whole budget,
            table["checkpoint"] |= {"keep_best": False, "keep_last": 1}  # is measured at its end,
            table["sample"] |= {"tokens": 0}  # and spends none of it on writing
            found.append(Trial(entrant.name, seed, table, out / "runs" / f"{entrant.name}-seed-{seed}", budget.seconds, threads))
    return found

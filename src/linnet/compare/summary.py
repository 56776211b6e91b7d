"""What came of a comparison, as one table of plain data: compare.json, from which all pages are made.

Per entrant: what it is and costs (counted), what its runs came to (measured), means over seeds with 95 % intervals, the difference to the
baseline, and the curve of its validation loss over time, FLOPs and tokens. A seed that diverged or failed stays in the table, with its reason;
means are of the others, and say of how many.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from linnet.compare.question import Budget, Entrant, Trial, terms
from linnet.compare.race import outcome_of
from linnet.core.errors import LinnetError, explain
from linnet.core.files import read_json
from linnet.core.spec import dump
from linnet.data.prepared import Prepared
from linnet.evaluate.bootstrap import Estimate
from linnet.evaluate.seeds import difference_interval, mean_interval
from linnet.model.count import count
from linnet.report.contents import read_contents
from linnet.train.settle import context_of

FORMAT = 1
POINTS = 24  # of a curve
AXES = ("seconds", "flops", "tokens")
GOOD = ("finished", "early stop")


def summarise(
    entrants: Sequence[Entrant],
    trials: Sequence[Trial],
    budget: Budget,
    prepared: Prepared,
    *,
    baseline: str,
    speeds: Mapping[str, float],
    how: Mapping[str, Any],
) -> dict[str, Any]:
    """compare.json. `how`: what else is said of the runs (machine, threads)."""
    same, own = terms(entrants)
    rows = [
        entrant_row(entrant, [trial for trial in trials if trial.name == entrant.name], prepared.tokenizer.vocab_size)
        for entrant in entrants
    ]
    base = losses(next(row for row in rows if row["name"] == baseline))
    for row in rows:
        mine = losses(row)
        compared = row["name"] != baseline and mine and base
        row["difference"] = rounded(difference_interval(mine, base)) if compared else None
        row["decode_tokens_per_second"] = significant(speeds.get(row["name"]))
    return {
        "format": FORMAT,
        "budget": {"kind": budget.kind, "value": budget.value},
        "seeds": len({trial.seed for trial in trials}),
        "baseline": baseline,
        "data": {
            "sources": [source.label() for source in prepared.spec.described()],
            "train_tokens": prepared.train.tokens,
            "validation_tokens": prepared.validation.tokens,
            "vocab_size": prepared.tokenizer.vocab_size,
            "fingerprint": prepared.fingerprint,
        },
        "same": same,
        "own": own,
        "how": dict(how),
        "entrants": rows,
    }


def entrant_row(entrant: Entrant, trials: Sequence[Trial], vocab_size: int) -> dict[str, Any]:
    """What one entrant is, costs, and came to."""
    sentence = entrant.spec.model.sentence(vocab_size)
    context = context_of(entrant.spec, sentence)
    cost, longer = count(sentence, context), count(sentence, 2 * context)
    seeds = [seed_row(trial, cost.train_flops) for trial in trials]
    curves = [seed.pop("curve") for seed in seeds]
    good = [place for place, seed in enumerate(seeds) if seed["why"] in GOOD and seed["loss"] is not None]

    def mean(name: str) -> float | None:
        values = [seeds[place][name] for place in good if seeds[place][name] is not None]
        return significant(float(np.mean(values))) if values else None

    return {
        "name": entrant.name,
        "model": dump(entrant.spec.model),
        "parameters": cost.parameters,
        "active_parameters": sentence.n_active_params(),
        "flops_per_token": cost.train_flops,
        "context": context,
        "state_bytes": cost.state_bytes,
        "state_bytes_per_token": (longer.state_bytes - cost.state_bytes) / context,
        "loss": rounded(mean_interval([seeds[place]["loss"] for place in good])) if good else None,
        **{name: mean(name) for name in ("bits_per_byte", "step", "tokens", "seconds", "memory_bytes")},
        "seeds": seeds,
        "curves": {axis: mean_curve([curves[place] for place in good], axis) for axis in AXES},
    }


def losses(row: Mapping[str, Any]) -> list[float]:
    """The losses of an entrant's runs that came to their end."""
    return [seed["loss"] for seed in row["seeds"] if seed["why"] in GOOD and seed["loss"] is not None]


def seed_row(trial: Trial, flops_per_token: float) -> dict[str, Any]:
    """What came of one run, and its curve: {"seconds", "flops", "tokens", "loss"}, a value for each validation."""
    found = outcome_of(trial) or {"why": "missing"}
    row = {"seed": trial.seed} | {name: found.get(name) for name in ("why", "loss", "bits_per_byte", "step", "memory_bytes")}
    if "message" in found:
        row["message"] = found["message"]
    row |= {"tokens": None, "seconds": None, "curve": {}}
    if not trial.folder.is_dir():
        return row
    contents = read_contents(trial.folder)
    seconds = unwrapped(contents.timings["seconds"])
    if len(contents.train["tokens"]):
        row["tokens"] = int(np.nanmax(contents.train["tokens"]))
    if len(seconds):
        row["seconds"] = significant(float(seconds[-1]))
        row["step"] = row["step"] if row["step"] is not None else int(np.nanmax(contents.timings["step"]))
        known = np.isin(contents.validation["step"], contents.timings["step"]) & ~np.isnan(contents.validation["loss"])
        tokens = contents.validation["tokens"][known]
        row["curve"] = {
            "seconds": np.interp(contents.validation["step"][known], contents.timings["step"], seconds),
            "flops": tokens * flops_per_token,
            "tokens": tokens,
            "loss": contents.validation["loss"][known],
        }
    return row


def unwrapped(seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Seconds since a run began (N,), from those since each of its sittings began: a run of steps does not add them up."""
    return seconds + np.cumsum(np.where(np.diff(seconds, prepend=0.0) < 0, np.concatenate(([0.0], seconds[:-1])), 0.0))


def mean_curve(curves: Sequence[Mapping[str, NDArray[np.float64]]], axis: str) -> dict[str, list[float]]:
    """The mean over runs at places that all of them reached, with its interval: {"x", "loss", "low", "high"}; empty without runs.

    Runs are validated at different moments: between two of them a curve is a straight line.
    """
    curves = [curve for curve in curves if len(curve.get(axis, ()))]
    if not curves:
        return {"x": [], "loss": [], "low": [], "high": []}
    first, last = max(curve[axis][0] for curve in curves), min(curve[axis][-1] for curve in curves)
    x = np.linspace(first, max(first, last), POINTS if last > first else 1)
    at = np.array([np.interp(x, curve[axis], curve["loss"]) for curve in curves])  # (runs, points)
    found = [mean_interval(column) for column in at.T.tolist()]
    return {
        "x": [significant(value) or 0.0 for value in x.tolist()],
        "loss": [round(each.value, 5) for each in found],
        "low": [round(each.value if each.low is None else each.low, 5) for each in found],
        "high": [round(each.value if each.high is None else each.high, 5) for each in found],
    }


def rounded(found: Estimate) -> dict[str, float | None]:
    """An estimate as plain data, to a hundredth of a thousandth."""
    return {name: None if value is None else round(value, 5) for name, value in found.to_dict().items()}


def significant(value: float | None, digits: int = 5) -> float | None:
    """A measured number without the digits that nobody measured."""
    return None if value is None else float(f"{value:.{digits}g}")


def read_summary(path: Path) -> dict[str, Any]:
    """A compare.json. Raises LinnetError for a file that is none, or of another version."""
    found = read_json(path, what="the compare.json of linnet compare")
    if not isinstance(found, dict) or found.get("format") != FORMAT or not isinstance(found.get("entrants"), list):
        version = found.get("format") if isinstance(found, dict) else None
        raise LinnetError(
            explain(f"{path} (format {version})", need=f"a compare.json of format {FORMAT}", hint="comparing again")
        )
    return found

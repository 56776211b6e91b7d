"""What a run folder has to tell, read forgivingly: a report must come out of a crashed run, too.

Every file is optional. A line that is cut off, a file that is damaged or a number that is not one is left out and said
among the warnings; nothing here raises for the content of a file.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from linnet.core.errors import LinnetError, explain
from linnet.core.files import read_json

Columns = dict[str, NDArray[np.float64]]  # name → (N,) values, NaN where a line had none

TRAIN = ("step", "tokens", "loss", "learning_rate", "grad_norm")
VALIDATION = ("step", "tokens", "loss", "bits_per_byte")
TIMINGS = ("step", "seconds", "tokens_per_second", "utilisation", "memory_bytes", "data_seconds", "step_seconds")


@dataclass(frozen=True)
class RunContents:
    """Everything that the report shows, as plain data."""

    name: str
    train: Columns
    validation: Columns
    timings: Columns
    samples: list[dict[str, Any]]
    scorecard: list[dict[str, Any]]
    model: dict[str, dict[str, float | None]]  # metric → value, low, high
    yardsticks: list[dict[str, Any]]
    sources: list[dict[str, Any]]
    data_notes: list[str]
    summary: dict[str, Any]
    run_yaml: str
    warnings: list[str] = field(default_factory=list)


def read_contents(folder: Path) -> RunContents:
    """Read a run folder. Raises LinnetError only where there is no folder."""
    folder = Path(folder)
    if not folder.is_dir():
        raise LinnetError(explain(f"{folder} is not a folder", need="a run folder", hint="the --out of a run"))
    warnings: list[str] = []
    metrics = _lines(folder / "metrics.jsonl", warnings)
    by_event = {event: [line for line in metrics if line.get("event") == event] for event in ("train", "validation", "sample")}
    summary = _table(folder / "summary.json", warnings)
    evaluation = _table(folder / "evaluation.json", warnings)
    card = _table(folder / "data_card.json", warnings)
    run_yaml = folder / "run.yaml"
    train = _columns(by_event["train"], TRAIN)
    bad = int(np.isnan(train["loss"]).sum())
    if bad:
        warnings.append(f"The training loss is not a number at {bad} of {len(train['loss'])} logged steps.")
    return RunContents(
        name=folder.resolve().name,
        train=train,
        validation=_columns(by_event["validation"], VALIDATION),
        timings=_columns(_lines(folder / "timings.jsonl", warnings), TIMINGS),
        samples=_samples(by_event["sample"]),
        scorecard=_rows(_table(folder / "scorecard.json", warnings).get("rows")),
        model=_model_metrics(evaluation.get("model")),
        yardsticks=[row for row in _rows(evaluation.get("yardsticks")) if row.get("name")],
        sources=_with_rows_drawn(_rows(card.get("sources")), summary.get("rows_drawn")),
        data_notes=_texts(card.get("notes")),
        summary=summary,
        run_yaml=run_yaml.read_text("utf-8", errors="replace") if run_yaml.is_file() else "",
        warnings=_texts(summary.get("warnings")) + warnings,
    )


def _with_rows_drawn(sources: list[dict[str, Any]], drawn: Any) -> list[dict[str, Any]]:
    """The sources of a card, where there are several with how many rows were drawn of each: the mixture that there really was."""
    if not isinstance(drawn, dict) or len(sources) < 2:
        return sources
    return [source | {"rows_drawn": drawn.get(source.get("name"), 0)} for source in sources]


def number(value: Any) -> float:
    """A finite float, or NaN for whatever is not one (None, text, True, infinity)."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return math.nan
    try:
        return float(value) if math.isfinite(value) else math.nan
    except OverflowError:
        return math.nan


def _lines(path: Path, warnings: list[str]) -> list[dict[str, Any]]:
    """The JSON objects of a file, one a line; what is not one is counted."""
    if not path.is_file():
        return []
    found, broken, last_broken = [], 0, False
    for line in path.read_text("utf-8", errors="replace").split("\n"):
        if not line.strip():
            continue
        try:
            content = json.loads(line)
        except (json.JSONDecodeError, RecursionError):
            content = None
        last_broken = not isinstance(content, dict)
        broken += last_broken
        if isinstance(content, dict):
            found.append(content)
    if broken == 1 and last_broken:
        warnings.append(f"The last line of {path.name} is incomplete and was left out: the run was probably interrupted.")
    elif broken:
        warnings.append(f"{broken} lines of {path.name} are not valid JSON and were left out.")
    return found


def _table(path: Path, warnings: list[str]) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        content = read_json(path, what="a JSON object")
    except (LinnetError, RecursionError, OSError):
        warnings.append(f"{path.name} is not valid JSON and was left out.")
        return {}
    if not isinstance(content, dict):
        warnings.append(f"{path.name} does not hold a JSON object and was left out.")
        return {}
    return content


def _columns(lines: Iterable[Mapping[str, Any]], names: tuple[str, ...]) -> Columns:
    """Columns in order of step. A step that was done twice, before and after a resume, counts as done the second time."""
    by_step = {number(line.get("step")): line for line in lines}
    ordered = [by_step[step] for step in sorted(step for step in by_step if not math.isnan(step))]
    return {name: np.array([number(line.get(name)) for line in ordered], dtype=np.float64) for name in names}


def _samples(lines: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Samples grouped by step: {"step", "texts": [(prompt, continuation)]}, oldest first."""
    groups: dict[float, dict[str, str]] = {}
    for line in lines:
        step, prompt, text = number(line.get("step")), str(line.get("prompt") or ""), str(line.get("text") or "")
        if not math.isnan(step):
            groups.setdefault(step, {})[prompt] = text.removeprefix(prompt)
    return [{"step": int(step), "texts": list(groups[step].items())} for step in sorted(groups)]


def _model_metrics(content: Any) -> dict[str, dict[str, float | None]]:
    """Metrics that have a value; an interval end that is missing is None."""
    found: dict[str, dict[str, float | None]] = {}
    for name, entry in content.items() if isinstance(content, dict) else ():
        if isinstance(entry, dict) and not math.isnan(number(entry.get("value"))):
            ends = {end: number(entry.get(end)) for end in ("value", "low", "high")}
            found[str(name)] = {end: None if math.isnan(value) else value for end, value in ends.items()}
    return found


def _rows(content: Any) -> list[dict[str, Any]]:
    return [{str(k): v for k, v in row.items()} for row in content if isinstance(row, dict)] if isinstance(content, list) else []


def _texts(content: Any) -> list[str]:
    return [str(item) for item in content] if isinstance(content, list) else []

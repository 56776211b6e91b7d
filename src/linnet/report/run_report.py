"""One self-contained report.html for a run: what was asked, what was estimated, what happened.

    read_contents (files → RunContents) → charts (SVG) and tables here → templates/run.html (jinja2, autoescaped)

The page loads nothing: style and charts are inline, there are no scripts, no fonts and no links to elsewhere. Whatever a
user's text contains comes out as text.
"""

from __future__ import annotations

import math
from collections import defaultdict
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from linnet.core.extras import need
from linnet.core.files import write_text
from linnet.report import plots
from linnet.report.contents import RunContents, number, read_contents
from linnet.report.numbers import NOTHING, UNITS_SAID, cell, duration, error_percent, plain, short, signed_percent, size
from linnet.report.plots import Curve

REPORT = "report.html"
MAX_SAMPLES = 24  # steps whose samples are shown; of more, evenly chosen ones with the first and the last
METRICS = {
    "nats_per_token": "nats per token",
    "perplexity": "perplexity per token",
    "bits_per_byte": "bits per byte",
    "word_perplexity": "perplexity per word",
}


def write_report(folder: Path) -> Path:
    """Write `report.html` into a run folder from whatever files are there; gives its path.

    Files (all optional): run.yaml, metrics.jsonl, timings.jsonl, scorecard.json, evaluation.json, data_card.json,
    summary.json. Raises LinnetError where there is no folder, MissingExtraError without matplotlib or jinja2.
    """
    path = Path(folder) / REPORT
    html = render(read_contents(folder))
    write_text(path, html.encode("utf-8", errors="replace").decode("utf-8"))  # lone surrogates of a sample become "?"
    return path


def render(run: RunContents) -> str:
    """The page of a run."""
    jinja2 = need("jinja2", extra="report", to="write a report")
    template = resources.files("linnet.report").joinpath("templates/run.html").read_text("utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["cell"] = cell
    environment.filters["title_of"] = _title
    markup = need("markupsafe", extra="report", to="write a report").Markup
    charts = defaultdict(str, {name: markup(svg) for name, svg in _charts(run).items()})  # a missing chart is ""
    return environment.from_string(template).render(
        name=run.name,
        subtitle=" · ".join(str(run.summary[key]) for key in ("family", "size") if run.summary.get(key)),
        tiles=_tiles(run),
        warnings=run.warnings,
        scorecard=_scorecard(run),
        charts=charts,
        metrics=_metrics(run),
        yardsticks=[_yardstick(row) for row in run.yardsticks],
        verdict=_verdict(run),
        samples=_thin_samples(run.samples),
        sample_count=len(run.samples),
        sentence=str(run.summary.get("sentence") or "").rstrip(),
        sources=_wide_table(run.sources),
        data_notes=run.data_notes,
        versions=_pairs(run.summary.get("versions")),
        machine=_pairs(run.summary.get("machine")),
        run_yaml=run.run_yaml.rstrip(),
    )


def _tiles(run: RunContents) -> list[tuple[str, str, str]]:
    """The few numbers that are looked for first: (what, value, remark)."""
    tiles: list[tuple[str, str, str]] = []
    bits, loss = run.model.get("bits_per_byte"), run.validation["loss"]
    if bits is not None and bits["value"] is not None:
        tiles.append(("bits per byte", plain(bits["value"], 4), _interval(bits)))
    elif not np.isnan(run.validation["bits_per_byte"]).all():
        tiles.append(("bits per byte", plain(float(np.nanmin(run.validation["bits_per_byte"])), 4), "best in validation"))
    if not np.isnan(loss).all():
        best = int(np.nanargmin(loss))
        tiles.append(("validation loss", plain(float(loss[best]), 4), f"best, at step {plain(run.validation['step'][best])}"))
    parameters, flops = (number(run.summary.get(key)) for key in ("parameters", "flops_per_token"))
    if not math.isnan(parameters):
        tiles.append(
            ("parameters", short(parameters), f"{short(flops)}FLOP a token" if not math.isnan(flops) else plain(parameters))
        )
    tokens, steps = _last(run.train["tokens"]), _last(run.train["step"])
    if not math.isnan(tokens):
        tiles.append(("tokens read", short(tokens), f"in {plain(steps)} steps"))
    seconds = _last(run.timings["seconds"])
    if not math.isnan(seconds):
        tiles.append(("time", duration(seconds), _waiting(run)))
    speed = run.timings["tokens_per_second"]
    if not np.isnan(speed).all():
        memory = run.timings["memory_bytes"]
        remark = "median" if np.isnan(memory).all() else f"median; {size(float(np.nanmax(memory)))} at the peak"
        tiles.append(("tokens a second", short(float(np.nanmedian(speed))), remark))
    return tiles


def _waiting(run: RunContents) -> str:
    """What share of the steps' time went into waiting for data."""
    data, step = run.timings["data_seconds"], run.timings["step_seconds"]
    known = ~(np.isnan(data) | np.isnan(step))
    total = float(step[known].sum())
    return f"{100 * float(data[known].sum()) / total:.2g} % of it waiting for data" if total > 0 else ""


def _scorecard(run: RunContents) -> list[dict[str, str]]:
    rows = []
    for row in run.scorecard:
        unit = str(row.get("unit") or "")
        error = error_percent(row.get("estimated"), row.get("measured"))
        rows.append(
            {
                "what": str(row.get("what") or NOTHING),
                "unit": "" if unit in UNITS_SAID else unit,
                **{key: cell(row.get(key), unit if unit in UNITS_SAID else "") for key in ("asked", "estimated", "measured")},
                "error": NOTHING if error is None else signed_percent(error),
                "grade": "" if error is None else ("near" if abs(error) <= 10 else "far" if abs(error) > 30 else ""),
            }
        )
    return rows


def _charts(run: RunContents) -> dict[str, str]:
    """Every chart that there are numbers for."""
    charts: dict[str, str] = {}
    train, validation, timings = run.train, run.validation, run.timings
    yardsticks = {
        str(row["name"]): number(row.get("nats_per_token"))
        for row in run.yardsticks
        if not math.isnan(number(row.get("nats_per_token")))
    }
    for axis, label in (("step", "steps"), ("tokens", "tokens")):
        curves = [Curve(table[axis], table["loss"]).known() for table in (train, validation)]
        if any(len(curve.x) for curve in curves):
            for variant, width in (("wide", 10.2), ("narrow", 4.9)):
                name = f"loss_{axis}_{variant}"
                charts[name] = plots.loss_chart(*curves, xlabel=label, yardsticks=yardsticks, width=width, name=name)
    for name, table, ylabel, options in (
        ("learning_rate", train, "learning rate", {"from_zero": True}),
        ("grad_norm", train, "gradient norm", {"smooth": True}),
        ("tokens_per_second", timings, "tokens per second", {"smooth": True, "from_zero": True}),
        ("utilisation", timings, "share of peak FLOP/s used", {"smooth": True, "from_zero": True}),
    ):
        curve = Curve(table["step"], table[name]).known()
        if len(curve.x):
            charts[name] = plots.curve_chart(curve, xlabel="steps", ylabel=ylabel, name=name, **options)
    bars: list[tuple[str, float, float | None, float | None, bool]] = [
        (str(row["name"]), number(row.get("bits_per_byte")), None, None, False)
        for row in run.yardsticks
        if number(row.get("bits_per_byte")) > 0
    ]
    bits = run.model.get("bits_per_byte")
    if bits is not None and bits["value"] is not None:
        bars.append(("this model", bits["value"], bits["low"], bits["high"], True))
    if bars:
        charts["bars"] = plots.bars_chart(bars, xlabel="bits per byte of validation text (lower is better)", name="bars")
    return charts


def _metrics(run: RunContents) -> list[tuple[str, str, str]]:
    known = [name for name in METRICS if name in run.model] + [name for name in run.model if name not in METRICS]
    return [
        (METRICS.get(name, _title(name)), plain(run.model[name]["value"] or 0.0), _interval(run.model[name])) for name in known
    ]


def _yardstick(row: dict[str, Any]) -> dict[str, str]:
    return {key: cell(row.get(key)) for key in ("name", "nats_per_token", "bits_per_byte", "note")}


def _verdict(run: RunContents) -> str:
    """One honest sentence: the model against the best yardstick."""
    bits = run.model.get("bits_per_byte")
    rows = [(number(row.get("bits_per_byte")), str(row["name"])) for row in run.yardsticks]
    rows = [row for row in rows if row[0] > 0]
    if bits is None or bits["value"] is None or not rows:
        return ""
    (best, name), value = min(rows), bits["value"]
    low, high = bits["low"] or value, bits["high"] or value
    if low <= best <= high:
        return f"No clear difference to the best yardstick, {name}: its {plain(best, 3)} bits lie within the model's interval."
    change = 100 * abs(value - best) / best
    side = "fewer" if value < best else "more"
    return f"The model needs {plain(change, 2)} % {side} bits than the best yardstick, {name}."


def _thin_samples(samples: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Newest first, at most MAX_SAMPLES steps."""
    if len(samples) > MAX_SAMPLES:
        samples = [samples[round(i)] for i in np.linspace(0, len(samples) - 1, MAX_SAMPLES)]
    return samples[::-1]


def _wide_table(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """Rows with any columns → {"columns": [(name, is it numeric?)], "rows": [[cell]]}, in order of first appearance."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    numeric = [all(row.get(c) is None or not math.isnan(number(row[c])) for row in rows) for c in columns]
    cells = [[cell(row.get(c), "bytes" if c in ("bytes", "n_bytes") else "") for c in columns] for row in rows]
    return {"columns": list(zip(columns, numeric)), "rows": cells}


def _pairs(content: Any) -> list[tuple[str, str]]:
    return [(_title(str(key)), cell(value)) for key, value in content.items()] if isinstance(content, dict) else []


def _title(name: str) -> str:
    return name.replace("_", " ")


def _interval(entry: dict[str, float | None]) -> str:
    low, high = entry.get("low"), entry.get("high")
    return "" if low is None or high is None else f"{plain(low)} … {plain(high)}"


def _last(column: Any) -> float:
    known = column[~np.isnan(column)]
    return float(known[-1]) if len(known) else math.nan

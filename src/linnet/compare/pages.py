"""A comparison as people read it: a table in the terminal, compare.md, charts, and one page that opens without a network.

Everything here is made of compare.json (compare/summary.py) and of nothing else, so that it can be made again anywhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from linnet.compare.question import Budget
from linnet.compare.summary import GOOD
from linnet.core.extras import has, need
from linnet.core.files import write_json, write_text
from linnet.report import plots
from linnet.report.numbers import MINUS, NOTHING, cell, duration, plain, short, size

TITLES = {"seconds": "seconds of training", "flops": "FLOP of training", "tokens": "tokens of training"}
RESULTS = ("nats a token", "against the baseline", "bits a byte", "steps", "tokens read", "training")
COSTS = ("parameters", "decoding, tokens/s", "state", "a token more", "peak memory")


def write_pages(summary: Mapping[str, Any], out: Path) -> list[Path]:
    """compare.json and compare.md into a folder; loss-….svg and compare.html where what draws them is installed."""
    write_json(out / "compare.json", summary)
    drawn = has("matplotlib")
    charts = charts_of(summary) if drawn else {}
    for axis, svg in charts.items():
        write_text(
            out / f"loss-{axis}.svg",
            svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1) if "xmlns=" not in svg else svg,
        )
    write_text(out / "compare.md", markdown(summary, list(charts)))
    written = [out / "compare.json", out / "compare.md", *(out / f"loss-{axis}.svg" for axis in charts)]
    if drawn and has("jinja2"):
        write_text(out / "compare.html", html(summary, charts))
        written.append(out / "compare.html")
    return written


def charts_of(summary: Mapping[str, Any]) -> dict[str, str]:
    """Validation loss over each axis, as SVG; entrants in their order, so that each has one colour in all of them."""
    charts = {}
    for axis, title in TITLES.items():
        bands = []
        for row in summary["entrants"]:
            curve = row.get("curves", {}).get(axis) or {"x": [], "loss": [], "low": [], "high": []}
            bands.append(
                plots.Band(row["name"], *(np.array(curve[name], dtype=np.float64) for name in ("x", "loss", "low", "high")))
            )
        if any(len(band.x) for band in bands):
            charts[axis] = plots.bands_chart(bands, xlabel=title, ylabel="nats per token of validation text", name=f"loss-{axis}")
    return charts


# ---- words -------------------------------------------------------------------------------------------------------------


def ranked(summary: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The entrants by mean loss, the best first; those without one at the end."""
    return sorted(summary["entrants"], key=lambda row: (row["loss"] is None, row["loss"]["value"] if row["loss"] else 0.0))


def results(row: Mapping[str, Any], summary: Mapping[str, Any]) -> list[str]:
    """What an entrant's runs came to, under RESULTS."""
    return [
        spread(row["loss"]),
        "baseline" if row["name"] == summary["baseline"] else spread(row["difference"], signed=True),
        NOTHING if row["bits_per_byte"] is None else f"{row['bits_per_byte']:.3f}",
        cell(None if row["step"] is None else round(row["step"])),
        NOTHING if row["tokens"] is None else short(row["tokens"]),
        NOTHING if row["seconds"] is None else duration(row["seconds"]),
    ]


def costs(row: Mapping[str, Any]) -> list[str]:
    """What an entrant costs, under COSTS."""
    active = f" ({short(row['active_parameters'])} active)" if row["active_parameters"] < row["parameters"] else ""
    return [
        short(row["parameters"]) + active,
        NOTHING if row["decode_tokens_per_second"] is None else plain(round(row["decode_tokens_per_second"])),
        size(row["state_bytes"]),
        size(row["state_bytes_per_token"]),
        NOTHING if row["memory_bytes"] is None else size(row["memory_bytes"]),
    ]


def spread(found: Mapping[str, float | None] | None, *, signed: bool = False) -> str:
    """1.234 ± 0.012; the interval is symmetric, and left out where one run says nothing of it."""
    if found is None or found["value"] is None:
        return NOTHING
    value, high = found["value"], found["high"]
    shown = f"{value:+.3f}" if signed else f"{value:.3f}"
    return (shown if high is None else f"{shown} ± {high - value:.3f}").replace("-", MINUS)


def troubles(summary: Mapping[str, Any]) -> list[str]:
    """A line for each run that has no loss to show, and why."""
    lines = []
    for row in summary["entrants"]:
        for seed in row["seeds"]:
            if seed["why"] not in GOOD:
                at = f" at step {seed['step']:,}" if seed.get("step") else ""
                reason = f": {seed['message'].splitlines()[0]}" if seed.get("message") else ""
                lines.append(f"{row['name']}, seed {seed['seed']}: {seed['why']}{at}{reason}; the mean is of the others")
    return lines


def conditions(summary: Mapping[str, Any]) -> list[str]:
    """Under what conditions all of it was measured, a line each."""
    data, how = summary["data"], summary["how"]
    seeds = f"{summary['seeds']} seed{'s' if summary['seeds'] != 1 else ''}"
    lines = [
        f"budget: {Budget(**summary['budget'])} for each run, {seeds}",
        f"text: {', '.join(data['sources']) or 'prepared'}; {data['train_tokens']:,} tokens to train on, {data['validation_tokens']:,} to "
        f"validate, {data['vocab_size']:,} ids: the same for all",
    ]
    lines += [f"warm-up: {each}" for each in still_warming(summary)]
    lines += [f"{part}: {said(value)}, for all" for part, value in summary["same"].items()]
    for part, each in summary["own"].items():
        lines.append(f"{part}: what each run file says ({'; '.join(f'{name}: {said(value)}' for name, value in each.items())})")
    context = summary["entrants"][0]["context"]
    lines.append(f"state: what is remembered of a row, counted: after {context} tokens, and of each token more")
    lines.append(
        f"machine: {how.get('machine', NOTHING)}; {how.get('at_once', 1)} at a time, {how.get('threads') or 'all'} threads each"
    )
    lines.append(
        "loss: of the whole validation part, by the model as it stands at the end of the budget; curves by the validations on the way"
    )
    one = "one seed: no intervals" if summary["seeds"] == 1 else "± : 95 % intervals over seeds (Student; differences: Welch)"
    lines.append(f"{one}; another text is another question")
    return lines


def still_warming(summary: Mapping[str, Any]) -> list[str]:
    """A line where runs took fewer steps than their warm-up has: which ones, and how many."""
    short_of = []
    for row in summary["entrants"]:
        schedule = summary["same"].get("schedule") or summary["own"].get("schedule", {}).get(row["name"]) or {}
        warmup = schedule.get("warmup") or 0
        steps = sorted(seed["step"] for seed in row["seeds"] if seed.get("step") is not None and seed["step"] < warmup)
        if steps:
            short_of.append(f"{row['name']} {' and '.join(map(str, steps))} of {warmup}")
    if not short_of:
        return []
    return [
        f"not over when runs ended, after steps: {', '.join(short_of)}. Rates never came to their peak: this is how training begins, and says "
        "nothing of how it goes on"
    ]


def said(value: Any) -> str:
    """A value of a run file in a few words."""
    if isinstance(value, dict):
        inner = ", ".join(f"{key} {said(each)}" for key, each in value.items() if key != "kind" and each is not None)
        return f"{value['kind']} ({inner})" if "kind" in value and inner else str(value.get("kind", inner))
    if isinstance(value, (list, tuple)):
        return " ".join(said(each) for each in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def markdown(summary: Mapping[str, Any], axes: Sequence[str]) -> str:
    """compare.md."""
    head = ["model", *RESULTS, *COSTS]
    lines = ["# Comparison", "", f"| {' | '.join(head)} |", f"|---|{'---:|' * (len(head) - 1)}"]
    lines += [f"| {' | '.join([row['name'], *results(row, summary), *costs(row)])} |" for row in ranked(summary)]
    lines += ["", *(f"- {line}" for line in [*troubles(summary), *conditions(summary)])]
    lines += [f"\n![loss over {TITLES[axis]}](loss-{axis}.svg)" for axis in axes]
    return "\n".join(lines) + "\n"


def html(summary: Mapping[str, Any], charts: Mapping[str, str]) -> str:
    """compare.html: one file, nothing loaded from elsewhere."""
    jinja2 = need("jinja2", extra="report", to="write a report")
    markup = need("markupsafe", extra="report", to="write a report").Markup
    template = resources.files("linnet.report").joinpath("templates/compare.html").read_text("utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(template).render(
        columns=("", *RESULTS, *COSTS),
        rows=[
            ([row["name"], *results(row, summary), *costs(row)], row["name"] == summary["baseline"]) for row in ranked(summary)
        ],
        subtitle=f"{len(summary['entrants'])} models, {Budget(**summary['budget'])} each",
        troubles=troubles(summary),
        conditions=conditions(summary),
        charts=[(TITLES[axis], markup(svg)) for axis, svg in charts.items()],
    )

"""The charts of a report, as SVG text to be set into an HTML page.

Colours are names, not values: every stroke is `var(--ink, …)` and the like, so that one chart is right on light and on
dark paper, and text is text in the page's own font. The palette is Okabe & Ito's (2008), told apart by colour-blind
readers too. matplotlib's `Figure` is used directly: no pyplot, no global figures, no display.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from linnet.core.extras import need
from linnet.report.numbers import short

Floats = NDArray[np.float64]

# stand-ins that matplotlib draws with → what the page reads: a variable, and its light value for a page without them
INK, MUTED, LINE, FIRST, SECOND, REST, PAPER = (f"#{n:02x}fe{n:02x}" for n in range(1, 8))
VARIABLES = {
    INK: "var(--ink, #1b1f24)",
    MUTED: "var(--muted, #5b6570)",
    LINE: "var(--line, #e1e5ea)",
    FIRST: "var(--first, #0072b2)",
    SECOND: "var(--second, #d55e00)",
    REST: "var(--rest, #aab3bd)",
    PAPER: "var(--paper, #ffffff)",
}
STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "linnet",
    "font.size": 10,
    "axes.edgecolor": LINE,
    "axes.labelcolor": MUTED,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "grid.color": LINE,
    "grid.linewidth": 0.8,
    "text.color": INK,
    "text.parse_math": False,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "ytick.major.size": 0,
    "xtick.major.size": 3,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
}
MAX_POINTS = 900  # of a drawn line; more would not be seen and makes the page heavy


@dataclass(frozen=True)
class Curve:
    """Values over steps or tokens: x (N,) rising, y (N,), NaN where there is none."""

    x: Floats
    y: Floats

    def known(self) -> Curve:
        """Without the places where either is NaN."""
        keep = ~(np.isnan(self.x) | np.isnan(self.y))
        return Curve(self.x[keep], self.y[keep])


def smoothed(y: Floats, window: float) -> Floats:
    """Exponential moving average (N,) with a memory of `window` points, forwards and backwards, so that it does not lag."""
    return (_trailing(y, window) + _trailing(y[::-1], window)[::-1]) / 2


def _trailing(y: Floats, window: float) -> Floats:
    """Exponential moving average (N,) of what came before, unbiased at the start (as in Adam, 1412.6980)."""
    keep = 1 - 1 / max(1.0, window)
    total, weight, out = 0.0, 0.0, np.empty_like(y)
    for i, value in enumerate(y):
        total, weight = keep * total + (1 - keep) * value, keep * weight + (1 - keep)
        out[i] = total / weight
    return out


def thinned(curve: Curve, most: int = MAX_POINTS) -> Curve:
    """At most `most` points that draw the same outline: first, lowest, highest and last of each slice."""
    n = len(curve.x)
    if n <= most:
        return curve
    picked: set[int] = {0, n - 1}
    for part in np.array_split(np.arange(n), max(1, most // 2 - 1)):
        picked.update((int(part[np.argmin(curve.y[part])]), int(part[np.argmax(curve.y[part])])))
    places = np.array(sorted(picked))
    return Curve(curve.x[places], curve.y[places])


def loss_chart(
    train: Curve,
    validation: Curve,
    *,
    xlabel: str,
    yardsticks: Mapping[str, float] | None = None,
    width: float = 10.2,
    name: str = "loss",
) -> str:
    """Training loss, raw in light and smoothed in strong, validation as points; yardsticks (nats per token) as lines."""
    train, validation = train.known(), validation.known()
    with _figure(width, 3.9 if width > 6 else 3.3) as (figure, axes):
        low, high = np.inf, -np.inf
        if len(train.x):
            smooth = Curve(train.x, smoothed(train.y, len(train.x) / 40))
            _line(axes, thinned(train), color=FIRST, alpha=0.28, linewidth=0.9)
            _line(axes, thinned(smooth), color=FIRST, label="training, smoothed")
            low, high = min(low, float(smooth.y.min())), max(high, float(smooth.y.max()))
        if len(validation.x):
            style = {"marker": "o", "markersize": 5, "markeredgecolor": PAPER, "markeredgewidth": 1}
            _line(axes, validation, color=SECOND, label="validation", linewidth=1.4, **style)
            low, high = min(low, float(validation.y.min())), max(high, float(validation.y.max()))
        room = 0.06 * (high - low) or 0.1
        shown = {label: value for label, value in (yardsticks or {}).items() if low - 8 * room <= value <= high}
        low = min([low, *shown.values()])  # one far below the curves would only flatten them: it is left to the table
        if np.isfinite(high):
            axes.set_ylim(low - room, high + room)
        _marks(axes, shown, gap=0.9 * room, longest=26 if width > 6 else 14)
        axes.legend(loc="upper right", labelcolor=INK, fontsize=9.5, borderaxespad=0)
        _label(axes, xlabel, "nats per token")
        return to_svg(figure, name, f"Loss over {xlabel}")


def _marks(axes: Any, marks: Mapping[str, float], *, gap: float, longest: int) -> None:
    """Dashed lines, named right of the chart; names stand at least `gap` apart and have at most `longest` characters."""
    lowest = -np.inf
    for label, value in sorted(marks.items(), key=lambda mark: mark[1]):
        place = lowest = max(value, lowest + gap)
        axes.axhline(value, color=MUTED, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
        offset = {"xytext": (5, 0), "textcoords": "offset points", "va": "center_baseline"}
        axes.annotate(_cut(label, longest), (1, place), xycoords=("axes fraction", "data"), color=MUTED, fontsize=9, **offset)


def curve_chart(curve: Curve, *, xlabel: str, ylabel: str, name: str, smooth: bool = False, from_zero: bool = False) -> str:
    """One quantity over steps; a logarithmic axis where it spans more than a factor of 100 (and `from_zero` is not asked)."""
    curve = curve.known()
    with _figure(5.4, 2.7) as (figure, axes):
        if smooth and len(curve.x) > 20:
            _line(axes, thinned(curve), color=FIRST, alpha=0.28, linewidth=0.9)
            _line(axes, thinned(Curve(curve.x, smoothed(curve.y, len(curve.x) / 40))), color=FIRST)
        else:
            _line(axes, thinned(curve), color=FIRST)
        if len(curve.y) and not from_zero and curve.y.min() > 0 and curve.y.max() / curve.y.min() > 100:
            axes.set_yscale("log")
        else:
            axes.set_ylim(bottom=0 if from_zero else None)
            _short_ticks(axes.yaxis)
        _label(axes, xlabel, ylabel)
        return to_svg(figure, name, f"{ylabel} over {xlabel}")


def bars_chart(rows: Sequence[tuple[str, float, float | None, float | None, bool]], *, xlabel: str, name: str) -> str:
    """Horizontal bars, best (lowest) on top: (label, value, low, high, is it the model?)."""
    rows = sorted(rows, key=lambda row: row[1], reverse=True)
    with _figure(5.4, 0.75 + 0.42 * len(rows)) as (figure, axes):
        most = max(row[3] or row[1] for row in rows)
        for place, (label, value, low, high, ours) in enumerate(rows):
            axes.barh(place, value, height=0.62, color=FIRST if ours else REST, linewidth=0)
            end = value
            if low is not None and high is not None:
                axes.plot([low, high], [place, place], color=INK, linewidth=1.6, solid_capstyle="butt")
                axes.plot([low, high], [place, place], color=INK, marker="|", markersize=8, linestyle="none")
                end = high
            weight = "bold" if ours else "normal"
            offset = {"textcoords": "offset points", "va": "center_baseline", "fontsize": 10}
            axes.annotate(f"{value:.2f}", (end, place), xytext=(6, 0), color=INK, fontweight=weight, **offset)
            axes.annotate(_cut(label, 26), (0, place), xytext=(-6, 0), ha="right", color=INK, fontweight=weight, **offset)
        axes.set_xlim(0, 1.14 * most)
        axes.set_yticks([])
        axes.grid(False)
        axes.spines["bottom"].set_visible(False)
        axes.set_xticks([])
        axes.set_xlabel(xlabel, loc="left")
        return to_svg(figure, name, f"{xlabel}, compared")


@contextmanager
def _figure(width: float, height: float) -> Iterator[tuple[Any, Any]]:
    """A figure with one pair of axes in the house style; inches of 72 SVG units."""
    matplotlib = need("matplotlib", extra="report", to="draw a report's charts")
    figures = need("matplotlib.figure", extra="report", to="draw a report's charts")
    with matplotlib.rc_context(STYLE):
        figure = figures.Figure(figsize=(width, height), layout="constrained")
        figure.patch.set_alpha(0)
        axes = figure.add_subplot()
        axes.patch.set_alpha(0)
        yield figure, axes


def _line(axes: Any, curve: Curve, **style: Any) -> None:
    """A line, or a dot where there is only one point."""
    if len(curve.x) == 1:
        style = {"marker": "o", **style, "alpha": 1}
    axes.plot(curve.x, curve.y, **style)


def _label(axes: Any, xlabel: str, ylabel: str) -> None:
    axes.set_xlabel(xlabel)
    axes.set_title(ylabel, loc="left", fontsize=10, color=MUTED)  # above, where it reads level and takes no width
    axes.margins(x=0.01)
    _short_ticks(axes.xaxis)
    axes.locator_params(axis="x", nbins=6)


def _cut(label: str, longest: int) -> str:
    return label if len(label) <= longest else label[: longest - 1] + "…"


def _short_ticks(axis: Any) -> None:
    axis.set_major_formatter(lambda value, _: short(value))


def to_svg(figure: Any, name: str, title: str) -> str:
    """An SVG element for inlining in HTML: ids start with `name`, colours are variables, no metadata, no fixed size."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r'(xlink:href="#|url\(#)', rf"\g<1>{name}-", svg)
    svg = re.sub(r'<svg ([^>]*?)\s*(?:width|height)="[^"]*"', r"<svg \1", svg)
    svg = re.sub(r'<svg ([^>]*?)\s*(?:width|height)="[^"]*"', r"<svg \1", svg)
    for stand_in, variable in VARIABLES.items():
        svg = svg.replace(stand_in, variable)
    return svg.replace("<svg ", f'<svg role="img" aria-label="{title}" ', 1).strip()


# Okabe & Ito's eight without the yellow, which is lost on white; then the same again, dashed and dotted
SEVERAL = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", INK)
DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (5, 1.5, 1, 1.5)))


@dataclass(frozen=True)
class Band:
    """A mean over x (N,) between a low and a high one, with a name."""

    name: str
    x: Floats
    y: Floats
    low: Floats
    high: Floats


def bands_chart(bands: Sequence[Band], *, xlabel: str, ylabel: str, name: str) -> str:
    """Several means with their intervals, the lowest at its end named first; logarithmic where they span a factor of 3.

    The axis holds the means; an interval that is wider than that is cut.
    """
    bands = [band for band in bands if len(band.x)]
    with _figure(10.2, 4.6) as (figure, axes):
        for place, band in enumerate(bands):
            color, dash = SEVERAL[place % len(SEVERAL)], DASHES[place // len(SEVERAL) % len(DASHES)]
            _line(axes, Curve(band.x, band.y), color=color, linestyle=dash, label=_cut(band.name, 26))
            if (band.high > band.low).any():
                axes.fill_between(band.x, band.low, band.high, color=color, alpha=0.13, linewidth=0)
        if bands:
            low, high = min(float(band.y.min()) for band in bands), max(float(band.y.max()) for band in bands)
            room = (high / low) ** 0.04 if low > 0 else 1.0
            if low > 0 and high / low > 3:
                axes.set_yscale("log")
                axes.set_ylim(low / room, high * room)
                axes.yaxis.set_major_formatter(lambda value, _: short(value))
                axes.yaxis.set_minor_formatter(lambda value, _: short(value) if str(f"{value:e}")[0] in "25" else "")
            else:
                axes.set_ylim(low - 0.05 * (high - low or 1), high + 0.05 * (high - low or 1))
            lines, names = axes.get_legend_handles_labels()
            order = sorted(range(len(bands)), key=lambda place: float(bands[place].y[-1]))
            axes.legend(
                [lines[place] for place in order], [names[place] for place in order], loc="center left", bbox_to_anchor=(1.01, 0.5),
                labelcolor=INK, fontsize=9.5, borderaxespad=0, handlelength=2.6,
            )  # fmt: skip
        _label(axes, xlabel, ylabel)
        return to_svg(figure, name, f"{ylabel} over {xlabel}")

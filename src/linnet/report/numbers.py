"""Numbers as people read them: 12,345 · 1.3 billion · 4.2 MiB · 1 h 05 min."""

from __future__ import annotations

import math
from typing import Any

MINUS = "\N{MINUS SIGN}"
UNITS_SAID = ("s", "seconds", "bytes", "B")  # those that `cell` writes into the value itself
NOTHING = "\N{EN DASH}"  # stands in a table where there is no value


def plain(value: float, digits: int = 4) -> str:
    """A number in some significant digits, thousands grouped.

    >>> plain(1234567), plain(0.00012345), plain(2.0), plain(-3.14159)
    ('1,234,567', '0.0001234', '2', '−3.142')
    """
    if not math.isfinite(value):
        return NOTHING
    if value == int(value) and abs(value) < 1e15:
        text = f"{int(value):,}"
    elif abs(value) >= 10 ** (digits - 1):
        text = f"{value:,.0f}"
    else:
        text = f"{value:.{digits}g}"
    return text.replace("-", MINUS)


def short(value: float) -> str:
    """A count on an axis or a tile.

    >>> short(950), short(12_500), short(1_300_000), short(7e9), short(0.003)
    ('950', '12.5 k', '1.3 M', '7 B', '0.003')
    """
    for size, unit in ((1e12, " T"), (1e9, " B"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{unit}".replace("-", MINUS)
    return f"{value:.3g}".replace("-", MINUS)


def size(n_bytes: float) -> str:
    """Bytes in powers of 1024.

    >>> size(512), size(1536), size(3 * 2**30)
    ('512 B', '1.5 KiB', '3 GiB')
    """
    for power, unit in ((4, "TiB"), (3, "GiB"), (2, "MiB"), (1, "KiB")):
        if abs(n_bytes) >= 1024**power:
            return f"{n_bytes / 1024**power:.3g} {unit}"
    return f"{n_bytes:.0f} B"


def duration(seconds: float) -> str:
    """A span of time in its two largest units.

    >>> duration(0.25), duration(42), duration(150), duration(3900), duration(200_000)
    ('0.25 s', '42 s', '2 min 30 s', '1 h 05 min', '2 d 8 h')
    """
    if seconds < 59.5:
        return f"{seconds:.3g} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    minutes = round(seconds / 60)
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60:02} min"
    hours = round(seconds / 3600)
    return f"{hours // 24} d {hours % 24} h"


def cell(value: Any, unit: str = "") -> str:
    """Any JSON value as a table cell; seconds and bytes in readable units."""
    if value is None or value == "":
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, float)):
        if unit in ("s", "seconds"):
            return duration(value) if math.isfinite(value) and value >= 0 else NOTHING
        if unit in ("bytes", "B"):
            return size(value) if math.isfinite(value) else NOTHING
        return plain(value)
    if isinstance(value, (list, tuple)):
        return ", ".join(cell(item) for item in value)
    if isinstance(value, dict):
        return ", ".join(f"{key}: {cell(item)}" for key, item in value.items())
    return str(value)


def error_percent(estimated: Any, measured: Any) -> float | None:
    """(measured - estimated) / estimated in percent; None where there is no such number."""
    numbers = [v for v in (estimated, measured) if isinstance(v, (int, float)) and not isinstance(v, bool) and math.isfinite(v)]
    if len(numbers) < 2 or numbers[0] == 0:
        return None
    return 100 * (numbers[1] - numbers[0]) / abs(numbers[0])


def signed_percent(value: float) -> str:
    """A deviation with its sign.

    >>> signed_percent(2.94), signed_percent(-35.04), signed_percent(-0.01)
    ('+2.9 %', '−35.0 %', '0.0 %')
    """
    text = f"{value:+.1f} %".replace("-", MINUS)
    return text if abs(value) >= 0.05 else "0.0 %"

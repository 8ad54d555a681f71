"""Numbers as people read them: thousands apart, units named, never a NaN."""

from __future__ import annotations

import html
import math
import textwrap
from collections.abc import Sequence
from typing import Any

MISSING = "–"


def esc(value: Any) -> str:
    """Text made safe for HTML: whatever stands in a config, a path or a manifest is shown, never obeyed."""
    return html.escape(str(value), quote=True)


def count(value: Any) -> str:
    """12,345; a dash for what is not known."""
    return f"{int(value):,}" if _number(value) else MISSING


def number(value: Any) -> str:
    """A return, loss or rate with about three meaningful digits: 1,235 / 123.4 / 12.3 / 1.23 / 0.123."""
    if not _number(value):
        return MISSING
    size = abs(value)
    if size and (size < 1e-3 or size >= 1e7):
        return f"{value:.2e}".replace("-", "−")
    digits = 0 if size >= 1000 else 1 if size >= 10 else 2 if size >= 1 else 3
    text = f"{value:,.{digits}f}"
    return text.replace("-", "−") if float(text.replace(",", "")) else text.lstrip("-")


def interval(low: Any, high: Any) -> str:
    """The two ends of an interval; the dash between signed numbers would be misread, so it is a word."""
    return f"{number(low)} to {number(high)}" if _number(low) and _number(high) else MISSING


def duration(seconds: Any) -> str:
    """42 s, 3 min 20 s, 2 h 05 min, 3 d 4 h."""
    if not _number(seconds) or seconds < 0:
        return MISSING
    if seconds < 60:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    minutes = round(whole / 60)
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    hours = round(whole / 3600)
    return f"{hours // 24} d {hours % 24} h"


def size(num_bytes: Any) -> str:
    """1.4 GiB; powers of 1024 under their own names."""
    if not _number(num_bytes) or num_bytes < 0:
        return MISSING
    value, units = float(num_bytes), ["B", "KiB", "MiB", "GiB", "TiB"]
    while value >= 1024 and len(units) > 1:
        value, units = value / 1024, units[1:]
    return f"{value:.0f} {units[0]}" if units[0] == "B" or value >= 100 else f"{value:.1f} {units[0]}"


def plural(n: int, noun: str) -> str:
    """1 episode, 10 episodes."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def short(value: float, _: Any = None) -> str:
    """Tick labels: 250k, 1.5M."""
    for unit, name in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= unit:
            return f"{value / unit:.4g}{name}".replace("-", "−")
    return f"{value:.4g}".replace("-", "−")


def wrapped(label: str, width: int) -> str:
    """A label on up to three lines, broken between words; a very long word is cut."""
    lines = textwrap.wrap(label, width, break_long_words=False, break_on_hyphens=False)[:3]
    return "\n".join(line if len(line) <= 2 * width else line[: 2 * width - 1] + "…" for line in lines)


def listing(names: Sequence[str]) -> str:
    """a, b and c."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else ""


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)

"""The robustness matrix: returns under every distraction at every strength, as a heat map, a table and a CSV."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from diswm.contract import DiswmError
from diswm.metrics.scores import Interval, bootstrap_interval
from diswm.report import anchors, words
from diswm.report.canvas import GRID, INK, MUTED, NARROW, SEEN, WIDE, Drawing, new_figure, publish
from diswm.report.reading import Row, Run, finite_list
from diswm.report.tables import Numbers, write_csv

LEVELS = ("easy", "medium", "hard")
LEAD = "Mean return with 95% bootstrap interval over episodes; the same seeds in every cell."
REFUSED = "not shown by this task"
STRONGEST = 0.6  # opacity of the best cell: its text stays readable


def write_matrix(path: Path) -> list[Path]:
    """From a matrix.json: matrix.md and matrix.csv beside it and figures/matrix.png. Returns them, the heat map where a cell has returns.

    Raises DiswmError for a file that cannot be read.
    """
    cells = read_cells(path)
    page, numbers, picture = path.with_suffix(".md"), path.with_suffix(".csv"), path.parent / "figures" / "matrix.png"
    write_csv(numbers, _numbers(cells))
    rows = _table(cells)
    lines = [f"| {' | '.join(row)} |" for row in rows]
    lines.insert(1, "|" + "---|" * len(rows[0]))
    said = [f"{LEAD} One column where there is one strength.", "", *lines, *_after(cells)]
    page.write_text("\n".join(said) + "\n", encoding="utf-8")
    drawing = heat_map(cells)
    if drawing is None:
        return [page, numbers]
    publish(drawing, picture.parent)
    return [page, numbers, picture]


def matrix_text(path: Path) -> str:
    """The same table for a terminal. DiswmError for a file that cannot be read."""
    cells = read_cells(path)
    rows = _table(cells)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join([LEAD, *("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows), *_after(cells)])


def _table(cells: list[Row]) -> list[tuple[str, ...]]:
    """A head and one row a distraction; where there is one strength, or none is shown, in the first column. Last, what was published."""
    rows = _rows(cells)
    told = {name: _published(row) for name, row in rows.items()}
    head = ("distraction", *LEVELS, *(["published"] if any(told.values()) else []))
    found: list[tuple[str, ...]] = [head]
    for name, row in rows.items():
        texts = [_text(row.get(level, row.get(""))) if level in row or level == LEVELS[0] else "" for level in LEVELS]
        texts = [REFUSED, "", ""] if set(filter(None, texts)) == {REFUSED} else texts
        found.append((name, *texts, told[name])[: len(head)])
    return found


def _published(row: dict[str, Row]) -> str:
    """What others reached under a row's distractions: ``SVEA 760 (hard)``; empty where nothing is known."""
    said = []
    for level, cell in row.items():
        if anchor := _anchor(cell):
            said.append(f"{anchors.NAMES[anchor.method]} {anchor.value:.0f}{f' ({level})' if level else ''}")
    return ", ".join(said)


def _anchor(cell: Row) -> anchors.Anchor | None:
    texts = cell.get("texts") or [""]
    return anchors.zero_shot(cell.get("task", "")).get(texts[0]) if len(texts) == 1 else None


def _after(cells: list[Row]) -> list[str]:
    """What stands below a table with published numbers, and an empty line before it."""
    known = [anchor for cell in cells if (anchor := _anchor(cell))]
    return ["", anchors.about(known)] if known else []


def _numbers(cells: list[Row]) -> Numbers:
    rows = []
    for cell in cells:
        anchor, successes = _anchor(cell), cell.get("successes")
        told = (len(cell["returns"]), float(np.mean(successes)) if successes else "", cell.get("refused", ""))
        rows.append([cell["distraction"], cell["level"], *(_interval(cell) or ("", "", "")), *told, anchor.value if anchor else ""])
    return Numbers(("distraction", "level", "mean", "low", "high", "episodes", "success", "refused", "published"), rows)


def section(run: Run, folder: Path) -> str:
    """The heat map of a run that was evaluated so; empty where it was not."""
    path = run.path / "matrix.json"
    if not path.is_file():
        return ""
    try:
        drawing = heat_map(read_cells(path))
    except DiswmError as error:
        run.problems.append(str(error))
        return ""
    return publish(drawing, folder) if drawing else ""


def read_cells(path: Path) -> list[Row]:
    """The cells of a matrix.json, those with returns that are numbers or with a reason. DiswmError for a file that cannot be read."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return [
            {
                **cell,
                "task": str(found.get("task", "")),
                "distraction": str(cell["distraction"]),
                "level": str(cell["level"]),
                "returns": finite_list(cell["returns"]),
            }
            for cell in found["cells"]
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DiswmError(f"{path}: cannot be read ({error}). Make it with `diswm evaluate RUN --matrix`.") from error


def shades(cells: Iterable[Row]) -> tuple[float, float]:
    """The means that are drawn palest and strongest: nothing, or the worst where that is less, and the best."""
    means = [float(np.mean(cell["returns"])) for cell in cells if cell["returns"]]
    return min([0.0, *means]), max(means, default=0.0)


def heat_map(cells: list[Row], name: str = "matrix", ends: tuple[float, float] | None = None) -> Drawing | None:
    """One row a distraction, one column a strength, shaded between `ends`; None where no cell has returns."""
    played = [cell for cell in cells if cell["returns"]]
    if not played:
        return None
    scale = ends or shades(cells)
    rows, left_out = _rows(cells), []
    for label, row in list(rows.items()):
        if not any(cell["returns"] for cell in row.values()):
            left_out.append(label)
            del rows[label]
    labels = [words.wrapped(re.sub(r"([,+])(?=\S)", r"\1 ", label), 28) for label in rows]
    told = {label: _published(row) for label, row in rows.items()}
    beside = "".join(f" {label}: {text}." for label, text in told.items() if text) + " ".join(_after(cells))

    def draw(narrow: bool) -> Figure:
        height = 0.5 if any(label.count("\n") > 1 for label in labels) else 0.36
        figure = new_figure(NARROW if narrow else WIDE, height * len(rows) + 0.7)
        axes = figure.add_subplot()
        for y, (label, row) in enumerate(rows.items()):
            for x, level in enumerate(LEVELS):
                if level in row:
                    _cell(axes, x, y, 1, row[level], scale, narrow)
            if "" in row:
                _cell(axes, 0, y, len(LEVELS), row[""], scale, narrow)
            if not narrow:
                axes.text(len(LEVELS) + 0.03, y + 0.5, told[label], va="center", fontsize=9, color=MUTED)
        if beside and not narrow:
            axes.text(len(LEVELS) + 0.03, -0.2, "published", fontsize=9.5, color=MUTED)
        axes.set(xlim=(0, len(LEVELS)), ylim=(len(rows), 0))
        axes.set_xticks([x + 0.5 for x in range(len(LEVELS))], LEVELS)
        axes.set_yticks([y + 0.5 for y in range(len(rows))], labels)
        axes.xaxis.tick_top()
        axes.tick_params(length=0)
        for spine in axes.spines.values():
            spine.set_visible(False)
        return figure

    worst = min(played, key=lambda cell: float(np.mean(cell["returns"])))
    absent = f" {REFUSED.capitalize()}: {words.esc('; '.join(left_out))}." if left_out else ""
    return Drawing(
        name,
        "Mean return under each distraction with its 95% interval over episodes, the same seeds in every cell; the stronger the colour, "
        f"the higher. Look for rows that pale to the right.{absent}{words.esc(beside)}",
        f"Heat map of {len(rows)} distractions by strength. Lowest: {worst['distraction']} {worst['level']}".rstrip() + ".",
        draw,
        _numbers(cells),
    )


def _cell(axes: Any, x: float, y: float, width: int, cell: Row, ends: tuple[float, float], narrow: bool) -> None:
    got, (low, high) = _interval(cell), ends
    share = STRONGEST * (got.mean - low) / max(high - low, 1e-9) if got else 0.0
    axes.add_patch(Rectangle((x + 0.02, y + 0.05), width - 0.04, 0.9, facecolor=SEEN, alpha=share, linewidth=0))
    axes.add_patch(Rectangle((x + 0.02, y + 0.05), width - 0.04, 0.9, fill=False, edgecolor=GRID, linewidth=0.8))
    text = words.number(got.mean) if narrow and got else _text(cell)
    axes.text(x + width / 2, y + 0.5, text, ha="center", va="center", fontsize=9, color=INK)


def _rows(cells: list[Row]) -> dict[str, dict[str, Row]]:
    rows: dict[str, dict[str, Row]] = {}
    for cell in cells:
        rows.setdefault(cell["distraction"], {})[cell["level"]] = cell
    return rows


def _interval(cell: Row) -> Interval | None:
    return bootstrap_interval(cell["returns"]) if cell["returns"] else None


def _text(cell: Row | None) -> str:
    got = _interval(cell) if cell else None
    if got is None:
        return REFUSED if cell and cell.get("refused") else ""
    digits = 0 if max(map(abs, got)) >= 10 else 2
    mean, low, high = (f"{value:.{digits}f}" for value in got)
    return f"{mean} ({low} to {high})" if len(cell["returns"]) > 1 else mean  # type: ignore[index]

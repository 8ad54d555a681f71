"""The robustness matrix: returns under every distraction at every strength, as a heat map, a table and a CSV."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from diswm.contract import DiswmError
from diswm.metrics.scores import Interval, bootstrap_interval
from diswm.report import words
from diswm.report.canvas import GRID, INK, NARROW, SEEN, WIDE, Drawing, new_figure, publish
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
    lines = [f"| {' | '.join(row)} |" for row in _table(cells)]
    lines.insert(1, "|---|---|---|---|")
    page.write_text(f"{LEAD} One column where there is one strength.\n\n" + "\n".join(lines) + "\n", encoding="utf-8")
    drawing = heat_map(cells)
    if drawing is None:
        return [page, numbers]
    publish(drawing, picture.parent)
    return [page, numbers, picture]


def matrix_text(path: Path) -> str:
    """The same table for a terminal. DiswmError for a file that cannot be read."""
    rows = _table(read_cells(path))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join([LEAD, *("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)])


def _table(cells: list[Row]) -> list[tuple[str, ...]]:
    """A head and one row a distraction; where there is one strength, or none is shown, in the first column."""
    found: list[tuple[str, ...]] = [("distraction", *LEVELS)]
    for name, row in _rows(cells).items():
        texts = [_text(row.get(level, row.get(""))) if level in row or level == LEVELS[0] else "" for level in LEVELS]
        found.append((name, *(texts[:1] + [""] * 2 if set(texts) == {REFUSED} else texts)))
    return found


def _numbers(cells: list[Row]) -> Numbers:
    rows = [[c["distraction"], c["level"], *(_interval(c) or ("", "", "")), len(c["returns"]), c.get("refused", "")] for c in cells]
    return Numbers(("distraction", "level", "mean", "low", "high", "episodes", "refused"), rows)


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
        found = json.loads(path.read_text(encoding="utf-8"))["cells"]
        return [
            {**cell, "distraction": str(cell["distraction"]), "level": str(cell["level"]), "returns": finite_list(cell["returns"])}
            for cell in found
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DiswmError(f"{path}: cannot be read ({error}). Make it with `diswm evaluate RUN --matrix`.") from error


def heat_map(cells: list[Row], name: str = "matrix", top: float = 0.0) -> Drawing | None:
    """One row a distraction, one column a strength, shaded up to `top` or the highest mean; None where no cell has returns."""
    rows = _rows(cells)
    means = [got.mean for cell in cells if (got := _interval(cell))]
    if not means:
        return None
    top = max(max(means), top, 1e-9)

    def draw(narrow: bool) -> Figure:
        figure = new_figure(NARROW if narrow else WIDE, 0.42 * len(rows) + 0.7)
        axes = figure.add_subplot()
        for y, row in enumerate(rows.values()):
            for x, level in enumerate(LEVELS):
                if level in row:
                    _cell(axes, x, y, 1, row[level], top, narrow)
            if "" in row:
                _cell(axes, 0, y, len(LEVELS), row[""], top, narrow)
        axes.set(xlim=(0, len(LEVELS)), ylim=(len(rows), 0))
        axes.set_xticks([x + 0.5 for x in range(len(LEVELS))], LEVELS)
        axes.set_yticks([y + 0.5 for y in range(len(rows))], list(rows))
        axes.xaxis.tick_top()
        axes.tick_params(length=0)
        for spine in axes.spines.values():
            spine.set_visible(False)
        return figure

    worst = min((cell for cell in cells if cell["returns"]), key=lambda cell: _interval(cell).mean)  # type: ignore[union-attr]
    return Drawing(
        name,
        "Mean return under each distraction with its 95% interval over episodes, the same seeds in every cell; the stronger the colour, "
        "the higher. Look for rows that pale to the right.",
        f"Heat map of {len(rows)} distractions by strength. Lowest: {worst['distraction']} {worst['level']}".rstrip() + ".",
        draw,
        _numbers(cells),
    )


def _cell(axes: Any, x: float, y: float, width: int, cell: Row, top: float, narrow: bool) -> None:
    got = _interval(cell)
    share = STRONGEST * max(got.mean, 0.0) / top if got else 0.0
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
    return f"{got.mean:.0f} ({got.low:.0f} to {got.high:.0f})" if len(cell["returns"]) > 1 else f"{got.mean:.0f}"  # type: ignore[index]

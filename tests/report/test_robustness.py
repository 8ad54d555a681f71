"""The robustness matrix as numbers and as a picture."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from diswm.contract import DiswmError
from diswm.report.robustness import heat_map, matrix_text, read_cells, write_matrix


def cell(name: str, level: str, *returns: float, **more: Any) -> dict[str, Any]:
    return {"distraction": name, "level": level, "texts": [], "returns": list(returns), **more}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    rows = [
        cell("none", "", 400.0, 400.0),
        *(cell("camera", level, value, value) for level, value in (("easy", 300.0), ("medium", 200.0), ("hard", 100.0))),
        cell("light", "easy", refused="this task has no lights"),
        cell("floor", "", 50.0),
    ]
    file = tmp_path / "matrix.json"
    file.write_text(json.dumps({"task": "toy", "cells": rows}))
    return file


def test_the_table_has_means_and_intervals(path: Path) -> None:
    # Episodes that are all equal have an interval of no width; a single one has none.
    page, numbers, picture = write_matrix(path)
    assert page.read_text().splitlines()[2:] == [
        "| distraction | easy | medium | hard |",
        "|---|---|---|---|",
        "| none | 400 (400 to 400) |  |  |",
        "| camera | 300 (300 to 300) | 200 (200 to 200) | 100 (100 to 100) |",
        "| light | not shown by this task |  |  |",
        "| floor | 50 |  |  |",
    ]
    assert picture.is_file()
    assert picture.suffix == ".png"
    with numbers.open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["distraction"], row["mean"], row["episodes"]) for row in rows[:2]] == [("none", "400.0", "2"), ("camera", "300.0", "2")]
    assert rows[4] == {"distraction": "light", "level": "easy", "mean": "", "low": "", "high": "", "episodes": "0",
                       "refused": "this task has no lights"}  # fmt: skip


def test_the_terminal_shows_the_same_table(path: Path) -> None:
    assert matrix_text(path).splitlines()[1:] == [
        "distraction  easy                    medium            hard",
        "none         400 (400 to 400)",
        "camera       300 (300 to 300)        200 (200 to 200)  100 (100 to 100)",
        "light        not shown by this task",
        "floor        50",
    ]


def test_without_returns_no_picture_is_named(tmp_path: Path) -> None:
    file = tmp_path / "matrix.json"
    file.write_text(json.dumps({"cells": [cell("light", level, refused="no lights") for level in ("easy", "medium", "hard")]}))
    assert [path.name for path in write_matrix(file)] == ["matrix.md", "matrix.csv"]
    assert matrix_text(file).count("not shown by this task") == 1


def test_cells_are_the_darker_the_higher(path: Path) -> None:
    drawing = heat_map(read_cells(path))
    assert drawing is not None
    assert "Lowest: floor" in drawing.alt
    for narrow in (False, True):
        (axes,) = drawing.draw(narrow).axes
        shades = [patch.get_alpha() for patch in axes.patches if patch.get_fill()]
        assert shades == pytest.approx([0.6, 0.45, 0.3, 0.15, 0.0, 0.075])  # 0.6 x mean / 400, row by row
    assert heat_map([cell("none", "")]) is None


@pytest.mark.parametrize("text", ["", "[]", '{"cells": [{"level": "easy"}]}', '{"cells": 3}'])
def test_a_file_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "matrix.json").write_text(text)
    with pytest.raises(DiswmError, match="diswm evaluate RUN --matrix"):
        write_matrix(tmp_path / "matrix.json")

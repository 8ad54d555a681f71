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
                       "success": "", "refused": "this task has no lights", "published": ""}  # fmt: skip


def test_the_terminal_shows_the_same_table(path: Path) -> None:
    assert matrix_text(path).splitlines()[1:] == [
        "distraction  easy                    medium            hard",
        "none         400 (400 to 400)",
        "camera       300 (300 to 300)        200 (200 to 200)  100 (100 to 100)",
        "light        not shown by this task",
        "floor        50",
    ]


def test_what_others_published_stands_beside_its_row(tmp_path: Path) -> None:
    """SVEA's walker: 760 under hard colours, 819 before easy films; nothing is known of easy colours, nor of many distractions at once."""
    rows = [
        cell("none", "", 900.0),
        *(cell("colours, DMC-GB", level, 500.0) | {"texts": [f"colour:color_{level}"]} for level in ("easy", "hard")),
        cell("films", "", 300.0) | {"texts": ["background:video,moving,ground=1"]},
        cell("both", "", 100.0) | {"texts": ["colour:color_hard", "background:video,moving,ground=1"]},
    ]
    file = tmp_path / "matrix.json"
    file.write_text(json.dumps({"task": "walker_walk", "cells": rows}))
    page, numbers, _ = write_matrix(file)
    assert page.read_text().splitlines()[2:8] == [
        "| distraction | easy | medium | hard | published |",
        "|---|---|---|---|---|",
        "| none | 900 |  |  |  |",
        "| colours, DMC-GB | 500 |  | 500 | SVEA 760 (hard) |",
        "| films | 300 |  |  | SVEA 819 |",
        "| both | 100 |  |  |  |",
    ]
    note = matrix_text(file).splitlines()[-1]
    assert page.read_text().splitlines()[-1] == note
    assert "2107.00644" in note
    assert note.endswith("Other conditions than here: an anchor, no fair comparison.")
    with numbers.open() as opened:
        assert [row["published"] for row in csv.DictReader(opened)] == ["", "", "760.0", "819.0", ""]
    drawing = heat_map(read_cells(file))
    assert drawing is not None
    assert "no fair comparison" in drawing.caption
    texts = {text.get_text() for text in drawing.draw(False).axes[0].texts}
    assert {"SVEA 760 (hard)", "SVEA 819"} <= texts
    file.write_text(json.dumps({"task": "cheetah_run", "cells": rows}))
    assert "SVEA" not in matrix_text(file)


def test_a_row_that_lacks_a_strength_and_is_refused_says_so_once(tmp_path: Path) -> None:
    file = tmp_path / "matrix.json"
    file.write_text(json.dumps({"cells": [cell("films", level, refused="no sky") for level in ("easy", "hard")]}))
    assert matrix_text(file).splitlines()[-1].split(maxsplit=1) == ["films", "not shown by this task"]


def test_small_returns_keep_two_digits(tmp_path: Path) -> None:
    file = tmp_path / "matrix.json"
    file.write_text(json.dumps({"cells": [cell("none", "", 1.25, 1.25), cell("light", "", 0.004)]}))
    assert [line.split(maxsplit=1)[1] for line in matrix_text(file).splitlines()[2:]] == ["1.25 (1.25 to 1.25)", "0.00"]


def test_returns_below_zero_have_shades_too() -> None:
    """Pusher's: from the worst, which stays white, to the best."""
    drawing = heat_map([cell("none", "", -60.0), cell("camera", "hard", -75.0), cell("light", "hard", -90.0)])
    assert drawing is not None
    shades = [patch.get_alpha() for patch in drawing.draw(True).axes[0].patches if patch.get_fill()]
    assert shades == pytest.approx([0.6, 0.3, 0.0])  # 0.6 x (mean + 90) / 30


def test_without_returns_no_picture_is_named(tmp_path: Path) -> None:
    file = tmp_path / "matrix.json"
    file.write_text(json.dumps({"cells": [cell("light", level, refused="no lights") for level in ("easy", "medium", "hard")]}))
    assert [path.name for path in write_matrix(file)] == ["matrix.md", "matrix.csv"]
    assert matrix_text(file).count("not shown by this task") == 1


def test_cells_are_the_darker_the_higher(path: Path) -> None:
    drawing = heat_map(read_cells(path))
    assert drawing is not None
    assert "Lowest: floor" in drawing.alt
    assert "Not shown by this task: light." in drawing.caption
    for narrow in (False, True):
        (axes,) = drawing.draw(narrow).axes
        shades = [patch.get_alpha() for patch in axes.patches if patch.get_fill()]
        assert shades == pytest.approx([0.6, 0.45, 0.3, 0.15, 0.075])  # 0.6 x mean / 400, row by row; light is not drawn
    assert heat_map([cell("none", "")]) is None


@pytest.mark.parametrize("text", ["", "[]", '{"cells": [{"level": "easy"}]}', '{"cells": 3}'])
def test_a_file_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "matrix.json").write_text(text)
    with pytest.raises(DiswmError, match="diswm evaluate RUN --matrix"):
        write_matrix(tmp_path / "matrix.json")

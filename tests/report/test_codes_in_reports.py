"""The section on the code against true factors."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from diswm.contract import DiswmError
from diswm.report import codes, write_report
from diswm.report.reading import read_run


def row(name: str, value: float, **more: Any) -> dict[str, Any]:
    return {"name": name, "value": value, "low": value - 0.1, "high": value + 0.1, "null": 0.01, **more}


def scored(folder: Path, **changes: Any) -> Path:
    factor = row("<joint>", 0.5, kind="angle", dimension=3, correlation=0.7)
    alone = {
        "source": "400 frames",
        "rows": [row("mig", 0.25), row("active_units", 4.0) | {"null": None}],
        "factors": [factor],
        "notes": ["a < b"],
        "information": {"factors": ["<joint>"], "nats": [[0.7], [0.1]], "entropy": [1.4]},
    }
    found = {"run": "x", "world": "toy", "independent": alone, "on_policy": {"missing": "no labels"}, "fixed": {"joint.rootx": "cancelled"}}
    (folder / "metrics.json").write_text(json.dumps(found | changes))
    return folder / "metrics.json"


def test_the_tables_as_text(tmp_path: Path) -> None:
    page = codes.write_scores(scored(tmp_path))
    text = page.read_text()
    assert "| mutual information gap | 0.250 | 0.150 to 0.350 | 0.010 |" in text
    assert "| <joint> | 0.500 | 0.400 to 0.600 | 0.010 | 3 (0.700) |" in text
    assert "Not scored: no labels." in text
    assert "- joint.rootx: cancelled" in text
    with (tmp_path / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(one["set"], one["score"], one["factor"], one["value"], one["null"]) for one in rows] == [
        ("independent", "mig", "", "0.25", "0.01"),
        ("independent", "active_units", "", "4.0", ""),
        ("independent", "ridge_r2", "<joint>", "0.5", "0.01"),
    ]


@pytest.mark.usefixtures("words_alone")
def test_the_section_is_there_where_something_was_scored(run: Path) -> None:
    assert codes.section(read_run(run), run / "figures") == ""
    assert "factors-section" not in write_report(run).read_text()
    scored(run)
    with (run / "metrics.jsonl").open("a") as file:
        for updates, hurt in ((0, 0.0), (5, 1.0)):
            file.write(json.dumps({"kind": "probe", "updates": updates, "probe/mig": 0.1, "probe/negative_transfer": hurt}) + "\n")
    html = codes.section(read_run(run), run / "figures")
    assert (run / "figures" / "probes.png").is_file()
    assert "joint&gt; by dimension 0 (0.50)" in html  # 0.7 of 1.4 nats
    assert "Negative transfer: from update 5 on" in html
    assert "&lt;joint&gt;" in html
    assert "<joint>" not in html
    assert "a &lt; b" in html
    assert "no labels." in html


@pytest.mark.parametrize(
    "bad", ["{", '{"independent": {"rows": [{"name": "mig", "value": NaN}]}}', '{"independent": {"rows": [{}]}}', "[]"]
)
def test_a_damaged_file_is_told_and_not_shown(run: Path, bad: str) -> None:
    (run / "metrics.json").write_text(bad)
    with pytest.raises(DiswmError, match="Make it with `diswm metrics RUN`"):
        codes.read_scores(run / "metrics.json")
    loaded = read_run(run)
    assert codes.section(loaded, run / "figures") == ""
    assert "metrics.json" in loaded.problems[-1]

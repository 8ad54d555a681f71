"""The section on switches in mid-training."""

from __future__ import annotations

import json
from pathlib import Path

from diswm.report import switches
from diswm.report.reading import read_run


def phased(folder: Path, *, phases: bool = True) -> Path:
    """Switch at 500 of 1,000 frames: 100, 200 before it, 120, 190 after it; at the end 190 on set 2 and 90 on set 1."""
    folder.mkdir()
    config = {"method": "diswm", "train": {"frames": 1_000}}
    (folder / "config.json").write_text(json.dumps({"format": 1, "kind": "train", "version": "0", "config": config}))
    curve = {200: 100.0, 400: 200.0, 600: 120.0, 1_000: 190.0}
    rows = [{"kind": "eval", "split": "seen", "frames": frames, "returns": [mean]} for frames, mean in curve.items()]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = {"seen": {"returns": [190.0, 190.0]}, "earlier": {"returns": [90.0, 90.0]}, "frames": 1_000}
    old, new = {"start": 0.0, "end": 0.0, "colours": "set1"}, {"start": 0.5, "end": 0.5, "colours": "set2", "distractions": ["camera"]}
    (folder / "evaluation.json").write_text(json.dumps({**found, "phases": [old, new] if phases else [old]}))
    return folder


def test_the_switch_is_told_in_numbers(tmp_path: Path) -> None:
    """Drop 200 - 120 = 80; 190 lacks 10 of 200, less than a tenth: recovered after 1,000 - 500 frames; 90 - 190 = -100 forgotten."""
    html = switches.section(read_run(phased(tmp_path / "run")))
    cells = [cell.split("</td>")[0] for cell in html.split('<td class="')[1:]]
    assert [cell.split(">", 1)[1] for cell in cells] == ["500", "set1", "set2, camera", "200.0", "120.0", "80.0", "500"]
    assert "it has forgotten" in html
    assert "<b>90.0</b>" in html


def test_a_run_without_a_switch_has_no_section(tmp_path: Path) -> None:
    assert switches.section(read_run(phased(tmp_path / "run", phases=False))) == ""

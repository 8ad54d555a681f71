"""The benchmark of growth writes its page and picture. Times are not tested."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("dm_control", reason="the dm_control suite is not installed")


def test_the_page_has_a_row_for_each_thing_that_grows(tmp_path: Path, benchmark: Callable[..., list[str]]) -> None:
    out = tmp_path / "page.md"
    flags = ["--preset=tiny", "--threads=1", "--frames", "100", "400", "--steps=10", "--json", f"--folder={tmp_path}", f"--out={out}"]
    found = json.loads(benchmark("growth", *flags)[-1])
    assert [row["frames"] for row in found["replay"]] == [100, 400]
    assert {name: [*times] for name, times in found["updates"].items()} == {
        "batch": ["0.5", "1", "2"],
        "length": ["0.5", "1", "2"],
        "code": ["0.5", "1", "2", "4"],
        "actions": ["0.5", "1", "2", "4"],
    }
    rows = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in out.read_text().splitlines() if line.startswith("| ")]
    assert [row[0] for row in rows if len(row) == 3] == [
        *("milliseconds at", "---", "windows of a batch", "windows of a batch, all from the disk", "adding an episode"),
        *("windows after an episode was added", "state for a checkpoint, one new episode", "taking it up again"),
        *("taking it up again, all from the disk", "frames a second"),
    ]
    assert "nan" not in out.read_text()
    assert (tmp_path / "page.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["page.md", "page.png"], "the replay is gone"

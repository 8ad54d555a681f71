"""The comparison of speeds runs, and the pictures of a right-sized shadow map are those of the suite."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("dm_control", reason="the dm_control suite is not installed")

ROOT = Path(__file__).resolve().parents[2]


def test_it_runs_and_the_pictures_are_near_the_suites(tmp_path: Path) -> None:
    flags = ["--tasks=walker_walk", "--steps=2", "--rounds=1", "--workers=1", "--json", f"--out={tmp_path / 'page.md'}"]
    command = [sys.executable, str(ROOT / "benchmarks" / "env_speed.py"), *flags]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
    found = json.loads(done.stdout.splitlines()[-1])
    assert (found["action_repeat"], [row["kind"] for row in found["rows"]]) == (2, ["suite", "gl", "warp"])
    lines = [line.split(" | ") for line in (tmp_path / "page.md").read_text().splitlines() if line.startswith("| walker_walk")]
    assert len(lines) == 3
    suite, gl, warp = found["rows"]
    for row in (row for row in found["rows"] if not row["why_not"]):
        assert row["speeds"][0] > 0
    if suite["why_not"]:
        pytest.skip(f"no pictures of the suite here: {suite['why_not']}")
    assert (suite["difference"], suite["times"]) == (0.0, [1.0])
    assert gl["difference"] < 0.1  # of 255; 0.06 when written
    if not warp["why_not"]:
        assert 1 < warp["difference"] < 10  # 5 when written: no reflections, hard edges

"""The benchmark of memory goes through a run and counts. How much it is is not tested."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="what is resident is read from /proc")
def test_each_stage_of_a_run_is_counted(tmp_path: Path) -> None:
    out = tmp_path / "page.md"
    flags = ["--preset=tiny", "--task=toy", "--threads=1", "--updates=1", "--json", f"--folder={tmp_path}", f"--out={out}"]
    command = [sys.executable, str(ROOT / "benchmarks" / "memory.py"), *flags]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
    found = json.loads(done.stdout.splitlines()[-1])
    # 1,000 rows hold 19 episodes of 100 frames, two a step, with their first frames: 51 rows each; the one that was played replaced none.
    assert found["rows"] == 19 * 51
    names = ["environment, networks", "scores of the code", "filling the replay", "1 updates", "an episode", "an evaluation"]
    assert [*found["stages"]] == [*names, "an update, a checkpoint"]
    for peak in found["stages"].values():
        assert max(peak["own"], peak["files"]) < peak["all"] <= peak["own"] + peak["files"]
        assert peak["all"] <= found["peak_rss_bytes"] * 1.01  # the kernel counts threads' pages late
    assert out.read_text().count("GiB |\n") == len(found["stages"])
    assert [path.name for path in tmp_path.iterdir()] == ["page.md"], "the replay is gone"

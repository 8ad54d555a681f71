"""The benchmark of the page writes its own. Times are not tested."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from diswm.contract import DiswmError
from diswm.explorer.webruntime import read_runtime

pytest.importorskip("onnxscript", reason="needs the extra 'export'")
ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.skipif(not shutil.which("chromium"), reason="no chromium here (Debian: apt-get install chromium)")
def test_a_row_for_each_preset(tmp_path: Path) -> None:
    try:
        read_runtime()
    except DiswmError as error:
        pytest.skip(str(error))
    out = tmp_path / "page.md"
    flags = ["--presets=tiny", "--threads=1", "--moves=3", "--seconds=0.1", "--json", f"--out={out}"]
    command = [sys.executable, str(ROOT / "benchmarks" / "page_speed.py"), *flags]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
    found = json.loads(done.stdout.splitlines()[-1])["tiny, untrained"]
    assert 0 < found["networks_50"] < found["moves_50"] <= found["moves_90"], "a move waits for its picture"
    assert found["busy"] > 0
    rows = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in out.read_text().splitlines() if line.startswith("| ")]
    assert rows[2][0] == "tiny, untrained"
    assert len(rows[0]) == len(rows[2])
    assert [path.name for path in tmp_path.iterdir()] == ["page.md"]

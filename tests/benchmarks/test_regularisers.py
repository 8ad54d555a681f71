"""The comparison of kinds runs at its tiny scale, goes on where it was, and leaves results/ alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("sklearn", reason="scikit-learn is not installed")

ROOT = Path(__file__).resolve().parents[2]


def run(out: Path) -> None:
    flags = ["--tiny", "--device=cpu", "--threads=1", f"--out={out}", "--kinds", "factor_vae", "none"]
    subprocess.run([sys.executable, str(ROOT / "benchmarks" / "regularisers.py"), *flags], check=True, capture_output=True, timeout=300)


def test_it_runs_goes_on_and_leaves_results_alone(tmp_path: Path) -> None:
    def results() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (ROOT / "results").glob("*.md")}

    before = results()
    run(tmp_path)
    page = (tmp_path / "table.md").read_text()
    lines = [line for line in page.splitlines() if line.startswith("| ")]
    assert [line.split(" | ")[0].strip("| ") for line in lines] == ["kind", "---", "factor_vae", "none", "shuffled points, mean"]
    assert "nan" not in page.lower()
    assert len(list(tmp_path.glob("*/*.json"))) == 4, "two kinds, two seeds"
    path = tmp_path / "none" / "1.json"
    said = json.loads(path.read_text())
    said["scores"]["mig"] = 0.5  # kept: what is there is not trained again
    path.write_text(json.dumps(said))
    (tmp_path / "factor_vae" / "0.json").unlink()
    run(tmp_path)
    again = (tmp_path / "table.md").read_text()
    assert json.loads(path.read_text())["scores"]["mig"] == 0.5
    factor_vae = [text.splitlines()[8] for text in (page, again)]
    assert factor_vae[0].startswith("| factor_vae")
    assert factor_vae[0] == factor_vae[1], "the seed that was gone came out as it was"
    assert results() == before

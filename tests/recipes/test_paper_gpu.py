"""The page of `recipes/paper_gpu.sh`, on made-up runs."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "recipes" / "paper_gpu.py"
COST = {"peak_rss_bytes": 2**30, "peak_gpu_bytes": 3 * 2**30, "machine": "Box, 16 cores", "device": "Some GPU", "torch": "2"}


def fake(folder: Path, unit: str, done: int, seconds: float, updates: int) -> None:
    """A run of so many seconds, which learned from a fifth of them on, at an even rate."""
    folder.mkdir(parents=True)
    counts = {"frames": done if unit == "frames" else 0, "updates": updates}
    (folder / "config.json").write_text("{}")
    (folder / "cost.json").write_text(json.dumps({**COST, **counts, "seconds": seconds}))
    lines = [{"kind": "episode", "seconds": 1.0, "frames": 0, "updates": 0}]
    lines += [
        {"kind": "update", "seconds": seconds * part, **{name: int(n * part) for name, n in counts.items()}} for part in (0.2, 0.6, 1)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[list[str]]]:
    """Write the page of the runs in ``tmp_path``; the rows of its table."""
    spec = importlib.util.spec_from_file_location("paper_gpu", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "paper_gpu", module)
    spec.loader.exec_module(module)
    monkeypatch.setattr(sys, "argv", ["paper_gpu.py", str(tmp_path), "--results", str(tmp_path / "results")])

    def write() -> list[list[str]]:
        module.main()
        lines = (tmp_path / "results" / "paper_gpu.md").read_text().splitlines()
        return [line.strip("| ").split(" | ") for line in lines if line.startswith("| ")][2:]

    return write


def test_times_of_the_whole_and_runs_an_hour(tmp_path: Path, page: Callable[[], list[list[str]]]) -> None:
    """Of 60,000 frames in 120 s, 500 a second; 940,000 more take 1,880 s: 2,000 s in all, 33.3 min, 1.8 an hour. Two at once, the
    slower in 240 s: 250 a second, 4,000 s in all, so again 2 x 3600 / 4000 = 1.8. The video model is done: its time is what it took."""
    fake(tmp_path / "teachers" / "diswm", "updates", 100_000, 600.0, 100_000)
    fake(tmp_path / "at_once" / "1" / "0", "frames", 60_000, 120.0, 6_000)
    fake(tmp_path / "at_once" / "2" / "0", "frames", 60_000, 200.0, 6_000)
    fake(tmp_path / "at_once" / "2" / "1", "frames", 60_000, 240.0, 6_000)
    video, one, two = page()
    assert video == ["pretraining", "100,000 updates in 10.0 min", "166.7 updates/s", "1.0, 3.0 GiB", "10.0 min"]
    assert one == [
        *("one run", "60,000 frames in 2.0 min", "500.0 frames/s, 50.0 updates/s", "1.0, 3.0 GiB"),
        "33.3 min (extrapolated), 1.80 runs an hour",
    ]
    # 300 + 250 frames a second, 30 + 25 updates
    assert two[:3] == ["2 runs at once", "60,000 frames in 4.0 min", "550.0 frames/s, 55.0 updates/s"]
    assert two[3:] == ["1.0, 3.0 GiB each", "66.7 min (extrapolated), 1.80 runs an hour"]


def test_what_is_too_short_for_a_rate_is_said(tmp_path: Path, page: Callable[[], list[list[str]]]) -> None:
    fake(tmp_path / "teachers" / "diswm", "updates", 10, 0.0, 10)
    with pytest.raises(SystemExit, match="too few logged updates for a rate"):
        page()

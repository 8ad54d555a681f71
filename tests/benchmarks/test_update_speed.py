"""The benchmark of updates writes its page. Times are not tested."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path


def test_the_page_has_a_row_for_each_thing_that_was_measured(tmp_path: Path, benchmark: Callable[..., list[str]]) -> None:
    out = tmp_path / "page.md"
    flags = ["--preset=tiny", "--threads=1", "--sweep", "--released=7", "--json", f"--out={out}", "--note=As it was."]
    found = json.loads(benchmark("update_speed", *flags)[-1])
    assert sorted(found["growth_when_doubled"]) == ["actions", "batch", "code", "length"]
    rows = dict(line.strip("| ").split(" | ") for line in out.read_text().splitlines() if line.startswith("| "))
    seconds = found["update_seconds_float32"]
    assert rows["update, float32"] == f"{seconds:.3f} s, {7 / seconds:.2f} times the release (7.00 s)"
    assert rows["twice the code"] == f"{found['growth_when_doubled']['code']:.2f} times the time"
    assert ("update, bfloat16" in rows) == (found["update_seconds_bfloat16"] is not None)
    assert out.read_text().endswith("As it was.\n")

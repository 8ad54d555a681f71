"""The benchmark of waiting writes its page, and its parts add up. Times are not tested."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path


def test_the_page_has_a_row_for_each_preset(tmp_path: Path, benchmark: Callable[..., list[str]]) -> None:
    out = tmp_path / "page.md"
    flags = ["--presets", "tiny", "--threads=1", "--updates=2", "--episodes=2", "--json", f"--folder={tmp_path}", f"--out={out}"]
    found = json.loads(benchmark("waiting", *flags)[-1])["tiny"]
    for kind in ("pretraining", "pretraining_cold"):
        assert 0 < found[kind]["updates"] + found[kind]["waiting"] < found[kind]["all"]
        assert found[kind]["drawing"] > 0
    assert min(found["online"].values()) > 0
    rows = [line for line in out.read_text().splitlines() if line.startswith("| tiny | ")]
    share = found["pretraining"]["updates"] / found["pretraining"]["all"]
    assert [row.count(" | ") for row in rows] == [6, 5]
    assert rows[0].split(" | ")[1] == f"{share:.2%}"
    assert [path.name for path in tmp_path.iterdir()] == ["page.md"], "what was written is gone"

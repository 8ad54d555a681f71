"""Demos of several seeds, FOLDER/<seed>/summary.json -> results/demo.md.

python recipes/demo_table.py runs/demos
"""

from __future__ import annotations

import datetime
import json
import sys
from pathlib import Path

import study

RESULTS = Path(__file__).resolve().parents[1] / "results"
HEAD = ["seed", "random policy", "trained, seen colours", "trained, unseen colours", "minutes", "peak memory"]


def main(folder: Path, note: str = "") -> None:
    summaries = {path.parent.name: json.loads(path.read_text()) for path in sorted(folder.glob("*/summary.json"))}
    if not summaries:
        sys.exit(f"{folder} holds no demos <seed>/summary.json")
    rows = []
    for seed, found in summaries.items():
        cells = [f"{r['mean']:.0f} ({r['low']:.0f} to {r['high']:.0f})" for r in (found["returns"][key] for key in
                 ("random", "trained_seen", "trained_unseen"))]  # fmt: skip
        rows.append([seed, *cells, f"{found['seconds'] / 60:.1f}", f"{found['peak_rss_bytes'] / 2**30:.2f} GiB"])
    first = next(iter(summaries.values()))
    cost = json.loads(next(folder.glob("*/agent/cost.json")).read_text())
    machine = f"{cost['machine']}, {cost['device']}, {cost['threads']} threads"
    lines = [
        "# demo",
        f"`recipes/demo.sh`, {datetime.date.today()}, {machine}, torch {cost['torch']}.",
        f"Videos of {first['source']}, agent on {first['task']}: {first['frames']:,} frames, {first['updates']:,} updates. "
        "Returns: mean and 95% bootstrap interval over 10 evaluation episodes.",
        study.markdown(HEAD, rows),
        *([note] if note else []),
    ]
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "demo.md").write_text("\n\n".join(lines) + "\n")
    print(RESULTS / "demo.md")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:]) if len(sys.argv) in (2, 3) else sys.exit(__doc__)

"""Runs to hold against each other, made of numbers: straight curves whose ends, areas and differences are known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

BUDGET = 4_000


def fake_trial(
    folder: Path,
    level: float,
    *,
    seed: int = 0,
    method: str = "diswm",
    task: str = "walker_walk",
    reached: int = BUDGET,
    unseen: bool = True,
    **settings: Any,
) -> Path:
    """A run whose curve climbs straight from 0 to `level` at BUDGET, as far as it got; unseen half of it or none, random 10.

    `settings` are further settings, `a__b=1` for "a.b". Its final evaluation has two episodes, 10 below and above the level.
    """
    folder.mkdir(parents=True)
    config: dict[str, Any] = {
        "method": method, "ablate": [], "seed": seed, "out": str(folder), "device": "cpu", "threads": seed, "teacher": None,
        "env": {"task": task, "time_limit": 1000}, "train": {"frames": BUDGET, "batch": 16}, "weights": {"image": 1.0},
    }  # fmt: skip
    for name, value in settings.items():
        *heads, last = name.split("__")
        table = config
        for head in heads:
            table = table.setdefault(head, {})
        table[last] = value
    (folder / "config.json").write_text(json.dumps({"format": 1, "kind": "train", "version": "0", "config": config}))
    rows = [{"kind": "eval", "split": "seen", "frames": f, "returns": [level * f / BUDGET]} for f in range(0, reached + 1, 1_000)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    if reached == BUDGET:
        ends = {"seen": level, "unseen": level / 2, "random": 10.0}
        found: dict[str, Any] = {name: {"returns": [value - 10, value + 10], "colours": "set1"} for name, value in ends.items()}
        found |= {} if unseen else {"unseen": {"returns": [], "absent": "no unseen world: of its task"}}
        (folder / "evaluation.json").write_text(json.dumps({**found, "frames": BUDGET}))
    cost = {"frames": reached, "updates": reached // 10, "seconds": reached / 10, "peak_rss_bytes": 2**30, "device": "cpu", "threads": 1,
            "machine": "Box", "torch": "2"}  # fmt: skip
    (folder / "cost.json").write_text(json.dumps(cost))
    return folder


def fake_study(root: Path) -> Path:
    """Two tasks: diswm at 400, 420, 440, dreamerv2 100 below it seed by seed; on walker_walk one of its seeds stopped half-way."""
    for task in ("walker_walk", "cheetah_run"):
        for seed in range(3):
            fake_trial(root / task / "diswm" / str(seed), 400 + 20 * seed, seed=seed, task=task)
            reached = BUDGET // 2 if (task, seed) == ("walker_walk", 2) else BUDGET
            fake_trial(root / task / "dreamerv2" / str(seed), 300 + 20 * seed, seed=seed, task=task, method="dreamerv2", reached=reached,
                       weights__image=2.0)  # fmt: skip
    return root

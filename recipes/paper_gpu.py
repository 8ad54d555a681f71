"""Runs of `recipes/paper_gpu.sh`, FOLDER/teachers/diswm and FOLDER/at_once/<count>/<seed> -> results/paper_gpu.md.

Of a run that is shorter than the paper's, the time of the whole is its own time and, for what is missing, its rate from its first logged
updates to its last, evaluations included. Such times are marked.
"""

from __future__ import annotations

import argparse
import datetime
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from diswm.trainers.finetune import TrainConfig
from diswm.trainers.pretrain import PretrainConfig

RESULTS = Path(__file__).resolve().parents[1] / "results"
HEAD = ("what", "measured", "rate", "memory, GPU's", "the whole")


class Timed(NamedTuple):
    """A run's clock: its seconds, what it did in them of ``unit``, and the rates a second while it learned."""

    seconds: float
    done: int
    rate: float
    updates_rate: float
    cost: dict[str, Any]

    def whole(self, budget: int) -> float:
        """Seconds of the whole budget."""
        return self.seconds + max(budget - self.done, 0) / self.rate


def timed(folder: Path, unit: str) -> Timed:
    """The clock of a run that ended, in ``frames`` or ``updates``."""
    try:
        cost = json.loads((folder / "cost.json").read_text())
        lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    except (OSError, ValueError) as error:
        sys.exit(f"{folder}: is no finished run ({error})")
    logged = [line for line in lines if line["kind"] == "update"]
    if len(logged) < 2 or logged[-1]["seconds"] <= logged[0]["seconds"]:
        sys.exit(f"{folder}: has too few logged updates for a rate. Take more FRAMES or UPDATES.")
    first, last = logged[0], logged[-1]
    span = last["seconds"] - first["seconds"]
    return Timed(cost["seconds"], cost[unit], (last[unit] - first[unit]) / span, (last["updates"] - first["updates"]) / span, cost)


def row(what: str, runs: list[Timed], unit: str, budget: int) -> tuple[str, ...]:
    """A line of the table; of several runs at once the slowest counts."""
    slowest = max(runs, key=lambda run: run.whole(budget))
    seconds, count = slowest.whole(budget), len(runs)
    mark = " (extrapolated)" if any(run.done < budget for run in runs) else ""
    hourly = f", {3600 * count / seconds:.2f} runs an hour" if unit == "frames" else ""
    updates = f", {sum(run.updates_rate for run in runs):.1f} updates/s" if unit == "frames" else ""
    memory = [f"{max(run.cost[name] for run in runs) / 2**30:.1f}" for name in ("peak_rss_bytes", "peak_gpu_bytes") if name in slowest.cost]
    return (
        what,
        f"{slowest.done:,} {unit} in {slowest.seconds / 60:.1f} min",
        f"{sum(run.rate for run in runs):,.1f} {unit}/s{updates}",
        ", ".join(memory) + " GiB" + (" each" if count > 1 else ""),
        f"{seconds / 60:.1f} min{mark}{hourly}",
    )


def rows(folder: Path) -> Iterator[tuple[str, ...]]:
    """The table: pretraining, then the runs by how many shared the GPU."""
    yield row("pretraining", [timed(folder / "teachers" / "diswm", "updates")], "updates", PretrainConfig().updates)
    for place in sorted((folder / "at_once").iterdir(), key=lambda path: int(path.name)):
        runs = [timed(path.parent, "frames") for path in sorted(place.glob("*/config.json"))]
        yield row("one run" if len(runs) == 1 else f"{len(runs)} runs at once", runs, "frames", TrainConfig().frames)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--command", default="recipes/paper_gpu.sh")
    args = parser.parse_args()
    table = [HEAD, ("---",) * len(HEAD), *rows(args.folder)]
    cost = json.loads((args.folder / "teachers" / "diswm" / "cost.json").read_text())
    text = [
        "# paper_gpu",
        f"`{args.command}`, {datetime.date.today()}. {cost['machine']}, {cost['device']}, torch {cost['torch']}.",
        f"The whole is the paper's: {TrainConfig().frames:,} frames with environments and evaluations, {PretrainConfig().updates:,} "
        "updates of the video model. Rates are sums over the runs that share the GPU; of their times the longest is given. "
        "(extrapolated): the runs were shorter, and what is missing was taken at the rate that they had.",
        "\n".join("| " + " | ".join(line) + " |" for line in table),
    ]
    args.results.mkdir(parents=True, exist_ok=True)
    path = args.results / "paper_gpu.md"
    path.write_text("\n\n".join(text) + "\n")
    print(path)


if __name__ == "__main__":
    main()

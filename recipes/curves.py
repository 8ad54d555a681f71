"""Learning curves of a study: FOLDER/<method>/<seed> -> results/<name>.{md,csv,png}.

python recipes/curves.py runs/learn_cpu --name learn_cpu
"""

from __future__ import annotations

import argparse
import csv
import datetime
import json
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from diswm.metrics.scores import bootstrap_interval

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
RESULTS = Path(__file__).resolve().parents[1] / "results"


def read(run: Path) -> dict[str, Any]:
    """The evaluations on training colours, the final evaluation and the cost of one run."""
    curve = {}
    for line in (run / "metrics.jsonl").read_text().splitlines():
        event = json.loads(line)
        if event["kind"] == "eval" and event["split"] == "seen":
            curve[event["frames"]] = float(np.mean(event["returns"]))
    final = json.loads((run / "evaluation.json").read_text()) if (run / "evaluation.json").exists() else {}
    cost = json.loads((run / "cost.json").read_text())
    config = json.loads((run / "config.json").read_text())["config"]
    return {"curve": curve, "final": final, "cost": cost, "config": config, "seed": run.name, "method": run.parent.name}


def draw(runs: list[dict[str, Any]], path: Path, title: str) -> None:
    """Mean over seeds at each evaluation, each seed as a thin line."""
    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    for colour, method in zip(COLOURS, sorted({run["method"] for run in runs}), strict=False):
        curves = [run["curve"] for run in runs if run["method"] == method]
        for curve in curves:
            axes.plot(list(curve), list(curve.values()), color=colour, alpha=0.35, linewidth=1)
        shared = sorted(set.intersection(*(set(curve) for curve in curves)))
        means = [np.mean([curve[frames] for curve in curves]) for frames in shared]
        axes.plot(shared, means, color=colour, linewidth=2.4, label=f"{method} ({len(curves)} seed{'s' * (len(curves) > 1)})")
    randoms = [value for run in runs if run["final"] for value in run["final"]["random"]["returns"]]
    if randoms:
        axes.axhline(float(np.mean(randoms)), color="0.5", linestyle="--", linewidth=1, label="random policy")
    axes.set(xlabel="frames (simulator steps)", ylabel="evaluation return, training colours", title=title, ylim=(0, None))
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=150)


def table(runs: list[dict[str, Any]]) -> str:
    """One row a run, in Markdown."""
    rows = [
        "| method | seed | frames | return, seen colours | return, unseen colours | random policy | minutes | peak memory |",
        "|" + "---|" * 8,
    ]
    for run in runs:
        last = max(run["curve"]) if run["curve"] else 0
        cells = []
        for split in ("seen", "unseen", "random"):
            if run["final"]:
                low_high = bootstrap_interval(run["final"][split]["returns"])
                cells.append(f"{low_high.mean:.0f} ({low_high.low:.0f} to {low_high.high:.0f})")
            else:
                cells.append(f"{run['curve'][last]:.0f} so far" if split == "seen" and last else "-")
        cost = run["cost"]
        memory = f"{cost['peak_rss_bytes'] / 2**30:.2f} GiB"
        rows.append(
            f"| {run['method']} | {run['seed']} | {cost['frames']:,} | " + " | ".join(cells) + f" | {cost['seconds'] / 60:.0f} | {memory} |"
        )
    return "\n".join(rows)


def summary(runs: list[dict[str, Any]]) -> str:
    """Mean over the seeds of each method that finished, with a bootstrap interval over seeds."""
    lines = []
    for method in sorted({run["method"] for run in runs}):
        for split in ("seen", "unseen"):
            means = [float(np.mean(run["final"][split]["returns"])) for run in runs if run["method"] == method and run["final"]]
            if means:
                got = bootstrap_interval(means)
                lines.append(f"- {method}, {split} colours: {got.mean:.0f} ({got.low:.0f} to {got.high:.0f} over {len(means)} seeds)")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--name", required=True)
    parser.add_argument("--note", default="")
    args = parser.parse_args()
    runs = [read(path.parent) for path in sorted(args.folder.glob("*/*/metrics.jsonl")) if path.parent.parent.name != "teachers"]
    if not runs:
        parser.error(f"{args.folder} holds no runs <method>/<seed>")
    RESULTS.mkdir(exist_ok=True)
    task = runs[0]["config"]["env"]["task"]
    draw(runs, RESULTS / f"{args.name}.png", f"{task} under colour distraction")
    with (RESULTS / f"{args.name}.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["method", "seed", "frames", "mean_return"])
        writer.writerows([run["method"], run["seed"], frames, round(value, 2)] for run in runs for frames, value in run["curve"].items())
    cost = runs[0]["cost"]
    machine = f"{cost['machine']}, {cost['device']}, {cost['threads']} thread(s), torch {cost['torch']}"
    text = [
        f"# {args.name}",
        f"`recipes/{args.name}.sh`, {datetime.date.today()}, {machine}.",
        "Returns: mean and 95% bootstrap interval over evaluation episodes.",
        *([args.note] if args.note else []),
        f"![curves]({args.name}.png)",
        table(runs),
        summary(runs),
    ]
    (RESULTS / f"{args.name}.md").write_text("\n\n".join(part for part in text if part) + "\n")
    print(RESULTS / f"{args.name}.md")


if __name__ == "__main__":
    main()

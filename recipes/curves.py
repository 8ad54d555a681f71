"""Learning curves of a study: FOLDER/<method>/<seed> -> results/<name>.{md,csv,png}.

python recipes/curves.py runs/transfer --name learn_cpu --methods diswm dreamerv2
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import study

from diswm.contract import DiswmError
from diswm.metrics.scores import bootstrap_interval
from diswm.report.trials import Trial, by_variant


def draw(trials: list[Trial], path: Path, title: str) -> None:
    """One curve a method."""
    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    study.draw_curves(axes, by_variant(trials))
    axes.set(title=title, ylim=(0, None))
    figure.savefig(path, dpi=150)
    plt.close(figure)


def table(trials: list[Trial]) -> str:
    """One row a run, in Markdown."""
    rows = []
    for trial in trials:
        cells = []
        for split in ("seen", "unseen", "random"):
            if trial.finished:
                found = bootstrap_interval(trial.run.returns(split))
                cells.append(f"{found.mean:.0f} ({found.low:.0f} to {found.high:.0f})")
            else:
                cells.append(f"{trial.curve[max(trial.curve)]:.0f} so far" if split == "seen" and trial.curve else "-")
        cost = trial.run.cost
        memory = f"{cost['peak_rss_bytes'] / 2**30:.2f} GiB" if cost else "-"
        rows.append([trial.variant, trial.seed, f"{trial.frames:,}", *cells, f"{cost.get('seconds', 0) / 60:.0f}", memory])
    returns = [f"return, {name} colours" for name in ("seen", "unseen")]
    return study.markdown(["method", "seed", "frames", *returns, "random policy", "minutes", "peak memory"], rows)


def summary(trials: list[Trial]) -> str:
    """Mean over the seeds of each method that finished, with a bootstrap interval over seeds."""
    lines = []
    for method, members in by_variant(trials).items():
        for split in ("seen", "unseen"):
            means = [trial.at_budget(split) for trial in members if trial.finished]
            if means:
                got = bootstrap_interval(means)
                lines.append(f"- {method}, {split} colours: {got.mean:.0f} ({got.low:.0f} to {got.high:.0f} over {len(means)} seeds)")
    return "\n".join(lines)


def report(folder: Path, results: Path, *, name: str, note: str = "", methods: Sequence[str] = ()) -> None:
    """Read the study, all of it or these methods, and write the three files. DiswmError where it has none of them."""
    found = study.read_study(folder)
    trials = [trial for trial in found if trial.variant in (methods or [trial.variant])]
    if not trials:
        raise DiswmError(f"{folder}: has no run of {', '.join(methods)}, but of {', '.join(by_variant(found))}. Name one of these.")
    results.mkdir(parents=True, exist_ok=True)
    draw(trials, results / f"{name}.png", f"{trials[0].run.text('env.task', '?')} under colour distraction")
    study.write_csv(results / f"{name}.csv", trials)
    returns = "Returns: mean and 95% bootstrap interval over evaluation episodes."
    parts = [
        f"# {name}",
        study.origin(f"recipes/{name}.sh", trials),
        returns,
        note,
        f"![curves]({name}.png)",
        table(trials),
        summary(trials),
    ]
    study.write_text(results / f"{name}.md", parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--name", required=True)
    parser.add_argument("--note", default="")
    parser.add_argument("--methods", nargs="*", default=[], help="draw these alone")
    parser.add_argument("--results", type=Path, default=study.RESULTS)
    args = parser.parse_args()
    try:
        report(args.folder, args.results, name=args.name, note=args.note, methods=args.methods)
    except DiswmError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()

"""What the transfer gains: FOLDER/<variant>/<seed> -> results/transfer.{md,csv,png}.

python recipes/transfer.py runs/transfer
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

import matplotlib.pyplot as plt
import study
from matplotlib.axes import Axes

from diswm.contract import DiswmError

LEAST = 3
"""Seeds below which a difference is no result."""


def order(trials: list[study.Trial], reference: str) -> dict[str, list[study.Trial]]:
    """The variants, the reference first."""
    return dict(sorted(study.by_variant(trials).items(), key=lambda item: item[0] != reference))


def differences(groups: dict[str, list[study.Trial]], reference: str) -> list[list[str]]:
    """Rows: the reference less each other variant, by seed."""
    rows = []
    for variant, trials in groups.items():
        if variant == reference or reference not in groups:
            continue
        gaps = {measure: study.paired(groups[reference], trials, measure) for measure in study.MEASURES}
        count = len(next(iter(gaps.values())))
        cells = [study.said(study.interval(values), count) if values else "-" for values in gaps.values()]
        rows.append([f"{reference} - {variant}", str(count), *cells, verdict(gaps["area under the curve"])])
    return rows


def verdict(gaps: list[float]) -> str:
    """What the differences in area allow to say."""
    if len(gaps) < LEAST:
        return f"fewer than {LEAST} seeds: nothing"
    found = study.interval(gaps)
    if found.low > 0:
        return "higher"
    return "lower" if found.high < 0 else "no difference shown"


def dots(axes: Axes, rows: dict[str, list[float]], title: str, colours: dict[str, str]) -> None:
    """One line a variant: each seed as a dot, the interval as a bar."""
    for place, (name, values) in enumerate(rows.items()):
        if values:
            found, colour = study.interval(values), colours[name]
            axes.plot([found.low, found.high], [place, place], color=colour, linewidth=5, alpha=0.45, solid_capstyle="butt")
            axes.scatter(values, [place] * len(values), color=colour, s=22, zorder=3)
            axes.scatter([found.mean], [place], color=colour, marker="D", s=60, edgecolors="white", zorder=4)
    axes.set_yticks(range(len(rows)), [f"{name}, n = {len(values)}" for name, values in rows.items()])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_title(title, fontsize=10)
    axes.grid(axis="x", alpha=0.25)


def draw(groups: dict[str, list[study.Trial]], reference: str, path: Path, title: str) -> None:
    """Curves; areas and returns at the budget by seed; paired differences."""
    figure, axes = plt.subplots(2, 2, figsize=(12, 8), layout="constrained")
    colours = dict(zip(groups, itertools.cycle(study.COLOURS), strict=False))  # the order in which the curves take theirs
    study.draw_curves(axes[0, 0], groups)
    axes[0, 0].set_title(title, fontsize=10)
    area, seen, _ = study.MEASURES
    for place, measure in ((axes[0, 1], area), (axes[1, 0], seen)):
        values = {name: [study.MEASURES[measure](t) for t in trials if t.finished] for name, trials in groups.items()}
        dots(place, values, measure, colours)
    gaps = {name: study.paired(groups.get(reference, []), trials, area) for name, trials in groups.items() if name != reference}
    dots(axes[1, 1], gaps, f"{area}: {reference} less the other, by seed", colours)
    axes[1, 1].axvline(0, color="0.3", linewidth=1)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def table(groups: dict[str, list[study.Trial]]) -> str:
    """One row a variant."""
    rows = []
    for variant, trials in groups.items():
        done = f"{sum(trial.finished for trial in trials)} of {len(trials)}"
        minutes = sum(trial.run.cost.get("seconds", 0) for trial in trials) / 60 / len(trials)
        rows.append([variant, done, *(study.measured(trials, measure) for measure in study.MEASURES), f"{minutes:.0f}"])
    return study.markdown(["variant", "seeds finished", *study.MEASURES, "minutes a run"], rows)


def report(folder: Path, results: Path, *, name: str, reference: str, command: str, note: str = "") -> None:
    """Read the study, write the three files."""
    trials = study.read_study(folder)
    groups = order(trials, reference)
    task, budget = trials[0].run.text("env.task", "?"), trials[0].budget
    results.mkdir(parents=True, exist_ok=True)
    draw(groups, reference, results / f"{name}.png", f"{task} under colour distraction")
    study.write_csv(results / f"{name}.csv", trials)
    gaps = differences(groups, reference)
    few = [variant for variant, members in groups.items() if sum(trial.finished for trial in members) < LEAST]
    parts = [
        f"# {name}",
        study.origin(command, trials),
        f"Target: {task} under colour distraction, {budget:,} frames. The teachers saw videos of {study.source(trials)}; all seeds of "
        "a variant share one teacher, so intervals leave the teacher's own chance out.",
        f"![curves and differences]({name}.png)",
        table(groups),
        f"{study.CELLS} With three seeds such an interval reaches from about the worst seed to the best: read it as their spread. A seed "
        "has the same first states and colours in every variant, so differences are taken seed by seed, from the seeds that both finished.",
        study.markdown(["difference", "seeds", *study.MEASURES, "in area"], gaps) if gaps else "",
        f"Fewer than {LEAST} finished seeds, so no result: {', '.join(few)}." if few else "",
        study.unfinished(trials),
        note,
    ]
    study.write_text(results / f"{name}.md", parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--name", default="transfer")
    parser.add_argument("--reference", default="diswm")
    parser.add_argument("--command", default="recipes/transfer.sh")
    parser.add_argument("--note", default="")
    parser.add_argument("--results", type=Path, default=study.RESULTS)
    args = parser.parse_args()
    try:
        report(args.folder, args.results, name=args.name, reference=args.reference, command=args.command, note=args.note)
    except DiswmError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()

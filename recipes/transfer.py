"""What the transfer gains: FOLDER/<variant>/<seed> -> results/transfer.{md,csv,png}.

python recipes/transfer.py runs/transfer
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import study
from matplotlib.axes import Axes
from scipy.stats import t as students_t

from diswm.contract import DiswmError
from diswm.report import charts
from diswm.report.trials import LEAST, MEASURES, NOTHING, Trial, by_variant, paired, verdict

HEAD = ["difference", "seeds", *MEASURES, "area, by Student's t", "in area"]


def order(trials: list[Trial], reference: str) -> dict[str, list[Trial]]:
    """The variants, the reference first."""
    return dict(sorted(by_variant(trials).items(), key=lambda item: item[0] != reference))


def differences(groups: dict[str, list[Trial]], reference: str) -> list[list[str]]:
    """Rows: the reference less each other variant, by seed."""
    rows = []
    for variant, trials in groups.items():
        if variant == reference or reference not in groups:
            continue
        gaps = {measure: paired(groups[reference], trials, measure) for measure in MEASURES}
        count = len(next(iter(gaps.values())))
        cells = [study.said(study.interval(values), count) if values else "-" for values in gaps.values()]
        areas = gaps["area under the curve"]
        told = verdict(areas, study.interval(areas)) if areas else NOTHING
        rows.append([f"{reference} - {variant}", str(count), *cells, by_t(areas), told])
    return rows


def by_t(gaps: Sequence[float]) -> str:
    """Mean and half the 95% interval, if the gaps are normal: with few seeds the wider and the more honest one."""
    if len(gaps) < 2:
        return "-"
    half = float(students_t.ppf(0.975, len(gaps) - 1) * np.std(gaps, ddof=1) / len(gaps) ** 0.5)
    return f"{round(float(np.mean(gaps))) + 0} ± {half:.0f}"


def dots(axes: Axes, rows: dict[str, list[float]], title: str, styles: dict[str, charts.Look]) -> None:
    """One line a variant, with its name and count."""
    charts.dots(axes, rows, styles, study.interval)
    axes.set_yticks(range(len(rows)), [f"{name}, n = {len(values)}" for name, values in rows.items()])
    axes.set_title(title, fontsize=10)


def draw(groups: dict[str, list[Trial]], reference: str, path: Path, title: str) -> None:
    """Curves; areas and returns at the budget by seed; paired differences."""
    figure, axes = plt.subplots(2, 2, figsize=(12, 8), layout="constrained")
    styles = charts.looks(list(groups))
    study.draw_curves(axes[0, 0], groups)
    axes[0, 0].set_title(title, fontsize=10)
    area, seen, _ = MEASURES
    for place, measure in ((axes[0, 1], area), (axes[1, 0], seen)):
        values = {name: [MEASURES[measure](t) for t in trials if t.finished] for name, trials in groups.items()}
        dots(place, values, measure, styles)
    gaps = {name: paired(groups.get(reference, []), trials, area) for name, trials in groups.items() if name != reference}
    dots(axes[1, 1], gaps, f"area: {reference} less the other, by seed", styles)
    axes[1, 1].axvline(0, color="0.3", linewidth=1)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def table(groups: dict[str, list[Trial]]) -> str:
    """One row a variant."""
    rows = []
    for variant, trials in groups.items():
        done = f"{sum(trial.finished for trial in trials)} of {len(trials)}"
        minutes = sum(trial.run.cost.get("seconds", 0) for trial in trials) / 60 / len(trials)
        rows.append([variant, done, *(study.measured(trials, measure) for measure in MEASURES), f"{minutes:.0f}"])
    return study.markdown(["variant", "seeds finished", *MEASURES, "minutes a run"], rows)


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
        "has the same first states and colours in every variant, so differences are taken seed by seed, from the seeds that both finished. "
        f"Of three seeds, higher or lower means in all three, as chance alone gives in one comparison of four{_several(len(gaps))}. The "
        "interval by Student's t, which takes differences for normal, says what such a study can show at all: what is smaller than its "
        "half would have gone unseen.",
        study.markdown(HEAD, gaps) if gaps else "",
        f"Fewer than {LEAST} finished seeds, so no result: {', '.join(few)}." if few else "",
        study.unfinished(trials),
        note,
    ]
    study.write_text(results / f"{name}.md", parts)


def _several(count: int) -> str:
    return f", and in at least one of {count} with a chance of {1 - 0.75**count:.0%} if they were independent" if count > 1 else ""


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

"""What the recipes share: reading a study FOLDER/<variant>/<seed>, intervals over its seeds, curves and tables.

A run that is not finished is read as far as it got, counts in no number at the budget, and is said.
"""

from __future__ import annotations

import csv
import datetime
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import numpy as np
from matplotlib.axes import Axes

from diswm.contract import DiswmError
from diswm.metrics.scores import Interval, stratified_bootstrap
from diswm.report import charts
from diswm.report.reading import read_run
from diswm.report.trials import MEASURES, Trial, finished, machines, seed_order, trial_of

RESULTS = Path(__file__).resolve().parents[1] / "results"
NOT_RUNS = ("teachers", "videos")
CELLS = (
    "Each cell: interquartile mean over the seeds that finished (below four: their mean) with a 95% bootstrap interval over seeds; the "
    "area under the curve is its mean height over the budget, in the unit of a return."
)


def read_trial(folder: Path) -> Trial:
    """A run folder <variant>/<seed>. DiswmError where it is none."""
    return trial_of(read_run(folder), folder.parent.name, folder.name)


def read_study(folder: Path) -> list[Trial]:
    """Every run of a study by variant and seed. DiswmError where there is none, or where targets differ."""
    trials = [read_trial(path.parent) for path in sorted(folder.glob("*/*/config.json")) if path.parent.parent.name not in NOT_RUNS]
    if not trials:
        raise DiswmError(f"{folder}: holds no runs <variant>/<seed>. Expected the folder of a study; its recipe makes it.")
    targets = sorted({trial.run.text("env.task", "?") for trial in trials})
    if len(targets) > 1:
        raise DiswmError(f"{folder}: its runs have several targets, {', '.join(targets)}. Expected one; compare runs of the same task.")
    budget = max(trial.budget for trial in trials)
    for trial in trials:
        trial.budget = budget
    return trials


# ---- numbers


def interval(values: Sequence[float]) -> Interval:
    """Interquartile mean over seeds (below four of them: the mean) with its 95% stratified bootstrap interval."""
    return stratified_bootstrap(np.asarray(values, float)[:, None], reps=20_000)


def measured(trials: Iterable[Trial], measure: str) -> str:
    """A cell: the finished trials' interval, or that there is none."""
    values = [MEASURES[measure](trial) for trial in finished(trials)]
    return said(interval(values), len(values)) if values else "-"


def said(found: Interval, count: int) -> str:
    """An interval in words; of one seed there is none."""
    mean, low, high = (f"{round(value, 1) + 0.0:.1f}" for value in found)  # + 0.0 takes the sign off a zero
    return f"{mean} ({low} to {high})" if count > 1 else f"{mean} (one seed)"


# ---- pictures


def draw_curves(axes: Axes, groups: Mapping[str, Sequence[Trial]]) -> None:
    """The curves of the report, with a legend inside."""
    charts.draw_curves(axes, groups)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=8)


# ---- words


def markdown(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table."""
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in [head, ["---"] * len(head), *rows])


def origin(command: str, trials: Sequence[Trial]) -> str:
    """Where the numbers come from: command, date, machines, seeds."""
    seeds = sorted({trial.seed for trial in trials}, key=seed_order)
    return f"`{command}`, {datetime.date.today()}. Machine: {'; '.join(machines(trials)) or 'not recorded'}. Seeds: {', '.join(seeds)}."


def source(trials: Iterable[Trial]) -> str:
    """The videos that the teachers saw, by the names of their folders."""
    names: set[str] = set()
    for trial in trials:
        teacher = Path(str(trial.run.setting("teacher")))
        # Where it was, or in the study, which may have been moved or kept (keep.py) since.
        for file in (teacher / "config.json", trial.run.path.parents[1] / "teachers" / teacher.name / "config.json"):
            if file.is_file():
                names |= {Path(path).name for path in json.loads(file.read_text())["config"].get("videos", [])}
    return ", ".join(sorted(names)) or "not recorded"


def unfinished(trials: Iterable[Trial]) -> str:
    """A paragraph on the runs that no number at the budget counts; empty where all are finished."""
    lines = [f"- {t.variant}, seed {t.seed}: {t.frames:,} of {t.budget:,} frames" for t in trials if not t.finished]
    return "\n".join(["Not finished, so in the curves as far as they got and in no other number:", "", *lines]) if lines else ""


def write_csv(path: Path, trials: Iterable[Trial]) -> None:
    """Every evaluation: the curve on the training colours, and what the final evaluation adds."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["target", "variant", "seed", "frames", "split", "mean_return"])
        for trial in trials:
            head = [trial.run.setting("env.task"), trial.variant, trial.seed]
            writer.writerows([*head, frames, "seen", round(value, 2)] for frames, value in trial.curve.items())
            if trial.finished:
                writer.writerow([*head, trial.run.evaluation["frames"], "unseen", round(trial.at_budget("unseen"), 2)])


def write_text(path: Path, parts: Iterable[str]) -> None:
    """Paragraphs, the empty ones left out."""
    path.write_text("\n\n".join(part for part in parts if part) + "\n")
    print(path)

"""What the recipes share: reading a study FOLDER/<variant>/<seed>, intervals over its seeds, curves and tables.

A run that is not finished is read as far as it got, counts in no number at the budget, and is said.
"""

from __future__ import annotations

import csv
import dataclasses
import datetime
import itertools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import numpy as np
from matplotlib.axes import Axes

from diswm.contract import DiswmError
from diswm.metrics.scores import Interval, area_under_curve, bootstrap_interval, interpolate_curve, stratified_bootstrap
from diswm.report.reading import Run, finite_list, read_run

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999933")
RESULTS = Path(__file__).resolve().parents[1] / "results"
NOT_RUNS = ("teachers", "videos")
CELLS = (
    "Each cell: interquartile mean over the seeds that finished (below four: their mean) with a 95% bootstrap interval over seeds; the "
    "area under the curve is its mean height over the budget, in the unit of a return."
)


@dataclasses.dataclass
class Trial:
    """One run of a study."""

    variant: str
    seed: str
    run: Run
    curve: dict[int, float]
    """Mean return on the training colours, by frames."""
    budget: int
    """The study's frames: the most that any of its runs was given."""

    @property
    def frames(self) -> int:
        """The frames that it has used."""
        return self.run.latest("frames")

    @property
    def finished(self) -> bool:
        """Whether it used its budget and was evaluated there."""
        there = self.run.evaluation.get("frames", -1) >= self.budget and bool(self.run.returns("seen") and self.run.returns("unseen"))
        return there and bool(self.curve) and max(self.curve) >= self.budget

    def at_budget(self, split: str) -> float:
        """Mean return of the final evaluation: seen, unseen or random."""
        return float(np.mean(self.run.returns(split)))

    @property
    def area(self) -> float:
        """Area under the curve over the budget, in the unit of a return."""
        return area_under_curve(list(self.curve), list(self.curve.values()), self.budget)


MEASURES: dict[str, Callable[[Trial], float]] = {
    "area under the curve": lambda trial: trial.area,
    "return, seen colours": lambda trial: trial.at_budget("seen"),
    "return, unseen colours": lambda trial: trial.at_budget("unseen"),
}


def read_trial(folder: Path) -> Trial:
    """A run folder <variant>/<seed>. DiswmError where it is none."""
    run = read_run(folder)
    curve = {}
    for row in run.of("eval"):
        values = finite_list(row.get("returns"))
        if row.get("split") == "seen" and values:
            curve[int(row["frames"])] = float(np.mean(values))
    return Trial(folder.parent.name, folder.name, run, dict(sorted(curve.items())), int(run.setting("train.frames", 0)))


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


def by_variant(trials: Iterable[Trial]) -> dict[str, list[Trial]]:
    """The trials of each variant, in order of their first appearance."""
    groups: dict[str, list[Trial]] = {}
    for trial in trials:
        groups.setdefault(trial.variant, []).append(trial)
    return groups


# ---- numbers


def interval(values: Sequence[float]) -> Interval:
    """Interquartile mean over seeds (below four of them: the mean) with its 95% stratified bootstrap interval."""
    return stratified_bootstrap(np.asarray(values, float)[:, None], reps=20_000)


def measured(trials: Iterable[Trial], measure: str) -> str:
    """A cell: the finished trials' interval, or that there is none."""
    values = [MEASURES[measure](trial) for trial in trials if trial.finished]
    return said(interval(values), len(values)) if values else "-"


def said(found: Interval, count: int) -> str:
    """An interval in words; of one seed there is none."""
    mean, low, high = (f"{round(value, 1) + 0.0:.1f}" for value in found)  # + 0.0 takes the sign off a zero
    return f"{mean} ({low} to {high})" if count > 1 else f"{mean} (one seed)"


def paired(ours: Iterable[Trial], theirs: Iterable[Trial], measure: str) -> list[float]:
    """Differences of the seeds that both finished."""
    values = [{t.seed: MEASURES[measure](t) for t in group if t.finished} for group in (ours, theirs)]
    return [values[0][seed] - values[1][seed] for seed in sorted(values[0].keys() & values[1].keys())]


# ---- pictures


def draw_curves(axes: Axes, groups: Mapping[str, Sequence[Trial]]) -> None:
    """Each seed as a thin line; over the frames that all seeds reached their mean, with its interval from two seeds on."""
    for colour, (label, trials) in zip(itertools.cycle(COLOURS), groups.items(), strict=False):
        curves = [trial.curve for trial in trials if trial.curve]
        for curve in curves:
            axes.plot(list(curve), list(curve.values()), color=colour, alpha=0.3, linewidth=0.8)
        grid = shared(curves)
        if not grid:
            continue
        values = np.stack([interpolate_curve(list(curve), list(curve.values()), grid) for curve in curves])
        axes.plot(grid, values.mean(0), color=colour, linewidth=2.2, label=f"{label} ({len(curves)} seed{'s' * (len(curves) > 1)})")
        if len(curves) > 1:
            bands = np.array([bootstrap_interval(column, reps=2_000) for column in values.T])
            axes.fill_between(grid, bands[:, 1], bands[:, 2], color=colour, alpha=0.12, linewidth=0)
    randoms = [trial.at_budget("random") for trials in groups.values() for trial in trials if trial.run.returns("random")]
    if randoms:
        axes.axhline(float(np.mean(randoms)), color="0.5", linestyle="--", linewidth=1, label="random policy")
    axes.set(xlabel="frames (simulator steps)", ylabel="return, training colours")
    axes.grid(alpha=0.25)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=8)


def shared(curves: Sequence[Mapping[int, float]]) -> list[int]:
    """The frames at which some curve has a point and every curve is known."""
    if not curves:
        return []
    first, last = max(min(curve) for curve in curves), min(max(curve) for curve in curves)
    return sorted({frames for curve in curves for frames in curve if first <= frames <= last})


# ---- words


def markdown(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table."""
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in [head, ["---"] * len(head), *rows])


def origin(command: str, trials: Sequence[Trial]) -> str:
    """Where the numbers come from: command, date, machines, seeds."""
    machines = sorted(
        {
            f"{c.get('machine')}, {c.get('device')}, {c.get('threads')} thread(s), torch {c.get('torch')}"
            for t in trials
            if (c := t.run.cost)
        }
    )
    seeds = sorted({trial.seed for trial in trials}, key=lambda seed: (len(seed), seed))
    return f"`{command}`, {datetime.date.today()}. Machine: {'; '.join(machines) or 'not recorded'}. Seeds: {', '.join(seeds)}."


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

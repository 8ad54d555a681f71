"""Runs held against each other: which belong together, what each is worth at its budget, intervals over their seeds.

A run that is not finished is read as far as it got, counts in no number at the budget, and is said.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from diswm.contract import Array
from diswm.metrics.scores import Interval, area_under_curve, bootstrap_interval, interpolate_curve
from diswm.report.reading import Run
from diswm.report.words import MISSING, plural

LEAST = 3
"""Seeds below which a difference is no result."""
NOTHING = f"fewer than {LEAST} pairs: no verdict"


@dataclasses.dataclass
class Trial:
    """One run beside others."""

    variant: str
    seed: str
    run: Run
    curve: dict[int, float]
    """Mean return on the training colours, by frames."""
    budget: int
    """Frames that it is held to."""

    @property
    def frames(self) -> int:
        """The frames that it has used."""
        return self.run.latest("frames")

    @property
    def finished(self) -> bool:
        """Whether it used its budget and was evaluated there."""
        frames = self.run.evaluation.get("frames")
        there = self.budget > 0 and isinstance(frames, int | float) and frames >= self.budget and max(self.curve, default=0) >= self.budget
        return there and bool(self.run.returns("seen") and (self.run.returns("unseen") or self.run.absent("unseen")))

    def at_budget(self, split: str) -> float:
        """Mean return of the final evaluation: seen, unseen or random; NaN where there is none."""
        values = self.run.returns(split)
        return float(np.mean(values)) if values else math.nan

    @property
    def area(self) -> float:
        """Area under the curve over the budget, in the unit of a return."""
        return area_under_curve(list(self.curve), list(self.curve.values()), self.budget)


MEASURES: dict[str, Callable[[Trial], float]] = {
    "area under the curve": lambda trial: trial.area,
    "return, seen colours": lambda trial: trial.at_budget("seen"),
    "return, unseen colours": lambda trial: trial.at_budget("unseen"),
}


def trial_of(run: Run, variant: str, seed: str) -> Trial:
    """A run as a trial, held to the budget of its own config."""
    curve = {int(frames): float(np.mean(values)) for frames, values in run.evals("seen")}
    budget = run.setting("train.frames", 0)
    return Trial(variant, seed, run, curve, int(budget) if isinstance(budget, int | float) else 0)


def by_variant(trials: Iterable[Trial]) -> dict[str, list[Trial]]:
    """The trials of each variant, in order of their first appearance."""
    groups: dict[str, list[Trial]] = {}
    for trial in trials:
        groups.setdefault(trial.variant, []).append(trial)
    return groups


def finished(trials: Iterable[Trial]) -> list[Trial]:
    """Those that count at the budget."""
    return [trial for trial in trials if trial.finished]


def paired(ours: Iterable[Trial], theirs: Iterable[Trial], measure: str) -> list[float]:
    """Differences of the seeds that both finished, and that both were measured in this way."""
    values = [{t.seed: v for t in finished(group) if not math.isnan(v := MEASURES[measure](t))} for group in (ours, theirs)]
    return [values[0][seed] - values[1][seed] for seed in sorted(values[0].keys() & values[1].keys())]


def verdict(gaps: Sequence[float], found: Interval) -> str:
    """What paired differences allow to say."""
    if len(gaps) < LEAST:
        return NOTHING
    return "higher" if found.low > 0 else "lower" if found.high < 0 else "no difference shown"


def shared(curves: Sequence[Mapping[int, float]]) -> list[int]:
    """The frames at which some curve has a point and every curve is known."""
    if not curves:
        return []
    first, last = max(min(curve) for curve in curves), min(max(curve) for curve in curves)
    return sorted({frames for curve in curves for frames in curve if first <= frames <= last})


def mean_curve(trials: Iterable[Trial]) -> tuple[list[int], Array]:
    """Frames that all seeds reached, and there (n, 3): mean, low and high of the 95% bootstrap interval over seeds."""
    curves = [trial.curve for trial in trials if trial.curve]
    grid = shared(curves)
    if not grid:
        return [], np.empty((0, 3))
    values = np.stack([interpolate_curve(list(curve), list(curve.values()), grid) for curve in curves])
    return grid, np.array([bootstrap_interval(column, reps=2_000) for column in values.T])


def seed_order(seed: str) -> tuple[int, str]:
    """Seeds as numbers sort: 2 before 10."""
    return len(seed), seed


def machines(trials: Iterable[Trial]) -> list[str]:
    """The machines that the runs name, each once."""

    def said(cost: dict[str, Any]) -> str:
        threads = plural(count, "thread") if isinstance(count := cost.get("threads"), int) else f"{MISSING} threads"
        return f"{cost.get('machine')}, {cost.get('device')}, {threads}, torch {cost.get('torch')}"

    return sorted({said(trial.run.cost) for trial in trials if trial.run.cost})

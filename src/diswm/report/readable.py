"""How readable the true factors are in the code, along training and beside the return: from the `probe` events of runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from diswm.contract import Array, DiswmError
from diswm.metrics.scores import bootstrap_interval, rank_correlation
from diswm.report import codes, words
from diswm.report.canvas import INK, NARROW, PAPER, WIDE, Drawing, new_figure, plain
from diswm.report.charts import Groups, Look, legend
from diswm.report.reading import finite_list
from diswm.report.tables import Estimate, Numbers
from diswm.report.trials import Trial

SCORES = {"ridge_r2": "linear probe, R2", "mig": "mutual information gap"}
TABLE = {
    "mig": "MIG", "dci_disentanglement": "DCI, disent.", "sap": "SAP", "factor_vae_score": "FactorVAE", "mcc": "MCC",
    "ridge_r2": "Probe R2",
}  # fmt: skip
"""Scores of `diswm metrics` that stand in a study's table, by their heads."""
CAUTION = "What chance gives, and the other scores, stand in each run’s own metrics.md."
FEW = 5
"""Runs below which their order says nothing."""


class Path(NamedTuple):
    """One run: a score at the frames of its probes, and at its evaluations beside the return there."""

    frames: Array
    score: Array
    at: Array
    there: Array
    returns: Array


def path_of(trial: Trial, name: str) -> Path | None:
    """None for a run without this score."""
    rows = [row for row in trial.run.of("probe") if finite_list([row.get("frames"), row.get(f"probe/{name}")])]
    if not rows:
        return None
    table = np.array(sorted((row["frames"], row[f"probe/{name}"]) for row in rows), float)
    frames, score = table.T
    at = np.array([f for f in trial.curve if frames[0] <= f <= frames[-1]], float)  # what lies outside was never scored
    return Path(frames, score, at, np.interp(at, frames, score), np.array([trial.curve[int(f)] for f in at], float))


def scored(trials: Sequence[Trial]) -> list[dict[str, float]]:
    """The scores on independent factors of those runs that `diswm metrics` has scored; a damaged file is told of."""
    found = []
    for trial in trials:
        path = trial.run.path / codes.FILE
        if not path.is_file():
            continue
        try:
            found.append({row["name"]: row["value"] for row in codes.read_scores(path)["independent"]["rows"]})
        except DiswmError as error:
            trial.run.problems.append(str(error))
    return found


def score_rows(groups: Groups) -> list[list[Any]]:
    """A row for each group with scored runs: its name, their number, and an estimate of each score of ``TABLE``; None where it has none."""
    rows: list[list[Any]] = []
    for group, trials in groups.items():
        if runs := scored(trials):
            columns = [[run[name] for run in runs if name in run] for name in TABLE]
            rows.append(
                [group, len(runs), *(Estimate(bootstrap_interval(c), "seeds" if len(c) > 1 else "", c) if c else None for c in columns)]
            )
    return rows


def along(task: str, groups: Groups, styles: Mapping[str, Look], name: str) -> Drawing | None:
    """Scores over frames, and the return beside them; None where no run was scored along training."""
    found = {
        score: {group: paths for group, trials in groups.items() if (paths := _paths(trials, score))}
        for score in SCORES
    }  # fmt: skip
    found = {score: paths for score, paths in found.items() if paths}
    if not found:
        return None

    def draw(narrow: bool) -> Figure:
        lines = 2 * len(found) if narrow else len(found)
        figure = new_figure(NARROW if narrow else WIDE, 2.7 * lines + 0.5)
        for row, (score, table) in enumerate(found.items()):
            spots = [figure.add_subplot(lines, 1 if narrow else 2, 2 * row + place + 1) for place in (0, 1)]
            for group, paths in table.items():
                _draw_paths(spots, group, [path for _, path in paths], styles[group])
            plain(spots[0]).set(xlabel="frames (simulator steps)")
            plain(spots[1]).set(xlabel=SCORES[score])
            spots[0].set_title(f"{SCORES[score]}, along training", color=INK)
            spots[1].set_title("return, worlds of training", color=INK)
            spots[0].xaxis.set_major_formatter(FuncFormatter(words.short))
            for axes in spots:
                axes.xaxis.set_major_locator(MaxNLocator(4 if narrow else 5))
        legend(figure, narrow)
        return figure

    rows = [
        [task, group, trial.seed, score, *map(float, values)]
        for score, table in found.items()
        for group, paths in table.items()
        for trial, path in paths
        for values in zip(path.at, path.there, path.returns, strict=True)
    ]
    said = "; ".join(_ends(score, table) for score, table in found.items())
    return Drawing(
        name,
        "Left, how much of the true factors the code tells, on frames whose factors are independent; right, the return of each evaluation "
        "beside it, a line a run, the mark its last. A line that rises to the right says only that both grow with training; whether runs "
        f"whose codes tell more also earn more is told by the marks: {said}.",
        f"Scores of the code along training and against the return in {words.esc(task)}. {said}.",
        draw,
        Numbers(("task", "group", "seed", "score", "frames", "value", "return"), rows),
    )


def _paths(trials: Sequence[Trial], score: str) -> list[tuple[Trial, Path]]:
    return [(trial, path) for trial in trials if (path := path_of(trial, score)) is not None]


def _draw_paths(spots: Sequence[Axes], group: str, paths: Sequence[Path], look: Look) -> None:
    line: dict[str, Any] = {"color": look.colour, "linestyle": look.dashes, "linewidth": 1.2, "alpha": 0.6, "zorder": 2}
    mark: dict[str, Any] = {"color": look.colour, "marker": look.marker, "s": 46, "edgecolors": PAPER, "linewidths": 1.0, "zorder": 3}
    for number, path in enumerate(paths):
        spots[0].plot(path.frames, path.score, **line)
        spots[0].scatter(
            path.frames[-1:], path.score[-1:], label=None if number else f"{group} ({words.plural(len(paths), 'seed')})", **mark
        )
        spots[1].plot(path.there, path.returns, **line)
        spots[1].scatter(path.there[-1:], path.returns[-1:], **mark)


def _ends(score: str, table: Mapping[str, Sequence[tuple[Trial, Path]]]) -> str:
    """The rank correlation over the last points of all runs."""
    last = [(path.there[-1], path.returns[-1]) for paths in table.values() for _, path in paths if len(path.at)]
    if len(last) < FEW:
        return f"{SCORES[score]}: {words.plural(len(last), 'run')}, too few to say"
    return f"{SCORES[score]}: rank correlation {words.number(rank_correlation(*np.array(last).T))} over {words.plural(len(last), 'run')}"

"""Do the scores of a run's code and its return move together? Read from runs that exist: their metrics.json (`diswm metrics`), else the
scores along their training, else, where a run has a checkpoint still, its code is scored now on 2,000 labelled frames of its task.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import study
from matplotlib.axes import Axes

from diswm.contract import DiswmError
from diswm.metrics.scores import Interval, bootstrap_interval, rank_correlation
from diswm.report import charts, codes, words
from diswm.report.readable import FEW, path_of
from diswm.report.trials import Trial, by_variant

SHOWN = {"mig": "MIG", "mcc": "MCC", "ridge_r2": "linear probe R2"}
POINTS = 2_000
_REPS = 2_000


@dataclasses.dataclass
class Point:
    """One finished run: what its code scores, by name, and what it earns on the training colours."""

    trial: Trial
    scores: dict[str, float]
    origin: str

    @property
    def task(self) -> str:
        """What it learned."""
        return self.trial.run.text("env.task", "?")

    @property
    def earned(self) -> float:
        """Mean return at the budget."""
        return self.trial.at_budget("seen")


class Gathered(NamedTuple):
    """Runs that count, and why others do not."""

    points: list[Point]
    left_out: list[str]


def gather(folders: Iterable[Path], sets: Path) -> Gathered:
    """Every agent below the folders; one that lies in several of them counts once. Labelled sets are drawn into ``sets``."""
    points: dict[tuple[str, ...], Point] = {}
    left_out: dict[tuple[str, ...], str] = {}
    for folder in folders:
        if not folder.is_dir():
            raise DiswmError(f"{folder}: is no folder. Expected runs, or folders of runs.")
        for path in sorted(folder.rglob("config.json")):
            trial = study.read_trial(path.parent)
            if trial.run.kind != "train":
                continue
            returns = trial.run.returns("seen")  # the same ones are of the same run, whatever its folder is called
            key = trial.run.text("env.task", "?"), "" if returns else trial.variant, trial.seed, str(returns)
            name = f"{trial.variant}, seed {trial.seed} ({key[0]})"
            if not trial.finished:
                left_out[key] = f"{name}: {trial.frames:,} of {trial.budget:,} frames"
            elif key not in points:
                scores, origin = scores_of(trial, sets)
                if scores:
                    points[key] = Point(trial, scores, origin)
                else:
                    left_out[key] = f"{name}: {origin}"
    return Gathered(list(points.values()), [why for key, why in left_out.items() if key not in points])


def scores_of(trial: Trial, sets: Path) -> tuple[dict[str, float], str]:
    """Scores on independent factors by name, and where they come from; no scores, and why not."""
    run = trial.run
    if (run.path / codes.FILE).is_file():
        rows = codes.read_scores(run.path / codes.FILE)["independent"]["rows"]
        return {row["name"]: float(row["value"]) for row in rows}, "metrics.json"
    if probes := run.of("probe"):
        last = probes[-1]
        return {name.removeprefix("probe/"): float(value) for name, value in last.items() if name.startswith("probe/")}, "along training"
    if not (run.path / "checkpoints").is_dir():
        return {}, "was never scored, and has no checkpoint here"
    try:
        return scored_now(run.path, sets), "scored now"
    except DiswmError as error:
        return {}, str(error)


def scored_now(folder: Path, sets: Path) -> dict[str, float]:
    """The scores of a run's code at its last checkpoint. DiswmError where its world has no known factors or it cannot be read."""
    from diswm.build import load_encoder
    from diswm.factorsets import env_of, set_for
    from diswm.runtime import prepare
    from diswm.scoring import table_of
    from diswm.trainers.probe import codes_of
    from diswm.trainers.run import read_config

    head = read_config(folder)
    env = env_of(head, folder)
    encoder = load_encoder(folder, prepare("cpu"))
    given = set_for(env, None, sets / f"{env.task}-{POINTS}", POINTS, 0, str(folder))
    plain = head["config"]["model"].get("encoder") == "plain"
    rows, _ = table_of(codes_of(encoder, given.image), given, 0, plain=plain, nulls=0)
    return {row["name"]: float(row["value"]) for row in rows}


# ---- numbers


def correlation(x: Sequence[float], y: Sequence[float]) -> Interval | None:
    """Spearman's with the 95% percentile bootstrap over runs; None for fewer than ``FEW``."""
    if len(x) < FEW:
        return None
    table, rng = np.array([x, y], float), np.random.default_rng(0)
    drawn = [rank_correlation(*table[:, rng.integers(len(x), size=len(x))]) for _ in range(_REPS)]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Interval(rank_correlation(*table), float(low), float(high))


def within(points: Sequence[Point], name: str) -> tuple[list[float], list[float]]:
    """Scores and returns less the mean of their variant, of variants with several runs: what is left when methods differ in both."""
    x: list[float] = []
    y: list[float] = []
    for variant in dict.fromkeys(point.trial.variant for point in points):
        own = [(point.scores[name], point.earned) for point in points if point.trial.variant == variant]
        if len(own) > 1:
            table = np.array(own) - np.mean(own, 0)
            x, y = [*x, *table[:, 0].tolist()], [*y, *table[:, 1].tolist()]
    return x, y


def along(points: Sequence[Point], name: str) -> list[float]:
    """Of each run that was scored along training, the rank correlation of score and return over its evaluations."""
    paths = [path for point in points if (path := path_of(point.trial, name)) is not None and len(path.at) >= FEW]
    return [rank_correlation(path.there, path.returns) for path in paths]


def told(found: Interval | None, count: int) -> str:
    """A cell."""
    if found is None:
        return f"{words.plural(count, 'run')}: too few to say"
    relation = "together" if found.low > 0 else "apart" if found.high < 0 else "no relation shown"
    return f"{words.number(found.mean)} ({words.interval(found.low, found.high)}; {words.plural(count, 'run')}): {relation}"


def section(gathered: Gathered) -> str:
    """The chapter of the page."""
    rows = []
    for task, points in by_task(gathered.points).items():
        for name, label in SHOWN.items():
            known = [point for point in points if name in point.scores]
            inner, paths = within(known, name), along(known, name)
            over = correlation([point.scores[name] for point in known], [point.earned for point in known])
            mean = bootstrap_interval(paths) if len(paths) >= FEW else None
            rows.append([task, label, told(over, len(known)), told(correlation(*inner), len(inner[0])), told(mean, len(paths))])
    variants = [f"{task}: {words.listing([f'{v} ({len(p)})' for v, p in counted(own).items()])}"
                for task, own in by_task(gathered.points).items()]  # fmt: skip
    if not rows:
        said = ["No finished run has scores, so nothing can be said."]
    else:
        said = [
            f"{words.plural(len(gathered.points), 'finished run')}, a point each ({'; '.join(variants)}): the score of its code at the end "
            "on frames with independent factors, beside its mean return on the training colours. Spearman's rank correlation with a 95% "
            "bootstrap interval over runs.",
            study.markdown(["task", "score", "over all runs", "less the mean of the method", "along training, mean over runs"], rows),
            "With few runs only a strong relation can be seen, and no number here speaks of causes: runs of several methods differ in "
            "more than their code. Within one run both grow with training, so that a positive number there is what to expect. An encoder "
            "without a code (`dreamerv2`) has an MCC and a probe of its whole embedding, and no MIG.",
        ]
    if gathered.left_out:
        said.append("\n".join(["Left out:", "", *(f"- {why}" for why in gathered.left_out)]))
    return "\n\n".join(["## Do disentanglement and return move together?", *said])


def by_task(points: Iterable[Point]) -> dict[str, list[Point]]:
    """Returns of different tasks are no numbers of one kind."""
    groups: dict[str, list[Point]] = {}
    for point in points:
        groups.setdefault(point.task, []).append(point)
    return groups


def counted(points: Sequence[Point]) -> dict[str, list[Trial]]:
    """The trials of each variant."""
    return by_variant(point.trial for point in points)


def scatter(axes: Axes, points: Sequence[Point], name: str, styles: dict[str, charts.Look]) -> None:
    """One mark a run."""
    for variant, look in styles.items():
        own = [point for point in points if point.trial.variant == variant and name in point.scores]
        if own:
            axes.scatter([p.scores[name] for p in own], [p.earned for p in own], color=look.colour, marker=look.marker, s=46, label=variant)
    axes.set(xlabel=SHOWN[name], ylabel="return, training colours")

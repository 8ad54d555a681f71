"""All scores in one table: each with its null, what chance gives, and a bootstrap interval over points."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from diswm.metrics.disentangle.information import active_units, gaussian_total_correlation, mig, modularity
from diswm.metrics.disentangle.interventions import beta_vae_score, factor_vae_score, irs
from diswm.metrics.disentangle.points import Array, Points, prepare
from diswm.metrics.disentangle.probes import dci, explicitness, mcc, ridge_r2, sap

Score: TypeAlias = Callable[[Points, np.random.Generator], tuple[float, ...]]


class Metric(NamedTuple):
    """A function and what its numbers are called."""

    score: Score
    names: tuple[str, ...]
    low: float = 0.0
    high: float = 1.0
    null: Literal["factors", "dimensions", "none"] = "factors"
    """What is shuffled for the null: factors against codes, dimensions against each other, or nothing."""


METRICS = (
    Metric(mig, ("mig",)),
    Metric(dci, ("dci_disentanglement", "dci_completeness", "dci_informativeness")),
    Metric(sap, ("sap",)),
    Metric(factor_vae_score, ("factor_vae_score",)),
    Metric(beta_vae_score, ("beta_vae_score",)),
    Metric(modularity, ("modularity",)),
    Metric(explicitness, ("explicitness",)),
    Metric(irs, ("irs",)),
    Metric(mcc, ("mcc",)),
    Metric(ridge_r2, ("ridge_r2",), low=-np.inf),
    Metric(gaussian_total_correlation, ("gaussian_total_correlation",), high=np.inf, null="dimensions"),
    Metric(active_units, ("active_units",), high=np.inf, null="none"),
)


@dataclasses.dataclass(frozen=True)
class Row:
    """One score. All numbers are finite; None where a number was not asked for or has no meaning."""

    name: str
    value: float
    low: float | None
    """Ends of the interval over points: how sure the score of this one code is, not how another seed would do."""
    high: float | None
    null: float | None
    """Mean score of shuffled points, which tell nothing."""


def names() -> list[str]:
    """The names of all scores, in the order of the table."""
    return [name for metric in METRICS for name in metric.names]


def disentanglement(
    codes: Any,
    factors: Any,
    discrete: Any,
    *,
    rng: np.random.Generator,
    factor_names: Sequence[str] | None = None,
    only: Sequence[str] | None = None,
    reps: int = 20,
    nulls: int = 3,
    level: float = 0.95,
    group: int = 1,
) -> list[Row]:
    """Score codes (N, E) against factors (N, F), of which ``discrete`` (F,) are classes; one row a score, those of ``only`` or all.

    The points are cut in two halves once: fits see one, scores the other. ``reps`` resamples of the points (with replacement, each half
    on its own) give the interval: the value plus the percentiles of resampled scores about their mean, as points that are drawn twice
    lift many scores; within what the score can be. ``nulls`` shuffles give the null. 0 leaves either out. The cost is that of
    1 + reps + nulls tables. The same generator gives the same table, and a score does not depend on which others are asked for.

    ``group`` says how many rows that follow each other belong together, as frames of an episode do: they are split, drawn and shuffled
    as one, which asks for the probes alone.

    Raises ValueError as ``prepare`` does, and for unknown names. Warns of factors and codes that do not vary.
    """
    wanted = set(names() if only is None else only)
    if unknown := sorted(wanted - set(names())):
        near = difflib.get_close_matches(unknown[0], names(), n=3, cutoff=0.5) or names()
        raise ValueError(f"there is no score '{unknown[0]}': {', '.join(near)}")
    if reps < 0 or nulls < 0 or not 0 < level < 1:
        raise ValueError(f"reps={reps} and nulls={nulls} must be 0 or more, level={level} between 0 and 1")
    first, *streams = rng.spawn(1 + len(METRICS))
    points = prepare(codes, factors, discrete, first, factor_names, group)
    rows = []
    for metric, stream in zip(METRICS, streams, strict=True):
        if wanted & set(metric.names):
            rows += [row for row in _rows(metric, points, stream, reps, nulls, level) if row.name in wanted]
    return rows


def _rows(metric: Metric, points: Points, rng: np.random.Generator, reps: int, nulls: int, level: float) -> list[Row]:
    own, again, shuffled = rng.spawn(3)
    value = np.array(metric.score(points, own))
    drawn = np.array([metric.score(points.resampled(again), again) for _ in range(reps)]).reshape(reps, len(value))
    null = np.array([metric.score(_shuffled(metric, points, shuffled), shuffled) for _ in range(nulls if metric.null != "none" else 0)])
    low, high = _interval(metric, value, drawn, level) if reps else (None, None)
    return [
        Row(
            name,
            float(value[i]),
            None if low is None else float(low[i]),
            None if high is None else float(high[i]),
            float(null[:, i].mean()) if null.size else None,
        )
        for i, name in enumerate(metric.names)
    ]


def _shuffled(metric: Metric, points: Points, rng: np.random.Generator) -> Points:
    return points.unlinked(rng) if metric.null == "dimensions" else points.permuted(rng)


def _interval(metric: Metric, value: Array, drawn: Array, level: float) -> tuple[Array, Array]:
    """Both ends (S,) of S values from ``drawn`` (reps, S)."""
    about = np.quantile(drawn - drawn.mean(0), [(1 - level) / 2, (1 + level) / 2], axis=0)
    low, high = np.clip(value + about, metric.low, metric.high)
    return np.minimum(low, value), np.maximum(high, value)

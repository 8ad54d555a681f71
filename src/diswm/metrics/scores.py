"""What a list of returns is worth: means, interquartile means, areas under curves, with bootstrap intervals.

All intervals are percentile bootstraps. They speak of what was resampled and of nothing else: episodes of one run give
the spread of episodes, never that of training seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[Any, Any]
Seed: TypeAlias = int | np.random.Generator
Statistic: TypeAlias = Callable[[Array], Any]
"""Maps scores (..., runs, tasks) to (...), so that many resamples are scored in one call."""

_CHUNK = 4_000_000  # numbers resampled at once: bounds the memory at some 60 MB whatever `reps` is


class Interval(NamedTuple):
    """A point estimate between the two ends of its interval; all three equal when one value was all there was."""

    mean: float
    low: float
    high: float


def bootstrap_interval(values: Any, *, level: float = 0.95, reps: int = 10_000, seed: Seed = 0) -> Interval:
    """The mean of `values` and its percentile bootstrap interval.

    With one value there is nothing to resample: (mean, mean, mean), and it is for the reader's page to say so.
    """
    values = _vector(values, "values")
    mean = float(values.mean())
    means = _resampled_means(values, _check(level, reps), np.random.default_rng(seed))
    return _interval(mean, means, level)


def bootstrap_difference(a: Any, b: Any, *, level: float = 0.95, reps: int = 10_000, seed: Seed = 0) -> Interval:
    """mean(a) - mean(b) with its interval, the two resampled independently (episodes are not paired)."""
    a, b = _vector(a, "a"), _vector(b, "b")
    rng = np.random.default_rng(seed)
    reps = _check(level, reps)
    gaps = _resampled_means(a, reps, rng) - _resampled_means(b, reps, rng)
    return _interval(float(a.mean() - b.mean()), gaps, level)


def iqm(scores: Any) -> Any:
    """Interquartile mean over all runs x tasks: sort them together, cut a quarter (rounded down) off each end, average.

    The last two axes are runs and tasks; a (runs, tasks) matrix gives a float, leading axes are kept.
    """
    scores = _matrix(scores)
    flat = np.sort(scores.reshape(*scores.shape[:-2], -1), axis=-1)
    cut = flat.shape[-1] // 4
    middle = flat[..., cut : flat.shape[-1] - cut].mean(axis=-1)
    return float(middle) if middle.ndim == 0 else middle


def stratified_bootstrap(scores: Any, statistic: Statistic = iqm, *, level: float = 0.95, reps: int = 50_000, seed: Seed = 0) -> Interval:
    """`statistic` of a (runs, tasks) matrix, with the interval that comes of resampling runs within each task on its own."""
    scores = _matrix(scores)
    if scores.ndim != 2:
        raise ValueError(f"expected a matrix of runs x tasks, got shape {scores.shape}")
    runs, tasks = scores.shape
    reps, rng = _check(level, reps), np.random.default_rng(seed)
    size = max(1, _CHUNK // scores.size)
    drawn = []
    for start in range(0, reps, size):
        # (R, runs, tasks): every task draws its own runs, which is what keeps the strata apart
        rows = rng.integers(runs, size=(min(size, reps - start), runs, tasks))
        drawn.append(np.asarray(statistic(np.take_along_axis(scores[None], rows, axis=1))))
    return _interval(float(statistic(scores)), np.concatenate(drawn), level)


def probability_of_improvement(ours: Sequence[Any], theirs: Sequence[Any], *, level: float = 0.95, reps: int = 10_000,
                               seed: Seed = 0) -> Interval:  # fmt: skip
    """How often a run of ours beats one of theirs, ties counting half: the mean over tasks of P(X > Y) (Agarwal et al. 2021).

    One list of scores a task in each, of any length; runs are resampled within each task on its own.
    """
    if len(ours) != len(theirs) or not len(ours):
        raise ValueError(f"expected the same tasks, at least one, got {len(ours)} and {len(theirs)}")
    reps, rng = _check(level, reps), np.random.default_rng(seed)
    points, drawn = [], np.zeros(reps)
    for a, b in zip(ours, theirs, strict=True):
        a, b = _vector(a, "ours"), _vector(b, "theirs")
        wins = (a[:, None] > b) + 0.5 * (a[:, None] == b)  # (A, B)
        points.append(float(wins.mean()))
        # Of A x B pairs a resample takes some rows and columns, as often as it drew each: (R, A) and (R, B).
        rows, columns = (rng.multinomial(len(x), np.full(len(x), 1 / len(x)), size=reps) / len(x) for x in (a, b))
        drawn += np.einsum("ra,ab,rb->r", rows, wins, columns) / len(ours)
    return _interval(float(np.mean(points)), drawn, level)


def interpolate_curve(x: Any, y: Any, grid: Any) -> Array:
    """The curve (x, y) read off linearly at `grid`; a point outside the curve is refused, for it was never measured."""
    x, y = _curve(x, y)
    grid = _vector(grid, "grid")
    if grid.min() < x[0] or grid.max() > x[-1]:
        raise ValueError(f"the grid [{grid.min():g}, {grid.max():g}] leaves the curve, which is known on [{x[0]:g}, {x[-1]:g}]")
    return np.interp(grid, x, y)


def area_under_curve(x: Any, y: Any, budget: float) -> float:
    """The mean height of the curve on [0, budget]: its area over the budget, in the unit of y.

    The first point is held back to 0 (the first evaluation stands for the untrained policy). A curve that ends before
    the budget is refused: holding its last value would reward a run that was stopped.
    """
    x, y = _curve(x, y)
    if not budget > 0:
        raise ValueError(f"the budget has to be positive, got {budget}")
    if x[0] < 0 or x[-1] < budget:
        raise ValueError(f"the curve covers [{x[0]:g}, {x[-1]:g}], not the budget [0, {budget:g}]")
    inside = (x > 0) & (x < budget)
    xs = np.concatenate([[0.0], x[inside], [float(budget)]])
    ys = np.interp(xs, x, y)
    return float(np.trapezoid(ys, xs) / budget)


def _resampled_means(values: Array, reps: int, rng: np.random.Generator) -> Array:
    size = max(1, _CHUNK // len(values))
    parts = [values[rng.integers(len(values), size=(min(size, reps - at), len(values)))].mean(axis=1) for at in range(0, reps, size)]
    return np.concatenate(parts)


def _interval(point: float, resampled: Array, level: float) -> Interval:
    low, high = np.quantile(resampled, [(1 - level) / 2, (1 + level) / 2])
    # Averages of equal numbers differ in the last bit; the point must never fall outside for that.
    close = np.isclose([low, high], point, rtol=1e-12, atol=1e-12)
    return Interval(point, point if close[0] else float(low), point if close[1] else float(high))


def _check(level: float, reps: int) -> int:
    if not 0 < level < 1:
        raise ValueError(f"the level of an interval lies between 0 and 1, got {level}")
    if reps < 1:
        raise ValueError(f"reps has to be at least 1, got {reps}")
    return reps


def rank_correlation(x: Any, y: Any) -> float:
    """Spearman's: the correlation of the ranks, equal values sharing theirs; 0 where either does not vary."""
    ranks = [_ranks(_vector(values, name)) for values, name in ((x, "x"), (y, "y"))]
    if len(ranks[0]) != len(ranks[1]):
        raise ValueError(f"x has {len(ranks[0])} points and y has {len(ranks[1])}")
    a, b = (rank - rank.mean() for rank in ranks)
    size = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / size if size else 0.0


def _ranks(values: Array) -> Array:
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    ranks: Array = (np.cumsum(count) - (count - 1) / 2)[place]
    return ranks


def _finite(values: Array, name: str) -> Array:
    if values.size == 0:
        raise ValueError(f"{name} is empty: there is nothing to average")
    if not np.isfinite(values).all():
        raise ValueError(f"{name} holds {int((~np.isfinite(values)).sum())} NaN or infinite numbers out of {values.size}")
    return values


def _vector(values: Any, name: str) -> Array:
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1:
        raise ValueError(f"{name} should be one list of numbers, got shape {values.shape}")
    return _finite(values, name)


def _matrix(scores: Any) -> Array:
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim < 2:
        raise ValueError(f"expected scores of runs x tasks, got shape {scores.shape}")
    return _finite(scores, "scores")


def _curve(x: Any, y: Any) -> tuple[Array, Array]:
    x, y = _vector(x, "x"), _vector(y, "y")
    if len(x) != len(y):
        raise ValueError(f"x has {len(x)} points and y has {len(y)}")
    if (np.diff(x) <= 0).any():
        raise ValueError("x has to increase strictly")
    return x, y

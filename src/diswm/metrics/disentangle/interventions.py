"""Scores from holding one factor still. Points that share a factor's class stand in for frames drawn anew with that factor fixed."""

from __future__ import annotations

import numpy as np

from diswm.metrics.disentangle.points import Array, Points
from diswm.metrics.disentangle.probes import logistic

VOTES, TESTS, TOGETHER = 2_000, 1_000, 64
"""Votes to fit on, votes to test on, points in a vote."""
_INACTIVE = 0.05  # standard deviation of a dimension that is left out: its variance is noise, and would win every vote


def factor_vae_score(points: Points, rng: np.random.Generator) -> tuple[float]:
    """Accuracy of telling the factor that was held still from the dimension whose variance fell most (Kim & Mnih 2018, section 4).

    The table from dimension to factor is the majority of votes. A code without a dimension of standard deviation 0.05 can only guess.
    """
    size = points.classes.shape[1]
    codes = points.codes[:, points.codes.std(0) >= _INACTIVE]
    if not codes.shape[1]:
        return (1 / size,)
    spread = codes.var(0)

    def vote(rows: slice, count: int) -> tuple[Array, Array]:
        factor, (drawn,) = _held(points, rows, count, 1, rng)
        return factor, (codes[drawn].var(1) / spread).argmin(1)

    factor, winner = vote(points.train, VOTES)
    table = np.bincount(winner * size + factor, minlength=codes.shape[1] * size).reshape(-1, size)
    factor, winner = vote(points.test, TESTS)
    return (float((table.argmax(1)[winner] == factor).mean()),)


def beta_vae_score(points: Points, rng: np.random.Generator) -> tuple[float]:
    """Accuracy of a linear classifier, on mean |difference| over pairs that share one factor, of which (Higgins et al. 2017, sec. 3)."""

    def differences(rows: slice, count: int) -> tuple[Array, Array]:
        factor, (one, other) = _held(points, rows, count, 2, rng)
        return factor, np.abs(points.codes[one] - points.codes[other]).mean(1)

    factor, gaps = differences(points.train, VOTES)
    truth, others = differences(points.test, TESTS)
    scale = np.where(gaps.std(0) > 0, gaps.std(0), 1.0)
    known, probability = logistic((gaps - gaps.mean(0)) / scale, factor, (others - gaps.mean(0)) / scale)
    return (float((known[probability.argmax(1)] == truth).mean()),)


def _held(points: Points, rows: slice, count: int, sets: int, rng: np.random.Generator) -> tuple[Array, list[Array]]:
    """``count`` draws of a factor, (count,), and ``sets`` times TOGETHER points that share a class of it, (count, TOGETHER) each.

    The class is that of a random point.
    """
    factor = rng.integers(points.classes.shape[1], size=count)
    drawn = [np.empty((count, TOGETHER), np.int64) for _ in range(sets)]
    first = rows.start
    for j in range(points.classes.shape[1]):
        here = np.flatnonzero(factor == j)
        classes = points.classes[rows, j]
        order = np.argsort(classes, kind="stable")
        start = np.searchsorted(classes[order], np.arange(classes.max() + 2))
        chosen = classes[rng.integers(len(classes), size=len(here))]
        for one in drawn:
            place = rng.random((len(here), TOGETHER)) * (start[chosen + 1] - start[chosen])[:, None]
            one[here] = first + order[start[chosen][:, None] + place.astype(np.int64)]
    return factor, drawn


def irs(points: Points, rng: np.random.Generator) -> tuple[float]:
    """Interventional robustness (Suter et al. 2019, section 4): does a dimension stay put while all but its own factor vary?

    For dimension i and factor j: the 99th percentile of |code - its mean| among points that share a class of j, averaged over classes,
    over the largest |code - mean| at all. 1 - that, for the best j; averaged over dimensions by how far they vary. 0 where none does.
    """
    codes = points.codes[:, points.codes.std(0) > 0]
    if not codes.shape[1]:
        return (0.0,)
    reach = np.abs(codes - codes.mean(0)).max(0)
    best = np.zeros(codes.shape[1])
    for classes in points.classes.T:
        moved = []
        for value in np.unique(classes):
            same = codes[classes == value]
            moved.append(np.percentile(np.abs(same - same.mean(0)), 99, axis=0))
        best = np.maximum(best, 1 - np.mean(moved, 0) / reach)
    return (float(np.average(best, weights=reach)),)

"""Scores from mutual information, and those of the code alone. Logarithms are natural."""

from __future__ import annotations

import numpy as np

from diswm.metrics.disentangle.points import Array, Points

CODE_BINS = 20
"""Bins of equal width that each dimension of the code is cut into, as Locatello et al. (2019) do."""
_ACTIVE = 0.01
_EIGENVALUE = 1e-6  # below it two dimensions are one: some 7 nats, where ln 0 would be infinite


def mutual_information(points: Points) -> tuple[Array, Array]:
    """I(code i; factor j) in nats, (E, F), and the factors' entropies H, (F,), from counts."""
    count, size = points.codes.shape
    low, width = points.codes.min(0), np.ptp(points.codes, axis=0)
    bins = np.minimum((points.codes - low) / np.where(width > 0, width, 1.0) * CODE_BINS, CODE_BINS - 1).astype(np.int64)
    rows = np.arange(size) * CODE_BINS + bins  # (N, E)
    information, entropy = [], []
    for classes, levels in zip(points.classes.T, points.levels, strict=True):
        table = np.bincount((rows * levels + classes[:, None]).ravel(), minlength=size * CODE_BINS * levels)
        joint = table.reshape(size, CODE_BINS, levels) / count
        total = _entropy(joint[0].sum(0))
        entropy.append(total)
        information.append(_entropy(joint.sum(2)) + total - _entropy(joint.reshape(size, -1)))
    return np.maximum(np.stack(information, 1), 0.0), np.array(entropy)


def _entropy(p: Array) -> Array:
    """Of distributions on the last axis."""
    return -np.sum(p * np.log(np.where(p > 0, p, 1.0)), axis=-1)


def mig(points: Points, rng: np.random.Generator) -> tuple[float]:
    """Mutual information gap: mean over factors of (first - second) / H over the dimensions. Chen et al. 2018, eq. 6."""
    information, entropy = mutual_information(points)
    ranked = np.sort(np.vstack([np.zeros_like(entropy), information]), axis=0)  # a code of one dimension has a second that tells nothing
    known = entropy > 0  # a resample may have lost all but one class
    return (_mean((ranked[-1] - ranked[-2])[known] / entropy[known]),)


def modularity(points: Points, rng: np.random.Generator) -> tuple[float]:
    """Does each dimension tell of one factor? Mean over dimensions of 1 - sum of the others' I^2 / (I_best^2 (F - 1)).

    Ridgeway & Mozer 2018, eq. 2. A dimension that tells nothing counts 0.
    """
    information, _ = mutual_information(points)
    squares = information**2
    best = squares.max(1)
    others = (squares.sum(1) - best) / max(squares.shape[1] - 1, 1)
    alive = best > 1e-24
    return (_mean(np.where(alive, 1 - others / np.where(alive, best, 1.0), 0.0)),)


def gaussian_total_correlation(points: Points, rng: np.random.Generator) -> tuple[float]:
    """KL of a Gaussian with the code's covariance S from one with its diagonal: 0.5 (sum ln S_ii - ln det S), nats (Locatello et al. 2019).

    Over the dimensions that vary; 0 where fewer than two do. Dimensions that copy others count some 7 nats each.
    """
    alive = points.codes[:, points.codes.std(0) > 0]
    if alive.shape[1] < 2:
        return (0.0,)
    spectrum = np.linalg.eigvalsh(np.corrcoef(alive, rowvar=False))
    return (max(-0.5 * float(np.log(np.maximum(spectrum, _EIGENVALUE)).sum()), 0.0),)


def active_units(points: Points, rng: np.random.Generator) -> tuple[float]:
    """How many dimensions of the mean have a variance above 0.01 (Burda et al. 2016, section 2)."""
    return (float((points.codes.var(0) > _ACTIVE).sum()),)


def _mean(values: Array) -> float:
    return float(values.mean()) if values.size else 0.0

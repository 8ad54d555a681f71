"""Codes and clips of two sources in the plane, and how far the sources are apart in the code itself."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[Any, Any]

ITERATIONS = 500
"""Bounds the time: 1.2 seconds of one core for 768 points of 40 dimensions."""
PERPLEXITY = 30.0
NEIGHBOURS = 10
_WIDE = 50  # dimensions beyond which principal components stand for the code, as is usual


def clip_points(codes: Any) -> Array:
    """Clips as points (N, 2E): mean and standard deviation over time of each dimension of their codes (N, T, E).

    The square of the distance of two points is that of the 2-Wasserstein distance between Gaussians with these moments, each dimension
    for itself: clips are near where alike codes come in them, whatever moment of a gait they begin at. ValueError for other shapes.
    """
    codes = np.asarray(codes, np.float64)
    if codes.ndim != 3 or not codes.shape[1]:
        raise ValueError(f"codes of clips must be (clips, frames, dimensions), got shape {codes.shape}")
    return np.concatenate([codes.mean(1), codes.std(1)], 1)


def tsne(codes: Any, seed: int) -> Array:
    """Places (N, 2) of codes (N, E) by scikit-learn's t-SNE (van der Maaten & Hinton 2008): near stays near, far means little.

    ValueError for fewer than four points, NaN and codes that do not vary; ImportError without scikit-learn.
    """
    codes = _checked(codes)
    try:
        from sklearn.manifold import TSNE
        from threadpoolctl import threadpool_limits  # scikit-learn's own
    except ImportError as error:
        raise ImportError("a map of codes needs scikit-learn: pip install 'diswm[metrics]'") from error
    wide = _components(codes) if codes.shape[1] > _WIDE else codes
    how = TSNE(perplexity=min(PERPLEXITY, (len(codes) - 1) / 3), init="pca", max_iter=ITERATIONS, random_state=seed)
    with threadpool_limits(1):  # several threads add up in an order of their own, and places follow from the last bit
        places: Array = how.fit_transform(wide)
    return places.astype(np.float64)


def same_source(codes: Any, online: Any, neighbours: int = NEIGHBOURS) -> float:
    """The share of each point's nearest neighbours in the code (N, E) that are of its own source, a mean over both sources.

    With as many points of either about 0.5 where both are alike, 1 where they lie apart.
    """
    codes, online = _checked(codes), np.asarray(online, bool)
    square = (codes**2).sum(1)
    distance = square[:, None] + square - 2 * codes @ codes.T
    np.fill_diagonal(distance, np.inf)
    count = min(neighbours, len(codes) - 1)
    nearest = np.argpartition(distance, count - 1, axis=1)[:, :count]
    same: Array = (online[nearest] == online[:, None]).mean(1)
    return float(np.mean([same[online == side].mean() for side in (False, True) if (online == side).any()]))


def _checked(codes: Any) -> Array:
    codes = np.asarray(codes, np.float64)
    if codes.ndim != 2 or len(codes) < 4 or not codes.shape[1]:
        raise ValueError(f"codes must be a matrix of at least four points, got shape {codes.shape}")
    if not np.isfinite(codes).all():
        raise ValueError("codes hold NaN or infinite numbers")
    if not np.ptp(codes, axis=0).any():
        raise ValueError("the code does not vary: all points are one")
    return codes


def _components(codes: Array) -> Array:
    """The first principal components (N, 50)."""
    left, size, _ = np.linalg.svd(codes - codes.mean(0), full_matrices=False)
    kept: Array = left[:, :_WIDE] * size[:_WIDE]
    return kept

"""How alike two codes of the same frames are, dimension by dimension and as spaces. All are 0 to 1 and finite; a dead code is like none."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from scipy.optimize import linear_sum_assignment

Array: TypeAlias = np.ndarray[Any, Any]

_CONSTANT = 1e-12
_RIDGE = 1.0


def linear_cka(a: Any, b: Any) -> float:
    """Linear centred kernel alignment of codes (N, E) and (N, D): ||A'B||^2 / (||A'A|| ||B'B||) of centred ones (Kornblith et al. 2019).

    1 for codes that are rotations or multiples of each other; 0 where either does not vary.
    """
    a, b = _centred(a), _centred(b)
    own = np.linalg.norm(a.T @ a) * np.linalg.norm(b.T @ b)
    return float(np.clip(np.linalg.norm(a.T @ b) ** 2 / own, 0.0, 1.0)) if own > 0 else 0.0


def matched(a: Any, b: Any) -> float:
    """Mean |correlation| of the dimensions of ``b`` that vary, each with its own partner in ``a``, under the best one-to-one match."""
    strength = np.abs(_correlations(a, b))
    alive: Array = np.any(_centred(b), axis=0)
    if not alive.any():
        return 0.0
    rows, columns = linear_sum_assignment(strength, maximize=True)
    return float(strength[rows, columns][alive[columns]].sum() / alive.sum())


def same_place(a: Any, b: Any) -> float:
    """Mean |correlation| of the dimensions of ``b`` that vary with those of the same number in ``a``, (N, E) both."""
    alive = _centred(b).any(0)
    return float(np.abs(np.diag(_correlations(a, b)))[alive].mean()) if alive.any() else 0.0


def linear_r2(a: Any, b: Any) -> float:
    """R^2 of ``b`` (N, D) from ``a`` (N, E) by a line with a ridge of 1: fitted on the first half, scored on the second; 0 at worst.

    Averaged over the dimensions of ``b`` that vary, which so count alike.
    """
    a, b = _scaled(a), _scaled(b)
    half = len(a) // 2
    b = b[:, (b[:half].std(0) > 0) & (b[half:].std(0) > 0)]
    if half < 2 or not b.size:
        return 0.0
    mean = b[:half].mean(0)
    line = np.linalg.solve(a[:half].T @ a[:half] + _RIDGE * np.eye(a.shape[1]), a[:half].T @ (b[:half] - mean))
    lost = ((b[half:] - mean - a[half:] @ line) ** 2).sum(0) / ((b[half:] - b[half:].mean(0)) ** 2).sum(0)
    return float(np.clip(1 - lost, 0.0, 1.0).mean())


def _centred(table: Any) -> Array:
    """(N, E) less its mean; what hardly varies is exactly 0."""
    table = np.asarray(table, np.float64)
    out: Array = table - table.mean(0)
    return np.where(out.var(0) > _CONSTANT, out, 0.0)


def _scaled(table: Any) -> Array:
    table = _centred(table)
    std = table.std(0)
    return table / np.where(std > 0, std, 1.0)


def _correlations(a: Any, b: Any) -> Array:
    """Pearson's, (E, D); 0 for what does not vary."""
    found: Array = np.clip(_scaled(a).T @ _scaled(b) / max(len(np.asarray(a)), 1), -1.0, 1.0)
    return found

"""Codes and true factors of N frames, checked once, and ready for every score."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[Any, Any]

FACTOR_BINS = 10
"""Classes of a continuous factor: bins of equal counts, as none may be empty."""
MIN_POINTS = 100
MIN_GROUPS = 4
_CONSTANT = 1e-12  # variance: what a dimension without any use has in float32


@dataclasses.dataclass(frozen=True)
class Points:
    """N frames in random order; the first ``half`` are for fitting, the others for testing what was fitted."""

    codes: Array
    """(N, E) float64; dimensions that do not vary are exactly 0."""
    values: Array
    """(N, F) float64: the factors as numbers."""
    classes: Array
    """(N, F) int64, from 0: a discrete factor's own values, or bins of a continuous one."""
    discrete: Array
    """(F,) bool."""
    half: int
    group: int = 1
    """Rows that belong together, one after the other: frames of one episode are alike, so that they go to one half and are drawn and
    shuffled as one."""

    @property
    def levels(self) -> list[int]:
        """Number of classes of each factor."""
        return [int(top) + 1 for top in self.classes.max(0)]

    @property
    def train(self) -> slice:
        """The points to fit on."""
        return slice(0, self.half)

    @property
    def test(self) -> slice:
        """The points to test on."""
        return slice(self.half, None)

    @property
    def scaled(self) -> Array:
        """Codes with mean 0 and variance 1 over the points for fitting, (N, E); those that do not vary stay 0."""
        mean, std = self.codes[self.train].mean(0), self.codes[self.train].std(0)
        return (self.codes - mean) / np.where(std**2 > _CONSTANT, std, 1.0)

    def resampled(self, rng: np.random.Generator) -> Points:
        """As many points, drawn with replacement from each half on its own: no point is fitted on and tested on."""
        half, count = self.half // self.group, len(self.codes) // self.group
        rows = _rows(np.concatenate([rng.integers(half, size=half), rng.integers(half, count, size=count - half)]), self.group)
        return dataclasses.replace(self, codes=self.codes[rows], values=self.values[rows], classes=self.classes[rows])

    def permuted(self, rng: np.random.Generator) -> Points:
        """The factors of one frame beside the code of another: no code tells anything of any factor."""
        rows = _rows(rng.permutation(len(self.codes) // self.group), self.group)
        return dataclasses.replace(self, values=self.values[rows], classes=self.classes[rows])

    def unlinked(self, rng: np.random.Generator) -> Points:
        """Each dimension of the code shuffled on its own: none tells anything of another."""
        return dataclasses.replace(self, codes=rng.permuted(self.codes, axis=0))


def _rows(groups: Array, size: int) -> Array:
    """The rows of whole groups."""
    rows: Array = (groups[:, None] * size + np.arange(size)).ravel()
    return rows


def prepare(
    codes: Any, factors: Any, discrete: Any, rng: np.random.Generator, factor_names: Sequence[str] | None = None, group: int = 1
) -> Points:
    """The points of codes (N, E) and factors (N, F), of which those with ``discrete`` (F,) true are classes.

    ``group`` rows that follow each other belong together (`Points.group`); incomplete groups at the end are left out. Factors that do
    not vary are left out with a warning. Raises ValueError for shapes that do not fit, fewer than 100 points or 4 groups, NaN or
    infinite numbers, factors of which none varies, and a discrete factor with hardly a repeated value.
    """
    codes, factors = _matrix(codes, "codes"), _matrix(factors, "factors")
    discrete = np.asarray(discrete, bool)
    if group > 1 and len(codes) // group < MIN_GROUPS:
        raise ValueError(f"{len(codes) // group} groups of {group} points are too few to score a code on: at least {MIN_GROUPS} are needed")
    if len(codes) != len(factors) or discrete.shape != factors.shape[1:]:
        raise ValueError(f"codes {codes.shape}, factors {factors.shape} and discrete {discrete.shape} must be (N, E), (N, F) and (F,)")
    named = list(factor_names) if factor_names is not None else [f"factor {j}" for j in range(factors.shape[1])]
    if len(named) != factors.shape[1]:
        raise ValueError(f"{len(named)} names for {factors.shape[1]} factors")
    varies = np.ptp(factors, axis=0) > 0
    if not varies.any():
        raise ValueError(f"no factor varies ({', '.join(named)}): there is nothing that a code could tell")
    if not varies.all():
        lost = ", ".join(name for name, kept in zip(named, varies, strict=True) if not kept)
        warnings.warn(f"these factors do not vary and are left out: {lost}", stacklevel=3)
    dead = codes.var(0) <= _CONSTANT
    if dead.all():
        warnings.warn("no dimension of the code varies: every score is that of a code that tells nothing", stacklevel=3)
    order = _rows(rng.permutation(len(codes) // group), group)
    codes, factors, discrete = np.where(dead, 0.0, codes)[order], factors[order][:, varies], discrete[varies]
    kept = [name for name, keep in zip(named, varies, strict=True) if keep]
    classes = [_classes(column, bool(own), name) for column, own, name in zip(factors.T, discrete, kept, strict=True)]
    return Points(codes, factors, np.stack(classes, 1), discrete, len(codes) // group // 2 * group, group)


def _matrix(values: Any, name: str) -> Array:
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 2 or not values.shape[1]:
        raise ValueError(f"{name} must be a matrix with a row a point, got shape {values.shape}")
    if len(values) < MIN_POINTS:
        raise ValueError(f"{len(values)} points are too few to score a code on: at least {MIN_POINTS} are needed, some thousands are good")
    if bad := int((~np.isfinite(values)).sum()):
        raise ValueError(f"{name} holds {bad} NaN or infinite numbers out of {values.size}")
    return values


def _classes(values: Array, own: bool, name: str) -> Array:
    """(N,) -> (N,) int64 from 0, without gaps."""
    if own:
        found, classes = np.unique(values, return_inverse=True)
        if len(found) > len(values) // 5:
            raise ValueError(f"{name} is discrete, but has {len(found)} values at {len(values)} points: say that it is continuous")
    else:
        edges = np.quantile(values, np.linspace(0, 1, FACTOR_BINS + 1)[1:-1])
        _, classes = np.unique(np.searchsorted(edges, values, side="right"), return_inverse=True)
    return classes.astype(np.int64)

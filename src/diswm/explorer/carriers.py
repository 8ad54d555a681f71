"""Which true factors each dimension of the code goes along with."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from diswm.contract import Array

SHOWN = 3
SHUFFLES = 100
_CHANNELS = ("red", "green", "blue")


class Carried(NamedTuple):
    """A factor that a dimension goes along with: the correlation of its nearest column."""

    name: str
    correlation: float


def carriers(code: Array, factors: dict[str, Array], group: int, rng: np.random.Generator) -> list[list[Carried]]:
    """For each dimension the factors of the largest absolute correlation, at most three, only those beyond chance.

    code (N, E), factors by name (N, k), both in groups of ``group`` rows one after the other. Chance is what the same factors in
    other groups' places give: neighbours in time are alike, which makes for large correlations of nothing. The bound is the 95th
    percentile of the largest correlation of the factor's columns with any dimension.
    """
    found: list[list[Carried]] = [[] for _ in range(code.shape[1])]
    for name, values in factors.items():
        table = correlations(code, values)
        bound = chance(code, values, group, rng)
        column = np.abs(table).argmax(1)
        for dim, best in enumerate(column):
            if abs(table[dim, best]) > bound:
                found[dim].append(Carried(_label(name, int(best), values.shape[1]), float(table[dim, best])))
    return [sorted(names, key=lambda one: -abs(one.correlation))[:SHOWN] for names in found]


def correlations(code: Array, values: Array) -> Array:
    """Pearson's correlation of each dimension (N, E) with each column (N, k): (E, k); 0 for what does not vary."""
    parts = []
    for table in (code, values):
        centred = np.asarray(table, np.float64) - np.mean(table, 0, dtype=np.float64)
        size = np.sqrt((centred**2).sum(0))
        parts.append(centred / np.where(size > 1e-9, size, np.inf))
    return parts[0].T @ parts[1]


def chance(code: Array, values: Array, group: int, rng: np.random.Generator) -> float:
    """The correlation that whole groups in other groups' places reach in one of twenty cases; 1 with fewer than four groups."""
    count = len(values) // group
    if count < 4:
        return 1.0
    rows = np.arange(count * group).reshape(count, group)
    largest = [np.abs(correlations(code[: count * group], values[rng.permutation(rows).ravel()])).max() for _ in range(SHUFFLES)]
    return float(np.quantile(largest, 0.95))


def _label(name: str, column: int, count: int) -> str:
    if count == 1:
        return name
    return f"{name} {_CHANNELS[column]}" if name.startswith("colour.") and count == 3 else f"{name} {column + 1}"

"""Objectives: named (B, T) terms, weights of the same names, and one function that joins them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from torch import Tensor


@dataclasses.dataclass(frozen=True)
class Anneal:
    """A factor on a weight, as a pure function of the live step count.

    0 before `begin`, then falling in a straight line from 1 over `over` steps, never below `floor`:
    ``max(1 - (steps - begin) / over, floor)``.
    """

    begin: int = 0
    """Agent steps before the term sets in (0: in-domain; 50,000 in the paper's cross-domain transfer)."""
    over: int = 50_000
    """Agent steps over which the factor falls from 1 towards 0. 0 means: constant 1."""
    floor: float = 0.1
    """The least value of the factor after `begin`."""

    def __call__(self, steps: int) -> float:
        """The factor at this count of agent steps."""
        if steps < self.begin:
            return 0.0
        return max(1 - (steps - self.begin) / self.over, self.floor) if self.over else 1.0


def weights_at(weights: Mapping[str, float], anneal: Mapping[str, Anneal], steps: int) -> dict[str, float]:
    """The weights of all terms at this count of agent steps.

    Raises:
        KeyError: a schedule without a weight of its name.
    """
    if lonely := sorted(set(anneal) - set(weights)):
        raise KeyError(f"schedules without a weight: {lonely}; the weights are {sorted(weights)}")
    return {name: weight * (anneal[name](steps) if name in anneal else 1.0) for name, weight in weights.items()}


def total(terms: Mapping[str, Tensor], weights: Mapping[str, float | Tensor]) -> Tensor:
    """sum over names of weight x mean over (B, T).

    Raises:
        KeyError: a term without a weight or a weight without a term.
        ValueError: terms of different shapes.
    """
    if set(terms) != set(weights):
        raise KeyError(f"terms {sorted(terms)} and weights {sorted(weights)} must have the same names")
    shapes = {name: tuple(term.shape) for name, term in terms.items()}
    if len(set(shapes.values())) != 1 or any(len(shape) != 2 for shape in shapes.values()):
        raise ValueError(f"every term must be (B, T), and alike: {shapes}")
    return sum((weights[name] * term.mean() for name, term in terms.items()), start=next(iter(terms.values())).new_zeros(()))

"""Averages of what updates report, and a stop for training that has gone wrong."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import torch

from diswm.contract import DiswmError, Metrics

DIVERGED = (
    "The last checkpoint, if there is one, is good; but from there the same numbers would come again: "
    "start a run with lower learning rates or another seed."
)
"""What to do about training that has gone wrong."""


class Meter:
    """Collects metrics, of which ``add`` has to know whether the update was taken; ``mean`` reads and clears them."""

    def __init__(self, patience: int) -> None:
        self.patience, self.in_a_row = patience, 0
        self._values: dict[str, list[torch.Tensor | float]] = defaultdict(list)
        self._began = time.monotonic()

    def add(self, metrics: Mapping[str, torch.Tensor | float]) -> bool:
        """Note one update; whether it was taken.

        Raises:
            DiswmError: ``patience`` updates in a row were skipped because a loss or gradient was not finite.
        """
        taken = not metrics["skipped"]
        self.in_a_row = 0 if taken else self.in_a_row + 1
        if self.in_a_row >= self.patience:
            bad = [name for name, value in metrics.items() if not math.isfinite(float(value))]
            raise DiswmError(f"{self.in_a_row} updates in a row gave NaN or infinity in {', '.join(bad)}; training stops. {DIVERGED}")
        for name, value in metrics.items():
            self._values[name].append(value)
        return taken

    def mean(self) -> Metrics:
        """Means over the updates since the last call, and the rate of updates. What is not finite is left out."""
        count = max((len(values) for values in self._values.values()), default=0)
        means = {name: sum(finite) / len(finite) for name, values in self._values.items() if (finite := _finite(values))}
        means["updates_per_second"] = count / max(time.monotonic() - self._began, 1e-9)
        self._values.clear()
        self._began = time.monotonic()
        return {name: float(f"{value:.6g}") for name, value in means.items()}

    def state(self) -> dict[str, Any]:
        """What was noted since the last ``mean``, fit for JSON: a resumed run averages over the same updates."""
        return {"in_a_row": self.in_a_row, "values": {name: _finite(values) for name, values in self._values.items()}}

    def restore(self, state: dict[str, Any]) -> None:
        """Take up ``state``."""
        self.in_a_row = state["in_a_row"]
        self._values.update({name: list(values) for name, values in state["values"].items()})


class Stall:
    """Notices an actor that no longer learns: one line of metrics after the other with hardly any gradient (LOG.md has such a run)."""

    NORM, LINES = 1e-3, 5

    def __init__(self) -> None:
        self._lines = 0

    def add(self, means: Mapping[str, float]) -> str:
        """Note a line of metrics. What to tell the user, once a stall; else empty."""
        small = means.get("actor/grad_norm", self.NORM) < self.NORM
        self._lines = self._lines + 1 if small else 0
        if self._lines != self.LINES:
            return ""
        return (
            f"warning: the actor hardly learns: the norm of its gradient was below {self.NORM:g} in the last {self.LINES} lines of metrics."
            " Either no reward has been met yet, or its actions are stuck at their bounds; then another --seed or a smaller "
            "--dreamer.actor-lr helps, and going on does not."
        )


def _finite(values: list[torch.Tensor | float]) -> list[float]:
    return [number for value in values if math.isfinite(number := float(value))]

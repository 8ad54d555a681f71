"""Averages of what updates report, and a stop for training that has gone wrong."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Mapping

import torch

from diswm.contract import DiswmError, Metrics


class Meter:
    """Collects metrics without waiting for the device; ``mean`` reads and clears them."""

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
            raise DiswmError(
                f"{self.in_a_row} updates in a row gave NaN or infinity in {', '.join(bad)}; training stops. The last checkpoint is "
                "good: give the same command to try from there, or start a run with lower learning rates."
            )
        for name, value in metrics.items():
            self._values[name].append(value)
        return taken

    def mean(self) -> Metrics:
        """Means over the updates since the last call, NaN left out, and the rate of updates."""
        count = max((len(values) for values in self._values.values()), default=0)
        means = {name: _mean(values) for name, values in self._values.items()}
        means["updates_per_second"] = count / max(time.monotonic() - self._began, 1e-9)
        self._values.clear()
        self._began = time.monotonic()
        return {name: float(f"{value:.6g}") for name, value in means.items()}


def _mean(values: list[torch.Tensor | float]) -> float:
    finite = [number for value in values if math.isfinite(number := float(value))]
    return sum(finite) / len(finite) if finite else -1.0

"""What varies in a scene: named factors with their ranges, drawn from one owned generator.

The colours follow the released DisWM code (distracting_control): every material of a scene, whatever its own colour, starts
uniformly in a box around one base colour and then walks in it. The two sets are disjoint through green alone
([0.1, 0.5] against [0.5, 0.9]); their red and blue ranges overlap.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Literal

import numpy as np

from diswm.contract import Array, DiswmError

BASE_COLOURS: dict[str, tuple[float, float, float]] = {"set1": (0.7, 0.3, 0.5), "set2": (0.5, 0.7, 0.3)}
"""Base colour of each set, RGB in [0, 1]: set1 is the one of training, set2 the one held out."""

MATERIALS = (
    "grid", "self", "self_default", "self_highlight", "effector", "effector_default", "effector_highlight",
    "decoration", "eye", "target", "target_default", "target_highlight", "site",
)  # fmt: skip
"""The materials that all scenes of the dm_control suite share, in the order in which they draw."""


@dataclasses.dataclass(frozen=True)
class ColourConfig:
    """How the colours of a scene vary."""

    colours: Literal["none", "set1", "set2"] = "set1"
    """Colour box: none keeps the scene's own colours, set1 is for training, set2 is disjoint from it (through green)."""
    max_delta: float = 0.2
    """Half the side of the box around the base colour, per RGB channel in [0, 1]."""
    step_std: float = 0.2
    """Standard deviation of the random walk's steps, per RGB channel; 0 keeps an episode's colours."""
    per: Literal["frame", "step", "episode"] = "frame"
    """When the walk moves: every simulator frame, every agent step, or never within an episode."""

    def __post_init__(self) -> None:
        if self.colours not in ("none", *BASE_COLOURS):
            raise DiswmError(f"colours={self.colours!r} is unknown; choose none, set1 or set2 (--env.distract.colours).")
        if self.per not in ("frame", "step", "episode"):
            raise DiswmError(f"per={self.per!r} is unknown; choose frame, step or episode (--env.distract.per).")
        if not 0.0 <= self.max_delta <= 0.3:
            raise DiswmError(f"max_delta={self.max_delta} must lie in [0, 0.3], or colours would leave [0, 1].")
        if not (np.isfinite(self.step_std) and self.step_std >= 0.0):
            raise DiswmError(f"step_std={self.step_std} must be a number >= 0.")

    def box(self) -> tuple[Array, Array]:
        """Lowest and highest colour, each (3,) float64. Raises DiswmError for ``none``, which has no box."""
        if self.colours == "none":
            raise DiswmError("colours='none' leaves a scene as it is: there is no box to draw from.")
        base = np.asarray(BASE_COLOURS[self.colours])
        return base - self.max_delta, base + self.max_delta


class ColourWalk:
    """A clipped random walk of K colours, ``values`` (K, 3) float64 in the configured box."""

    def __init__(self, config: ColourConfig, names: Iterable[str]):
        self.config = config
        self.names = tuple(names)
        self.low, self.high = config.box()
        self.values: Array = np.tile((self.low + self.high) / 2, (len(self.names), 1))
        self._rng = np.random.default_rng(0)

    def reset(self, rng: np.random.Generator) -> None:
        """Draw every colour afresh, uniformly in the box; ``rng`` also feeds the walk of this episode."""
        self._rng = rng
        self.values = rng.uniform(self.low, self.high, size=(len(self.names), 3))

    def move(self) -> None:
        """One step of the walk. The clip makes the bounds likely: about 45% of the values sit on one of them."""
        if self.config.step_std == 0.0:
            return
        noise = self._rng.normal(0.0, self.config.step_std, size=self.values.shape)
        self.values = np.clip(self.values + noise, self.low, self.high)

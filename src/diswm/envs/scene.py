"""A scene advances one simulator frame at a time and draws only when it is asked to.

So the frames inside an action repeat cost no rendering. Time limits and distractions wrap scenes; `wrappers.ActionRepeat` turns
one into a Gymnasium environment.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np

from diswm.contract import Array


class Frame(NamedTuple):
    """The outcome of one simulator frame."""

    reward: float
    terminated: bool
    truncated: bool
    discount: float


class Scene(Protocol):
    """A simulator at frame rate. Actions are (A,) float64 in [-1, 1]."""

    act_dim: int
    renderer: str

    def reset(self, task: np.random.SeedSequence, colour: np.random.SeedSequence) -> None: ...

    def begin_step(self) -> None: ...

    def step(self, action: Array) -> Frame: ...

    def draw(self) -> Array: ...

    def factors(self) -> dict[str, Array]: ...

    def state(self) -> Array: ...

    def close(self) -> None: ...


class Paintable(Scene, Protocol):
    """A scene whose materials take colours."""

    materials: tuple[str, ...]

    def paint(self, colours: Array) -> None:
        """Give the materials their colours, (K, 3) in the order of ``materials``; alpha stays as it is."""


class SceneWrapper:
    """Forwards to the scene within; subclasses change one thing."""

    def __init__(self, scene: Any):
        self.scene = scene

    def __getattr__(self, name: str) -> Any:
        if name == "scene":  # not there yet: copying or unpickling would recurse without end
            raise AttributeError(name)
        return getattr(self.scene, name)

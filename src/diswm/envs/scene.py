"""A scene advances one simulator frame at a time and draws only when it is asked to.

So the frames inside an action repeat cost no rendering. Time limits and distractions wrap scenes; `wrappers.ActionRepeat` turns
one into a Gymnasium environment.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple, Protocol

import numpy as np

from diswm.contract import Array, Unstable


class Frame(NamedTuple):
    """The outcome of one simulator frame."""

    reward: float
    terminated: bool
    truncated: bool
    discount: float
    success: bool | None = None  # None: the task knows none


@dataclasses.dataclass
class Look:
    """How a scene is to be drawn, beside the colours of its materials; None leaves a part as the scene has it."""

    camera: Array | None = None
    """azimuth, elevation, roll (radians) and distance (a multiple), (4,): see `view.turned_camera`."""
    light: Array | None = None
    """tilt, azimuth (radians) and intensity (a multiple), (3,)."""
    background: Array | None = None
    """The picture behind the scene, (H, W, 3) uint8 of the image's size."""
    ground: float = 1.0
    """Opacity of the floor in front of that picture."""
    texture: int | None = None
    """Which of the scene's textures is printed, on the floor as a rule."""


PLAIN = Look()
"""A scene as it is."""


class Scene(Protocol):
    """A simulator at frame rate. Actions are (A,) float64 in [-1, 1]; one-hot in a scene whose ``discrete`` is True."""

    task: str  # what it is called
    act_dim: int
    image_size: int
    renderer: str
    shows: frozenset[str]  # the kinds of distraction that it can be drawn with; with texture, ``textures`` are its `Surface.sets`
    ground: float  # opacity of its floor in front of a background, unless said otherwise

    def reset(self, task: np.random.SeedSequence, colour: np.random.SeedSequence) -> None: ...

    def begin_step(self) -> None: ...

    def step(self, action: Array) -> Frame: ...

    def draw(self, look: Look = ...) -> Array: ...

    def factors(self) -> dict[str, Array]: ...

    def state(self) -> Array: ...

    def close(self) -> None: ...


class Paintable(Scene, Protocol):
    """A scene whose materials take colours."""

    materials: tuple[str, ...]

    def palette(self) -> Array:
        """The colours that the materials have now, (K, 3) in [0, 1]."""

    def paint(self, colours: Array) -> None:
        """Give the materials their colours, (K, 3) in the order of ``materials``; alpha stays as it is."""


def check_stable(data: Any) -> None:
    """Raise Unstable where MuJoCo has warned of values that are not finite or huge; it then went on from its start, without a word.

    ``data`` is its MjData, whose warnings a reset clears."""
    import mujoco

    kinds = mujoco.mjtWarning
    for kind in (kinds.mjWARN_BADQPOS, kinds.mjWARN_BADQVEL, kinds.mjWARN_BADQACC, kinds.mjWARN_BADCTRL):
        if data.warning.number[kind.value]:
            raise Unstable(kind.name)


class SceneWrapper:
    """Forwards to the scene within; subclasses change one thing."""

    def __init__(self, scene: Any):
        self.scene = scene

    def __getattr__(self, name: str) -> Any:
        if name == "scene":  # not there yet: copying or unpickling would recurse without end
            raise AttributeError(name)
        return getattr(self.scene, name)

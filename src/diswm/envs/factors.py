"""What varies in a scene: named factors with their ranges, defaults and train / test sets, drawn from owned generators.

The colours follow the released DisWM code (distracting_control): every material of a scene, whatever its own colour, starts
uniformly in a box around one base colour and then walks in it. The two sets are disjoint through green alone
([0.1, 0.5] against [0.5, 0.9]); their red and blue ranges overlap. Ranges and speeds of the other colours, the camera and the
background are those that the Distracting Control Suite (Stone et al. 2021, arXiv 2101.02722) publishes; its split of videos
into training and validation is here one idea for all: ``train`` and ``test`` part the range of one factor of each kind.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from typing import ClassVar, Literal

import numpy as np

from diswm.contract import Array, DiswmError

BASE_COLOURS: dict[str, tuple[float, float, float]] = {"set1": (0.7, 0.3, 0.5), "set2": (0.5, 0.7, 0.3)}
"""Base colour of each set, RGB in [0, 1]: set1 is the one of training, set2 the one held out."""
SET_DELTA = 0.3
"""Largest `max_delta` of these: more would leave [0, 1]."""
GREEN_SETS = ("own", "own_train", "own_test", "any", "any_train", "any_test")
"""Boxes around each material's own colour, and the whole of RGB; train and test are their halves of little and of much green."""

MATERIALS = (
    "grid", "self", "self_default", "self_highlight", "effector", "effector_default", "effector_highlight",
    "decoration", "eye", "target", "target_default", "target_highlight", "site",
)  # fmt: skip
"""The materials that all scenes of the dm_control suite share, in the order in which they draw."""

SPLITS = ("all", "train", "test")
Split = Literal["all", "train", "test"]
LEVELS = {"easy": 0.1, "medium": 0.2, "hard": 0.3}
"""Strength of the Distracting Control Suite's three benchmarks."""


@dataclasses.dataclass(frozen=True)
class Factor:
    """One source of variation: a scalar with its range and the value that a scene has without distraction."""

    name: str
    low: float
    high: float
    default: float
    parts_at: float | None = None
    """Where train (below) and test (above) part; None: both have the whole range."""

    def bounds(self, split: Split) -> tuple[float, float]:
        """Lowest and highest value in a set."""
        if self.parts_at is None or split == "all":
            return self.low, self.high
        return (self.low, self.parts_at) if split == "train" else (self.parts_at, self.high)


@dataclasses.dataclass(frozen=True)
class ColourConfig:
    """How the colours of a scene vary."""

    colours: Literal["none", "set1", "set2", "own", "own_train", "own_test", "any", "any_train", "any_test"] = "set1"
    """Colour box: none keeps the scene's own colours, set1 is for training, set2 is disjoint from it (through green); own is
    around each material's own colour, any is all of RGB, and their _train and _test are disjoint halves (through green)."""
    max_delta: float = 0.2
    """Half the side of the box around the base colour, per RGB channel in [0, 1]."""
    step_std: float = 0.2
    """Standard deviation of the random walk's steps, per RGB channel; 0 keeps an episode's colours."""
    per: Literal["auto", "frame", "step", "episode"] = "auto"
    """When the walk moves: every simulator frame, every agent step, or never within an episode; auto: as the benchmark of the
    task has it, in pusher never within an episode, elsewhere every frame."""

    def __post_init__(self) -> None:
        if self.colours not in ("none", *BASE_COLOURS, *GREEN_SETS):
            choices = ", ".join((*BASE_COLOURS, *GREEN_SETS))
            raise DiswmError(f"colours={self.colours!r} is unknown; choose none, {choices} (--env.distract.colours).")
        if self.per not in ("auto", "frame", "step", "episode"):
            raise DiswmError(f"per={self.per!r} is unknown; choose auto, frame, step or episode (--env.distract.per).")
        if self.colours in BASE_COLOURS and not 0.0 <= self.max_delta <= SET_DELTA:
            raise DiswmError(f"max_delta={self.max_delta} must lie in [0, {SET_DELTA}], or colours would leave [0, 1].")
        if not 0.0 <= self.max_delta <= 1.0:
            raise DiswmError(f"max_delta={self.max_delta} must lie in [0, 1], the range of a colour.")
        if not (np.isfinite(self.step_std) and self.step_std >= 0.0):
            raise DiswmError(f"step_std={self.step_std} must be a number >= 0.")

    def box(self, own: Array | None = None) -> tuple[Array, Array]:
        """Lowest and highest colour, each (3,) float64, or (K, 3) for boxes around the scene's ``own`` colours (K, 3).

        Raises DiswmError for ``none``, which has no box, and for boxes around colours that are not given.
        """
        if self.colours == "none":
            raise DiswmError("colours='none' leaves a scene as it is: there is no box to draw from.")
        if self.colours in BASE_COLOURS:
            base = np.asarray(BASE_COLOURS[self.colours])
            return base - self.max_delta, base + self.max_delta
        kind, _, split = self.colours.partition("_")
        if kind == "own" and own is None:
            raise DiswmError(f"colours={self.colours!r} lie around the colours of a scene: give them.")
        middle = np.full((1, 3), 0.5) if own is None or kind == "any" else np.asarray(own, np.float64)
        delta = 0.5 if kind == "any" else self.max_delta
        low, high = np.clip(middle - delta, 0.0, 1.0), np.clip(middle + delta, 0.0, 1.0)
        if split:
            (high if split == "train" else low)[:, 1] = middle[:, 1]
        return low, high


class ColourWalk:
    """A clipped random walk of K colours, ``values`` (K, 3) float64 in the configured box; ``own`` are the scene's (K, 3)."""

    def __init__(self, config: ColourConfig, names: Iterable[str], own: Array | None = None):
        self.config = config
        self.names = tuple(names)
        self.low, self.high = config.box(own)
        self.values: Array = np.tile(np.atleast_2d((self.low + self.high) / 2), (len(self.names), 1))[: len(self.names)]
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


class Drift:
    """Values (N,) that start uniformly between bounds and drift there: their velocity walks, the bounds stop them.

    ``std`` and ``limit`` (N,) are the standard deviation of the velocity's steps and the highest speed, per frame.
    """

    def __init__(self, std: Array, limit: Array):
        self.std, self.limit = np.asarray(std, np.float64), np.asarray(limit, np.float64)
        self.values: Array = np.zeros(len(self.std))

    def reset(self, rng: np.random.Generator, low: Array, high: Array) -> None:
        """Draw values and velocities afresh; ``rng`` also feeds the drift of this episode."""
        self._rng, self._low, self._high = rng, low, high
        self.values = rng.uniform(low, high)
        self._velocity = rng.uniform(-self.limit, self.limit)

    def move(self) -> None:
        """One frame. What meets a bound loses its speed."""
        if not self.limit.any():
            return
        speed = np.clip(self._velocity + self._rng.normal(0.0, 1.0, self.std.shape) * self.std, -self.limit, self.limit)
        moved = np.clip(self.values + speed, self._low, self._high)
        self._velocity, self.values = moved - self.values, moved


@dataclasses.dataclass(frozen=True)
class CameraConfig:
    """Where the camera stands: on a sphere around the point that it looks at, rolled, nearer or farther."""

    kind: ClassVar[str] = "camera"
    scale: float = LEVELS["easy"]
    """1 is a quarter turn to each side; the suite's benchmarks have 0.1, 0.2 and 0.3."""
    moving: bool = False
    """Whether it moves within an episode."""
    split: Split = "all"
    """Test is disjoint from train through the side (azimuth) alone."""
    parts: tuple[str, ...] = ("position", "roll", "zoom")
    """What varies."""

    def factors(self) -> tuple[Factor, ...]:
        """azimuth, elevation and roll in radians, distance as a multiple of the scene's own."""
        turn = math.pi / 2 * self.scale
        position, roll, zoom = (float(part in self.parts) for part in ("position", "roll", "zoom"))
        return (
            Factor("camera.azimuth", -turn * position, turn * position, 0.0, 0.0),
            Factor("camera.elevation", -turn * position, turn * position, 0.0),
            Factor("camera.roll", -turn * roll, turn * roll, 0.0),
            Factor("camera.distance", 1 - 0.5 * self.scale * zoom, 1 + 1.5 * self.scale * zoom, 1.0),
        )

    def drift(self) -> Drift:
        """The suite's speeds: a standard deviation of 0.1 and at most 0.4 at four units from the target, times the scale."""
        s = self.scale * self.moving
        std, limit = [0.025 * s] * 2, [0.1 * s] * 2
        return Drift(np.array([*std, math.pi / 300 * s, 0.025 * s]), np.array([*limit, math.pi / 50 * s, 0.1 * s]))


@dataclasses.dataclass(frozen=True)
class LightConfig:
    """How a scene is lit: its lights lean over by an angle, towards an azimuth, and are brighter or darker.

    So does MuJoCo's headlight, which goes with the camera and gives most of the light in some scenes. The sky is not lit.
    """

    kind: ClassVar[str] = "light"
    scale: float = LEVELS["easy"]
    """0.1, 0.2 and 0.3 lean by up to 12, 24 and 36 degrees and change the brightness by up to 20, 40 and 60 per cent."""
    moving: bool = False
    """Whether it moves within an episode."""
    split: Split = "all"
    """Test is disjoint from train through the azimuth alone."""

    def factors(self) -> tuple[Factor, ...]:
        """tilt and azimuth in radians, intensity as a multiple of the scene's own."""
        return (
            Factor("light.tilt", 0.0, math.radians(120) * self.scale, 0.0),
            Factor("light.azimuth", -math.pi, math.pi, 0.0, 0.0),
            Factor("light.intensity", 1 - 2 * self.scale, 1 + 2 * self.scale, 1.0),
        )

    def drift(self) -> Drift:
        """About ten degrees of azimuth a frame at most; tilt and brightness slower."""
        limit = np.array([math.radians(2) * self.scale, math.radians(10), 0.04 * self.scale]) * self.moving
        return Drift(limit / 4, limit)


@dataclasses.dataclass(frozen=True)
class BackgroundConfig:
    """What is seen where the scene shows its sky: a still or a moving picture, from a folder or drawn."""

    kind: ClassVar[str] = "background"
    source: Literal["video", "image", "shapes", "noise", "plain"] = "video"
    """video and image take the folder's clips (image: one frame an episode), or without a folder those of shapes; shapes,
    noise and plain (a gradient of two colours) are drawn."""
    moving: bool = False
    """Whether the clip plays within an episode, a frame each simulator frame, to and fro."""
    split: Split = "all"
    """Clips of train and test differ: by the lists of a DAVIS folder where it has them, else every third clip is for testing."""
    folder: str = ""
    """Folder of clips: subfolders of images, video files, or DAVIS as it is; single images are clips of one frame."""
    clips: int = 0
    """Only so many clips of the set, the first; 0: all. The suite's easy and medium benchmarks have 4 and 8."""
    ground: float | None = None
    """Opacity of the floor, 0 to 1; None: the suite's for the domain (reacher 0, walker and cheetah 1, others 0.3)."""


@dataclasses.dataclass(frozen=True)
class TextureConfig:
    """What is printed on the floor, or on DrawerWorld's table, in place of the scene's own texture: one of a few."""

    kind: ClassVar[str] = "texture"
    split: Split = "all"
    """Textures of train and test differ: see `patterns.FLOOR_SETS` and `TABLE_SETS`."""
    name: str = ""
    """This one alone, if it is not empty."""


Layer = CameraConfig | LightConfig | BackgroundConfig | TextureConfig
"""A distraction other than colour."""


def held_out(config: ColourConfig, unseen: Literal["set1", "set2", "none"]) -> ColourConfig:
    """The colours ``unseen``, as strong as those of ``config``; in place of a set the other half, where ``config`` has one half."""
    name, _, half = config.colours.rpartition("_")
    if half in SPLITS and unseen != "none":
        return dataclasses.replace(config, colours=f"{name}_{'test' if half == 'train' else 'train'}")  # type: ignore[arg-type]
    return dataclasses.replace(config, colours=unseen, max_delta=min(config.max_delta, SET_DELTA))

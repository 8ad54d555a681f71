"""Sprites with known factors: an agent disc, a target, perhaps a hazard. No simulator, no GL, 0.2 ms a frame.

Positions lie in [-1, 1]^2 (x to the right, y up). The drawing is anti-aliased, so the image is a continuous function of every
factor and each factor can be read off the image: metrics and agents are tested here, where the right answers are known.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from diswm.contract import Array, DiswmError
from diswm.envs.poses import Varied
from diswm.envs.scene import PLAIN, Frame, Look

TASKS = ("toy", "toy_sparse", "toy_terminal")
TIME_LIMIT = 100  # frames
SPEED = 0.12  # the farthest that a frame moves the agent along each axis: across the world in about 15 frames
REACH = 0.3  # toy_sparse: the distance that counts as reached
SIZES = (0.14, 0.26)
HAZARD = np.array([0.0, 0.0])  # toy_terminal: a black square in the middle; to touch it ends the episode
HAZARD_HALF = 0.16
RIM = 0.04


class Factor(NamedTuple):
    """One ground-truth factor: a scalar with its range."""

    name: str
    low: float
    high: float


FACTORS: tuple[Factor, ...] = (
    Factor("agent.x", -0.8, 0.8),
    Factor("agent.y", -0.8, 0.8),
    Factor("target.x", -0.8, 0.8),
    Factor("target.y", -0.8, 0.8),
    Factor("size", *SIZES),
    *(Factor(f"colour.{part}.{channel}", 0.0, 1.0) for part in ("background", "agent", "target") for channel in "rgb"),
)
"""Columns of a factor vector, in order. ``size`` is the agent's radius; colours are RGB in [0, 1]."""
NAMES = tuple(factor.name for factor in FACTORS)
DEFAULT_COLOURS = np.array([[0.15, 0.25, 0.4], [0.9, 0.7, 0.2], [0.8, 0.2, 0.2]])  # background, agent, target


def sample(n: int, rng: np.random.Generator) -> Array:
    """``n`` independent factor vectors, uniform in their ranges: (n, K) float64."""
    low, high = np.array([f.low for f in FACTORS]), np.array([f.high for f in FACTORS])
    return rng.uniform(low, high, size=(n, len(FACTORS)))


def vector(factors: dict[str, Array]) -> Array:
    """The factor vector (K,) of an environment's ``info["factors"]``."""
    parts = ("agent", "target", "size", "colour.background", "colour.agent", "colour.target")
    return np.concatenate([np.asarray(factors[part], np.float64) for part in parts])


def render_factors(values: Array, image_size: int = 64, hazard: bool = False, backdrop: Array | None = None) -> Array:
    """Draw a factor vector, (K,) in the order of ``FACTORS``, as an image (image_size, image_size, 3) uint8; (n, K) gives n.

    ``backdrop``, an image (image_size, image_size, 3) uint8, takes the place of the background's colour. A pure function.
    Raises DiswmError if the last axis is not K.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.shape[-1] != len(FACTORS):
        raise DiswmError(f"A factor vector has {len(FACTORS)} values ({', '.join(NAMES)}); got shape {values.shape}.")
    if values.ndim > 1:
        return np.stack([render_factors(v, image_size, hazard, backdrop) for v in values])
    colours = values[5:].reshape(3, 3)
    image = np.empty((image_size, image_size, 3))
    image[:] = colours[0] if backdrop is None else backdrop / 255.0
    # Rims keep a sprite visible when its colour comes near that of the background.
    white, black = np.ones(3), np.zeros(3)
    if hazard:
        _paint(image, HAZARD, HAZARD_HALF, _square, [(0.0, black)])
    _paint(image, values[2:4], 0.18, _square, [(RIM, white), (0.0, colours[2])])
    _paint(image, values[:2], values[4], np.hypot, [(RIM, black), (0.0, colours[1])])
    return (image * 255.0 + 0.5).astype(np.uint8)


def _square(x: Array, y: Array) -> Array:
    """How far from a centre, so that what is as far is a square: shape tells the target apart."""
    return np.asarray(np.maximum(np.abs(x), np.abs(y)))


def _paint(image: Array, centre: Array, size: float, far: Callable[[Array, Array], Array], layers: Sequence[tuple[float, Array]]) -> None:
    """Put a sprite into ``image`` (H, H, 3): layer upon layer, each a colour and a rim beyond ``size``. It touches pixels near it alone."""
    pixel = 2.0 / len(image)
    x = (np.arange(len(image)) + 0.5) * pixel - 1.0
    reach = size + RIM + pixel
    rows, columns = (slice(*np.searchsorted(x, (place - reach, place + reach))) for place in (-centre[1], centre[0]))
    distance = far(x[None, columns] - centre[0], -x[rows, None] - centre[1]) - size  # in world units, negative within
    part = image[rows, columns]
    for rim, colour in layers:
        cover = np.clip(0.5 - (distance - rim) / pixel, 0.0, 1.0)[..., None]  # one pixel wide edge
        part[:] = part * (1.0 - cover) + colour * cover


class ToyScene:
    """Move the agent onto the target. Reward in [0, 1] a frame: 1 - distance (0 from 1 on), or in ``toy_sparse`` 1 within reach."""

    act_dim = 2
    renderer: str = "numpy"
    shows: frozenset[str] = frozenset({"colour", "background"})
    ground: float = 1.0
    materials: tuple[str, ...] = ("background", "agent", "target")

    def __init__(self, task: str, image_size: int):
        self.task = task
        self.image_size = image_size
        self.colours: Array = DEFAULT_COLOURS.copy()
        self.agent = np.zeros(2)
        self.target = np.zeros(2)
        self.size = SIZES[0]
        self.pose = ToyPose(self)

    def reset(self, task: np.random.SeedSequence, colour: np.random.SeedSequence) -> None:
        rng = np.random.default_rng(task)
        self.size = rng.uniform(*SIZES)
        self.agent, self.target = rng.uniform(-0.8, 0.8, size=(2, 2))
        while self.task == "toy_terminal" and (self._touches(self.agent, self.size) or self._touches(self.target, 0.18)):
            self.agent, self.target = rng.uniform(-0.8, 0.8, size=(2, 2))

    def begin_step(self) -> None:
        pass

    def step(self, action: Array) -> Frame:
        self.agent = np.clip(self.agent + SPEED * action, -0.8, 0.8)
        distance = float(np.hypot(*(self.agent - self.target)))
        reward = float(distance < REACH) if self.task == "toy_sparse" else max(0.0, 1.0 - distance)
        dead = self.task == "toy_terminal" and self._touches(self.agent, self.size)
        return Frame(reward, dead, False, 0.0 if dead else 1.0)

    def draw(self, look: Look = PLAIN) -> Array:
        return render_factors(self._vector(), self.image_size, self.task == "toy_terminal", look.background)

    def factors(self) -> dict[str, Array]:
        """``agent`` (2,), ``target`` (2,), ``size`` (1,) and ``colour.<part>`` (3,), float32."""
        pose = {"agent": self.agent, "target": self.target, "size": np.array([self.size])}
        paint = {f"colour.{name}": colour for name, colour in zip(self.materials, self.colours, strict=True)}
        return {name: value.astype(np.float32) for name, value in {**pose, **paint}.items()}

    def state(self) -> Array:
        return np.concatenate([self.agent, self.target, [self.size]]).astype(np.float32)

    def palette(self) -> Array:
        return self.colours.copy()

    def paint(self, colours: Array) -> None:
        self.colours = np.array(colours)

    def close(self) -> None:
        pass

    def _vector(self) -> Array:
        return np.concatenate([self.agent, self.target, [self.size], self.colours.ravel()])

    @staticmethod
    def _touches(centre: Array, radius: float) -> bool:
        return bool(np.abs(centre - HAZARD).max() < HAZARD_HALF + radius)


class ToyPose:
    """Both places and the agent's size; what the agent covers of the target is hidden."""

    factors = tuple(Varied(f.name, "continuous", f.low, f.high, f.name.partition(".")[0], int(f.name.endswith(".y"))) for f in FACTORS[:5])
    note = "the agent hides what it covers of the target"

    def __init__(self, scene: ToyScene):
        self._scene = scene
        self.fixed: dict[str, str] = {}

    def place(self, values: Array) -> bool:
        scene = self._scene
        scene.agent, scene.target, scene.size = np.array(values[:2]), np.array(values[2:4]), float(values[4])
        return not (scene.task == "toy_terminal" and (scene._touches(scene.agent, scene.size) or scene._touches(scene.target, 0.18)))

    def labels(self) -> dict[str, Array]:
        return {name: value for name, value in self._scene.factors().items() if not name.startswith("colour.")}

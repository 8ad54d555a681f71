"""How the values of the factors touch a scene: colours of materials, camera, light, background and the floor's texture."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Protocol

import numpy as np

from diswm.contract import Array, DiswmError
from diswm.envs.backdrops import open_clips
from diswm.envs.factors import BackgroundConfig, CameraConfig, ColourConfig, ColourWalk, Layer, LightConfig, TextureConfig
from diswm.envs.scene import PLAIN, Frame, Look, Paintable, SceneWrapper
from diswm.envs.specs import KINDS, Plan, unknown
from diswm.envs.view import elevation_bounds

_SEEDS = {kind: 100 + index for index, kind in enumerate((*KINDS, "phase"))}  # keys, so that no draw moves another's


class Effect(Protocol):
    """One distraction at work: it draws its factors at each reset, moves them at each frame, and has them drawn."""

    def reset(self, rng: np.random.Generator) -> None: ...

    def move(self) -> None: ...

    def show(self, look: Look) -> None: ...

    def factors(self) -> dict[str, float]: ...


class Turn:
    """Camera or light: bounded values that may drift."""

    def __init__(self, config: CameraConfig | LightConfig, scene: Any):
        self.config, self.scene, self.drift = config, scene, config.drift()

    def reset(self, rng: np.random.Generator) -> None:
        bounds = [factor.bounds(self.config.split) for factor in self.config.factors()]
        if isinstance(self.config, CameraConfig):
            bounds[1] = elevation_bounds(self.scene.camera_axes(), *bounds[1])
        low, high = np.array(bounds).T
        self.drift.reset(rng, low, high)

    def move(self) -> None:
        self.drift.move()

    def show(self, look: Look) -> None:
        setattr(look, self.config.kind, self.drift.values)

    def factors(self) -> dict[str, float]:
        return {factor.name: float(value) for factor, value in zip(self.config.factors(), self.drift.values, strict=True)}


class Backdrop:
    """A clip behind the scene; it plays to and fro, so that it never jumps."""

    def __init__(self, config: BackgroundConfig, scene: Any):
        self.config, self.clips = config, open_clips(config, scene.image_size)
        self.ground = scene.ground if config.ground is None else config.ground
        self.clip = self.time = self.direction = 0

    def reset(self, rng: np.random.Generator) -> None:
        self.clip = int(rng.choice(self.clips.choice()))
        self.length = self.clips.length(self.clip)
        self.time, direction = int(rng.integers(self.length)), int(rng.choice([-1, 1]))
        self.direction = direction if self.config.moving and self.length > 1 else 0

    def move(self) -> None:
        if not self.direction:
            return
        if not 0 <= self.time + self.direction < self.length:
            self.direction = -self.direction
        self.time += self.direction

    def show(self, look: Look) -> None:
        look.background, look.ground = self.clips.frame(self.clip, self.time), self.ground

    def factors(self) -> dict[str, float]:
        """``direction`` is where it plays to: 1 forwards, -1 backwards, 0 where it stands still."""
        return {"background.clip": self.clip, "background.frame": self.time, "background.direction": self.direction}


class Print:
    """One of the scene's textures; the factor is its number among ``textures["all"]``."""

    def __init__(self, config: TextureConfig, scene: Any):
        names = scene.textures["all"]
        if config.name and config.name not in names:
            raise unknown("texture in this task called", config.name, names)
        self.choice = [names.index(name) for name in ((config.name,) if config.name else scene.textures[config.split])]
        self.index = self.choice[0]

    def reset(self, rng: np.random.Generator) -> None:
        self.index = int(rng.choice(self.choice))

    def move(self) -> None:
        """It never changes within an episode."""

    def show(self, look: Look) -> None:
        look.texture = self.index

    def factors(self) -> dict[str, float]:
        return {"texture": self.index}


DEFAULTS: dict[str, dict[str, float]] = {
    **{kind.kind: {factor.name: factor.default for factor in kind().factors()} for kind in (CameraConfig, LightConfig)},
    "background": {"background.clip": -1.0, "background.frame": -1.0, "background.direction": 0.0},
    "texture": {"texture": -1.0},
}
"""Values of the factors while their distraction does not hold; -1 is the scene's own background and texture."""


def _effect(layer: Layer, scene: Any) -> Effect:
    if isinstance(layer, CameraConfig | LightConfig):
        return Turn(layer, scene)
    return Backdrop(layer, scene) if isinstance(layer, BackgroundConfig) else Print(layer, scene)


def refusal(scene: Any, kinds: Collection[str]) -> str:
    """Why a scene cannot be shown under distractions of these kinds; empty where it can."""
    missing = sorted(set(kinds) - scene.shows)
    if not missing:
        return ""
    return f"This task, drawn by {scene.renderer}, cannot show the distraction {missing[0]}. Leave it out, or choose another task."


class Distracted(SceneWrapper):
    """Distracts a scene by a plan. The values move below the action repeat, as in the released code and in the suite.

    A phase is chosen when an episode starts and holds to its end. Each kind draws from a generator of its own, so that the
    colours of a seed are the same whatever else varies. Raises DiswmError where the scene cannot show what the plan asks for.
    """

    def __init__(self, scene: Paintable, plan: Plan):
        super().__init__(scene)
        self.plan = plan
        if why := refusal(scene, plan.kinds()):
            raise DiswmError(why)
        self._own = scene.palette()
        self._paints = "colour" in plan.kinds()
        self._walks: dict[ColourConfig, ColourWalk] = {}
        self._effects: dict[Layer, Effect] = {}
        for phase in plan.phases:
            if phase.colour.colours != "none":
                self._walks.setdefault(phase.colour, ColourWalk(phase.colour, scene.materials, self._own))
            for layer in phase.layers:
                self._effects.setdefault(layer, _effect(layer, scene))
        self._defaults = {name: value for kind in KINDS if kind in plan.kinds() for name, value in DEFAULTS.get(kind, {}).items()}
        self._progress = 0.0
        self._choose(0)

    def enter(self, progress: float) -> None:
        """The part of the run (fraction of its budget) at which the next episode starts."""
        self._progress = progress

    def _choose(self, index: int) -> None:
        self.phase = index
        chosen = self.plan.phases[index]
        self.config = chosen.colour
        self.walk = self._walks.get(chosen.colour)
        self.effects = [(layer.kind, self._effects[layer]) for layer in chosen.layers]

    def reset(self, task: np.random.SeedSequence, colour: np.random.SeedSequence) -> None:
        if len(self.plan.phases) > 1:
            self._choose(self.plan.at(self._progress, _generator(colour, "phase").uniform(size=len(self.plan.phases))))
        if self._paints:
            self.scene.paint(self._own)
        self.scene.reset(task, colour)
        if self.walk:
            self.walk.reset(np.random.default_rng(colour))
        for kind, effect in self.effects:
            effect.reset(_generator(colour, kind))

    def begin_step(self) -> None:
        self.scene.begin_step()
        if self.walk and self.config.per == "step":
            self.walk.move()

    def step(self, action: Array) -> Frame:
        frame: Frame = self.scene.step(action)
        if self.walk and self.config.per == "frame":
            self.walk.move()
        for _, effect in self.effects:
            effect.move()
        return frame

    def draw(self) -> Array:
        # Here and not in step(): tasks may set material colours themselves between two frames.
        self._paint()
        look = Look() if self.effects else PLAIN  # colours alone need no other camera, light or background
        for _, effect in self.effects:
            effect.show(look)
        image: Array = self.scene.draw(look)
        return image

    def factors(self) -> dict[str, Array]:
        """The scene's, and those of every distraction of the plan: one vector of one number each, float32."""
        self._paint()
        factors: dict[str, Array] = self.scene.factors()
        values = dict(self._defaults)
        for _, effect in self.effects:
            values |= effect.factors()
        values |= {"phase": float(self.phase)} if len(self.plan.phases) > 1 else {}
        return factors | {name: np.array([value], np.float32) for name, value in values.items()}

    def _paint(self) -> None:
        if self.walk:
            self.scene.paint(self.walk.values)


def _generator(colour: np.random.SeedSequence, kind: str) -> np.random.Generator:
    """A child of the episode's seed that takes nothing from the others."""
    return np.random.default_rng(np.random.SeedSequence(colour.entropy, spawn_key=(*colour.spawn_key, _SEEDS[kind])))

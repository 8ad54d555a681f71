"""Frames in which every factor is drawn on its own: pose, colours, camera, light, texture, background, uniformly, without stepping.

Disentanglement is defined for independent factors; an agent's frames have none, as its joints move together and colours walk.
What the picture does not show is no factor: each candidate is moved in a few frames, and kept where the picture moves with it.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from diswm.contract import Array, DiswmError
from diswm.envs import GYM, EnvConfig, open_scene
from diswm.envs.backdrops import Clips, open_clips
from diswm.envs.factors import BackgroundConfig, CameraConfig, Layer, LightConfig, TextureConfig
from diswm.envs.poses import Pose, Varied
from diswm.envs.scene import PLAIN, Look
from diswm.envs.view import elevation_bounds

TRIES = 200  # poses drawn a frame, at most, until one is without overlap
LOOKS = 6  # frames in which a candidate is moved
_CHANGED, _PIXELS = 8, 3  # levels out of 255 by which so many pixels must change
_SHARE = 0.5  # of those frames in which they must
CLIPS = 10  # of a background, at most: as many classes as an angle has
_NAMES = {"drawer_open": "drawer", "drawer_close": "drawer"}


def world_of(task: str) -> str:
    """What tasks share whose factors are the same: toy_sparse -> toy, walker_run -> walker."""
    if task in _NAMES or task.startswith("toy"):
        return _NAMES.get(task, "toy")
    if task == "finger_spin" or task.startswith("humanoid_CMU"):
        return {"finger_spin": task}.get(task, "humanoid_CMU")
    return task.partition("_")[0]


class FactorWorld:
    """A scene whose factors are set at will: ``sample`` vectors, ``apply`` one, take its ``frame`` and ``labels``.

    ``factors`` are what varies, (K,) in a vector; ``fixed`` what stays, with the reason; ``seen`` the share of frames in which each
    factor (a colour as a whole) moved the picture. Raises DiswmError for worlds without known factors, and as `envs.make`.
    """

    def __init__(self, config: EnvConfig):
        if config.task.startswith(GYM):
            raise DiswmError(f"{config.task}: the factors of Gymnasium's worlds are not known here. Name another task.")
        self.task, self.world = config.task, world_of(config.task)
        phase = config.plan().phases[0]
        self.scene = cast(Any, open_scene(config)[0])
        self._check(config, {layer.kind for layer in phase.layers} | ({"colour"} if phase.colour.colours != "none" else set()))
        self.scene.reset(*np.random.SeedSequence(0).spawn(2))
        self.renderer: str = self.scene.renderer
        self._pose: Pose = self.scene.pose
        self._own = self.scene.palette()
        self.fixed, self.note = dict(self._pose.fixed), self._pose.note
        self._choices: dict[str, list[int]] = {}
        candidates = [*self._pose.factors]
        self._poses = len(candidates)
        if phase.colour.colours != "none":
            candidates += self._colours(*phase.colour.box(self._own))
        for layer in phase.layers:
            candidates += self._layer(layer)
        self._all, self.look = tuple(candidates), PLAIN
        self._middle = np.array([self._choices.get(one.name, [(one.low + one.high) / 2])[0] for one in candidates])
        self.tried = self.taken = 0
        self.seen = self._look_at_all()

    @property
    def factors(self) -> tuple[Varied, ...]:
        """What varies, in the order of a vector."""
        return tuple(one for one, kept in zip(self._all, self._keep, strict=True) if kept)

    # ---- candidates

    def _check(self, config: EnvConfig, kinds: set[str]) -> None:
        if missing := sorted(kinds - self.scene.shows):
            raise DiswmError(f"{config.task}, drawn by {self.scene.renderer}, cannot show the distraction {missing[0]}. Leave it out.")

    def _colours(self, low: Array, high: Array) -> list[Varied]:
        shape = (len(self.scene.materials), 3)
        low, high = np.broadcast_to(low, shape), np.broadcast_to(high, shape)
        return [
            Varied(f"colour.{name}.{channel}", "continuous", float(low[i, j]), float(high[i, j]), f"colour.{name}", j)
            for i, name in enumerate(self.scene.materials)
            for j, channel in enumerate("rgb")
        ]

    def _layer(self, layer: Layer) -> list[Varied]:
        if isinstance(layer, TextureConfig):
            names = list(self.scene.textures["all"])
            self._choices["texture"] = [names.index(name) for name in ((layer.name,) if layer.name else self.scene.textures[layer.split])]
            return [Varied("texture", "discrete", min(self._choices["texture"]), max(self._choices["texture"]), "texture")]
        if isinstance(layer, BackgroundConfig):
            return [self._background(layer)]
        assert isinstance(layer, CameraConfig | LightConfig)
        bounds = [factor.bounds(layer.split) for factor in layer.factors()]
        if isinstance(layer, CameraConfig):
            bounds[1] = elevation_bounds(self.scene.camera_axes(), *bounds[1])
        whole = layer.kind == "light" and layer.split == "all"
        named = zip(layer.factors(), bounds, strict=True)
        return [Varied(f.name, "angle" if whole and f.name == "light.azimuth" else "continuous", *ends, f.name) for f, ends in named]

    def _background(self, layer: BackgroundConfig) -> Varied:
        """Which clip is behind the scene, a class; of each its first frame, as a frame's number means another thing in every clip."""
        self._clips: Clips = open_clips(layer, self.scene.image_size)
        self._ground: float = self.scene.ground if layer.ground is None else layer.ground
        found = sorted(set(self._clips.choice()))
        chosen = [found[i] for i in np.unique(np.linspace(0, len(found) - 1, min(len(found), CLIPS)).astype(int))]
        self._choices["background.clip"] = chosen
        self.fixed["background.frame"] = "each clip shows its first frame"
        if len(chosen) < len(found):
            self.note = "; ".join(part for part in (self.note, f"{len(chosen)} of {len(found)} background clips are drawn") if part)
        return Varied("background.clip", "discrete", min(chosen), max(chosen), "background.clip")

    def _look_at_all(self) -> dict[str, float]:
        """Moves every candidate in a few frames (a colour as a whole); those that hardly ever show stay at the middle of their range."""
        self._keep = np.array([one.high > one.low for one in self._all])
        groups: dict[str, list[int]] = {}
        for j in np.flatnonzero(self._keep):
            one = self._all[j]
            groups.setdefault(one.column if one.column.startswith("colour.") else one.name, []).append(int(j))
        base = self._draw(LOOKS, np.random.default_rng(0))  # the same factors whatever the seed of a set
        moved = dict.fromkeys(groups, 0)
        for values in base:
            self._apply(values)
            before = self.frame().astype(np.int16)
            for name, columns in groups.items():
                other = values.copy()
                other[columns] = [self._other(self._all[j], values[j]) for j in columns]
                self._apply(other)
                moved[name] += int((np.abs(self.frame() - before).max(-1) > _CHANGED).sum() >= _PIXELS)
        share = {name: count / LOOKS for name, count in moved.items()}
        for name, columns in groups.items():
            if share[name] < _SHARE:
                self._keep[columns] = False
                self.fixed[name] = f"moves the picture in {share[name]:.0%} of frames"
        if not self._keep.any():
            raise DiswmError(f"{self.task}: nothing varies in its pictures. Let something vary with --distract.")
        return {name: part for name, part in share.items() if part >= _SHARE}

    def _other(self, one: Varied, value: float) -> float:
        """Another value, far from this one: half the range away."""
        if one.kind == "discrete":
            choices = self._choices[one.name]
            return float(choices[(choices.index(int(value)) + 1) % len(choices)])
        half = (one.high - one.low) / 2
        return value + half if value < one.low + half else value - half

    # ---- drawing

    def sample(self, n: int, rng: np.random.Generator) -> Array:
        """``n`` vectors (n, K) float64, each factor uniform in its range and independent of the others.

        But for poses in which bodies overlap, which are drawn anew: ``accepted`` says how many were not. DiswmError where nearly all are.
        """
        return self._draw(n, rng)[:, self._keep]

    @property
    def accepted(self) -> float:
        """The share of drawn poses without overlap."""
        return self.taken / max(self.tried, 1)

    def _draw(self, n: int, rng: np.random.Generator) -> Array:
        low, high = np.array([[one.low, one.high] for one in self._all]).T
        values = rng.uniform(low, high, (n, len(self._all)))
        for name, choices in self._choices.items():
            values[:, [one.name for one in self._all].index(name)] = rng.choice(choices, n)
        values = np.where(self._keep, values, self._middle)
        self.tried = self.taken = 0
        for row in values:
            for _ in range(TRIES):
                self.tried += 1
                if self._pose.place(row[: self._poses]):
                    break
                again = rng.uniform(low[: self._poses], high[: self._poses])
                row[: self._poses] = np.where(self._keep[: self._poses], again, self._middle[: self._poses])
            else:
                raise DiswmError(f"{self.task}: {TRIES} poses in a row had bodies within each other. Its factors cannot be drawn.")
            self.taken += 1
        return values

    def apply(self, values: Array) -> None:
        """Set a vector (K,)."""
        whole = self._middle.copy()
        whole[self._keep] = values
        self._apply(whole)

    def _apply(self, whole: Array) -> None:
        self._pose.place(whole[: self._poses])
        palette = self._own.copy()
        look: dict[str, list[float]] = {}
        for one, value in zip(self._all[self._poses :], whole[self._poses :], strict=True):
            kind = one.name.partition(".")[0]
            if kind == "colour":
                palette[self.scene.materials.index(one.column.partition(".")[2]), one.index] = value
            else:
                look.setdefault(kind, []).append(value)
        self.scene.paint(palette)
        self._values = dict(zip((one.name for one in self._all), whole, strict=True))
        self.look = self._look(look) if look else PLAIN

    def _look(self, values: dict[str, list[float]]) -> Look:
        """How the scene is drawn, from the factors of each kind of distraction."""
        camera, light = (np.array(values[kind]) if kind in values else None for kind in ("camera", "light"))
        look = Look(camera, light)
        if "texture" in values:
            look.texture = int(values["texture"][0])
        if "background" in values:
            look.background, look.ground = self._clips.frame(int(values["background"][0]), 0), self._ground
        return look

    def frame(self) -> Array:
        """The picture, (H, W, 3) uint8."""
        image: Array = self.scene.draw(self.look)
        return image

    def labels(self) -> dict[str, Array]:
        """The factors as an agent's frames have them: vectors by column, float32."""
        found: dict[str, Array] = self.scene.factors()
        own = {one.name for one in self._all[self._poses :] if not one.name.startswith("colour.")}
        return found | {name: np.array([self._values[name]], np.float32) for name in self._values if name in own}

    def close(self) -> None:
        """Release the renderer."""
        self.scene.close()

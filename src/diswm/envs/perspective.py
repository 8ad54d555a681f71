"""Where a scene is looked at from: by its camera, in its mirrors, and for the maps of shadows of its lights, as MuJoCo has them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from diswm.contract import Array

_STEEP = 0.99  # of a light's way along x: there MuJoCo turns its map otherwise
_MIDDLE = np.full((1, 2), 0.5, np.float32)


class View(NamedTuple):
    """A perspective: what lies ``d`` from ``eye`` is at pixel (right . d, up . d) ``focal`` / forward . d from the middle."""

    eye: Array
    axes: Array  # (3, 3): right, up, forward
    focal: float
    size: int  # of the picture
    samples: Array  # (S, 2): where in a pixel it is looked at
    near: float = 1e-3
    sign: float = 1.0  # -1 for a mirror, which shows triangles counter-clockwise that are clockwise

    def moved(self, place: Array, turn: Array) -> View:
        """The same in the frame of what is at ``place`` and turned so."""
        return self._replace(eye=(self.eye - place) @ turn, axes=self.axes @ turn)


class Views(NamedTuple):
    """All that a picture of a scene is made of."""

    camera: View
    mirrors: Sequence[View]
    maps: Sequence[View]
    """Of shadows, without their outermost texels, which MuJoCo leaves free."""

    def moved(self, place: Array, turn: Array) -> Views:
        """The same in the frame of what is at ``place`` and turned so."""
        return Views(self.camera.moved(place, turn), *([view.moved(place, turn) for view in some] for some in self[1:]))


def views(scene: Any, context: Any, size: int, samples: Array) -> Views | None:
    """Those of a scene, for a picture of (size, size) pixels with these ``samples``. None if not all are known here: perspectives around
    their middle, as high as wide, and spot lights are."""
    near = float(scene.camera[0].frustum_near)
    seen, maps = _camera(scene, size, samples), [_map(light, context, near) for light in scene.lights[: scene.nlight] if light.castshadow]
    known = [found for found in maps if found is not None]
    return Views(seen, list(_mirrors(scene, seen)), known) if seen is not None and len(known) == len(maps) else None


def _camera(scene: Any, size: int, samples: Array) -> View | None:
    import mujoco

    first = scene.camera[0]
    plain = not first.orthographic and float(first.frustum_width) == 0.0 == float(first.frustum_center)
    if not plain or float(first.frustum_bottom) != -float(first.frustum_top):
        return None
    middle = mujoco.mjv_averageCamera(first, scene.camera[1])  # they stand an eye's distance apart
    eye, forward, up = (np.array(part, np.float32) for part in (middle.pos, middle.forward, middle.up))
    near = float(middle.frustum_near)
    focal = 0.5 * size * near / float(middle.frustum_top)
    return View(eye, np.stack([np.cross(forward, up), up, forward]), focal, size, samples, near)


def _mirrors(scene: Any, view: View) -> Iterator[View]:
    import mujoco

    for geom in scene.geoms[: scene.ngeom]:
        if geom.reflectance > 0.0:
            normal = np.array(geom.mat[:, 2], np.float32)
            place = geom.pos + normal * (geom.size[2] if geom.type == mujoco.mjtGeom.mjGEOM_BOX else 0.0)
            turn = np.eye(3, dtype=np.float32) - 2.0 * np.outer(normal, normal)
            yield view._replace(eye=view.eye - 2.0 * ((view.eye - place) @ normal) * normal, axes=view.axes @ turn, sign=-1.0)


def _map(light: Any, context: Any, near: float) -> View | None:
    """As MuJoCo turns it."""
    import mujoco

    forward = np.array(light.dir, np.float32)
    if light.type != mujoco.mjtLightType.mjLIGHT_SPOT or light.headlight or abs(forward[0]) > _STEEP:
        return None
    up = np.array([0.0, -forward[2], forward[1]], np.float32) / np.hypot(forward[1], forward[2])
    size = int(context.shadowSize) - 2
    focal = 0.5 * size / np.tan(np.radians(float(light.cutoff)) * float(context.shadowScale))
    axes = np.stack([np.cross(forward, up), up, forward])
    return View(np.array(light.pos, np.float32), axes, float(focal), size, _MIDDLE, near)


def samples(context: Any) -> Array:
    """Where in a pixel of a context's pictures its samples are, (S, 2)."""
    from OpenGL import GL

    GL.glBindFramebuffer(GL.GL_FRAMEBUFFER, int(context.offFBO))
    count = int(GL.glGetIntegerv(GL.GL_SAMPLES))
    if count < 2:
        return _MIDDLE
    return np.stack([np.asarray(GL.glGetMultisamplefv(GL.GL_SAMPLE_POSITION, index), np.float32) for index in range(count)])

"""Where a MuJoCo model has what is distracted: turning its camera and lights by the values of factors, its sky and its floor.

The camera stands on a sphere around the point that it looks at, as in the Distracting Control Suite (Stone et al. 2021). With all
factors at their defaults it stands where the scene has it, bit for bit.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from diswm.contract import Array
from diswm.envs import patterns
from diswm.envs.scene import Look

_DOWN = 0.9  # a camera that looks down more steeply than this has no horizon to keep level


def rotation(axis: Array, angle: float) -> Array:
    """The matrix (3, 3) that turns by ``angle`` radians about the unit vector ``axis``, counter-clockwise seen from its tip."""
    x, y, z = axis
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return np.eye(3) + np.sin(angle) * cross + (1.0 - np.cos(angle)) * cross @ cross


def turned_camera(pos: Array, mat: Array, distance: float, camera: Array) -> tuple[Array, Array]:
    """Position (3,) and axes (3, 3: right, up, back) of a camera that looks ``distance`` far, turned by ``camera``: azimuth,
    elevation and roll in radians (to the right, up, clockwise in the picture's eyes), distance as a multiple."""
    azimuth, elevation, roll, zoom = camera
    target = pos - distance * mat[:, 2]
    axis = mat[:, 1] if abs(mat[2, 2]) > _DOWN else np.array([0.0, 0.0, 1.0])
    turn = rotation(axis, azimuth) @ rotation(mat[:, 0], -elevation)
    axes = turn @ mat
    return target + zoom * distance * axes[:, 2], axes @ rotation(np.array([0.0, 0.0, 1.0]), roll)


def elevation_bounds(mat: Array, low: float, high: float) -> tuple[float, float]:
    """The range of elevations cut to what keeps a camera above the horizontal and below the zenith (its own place always
    counts); one that looks straight down has the whole range, as in the suite."""
    if abs(mat[2, 2]) > _DOWN:
        return low, high
    own = float(np.arcsin(mat[2, 2]))
    return max(low, min(-own, 0.0)), min(high, np.pi / 2 - own)


@contextlib.contextmanager
def posed(model: Any, data: Any, camera: int, distance: float, look: Look) -> Iterator[None]:
    """The simulator's camera and lights as ``look`` has them, for one picture; afterwards they are as they were.

    But for the direction of the headlight, which is the camera's in the simulator: see `headlight_direction`."""
    fields = (data.cam_xpos, data.cam_xmat, data.light_xpos, data.light_xdir, *_brightness(model))
    before = [field.copy() for field in fields]
    try:
        if look.camera is not None:
            pos, mat = turned_camera(data.cam_xpos[camera], data.cam_xmat[camera].reshape(3, 3), distance, look.camera)
            data.cam_xpos[camera], data.cam_xmat[camera] = pos, mat.ravel()
        if look.light is not None:
            target = before[0][camera] - distance * before[1][camera].reshape(3, 3)[:, 2]
            _turn_lights(model, data, target, look.light)
        yield
    finally:
        for field, value in zip(fields, before, strict=True):
            field[:] = value


def _turn_lights(model: Any, data: Any, target: Array, light: Array) -> None:
    """Lean the lights over, about ``target``, towards the azimuth, and make all of them, the headlight too, brighter or darker."""
    turn = _lean(light)
    data.light_xpos[:] = target + (data.light_xpos - target) @ turn.T
    data.light_xdir[:] = data.light_xdir @ turn.T
    for field in _brightness(model):
        field *= light[2]


def _brightness(model: Any) -> tuple[Array, ...]:
    """All that says how bright the lights are, the headlight included."""
    head = model.vis.headlight
    return model.light_ambient, model.light_diffuse, model.light_specular, head.ambient, head.diffuse, head.specular


def _lean(light: Array) -> Array:
    """What turns the lights, (3, 3)."""
    tilt, azimuth, _ = light
    return rotation(np.array([-np.sin(azimuth), np.cos(azimuth), 0.0]), tilt)


def headlight_direction(mat: Array, light: Array | None) -> Array:
    """Where MuJoCo's headlight shines, (3,): ahead of the camera with axes ``mat``, or leant over as the other lights are."""
    ahead = -mat[:, 2]
    return ahead if light is None else np.asarray(_lean(light) @ ahead)


def sky_texture(model: Any) -> int:
    """The texture of the sky; -1 where a model has none."""
    import mujoco

    return next(iter(np.flatnonzero(model.tex_type == mujoco.mjtTexture.mjTEXTURE_SKYBOX).tolist()), -1)


class Surface(NamedTuple):
    """Where a texture is printed, and what."""

    material: str
    sets: Mapping[str, tuple[str, ...]]
    """Names of the textures: `all` in the order of their numbers, `train` and `test`."""
    draw: Callable[[int, int, int], Array]
    """(number, height, width) -> (height, width, 3) uint8."""
    texels: int
    """Side that suits a ray a pixel."""
    glossy: bool = False
    """Whether it shows highlights (see `lit`): OpenGL lights a wide floor at its corners, so that there are none in sight."""

    def prints(self) -> list[Array]:
        """Every texture, (texels, texels, 3) uint8."""
        return [self.draw(i, self.texels, self.texels) for i in range(len(self.sets["all"]))]


FLOOR = Surface("grid", patterns.FLOOR_SETS, patterns.floor, 300)
"""The floor throughout the suite, with as many texels as its own squares have."""


def floor_material(model: Any, surface: Surface = FLOOR) -> int:
    """The material of the floor (or of another surface); -1 where a model has none."""
    import mujoco

    return int(mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_MATERIAL, surface.material))


def floor_texture(model: Any, surface: Surface = FLOOR) -> int:
    """The texture of the floor (or of another surface); -1 where it has none."""
    import mujoco

    material = floor_material(model, surface)
    return int(model.mat_texid[material, mujoco.mjtTextureRole.mjTEXROLE_RGB.value]) if material >= 0 else -1


def backdrops(model: Any) -> frozenset[str]:
    """Which of background and texture a model has a place for: a sky in sight, and a printed floor.

    A wall called background (manipulator, stacker) hides the sky, a height field (quadruped_escape) sky and floor.
    """
    import mujoco

    walled = any(model.geom(i).name == "background" for i in range(model.ngeom))
    rough = bool((model.geom_type == mujoco.mjtGeom.mjGEOM_HFIELD).any())  # quadruped_walk has the field, but no geom of it
    found = {"background"} if sky_texture(model) >= 0 and not walled and not rough else set()
    return frozenset(found | ({"texture"} if floor_texture(model) >= 0 and not rough else set()))

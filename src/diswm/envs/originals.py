"""A state as its suite's own renderer draws it, at the suite's own settings: what the renderers here are compared with.

It is drawn from copies of simulator and model, once the environment is closed: two owners of OpenGL contexts in one thread free each
other's buffers. All of this needs OpenGL.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from PIL import Image

from diswm.contract import Array, DiswmError
from diswm.envs.opengl import MEND_GL, gl_backend


@dataclasses.dataclass(frozen=True)
class Original:
    """One state, kept."""

    by: str
    """Whose renderer it is, and its settings, for a reader."""
    paint: Callable[[], Array]

    def draw(self) -> Array:
        """The state as (size, size, 3) uint8. DiswmError where there is no OpenGL, or where it fails."""
        if gl_backend() is None:
            raise DiswmError(f"No OpenGL here (neither EGL nor OSMesa). {MEND_GL}")
        try:
            return self.paint()
        except Exception as error:  # PyOpenGL raises errors of many kinds for a broken installation
            raise DiswmError(f"{self.by} fails ({error!r}). {MEND_GL}") from error


def by_dm_control(model: Any, data: Any, camera: int, size: int) -> Original:
    """``physics.render`` of dm_control."""
    model, data = copy.copy(model), copy.copy(data)

    def paint() -> Array:
        import mujoco
        from dm_control.mujoco import Physics
        from dm_control.mujoco.wrapper import MjModel

        physics = Physics.from_model(MjModel(model))
        try:
            mujoco.mj_copyData(physics.data.ptr, model, data)
            return np.array(physics.render(size, size, camera_id=camera))
        finally:
            physics.free()

    return Original(f"dm_control's own renderer ({_quality(model)})", paint)


def by_gymnasium(name: str, model: Any, data: Any, drawn: int, size: int, camera: int | Mapping[str, Any]) -> Original:
    """Gymnasium's off-screen viewer, which metaworld draws with as well: ``drawn`` pixels, made ``size`` smaller with antialiasing.

    ``camera`` is one of the model's, or what a free one is set to.
    """
    model, data = copy.copy(model), copy.copy(data)

    def paint() -> Array:
        from gymnasium.envs.mujoco.mujoco_rendering import OffScreenViewer

        model.vis.global_.offwidth = model.vis.global_.offheight = drawn
        viewer = OffScreenViewer(model, data, drawn, drawn)
        try:
            for setting, value in {} if isinstance(camera, int) else camera.items():
                setattr(viewer.cam, setting, value)
            image = viewer.render("rgb_array", camera if isinstance(camera, int) else None)
        finally:
            viewer.con.free()
            viewer.free()
        large = Image.fromarray(np.ascontiguousarray(image))
        return np.array(large.resize((size, size), Image.Resampling.BICUBIC) if drawn != size else large)

    return Original(f"{name}'s own renderer ({_quality(model)}, {drawn} pixels)", paint)


def _quality(model: Any) -> str:
    return f"shadow map {model.vis.quality.shadowsize}, {model.vis.quality.offsamples} samples a pixel"

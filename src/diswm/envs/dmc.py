"""Tasks of the dm_control suite as scenes. Importing this module loads the simulator."""

from __future__ import annotations

import logging
import os
import warnings
from typing import Any

import numpy as np

from diswm.contract import Array, DiswmError, Unstable
from diswm.envs.factors import MATERIALS
from diswm.envs.opengl import MEND_GL, settle_gl
from diswm.envs.originals import Original, by_dm_control
from diswm.envs.poses import SuitePose
from diswm.envs.render import make_renderer
from diswm.envs.scene import PLAIN, Frame, Look
from diswm.envs.view import FLOOR, backdrops, posed

settle_gl()
try:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mujoco
        from dm_control import suite
        from dm_control.rl.control import PhysicsError
except ModuleNotFoundError as error:
    raise DiswmError(f"The dm_control suite is not installed ({error}): pip install 'diswm[dmc]' (Python 3.11 or 3.12).") from error
except Exception as error:  # dm_control loads the OpenGL that MUJOCO_GL names, and PyOpenGL fails in many ways
    raise DiswmError(
        f"dm_control cannot load MUJOCO_GL={os.environ['MUJOCO_GL']} ({error!r}): unset MUJOCO_GL to let diswm choose, or {MEND_GL}"
    ) from error

CAMERAS = {"quadruped": 2}  # elsewhere camera 0: what agents are trained on throughout the literature
GROUND = {"reacher": 0.0, "walker": 1.0, "cheetah": 1.0}
"""Opacity of the floor in front of a background, from the Distracting Control Suite; elsewhere 0.3."""


class SuiteScene:
    """One task of the suite at frame rate: a frame is one control step, drawn only when asked."""

    textures = FLOOR.sets

    def __init__(self, task: str, image_size: int, renderer: str, shadow_size: int, needs: frozenset[str] = frozenset()):
        domain, name = split(task)
        with _hush():
            # The seed here only fixes what a task builds into its model (lqr); each episode is seeded by reset().
            self._env = suite.load(domain, name, task_kwargs={"random": 0})
        self._env.task.get_observation = _nothing  # nobody reads it: a tenth of a frame of stacker's
        self._physics = _without_gl(self._env.physics)
        self._model, self._data = self._physics.model.ptr, self._physics.data.ptr
        spec = self._env.action_spec()
        self.act_dim = int(np.prod(spec.shape))
        bounded = bool((np.abs(spec.minimum) < 1e6).all() and (np.abs(spec.maximum) < 1e6).all())
        self._low: Array
        self._high: Array
        self._low, self._high = (spec.minimum, spec.maximum) if bounded else (-np.ones(spec.shape), np.ones(spec.shape))
        self._ids = [mujoco.mj_name2id(self._model, mujoco.mjtObj.mjOBJ_MATERIAL, m) for m in MATERIALS]
        self.materials = tuple(m for m, i in zip(MATERIALS, self._ids, strict=True) if i >= 0)
        self._ids = [i for i in self._ids if i >= 0]
        self.task = task
        self.image_size, self.ground, self._camera, self._distance = image_size, GROUND.get(domain, 0.3), CAMERAS.get(domain, 0), 1.0
        try:
            self._renderer = make_renderer(renderer, self._model, self._data, self._camera, image_size, shadow_size, needs)
        except DiswmError as error:
            raise DiswmError(f"{task}: {error}") from error
        self.renderer = self._renderer.name
        self.pose = SuitePose(task, domain, self._model, self._data)
        self.shows = frozenset({"colour", "camera", "light"}) | backdrops(self._model)

    def reset(self, task: np.random.SeedSequence, colour: np.random.SeedSequence) -> None:
        self._env.task._random = np.random.RandomState(task.generate_state(8))
        with _hush():
            self._env.reset()
        self._renderer.reset()
        # The point that the camera looks at, as the suite has it: as far along its axis as the agent is.
        ahead = -self.camera_axes()[:, 2] @ (self._data.subtree_com[1] - self._data.cam_xpos[self._camera])
        self._distance = float(ahead) if ahead > 0.1 else float(self._model.stat.extent)

    def begin_step(self) -> None:
        pass

    def step(self, action: Array) -> Frame:
        """One control step. dm_control ends an episode with discount 1 at its time limit and 0 at a true end."""
        try:
            out = self._env.step(self._low + (action + 1.0) * 0.5 * (self._high - self._low))
        except PhysicsError as error:
            raise Unstable(str(error).partition("Warning(s) raised: ")[2] or str(error)) from error
        over = out.last()
        discount = float(out.discount)
        return Frame(float(out.reward), over and discount == 0.0, over and discount != 0.0, discount)

    def draw(self, look: Look = PLAIN) -> Array:
        if look is PLAIN:
            return self._renderer.draw()
        with posed(self._model, self._data, self._camera, self._distance, look):
            return self._renderer.draw(look)

    def original(self) -> Original:
        """The current state, to be drawn by dm_control itself."""
        return by_dm_control(self._model, self._data, self._camera, self.image_size)

    def camera_axes(self) -> Array:
        """The camera's right, up and back in the world, columns of (3, 3)."""
        axes: Array = self._data.cam_xmat[self._camera].reshape(3, 3)
        return axes

    def factors(self) -> dict[str, Array]:
        """``colour.<material>`` (3,), the RGB that the material is drawn with, and the pose's labels (``joint.<name>`` ...), float32."""
        colours = self._model.mat_rgba[self._ids, :3].astype(np.float32)
        return self.pose.labels() | {f"colour.{name}": colour for name, colour in zip(self.materials, colours, strict=True)}

    def state(self) -> Array:
        """qpos and qvel in one float32 vector."""
        return np.concatenate([self._data.qpos, self._data.qvel]).astype(np.float32)

    def palette(self) -> Array:
        colours: Array = self._model.mat_rgba[self._ids, :3].astype(np.float64)
        return colours

    def paint(self, colours: Array) -> None:
        self._model.mat_rgba[self._ids, :3] = colours

    def close(self) -> None:
        self._renderer.close()


def split(task: str) -> tuple[str, str]:
    """``humanoid_CMU_walk`` -> ("humanoid_CMU", "walk"). Raises DiswmError if the suite has no such task."""
    for domain, name in suite.ALL_TASKS:
        if task == f"{domain}_{name}":
            return domain, name
    raise DiswmError(f"The installed dm_control suite has no task {task!r}.")


def _nothing(physics: Any) -> dict[str, Array]:
    """What dm_control observes of a task beside its picture: here nothing, as states are read from the physics."""
    return {}


def _without_gl(physics: Any) -> Any:
    """Keeps dm_control from making an OpenGL context of its own (quadruped_escape does, to upload its terrain): two owners of
    contexts in one thread free each other's buffers. The renderer here uploads the terrain instead."""
    physics.__class__ = type(type(physics).__name__, (type(physics),), {"contexts": None})
    return physics


class _hush(warnings.catch_warnings):
    """Silences what dm_control says about its own models (settotalmass is deprecated), through warnings and absl alike."""

    def __enter__(self) -> Any:
        out = super().__enter__()
        warnings.simplefilter("ignore")
        self._logger = logging.getLogger("absl")
        self._level = self._logger.level
        self._logger.setLevel(logging.ERROR)
        return out

    def __exit__(self, *exc: Any) -> None:
        self._logger.setLevel(self._level)
        super().__exit__(*exc)

"""DrawerWorld (Wang et al., CVPR 2021): a robot arm opens or closes a drawer on a table whose texture changes, seen from above.

Here on metaworld's tasks drawer-open-v3 and drawer-close-v3. Importing this module loads the simulator.
"""

from __future__ import annotations

import copy
import os
import warnings
from pathlib import Path

import numpy as np
from PIL import Image

from diswm.contract import Array, DiswmError
from diswm.envs import patterns
from diswm.envs.opengl import settle_gl
from diswm.envs.originals import Original, by_gymnasium
from diswm.envs.reach import DrawerPose
from diswm.envs.render import make_renderer
from diswm.envs.scene import PLAIN, Frame, Look, check_stable
from diswm.envs.view import Surface, posed

settle_gl()
try:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import metaworld
        import mujoco
        from metaworld.envs.sawyer_drawer_close_v3 import SawyerDrawerCloseEnvV3
        from metaworld.envs.sawyer_drawer_open_v3 import SawyerDrawerOpenEnvV3
except ModuleNotFoundError as error:
    raise DiswmError(f"DrawerWorld's simulator is not installed ({error}): pip install 'diswm[drawer]', or 'metaworld==3.0.0'.") from error
except Exception as error:  # mujoco loads the OpenGL that MUJOCO_GL names, and PyOpenGL fails in many ways
    raise DiswmError(f"mujoco cannot load MUJOCO_GL={os.environ['MUJOCO_GL']} ({error!r}): unset it to let diswm choose.") from error

TIME_LIMIT = 200  # frames
PLACES = (-0.1, 0.1)
"""Where the drawer stands along the table, drawn uniformly for each episode. (The published code drew 50 such places once and then one of
them for each episode.)"""
HEIGHT, ASIDE, AXES = 0.96, (0.0, 0.6), ((0.0, -1.0, 0.0), (1.0, 0.0, 0.0), (0.0, 0.0, 1.0))
"""The published camera looks straight down on the table's middle: metres; columns of the axes are right, up and back."""
SHADOWS, FAR_SHADOWS = 4.5, 2.5
"""The shadow map covers the part of the table that is seen, a square so many times smaller than metaworld's, or than that where the camera
moves: 512 texels then lie as near to each other as 2,300 of metaworld's 4,096."""
NEAR = {"drawer_open": 0.08, "drawer_close": 0.06}
"""Published success: the handle is as near to its goal, along the drawer's way."""
_FILES = {"wood": "textures/wood", "metal": "textures/metal", "marble": "textures/marble", "fabric": "scene/textures/fabricPattern"}


def picture(index: int, height: int, width: int) -> Array:
    """Texture ``index`` of ``patterns.TABLES``, (height, width, 3) uint8: smaller, its details are averaged."""
    name = patterns.TABLES[index]
    if name in _FILES:
        with Image.open(Path(metaworld.__file__).parent / "assets" / f"{_FILES[name]}.png") as file:
            image = file.convert("RGB")
    else:
        image = Image.fromarray(patterns.table(name, 512, 512))
    return np.asarray(image.resize((width, height), Image.Resampling.BOX))


class DrawerScene:
    """Move the hand (3 numbers, up to 1 cm a frame each) and close the gripper (1). Rewards and success are of metaworld ``v3``, or
    ``v1`` as published."""

    act_dim = 4
    materials: tuple[str, ...] = ("table_wood", "wall_metal", "drawer_beige", "drawer_white")
    shows: frozenset[str] = frozenset({"colour", "camera", "light", "texture"})
    ground: float = 1.0
    textures = patterns.TABLE_SETS

    def __init__(self, task: str, image_size: int, renderer: str, shadow_size: int, needs: frozenset[str], reward: str):
        kind = SawyerDrawerOpenEnvV3 if task == "drawer_open" else SawyerDrawerCloseEnvV3
        self._env = kind(reward_function_version="v1" if reward == "v1" else "v2")  # the v3 tasks call their own rewards v2
        self._env._set_task_called = True  # the task is the drawer's place, which reset() sets
        self._near = NEAR[task] if reward == "v1" else None
        self._model, self._data = self._env.model, self._env.data
        self._ids = [self._model.material(name).id for name in self.materials]
        self.task, self.image_size = task, image_size
        self._place_camera()
        model = self._model  # as metaworld has it:
        self._own = model.vis.map.shadowclip, model.light_pos.copy(), model.mat_reflectance.copy()
        self._draw_shadows_near(FAR_SHADOWS if "camera" in needs else SHADOWS)
        self._model.mat_reflectance[:] = 0.0  # invisible from above, and each face that reflects takes OpenGL another picture
        self._observation = np.zeros(39)
        # A texel of the table is about a pixel of the picture.
        surface = Surface("table_wood", self.textures, picture, 3 * image_size // 2, glossy=True)
        self._renderer = make_renderer(renderer, self._model, self._data, 0, image_size, shadow_size, needs, surface)
        self.renderer = self._renderer.name
        self.pose = DrawerPose(self._model, self._data, PLACES)

    def _place_camera(self) -> None:
        """Camera 0 of the model, which hangs from the world, becomes the published one."""
        quat = np.zeros(4)
        mujoco.mju_mat2Quat(quat, np.array(AXES).ravel())
        self._model.cam_pos[0], self._model.cam_quat[0], self._model.cam_fovy[0] = (*ASIDE, HEIGHT), quat, 45.0

    def _draw_shadows_near(self, times: float) -> None:
        """Have OpenGL's shadow map cover the table's middle. The lights that cast shadows are directional: where they stand is where
        the map lies and nothing else."""
        model = self._model
        model.vis.map.shadowclip /= times
        casting = (model.light_castshadow > 0) & (model.light_type == mujoco.mjtLightType.mjLIGHT_DIRECTIONAL)
        model.light_pos[casting] = (*ASIDE, 0.0) - 2.0 * model.light_dir[casting]  # 2 m above the table

    def reset(self, task: np.random.SeedSequence, colour: np.random.SeedSequence) -> None:
        place = np.random.default_rng(task).uniform(*PLACES)
        self._env._last_rand_vec = np.array([place, 0.9, 0.0])
        self._observation, _ = self._env.reset()
        # The goal has moved since the last step of the simulator. Without forces, which would leave their trace in the solver's start.
        mujoco.mj_kinematics(self._model, self._data)
        mujoco.mj_camlight(self._model, self._data)
        self._renderer.reset()

    def begin_step(self) -> None:
        pass

    def step(self, action: Array) -> Frame:
        """One control step. The task never ends by itself."""
        self._observation, reward, _, _, info = self._env.step(action)
        check_stable(self._data)
        success = info["success"] > 0 if self._near is None else info["obj_to_target"] <= self._near
        return Frame(float(reward), False, False, 1.0, bool(success))

    def draw(self, look: Look = PLAIN) -> Array:
        if look is PLAIN:
            return self._renderer.draw()
        with posed(self._model, self._data, 0, HEIGHT, look):
            return self._renderer.draw(look)

    def original(self) -> Original:
        """The current state, to be drawn as metaworld does, with its shadows and reflections, by the published camera."""
        model, data = copy.copy(self._model), copy.copy(self._data)
        model.vis.map.shadowclip, model.light_pos[:], model.mat_reflectance[:] = self._own
        mujoco.mj_camlight(model, data)
        return by_gymnasium("metaworld", model, data, self.image_size, self.image_size, 0)

    def camera_axes(self) -> Array:
        """The camera's right, up and back in the world, columns of (3, 3)."""
        axes: Array = self._data.cam_xmat[0].reshape(3, 3)
        return axes

    def factors(self) -> dict[str, Array]:
        """``drawer`` (2,), its place along the table and how far it is open in metres, ``hand`` (3,), ``gripper`` (1,), and
        ``colour.<material>`` (3,), float32."""
        paint = dict(zip(self.materials, self.palette(), strict=True))
        return self.pose.labels() | {f"colour.{name}": rgb.astype(np.float32) for name, rgb in paint.items()}

    def state(self) -> Array:
        """metaworld's own observation, (39,) float32: hand, gripper and handle, now and a frame ago; its goal is hidden."""
        return self._observation.astype(np.float32)

    def palette(self) -> Array:
        colours: Array = self._model.mat_rgba[self._ids, :3].astype(np.float64)
        return colours

    def paint(self, colours: Array) -> None:
        self._model.mat_rgba[self._ids, :3] = colours

    def close(self) -> None:
        self._renderer.close()

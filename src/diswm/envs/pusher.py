"""Gymnasium's Pusher-v5, seen from above: an arm pushes a black object onto a red goal. Importing this module loads the simulator."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from diswm.contract import Array, DiswmError
from diswm.envs.opengl import settle_gl
from diswm.envs.originals import Original, by_gymnasium
from diswm.envs.poses import DEPTH, Varied
from diswm.envs.render import make_renderer
from diswm.envs.scene import PLAIN, Frame, Look, check_stable
from diswm.envs.view import posed

settle_gl()
try:
    import mujoco
    from gymnasium.envs.mujoco.pusher_v5 import PusherEnv
except Exception as error:  # Gymnasium has an error of its own for a missing mujoco, and its renderer imports more
    raise DiswmError(f"Gymnasium's Pusher is not installed ({error}): pip install 'diswm[dmc]' (Python 3.11 or 3.12).") from error

TIME_LIMIT = 100  # frames, as Gymnasium registers it
PAINTED = {"table": ("table",), "arm": ("uar", "ua", "ef", "sp", "fa", "sl", "e1", "e2")}
"""Geoms that share a colour. The rest of the arm stays grey, the goal red."""
DISTANCE, LOOK_AT = 2.0, (0.0, -0.5, 0.2)  # of a camera that looks straight down
PLACED = {"x": (0.1, 0.8), "y": (-0.6, 0.2)}
"""Where object and goal lie in a set of labelled frames, metres: the part of the table that the arm reaches."""
RANGES = {"r_shoulder_lift_joint": (-0.52, 0.4)}
"""Further down (to 1.4) the gripper would be in the table unless the elbow is bent to match: two joints that are not independent."""
FINER = 2
"""OpenGL's map of shadows has so many times the texels each way: a picture so large shows them."""
OVERSAMPLE, GL_OVERSAMPLE = 3, 5
"""Drawn so much larger, then averaged: the ray caster has no smoothed edges, and the tip of the arm is thin; OpenGL is then nearest to the
480 pixels that the release makes smaller (0.09 of 255 apart; with 3, 4, 6 0.18, 0.17, 0.12)."""


class _TopView(PusherEnv):
    """The same simulation with one more camera: its own has none that is fixed."""

    def _initialize_simulation(self) -> tuple[Any, Any]:
        spec = mujoco.MjSpec.from_file(self.fullpath)
        x, y, z = LOOK_AT
        spec.worldbody.add_camera(name="top", pos=(x, y, z + DISTANCE), quat=(1.0, 0.0, 0.0, 0.0))
        model = spec.compile()
        return model, mujoco.MjData(model)


class PusherScene:
    """A frame is one step of Pusher-v5 (0.05 s), with its reward; it never terminates. Actions are scaled to its [-2, 2]."""

    task = "pusher"
    materials: tuple[str, ...] = tuple(PAINTED)
    shows: frozenset[str] = frozenset({"colour", "camera", "light"})
    ground: float = 1.0

    def __init__(self, image_size: int, renderer: str, shadow_size: int):
        self._env = _TopView()
        self._model, self._data = self._env.model, self._env.data
        self._high: Array = self._model.actuator_ctrlrange[:, 1]  # the bounds are symmetric
        self.act_dim, self.image_size = len(self._high), image_size
        self._ids = [[self._model.geom(name).id for name in names] for names in PAINTED.values()]
        self._model.geom_rgba[self._model.body("object").geomadr[0]] = (0.0, 0.0, 0.0, 1.0)
        self.paint(self.palette())  # Gymnasium has two greys in the arm
        sizes = OVERSAMPLE * image_size, GL_OVERSAMPLE * image_size
        self._renderer = make_renderer(renderer, self._model, self._data, 0, sizes[0], FINER * shadow_size, gl_size=sizes[1])
        self.renderer = self._renderer.name
        self.pose = PusherPose(self._model, self._data)

    def reset(self, task: np.random.SeedSequence, colour: np.random.SeedSequence) -> None:
        self._env.np_random = np.random.default_rng(task)
        self._env.reset()

    def begin_step(self) -> None:
        pass

    def step(self, action: Array) -> Frame:
        _, reward, _, _, _ = self._env.step(self._high * action)
        check_stable(self._data)
        return Frame(float(reward), False, False, 1.0)

    def draw(self, look: Look = PLAIN) -> Array:
        with posed(self._model, self._data, 0, DISTANCE, look):
            large = Image.fromarray(self._renderer.draw(look))
        return np.array(large.resize((self.image_size, self.image_size), Image.Resampling.BICUBIC))

    def original(self) -> Original:
        """The current state, to be drawn by Gymnasium as the release has it: large, and made smaller."""
        camera = {"trackbodyid": -1, "distance": DISTANCE, "elevation": -90.0, "lookat": np.array(LOOK_AT)}
        return by_gymnasium("Gymnasium", self._model, self._data, 480, self.image_size, camera)

    def camera_axes(self) -> Array:
        """The camera's right, up and back in the world, columns of (3, 3)."""
        axes: Array = self._data.cam_xmat[0].reshape(3, 3)
        return axes

    def factors(self) -> dict[str, Array]:
        """``joints`` (7,) of the arm in radians; ``object``, ``goal`` (2,), x and y on the table in metres; ``colour.<part>`` (3,)."""
        paint = zip(self.materials, self.palette(), strict=True)
        return self.pose.labels() | {f"colour.{name}": colour.astype(np.float32) for name, colour in paint}

    def state(self) -> Array:
        """qpos and qvel in one float32 vector."""
        return np.concatenate([self._data.qpos, self._data.qvel]).astype(np.float32)

    def palette(self) -> Array:
        return np.array([self._model.geom_rgba[ids[0], :3] for ids in self._ids], np.float64)

    def paint(self, colours: Array) -> None:
        for ids, colour in zip(self._ids, colours, strict=True):
            self._model.geom_rgba[ids, :3] = colour

    def close(self) -> None:
        self._renderer.close()


class PusherPose:
    """The arm's seven joints, and where object and goal lie on the table."""

    note = "from straight above, rolls of the arm and of the wrist show by little"

    def __init__(self, model: Any, data: Any):
        self._model, self._data = model, data
        joints = [model.joint(i) for i in range(7)]
        ranges: dict[str, tuple[float, float]] = {joint.name: (float(joint.range[0]), float(joint.range[1])) for joint in joints}
        ranges |= RANGES
        self.factors = (
            *(Varied(f"joint.{joint.name}", "continuous", *ranges[joint.name], "joints", i) for i, joint in enumerate(joints)),
            *(Varied(f"{name}.{axis}", "continuous", *PLACED[axis], name, i) for name in ("object", "goal") for i, axis in enumerate("xy")),
        )
        self.fixed: dict[str, str] = {}

    def place(self, values: Array) -> bool:
        model, data = self._model, self._data
        data.qpos[:7], data.qvel[:] = values[:7], 0.0
        for name, (x, y) in (("object", values[7:9]), ("goal", values[9:11])):
            own, short = model.body(name).pos, {"object": "obj", "goal": "goal"}[name]
            data.qpos[model.joint(f"{short}_slidex").qposadr[0]] = x - own[0]
            data.qpos[model.joint(f"{short}_slidey").qposadr[0]] = y - own[1]
        mujoco.mj_fwdPosition(model, data)
        arm = np.isin(model.geom_bodyid[data.contact.geom[: data.ncon]], self._resting()).all(1)
        return bool((data.contact.dist[: data.ncon][~arm] > -DEPTH).all())

    def _resting(self) -> Array:
        """The table and what lies on it, which touch each other always."""
        return np.array([0, self._model.body("object").id, self._model.body("goal").id])

    def labels(self) -> dict[str, Array]:
        """``joints`` (7,) of the arm in radians; ``object``, ``goal`` (2,), x and y on the table in metres; float32."""
        places = {name: self._data.body(name).xpos[:2] for name in ("object", "goal")}
        return {name: value.astype(np.float32) for name, value in {"joints": self._data.qpos[:7], **places}.items()}

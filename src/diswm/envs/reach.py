"""The pose of DrawerWorld: the drawer's place and opening, the gripper, and a hand that is put where it is asked to be."""

from __future__ import annotations

from typing import Any

import numpy as np

from diswm.contract import Array
from diswm.envs.poses import DEPTH, Varied

HAND = ((-0.2, 0.2), (0.45, 0.75), (0.12, 0.3))
"""Where the hand is drawn, metres: above the middle of the table, in sight of the camera."""
_ARM = tuple(f"right_j{i}" for i in range(7))
_CLOSE, _STEPS, _DAMPING = 1e-3, 60, 1e-3  # metres (and radians); Newton steps; of least squares, where the arm is stretched


class DrawerPose:
    """What an episode varies and what the actions move. The hand keeps pointing down, as the simulator's own control holds it."""

    note = "the camera looks straight down: the hand's height shows as its size alone; the goal's green dot stays where it is"

    def __init__(self, model: Any, data: Any, places: tuple[float, float]):
        self._model, self._data = model, data
        self._hand = model.body("hand").id
        self._joints = [model.joint(name) for name in _ARM]
        self._address = np.array([joint.qposadr[0] for joint in self._joints])
        self._column = np.array([joint.dofadr[0] for joint in self._joints])
        self._low, self._high = np.array([joint.range for joint in self._joints]).T
        self._rest: Array | None = None
        self._upright = np.eye(3)
        fingers = (model.joint("r_close").range[1], model.joint("l_close").range[0])
        self._fingers: Array = np.array(fingers)  # closed; both are 0 where it is open
        self.factors = (
            Varied("drawer.place", "continuous", *places, "drawer", 0),
            Varied("drawer.open", "continuous", 0.0, float(-model.joint("goal_slidey").range[0]), "drawer", 1),
            *(Varied(f"hand.{axis}", "continuous", *bounds, "hand", i) for i, (axis, bounds) in enumerate(zip("xyz", HAND, strict=True))),
            Varied("gripper", "continuous", 0.0, 1.0, "gripper"),
        )
        self.fixed: dict[str, str] = {}

    def place(self, values: Array) -> bool:
        import mujoco

        model, data = self._model, self._data
        if self._rest is None:  # as an episode begins: the arm over the table, the hand pointing down
            self._rest, self._upright = data.qpos.copy(), data.xmat[self._hand].reshape(3, 3).copy()
        model.body("drawer").pos[0] = values[0]
        data.qpos[:], data.qvel[:] = self._rest, 0.0
        data.joint("goal_slidey").qpos[0] = -values[1]
        for name, closed in zip(("r_close", "l_close"), self._fingers, strict=True):
            data.joint(name).qpos[0] = values[5] * closed
        reached = self._reach(values[2:5])
        mujoco.mj_fwdPosition(model, data)
        return reached and bool((data.contact.dist[: data.ncon] > -DEPTH).all())

    def _reach(self, target: Array) -> bool:
        """Bend the arm until the hand is at ``target`` (3,) and points down: damped least squares on its Jacobian."""
        import mujoco

        model, data = self._model, self._data
        jac = np.zeros((6, model.nv))
        for _ in range(_STEPS):
            mujoco.mj_kinematics(model, data)
            mujoco.mj_comPos(model, data)
            axes = data.xmat[self._hand].reshape(3, 3)
            turn = sum(np.cross(axes[:, i], self._upright[:, i]) for i in range(3)) / 2
            error = np.concatenate([target - data.xpos[self._hand], turn])
            if np.abs(error).max() < _CLOSE:
                return True
            mujoco.mj_jacBody(model, data, jac[:3], jac[3:], self._hand)
            own = jac[:, self._column]
            step = own.T @ np.linalg.solve(own @ own.T + _DAMPING * np.eye(6), error)
            data.qpos[self._address] = np.clip(data.qpos[self._address] + step, self._low, self._high)
        return False

    def labels(self) -> dict[str, Array]:
        """``drawer`` (2,), its place along the table and how far it is open, ``hand`` (3,), metres; ``gripper`` (1,), 1 is closed."""
        drawer = [self._model.body("drawer").pos[0], -self._data.joint("goal_slidey").qpos[0]]
        closed = self._data.joint("r_close").qpos[0] / self._fingers[0]
        values = {"drawer": drawer, "hand": self._data.xpos[self._hand], "gripper": [closed]}
        return {name: np.array(value, np.float32) for name, value in values.items()}

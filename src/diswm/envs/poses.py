"""The pose of a scene as independent scalars: what a set of labelled frames draws, sets without stepping, and reads back.

A pose lists its ``factors`` and what it keeps ``fixed``, with the reason; ``place`` sets a vector of them and says whether bodies
stay out of each other; ``labels`` are the same scalars as they are now, so that an agent's frames carry them too. Only what one
picture can tell is a factor: velocities are none, nor is a forward position that a tracking camera cancels.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Literal, Protocol

import numpy as np

from diswm.contract import Array

Kind = Literal["continuous", "angle", "discrete"]

DEPTH = 0.01  # metres by which bodies may overlap, as those of a soft simulator do


@dataclasses.dataclass(frozen=True)
class Varied:
    """One scalar factor: uniform from ``low`` to ``high``; an angle comes round, from ``high`` to ``low``."""

    name: str
    kind: Kind
    low: float
    high: float
    column: str
    """Its place among a scene's factors: this vector's number ``index``."""
    index: int = 0


class Pose(Protocol):
    """What a scene knows of its own pose."""

    factors: tuple[Varied, ...]
    fixed: dict[str, str]
    note: str

    def place(self, values: Array) -> bool:
        """Set the factors' values (K,); False where bodies would then overlap, or where there is no such pose."""

    def labels(self) -> dict[str, Array]:
        """The values now, by column, float32."""


GROUNDED = ("walker", "cheetah", "hopper")
"""Bodies whose height is told as the gap between their lowest point and the floor: it is independent of all joints, where a range of
heights of the torso would put limbs into the floor in some poses and not in others."""
GAP = 0.3  # metres
_CANCELLED = "the camera follows it; the floor's squares stay where they are"
_RANGES: dict[tuple[str, str], tuple[float, float]] = {
    ("cartpole", "slider"): (-1.2, 1.2),  # further out the cart leaves the picture
}
_HALF_TURN = {("finger_spin", "hinge")}  # the spinner looks the same after half a turn; in the turn tasks its tip is marked
_NOTES = {
    "walker": "left and right legs look alike: only which one is in front tells them apart",
    "cheetah": "all legs lie in one plane: where two cross, the one behind is hidden",
}


class SuitePose:
    """The hinges and slides of a task of the dm_control suite, the height of bodies on the floor, and the target of reacher and finger."""

    def __init__(self, task: str, domain: str, model: Any, data: Any):
        self._model, self._data = model, data
        self.note = _NOTES.get(domain, "")
        self.fixed: dict[str, str] = {}
        self._rest: Array = model.qpos0.copy()
        self._height = int(model.joint("rootz").qposadr[0]) if domain in GROUNDED else -1
        joints = [found for i in range(model.njnt) if (found := self._joint(task, domain, i))]
        self._address = np.array([address for _, address in joints], np.int64)
        self._target = _target(task, domain, model)
        gap = (Varied("clearance", "continuous", 0.0, GAP, "clearance"),) if self._height >= 0 else ()
        self.factors = (*(factor for factor, _ in joints), *gap, *(self._target.factors if self._target else ()))

    def _joint(self, task: str, domain: str, i: int) -> tuple[Varied, int] | None:
        """The factor of a joint and its place in qpos; None for one that is not drawn, which ``fixed`` then tells."""
        import mujoco

        model = self._model
        name, kind, address = str(model.joint(i).name), int(model.jnt_type[i]), int(model.jnt_qposadr[i])
        hinge, slide = int(mujoco.mjtJoint.mjJNT_HINGE), int(mujoco.mjtJoint.mjJNT_SLIDE)
        column = f"joint.{name}"
        low, high = map(float, model.jnt_range[i])
        own = _RANGES.get((domain, name)) or ((low, high) if model.jnt_limited[i] else None)
        if address == self._height:
            return None  # the clearance
        if kind == hinge and own is None:
            turn = math.pi / 2 if (task, name) in _HALF_TURN else math.pi
            return Varied(column, "angle", -turn, turn, column), address
        if kind in (hinge, slide) and own is not None:
            return Varied(column, "continuous", *own, column), address
        tracked = int(model.cam_mode[0]) in (int(mujoco.mjtCamLight.mjCAMLIGHT_TRACK), int(mujoco.mjtCamLight.mjCAMLIGHT_TRACKCOM))
        self.fixed[column] = _CANCELLED if tracked and name == "rootx" else "a joint without limits that is no hinge"
        return None

    def place(self, values: Array) -> bool:
        import mujoco

        model, data, count = self._model, self._data, len(self._address)
        data.qpos[:], data.qvel[:] = self._rest, 0.0
        data.qpos[self._address] = values[:count]
        if self._height >= 0:
            mujoco.mj_kinematics(model, data)
            data.qpos[self._height] += values[count] - lowest(model, data)
        if self._target:
            self._target.set(model, values[count + (self._height >= 0) :])
        mujoco.mj_fwdPosition(model, data)
        return bool((data.contact.dist[: data.ncon] > -DEPTH).all())

    def labels(self) -> dict[str, Array]:
        found = {}
        for factor, value in zip(self.factors, self._data.qpos[self._address], strict=False):
            found[factor.column] = np.array([wrapped(factor, value)], np.float32)
        if self._height >= 0:
            found["clearance"] = np.array([lowest(self._model, self._data)], np.float32)
        return found | (self._target.labels(self._model) if self._target else {})


def wrapped(factor: Varied, value: float) -> float:
    """An angle within its turn; any other value as it is."""
    return (value - factor.low) % (factor.high - factor.low) + factor.low if factor.kind == "angle" else float(value)


def lowest(model: Any, data: Any) -> float:
    """Height of the lowest point of all bodies above the floor z = 0, in metres. Call after kinematics."""
    import mujoco

    shape = mujoco.mjtGeom
    moving = np.flatnonzero(model.geom_bodyid > 0)
    kind, size = model.geom_type[moving], model.geom_size[moving]
    down = np.abs(data.geom_xmat[moving].reshape(-1, 3, 3)[:, 2])  # (G, 3): the vertical part of each axis
    round_ = np.isin(kind, [int(shape.mjGEOM_SPHERE), int(shape.mjGEOM_CAPSULE)])
    reach = np.where(
        round_,
        size[:, 0] + np.where(kind == int(shape.mjGEOM_CAPSULE), down[:, 2] * size[:, 1], 0.0),
        (down * size).sum(1),  # of a box, and no less than that of the other shapes
    )
    return float((data.geom_xpos[moving, 2] - reach).min())


class _ReacherTarget:
    """The ball that reacher's finger must reach, anywhere in the square within the arena that the arm can reach."""

    factors = tuple(Varied(f"target.{axis}", "continuous", -0.2, 0.2, "target", i) for i, axis in enumerate("xy"))

    def set(self, model: Any, values: Array) -> None:
        model.geom("target").pos[:2] = values

    def labels(self, model: Any) -> dict[str, Array]:
        return {"target": model.geom("target").pos[:2].astype(np.float32)}


class _FingerTarget:
    """The place around the spinner's axis to which its tip is to be turned."""

    factors = (Varied("target", "angle", -math.pi, math.pi, "target"),)

    def __init__(self, model: Any):
        self._middle = model.body("spinner").pos[[0, 2]].copy()
        self._radius = float(model.geom("cap1").size.sum())

    def set(self, model: Any, values: Array) -> None:
        model.site("target").pos[[0, 2]] = self._middle + self._radius * np.array([np.sin(values[0]), np.cos(values[0])])

    def labels(self, model: Any) -> dict[str, Array]:
        away = model.site("target").pos[[0, 2]] - self._middle
        return {"target": np.array([math.atan2(away[0], away[1])], np.float32)}


def _target(task: str, domain: str, model: Any) -> Any:
    if domain == "reacher":
        return _ReacherTarget()
    return _FingerTarget(model) if task.startswith("finger_turn") else None

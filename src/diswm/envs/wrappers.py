"""From a scene at frame rate to the Gymnasium environment that agents see.

`ActionRepeat` is the only place of the project that repeats an action or sums rewards.
"""

from __future__ import annotations

import math
from typing import Any

import gymnasium as gym
import numpy as np

from diswm.contract import Array, DiswmError, Unstable
from diswm.envs.scene import Frame, SceneWrapper


class TimeLimit(SceneWrapper):
    """Truncates after ``limit`` frames; a time limit is no end of the task, so it never terminates."""

    def __init__(self, scene: Any, limit: int):
        super().__init__(scene)
        self.limit = limit
        self.elapsed = 0

    def reset(self, task: np.random.SeedSequence, colour: np.random.SeedSequence) -> None:
        self.elapsed = 0
        self.scene.reset(task, colour)

    def step(self, action: Array) -> Frame:
        frame: Frame = self.scene.step(action)
        self.elapsed += 1
        if self.elapsed >= self.limit and not frame.terminated:
            frame = frame._replace(truncated=True)
        return frame


class ActionRepeat(gym.Env[Array, Array]):
    """Holds each action for ``action_repeat`` frames and shows the last of them.

    Observations are (H, W, 3) uint8, actions (A,) float32 in [-1, 1] or, where ``discrete``, one-hot. The reward of a step is the exact
    sum of its frames' rewards; a step ends early with the episode, and ``info["frames"]`` then counts the frames that were really taken.
    Where the task knows success, ``info["success"]`` of a step says whether any of its frames had it.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 25}  # noqa: RUF012

    def __init__(self, scene: Any, action_repeat: int, image_size: int, seed: int | None = None):
        self.scene = scene
        self.action_repeat = action_repeat
        self.renderer: str = scene.renderer
        self.render_mode = "rgb_array"
        self.observation_space = gym.spaces.Box(0, 255, (image_size, image_size, 3), np.uint8)
        self.discrete: bool = getattr(scene, "discrete", False)
        self.action_space = gym.spaces.Box(0.0 if self.discrete else -1.0, 1.0, (scene.act_dim,), np.float32)
        self._seeds = np.random.SeedSequence(seed)
        self._image: Array | None = None
        self._over, self._steps = True, 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Array, dict[str, Any]]:
        """Start an episode. With a seed it is a function of the seed and the actions alone; without one, the next of this
        environment's own sequence. Task and colours have separate generators: recolouring does not move the start.

        ``options["progress"]`` is the part of the run (fraction of its budget) at which the episode starts: it decides its phase."""
        super().reset(seed=seed)
        if seed is not None:
            self._seeds = np.random.SeedSequence(seed)
        task, colour = self._seeds.spawn(2)
        if hasattr(self.scene, "enter"):
            self.scene.enter(float((options or {}).get("progress", 0.0)))
        self.scene.reset(task, colour)
        self._over, self._steps = False, 0
        self._image = self.scene.draw()
        return self._image.copy(), self._info(frames=0, discount=1.0)

    def step(self, action: Array) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        """Hold ``action`` for up to ``action_repeat`` frames.

        Raises DiswmError for an action of the wrong shape, not finite, outside [-1, 1] or not one-hot (clipping is the agent's job, so
        that what is stored is what was done), and for a step after the end of an episode; Unstable where the simulation diverges.
        """
        control = self._checked(action)
        if self._over:
            raise DiswmError("The episode is over (or has not begun): call reset() before step().")
        self._steps += 1
        self.scene.begin_step()
        total, frames, success = 0.0, 0, None
        for _ in range(self.action_repeat):
            frame = self._frame(control)
            total += frame.reward
            frames += 1
            success = frame.success if success is None else success or bool(frame.success)
            if frame.terminated or frame.truncated:
                break
        self._over = frame.terminated or frame.truncated
        self._image = self.scene.draw()
        known = {} if success is None else {"success": success}
        return self._image.copy(), total, frame.terminated, frame.truncated, self._info(frames, frame.discount) | known

    def _frame(self, control: Array) -> Frame:
        try:
            frame: Frame = self.scene.step(control)
            if not math.isfinite(frame.reward):
                raise Unstable(f"the reward is {frame.reward}")
        except Unstable as error:
            self._over = True
            raise Unstable(
                f"{self.scene.task}: its simulation became unstable ({error}) in step {self._steps} of the episode of seed "
                f"{self._seeds.entropy}. The episode ends here: call reset(). Where it happens often, try another --seed, a smaller "
                "--env.action-repeat or smaller actions."
            ) from error
        return frame

    def render(self) -> Array:
        """The last observation, (H, W, 3) uint8. Raises DiswmError before the first reset."""
        if self._image is None:
            raise DiswmError("There is nothing to render before the first reset().")
        return self._image.copy()

    def close(self) -> None:
        """Release the renderer. Safe to call twice."""
        self.scene.close()

    def _checked(self, action: Array) -> Array:
        control = np.asarray(action, dtype=np.float64)
        if control.shape != self.action_space.shape:
            raise DiswmError(f"The action has shape {control.shape}; this environment takes {self.action_space.shape}.")
        if not np.isfinite(control).all():
            raise DiswmError(f"The action holds values that are not finite: {control.tolist()}.")
        if self.discrete and not (np.isin(control, (0.0, 1.0)).all() and control.sum() == 1.0):
            raise DiswmError(f"The action is not one-hot: {control.tolist()}. This environment takes a choice of one in {len(control)}.")
        if np.abs(control).max(initial=0.0) > 1.0 + 1e-6:
            raise DiswmError(f"The action leaves [-1, 1]: {control.tolist()}. Clip it before the environment and before storing it.")
        return np.clip(control, -1.0, 1.0)

    def _info(self, frames: int, discount: float) -> dict[str, Any]:
        return {"factors": self.scene.factors(), "frames": frames, "discount": discount, "state": self.scene.state()}

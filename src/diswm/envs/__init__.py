"""Environments: `make(EnvConfig(...), seed)` gives a Gymnasium environment of 64x64 images.

Importing this package loads no simulator and no GL; a suite is imported when one of its tasks is made.
"""

from __future__ import annotations

import dataclasses
import difflib
from typing import Literal

from diswm.contract import DiswmError
from diswm.envs.factors import ColourConfig
from diswm.envs.wrappers import ActionRepeat, TimeLimit

__all__ = ["ColourConfig", "EnvConfig", "make", "tasks"]

_SUITE = (
    "acrobot_swingup acrobot_swingup_sparse ball_in_cup_catch cartpole_balance cartpole_balance_sparse cartpole_swingup "
    "cartpole_swingup_sparse cartpole_three_poles cartpole_two_poles cheetah_run dog_fetch dog_run dog_stand dog_trot dog_walk "
    "finger_spin finger_turn_easy finger_turn_hard fish_swim fish_upright hopper_hop hopper_stand humanoid_CMU_run "
    "humanoid_CMU_stand humanoid_CMU_walk humanoid_run humanoid_run_pure_state humanoid_stand humanoid_walk lqr_lqr_2_1 "
    "lqr_lqr_6_2 manipulator_bring_ball manipulator_bring_peg manipulator_insert_ball manipulator_insert_peg pendulum_swingup "
    "point_mass_easy point_mass_hard quadruped_escape quadruped_fetch quadruped_run quadruped_walk reacher_easy reacher_hard "
    "stacker_stack_2 stacker_stack_4 swimmer_swimmer15 swimmer_swimmer6 walker_run walker_stand walker_walk"
)
"""Written out, so that listing the tasks needs no simulator; a test holds it against the installed suite."""


@dataclasses.dataclass(frozen=True)
class EnvConfig:
    """One environment. Frames are simulator control steps; steps are decisions of the agent."""

    task: str = "walker_walk"
    """<domain>_<task> of the dm_control suite (walker_walk, cheetah_run, ...), or toy, toy_sparse, toy_terminal."""
    action_repeat: int = 2
    """Frames for which each action is held; their rewards are summed."""
    image_size: int = 64
    """Height and width of the images, in pixels."""
    renderer: Literal["auto", "gl", "warp"] = "auto"
    """gl: OpenGL through EGL or OSMesa; warp: ray caster from pip, no GL needed, faster on CPU; auto: warp where it can
    draw the task, else gl. Their images differ: never mix two renderers in one data set."""
    distract: ColourConfig = dataclasses.field(default_factory=ColourConfig)
    """Colour distraction."""
    time_limit: int = 1000
    """Longest episode, in frames; the suite's own limit (1000) and the toy's (100) hold as well."""
    shadow_size: int = 512
    """Size of the shadow map in texels (gl only): 512 looks like the suite's 2048 at 64x64 and is faster."""

    def __post_init__(self) -> None:
        for name, low, high in (("action_repeat", 1, 100), ("image_size", 8, 480), ("time_limit", 1, 10**9), ("shadow_size", 1, 16384)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                raise DiswmError(f"{name}={value!r} must be an integer from {low} to {high} (--env.{name.replace('_', '-')}).")
        if self.renderer not in ("auto", "gl", "warp"):
            raise DiswmError(f"renderer={self.renderer!r} is unknown; choose auto, gl or warp (--env.renderer).")


def tasks() -> list[str]:
    """Names of all tasks that `make` knows, toys first. Needs no simulator."""
    from diswm.envs.toy import TASKS

    return [*TASKS, *_SUITE.split()]


def make(config: EnvConfig, seed: int | None = None) -> ActionRepeat:
    """Build an environment. ``seed`` starts its own sequence of episodes, for resets without a seed.

    Raises DiswmError for an unknown task, a missing simulator, or a renderer that is not there or cannot draw the task.
    """
    from diswm.envs import distract, toy
    from diswm.envs.scene import Paintable

    scene: Paintable
    if config.task in toy.TASKS:
        scene, limit = toy.ToyScene(config.task, config.image_size), min(config.time_limit, toy.TIME_LIMIT)
    elif config.task in _SUITE.split():
        from diswm.envs.dmc import SuiteScene

        scene = SuiteScene(config.task, config.image_size, config.renderer, config.shadow_size)
        limit = config.time_limit
    else:
        raise DiswmError(_unknown(config.task))
    timed = TimeLimit(scene, limit)
    whole = timed if config.distract.colours == "none" else distract.Distracted(timed, config.distract)  # type: ignore[arg-type]
    return ActionRepeat(whole, config.action_repeat, config.image_size, seed)


def _unknown(task: str) -> str:
    names = tasks()
    near = difflib.get_close_matches(task, names, n=3, cutoff=0.4)
    hint = f"Did you mean {' or '.join(near)}? " if near else ""
    return f"There is no task {task!r}. {hint}`python -c 'from diswm import envs; print(*envs.tasks())'` lists all {len(names)}."

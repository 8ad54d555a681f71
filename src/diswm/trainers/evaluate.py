"""Evaluation: fixed seeds, mean actions, several episodes in lockstep."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from diswm.agents.dreamer import Dreamer, PolicyState
from diswm.contract import Array, DiswmError
from diswm.envs.vector import Vector
from diswm.trainers.meter import DIVERGED
from diswm.trainers.rollout import random_action

_LOG = logging.getLogger("diswm")


@dataclasses.dataclass(frozen=True)
class EvalConfig:
    """How a policy is evaluated."""

    episodes: int = 10
    """Episodes per colour set; their seeds are fixed and never used in training."""
    at_once: int = 5
    """Environments stepped in lockstep."""
    workers: int = 0
    """Processes that step them; 0: this one. The results are the same."""


class Evaluation(NamedTuple):
    """Undiscounted return and agent steps of each episode, and the frames of the first one (L, H, W, C)."""

    returns: list[float]
    steps: list[int]
    video: Array
    successes: tuple[bool, ...] = ()
    """Whether each episode had success at any step; empty where the task knows none."""

    def record(self) -> dict[str, list[float] | list[bool]]:
        """What is kept of it: the returns, and the successes where there are any."""
        return {"returns": self.returns, **({"successes": list(self.successes)} if self.successes else {})}


Actor = Callable[[Array, Array, Any], tuple[Array, Any]]
"""(images (N, H, W, C), is_first (N,), state) -> actions (N, A), state."""
Watch = Callable[[int, int], None]


class Diverged(DiswmError):
    """The agent's actions are not finite: what is wrong is its weights."""


def mean_actor(agent: Dreamer) -> Actor:
    """The agent with code mean, posterior mean and mean action. Diverged where its actions are not finite."""

    def act(images: Array, is_first: Array, state: PolicyState | None) -> tuple[Array, PolicyState]:
        actions, state = agent.policy(images, is_first, state, sample=False)
        if not np.isfinite(actions).all():
            raise Diverged(f"The agent's actions in its evaluation are not finite. {DIVERGED}")
        return actions, state

    return act


def random_actor(rng: np.random.Generator, act_dim: int, discrete: bool = False) -> Actor:
    """Random actions; each episode has a generator of its own, however many are played at once."""

    def act(images: Array, is_first: Array, state: list[np.random.Generator] | None) -> tuple[Array, list[np.random.Generator]]:
        state = rng.spawn(len(images)) if state is None else state
        return np.stack([random_action(own, act_dim, discrete) for own in state]), state

    return act


class Abandoned(Exception):
    """Raised by ``watch`` to leave an evaluation; nothing of it is kept."""


def evaluate(
    actor: Actor, envs: Vector, seeds: Sequence[int], watch: Watch = lambda episodes, steps: None, progress: float = 0.0
) -> Evaluation:
    """One episode per seed, ``len(envs)`` of them in lockstep, under the distractions that hold at ``progress`` of a run.

    An episode whose simulation diverges has the return of the steps before, with a warning.

    ``watch(episodes, steps)`` is called after each step, with the episodes that are over and the agent steps of those
    that are under way; it may raise ``Abandoned``.
    """
    returns: list[float] = []
    steps: list[int] = []
    successes: list[bool] = []
    video: list[Array] = []
    for start in range(0, len(seeds), len(envs)):
        result = _lockstep(actor, envs, seeds[start : start + len(envs)], video if start == 0 else None, watch, start, progress)
        returns += result[0]
        steps += result[1]
        successes += result[2]
    return Evaluation(returns, steps, np.stack(video), tuple(successes))


def _lockstep(
    actor: Actor, envs: Vector, seeds: Sequence[int], video: list[Array] | None, watch: Watch, before: int, progress: float
) -> tuple[list[float], list[int], list[bool]]:
    count = len(seeds)
    envs.reset(seeds, {"progress": progress})
    images = envs.images[:count]
    alive = np.ones(count, bool)
    first, state = alive.copy(), None
    returns, steps = np.zeros(count), np.zeros(count, int)
    successes: dict[int, bool] = {}
    while alive.any():
        if video is not None and alive[0]:
            video.append(images[0].copy())
        actions, state = actor(images, first, state)
        first = np.zeros(count, bool)
        for i, outcome in envs.step({i: actions[i] for i in np.flatnonzero(alive).tolist()}).items():
            if "unstable" in outcome.info:
                _LOG.warning("%s Its return is that of the %d steps before.", outcome.info["unstable"], steps[i])
            returns[i] += outcome.reward
            steps[i] += "unstable" not in outcome.info
            if "success" in outcome.info:
                successes[i] = successes.get(i, False) or bool(outcome.info["success"])
            alive[i] = not (outcome.terminated or outcome.truncated)
        watch(before + int((~alive).sum()), int(steps.max()))
    if video is not None:
        video.append(images[0].copy())
    return [round(float(r), 4) for r in returns], steps.tolist(), [successes.get(i, False) for i in range(count)] if successes else []

"""Acting in one environment, row by row, so that it can be taken up in the middle of an episode."""

from __future__ import annotations

import logging
from typing import Any, NamedTuple

import numpy as np

from diswm.contract import Array, Env, Episode, Unstable
from diswm.data.episodes import EpisodeBuilder
from diswm.trainers.seeds import seed_of

_LOG = logging.getLogger("diswm")


def action_size(env: Env) -> int:
    """Numbers in an action."""
    return int(np.prod(env.action_space.shape))


def random_action(rng: np.random.Generator, act_dim: int, discrete: bool) -> Array:
    """An action (A,) float32: uniform in [-1, 1], or one-hot where it is a choice."""
    return np.eye(act_dim, dtype=np.float32)[rng.integers(act_dim)] if discrete else rng.uniform(-1, 1, act_dim).astype(np.float32)


class RandomPolicy:
    """Uniform actions in [-1, 1], or uniform choices."""

    def __init__(self, rng: np.random.Generator, act_dim: int, discrete: bool = False) -> None:
        self.rng, self.act_dim, self.discrete = rng, act_dim, discrete

    def reset(self) -> None:
        """Nothing to forget."""

    def act(self, image: Array) -> Array:
        """An action (A,)."""
        return random_action(self.rng, self.act_dim, self.discrete)


def random_policy(seed: int, act_dim: int, discrete: bool, number: int) -> RandomPolicy:
    """For one episode of a data set: its actions follow from the run's seed and its number, so that a data set can be taken up."""
    return RandomPolicy(np.random.default_rng(seed_of(seed, "collect_actions", number)), act_dim, discrete)


class Taken(NamedTuple):
    """What one step took and whether it was the last of its episode."""

    frames: int
    done: bool


class Rollout:
    """Episodes of one environment, each a function of the run's seed, its number and the actions.

    So no simulator state needs saving: ``restore`` resets with the episode's seed and plays its actions again. ``progress`` is
    the part of the run's budget that was spent when the episode began: it decides which phase of the distractions holds.
    """

    def __init__(self, env: Env, seed: int, component: str, number: int = 0, progress: float = 0.0) -> None:
        self.env, self.seed, self.component = env, seed, component
        self.act_dim = action_size(env)
        self.number = number
        self._begin(progress)

    def _begin(self, progress: float) -> None:
        self.progress = progress
        seed = seed_of(self.seed, self.component, self.number)
        self.image, info = self.env.reset(seed=seed, options={"progress": progress})
        self.builder = EpisodeBuilder(self.act_dim)
        self.builder.add(self.image, factors=info["factors"])
        self.actions: list[Array] = []
        self.score = 0.0

    @property
    def is_first(self) -> bool:
        """Whether ``image`` is the first of its episode."""
        return not self.actions

    def step(self, action: Array) -> Taken:
        """Act once; ``image`` is then the frame that came of it. An episode whose simulation diverges ends with the step before, by
        no fault of the task; Unstable where there is none."""
        try:
            self.image, reward, terminated, truncated, info = self.env.step(action)
        except Unstable as error:
            if self.is_first:
                raise
            _LOG.warning("%s Its %d steps before are kept.", error, len(self.actions))
            return Taken(0, True)
        self.builder.add(self.image, action, reward, terminated, info["factors"])
        self.actions.append(action)
        self.score += float(reward)
        return Taken(info["frames"], terminated or truncated)

    def finish(self, progress: float = 0.0) -> Episode:
        """The episode that just ended; a new one has begun, at ``progress``."""
        episode = self.builder.episode()
        self.number += 1
        self._begin(progress)
        return episode

    def state(self) -> dict[str, Any]:
        """Fit for JSON: the episode's number, where in the run it began, and its actions so far."""
        return {"number": self.number, "progress": self.progress, "actions": [action.tolist() for action in self.actions]}

    def restore(self, state: dict[str, Any]) -> None:
        """Play the unfinished episode of ``state`` again."""
        self.number = state["number"]
        self._begin(state.get("progress", 0.0))
        for action in state["actions"]:
            self.step(np.array(action, np.float32))

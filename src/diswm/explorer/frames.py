"""Frames of a run's own data, with the true factors where they are known."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from diswm import envs
from diswm.agents import Dreamer, WorldLearner
from diswm.checks import NO_TASK
from diswm.config import TrainRun, from_dict
from diswm.contract import FACTOR_PREFIX, Array, DiswmError
from diswm.data.videos import Videos
from diswm.envs.posing import FactorWorld
from diswm.factorsets import env_of
from diswm.trainers.progress import progress
from diswm.trainers.rollout import Rollout
from diswm.trainers.run import beside, read_config
from diswm.trainers.seeds import generator

EPISODES, STEPS = 16, 32
FRAMES = EPISODES * STEPS


class Frames(NamedTuple):
    """N frames in groups of as many rows, one after the other; those of different groups were drawn independently."""

    image: Array  # (N, 64, 64, 3) uint8
    factors: dict[str, Array]  # by name, (N, k) float32
    group: int
    source: str  # where they come from, in words
    missing: str  # why there are no factors, in words; empty where there are
    unit: str = "frame"  # what a group is

    def origin(self, row: int) -> str:
        """Where one of them comes from, in words."""
        if self.group == 1:
            return f"{self.unit} {row + 1}"
        return f"{self.unit} {row // self.group + 1}, frame {row % self.group + 1}"


def gather(folder: Path, learner: WorldLearner, videos: Path | None) -> Frames:
    """Frames of ``videos``, else of the data of the run: its videos, or its agent at work in its task.

    Where those cannot be reached, the frames that the run kept of them. DiswmError where there are none either.
    """
    found = read_config(folder)
    rng = generator(found["config"]["seed"], "media")
    if videos:
        return of_videos([videos], folder, rng)
    try:
        if not isinstance(learner, Dreamer):
            return of_videos([beside(folder, path) for path in found["config"]["videos"]], folder, rng)
        return of_agent(from_dict(TrainRun, found["config"]), learner)
    except (DiswmError, ImportError) as error:
        return kept(folder, error)


def of_videos(folders: list[Path], folder: Path, rng: np.random.Generator) -> Frames:
    """Frames drawn from all episodes of videos."""
    if not folders:
        raise DiswmError(f"{folder}: names no videos to take frames from, as it was imported. Name some with --videos.")
    batch = Videos(folders, length=1, cache=folder.parent / "cache").sample(rng, FRAMES, 1, factors=True)
    rows = {name: value[:, 0] for name, value in batch.items()}
    return _frames(rows, 1, f"{FRAMES} frames of {' and '.join(path.name for path in folders)}")


def of_agent(config: TrainRun, agent: Dreamer, episodes: int = EPISODES, steps: int = STEPS, every: int = 1) -> Frames:
    """The first ``steps`` frames of some episodes in which the agent acts, or one in ``every`` of them."""
    if config.env.task == NO_TASK:
        raise DiswmError("It was imported without a task to take frames from. Name videos with --videos, or import with --task.")
    env = envs.make(config.env)
    try:
        with progress(f"watch {config.env.task}", episodes, "episodes") as bar:
            rollout = Rollout(env, config.seed, "media", progress=1.0)
            seen = []
            for done in range(episodes):
                agent.reset()
                for _ in range(steps - 1):
                    if rollout.step(agent.act(rollout.image)).done:
                        break
                seen.append({name: value[::every] for name, value in rollout.finish(1.0).items()})
                bar.update(done + 1)
    finally:
        env.close()
    length = min(len(episode["image"]) for episode in seen)
    rows = {name: np.concatenate([episode[name][:length] for episode in seen]) for name in seen[0]}
    return _frames(rows, length, f"{episodes} episodes of {config.env.task} in which the agent acts, {length} frames each", "episode")


def visible(factors: dict[str, Array], folder: Path) -> dict[str, Array]:
    """Without the colours of materials that no picture of the run's world shows: a code tells of them by chance alone."""
    if not any(name.startswith("colour.") for name in factors):
        return factors
    try:
        world = FactorWorld(env_of(read_config(folder), folder))
    except (DiswmError, ImportError):
        return factors
    world.close()
    return {name: values for name, values in factors.items() if not (name.startswith("colour.") and name in world.fixed)}


def kept(folder: Path, why: Exception) -> Frames:
    """The frames of media/prediction.npz. Raises ``why`` where the file cannot be read."""
    try:
        with np.load(folder / "media" / "prediction.npz", allow_pickle=False) as file:
            image = file["real"]
    except (OSError, ValueError, KeyError):
        raise why from None
    source = f"{image.shape[0]} clips that the run kept"
    missing = f"the run's own data cannot be reached: {str(why).rstrip('.')}"
    return Frames(image.reshape(-1, *image.shape[2:]), {}, image.shape[1], source, missing, "clip")


def _frames(rows: dict[str, Array], group: int, source: str, unit: str = "frame") -> Frames:
    factors = {name.removeprefix(FACTOR_PREFIX): value for name, value in rows.items() if name.startswith(FACTOR_PREFIX)}
    return Frames(rows["image"], factors, group, source, "" if factors else "these frames have no factor labels", unit)

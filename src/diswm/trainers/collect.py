"""Collecting distracting videos: images and the true factors, no actions and no rewards."""

from __future__ import annotations

import dataclasses

from diswm.contract import FACTOR_PREFIX, Env, Policy
from diswm.data.manifest import VideoWriter
from diswm.trainers.progress import Interrupt, progress
from diswm.trainers.rollout import Rollout


@dataclasses.dataclass(frozen=True)
class CollectConfig:
    """How much video to collect, and who acts."""

    frames: int = 1_000_000
    """Simulator steps to collect, over whole episodes."""
    policy: str = "random"
    """Who acts: `random`, or the folder of a trained run on the same task."""


def collect(env: Env, policy: Policy, writer: VideoWriter, frames: int, seed: int) -> int:
    """Add whole episodes until ``frames`` simulator steps are there; what the folder holds already counts.

    Returns the episodes written. Ctrl-C leaves a usable data set; the same call goes on with the episode after the last.
    """
    written = 0
    with Interrupt() as stop, progress("collect", frames, "frames", done=writer.frames) as bar:
        if writer.frames >= frames:
            return 0
        rollout = Rollout(env, seed, "collect", number=writer.episodes, progress=writer.frames / frames)
        policy.reset()
        taken = 0
        while writer.frames < frames and not stop.requested:
            step = rollout.step(policy.act(rollout.image))
            taken += step.frames
            bar.update(min(writer.frames + taken, frames))
            if step.done:
                episode = rollout.builder.episode()
                writer.add({name: value for name, value in episode.items() if name == "image" or name.startswith(FACTOR_PREFIX)})
                rollout.finish(writer.frames / frames)  # as the writer counts, which is how a later call finds it
                policy.reset()
                written, taken = written + 1, 0
    return written

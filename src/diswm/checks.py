"""What must fit together before a verb begins: task, agent, windows, images, budget, colours. DiswmError where it does not."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from diswm import envs
from diswm.agents import Dreamer
from diswm.config import TrainRun
from diswm.contract import DiswmError, Env
from diswm.trainers.progress import console
from diswm.trainers.rollout import action_size
from diswm.trainers.run import read_config

NO_TASK = "unknown"
"""Task of an imported agent whose user named none."""


def settled(config: TrainRun) -> TrainRun:
    """The same with what task, phases and kind decide decided: how colours walk, which are kept unseen, the constraint's strength."""
    before = read_config(config.out, "train")["config"] if _begun(config) else {}  # a run that was begun goes on with what it decided
    texels = config.env.shadow_size or before.get("env", {}).get("shadow_size", 0)
    env = dataclasses.replace(config.env, shadow_size=texels).settled()
    config = dataclasses.replace(config, env=env, learner=config.learner.settled())
    if config.unseen != "auto":
        return config
    kept: Any = before.get("unseen")
    return dataclasses.replace(config, unseen=kept if kept in envs.UNSEEN else envs.kept_unseen(config.env))


def _begun(config: TrainRun) -> bool:
    return (config.out / "config.json").exists()


def check_unseen(config: TrainRun) -> None:
    """DiswmError where some phase trains on what is to stay unseen; a run that was begun goes on."""
    if config.env.task.startswith(envs.GYM) or _begun(config):
        return
    met = {phase.colour.colours for phase in config.env.plan().phases}
    if "any" in met or {"any_train", "any_test"} <= met:
        raise DiswmError("The agent trains on all colours: none stay unseen. `--distract colour:color_hard,train` keeps half of them.")
    if config.unseen == "auto" or not envs.trained_on(config.env, config.unseen):
        return
    left = [f"--unseen {one}" for one in envs.UNSEEN if not envs.trained_on(config.env, one)]
    mend = f"Choose {' or '.join(left)}" if left else f"Leave one of {', '.join(envs.UNSEEN)} out of the phases"
    raise DiswmError(f"The agent trains on colours {config.unseen}: they are not unseen. {mend}.")


def say_left_seen(config: TrainRun) -> None:
    """A line for each distraction that is cut to a set and yet no more unseen than in training; one where it cannot be told of colours."""
    there = "is left out" if config.unseen == "none" else "stays as it is"
    for text in envs.left_seen(config.env):
        console.print(f"{text}: no other set stays unseen, as a phase trains on it or it shows the same. In the unseen world it {there}.")
    if config.unseen != "auto" and not config.env.task.startswith(envs.GYM) and envs.perhaps_seen(config.env, config.unseen):
        console.print(
            "Boxes around the scene's own colours hold these and may overlap with set 1 and 2: what is unseen may be known in part."
        )


def check_budget(config: TrainRun) -> None:
    """DiswmError where a run with phases, which are fractions of its budget, is to go on with another budget."""
    if config.env.phases and _begun(config):
        before = read_config(config.out, "train")["config"]["train"]["frames"]
        if before != config.train.frames:
            raise DiswmError(
                f"{config.out}: its phases are fractions of {before} frames; {config.train.frames} would move the switches. "
                f"Use --train.frames {before}, or another folder with --out."
            )


def check_window(env: Any, config: TrainRun) -> None:
    """DiswmError where even the longest episode is shorter than a window."""
    rows = -(-env.scene.limit // config.env.action_repeat) + 1
    if rows < config.train.length:
        raise DiswmError(
            f"Windows of {config.train.length} steps do not fit the episodes of {config.env.task}: they have at most {rows} rows. "
            f"Use --train.length {rows} or less."
        )


def check_images(shape: tuple[int, ...] | None, whose: str) -> None:
    """DiswmError unless images have the one size that the networks take."""
    if shape != (64, 64, 3):
        raise DiswmError(
            f"The networks take images of 64 x 64 x 3; {whose} has {shape}. "
            "Videos are resized by `diswm data convert`, a task by --env.image-size 64."
        )


def check_actions(whose: Path | str, agent: Dreamer, task: str, env: Env, advice: str) -> None:
    """DiswmError unless the agent's actions are of the kind and size that the environment takes."""
    gives, takes = (agent.discrete, agent.world.act_dim), (env.discrete, action_size(env))
    if gives != takes:
        words = ("{} numbers", "one of {} choices")
        said, asked = (words[kind].format(size) for kind, size in (gives, takes))
        raise DiswmError(f"{whose}: its agent gives {said}, the task {task} takes {asked}. {advice}")


def check_task(folder: Path, config: TrainRun, agent: Dreamer) -> None:
    """DiswmError unless the actions of an imported agent, which nothing but the user can name the task of, fit the task."""
    if config.env.task == NO_TASK:
        raise DiswmError(f"{folder}: its weights do not say of which task they are. Import them again with --task.")
    env = envs.make(config.env)
    env.close()
    check_actions(folder, agent, config.env.task, env, "Import it again with --task and the task that it was trained on.")

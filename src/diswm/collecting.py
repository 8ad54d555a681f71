"""The verb collect: who plays the episodes of a data set, here or in workers, and what the data set says of itself."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch

from diswm import envs
from diswm.agents import Dreamer
from diswm.build import load
from diswm.checks import check_actions
from diswm.config import CollectRun, check_numbers
from diswm.contract import DiswmError, Env
from diswm.data.episodes import list_episodes
from diswm.data.manifest import VideoWriter, read_manifest
from diswm.runtime import versions
from diswm.trainers.collect import Player, collect_in, fill, quietly, random_player
from diswm.trainers.collect import collect as run_collect
from diswm.trainers.pool import Pool
from diswm.trainers.progress import console


def collect(config: CollectRun) -> bool:
    """Collect videos into ``config.out``; a folder that was begun is continued. False if it was interrupted."""
    check_numbers(config)
    _check_folder(config.out)
    config = dataclasses.replace(config, env=config.env.settled())
    wanted, make = config.collect, _player_of(config)
    player = make()  # with workers as well: what is wrong is said here, and what there is to compile compiled once
    env = player.env
    try:
        with VideoWriter(config.out, _manifest(config, env)) as writer, _one_thread(wanted.policy != "random"):
            if not fill(player, writer, wanted.frames):
                return False
            longest = _longest(env)
            workers = min(wanted.workers, -(-(wanted.frames - writer.frames) // longest))
            if workers > 0:
                about = f"{config.env.task}, seed {config.seed}"
                with Pool(
                    partial(quietly, make), workers, without="--collect.workers 0", work=lambda number, *_: f"episode {number} of {about}"
                ) as pool:
                    collect_in(pool, writer, wanted.frames, longest, phases=bool(config.env.phases))
            else:
                run_collect(player, writer, wanted.frames)
            whole = f"{writer.episodes} whole episode{'s' * (writer.episodes != 1)}"
            console.print(f"{config.out}: {whole}, {writer.frames:,} frames of {config.env.task}, drawn by {env.renderer}")
            return writer.frames >= wanted.frames
    finally:
        env.close()


def _check_folder(folder: Path) -> None:
    """DiswmError for a folder of other things: its files are not to be mixed with episodes."""
    if not folder.is_dir() or not any(not path.name.startswith(".") for path in folder.iterdir()):
        return
    if not read_manifest(folder) and not list_episodes(folder):
        raise DiswmError(f"{folder}: is neither an empty folder nor a data set. Choose another folder with --out.")


def _player_of(config: CollectRun) -> Callable[[], Player]:
    """What makes the one who plays, also in a fresh process: at random that needs no PyTorch."""
    if config.collect.policy == "random":
        return partial(random_player, partial(envs.make, config.env), config.seed)
    return partial(_trained_player, config)


def _trained_player(config: CollectRun) -> Player:
    env, whose = envs.make(config.env), config.collect.policy
    agent = load(whose)
    check_actions(whose, agent, config.env.task, env, "Choose an agent of this task, or --collect.policy random.")
    return Player(env, partial(_afresh, agent), config.seed)


def _afresh(agent: Dreamer, number: int) -> Dreamer:
    """The agent at the beginning of an episode."""
    agent.reset()
    return agent


@contextlib.contextmanager
def _one_thread(wanted: bool) -> Iterator[None]:
    """One thread for the networks inside, as in a worker: with another number of them sums may be rounded in another way."""
    before = torch.get_num_threads()
    if wanted:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _longest(env: Env) -> int:
    """Frames of an episode that only time ends, as a data set counts them: whole steps."""
    limit: int = env.scene.limit  # type: ignore[attr-defined]
    return -(-limit // env.action_repeat) * env.action_repeat


def _manifest(config: CollectRun, env: Env) -> dict[str, Any]:
    """What the data set says of itself. Nothing of workers: they change nothing."""
    distraction: dict[str, Any] = dataclasses.asdict(config.env.distract)
    if config.env.distractions:
        distraction["distractions"] = config.env.distractions
    if clips := envs.clip_listings(config.env):  # with others, the same numbers would show other pictures
        distraction["clips"] = clips
    if config.env.phases:  # fractions of this budget: with another, the episodes to come would not fit those that are there
        distraction |= {"phases": config.env.phases, "of_frames": config.collect.frames}
    return {
        "task": config.env.task,
        "source": "random policy" if config.collect.policy == "random" else f"agent {config.collect.policy}",
        "renderer": env.renderer,
        "action_repeat": config.env.action_repeat,
        "frames_per_row": config.env.action_repeat,
        "seed": config.seed,
        "versions": versions(),
        "distraction": distraction,
    }

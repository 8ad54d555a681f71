"""What the gallery shows: frames of a world under every distraction, and the same states by every renderer."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import numpy as np

from diswm import envs
from diswm.contract import Array, DiswmError, unknown
from diswm.envs.distract import refusal
from diswm.envs.factors import ColourConfig
from diswm.envs.specs import Phase
from diswm.matrix import Cell, fitting
from diswm.trainers.rollout import action_size, random_policy
from diswm.trainers.seeds import seed_of

TASKS = (
    "toy", "walker_walk", "cheetah_run", "hopper_hop", "humanoid_walk", "quadruped_walk", "cartpole_swingup", "reacher_easy",
    "finger_turn_easy", "ball_in_cup_catch", "pusher", "drawer_open", "gym/CartPole-v1",
)  # fmt: skip
"""One of each kind: those that the literature uses most, and one of each suite beside dm_control's."""
GAP = 8
"""Steps before the first frame and between two frames of an episode."""
COMPARED = 2
"""States that every renderer draws."""
Watch = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class Strip:
    """Frames (N, H, W, 3) uint8 under one distraction at one strength: of one episode where it moves, else of N episodes."""

    cell: Cell
    frames: Array | None
    moves: bool = False
    refused: str = ""


@dataclasses.dataclass(frozen=True)
class View:
    """The same states (N, H, W, 3) as one renderer draws them, or why it does not."""

    renderer: Literal["warp", "gl", "original"]
    by: str
    frames: Array | None
    refused: str = ""


@dataclasses.dataclass(frozen=True)
class World:
    """A task with all its pictures, or why there are none."""

    task: str
    renderer: str = ""
    strips: tuple[Strip, ...] = ()
    views: tuple[View, ...] = ()
    refused: str = ""

    def differences(self) -> dict[tuple[str, str], float]:
        """Mean absolute differences of a pixel's channels, out of 255, for each pair of renderers."""
        drawn = [view for view in self.views if view.frames is not None]
        return {
            (a.renderer, b.renderer): float(np.abs(a.frames.astype(float) - b.frames).mean())  # type: ignore[union-attr]
            for index, a in enumerate(drawn)
            for b in drawn[index + 1 :]
        }


def named(tasks: Sequence[str]) -> list[str]:
    """The tasks to show, ``all`` for every one that is known. DiswmError for one that there is not."""
    known = envs.tasks()
    every = [*known, *(task for task in TASKS if task not in known)]
    found = [name for task in tasks or TASKS for name in (every if task == "all" else [envs.EnvConfig(task=task).task])]
    for task in found:
        if task not in known and not task.startswith(envs.GYM):
            raise unknown("task", task, [*known, "all"])
    return list(dict.fromkeys(found))


def draw_world(task: str, cells: Sequence[Cell], count: int, seed: int, watch: Watch) -> World:
    """A task under all cells, ``count`` frames each, and by all renderers. ``watch`` hears of every strip and view begun.

    What cannot be made or shown here is recorded as refused.
    """
    try:
        bare = _bare(task)
        first = envs.make(bare)
    except DiswmError as error:
        return World(task, refused=str(error))
    renderer, scene = first.renderer, first.scene
    first.close()
    cells = [fitting(cell, scene.shows) for cell in cells]
    why = {cell.key: refusal(scene, dataclasses.replace(bare, phases=(_phase(cell, 0.0),)).plan().kinds()) for cell in cells}
    try:
        drawn = _strips(bare, [cell for cell in cells if not why[cell.key]], count, seed, watch)
        strips = tuple(drawn.get(cell.key) or Strip(cell, None, refused=why[cell.key]) for cell in cells)
        views = tuple(_views(bare, seed, watch)) if hasattr(scene, "original") else ()
    except DiswmError as error:
        return World(task, renderer, refused=str(error))
    return World(task, renderer, strips, views)


def _bare(task: str) -> envs.EnvConfig:
    return envs.EnvConfig(task=task, distract=ColourConfig(colours="none"))


def _phase(cell: Cell, start: float) -> str:
    return f"{start:.6f}:{'+'.join(cell.texts)}"


def _strips(bare: envs.EnvConfig, cells: Sequence[Cell], count: int, seed: int, watch: Watch) -> dict[tuple[str, str], Strip]:
    """One environment draws all of them, as its phases: to make another for each would take the most time."""
    starts = [index / len(cells) for index in range(len(cells))]
    config = dataclasses.replace(bare, phases=tuple(_phase(cell, start) for cell, start in zip(cells, starts, strict=True)))
    env = envs.make(config)
    found = {}
    for cell, start, phase in zip(cells, starts, config.plan().phases, strict=True):
        watch(f"{cell.distraction} {cell.level}".strip())
        moves = _moves(phase)
        frames = _played(env, count, seed, moves, start + 1e-6, lambda image: image)
        found[cell.key] = Strip(cell, np.stack(frames), moves)
    env.close()
    return found


def _moves(phase: Phase) -> bool:
    """Whether anything that distracts changes within an episode."""
    walks = phase.colour.colours != "none" and phase.colour.step_std > 0 and phase.colour.per != "episode"
    return walks or any(getattr(layer, "moving", False) for layer in phase.layers)


def _played(env: Any, count: int, seed: int, moves: bool, progress: float, see: Callable[[Array], Any]) -> list[Any]:
    """What ``see`` makes of ``count`` images: of one episode, or each of its own. An episode that ends is followed by the next.

    The same seed gives the same states and actions under all distractions and renderers.
    """
    numbers = itertools.count()
    found: list[Any] = []
    over = True
    for _ in range(count):
        over |= not moves
        for _ in range(GAP):
            if over:
                number = next(numbers)
                image, _ = env.reset(seed=seed_of(seed, "gallery", number), options={"progress": progress})
                policy = random_policy(seed, action_size(env), env.discrete, number)
            image, _, terminated, truncated, _ = env.step(policy.act(image))
            over = terminated or truncated
        found.append(see(image))
    return found


def _views(bare: envs.EnvConfig, seed: int, watch: Watch) -> Iterator[View]:
    """The bare scene by the ray caster, by OpenGL as here, and by the suite's own renderer."""
    kept: list[Any] = []
    for renderer in ("warp", "gl"):
        watch(f"by {renderer}")
        try:
            env = envs.make(dataclasses.replace(bare, renderer=renderer))  # type: ignore[arg-type]
            kept = []

            def see(image: Array, env: Any = env, kept: list[Any] = kept) -> Array:
                kept.append(env.scene.original())
                return image

            frames = np.stack(_played(env, COMPARED, seed, False, 0.0, see))
            env.close()
        except DiswmError as error:
            yield View(renderer, renderer, None, str(error))  # type: ignore[arg-type]
        else:
            by = "warp, the ray caster" if renderer == "warp" else f"{env.renderer}, shadow map {bare.settled().shadow_size}"
            yield View(renderer, by, frames)  # type: ignore[arg-type]
    if not kept:
        return
    watch("by its suite")
    try:
        yield View("original", kept[0].by, np.stack([state.draw() for state in kept]))
    except DiswmError as error:
        yield View("original", kept[0].by, None, str(error))

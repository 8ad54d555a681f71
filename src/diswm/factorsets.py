"""`diswm factors` as a function: frames with independent, labelled factors, drawn from a world without stepping it."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from diswm import envs
from diswm.config import PretrainRun, TrainRun, from_dict
from diswm.contract import FACTOR_PREFIX, Array, DiswmError
from diswm.data.disk import whole_folder
from diswm.data.factorset import INDEPENDENT, ROWS, FactorSet, read_set
from diswm.data.manifest import VideoWriter, read_manifest
from diswm.envs.posing import FactorWorld, world_of
from diswm.model.world import WorldModel
from diswm.runtime import versions
from diswm.trainers.probe import Probe, score_names
from diswm.trainers.progress import console, progress
from diswm.trainers.run import Run, beside
from diswm.trainers.seeds import generator

MOST = 200_000
POINTS = 5_000
"""Frames of a set, unless said otherwise."""


def usual(task: str) -> tuple[str, ...]:
    """What a set of this task varies beside the pose, unless told otherwise."""
    return ("texture:all",) if world_of(task) == "drawer" else ("colour:set1",)


def draw_factors(
    task: str | envs.EnvConfig, *, n: int = POINTS, out: Path | str, seed: int = 0, distract: Sequence[str] | None = None
) -> Path:
    """Draw ``n`` frames of a task with independent factors into the folder ``out``, whole or not at all. The same seed, the same bytes.

    ``distract`` are distractions whose factors are drawn too: of colour, camera, light and texture; None: those of the environment, or
    for a task by its name the ``usual`` ones. DiswmError for worlds whose factors are not known, and for a folder that is there.
    """
    config = task if isinstance(task, envs.EnvConfig) else envs.with_distractions(envs.EnvConfig(task=task), usual(task))
    config = config if distract is None else envs.with_distractions(config, distract)
    if not 1 <= n <= MOST:
        raise DiswmError(f"n={n} must be a number of frames from 1 to {MOST:,}; some thousands are good.")
    out = Path(out)
    with whole_folder(out, need=n * 3 * config.image_size**2, advice="Free some space, or draw fewer frames.") as folder:
        world = FactorWorld(config)
        try:
            _fill(folder, world, config, n, seed)
        finally:
            world.close()
    console.print(f"{out}: {n:,} frames of {config.task}, drawn by {world.renderer}, {len(world.factors)} factors")
    return out


def _fill(folder: Path, world: FactorWorld, config: envs.EnvConfig, n: int, seed: int) -> None:
    values = world.sample(n, generator(seed, "factors"))
    with VideoWriter(folder, {}) as writer, progress(f"draw {config.task}", n, "frames") as bar:
        writer.manifest |= _about(world, config, values, seed)
        for start in range(0, n, ROWS):
            rows: list[dict[str, Array]] = []
            for row in values[start : start + ROWS]:
                world.apply(row)
                rows.append({"image": world.frame(), **{FACTOR_PREFIX + name: value for name, value in world.labels().items()}})
                bar.update(start + len(rows))
            writer.add({name: np.stack([row[name] for row in rows]) for name in rows[0]})


def _about(world: FactorWorld, config: envs.EnvConfig, values: Array, seed: int) -> dict[str, Any]:
    phase = config.plan().phases[0]
    colours = dataclasses.asdict(phase.colour) | {"step_std": 0.0, "per": "episode"}  # each frame has a draw of its own
    return {
        "task": config.task,
        "source": "independent factors",
        "renderer": world.renderer,
        "action_repeat": 1,
        "frames_per_row": 1,
        "seed": seed,
        "versions": versions(),
        "distraction": colours | {"distractions": list(config.distractions)},
        INDEPENDENT: {
            "world": world.world,
            "drawn": [dataclasses.asdict(one) for one in world.factors],
            "fixed": world.fixed,
            "note": world.note,
            "seen": {name: round(share, 3) for name, share in world.seen.items()},
            "accepted": round(world.accepted, 4),
            "largest_correlation": round(_largest(values), 4),
        },
    }


def _largest(values: Array) -> float:
    """The largest |correlation| between two factors: what chance and the poses that were drawn anew leave."""
    varying = values[:, values.std(0) > 0]
    if varying.shape[1] < 2 or len(varying) < 3:
        return 0.0
    return float(np.abs(np.corrcoef(varying, rowvar=False) - np.eye(varying.shape[1])).max())


def env_of(head: dict[str, Any], where: Path) -> envs.EnvConfig:
    """The environment of a run's frames: an agent's own, or that of a video model's videos. DiswmError where none is known."""
    if head["kind"] == "train":
        return from_dict(TrainRun, head["config"]).env
    advice = "Draw a set with `diswm factors TASK` and name it."
    for folder in (beside(where, named) for named in head["config"]["videos"]):
        about = read_manifest(folder) if folder.is_dir() else {}
        if isinstance(about.get("task"), str) and about["task"] in envs.tasks():
            said = dict(about.get("distraction") or {})
            colour = {field.name: said[field.name] for field in dataclasses.fields(envs.ColourConfig) if field.name in said}
            renderer = "warp" if about.get("renderer") == "warp" else "gl" if str(about.get("renderer")).startswith("gl") else "auto"
            texts = tuple(said.get("distractions") or ())
            return envs.EnvConfig(about["task"], renderer=renderer, distract=envs.ColourConfig(**colour), distractions=texts)  # type: ignore[arg-type]
    raise DiswmError(f"{where}: its videos do not say which world they show, so that no factors can be drawn. {advice}")


def prober(run: Run, world: WorldModel, config: TrainRun | PretrainRun, teacher: WorldModel | None = None) -> Probe | None:
    """The scores along a run's training, None where none are asked for.

    Where there is no set and none can be drawn they are left out if they are optional, and DiswmError otherwise.
    """
    asked = config.probe
    if not asked.every:
        return None
    try:
        return _prober(run, world, config, teacher)
    except (DiswmError, ImportError) as error:
        if not asked.optional or asked.factors:
            raise
        console.print(f"no scores of the code along training: {error}")
        return None


def _prober(run: Run, world: WorldModel, config: TrainRun | PretrainRun, teacher: WorldModel | None) -> Probe:
    began, asked = time.monotonic(), config.probe
    score_names()  # before frames are drawn for what cannot be had
    env = env_of({"kind": run.kind, "config": run.config}, run.folder)
    given = set_for(env, asked.factors, run.folder / "factors", asked.points, config.seed, str(run.folder))
    encoder = teacher.encoder if teacher else None
    return Probe(run, world.encoder, given, asked, config.seed, teacher=encoder, spent=time.monotonic() - began)


def set_for(env: envs.EnvConfig | None, folder: Path | None, own: Path, n: int, seed: int, what: str) -> FactorSet:
    """The set in ``folder``, or else the run's ``own``, which is drawn if it is not there. DiswmError for one of another world."""
    if folder is None:
        assert env is not None
        folder = own
        if not (own / "manifest.json").is_file():
            draw_factors(env, n=n, out=own, seed=seed)
    found = read_set(folder)
    if env is not None and found.world != world_of(env.task):
        raise DiswmError(
            f"{folder}: has factors of {found.world} ({found.about.get('task')}), {what} is of {world_of(env.task)} ({env.task}). "
            f"Draw a set with `diswm factors {env.task}`, or leave it out."
        )
    return found

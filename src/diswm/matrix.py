"""Robustness: one agent against every distraction at every strength, the same episodes in each."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from diswm import envs
from diswm.agents import Dreamer
from diswm.config import TrainRun
from diswm.contract import DiswmError
from diswm.evaluations import side_by_side
from diswm.trainers.evaluate import Abandoned, evaluate, mean_actor
from diswm.trainers.progress import Bar, Interrupt, progress
from diswm.trainers.run import write_json
from diswm.trainers.seeds import seed_of

FILE = "matrix.json"
LEVELS = ("easy", "medium", "hard")
_EACH = "{level}"
_ROWS: dict[str, tuple[str, ...]] = {
    "none": ("none",),
    "colours, set 1": ("colour:set1",),
    "colours, set 2": ("colour:set2",),
    "colours": ("colour:{level}",),
    "colours, walking": ("colour:{level},moving",),
    "camera": ("camera:{level}",),
    "camera, moving": ("camera:{level},moving",),
    "background": ("background:{level}",),
    "background, moving": ("background:{level},moving",),
    "light": ("light:{level}",),
    "floor": ("texture:all",),
    "all together": ("colour:{level}", "camera:{level}", "background:{level}", "light:{level}"),
    "all, moving": ("colour:{level},moving", "camera:{level},moving", "background:{level},moving", "light:{level},moving"),
}


@dataclasses.dataclass(frozen=True)
class Cell:
    """One distraction at one strength; ``level`` is empty where it has but one."""

    distraction: str
    level: str
    texts: tuple[str, ...]

    @property
    def key(self) -> tuple[str, str]:
        """What tells it from the others."""
        return self.distraction, self.level


def cells() -> list[Cell]:
    """All of them, row by row."""
    return [
        Cell(name, level, tuple(text.format(level=level) for text in texts))
        for name, texts in _ROWS.items()
        for level in (LEVELS if _EACH in texts[0] else ("",))
    ]


def evaluate_matrix(folder: Path, agent: Dreamer, config: TrainRun, frames: int) -> Path | None:
    """Play ``config.eval.episodes`` episodes in each cell and write matrix.json, cell by cell; what is there already is kept.

    The seeds are the same in all cells, so that differences are the distractions'. A distraction that the task cannot show is
    recorded as refused. Returns the file; None if it was interrupted: the same call goes on.
    """
    head: dict[str, Any] = {"task": config.env.task, "frames": frames, "episodes": config.eval.episodes, "seed": config.seed}
    done = _begun(folder / FILE, head)
    each, stopping = config.eval.episodes, Interrupt("stopping the evaluation; the same command goes on")
    with stopping as stop, progress("evaluate", len(cells()) * each, "episodes", done=len(done) * each) as bar:
        for cell in (cell for cell in cells() if cell.key not in done):
            try:
                done[cell.key] = dataclasses.asdict(cell) | _play(cell, agent, config, bar, stop, len(done) * each)
            except Abandoned:
                return None
            write_json(folder / FILE, head | {"cells": list(done.values())})
    return folder / FILE


def _begun(path: Path, head: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """The cells of an earlier call that played the same agent in the same way."""
    try:
        found = json.loads(path.read_text())
        if {name: found.get(name) for name in head} != head:
            return {}
        known = {cell.key: list(cell.texts) for cell in cells()}
        rows = {(row["distraction"], row["level"]): row for row in found["cells"]}
        return {key: row for key, row in rows.items() if known.get(key) == row["texts"]}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DiswmError(f"{path}: is damaged ({error}). Delete it; the evaluation then begins anew.") from error


def _play(cell: Cell, agent: Dreamer, config: TrainRun, bar: Bar, stop: Interrupt, before: int) -> dict[str, Any]:
    """The returns of a cell, or why there are none."""

    def watch(episodes: int, steps: int) -> None:
        bar.update(before + episodes, f"{cell.distraction} {cell.level}".strip())
        if stop.requested:
            raise Abandoned

    env = dataclasses.replace(envs.with_distractions(config.env, cell.texts), phases=())
    try:
        made = side_by_side(env, config.eval)
    except DiswmError as error:
        return {"returns": [], "refused": str(error)}
    try:
        seeds = [seed_of(config.seed, "eval_matrix", index) for index in range(config.eval.episodes)]
        return {"returns": evaluate(mean_actor(agent), made, seeds, watch).returns}
    finally:
        made.close()

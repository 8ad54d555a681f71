"""Robustness: one agent against every distraction at every strength, the same episodes in each."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

from diswm import envs
from diswm.agents import Dreamer
from diswm.config import TrainRun
from diswm.contract import DiswmError
from diswm.envs.distract import refusal
from diswm.envs.specs import COLOUR_NAMES, KINDS, kind_of, together, unknown
from diswm.evaluations import side_by_side
from diswm.trainers.evaluate import Abandoned, evaluate, mean_actor
from diswm.trainers.progress import Bar, Interrupt, console, progress
from diswm.trainers.run import write_json
from diswm.trainers.seeds import seed_of

FILE = "matrix.json"
LEVELS = ("easy", "medium", "hard")
ALL, TOGETHER = "all", "together"
_LEVEL = "{level}"
_PATH = re.compile(r'(folder="(?=.*"))[^"]*/(?=[^"/])|(folder=)[^,"]*/(?=[^,"/])')  # of a folder what stands before its last name
Key = tuple[str, str]
Strengths = dict[str, tuple[str, ...]]
"""Strength -> distractions; the strength is empty where there is but one."""


def _one(*texts: str) -> Strengths:
    return {"": texts}


def _each(*texts: str) -> Strengths:
    return {level: tuple(text.replace(_LEVEL, level) for text in texts) for level in LEVELS}


_STILL = ("colour:{level}", "camera:{level}", "background:{level}", "light:{level}")
_ROWS: dict[str, Strengths] = {
    "none": _one("none"),
    "colours, set 1": _one("colour:set1"),
    "colours, set 2": _one("colour:set2"),
    "colours, TED 1": _one("colour:ted1"),
    "colours, TED 2": _one("colour:ted2"),
    "colours": _each("colour:{level}"),
    "colours, walking": _each("colour:{level},moving"),
    # After the DMControl Generalization Benchmark: its colours; films where the sky is, the floor whole (easy) or gone (hard).
    "colours, DMC-GB": {"easy": ("colour:color_easy",), "hard": ("colour:color_hard",)},
    "films, DMC-GB": {"easy": ("background:video,moving,ground=1",), "hard": ("background:video,moving,ground=0",)},
    "camera": _each("camera:{level}"),
    "camera, moving": _each("camera:{level},moving"),
    "background": _each("background:{level}"),  # without a folder, `background:image` and `shapes` are the hard one
    "background, moving": _each("background:{level},moving"),
    "noise": _one("background:noise"),
    "noise, moving": _one("background:noise,moving"),
    "plain": _one("background:plain"),
    "plain, moving": _one("background:plain,moving"),
    "light": _each("light:{level}"),
    "light, moving": _each("light:{level},moving"),
    "texture": _one("texture:all"),
    "all together": _each(*_STILL),
    "all, moving": _each(*(f"{text},moving" for text in _STILL)),
}


@dataclasses.dataclass(frozen=True)
class Cell:
    """One distraction at one strength; ``level`` is empty where it has but one."""

    distraction: str
    level: str
    texts: tuple[str, ...]

    @property
    def key(self) -> Key:
        """What tells it from the others."""
        return self.distraction, self.level


def cells(textures: Iterable[str] = ()) -> list[Cell]:
    """The standard ones, row by row, and one for each of a world's ``textures``."""
    return _cells(_standard(textures))


def chosen(words: Sequence[str], textures: Iterable[str] = ()) -> list[Cell]:
    """The cells that ``words`` name, in their order; the standard ones without any.

    A word is ``all``, a kind (``colour``, ..., ``together``), a row's name, or distractions: ``camera:0.4+light:{level}``. DiswmError for
    one that is none.
    """
    rows = _standard(textures)
    found: dict[str, Strengths] = {} if words else rows
    for word in words:
        if word == ALL or word in (*KINDS, TOGETHER):
            found |= {name: row for name, row in rows.items() if word in (ALL, _kind(row))}
        elif word in rows:
            found[word] = rows[word]
        else:
            row, name = _own(word, rows), _PATH.sub(r"\1\2", word)
            found[name if found.get(name, row) == row else word] = row  # two folders of one name are called by their paths
    return _cells(found)


def _standard(textures: Iterable[str]) -> dict[str, Strengths]:
    """The rows, those of single textures after that of all."""
    found: dict[str, Strengths] = {}
    for name, row in _ROWS.items():
        found[name] = row
        if name == "texture":
            found |= {f"texture, {texture}": _one(f"texture:{texture}") for texture in textures}
    return found


def _cells(rows: dict[str, Strengths]) -> list[Cell]:
    return [Cell(name, level, texts) for name, row in rows.items() for level, texts in row.items()]


def _kind(row: Strengths) -> str:
    texts = next(iter(row.values()))
    return TOGETHER if len(texts) > 1 else "none" if texts == ("none",) else kind_of(texts[0])


def _own(word: str, rows: dict[str, Strengths]) -> Strengths:
    """A row that the user brings, at all strengths where it says ``{level}``."""
    if ":" not in word and word.split(",")[0] not in COLOUR_NAMES:
        error = unknown("row of the matrix called", word, dict.fromkeys([ALL, *KINDS, TOGETHER, *rows]))
        raise DiswmError(f"{error} Or name a distraction as `diswm train --distract` takes it, for example background:video,folder=DAVIS.")
    texts = together(word)
    row = _each(*texts) if _LEVEL in word else _one(*texts)
    for given in row.values():
        envs.with_distractions(envs.EnvConfig(), given)  # refuses what there is not
    return row


def evaluate_matrix(folder: Path, agent: Dreamer, config: TrainRun, frames: int, words: Sequence[str] = ()) -> Path | None:
    """Play ``config.eval.episodes`` episodes in each cell and write matrix.json, cell by cell; what is there already is kept.

    The seeds are the same in all cells, so that differences are the distractions'. A distraction of the standard rows that the task
    cannot show is recorded as refused, of several together those are played that it shows; of one that ``words`` brings DiswmError says so
    before anything is played. Returns the file; None if it was interrupted: the same call goes on.
    """
    known, asked, refused, limit = _plan(config.env, words)
    clips = {cell: envs.clip_listings(_world(config.env, cell)) for cell in asked}
    head: dict[str, Any] = {"task": config.env.task, "frames": frames, "episodes": config.eval.episodes, "seed": config.seed}
    order = {cell.key: (cell, clips.get(cell, {})) for cell in (*known, *asked)}
    done = _begun(folder / FILE, head, order, mend=not words)

    def keep(cell: Cell, row: dict[str, Any]) -> None:
        done[cell.key] = dataclasses.asdict(cell) | ({"clips": clips[cell]} if clips[cell] else {}) | row

    def write() -> None:
        keys = [*(key for key in order if key in done), *(key for key in done if key not in order)]
        write_json(folder / FILE, head | {"cells": [done[key] for key in keys]})

    for cell, why in refused.items():
        keep(cell, {"returns": [], "refused": why})
    write()
    each, left = config.eval.episodes, [cell for cell in asked if cell not in refused and not done.get(cell.key, {}).get("returns")]
    before = len(asked) - len(refused) - len(left)
    console.print(_said(len(left), before, len(refused), each, limit))
    stopping = Interrupt("stopping the evaluation; the same command goes on")
    with stopping as stop, progress("evaluate", (before + len(left)) * each, "episodes", done=before * each) as bar:
        for index, cell in enumerate(left, before):
            try:
                keep(cell, _play(cell, agent, config, bar, stop, index * each))
            except Abandoned:
                return None
            write()
    return folder / FILE


def _plan(env: envs.EnvConfig, words: Sequence[str]) -> tuple[list[Cell], list[Cell], dict[Cell, str], int]:
    """The standard cells of a task, those asked for, why it cannot show some of these, and the frames of its longest episode."""
    bare = envs.make(_world(env, Cell("none", "", ("none",))))
    try:
        scene = bare.scene
        textures = scene.textures["all"] if "texture" in scene.shows else ()
        known = [fitting(cell, scene.shows) for cell in cells(textures)]
        names = {cell.key: cell for cell in known}
        asked = [names.get(cell.key, cell) for cell in chosen(words, textures)]
        refused = {cell: why for cell in asked if (why := refusal(scene, _world(env, cell).plan().kinds()))}
        limit = int(scene.limit)
    finally:
        bare.close()
    for cell in (cell for cell in asked if cell not in known):
        if cell in refused:
            raise DiswmError(f"{cell.distraction}: {refused[cell]}")
        envs.make(_world(env, cell)).close()  # a folder or a texture that is not there is said now
    return known, asked, refused, limit


def fitting(cell: Cell, kinds: Collection[str]) -> Cell:
    """Of several distractions together those of the ``kinds`` that a world shows, where these are still several."""
    texts = tuple(text for text in cell.texts if kind_of(text) in kinds) if len(cell.texts) > 1 else ()
    return dataclasses.replace(cell, texts=texts) if len(texts) > 1 else cell


def _world(env: envs.EnvConfig, cell: Cell) -> envs.EnvConfig:
    """Whatever the agent was trained on, a cell is the same: what its text does not say of the colours is not taken from the run."""
    bare = dataclasses.replace(env, distract=envs.ColourConfig(), phases=())
    return envs.with_distractions(bare, cell.texts)


def _said(left: int, done: int, refused: int, episodes: int, limit: int) -> str:
    """What it will take."""
    said = [
        f"evaluate: {left} cells to play, {episodes} episode{'s' * (episodes > 1)} each of at most {limit:,} frames: "
        f"at most {left * episodes * limit:,} frames",
        *[f"{done} were done before"] * bool(done),
        *[f"{refused} this task does not show"] * bool(refused),
    ]
    return f"{'; '.join(said)}. --rows takes fewer, or others."


def _begun(path: Path, head: dict[str, Any], known: dict[Key, tuple[Cell, dict[str, str]]], *, mend: bool) -> dict[Key, dict[str, Any]]:
    """The cells of earlier calls that played the same agent in the same way, those of rows that are not known too.

    Played in another way they are dropped where ``mend`` says so; else DiswmError: a few rows shall not cost all others.
    """
    try:
        found = json.loads(path.read_text())
        other = [f"{name} {found.get(name)}" for name in head if found.get(name) != head[name]]
        rows = {(row["distraction"], row["level"]): row for row in found["cells"]}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DiswmError(f"{path}: is damaged ({error}). Delete it; the evaluation then begins anew.") from error
    if other and not mend:
        raise DiswmError(f"{path}: was made with {', '.join(other)}. Say the same to add rows to it, or another place with --out.")
    return {} if other else {key: row for key, row in rows.items() if key not in known or _same(row, *known[key])}


def _same(row: dict[str, Any], cell: Cell, clips: dict[str, str]) -> bool:
    return row.get("texts") == list(cell.texts) and row.get("clips", {}) == clips


def _play(cell: Cell, agent: Dreamer, config: TrainRun, bar: Bar, stop: Interrupt, before: int) -> dict[str, Any]:
    """The returns of a cell, and successes where the task knows them; or why there are none."""

    def watch(episodes: int, steps: int) -> None:
        bar.update(before + episodes, f"{cell.distraction} {cell.level}".strip())
        if stop.requested:
            raise Abandoned

    try:
        made = side_by_side(_world(config.env, cell), config.eval)
    except DiswmError as error:
        return {"returns": [], "refused": str(error)}
    try:
        seeds = [seed_of(config.seed, "eval_matrix", index) for index in range(config.eval.episodes)]
        return dict(evaluate(mean_actor(agent), made, seeds, watch).record())
    finally:
        made.close()

"""The verb: draw the worlds, write the page."""

from __future__ import annotations

import datetime
import itertools
import platform
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path

from diswm import __version__
from diswm.contract import DiswmError
from diswm.data.disk import write_atomically
from diswm.matrix import LEVELS, Cell, cells
from diswm.pictures.overview import LEVEL, overview
from diswm.pictures.page import document
from diswm.pictures.worlds import TASKS, World, draw_world, named
from diswm.trainers.progress import progress
from diswm.trainers.seeds import seed_of

MOST = 12
_PAGES = (".html", ".htm")
_ADVICE = "Free some space or choose another place with --out."


def gallery(tasks: Sequence[str] = (), *, out: Path | str = "gallery", seed: int = 0, frames: int = 4) -> Path:
    """Write one page with every world under every distraction, ``frames`` frames each, and as each renderer draws it.

    ``tasks`` are a few of each kind unless given, ``all`` those of every suite. ``out`` is the page (.html) or a folder; a file .md
    gets one frame each at one strength, as PNG files beside it. Returns its path. What cannot be made here is shown with the reason.
    DiswmError for a task that there is not.
    """
    return paint(tasks, out=out, seed=seed, frames=frames)[0]


def paint(tasks: Sequence[str] = (), *, out: Path | str = "gallery", seed: int = 0, frames: int = 4) -> tuple[Path, list[World]]:
    """As `gallery`; also the worlds, of which some may be refused."""
    path = Path(out)
    brief = path.suffix.lower() == ".md"
    if not brief and path.suffix.lower() not in _PAGES and path.exists() and not path.is_dir():
        raise DiswmError(f"{path}: is a file. Name a page (.html), a text with pictures (.md) or a folder with --out.")
    worlds = draw(tasks, seed, 1 if brief else frames, (LEVEL,) if brief else LEVELS)
    return write_overview(worlds, path, seed) if brief else write_page(worlds, path, seed), worlds


def draw(tasks: Sequence[str], seed: int, frames: int, levels: Sequence[str] = LEVELS) -> list[World]:
    """The worlds with their pictures."""
    if not 1 <= frames <= MOST:
        raise DiswmError(f"frames={frames} must be from 1 to {MOST} (--frames).")
    seed_of(seed, "gallery")  # refuses one that is none, here and not world by world
    names, shown = named(tasks), list(_at(levels))
    each = len(shown) + 3  # and a view by each renderer
    worlds = []
    with progress("gallery", each * len(names), "pictures") as bar:
        for index, task in enumerate(names):
            begun = [each * index]

            def watch(what: str, task: str = task, begun: list[int] = begun) -> None:
                bar.update(begun[0], f"{task}: {what}")
                begun[0] += 1

            worlds.append(draw_world(task, shown, frames, seed, watch))
            bar.update(each * (index + 1), task)
    return worlds


def _at(levels: Sequence[str]) -> Iterator[Cell]:
    """The cells at some strengths; of a row that has none of these the hardest."""
    for _, group in itertools.groupby(cells(), lambda cell: cell.distraction):
        row = list(group)
        yield from [cell for cell in row if cell.level in ("", *levels)] or row[-1:]


def write_page(worlds: Sequence[World], out: Path, seed: int) -> Path:
    """Whole or not at all."""
    page = out if out.suffix.lower() in _PAGES else out / "gallery.html"
    _write(page, document(worlds, seed, _made(worlds, seed)).encode())
    return page


def write_overview(worlds: Sequence[World], out: Path, seed: int) -> Path:
    """The pictures first, so that the text never names one that is not there."""
    for name, data in overview(worlds, out.stem, f"{_made(worlds, seed)} --out {out.name}").items():
        _write(out.with_name(name), data)
    return out


def _made(worlds: Sequence[World], seed: int) -> str:
    """Versions, machine, date, and at the end the command."""
    try:
        mujoco = f", mujoco {metadata.version('mujoco')}"
    except metadata.PackageNotFoundError:
        mujoco = ""
    tasks = [world.task for world in worlds]
    named = f" --tasks {' '.join(tasks)}" if tuple(tasks) != TASKS else ""
    machine = f"{platform.system()} {platform.machine()}"
    return f"diswm {__version__}{mujoco}, {machine}, {datetime.date.today()}: diswm gallery --seed {seed}{named}"


def _write(path: Path, data: bytes) -> None:
    write_atomically(path, lambda file: file.write(data), need=len(data), advice=_ADVICE)

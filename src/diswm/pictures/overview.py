"""The gallery for readers of Markdown: a few PNG files, one frame for each world and distraction, and a table of differences."""

from __future__ import annotations

import io
import itertools
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from diswm.contract import Array
from diswm.pictures.page import PAIRS, RENDERERS
from diswm.pictures.worlds import World
from diswm.report import words

LEVEL = "medium"
"""The strength that is shown, where there are several."""
COLUMNS = 7
"""Most distractions in one picture: as wide as a page of text shows."""
SCALE, EDGE, LEFT, TOP = 2, 2, 116, 20  # enlargement; pixels between frames, and for the labels of rows and columns
_INK, _PAPER, _EMPTY = (27, 33, 48), (255, 255, 255), (227, 230, 235)


def overview(worlds: Sequence[World], name: str, made: str) -> dict[str, bytes]:
    """The files of the gallery: <name>.md and its pictures <name>-1.png, ... and <name>-renderers.png; ``made`` says by what and how."""
    shown = [world for world in worlds if not world.refused]
    labels = list(dict.fromkeys(strip.cell.distraction for world in shown for strip in world.strips))
    files: dict[str, bytes] = {}
    parts = {f"{name}-{number}.png": part for number, part in enumerate(columns(labels), 1)}
    for file, part in parts.items():
        files[file] = table(part, {world.task: [_frame(world, label) for label in part] for world in shown})
    compared = {world.task: _views(world) for world in shown if world.views}
    if compared:
        files[f"{name}-renderers.png"] = table([*RENDERERS.values(), "warp - GL, x 4"], compared)
    files[f"{name}.md"] = _text(worlds, parts, name, made).encode()
    return files


def columns(labels: Sequence[str]) -> list[list[str]]:
    """As few as there may be, of nearly the same width."""
    count = -(-len(labels) // COLUMNS)
    cuts = [len(labels) * part // count for part in range(count + 1)] if count else []
    return [list(labels[first:last]) for first, last in itertools.pairwise(cuts)]


def _frame(world: World, label: str) -> Array | None:
    """The first frame of a row, at the strength that is shown or, where it has none such, at its hardest."""
    row = {strip.cell.level: strip.frames[0] for strip in world.strips if strip.cell.distraction == label and strip.frames is not None}
    return row.get("", row.get(LEVEL, next(reversed(row.values()), None)))


def _views(world: World) -> list[Array | None]:
    frames = [None if view.frames is None else view.frames[0] for view in world.views]
    apart = None
    if frames[0] is not None and frames[1] is not None:
        apart = (4 * np.abs(frames[0].astype(int) - frames[1])).clip(0, 255).astype(np.uint8)
    return [*frames, *[None] * (len(RENDERERS) - len(frames)), apart]


def table(labels: Sequence[str], rows: dict[str, list[Array | None]]) -> bytes:
    """A PNG with a row of frames for each world; grey where there is none."""
    side = SCALE * next((len(frame) for frames in rows.values() for frame in frames if frame is not None), 64)
    image = Image.new("RGB", (LEFT + len(labels) * (side + EDGE), TOP + len(rows) * (side + EDGE)), _PAPER)
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(12)
    for column, label in enumerate(labels):
        draw.text((LEFT + column * (side + EDGE), 2), label, _INK, font)
    for row, (task, frames) in enumerate(rows.items()):
        top = TOP + row * (side + EDGE)
        draw.text((2, top + side // 2 - 8), task, _INK, font)
        for column, frame in enumerate(frames):
            left = LEFT + column * (side + EDGE)
            if frame is None:
                draw.rectangle((left, top, left + side - 1, top + side - 1), _EMPTY)
            else:
                image.paste(Image.fromarray(frame).resize((side, side), Image.Resampling.NEAREST), (left, top))
    out = io.BytesIO()
    image.save(out, "PNG", optimize=True)
    return out.getvalue()


def _text(worlds: Sequence[World], parts: Mapping[str, Sequence[str]], name: str, made: str) -> str:
    lines = [
        "# Gallery",
        "",
        f"One frame of each world under each distraction, at the strength `{LEVEL}` where there are several, as an agent sees it, "
        "enlarged. Grey: the world does not show that distraction; all together are those that it shows. The state is the same along a "
        "row.",
        "",
        *(f"![{'; '.join(part)}]({file})" for file, part in parts.items()),
        "",
        *([f"Without that strength, so at the hardest: {'; '.join(hardest)}.", ""] if (hardest := _without(worlds)) else []),
        "## Renderers",
        "",
        "The same state by the ray caster (`warp`), by OpenGL as it is set here (`gl`), and by the suite's own renderer at the suite's own "
        "settings.",
        "",
        *([f"![each world by each renderer]({name}-renderers.png)", ""] if any(world.views for world in worlds) else []),
        "Mean absolute difference out of 255, without distraction:",
        "",
        f"| world | drawn by | {' | '.join(f'{RENDERERS[a]}, {RENDERERS[b]}' for a, b in PAIRS)} |",
        "|---|---|" + "---|" * len(PAIRS),
    ]
    for world in worlds:
        found = world.differences()
        lines.append(f"| `{world.task}` | {world.renderer or 'refused'} | {' | '.join(words.number(found.get(pair)) for pair in PAIRS)} |")
    refused = [f"- `{world.task}`: {' '.join(world.refused.split())}" for world in worlds if world.refused]
    refused += [
        f"- `{world.task}`, {RENDERERS[v.renderer]}: {' '.join(v.refused.split())}" for world in worlds for v in world.views if v.refused
    ]
    lines += ["", "Not drawn here:", "", *refused] if refused else []
    lines += ["", f"`diswm gallery` writes all strengths and more frames as one page. Made by {made}"]
    return "\n".join(lines) + "\n"


def _without(worlds: Sequence[World]) -> list[str]:
    """The distractions with several strengths, of which none is the one that is shown."""
    levels: dict[str, set[str]] = {}
    for strip in (strip for world in worlds for strip in world.strips):
        levels.setdefault(strip.cell.distraction, set()).add(strip.cell.level)
    return [name for name, found in levels.items() if not found & {"", LEVEL}]

"""The gallery as one HTML page: no script, no network, nothing beside it."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from itertools import groupby

import numpy as np
from PIL import Image

from diswm.contract import Array
from diswm.pictures.worlds import GAP, Strip, View, World
from diswm.report import words
from diswm.report.canvas import image_uri, mosaic, places
from diswm.report.style import CSS
from diswm.report.words import esc

ENLARGED = 2
EDGE = 3  # pixels between the frames of a sheet
_STYLE = """
.cells { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(262px, 100%), 1fr)); gap: 14px; margin: 10px 0 26px; }
.cells figure { margin: 0; padding: 12px; min-width: 0; }
.cells img { display: block; max-width: 100%; height: auto; image-rendering: pixelated; }
.cells figcaption { margin-top: 8px; padding-top: 8px; font-size: .86rem; }
main > .verdict { margin-top: 20px; }
h3 small { color: var(--muted); font-weight: 400; font-size: .88rem; }
h3 { scroll-margin-top: 60px; } section { scroll-margin-top: 40px; }
@media (max-width: 700px) {
  .cells { grid-template-columns: repeat(auto-fill, minmax(140px, 1fr)); gap: 10px; } .cells figure { padding: 8px; }
}
@media print { .cells { grid-template-columns: repeat(3, 1fr); } section { break-before: page; } }
"""
RENDERERS = {"warp": "warp", "gl": "GL", "original": "the suite's own"}
PAIRS = (("warp", "gl"), ("warp", "original"), ("gl", "original"))


def document(worlds: Sequence[World], seed: int, made: str) -> str:
    """The whole page; ``made`` says by what and how."""
    shown = [world for world in worlds if not world.refused]
    strips = max((len(world.strips) for world in shown), default=0)
    links = "".join(f'<li><a href="#{_anchor(world)}">{esc(world.task)}</a></li>' for world in worlds)
    route = f"{words.plural(len(worlds), 'world')} · {words.plural(strips, 'distraction')} by kind and strength · seed {seed}"
    sections = "".join(_section(world) for world in worlds)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta name="color-scheme" content="light dark"><title>DisWM gallery</title><style>{CSS}{_STYLE}</style></head><body>'
        f'<header><p class="eyebrow">DisWM · gallery</p><h1>Worlds and what distracts in them</h1><p class="route">{route}</p></header>'
        f'<nav aria-label="Worlds"><ul><li><a href="#renderers">renderers</a></li>{links}</ul></nav>'
        f"<main>{_reading()}{renderers(worlds)}{sections}</main>"
        f"<footer><p>Made by {esc(made)}</p></footer></body></html>\n"
    )


def _reading() -> str:
    return (
        '<div class="verdict"><p>Each picture is what an agent sees, enlarged. The actions are random. Where a distraction keeps still '
        f"within an episode, the frames are of several episodes, each after {GAP} steps; where it moves, they are of one episode, "
        f"{GAP} steps apart. States are the same under every distraction and by every renderer. All together are those that a world shows."
        "</p></div>"
    )


def renderers(worlds: Sequence[World]) -> str:
    """How far the renderers' pictures are apart, world by world."""
    rows = []
    for world in worlds:
        found = world.differences()
        cells = "".join(f'<td class="num">{words.number(found.get(pair))}</td>' for pair in PAIRS)
        rows.append(f'<tr><th scope="row">{esc(world.task)}</th><td>{esc(world.renderer or words.MISSING)}</td>{cells}</tr>')
    heads = "".join(f'<th scope="col" class="num">{RENDERERS[a]}, {RENDERERS[b]}</th>' for a, b in PAIRS)
    return (
        '<section id="renderers"><h2>Renderers</h2><p class="lead">Mean absolute difference between two pictures of the same state, '
        "out of 255, without distraction. A dash: one of the two does not draw this world here.</p>"
        f'<div class="scroll"><table><thead><tr><th scope="col">world</th><th scope="col">drawn by</th>{heads}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div></section>"
    )


def _section(world: World) -> str:
    if world.refused:
        inner = f'<p class="missing">Not made here: {esc(world.refused)}</p>'
    else:
        rows = [list(row) for _, row in groupby(world.strips, lambda strip: strip.cell.distraction)]
        inner = f'<p class="lead">Drawn by {esc(world.renderer)}.</p>' + "".join(map(_row, rows)) + _refused(world) + _views(world)
    return f'<section id="{_anchor(world)}"><h2>{esc(world.task)}</h2>{inner}</section>'


def _anchor(world: World) -> str:
    return f"world-{esc(world.task).replace('/', '-').replace(':', '-')}"


def _row(strips: Sequence[Strip]) -> str:
    """One distraction at all its strengths."""
    shown = [strip for strip in strips if strip.frames is not None]
    if not shown:
        return ""
    name = shown[0].cell.distraction
    how = "moves within the episode" if shown[0].moves else "keeps still within an episode"
    figures = "".join(_figure(strip.frames, _asked(strip), f"{name} {strip.cell.level}".strip()) for strip in shown)
    return f'<h3>{esc(name)} <small>{how if name != "none" else ""}</small></h3><div class="cells">{figures}</div>'


def _asked(strip: Strip) -> str:
    level = f"<b>{esc(strip.cell.level)}</b> " if strip.cell.level else ""
    return level + " ".join(f"<code>{esc(text)}</code>" for text in strip.cell.texts)


def _figure(frames: Array | None, caption: str, alt: str) -> str:
    assert frames is not None
    data, (width, height) = sheet(frames)
    return (
        f'<figure><img src="{image_uri(data, "webp")}" width="{ENLARGED * width}" height="{ENLARGED * height}" alt="{esc(alt)}" '
        f'decoding="async"><figcaption>{caption}</figcaption></figure>'
    )


def _refused(world: World) -> str:
    """What the world does not show, each reason once."""
    found: dict[str, list[str]] = {}
    for strip in world.strips:
        if strip.refused:
            found.setdefault(strip.refused, []).append(strip.cell.distraction)
    said = (f"{esc(words.listing(list(dict.fromkeys(names))))}: {esc(why)}" for why, names in found.items())
    return "".join(f'<p class="missing">Not shown here: {line}</p>' for line in said)


def _views(world: World) -> str:
    if not world.views:
        return f'<h3>Renderers</h3><p class="missing">Nothing to compare: {esc(world.renderer)} alone draws this world.</p>'
    found = world.differences()
    figures = "".join(_view(view, list(_apart(view, found))) for view in world.views)
    if world.views[0].frames is not None and world.views[1].frames is not None:
        apart = np.abs(world.views[0].frames.astype(int) - world.views[1].frames)
        figures += _figure((4 * apart).clip(0, 255).astype(np.uint8), "Where warp and GL differ, four times as bright", "difference")
    return f'<h3>Renderers <small>the same states, without distraction</small></h3><div class="cells">{figures}</div>'


def _view(view: View, apart: Sequence[str]) -> str:
    if view.frames is None:
        return f'<p class="missing"><b>{RENDERERS[view.renderer]}</b>: {esc(view.refused)}</p>'
    return _figure(view.frames, f"<b>{esc(view.by)}</b><br>{'; '.join(apart)}", f"drawn by {view.by}")


def _apart(view: View, found: dict[tuple[str, str], float]) -> Iterator[str]:
    for pair, value in found.items():
        if view.renderer == pair[1]:
            yield f"{words.number(value)} of 255 from {RENDERERS[pair[0]]}"


def sheet(frames: Array) -> tuple[bytes, tuple[int, int]]:
    """Frames (N, H, W, 3) as one lossless WebP, in as square a grid as they fill, see-through between them; its width and height.

    Every pixel is as it was drawn; as PNG the page would be two fifths larger."""
    count, height, width = frames.shape[:3]
    columns = next(n for n in range(1, count + 1) if count % n == 0 and n * n >= count)
    grid = frames.reshape(count // columns, columns, height, width, 3)
    whole = mosaic(grid, places(count // columns, height, EDGE), places(columns, width, EDGE))
    out = io.BytesIO()
    Image.fromarray(whole).save(out, "WEBP", lossless=True, quality=80)
    return out.getvalue(), (whole.shape[1], whole.shape[0])

"""From a drawing to a file and to the page: one palette, one typography, PNG on paper white and SVG that follows the page.

Charts are drawn twice, wide and narrow, because a chart shrunk to a phone's width cannot be read; the page's style sheet
shows one of them. In the SVG every colour of the palette becomes a variable of that sheet, so that a chart is dark on a
dark page and keeps its text as text.
"""

from __future__ import annotations

import base64
import dataclasses
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from diswm.contract import Array
from diswm.report.tables import Numbers, write_csv
from diswm.report.words import esc

# Okabe and Ito's colours, told apart with any colour vision; shapes and dashes say the same again.
SEEN, UNSEEN, RANDOM = "#0072b2", "#d55e00", "#757b85"
OPEN, KEPT, RAW = "#b8548f", "#00805e", "#98a2b3"
AMBER, VIOLET, BROWN = "#a87b00", "#6a4fb3", "#7a4a21"
INK, MUTED, GRID, PAPER = "#1b2130", "#5b6474", "#e3e6eb", "#fffffe"
WIDE, NARROW = 9.2, 3.9  # inches; on the page some 660 and 280 points, so that text comes out at 13 to 15 pixels in both
_VARIABLES: dict[str, str] = {
    SEEN: "--seen", UNSEEN: "--unseen", RANDOM: "--random", OPEN: "--open", KEPT: "--kept", RAW: "--raw",
    AMBER: "--amber", VIOLET: "--violet", BROWN: "--brown", INK: "--ink",
    MUTED: "--muted", GRID: "--grid", PAPER: "--paper",
}  # fmt: skip
_RC: Any = {
    "font.size": 10.5, "axes.titlesize": 10.5, "axes.labelsize": 10.5, "xtick.labelsize": 9.5, "ytick.labelsize": 9.5,
    "legend.fontsize": 9.5, "text.color": INK, "axes.labelcolor": MUTED, "axes.edgecolor": GRID, "xtick.color": GRID,
    "ytick.color": GRID, "xtick.labelcolor": MUTED, "ytick.labelcolor": MUTED, "axes.facecolor": "none", "grid.color": GRID,
    "figure.facecolor": "none", "axes.spines.top": False, "axes.spines.right": False, "svg.fonttype": "none",
    "axes.titlelocation": "left", "axes.titlepad": 7.0, "lines.solid_capstyle": "round", "legend.frameon": False,
    "image.interpolation": "none", "text.parse_math": False, "axes.axisbelow": True, "axes.unicode_minus": True,
    "figure.dpi": 160, "savefig.dpi": "figure",
}  # fmt: skip


@dataclasses.dataclass
class Drawing:
    """One figure of the report: `draw(narrow)` makes it, `caption` says what to look for, `alt` says it to a screen reader."""

    name: str
    caption: str
    alt: str
    draw: Callable[[bool], Figure]
    numbers: Numbers | None = None
    """What it shows, for a CSV of the same name."""
    small: bool = False
    """Drawn once, narrow, to stand beside others."""


def publish(drawing: Drawing, folder: Path) -> str:
    """Write <folder>/<name>.png, and .csv where it has numbers, and return the <figure> for the page."""
    folder.mkdir(parents=True, exist_ok=True)
    if drawing.numbers:
        write_csv(folder / f"{drawing.name}.csv", drawing.numbers)
    shapes = []
    for narrow in (True,) if drawing.small else (False, True):
        name = f"{drawing.name}-{'narrow' if narrow else 'wide'}"
        # The salt makes the ids inside each SVG its own, and the same at every run.
        with matplotlib.rc_context(_RC | {"svg.hashsalt": name}):
            figure = drawing.draw(narrow)
            if engine := figure.get_layout_engine():  # once for both files: with an engine each would lay it out and draw it twice
                engine.execute(figure)
                figure.set_layout_engine(None)
            if not narrow or drawing.small:
                figure.savefig(folder / f"{drawing.name}.png", facecolor="white", metadata={"Software": None})
            buffer = io.StringIO()
            figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
        shapes.append(_inline(buffer.getvalue(), "only" if drawing.small else "narrow" if narrow else "wide", drawing.alt))
    return f'<figure id="{esc(drawing.name)}">{"".join(shapes)}<figcaption>{drawing.caption}</figcaption></figure>'


def _inline(svg: str, variant: str, alt: str) -> str:
    """The <svg> element alone, without the name spaces (HTML knows them), the fixed size and the fixed colours and font."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", svg, flags=re.S)  # a style inside would rule the whole page
    svg = re.sub(r'\s+xmlns(:\w+)?="[^"]*"', "", svg)
    head, body = svg.split(">", 1)
    view = re.search(r'viewBox="[^"]*"', head)
    body = re.sub(r"(font: [^;\"]*?[\d.]+px) [^;\"]*", r"\1 var(--font)", body)
    body = re.sub(r"font-family: [^;\"]*", "font-family: var(--font)", body)
    used = set(re.findall(r"#([\w-]+)", body))
    body = re.sub(r' id="([^"]*)"', lambda match: match.group(0) if match.group(1) in used else "", body)
    for colour, variable in _VARIABLES.items():
        body = body.replace(colour, f"var({variable})")
    return f'<svg class="{variant}" role="img" aria-label="{esc(alt)}" {view.group(0) if view else ""}>{body}'


def variable(colour: str) -> str:
    """The style sheet's name of a colour of the palette."""
    return _VARIABLES[colour]


def new_figure(width: float, height: float) -> Figure:
    """An empty figure in inches, laid out so that nothing is cut."""
    return Figure(figsize=(width, height), layout="constrained")


def plain(axes: Axes, *, grid: Literal["x", "y"] = "y") -> Axes:
    """Quiet axes: hair lines along one direction, no tick marks."""
    axes.grid(axis=grid, linewidth=0.8)
    axes.tick_params(length=0)
    return axes


def mosaic(tiles: Array, tops: Array, lefts: Array) -> Array:
    """Frames (rows, columns, H, W, 3) as one RGBA picture, see-through between them; `tops` and `lefts` place rows and columns."""
    rows, columns, height, width, _ = tiles.shape
    sheet = np.zeros((tops[-1] + height, lefts[-1] + width, 4), np.uint8)
    for r in range(rows):
        for c in range(columns):
            place = sheet[tops[r] :, lefts[c] :][:height, :width]
            place[..., :3], place[..., 3] = tiles[r, c], 255
    return sheet


def places(count: int, side: int, gap: int = 3, wide: Array | None = None) -> Array:
    """Where `count` frames of `side` pixels begin in a row; `wide` (count,) adds pixels in front of some."""
    return np.arange(count) * (side + gap) + (0 if wide is None else np.cumsum(wide))


def image_uri(data: bytes, kind: str) -> str:
    """A data: address, so that the page needs no other file."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"


def animation(frames: list[Array], milliseconds: int) -> tuple[bytes, bytes]:
    """Frames (H, W, 4) as a lossless looping WebP, and its middle frame as a still for print and for those who want no motion."""
    images = [Image.fromarray(frame) for frame in frames]
    moving, still = io.BytesIO(), io.BytesIO()
    how = {"save_all": True, "append_images": images[1:], "duration": milliseconds, "loop": 0, "lossless": True, "quality": 40, "method": 2}
    images[0].save(moving, "WEBP", **how)
    images[len(images) // 2].save(still, "PNG")
    return moving.getvalue(), still.getvalue()

"""Clips of the teacher's videos and of the agent's own replay as a map: whether the code takes them for the same."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from diswm.contract import Array
from diswm.metrics.embedding import NEIGHBOURS, clip_points, same_source, tsne
from diswm.report.canvas import GRID, INK, KEPT, NARROW, UNSEEN, WIDE, Drawing, new_figure
from diswm.report.reading import Run
from diswm.report.tables import Numbers

FILE = "clips.npz"
CODES = {"teacher": "The teacher’s code", "student": "The student’s code"}
SOURCES = (("offline: the teacher’s videos", KEPT, "o"), ("online: the agent’s replay", UNSEEN, "^"))


def clips_media(run: Run) -> dict[str, Array] | None:
    """media/clips.npz, checked; a damaged one counts as absent and is told of."""
    media = run.arrays(FILE, (*CODES, "online"), ("rows",))
    if media is None:
        return None
    online, rows = media["online"], media.get("rows", np.zeros(0))
    good = online.ndim == 1 and online.dtype == bool and 0 < online.sum() < len(online) and rows.shape == ()
    if not good or any(media[name].ndim != 3 or len(media[name]) != len(online) for name in CODES):
        found = ", ".join(f"{name} {value.shape}" for name, value in media.items())
        run.problems.append(
            f"media/{FILE} should hold codes (N, T, E) of clips by teacher and student, online (N,) and rows, it has {found}; "
            f"diswm traverse {run.path} makes it anew"
        )
        return None
    return media


def plane(media: dict[str, Array], seed: int, name: str = "clips") -> Drawing:
    """Both codes, by t-SNE. ValueError and ImportError as `metrics.embedding`."""
    online = media["online"]
    points = {code: clip_points(media[code]) for code in CODES}
    found = {code: (tsne(points[code], seed), same_source(points[code], online)) for code in CODES}

    def draw(narrow: bool) -> Figure:
        figure = new_figure(NARROW, 7.8) if narrow else new_figure(WIDE, 4.9)
        for place, (code, (places, share)) in enumerate(found.items()):
            axes = figure.add_subplot(2, 1, place + 1) if narrow else figure.add_subplot(1, 2, place + 1)
            for side, (label, colour, marker) in enumerate(SOURCES):
                x, y = places[online == bool(side)].T
                axes.scatter(x, y, s=12, marker=marker, color=colour, alpha=0.65, linewidths=0, label=None if place else label)
            axes.set_title(f"{CODES[code]} · same source: {share:.0%}", color=INK)
            axes.set(xticks=[], yticks=[])
            axes.set_aspect("equal", adjustable="datalim")
            axes.spines[:].set_visible(True)
            axes.spines[:].set_color(GRID)
        figure.legend(loc="outside upper left", ncols=1 if narrow else 2, handlelength=1.0, columnspacing=1.6, markerscale=1.6)
        return figure

    said = " and ".join(f"{share:.0%} by {CODES[code].lower()}" for code, (_, share) in found.items())
    rows = [
        [code, "online" if side else "offline", *map(float, place)]
        for code, (places, _) in found.items()
        for place, side in zip(places, online, strict=True)
    ]
    return Drawing(
        name,
        f"Each mark is a clip, {(~online).sum():,} of the videos and {online.sum():,} of the replay: {media['student'].shape[1]} frames "
        f"spread over {int(media['rows'])} steps, placed by the mean and the standard deviation of each dimension of their codes. t-SNE "
        "places clips with like codes near each other; distances far apart mean little. Of the "
        f"{NEIGHBOURS} nearest clips, before t-SNE, {said}, are of a clip’s own source (above); a code that cannot tell the sources apart "
        "has about half. Look for a student that takes over the teacher’s order and yet mixes both worlds.",
        f"Maps of clips by their codes. Nearest neighbours of the same source: {said}.",
        draw,
        Numbers(("code", "source", "x", "y"), rows),
    )

"""What a change of colours, of the pose or of the camera does to each dimension of the code: frames above a heat map."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.figure import Figure

from diswm.contract import IMAGE_SHAPE, Array
from diswm.report import words
from diswm.report.canvas import MUTED, NARROW, WIDE, Drawing, mosaic, places
from diswm.report.information import cells
from diswm.report.reading import Run
from diswm.report.strips import GAP, MAX_DIMS, QUIET, SIDE
from diswm.report.tables import Numbers

FILE = "changes.npz"
_ROW, _MOST = 0.3, 1.1  # inches: a row of cells, and the widest column


def effect_media(run: Run) -> dict[str, Array] | None:
    """media/changes.npz, checked; a damaged one counts as absent and is told of."""
    media = run.arrays(FILE, ("groups", "share", "images", "kl", "poses"))
    if media is None:
        return None
    share, images, count = media["share"], media["images"], len(media["groups"])
    good = share.shape == (count, *media["kl"].shape) and images.shape == (count + 1, *IMAGE_SHAPE) and images.dtype == np.uint8
    if not good or not share.size or not np.isfinite(share).all() or not np.isfinite(media["kl"]).all() or media["poses"].size != 1:
        run.problems.append(
            f"media/{FILE} should hold finite share (G, E) and images (1 + G, 64, 64, 3); they are {share.shape}, {images.shape}"
        )
        return None
    return media


def effect(media: dict[str, Array], name: str = "changes") -> Drawing:
    """One column a change, one row a dimension of the code, most used first."""
    names, share, kl = [str(group) for group in media["groups"]], media["share"].astype(float).T, media["kl"].astype(float)
    used = int((kl >= QUIET).sum())
    ranked = np.argsort(-kl, kind="stable")
    order = ranked[: min(used + 2, MAX_DIMS)]

    def draw(narrow: bool) -> Figure:
        width, left, slant = (NARROW, 0.55, 55) if narrow else (WIDE, 0.62, 40)
        top = 0.25 + 0.075 * max(map(len, names)) * math.sin(math.radians(slant))  # the slanted names
        column = min((width - left - 0.55) / (1 + len(names)), _MOST)  # what is left at the right is for the last slanted name
        lines = _ROW * len(order)
        height = top + column + lines + 0.1
        figure = Figure(figsize=(width, height))
        across = column * (1 + len(names)) / width
        frames = figure.add_axes((left / width, (lines + 0.1) / height, across, column / height))
        frames.imshow(mosaic(media["images"][None], places(1, SIDE), places(1 + len(names), SIDE)), aspect="auto")
        frames.set_xlim(-GAP / 2, (1 + len(names)) * (SIDE + GAP) - GAP / 2)
        frames.set_xticks(places(1 + len(names), SIDE) + SIDE / 2, ["a frame", *names], rotation=slant, ha="left",
                          rotation_mode="anchor")  # fmt: skip
        frames.xaxis.tick_top()
        frames.set_yticks([])
        table = figure.add_axes((left / width, 0.04 / height, across, lines / height))
        table.set(xlim=(0, 1 + len(names)), ylim=(len(order), 0))
        cells(table, share[order], told=column > 0.4, left=1.0)
        for y, dim in enumerate(order):
            table.text(
                0.5, y + 0.5, f"{kl[dim]:.2f}" if narrow else f"{kl[dim]:.2f} nats", ha="center", va="center", fontsize=8.5, color=MUTED
            )
        table.set_yticks([y + 0.5 for y in range(len(order))], [f"dim {dim}" for dim in order])
        table.set_xticks([])
        for axes in (frames, table):
            axes.spines[:].set_visible(False)
            axes.tick_params(length=0)
        return figure

    most = [f"{group} dimension {int(np.argmax(share[:, g]))} ({share[:, g].max():.2f})" for g, group in enumerate(names)]
    return Drawing(
        name,
        "Each column draws some factors of a frame anew and leaves all others as they were, as the frames on top show. A cell is the "
        "share of the dimension’s variance, its noise included, that comes of it; beside its number stands its KL over these frames, whose "
        "poses are drawn at random and not played "
        f"(mean over {words.plural(int(media['poses']), 'pair')} of frames). Look for rows with one strong cell, and for dimensions that "
        "tell colours and leave the pose alone. What works together counts in every column that it takes part in, so that a row may sum "
        "to over 1.",
        f"What a change does to the code. Moved most by each: {words.listing(most)}.",
        draw,
        Numbers(("dimension", "kl_nats", *names), [[int(d), float(kl[d]), *map(float, share[d])] for d in ranked]),
    )

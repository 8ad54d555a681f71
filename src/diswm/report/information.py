"""Which dimension of the code tells of which true factor: mutual information as a heat map."""

from __future__ import annotations

import json

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from diswm.contract import Array
from diswm.report import words
from diswm.report.canvas import GRID, INK, NARROW, OPEN, WIDE, Drawing, new_figure
from diswm.report.reading import Run, finite_list
from diswm.report.tables import Numbers

FILE = "metrics.json"
MAX_DIMS = 16
_STRONGEST = 0.7  # opacity of a share of 1: its text stays readable


def read_information(run: Run) -> tuple[list[str], Array, Array, float | None] | None:
    """Factors (F,), information (E, F) and entropies (F,) in nats, from `independent.information` of the run's metrics.json.

    Last the share that chance gives, which older files do not tell. None where the run has none; a damaged one counts as absent and is
    told of.
    """
    path = run.path / FILE
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))["independent"].get("information")
        if found is None:
            return None
        names, nats, entropy = list(map(str, found["factors"])), np.array(found["nats"], float), np.array(found["entropy"], float)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        run.problems.append(f"{FILE} could not be read: {error}")
        return None
    if nats.ndim != 2 or nats.shape[1:] != (len(names),) or entropy.shape != (len(names),) or not np.isfinite(nats).all() or not nats.size:
        run.problems.append(f"{FILE}: its information should be (dimensions, factors), it is {nats.shape}")
        return None
    chance = finite_list([found.get("chance")])
    return names, nats, entropy, chance[0] if chance else None


def heat_map(names: list[str], nats: Array, entropy: Array, chance: float | None = None, name: str = "information") -> Drawing:
    """One row a dimension of the code, one column a factor; the shade is the share of the factor's entropy that the dimension tells."""
    share = nats / np.where(entropy > 0, entropy, np.inf)  # (E, F)
    order = np.argsort(-nats.max(1), kind="stable")[:MAX_DIMS]
    columns = np.argsort([int(np.argmax(nats[order][:, f])) for f in range(len(names))], kind="stable")  # near a diagonal, if there is one

    def draw(narrow: bool) -> Figure:
        figure = new_figure(NARROW if narrow else WIDE, 0.34 * len(order) + 1.3)
        axes = figure.add_subplot()
        cells(axes, share[order][:, columns], told=not narrow and len(names) <= 16)
        axes.set(xlim=(0, len(columns)), ylim=(len(order), 0))
        axes.set_yticks([y + 0.5 for y in range(len(order))], [f"dim {dim}" for dim in order])
        axes.set_xticks([x + 0.5 for x in range(len(columns))], [names[f] for f in columns], rotation=40, ha="left", rotation_mode="anchor")
        axes.xaxis.tick_top()
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        return figure

    best = [f"{names[f]} by dimension {int(np.argmax(nats[:, f]))} ({share[:, f].max():.2f})" for f in range(len(names))]
    hidden = f" The {len(order)} dimensions that tell most are shown, of {len(nats)}." if len(order) < len(nats) else ""
    ground = f" Chance alone gives {chance:.2f}, as shuffled factors tell." if chance is not None else ""
    return Drawing(
        name,
        "Share of a factor’s entropy that a dimension of the code tells (mutual information over entropy), on frames whose factors were "
        "drawn independently. Disentangled is one strong cell a column, and one a row. "
        f"A factor with a pale column is in no single dimension.{ground}{hidden}",
        f"Mutual information of code and factors. Told best: {words.listing(best)}.",
        draw,
        Numbers(("dimension", *names), [[d, *map(float, row)] for d, row in enumerate(nats)]),
    )


def cells(axes: Axes, share: Array, *, told: bool, left: float = 0.0, size: float = 8.5) -> None:
    """A cell of width 1 for each share (R, C) of 0 to 1, from the place ``left`` on, downwards from 0; its number in it where ``told``."""
    for y, row in enumerate(share):
        for x, value in enumerate(row):
            place = (left + x + 0.03, y + 0.05)
            axes.add_patch(Rectangle(place, 0.94, 0.9, facecolor=OPEN, alpha=_STRONGEST * min(float(value), 1.0), linewidth=0))
            axes.add_patch(Rectangle(place, 0.94, 0.9, fill=False, edgecolor=GRID, linewidth=0.7))
            if told:
                axes.text(left + x + 0.5, y + 0.5, f"{value:.2f}", ha="center", va="center", fontsize=size, color=INK)

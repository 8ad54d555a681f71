"""Wide floors of fewer triangles: small squares near the camera, larger ones far away.

MuJoCo draws a floor of 200 x 200 m as 40,000 squares. How it divides one is its own (render_context.c)."""

from __future__ import annotations

from typing import Any

import numpy as np

from diswm.contract import Array
from diswm.envs.shapes import Mesh, compiled

_MOST = 200  # squares along a floor in MuJoCo
_WIDE = 50  # a floor with more squares each way is drawn with large ones far away
_STEP = 8  # squares by which the fine part of a floor moves
_FINE, _NEAR = 16, 5.0
"""Squares, and metres, that the fine part reaches each way, the larger of both: further away a floor is lit evenly."""


class Floors:
    """The wide floors of a model, drawn with MuJoCo's squares near the camera and with larger ones far away.

    What is near follows from where the camera is, so that a picture does not depend on those before it.
    """

    def __init__(self, model: Any, first: int, planes: Array) -> None:
        """``first`` is the display list of the first of the ``planes``, ids of geoms."""
        lines = {number: [divided(*model.geom_size[geom][[axis, 2]]) for axis in (0, 1)] for number, geom in enumerate(planes)}
        self._lines = {number: both for number, both in lines.items() if min(map(len, both)) > _WIDE}
        self._first, self._geoms = first, planes
        self._shown: dict[int, tuple[int, ...]] = {}

    def show(self, data: Any, camera: int) -> None:
        """Prepare a picture. The context must be current."""
        for number, lines in self._lines.items():
            geom = self._geoms[number]
            place = (data.cam_xpos[camera] - data.geom_xpos[geom]) @ data.geom_xmat[geom].reshape(3, 3)
            middle = tuple(_STEP * round(float(np.searchsorted(own, at)) / _STEP) for own, at in zip(lines, place[:2], strict=True))
            if self._shown.get(number) != middle:
                x, y = (own[thinned(own, at)] for own, at in zip(lines, middle, strict=True))
                compiled(self._first + number, [_sheet(x, y)])
                self._shown[number] = middle


def divided(half: float, spacing: float) -> Array:
    """Where MuJoCo divides a side of a floor that reaches from -half to half; few lines for an endless one (half is 0)."""
    if half <= 0.0:
        return np.zeros(0)
    spacing = max(spacing, half / (_MOST - 2))
    count = int(half / spacing)
    count -= count % 2
    inner = half - (half - count * spacing) - 2.0 * spacing * np.arange(count, -1, -1)
    return np.concatenate([[-half], inner, [half]])


def thinned(lines: Array, middle: int) -> Array:
    """Which of the ``lines`` to keep: all that are near the one in the ``middle``, then ever fewer, and both ends."""
    count, square = len(lines), lines[2] - lines[1]
    fine = max(_FINE, int(np.ceil(_NEAR / square)))
    away = np.concatenate([np.arange(fine), fine * 2 ** np.arange(12)])
    kept = np.concatenate([[0, count - 1], middle + away, middle - away])
    found: Array = np.unique(kept[(kept >= 0) & (kept < count)])
    return found


def _sheet(x: Array, y: Array) -> Mesh:
    """A level sheet divided at ``x`` and ``y``, with its texture once over all of it."""
    place = np.stack([*np.meshgrid(x, y, indexing="ij"), np.zeros((len(x), len(y)))], -1).reshape(-1, 3)
    corner = np.arange(len(x) * len(y)).reshape(len(x), len(y))
    a, b, c, d = corner[:-1, :-1], corner[1:, :-1], corner[1:, 1:], corner[:-1, 1:]
    triangles = np.concatenate([np.stack(three, -1).reshape(-1, 3) for three in ((a, b, d), (b, c, d))])
    share = (place[:, :2] - (x[0], y[0])) / (x[-1] - x[0], y[-1] - y[0])
    return Mesh(place, np.broadcast_to((0.0, 0.0, 1.0), place.shape), triangles, share * (1.0, -1.0) + (0.0, 1.0))

"""Height fields in the triangles that the camera can see, of MuJoCo's 80,000: the pictures stay as they are.

What is out of the picture by more than `MARGIN` is left out, shadows that it may cast into it included.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from diswm.contract import Array
from diswm.envs.shapes import Mesh, compiled

MARGIN, _STEP = 1.5, 0.5
"""Metres, and those by which the place moves that this is seen from."""


class Terrain:
    """One height field of a model, as MuJoCo divides it (`mjr_uploadHField`), in the frame of its geom."""

    def __init__(self, model: Any, field: int, number: int) -> None:
        """``number`` is that of its display list."""
        self._model, self._field, self._number = model, field, number
        self._stale = True
        self._shown: tuple[Array, Array] | None = None  # the planes and the place that it was drawn for

    def reset(self) -> None:
        """Call when the heights have changed. They are looked at once they are to be seen: a field need not be."""
        self._stale = True

    def _read(self) -> None:
        self._stale, self._shown = False, None
        self._corners = surface(self._model, self._field)  # (N, 3, 3)
        self._middles = self._corners.mean(1)
        self._radii = np.linalg.norm(self._corners - self._middles[:, None], axis=2).max(1, keepdims=True)
        sides = self._corners[:, 1:] - self._corners[:, :1]
        normals = np.cross(sides[:, 0], sides[:, 1])
        self._normals = normals / np.linalg.norm(normals, axis=1, keepdims=True)

    def show(self, planes: Array, place: Array) -> None:
        """Prepare a picture from ``place`` (3,) of what lies behind none of ``planes`` (P, 3), through it and facing in. The context
        must be current."""
        if self._stale:
            self._read()
        place = _STEP * np.round(place / _STEP)
        if self._shown is not None and np.array_equal(planes, self._shown[0]) and np.array_equal(place, self._shown[1]):
            return
        inside = ((self._middles - place) @ planes.T > -(MARGIN + self._radii)).all(1)
        corners = self._corners[inside].reshape(-1, 3)
        compiled(self._number, [Mesh(corners, np.repeat(self._normals[inside], 3, axis=0), np.arange(len(corners)))])
        self._shown = planes, place


def surface(model: Any, field: int) -> Array:
    """The triangles of a height field, its sides and its bottom, (N, 3, 3)."""
    rows, columns = int(model.hfield_nrow[field]), int(model.hfield_ncol[field])
    x_half, y_half, top, base = model.hfield_size[field]
    start = model.hfield_adr[field]
    height = model.hfield_data[start : start + rows * columns].reshape(rows, columns) * top
    x, y = np.meshgrid(np.linspace(-x_half, x_half, columns), np.linspace(-y_half, y_half, rows))
    grid = np.stack([x, y, height], -1)
    near, right, far, over = grid[:-1, :-1], grid[:-1, 1:], grid[1:, :-1], grid[1:, 1:]
    found = [np.stack(three, -2).reshape(-1, 3, 3) for three in ((far, near, over), (near, right, over))]
    edges = grid[0], grid[:, -1], grid[-1, ::-1], grid[::-1, 0]
    for edge in edges:  # around it, counter-clockwise from above
        foot = edge * (1.0, 1.0, 0.0) - (0.0, 0.0, base)
        found += [np.stack(three, 1) for three in ((foot[:-1], foot[1:], edge[1:]), (foot[:-1], edge[1:], edge[:-1]))]
    a, b, c, d = ((x, y, -base) for x, y in ((-x_half, -y_half), (-x_half, y_half), (x_half, y_half), (x_half, -y_half)))
    return np.concatenate([*found, np.array([[a, b, c], [a, c, d]])])

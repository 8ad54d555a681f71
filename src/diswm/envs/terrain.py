"""Height fields in what a picture shows of them, of MuJoCo's 80,000 triangles.

A field fills the map of shadows: millions of texels, of which a small picture looks at one for each of its pixels. So the field itself
casts no shadows, and small triangles over those texels do in its place. Both are found by following rays (`heights`). Its shadows fall on
itself and on planes: all else stands on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from diswm.contract import Array
from diswm.envs.perspective import View, Views
from diswm.envs.shapes import Mesh, bare, compiled

MARGIN = 1.5
"""Metres around the picture in which a field is drawn `whole`."""
BLOCK = 8
"""Squares along the blocks that a field is drawn in."""


class Terrain:
    """One height field of a model, in the frame of its geom. The context must be current whenever it is shown."""

    def __init__(self, model: Any, field: int, number: int) -> None:
        """``number`` is that of its display list."""
        self._model, self._field, self._number = model, field, number
        self._half = np.array(model.hfield_size[field][:2], float)
        self._stale = True
        self._lists: dict[int, int] = {}  # of its blocks
        self._shade = 0

    def reset(self) -> None:
        """Call when the heights have changed. They are looked at once they are to be seen: a field need not be."""
        self._stale = True

    def whole(self, sides: Array, place: Array) -> None:
        """Prepare a picture from ``place`` (3,) of what lies behind none of the planes through it that have these ``sides`` (P, 3), facing
        in, or less than `MARGIN`."""
        self._read()
        inside = ((self._middles - place) @ sides.T > -(MARGIN + self._reach)).all(1)
        self._draw(np.append(inside, True))

    def below(self, maps: Sequence[View]) -> bool:
        """Whether these lights stand over it, so that neither its sides nor its bottom cast shadows."""
        self._read()
        size = np.array(self._heights.shape[::-1]) - 1.0
        for x, y, z in (view.eye for view in maps):
            if abs(x) >= self._half[0] or abs(y) >= self._half[1]:
                return False
            column, row = (0.5 * (1.0 + (x, y) / self._half) * size).astype(int)
            if z <= self._heights[row : row + 2, column : column + 2].max():
                return False
        return True

    def show(self, rays: Any, views: Views, planes: Array, mirrors: Array) -> tuple[int, Array]:
        """Prepare a picture, by ``rays``, the functions of `heights`. The field is drawn in what the camera sees of it, itself or in one of
        the ``planes`` (P, 4: the normal and how far along it) that are ``mirrors`` (P,). Returns the display list of what casts the
        field's shadows, and which (P,) of the planes are to be seen."""
        from OpenGL import GL

        self._read()
        camera, field = views.camera, (self._heights, self._tallest, self._half)
        blocks, shown = np.zeros(self._tallest.shape, bool), np.zeros(len(planes), bool)
        samples = camera.samples.astype(float)
        places = np.empty((camera.size**2 * len(samples) * (1 + len(planes)), 3))
        places = places[: rays.look(*field, *_seen(camera), samples, planes, mirrors, blocks, shown, places)]
        outside = (np.abs(camera.eye[:2]) > self._half).any() or camera.eye[2] < 0.0
        self._draw(np.append(blocks, outside or (shown & mirrors).any()))
        found = [np.zeros((0, 3, 3))]
        for view in views.maps:
            corners = np.empty((len(places), 3, 3))
            found.append(corners[: rays.shade(*field, *_seen(view), places, corners)])
        self._shade = self._shade or int(GL.glGenLists(1))
        bare(self._shade, np.concatenate(found))
        return self._shade, shown

    def _read(self) -> None:
        if not self._stale:
            return
        self._stale = False
        self._forget()
        self._heights = _heights(self._model, self._field)
        corners = surface(self._model, self._field)
        rows, columns = (count - 1 for count in self._heights.shape)
        across = -(-columns // BLOCK)
        square = np.arange(rows)[:, None] // BLOCK * across + np.arange(columns) // BLOCK
        owner = np.concatenate([square.ravel(), square.ravel()])  # both triangles; sides and bottom come after them
        order = np.argsort(owner, kind="stable")
        self._parts = [*np.split(corners[order], np.flatnonzero(np.diff(owner[order])) + 1), corners[len(owner) :]]
        low, high = (np.array([extreme(part, axis=(0, 1)) for part in self._parts[:-1]]) for extreme in (np.min, np.max))
        self._middles, self._reach = 0.5 * (low + high), 0.5 * np.linalg.norm(high - low, axis=1, keepdims=True)
        self._tallest = np.ascontiguousarray(high[:, 2].reshape(-1, across))

    def _forget(self) -> None:
        if not self._lists:
            return
        from OpenGL import GL

        for number in self._lists.values():
            GL.glDeleteLists(number, 1)
        self._lists.clear()

    def _draw(self, chosen: Array) -> None:
        """Make the field's display list one of these blocks (B + 1,), the last of which are its sides and bottom."""
        from OpenGL import GL

        numbers = np.flatnonzero(chosen)
        for part in map(int, numbers):
            if part not in self._lists:
                self._lists[part] = int(GL.glGenLists(1))
                compiled(self._lists[part], [_flat(self._parts[part])])
        called = np.array([self._lists[int(part)] for part in numbers], np.uint32)
        GL.glNewList(self._number, GL.GL_COMPILE)
        GL.glCallLists(len(called), GL.GL_UNSIGNED_INT, called)
        GL.glEndList()


def surface(model: Any, field: int) -> Array:
    """The triangles of a height field as MuJoCo divides it (`mjr_uploadHField`), its sides and its bottom, (N, 3, 3)."""
    height = _heights(model, field)
    rows, columns = height.shape
    x_half, y_half, _, base = model.hfield_size[field]
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


def _heights(model: Any, field: int) -> Array:
    """In metres, (rows, columns)."""
    rows, columns, start = (int(part[field]) for part in (model.hfield_nrow, model.hfield_ncol, model.hfield_adr))
    return np.array(model.hfield_data[start : start + rows * columns].reshape(rows, columns) * float(model.hfield_size[field][2]), float)


def _seen(view: View) -> tuple[Array, Array, float, float, int]:
    """As `heights` has it."""
    return view.eye.astype(float), view.axes.astype(float), 0.5 * view.size / view.focal, view.near, view.size


def _flat(corners: Array) -> Mesh:
    """Triangles (N, 3, 3), each lit as a whole."""
    sides = corners[:, 1:] - corners[:, :1]
    normals = np.cross(sides[:, 0], sides[:, 1])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-30)
    return Mesh(corners.reshape(-1, 3), np.repeat(normals, 3, axis=0), np.arange(3 * len(corners)))

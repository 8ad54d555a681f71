"""Round shapes and wide floors of fewer triangles for small pictures: triangles are what OpenGL in software waits for.

MuJoCo draws a capsule with rings of triangles along its straight side too, where nothing but the slow change of light needs them, and
a floor of 200 x 200 m as 40,000 squares. Its context keeps each shape as a display list, which is replaced here. How the lists are
numbered and how a floor is divided is MuJoCo's own (render_context.h and .c); where a version has another number of lists, all stay as
they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from diswm.contract import Array

SIDE = 2
"""Rings of a straight side; MuJoCo has 16."""
_SPHERE, _TOP, _BOTTOM, _CYLINDER, _OPEN = range(5)
_LISTS = 8
_MOST = 200  # squares along a floor in MuJoCo
_WIDE = 50  # a floor with more squares each way is drawn with large ones far away
_STEP, _FINE = 8, 16
"""Squares: the fine part of a floor moves by so many, and reaches so far each way."""


def simplify(model: Any, context: Any) -> Floors | None:
    """Give the context, which is current, our round shapes; the floors are what is to be asked before each picture. None where its
    lists are not numbered as here."""
    import mujoco

    planes = np.flatnonzero(model.geom_type == mujoco.mjtGeom.mjGEOM_PLANE)
    if (context.rangeBuiltin, context.rangePlane) != (_LISTS, len(planes) + 1):
        return None
    if not _printed(model):
        _round(context.baseBuiltin, model.vis.quality.numslices, model.vis.quality.numstacks // 2)
    return Floors(model, context.basePlane + 1, planes)  # the list before it is that of planes without a model


def _printed(model: Any) -> bool:
    """Whether a round shape carries a picture, for which the shapes here have no places."""
    import mujoco

    kind = mujoco.mjtGeom
    rounds = [kind.mjGEOM_SPHERE, kind.mjGEOM_CAPSULE, kind.mjGEOM_CYLINDER, kind.mjGEOM_ELLIPSOID]
    geoms, sites = np.isin(model.geom_type, rounds), np.isin(model.site_type, rounds)
    used = np.concatenate([model.geom_matid[geoms], model.site_matid[sites], model.tendon_matid])
    return bool((model.mat_texid[np.unique(used[used >= 0])] >= 0).any())


def _round(base: int, slices: int, cap: int) -> None:
    """Replace the lists of round shapes; half a ball has ``cap`` rings, which have fewer corners towards the pole."""
    ball, side = np.linspace(-np.pi / 2, np.pi / 2, 2 * cap + 1), np.linspace(-1.0, 1.0, SIDE + 1)
    ball = np.stack([np.cos(ball), np.sin(ball)], 1)
    ball[[0, -1], 0] = 0.0  # the poles, exactly
    few = [slices // (1 if radius > 0.7 or slices % 4 else 2 if radius > 0.3 else 4) for radius in ball[:, 0]]
    top, bottom, ring = ball[cap:], ball[: cap + 1], np.ones_like(side)
    straight, up = np.stack([ring, side, ring, 0.0 * side], 1), np.array([0.0, 1.0])
    disk = np.array([[0.0, -1.0, 0.0, -1.0], [0.5, -1.0, 0.0, -1.0], [1.0, -1.0, 0.0, -1.0]])
    sides, ends = lathe(straight, [slices] * len(side)), [slices] * 3
    shapes: dict[int, list[Mesh]] = {
        _SPHERE: [lathe(np.hstack([ball, ball]), few)],
        _TOP: [lathe(np.hstack([top + up, top]), few[cap:])],  # of a capsule: they stand on its ends
        _BOTTOM: [lathe(np.hstack([bottom - up, bottom]), few[: cap + 1])],
        _CYLINDER: [lathe(disk, ends), sides, lathe(disk[::-1] * (1.0, -1.0, 1.0, -1.0), ends)],
        _OPEN: [sides],
    }
    for number, meshes in shapes.items():
        _compile(base + number, meshes)


class Mesh(NamedTuple):
    """Vertices, normals (V, 3), triangles (N, 3), counter-clockwise seen from outside, and places in the texture (V, 2)."""

    vertices: Array
    normals: Array
    triangles: Array
    places: Array | None = None


def lathe(profile: Array, corners: Sequence[int]) -> Mesh:
    """What turning a ``profile`` (R, 4: radius and height, and those of the normal, from below) about z gives. Each of its rings has so
    many ``corners``: as many as the one below, or half or twice as many."""
    rings, start, triangles = [], 0, []
    for row, (radius, count) in enumerate(zip(profile[:, 0], corners, strict=True)):
        angles = 2.0 * np.pi * np.arange(count) / count
        turn = np.stack([np.cos(angles), np.sin(angles)], 1)
        rings.append([np.column_stack([part[0] * turn, np.full(count, part[1])]) for part in (profile[row, :2], profile[row, 2:])])
        if row:
            found = _between(start - corners[row - 1], corners[row - 1], start, count)
            # A ring without a radius is a point: what has two corners there is nothing.
            point = (start - corners[row - 1], start) if profile[row - 1, 0] == 0.0 else (start, start + count) if radius == 0.0 else (0, 0)
            triangles.append(found[((found >= point[0]) & (found < point[1])).sum(1) < 2])
        start += count
    places, normals = (np.concatenate([ring[i] for ring in rings]) for i in (0, 1))
    return Mesh(places, normals, np.concatenate(triangles))


def _between(a: int, lower: int, b: int, upper: int) -> Array:
    """Triangles (N, 3) between a ring of ``lower`` vertices from ``a`` on and the next of ``upper`` from ``b`` on."""
    few = min(lower, upper)
    i, j = np.arange(few), (np.arange(few) + 1) % few
    if lower == upper:
        return np.concatenate([np.stack([a + i, a + j, b + i], 1), np.stack([a + j, b + j, b + i], 1)])
    fine, coarse = (a, b) if lower > upper else (b, a)
    left, middle, right = fine + 2 * i, fine + 2 * i + 1, fine + (2 * i + 2) % (2 * few)
    found = [(left, middle, coarse + i), (middle, coarse + j, coarse + i), (middle, right, coarse + j)]
    return np.concatenate([np.stack(three if lower > upper else three[::-1], 1) for three in found])


def _compile(number: int, meshes: Sequence[Mesh]) -> None:
    """Make them the display list of this number."""
    from OpenGL import GL

    kinds = GL.GL_VERTEX_ARRAY, GL.GL_NORMAL_ARRAY, GL.GL_TEXTURE_COORD_ARRAY
    # A model with a skin (dog) leaves its buffers bound, and OpenGL would take the addresses below for places in them. MuJoCo binds anew.
    for buffer in (GL.GL_ARRAY_BUFFER, GL.GL_ELEMENT_ARRAY_BUFFER):
        GL.glBindBuffer(buffer, 0)
    GL.glNewList(number, GL.GL_COMPILE)
    for mesh in meshes:
        place, normal, order = (np.ascontiguousarray(array, kind) for array, kind in zip(mesh[:3], ("f4", "f4", "u4"), strict=True))
        GL.glVertexPointer(3, GL.GL_FLOAT, 0, place)
        GL.glNormalPointer(GL.GL_FLOAT, 0, normal)
        if mesh.places is not None:
            printed = np.ascontiguousarray(mesh.places, "f4")
            GL.glTexCoordPointer(2, GL.GL_FLOAT, 0, printed)
        on = kinds[: 2 + (mesh.places is not None)]
        for kind in on:
            GL.glEnableClientState(kind)
        GL.glDrawElements(GL.GL_TRIANGLES, order.size, GL.GL_UNSIGNED_INT, order)
        for kind in on:
            GL.glDisableClientState(kind)
    GL.glEndList()


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
                x, y = (own[thinned(len(own), at)] for own, at in zip(lines, middle, strict=True))
                _compile(self._first + number, [_sheet(x, y)])
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


def thinned(count: int, middle: int) -> Array:
    """Which of ``count`` lines to keep: all within ``_FINE`` of ``middle``, then ever fewer, and both ends."""
    away = np.concatenate([np.arange(_FINE), _FINE * 2 ** np.arange(12)])
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

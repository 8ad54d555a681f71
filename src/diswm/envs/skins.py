"""Skins in the triangles that cover something, of 33,900 that a dog has on a thousand pixels: the pictures stay as they are.

OpenGL colours a pixel by the triangles over its samples, and a map of shadows by those over its middles. In a small picture most triangles
of a skin lie between such points. Which ones do not is found here for the picture, its reflections and the maps of shadows.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from diswm.contract import Array
from diswm.envs.perspective import View, Views

_SLACK = 0.004  # pixels by which OpenGL may place a vertex otherwise
_EDGE = 2.0  # pixels around the picture from which on it does not matter where a vertex is
OPAQUE = 0.995  # in MuJoCo; of the rest both sides may be drawn


class Skins:
    """The skins of one model in one context, which must be current whenever this is used."""

    def __init__(self, model: Any, context: Any) -> None:
        self._context = context
        ends = zip(model.skin_faceadr, model.skin_facenum, strict=True)
        self._skins = [np.ascontiguousarray(model.skin_face[first : first + count].T, np.intp) for first, count in ends]
        self._closed = [_closed(model.skin_vert[first:], corners) for first, corners in zip(model.skin_vertadr, self._skins, strict=True)]

    def show(self, scene: Any, views: Views | None) -> None:
        """Prepare a picture of the scene: what the skins need for it is loaded. Where its views are not known that is all of them, and so
        it is from 251 pixels on."""
        import mujoco

        if not self._skins:
            return
        solid = all(geom.rgba[3] >= OPAQUE for geom in scene.geoms[: scene.ngeom] if geom.type == mujoco.mjtGeom.mjGEOM_SKIN)
        counted = views is not None and 2 * len(views.camera.samples) * _cell(views.camera.size).itemsize in (2, 4, 8)
        for skin, corners in enumerate(self._skins):
            first, count = int(scene.skinvertadr[skin]), int(scene.skinvertnum[skin])
            places = scene.skinvert[3 * first : 3 * (first + count)].reshape(-1, 3).T
            needed = _needed(places, corners, views, self._closed[skin]) if views and solid and counted else corners
            order = np.ascontiguousarray(needed.T, np.uint32)
            _load(int(self._context.skinfaceVBO[skin]), order)
            scene.skinfacenum[skin] = len(order)


def _needed(places: Array, corners: Array, views: Views, closed: bool) -> Array:
    """Of the triangles with these ``corners`` (3, N) among ``places`` (3, V) those that cover a sample of any view, (3, M)."""
    pictures = [views.camera, *views.mirrors]
    seen = [_projected(places, view) for view in pictures]
    shown = np.zeros(corners.shape[1], bool)
    for view, (x, y, behind) in zip(pictures, seen, strict=True):
        _cover(x, y, behind, corners, view, shown)
    casting = shown.copy()
    for view in views.maps:
        x, y, behind = _projected(places, view)
        # Both sides cast shadows. Those that face away lie under others, unless the skin is open or the light stands in it.
        for side in (view,) if closed and not behind.any() else (view, view._replace(sign=-1.0)):
            _cover(x, y, behind, corners, side, casting)
    # What only casts a shadow is drawn in every picture too. Turned over where it would face them, OpenGL leaves it out early.
    only = np.compress(casting & ~shown, corners, axis=1)
    front = [_area(x[only], y[only]) * view.sign > 0 for view, (x, y, _) in zip(pictures, seen, strict=True)]
    turned = np.logical_and.reduce(front)
    return np.concatenate([np.compress(shown, corners, axis=1), np.where(turned, only[::-1], only)], axis=1)


def _projected(places: Array, view: View) -> tuple[Array, Array, Array]:
    """Pixels x and y, each (V,), and which are too near to have any."""
    right, up, depth = view.axes @ places - (view.axes @ view.eye)[:, None]
    behind = depth < view.near
    scale = view.focal / np.maximum(depth, view.near)
    return right * scale + 0.5 * view.size, up * scale + 0.5 * view.size, behind


def _cover(x: Array, y: Array, behind: Array, corners: Array, view: View, marked: Array) -> None:
    """Mark (N,) those triangles that face a view and cover one of its samples, and all that it cannot say this of."""
    if behind.any():
        near = behind[corners]
        marked |= near.any(0) & ~near.all(0)
    found = np.flatnonzero(_between(x, y, view, corners) & ~marked)
    chosen = np.take(corners, found, axis=1)
    facing = _area(x[chosen], y[chosen]) * view.sign > 0
    found, chosen = found[facing], np.compress(facing, chosen, axis=1)
    flat = _Flat.of(x[chosen], y[chosen], view.sign)
    covers = np.zeros(len(found), bool)
    for shift in view.samples:
        first = np.ceil(flat.low - shift[:, None]) + shift[:, None]  # of the box around a triangle the first sample
        boxed = (first <= flat.high).all(0)
        several = boxed & (first + 1.0 <= flat.high).any(0)
        covers |= boxed & flat.over(first)
        if len(view.samples) > 1:  # few triangles of a picture have several in their box: not worth the time
            covers |= several
            continue
        again = np.flatnonzero(several & ~covers)
        rest, first = flat.only(again), np.take(first, again, axis=1)
        covers[again] = (first + 2.0 <= rest.high).any(0)
        for step in ((1.0, 0.0), (0.0, 1.0), (1.0, 1.0)):
            covers[again] |= rest.over(first + np.array(step, np.float32)[:, None])
    marked[found[covers]] = True


class _Flat(NamedTuple):
    """Triangles in a picture."""

    x: Array  # (3, N), of the corners
    y: Array
    along_x: Array  # (3, N), of the sides
    along_y: Array
    slack: Array
    low: Array  # (2, N)
    high: Array

    @classmethod
    def of(cls, x: Array, y: Array, sign: float) -> _Flat:
        along_x, along_y = (sign * (part[[1, 2, 0]] - part) for part in (x, y))
        slack = -_SLACK * (np.abs(along_x) + np.abs(along_y))
        low, high = (np.stack([extreme(x, axis=0), extreme(y, axis=0)]) for extreme in (np.min, np.max))
        return cls(x, y, along_x, along_y, slack, low, high)

    def only(self, chosen: Array) -> _Flat:
        return _Flat(*(np.take(part, chosen, axis=1) for part in self))

    def over(self, place: Array) -> Array:
        """Which (N,) cover the place (2, N) in each of them."""
        inside = self.along_x * (place[1] - self.y) - self.along_y * (place[0] - self.x) > self.slack
        return np.asarray(inside[0] & inside[1] & inside[2])


def _between(x: Array, y: Array, view: View, corners: Array) -> Array:
    """Which triangles (N,) have a sample between their corners, both across and up.

    Those of whose corners all are in one column or one row of the samples have none. All samples are looked at in one integer, which has
    a part for the column and the row of each."""
    kind = _cell(view.size)
    cells = np.empty((len(x), 2, len(view.samples)), kind)
    x, y = (np.clip(part, -_EDGE, view.size + _EDGE) + (_EDGE + 1.0) for part in (x, y))
    for index, shift in enumerate(view.samples):
        cells[:, 0, index], cells[:, 1, index] = x - shift[0], y - shift[1]
    word = np.dtype(f"u{cells[0].nbytes}")
    a, b, c = cells.reshape(len(x), -1).view(word)[:, 0][corners]
    differ = (a ^ b) | (b ^ c)
    high = np.full(cells[0].size, 1 << (8 * kind.itemsize - 1), kind).view(word)[0]
    crossed = (((differ & ~high) + ~high) | differ) & high  # the highest bit of each part that is not 0
    return np.asarray(crossed & (crossed >> word.type(4 * word.itemsize)) != 0)


def _cell(size: int) -> np.dtype[Any]:
    """What the columns of so many pixels are counted in."""
    return np.dtype(np.uint8 if size + 2 * _EDGE < 255 else np.uint16)


def _area(x: Array, y: Array) -> Array:
    """Twice the area of triangles with corners (3, N), positive where they are counter-clockwise."""
    return np.asarray((x[1] - x[0]) * (y[2] - y[0]) - (y[1] - y[0]) * (x[2] - x[0]))


def _load(buffer: int, order: Array) -> None:
    from OpenGL import GL

    GL.glBindBuffer(GL.GL_ELEMENT_ARRAY_BUFFER, buffer)
    GL.glBufferData(GL.GL_ELEMENT_ARRAY_BUFFER, order.nbytes, order, GL.GL_STREAM_DRAW)
    GL.glBindBuffer(GL.GL_ELEMENT_ARRAY_BUFFER, 0)


def _closed(vertices: Array, corners: Array) -> bool:
    """Whether a skin has an inside, and shows the other side: each edge (two places) is there as often in either direction."""
    places, place = np.unique(vertices[: int(corners.max(initial=-1)) + 1], axis=0, return_inverse=True)
    triangles = place.ravel()[corners]
    starts, ends = triangles.ravel(), triangles[[1, 2, 0]].ravel()
    ways, back = starts * len(vertices) + ends, ends * len(vertices) + starts
    a, b, c = places[triangles].astype(float)
    volume = float((a * np.cross(b, c)).sum())
    return volume > 0.0 and bool(np.array_equal(np.sort(ways[starts != ends]), np.sort(back[starts != ends])))

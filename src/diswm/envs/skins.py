"""Skins in the triangles that cover something, of 33,900 that a dog has on a thousand pixels: the pictures stay as they are.

OpenGL colours a pixel by the triangles over its samples, and a map of shadows by those over its middles. In a small picture most triangles
of a skin lie between such points. Which ones do not is found here for the picture, its reflections and the maps of shadows.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from diswm.contract import Array
from diswm.envs.perspective import View, Views

OPAQUE = 0.995  # in MuJoCo; of the rest both sides may be drawn


class Skins:
    """The skins of one model in one context, which must be current whenever this is used."""

    def __init__(self, model: Any, context: Any) -> None:
        self._context = context
        ends = zip(model.skin_faceadr, model.skin_facenum, strict=True)
        self._skins = [np.ascontiguousarray(model.skin_face[first : first + count].T, np.int32) for first, count in ends]
        self._closed = [_closed(model.skin_vert[first:], corners) for first, corners in zip(model.skin_vertadr, self._skins, strict=True)]

    def show(self, scene: Any, views: Views | None) -> None:
        """Prepare a picture of the scene: what the skins need for it is loaded. Where its views are not known that is all of them."""
        import mujoco

        solid = all(geom.rgba[3] >= OPAQUE for geom in scene.geoms[: scene.ngeom] if geom.type == mujoco.mjtGeom.mjGEOM_SKIN)
        for skin, corners in enumerate(self._skins):
            first, count = int(scene.skinvertadr[skin]), int(scene.skinvertnum[skin])
            places = scene.skinvert[3 * first : 3 * (first + count)].reshape(-1, 3).T
            needed = _needed(places, corners, views, self._closed[skin]) if views and solid else corners
            order = np.ascontiguousarray(needed.T, np.uint32)
            _load(int(self._context.skinfaceVBO[skin]), order)
            scene.skinfacenum[skin] = len(order)


def _needed(places: Array, corners: Array, views: Views, closed: bool) -> Array:
    """Of the triangles with these ``corners`` (3, N) among ``places`` (3, V) those that cover a sample of any view, (3, M)."""
    from diswm.envs.covering import cover  # it needs numba

    pictures = [views.camera, *views.mirrors]
    seen = [_projected(places, view) for view in pictures]
    shown = np.zeros(corners.shape[1], bool)
    for view, (x, y, behind) in zip(pictures, seen, strict=True):
        cover(x, y, behind, corners, view.size, view.samples, view.sign, shown)
    casting = shown.copy()
    for view in views.maps:
        x, y, behind = _projected(places, view)
        # Both sides cast shadows. Those that face away lie under others, unless the skin is open or the light stands in it.
        for sign in (1.0,) if closed and not behind.any() else (1.0, -1.0):
            cover(x, y, behind, corners, view.size, view.samples, sign, casting)
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

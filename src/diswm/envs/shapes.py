"""Meshes as OpenGL's display lists, and round shapes of fewer triangles: triangles are what OpenGL in software waits for.

MuJoCo draws a capsule with rings of triangles along its straight side too, where nothing but the slow change of light needs them. Its
context keeps each shape as a display list, which is replaced here; how the lists are numbered is MuJoCo's own (render_context.h).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from diswm.contract import Array

SIDE = 2
"""Rings of a straight side; MuJoCo has 16."""
HALVED = 0.75, 0.4
"""Rings of a ball up to so wide, of its radius, have half and a quarter of the corners."""
_SPHERE, _TOP, _BOTTOM, _CYLINDER, _OPEN = range(5)
LISTS = 8
"""Lists of shapes that MuJoCo has; where a version has another number, all stay as they are."""


class Mesh(NamedTuple):
    """Vertices, normals (V, 3), triangles (N, 3), counter-clockwise seen from outside, and places in the texture (V, 2)."""

    vertices: Array
    normals: Array
    triangles: Array
    places: Array | None = None


def redraw(base: int, slices: int, cap: int, halved: tuple[float, float] = HALVED) -> None:
    """Replace the lists of round shapes from ``base`` on; see `ball`."""
    turned, few = _ball(slices, cap, halved)
    top, bottom, up = turned[cap:], turned[: cap + 1], np.array([0.0, 1.0])
    shapes: dict[int, list[Mesh]] = {
        _SPHERE: [ball(slices, cap, halved)],
        _TOP: [lathe(np.hstack([top + up, top]), few[cap:])],  # of a capsule: they stand on its ends
        _BOTTOM: [lathe(np.hstack([bottom - up, bottom]), few[: cap + 1])],
        _CYLINDER: cylinder(slices, SIDE),
        _OPEN: [_side(slices, SIDE)],
    }
    for number, meshes in shapes.items():
        compiled(base + number, meshes, closed=True)


def ball(slices: int, cap: int, halved: tuple[float, float] = HALVED) -> Mesh:
    """A unit ball of ``slices`` corners around; a half has ``cap`` rings, which have fewer corners towards the pole."""
    turned, few = _ball(slices, cap, halved)
    return lathe(np.hstack([turned, turned]), few)


def capsule(slices: int, cap: int, half: float) -> Mesh:
    """Two halves of a unit ball, ``half`` above and below the middle, and what is between them."""
    turned, few = _ball(slices, cap)
    top, bottom, up = turned[cap:], turned[: cap + 1], np.array([0.0, half])
    profile = np.concatenate([np.hstack([bottom - up, bottom]), np.hstack([top + up, top])])
    return lathe(profile, few[: cap + 1] + few[cap:])


def cylinder(slices: int, rings: int = 1) -> list[Mesh]:
    """One of radius 1 from -1 to 1, with its ends, in so many rings each."""
    places = np.linspace(0.0, 1.0, rings + 1)[:, None]
    disk, ends = places * (1.0, 0.0, 0.0, 0.0) + (0.0, -1.0, 0.0, -1.0), [slices] * (rings + 1)
    return [lathe(disk, ends), _side(slices, rings), lathe(disk[::-1] * (1.0, -1.0, 1.0, -1.0), ends)]


def _side(slices: int, rings: int) -> Mesh:
    side = np.linspace(-1.0, 1.0, rings + 1)
    return lathe(np.stack([np.ones_like(side), side, np.ones_like(side), 0.0 * side], 1), [slices] * len(side))


def _ball(slices: int, cap: int, halved: tuple[float, float] = HALVED) -> tuple[Array, list[int]]:
    """The profile of a unit ball (2 cap + 1, 2), from below, and how many corners each of its rings has."""
    angles = np.linspace(-np.pi / 2, np.pi / 2, 2 * cap + 1)
    profile = np.stack([np.cos(angles), np.sin(angles)], 1)
    profile[[0, -1], 0] = 0.0  # the poles, exactly
    few = [slices]
    for radius in profile[cap + 1 :, 0]:
        least = few[-1] if few[-1] % 2 else few[-1] // 2  # rings are joined one to one or two to one
        few.append(max(least, slices // (1 if radius > halved[0] or slices % 4 else 2 if radius > halved[1] else 4)))
    return profile, few[:0:-1] + few


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


def compiled(number: int, meshes: Sequence[Mesh], closed: bool = False) -> None:
    """Make them the display list of this number. The context must be current.

    Of what is ``closed`` only the sides that face the light are drawn into the map of shadows, where MuJoCo draws the others too: they
    lie behind."""
    from OpenGL import GL

    kinds = GL.GL_VERTEX_ARRAY, GL.GL_NORMAL_ARRAY, GL.GL_TEXTURE_COORD_ARRAY
    _unbind()
    GL.glNewList(number, GL.GL_COMPILE)
    if closed:
        GL.glPushAttrib(GL.GL_ENABLE_BIT)
        GL.glEnable(GL.GL_CULL_FACE)
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
    if closed:
        GL.glPopAttrib()
    GL.glEndList()


def bare(number: int, corners: Array) -> None:
    """Make triangles (N, 3, 3) the display list of this number, to be seen in maps of shadows alone. The context must be current."""
    from OpenGL import GL

    _unbind()
    places = np.ascontiguousarray(corners, "f4")
    GL.glNewList(number, GL.GL_COMPILE)
    GL.glPushAttrib(GL.GL_POLYGON_BIT)
    GL.glCullFace(GL.GL_FRONT_AND_BACK)  # MuJoCo culls in pictures, and in maps of shadows it does not
    GL.glVertexPointer(3, GL.GL_FLOAT, 0, places)
    GL.glEnableClientState(GL.GL_VERTEX_ARRAY)
    GL.glDrawArrays(GL.GL_TRIANGLES, 0, 3 * len(places))
    GL.glDisableClientState(GL.GL_VERTEX_ARRAY)
    GL.glPopAttrib()
    GL.glEndList()


def _unbind() -> None:
    """A model with a skin (dog) leaves its buffers bound, and OpenGL would take addresses for places in them. MuJoCo binds anew."""
    from OpenGL import GL

    for buffer in (GL.GL_ARRAY_BUFFER, GL.GL_ELEMENT_ARRAY_BUFFER):
        GL.glBindBuffer(buffer, 0)

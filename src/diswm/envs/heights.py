"""Rays against a height field, compiled by numba at first use: what of it a picture shows, and where that lies in its own shadow.

All is in the field's frame, in metres. A field is ``heights`` (R, C) over a rectangle of ``half`` (2,) each way; a square between four of
them is two triangles, parted from its first corner to its last. Its blocks are `terrain.BLOCK` squares wide, and ``tallest`` (R', C') is
the top of each. A view is an ``eye`` (3,), ``axes`` (3, 3: right, up, forward), the ``slope`` of its sides and how ``near`` it begins.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from diswm.envs.terrain import BLOCK
from diswm.native import compiled, part

_WIDE = 0.75
"""Texels that a triangle covers around what is looked at in the map of shadows."""
_BIAS = 1.4
"""MuJoCo puts a field behind where it is, by 1.5 times what its depth changes from texel to texel, so that it is not in its own shadow."""
_FAINT = 0.005
"""Of what is looked at between four texels, the share of one that does not count: MuJoCo takes 0.99 of the light for all."""
_TOL = 1e-7


@part
def _way(axes: Any, a: float, b: float) -> Any:
    """Forward, and so far to the right and up."""
    return (
        axes[2, 0] + a * axes[0, 0] + b * axes[1, 0],
        axes[2, 1] + a * axes[0, 1] + b * axes[1, 1],
        axes[2, 2] + a * axes[0, 2] + b * axes[1, 2],
    )


@part
def _dot(a: Any, b: Any) -> Any:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


@part
def _at(o: Any, t: float, d: Any) -> Any:
    return o[0] + t * d[0], o[1] + t * d[1], o[2] + t * d[2]


@part
def _plane(heights: Any, half: Any, row: int, column: int, upper: bool) -> Any:
    """The plane z = c + a x + b y of a triangle: a, b, c. The upper one is that of the far side."""
    rows, columns = heights.shape[0] - 1, heights.shape[1] - 1
    scale_x, scale_y = columns / (2.0 * half[0]), rows / (2.0 * half[1])
    first, last = heights[row, column], heights[row + 1, column + 1]
    other = heights[row + 1, column] if upper else heights[row, column + 1]
    a, b = ((last - other) * scale_x, (other - first) * scale_y) if upper else ((other - first) * scale_x, (last - other) * scale_y)
    return a, b, first - a * (column / scale_x - half[0]) - b * (row / scale_y - half[1])


@part
def _meet(plane: Any, o: Any, d: Any) -> Any:
    """How many times ``d`` from ``o`` a plane is."""
    a, b, c = plane
    return (c + a * o[0] + b * o[1] - o[2]) / (d[2] - a * d[0] - b * d[1])


@part
def _within(at: float, way: float, count: int) -> Any:
    """From where to where on its way (inf if nowhere) a ray lies between 0 and ``count`` along one side."""
    if way == 0.0:
        return (-np.inf, np.inf) if 0.0 <= at <= count else (np.inf, np.inf)
    a, b = -at / way, (count - at) / way
    return min(a, b), max(a, b)


@part
def _leave(at: float, way: float, cell: int, wide: int) -> float:
    """Where on its way a ray leaves a cell, so many squares wide, along one side."""
    return ((cell + (way > 0.0)) * wide - at) / way if way != 0.0 else np.inf


@part
def _square(heights: Any, row: int, column: int, u: float, v: float, z: float, d: Any, start: float, out: float) -> Any:
    """Where between ``start`` and ``out`` a ray from (u, v) in a square meets one of its triangles from above, and which."""
    first, right, far, last = heights[row, column], heights[row, column + 1], heights[row + 1, column], heights[row + 1, column + 1]
    best, which = np.inf, False
    if min(z + start * d[2], z + out * d[2]) > max(max(first, right), max(far, last)):
        return best, which
    for upper in (False, True):
        slope_x, slope_y = (last - far, far - first) if upper else (right - first, last - right)
        down = d[2] - slope_x * d[0] - slope_y * d[1]
        t = (first + slope_x * u + slope_y * v - z) / down
        if down < 0.0 and start - _TOL <= t <= out + _TOL and t < best:
            beside = (u + t * d[0]) - (v + t * d[1])
            if (beside <= _TOL) if upper else (beside >= -_TOL):
                best, which = t, upper
    return best, which


@part
def _first(heights: Any, tallest: Any, half: Any, o: Any, way: Any, begin: float) -> Any:
    """Where a ray from ``o`` first meets the field from above, from ``begin`` times its ``way`` on: how many times (inf if nowhere), the
    row and column of the square, and which of its triangles. It goes from square to square (Amanatides and Woo 1987), and from block to
    block where it is above them."""
    rows, columns = heights.shape[0] - 1, heights.shape[1] - 1
    scale_x, scale_y = columns / (2.0 * half[0]), rows / (2.0 * half[1])
    x, y, z = (o[0] + half[0]) * scale_x, (o[1] + half[1]) * scale_y, o[2]
    d = (way[0] * scale_x, way[1] * scale_y, way[2])
    (start_x, end_x), (start_y, end_y) = _within(x, d[0], columns), _within(y, d[1], rows)
    start, end = max(begin, start_x, start_y), min(end_x, end_y)
    if not start < end:
        return np.inf, 0, 0, False
    column, row = min(max(int(x + start * d[0]), 0), columns - 1), min(max(int(y + start * d[1]), 0), rows - 1)
    while start < end and 0 <= column < columns and 0 <= row < rows:
        across, along = column // BLOCK, row // BLOCK
        to_x, to_y = _leave(x, d[0], across, BLOCK), _leave(y, d[1], along, BLOCK)
        out = min(to_x, to_y, end)
        if min(z + start * d[2], z + out * d[2]) > tallest[along, across]:
            if to_x < to_y:
                column = (across + 1) * BLOCK if d[0] > 0.0 else across * BLOCK - 1
                row = min(max(int(y + out * d[1]), along * BLOCK), min((along + 1) * BLOCK, rows) - 1)
            else:
                row = (along + 1) * BLOCK if d[1] > 0.0 else along * BLOCK - 1
                column = min(max(int(x + out * d[0]), across * BLOCK), min((across + 1) * BLOCK, columns) - 1)
        else:
            to_x, to_y = _leave(x, d[0], column, 1), _leave(y, d[1], row, 1)
            out = min(to_x, to_y, end)
            t, upper = _square(heights, row, column, x - column, y - row, z, d, start, out)
            if t < np.inf:
                return t, row, column, upper
            if to_x < to_y:
                column += 1 if d[0] > 0.0 else -1
            else:
                row += 1 if d[1] > 0.0 else -1
        start = out
    return np.inf, 0, 0, False


@part
def _mark(blocks: Any, row: int, column: int) -> None:
    """Mark the blocks of a square and of those around it."""
    for i in (row - 1, row + 1):
        for j in (column - 1, column + 1):
            blocks[min(max(i // BLOCK, 0), blocks.shape[0] - 1), min(max(j // BLOCK, 0), blocks.shape[1] - 1)] = True


@part
def _inside(heights: Any, half: Any, row: int, column: int, upper: bool, place: Any) -> bool:
    """Whether a place is over a triangle."""
    u = (place[0] + half[0]) * (heights.shape[1] - 1) / (2.0 * half[0]) - column
    v = (place[1] + half[1]) * (heights.shape[0] - 1) / (2.0 * half[1]) - row
    return bool(0.0 <= u <= v <= 1.0 if upper else 0.0 <= v <= u <= 1.0)


@part
def _put(places: Any, count: int, o: Any, way: Any, t: float) -> int:
    """Put a place into the next row of ``places``, if it is ahead."""
    if 0.0 < t < np.inf:
        places[count, 0], places[count, 1], places[count, 2] = _at(o, t, way)
        return count + 1
    return count


@compiled()
def look(
    heights: Any, tallest: Any, half: Any, eye: Any, axes: Any, slope: float, near: float, size: int, samples: Any,
    planes: Any, mirror: Any, blocks: Any, shown: Any, places: Any,
) -> int:  # fmt: skip
    """Mark the ``blocks`` (R', C') of the field, and which planes are ``shown`` (P,), in a picture of (size, size) pixels, each of which is
    looked at in its ``samples`` (S, 2). Planes are (P, 4), the normal and how far along it; a ``mirror`` (P,) may show the field.

    OpenGL lights a triangle at the middle of a pixel, even if it only covers a sample beside it: these places, in the planes of all that
    a pixel shows, go into ``places`` (N, 3). Returns how many there are."""
    count, o = 0, (eye[0], eye[1], eye[2])
    squares, sides = np.empty((len(samples), 2), np.int64), np.empty(len(samples), np.bool_)
    for i in range(size):
        for j in range(size):
            middle, found = _way(axes, slope * (2.0 * (j + 0.5) / size - 1.0), slope * (2.0 * (i + 0.5) / size - 1.0)), 0
            for s in range(len(samples)):
                d = _way(axes, slope * (2.0 * (j + samples[s, 0]) / size - 1.0), slope * (2.0 * (i + samples[s, 1]) / size - 1.0))
                known = False
                for k in range(found):  # most samples of a pixel lie in one triangle
                    t = _meet(_plane(heights, half, squares[k, 0], squares[k, 1], sides[k]), o, d)
                    known = known or (t > near and _inside(heights, half, squares[k, 0], squares[k, 1], sides[k], _at(o, t, d)))
                if known:
                    continue
                t, row, column, upper = _first(heights, tallest, half, o, d, near)
                if t < np.inf:
                    _mark(blocks, row, column)
                    squares[found, 0], squares[found, 1], sides[found] = row, column, upper
                    found += 1
                    count = _put(places, count, o, middle, _meet(_plane(heights, half, row, column, upper), o, middle))
                for k in range(len(planes)):  # they may end anywhere: none hides another, or the field
                    ahead, away = _dot(planes[k], d), planes[k, 3] - _dot(planes[k], o)
                    if not (ahead < 0.0 and near < away / ahead <= t):
                        continue
                    shown[k] = True
                    count = _put(places, count, o, middle, away / _dot(planes[k], middle))
                    if mirror[k]:
                        back = _at(d, -2.0 * ahead, planes[k])
                        again, row, column, upper = _first(heights, tallest, half, _at(o, away / ahead, d), back, 0.0)
                        if again < np.inf:
                            _mark(blocks, row, column)
    return count


@compiled()
def shade(
    heights: Any, tallest: Any, half: Any, eye: Any, axes: Any, slope: float, near: float, size: int, places: Any, corners: Any
) -> int:  # fmt: skip
    """Triangles of the field in its map of shadows that put ``places`` (N, 3) into its shadow, into ``corners`` (M, 3, 3).

    The map is seen as a picture is, has ``size`` texels each way, without the outermost, and is looked at between the middles of four for
    each place. Where the field is nearer to the light there than the place is, a triangle in the field's own plane covers them. Returns how
    many there are."""
    count, o, texel = 0, (eye[0], eye[1], eye[2]), 2.0 * slope / size
    for index in range(len(places)):
        away = (places[index, 0] - o[0], places[index, 1] - o[1], places[index, 2] - o[2])
        depth = _dot(axes[2], away)
        if depth <= 0.0:
            continue
        # MuJoCo draws the map without its outermost texels and looks at it as if it had drawn them too.
        x = (0.5 * _dot(axes[0], away) / (depth * slope) + 0.5) * (size + 2) - 0.5
        y = (0.5 * _dot(axes[1], away) / (depth * slope) + 0.5) * (size + 2) - 0.5
        left, low = np.floor(x), np.floor(y)
        if not (0.0 <= left <= size and 0.0 <= low <= size):
            continue
        a, b = slope * (2.0 * left / size - 1.0), slope * (2.0 * low / size - 1.0)  # of the corner between the four
        t, row, column, upper = _first(heights, tallest, half, o, _way(axes, a, b), near)
        if not t < np.inf:
            continue
        plane = _plane(heights, half, row, column, upper)
        across, up = abs(_meet(plane, o, _way(axes, a + texel, b)) - t), abs(_meet(plane, o, _way(axes, a, b + texel)) - t)
        shaded = False
        for i in range(2):
            for j in range(2):
                share = (x - left if i else 1.0 - x + left) * (y - low if j else 1.0 - y + low)
                there = _meet(plane, o, _way(axes, a + (i - 0.5) * texel, b + (j - 0.5) * texel))
                shaded = shaded or (share > _FAINT and depth - there > _BIAS * max(across, up))
        if shaded:
            for corner, (to_x, to_y) in enumerate(((2.0, 0.0), (-1.0, -(3.0**0.5)), (-1.0, 3.0**0.5))):  # around a circle of radius 1
                d = _way(axes, a + _WIDE * texel * to_x, b + _WIDE * texel * to_y)
                corners[count, corner, 0], corners[count, corner, 1], corners[count, corner, 2] = _at(o, _meet(plane, o, d), d)
            count += 1
    return count

"""Which triangles cover a sample of a picture, compiled by numba at first use."""

from __future__ import annotations

from typing import Any

import numpy as np

from diswm.native import compiled, part

_SLACK = 0.004  # pixels by which OpenGL may place a vertex otherwise
_MANY = 4  # pixels from which on it is not looked whether a triangle covers one of the samples in them


@part
def _over(a: Any, b: Any, x: float, y: float, sign: float) -> bool:
    """Whether a place is on the inner side of the line from a to b."""
    along_x, along_y = sign * (b[0] - a[0]), sign * (b[1] - a[1])
    return bool(along_x * (y - a[1]) - along_y * (x - a[0]) > -_SLACK * (abs(along_x) + abs(along_y)))


@part
def _covers(a: Any, b: Any, c: Any, size: int, samples: Any, sign: float) -> bool:
    low_x, low_y = min(a[0], b[0], c[0]), min(a[1], b[1], c[1])
    high_x, high_y = max(a[0], b[0], c[0]), max(a[1], b[1], c[1])
    for s in range(len(samples)):
        to_x, to_y = samples[s, 0], samples[s, 1]
        left, right = max(np.ceil(low_x - to_x), 0.0), min(np.floor(high_x - to_x), size - 1.0)
        low, high = max(np.ceil(low_y - to_y), 0.0), min(np.floor(high_y - to_y), size - 1.0)
        if right < left or high < low:
            continue
        if right - left >= _MANY or high - low >= _MANY:
            return True
        for i in range(int(left), int(right) + 1):
            for j in range(int(low), int(high) + 1):
                x, y = i + to_x, j + to_y
                if _over(a, b, x, y, sign) and _over(b, c, x, y, sign) and _over(c, a, x, y, sign):
                    return True
    return False


@compiled()
def cover(x: Any, y: Any, behind: Any, corners: Any, size: int, samples: Any, sign: float, marked: Any) -> None:
    """Mark (N,) those triangles, of ``corners`` (3, N), that face a view (`perspective.View`) and cover one of its samples, and all that
    it cannot say this of.

    Their corners are at pixels ``x`` and ``y`` (V,), or ``behind`` (V,) where the view begins."""
    for n in range(corners.shape[1]):
        if marked[n]:
            continue
        first, second, third = corners[0, n], corners[1, n], corners[2, n]
        hidden = int(behind[first]) + int(behind[second]) + int(behind[third])
        if hidden:
            marked[n] = hidden < 3
            continue
        a, b, c = (x[first], y[first]), (x[second], y[second]), (x[third], y[third])
        if sign * ((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])) > 0.0:
            marked[n] = _covers(a, b, c, size, samples, sign)

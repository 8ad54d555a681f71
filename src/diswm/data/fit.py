"""Pictures of any size made square, and films of any rate made slower."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from diswm.contract import Array, DiswmError, unknown
from diswm.data.readers.clip import Keep

if TYPE_CHECKING:
    from PIL.Image import Image

Fit: TypeAlias = Literal["crop", "letterbox", "stretch"]
FITS = ("crop", "letterbox", "stretch")
"""The centred square alone; all of it, with black bars; all of it, out of proportion."""


def square(image: Image, size: int, fit: str) -> Array:
    """(size, size, 3) uint8, antialiased. A picture that has this size already comes as it is."""
    from PIL import Image as Pictures

    if fit not in FITS:
        raise unknown("fit", fit, FITS)
    width, height = image.size
    if (width, height) == (size, size):
        return np.asarray(image.convert("RGB"))
    box, target = (0.0, 0.0, float(width), float(height)), (size, size)
    if fit == "crop":
        side = min(width, height)
        left, top = (width - side) / 2, (height - side) / 2
        box = (left, top, left + side, top + side)
    elif fit == "letterbox":
        longest = max(width, height)
        target = max(1, round(size * width / longest)), max(1, round(size * height / longest))
    resized = image.convert("RGB").resize(target, Pictures.Resampling.BILINEAR, box=box)  # wider than a pixel where it shrinks
    if target == (size, size):
        return np.asarray(resized)
    framed = Pictures.new("RGB", (size, size))
    framed.paste(resized, ((size - target[0]) // 2, (size - target[1]) // 2))
    return np.asarray(framed)


def slower(fps: float | None, target: float | None) -> Keep:
    """Which frames of a film of ``fps`` make one of ``target`` frames a second: the one on show at each tick, none twice.

    All of them without ``target`` and where the film is slower already. DiswmError where its rate is unknown.
    """
    if target is None:
        return lambda index: True
    if fps is None:
        raise DiswmError(f"has no frames per second, so that none can be chosen for {target:g}. Leave --fps out")
    share = min(1.0, target / fps)
    return lambda index: math.ceil(index * share - 1e-6) < math.ceil((index + 1) * share - 1e-6)

"""Where the decoded frames of videos lie, one after the other: in memory, or in a flat file. Both give the same windows."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np

from diswm.contract import Array
from diswm.data.records import Records


class FrameStore(Protocol):
    """Rows are numbered over all episodes; ``image`` is (rows, H, W, C), windows are (B, length, H, W, C), uint8."""

    def write(self, start: int, image: Array) -> None: ...

    def windows(self, starts: Array, length: int) -> Array: ...


class RamFrames:
    """Frames in one contiguous array."""

    def __init__(self, rows: int, image_shape: tuple[int, ...]) -> None:
        self._frames = np.empty((rows, *image_shape), np.uint8)

    def write(self, start: int, image: Array) -> None:
        self._frames[start : start + len(image)] = image

    def windows(self, starts: Array, length: int) -> Array:
        out = np.empty((len(starts), length, *self._frames.shape[1:]), np.uint8)
        for index, start in enumerate(starts):
            out[index] = self._frames[start : start + length]
        return out


class DiskFrames:
    """Frames in one flat file."""

    def __init__(self, path: Path, image_shape: tuple[int, ...]) -> None:
        self.records = Records(path, image_shape)

    def write(self, start: int, image: Array) -> None:
        self.records.write(start, image)

    def windows(self, starts: Array, length: int) -> Array:
        return self.records.read(starts, length)[1]

"""Rows of fixed size in a flat file, and how windows are drawn from episodes that lie in it.

A row is ``[small columns | image]``. Windows are read with preadv straight into the arrays that are returned, not mapped:
mapped pages would count as this process's memory, and a memory budget has to hold.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from diswm.contract import Array, DiswmError

IMAGE = "image"
_ROWS_PER_CALL = 512  # two buffers a row, and the kernel takes 1024 buffers a call
_ROWS_PER_WRITE = 256


def draw_windows(rng: np.random.Generator, lengths: Array, batch: int, length: int) -> tuple[Array, Array]:
    """Draw ``batch`` windows: uniform over the episodes of at least ``length`` rows, then uniform over their starts.

    ``lengths`` are in rows, one entry an episode. Returns, both (B,) int64, the index of each window's episode in them and the
    window's first row in the episode. Raises DiswmError where every episode is shorter than the window.
    """
    enough = np.flatnonzero(lengths >= length)
    if not len(enough):
        longest = int(lengths.max()) if len(lengths) else 0
        raise DiswmError(
            f"No episode is long enough: the longest of {len(lengths)} has {longest} rows, the window {length}. "
            "Use a shorter window, or collect longer episodes."
        )
    chosen = enough[rng.integers(len(enough), size=batch)]
    offsets = rng.integers(lengths[chosen] - length + 1)
    return chosen, offsets


class Records:
    """A flat file of rows: the small columns as one packed record (``head``), then the image. One thread at a time.

    ``head`` lists the small columns as numpy dtype fields; it may be empty. Opening never truncates.
    """

    def __init__(self, path: Path, image_shape: Sequence[int], head: Sequence[tuple[Any, ...]] = ()) -> None:
        self.path = Path(path)
        self.head = np.dtype(list(head))
        self.image_shape = tuple(int(n) for n in image_shape)
        self.row = np.dtype([*([("head", self.head)] if self.head.itemsize else []), (IMAGE, np.uint8, self.image_shape)])
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)

    @property
    def row_bytes(self) -> int:
        return self.row.itemsize

    @property
    def bytes_on_disk(self) -> int:
        """What the file takes on the disk; holes are not counted."""
        return os.fstat(self._file).st_blocks * 512

    def write(self, start: int, image: Array, head: Mapping[str, Array] | None = None) -> None:
        """Write rows from row ``start`` on, in ascending order. ``image`` (L, H, W, C) uint8; ``head``: column -> (L, ...).

        Raises OSError; then a first part of the rows may be on disk.
        """
        for first in range(0, len(image), _ROWS_PER_WRITE):
            part = slice(first, first + _ROWS_PER_WRITE)
            rows = np.zeros(len(image[part]), self.row)
            rows[IMAGE] = image[part]
            for name in self.head.names or ():
                rows["head"][name] = (head or {})[name][part]
            self._write_bytes(rows.view(np.uint8).data, (start + first) * self.row_bytes)

    def _write_bytes(self, data: memoryview, offset: int) -> None:
        while data:
            done = os.pwrite(self._file, data, offset)
            data, offset = data[done:], offset + done

    def read(self, starts: Sequence[int] | Array, length: int) -> tuple[Array, Array]:
        """Windows of ``length`` rows from each of ``starts`` (B,): head (B, T) records and image (B, T, H, W, C) uint8."""
        image = np.empty((len(starts), length, *self.image_shape), np.uint8)
        head = np.empty((len(starts), length), self.head)
        images = image.reshape(-1).data
        heads = head.reshape(-1).view(np.uint8).data if head.nbytes else None
        for index, start in enumerate(starts):
            for first in range(0, length, _ROWS_PER_CALL):
                rows = range(index * length + first, index * length + min(first + _ROWS_PER_CALL, length))
                self._fill(self._buffers(rows, images, heads), len(rows), int(start) + first)
        return head, image

    def _buffers(self, rows: range, images: memoryview, heads: memoryview | None) -> list[memoryview]:
        h, i = self.head.itemsize, self.row_bytes - self.head.itemsize
        if heads is None:  # images alone lie side by side
            return [images[rows.start * i : rows.stop * i]]
        return [part for r in rows for part in (heads[r * h : (r + 1) * h], images[r * i : (r + 1) * i])]

    def _fill(self, buffers: list[memoryview], rows: int, start: int) -> None:
        offset, left = start * self.row_bytes, rows * self.row_bytes
        while left:
            done = os.preadv(self._file, buffers, offset)
            if not done:
                raise DiswmError(f"{self.path}: ends before row {start + rows}. The file was cut; restore it from a copy or start anew.")
            left, offset = left - done, offset + done
            while buffers and done >= len(buffers[0]):  # a read may stop short: go on where it stopped
                done -= len(buffers.pop(0))
            if done:
                buffers[0] = buffers[0][done:]

    def read_heads(self, start: int, rows: int) -> Array:
        """Only the small columns of ``rows`` rows, (rows,); rows beyond the end of the file come as 0xff bytes."""
        head = np.frombuffer(bytearray(b"\xff" * (rows * self.head.itemsize)), self.head)
        view, step = head.view(np.uint8).data, self.head.itemsize
        for row in range(rows):
            os.preadv(self._file, [view[row * step : (row + 1) * step]], (start + row) * self.row_bytes)
        return head

    def flush(self) -> None:
        """Return once the data is on the disk."""
        os.fdatasync(self._file)

    def truncate(self) -> None:
        os.ftruncate(self._file, 0)

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            self.close()

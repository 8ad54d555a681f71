"""HDF5 files: every data set of pictures in them is a camera, cut into episodes where the file says where they begin.

Read as hostile: nothing outside the file is opened, and what a data set declares is judged before it is read.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from diswm.contract import Array, DiswmError
from diswm.data.readers.clip import Clip, Head, Keep, Skipped, check_pixels, load, natural, reason
from diswm.data.readers.stills import attempt

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = (".hdf5", ".h5", ".hdf")
MAX_OBJECTS = 500_000
MAX_CHUNK = 256 << 20  # bytes that one piece of a data set unpacks to
MAX_RATIO, ALWAYS = 1_100, 1 << 30  # declared bytes for each that is stored (gzip packs 1,032 at most), and what any file may declare
_READ = 32 << 20  # bytes that are read at once
_ENCODED = (b"\xff\xd8\xff", b"\x89PN", b"RIF")  # JPEG, PNG, WebP
_LEAST = 8  # height and width; what is smaller has codes in it, not colours
_GREY = 32  # a 3-D array of bytes is a film without colours from this height and width on
_FIRSTS, _LASTS = ("is_first",), ("is_last", "done", "dones", "terminals", "timeouts", "terminations", "truncations")
_NUMBERS = ("episode_index", "episode_idx", "episode_id", "ep_idx")


class Layout(NamedTuple):
    """How pictures lie in a data set: with these axes and this (width, height), or, without axes, each as an encoded file."""

    axes: str = ""
    size: tuple[int, int] = (0, 0)


def hdf5(path: Path, name: str, only: str = "") -> tuple[list[Clip], Skipped]:
    """The clips of a file, and the data sets of pictures that cannot be used; of data sets below ``only`` where that is given.

    DiswmError, with what there is in the file, where nothing can be used. Data sets named ``next_...`` show the same frames
    once more and are left out.
    """
    h5py = load("h5py", name)
    clips: list[Clip] = []
    skipped: Skipped = []
    with h5py.File(path, "r") as file:
        sets, links = _contents(h5py, file)
        for inside in sorted(sets, key=natural):
            parts = inside.split("/")
            if any(part.startswith("next_") for part in parts) or (only and only not in parts):
                continue
            try:
                if layout := _layout(h5py, file[inside]):
                    clips += _cut(path, f"{name}:{inside}", file[inside], layout, inside)
            except Exception as error:  # damaged files make h5py raise errors of many kinds
                skipped.append((f"{name}:{inside}", str(reason(error))))
        if not clips and not skipped:
            found = ", ".join(f"{inside} {file[inside].dtype} {file[inside].shape}" for inside in sets[:8]) or "none at all"
            outside = f" Links to other files are not followed: {', '.join(links[:4])}." if links else ""
            raise DiswmError(
                f"has no pictures: expected a data set of uint8 (frames, height, width, 3), its data sets are {found}.{outside}"
            )
    return clips, skipped


def _contents(h5py: Any, file: Any) -> tuple[list[str], list[str]]:
    """Names of the data sets, each once, and of the links that lead out of the file."""
    sets: list[str] = []
    links: list[str] = []
    count = 0

    def visit(name: str, link: Any) -> bool | None:
        nonlocal count
        count += 1
        if isinstance(link, h5py.ExternalLink):
            links.append(name)
        elif isinstance(link, h5py.HardLink) and isinstance(file.get(name), h5py.Dataset):
            sets.append(name)
        return True if count > MAX_OBJECTS else None

    if file.visititems_links(visit):
        raise DiswmError(f"holds more than {MAX_OBJECTS:,} objects")
    return sets, links


def _layout(h5py: Any, data: Any) -> Layout | None:
    """None for what is no data set of pictures. DiswmError for one that must not be read."""
    shape, rank = data.shape or (), len(data.shape or ())
    vlen = h5py.check_vlen_dtype(data.dtype) == np.uint8
    if not (vlen or data.dtype == np.uint8) or not rank or not all(shape):
        return None
    raw = pixels(shape)
    if raw is None and rank != 1 + (not vlen):
        return None
    _check_stored(data)
    if raw:
        check_pixels(*raw.size)
        return raw
    return Layout() if bytes(data[0][:3]) in _ENCODED else None


def pixels(shape: tuple[int, ...]) -> Layout | None:
    """The layout of raw frames: (..., T, H, W, C), (..., T, C, H, W) or, of grey ones, (T, H, W); None for anything else."""
    if len(shape) in (4, 5):
        lead = "N" if len(shape) == 5 else ""
        if shape[-1] in (1, 3, 4) and min(shape[-3:-1]) >= _LEAST:
            return Layout(lead + "THWC", (shape[-2], shape[-3]))
        if shape[-3] in (1, 3) and min(shape[-2:]) >= _LEAST:
            return Layout(lead + "TCHW", (shape[-1], shape[-2]))
    if len(shape) == 3 and min(shape[1:]) >= _GREY:
        return Layout("THW", (shape[2], shape[1]))
    return None


def _check_stored(data: Any) -> None:
    if data.external or data.is_virtual:
        raise DiswmError("lies in other files, which are not opened")
    declared, stored = math.prod(data.shape) * data.dtype.itemsize, data.id.get_storage_size()
    if declared > max(ALWAYS, MAX_RATIO * stored):
        raise DiswmError(f"declares shape {data.shape} with only {stored:,} bytes in the file")
    if not stored:
        raise DiswmError(f"declares shape {data.shape} but was never written")
    if data.chunks and math.prod(data.chunks) * data.dtype.itemsize > MAX_CHUNK:
        raise DiswmError(f"is stored in pieces of {data.chunks}, more than the limit of {MAX_CHUNK:,} bytes each")


def _cut(path: Path, name: str, data: Any, layout: Layout, inside: str) -> Iterator[Clip]:
    """The episodes of a data set as clips."""
    camera = inside.rpartition("/")[2]

    def clip(which: str, start: int, stop: int, number: int | None) -> Clip:
        def frames(keep: Keep) -> Iterator[Image | DiswmError]:
            return _frames(path, inside, layout, start, stop, number, keep)

        return Clip(name + which, lambda: Head(stop - start, layout.size if layout.axes else None), frames, camera)

    if layout.axes.startswith("N"):
        for number in range(data.shape[0]):
            yield clip(f"[{number}]", 0, data.shape[1], number)
        return
    bounds = _episodes(data, camera)
    for start, stop in bounds:
        yield clip(f"[{start}:{stop}]" if len(bounds) > 1 else "", start, stop, None)


def _episodes(data: Any, camera: str) -> list[tuple[int, int]]:
    """Where the episodes begin and end, by the columns beside the pictures; one episode where there are none."""
    rows = data.shape[0]
    first = np.zeros(rows, bool)
    first[0] = True
    for name in (*_FIRSTS, *_LASTS, *_NUMBERS, "step_type", "ep_offset"):
        column = data.parent.get(name) if isinstance(data.parent.get(name, getlink=True), _hard()) else None
        if column is None or name == camera or getattr(column, "ndim", 0) not in (1, 2) or column.dtype.kind not in "biuf":
            continue
        if column.size > rows or (column.size < rows and name != "ep_offset"):
            continue
        _check_stored(column)
        values = column[()].reshape(-1)
        if name == "ep_offset":
            first[values[(values >= 0) & (values < rows)].astype(np.int64)] = True
        elif name in _LASTS:
            first[1:] |= values[:-1] != 0
        elif name in _NUMBERS:
            first[1:] |= values[1:] != values[:-1]
        else:
            first |= values == 0 if name == "step_type" else values != 0
    starts = np.flatnonzero(first).tolist()
    return list(zip(starts, [*starts[1:], rows], strict=True))


def _hard() -> Any:
    return load("h5py", "an HDF5 file").HardLink


def _frames(path: Path, inside: str, layout: Layout, start: int, stop: int, number: int | None, keep: Keep) -> Iterator[Image | DiswmError]:
    from PIL import Image

    with load("h5py", path.name).File(path, "r") as file:
        data = file[inside]
        step = _rows_at_once(data) if layout.axes else 1
        for begin in range(start, stop, step):
            rows = slice(begin, min(begin + step, stop))
            block = data[rows] if number is None else data[number, rows]
            for offset, row in enumerate(block):
                index = begin - start + offset
                if keep(index):
                    yield Image.fromarray(to_colour(row, layout.axes)) if layout.axes else attempt(row.tobytes(), index)


def _rows_at_once(data: Any) -> int:
    """A bounded amount, if possible in whole pieces of the file: each is unpacked anew at every read."""
    each = math.prod(data.shape[-3:])
    return max(1, min(MAX_CHUNK // each, max(_READ // each, data.chunks[-4] if data.chunks and len(data.chunks) > 3 else 1)))


def to_colour(row: Array, axes: str) -> Array:
    """(H, W, 3) of one frame; an opacity is dropped."""
    if axes.endswith("CHW"):
        row = np.moveaxis(row, 0, -1)
    elif axes.endswith("THW"):
        row = row[..., None]
    return np.ascontiguousarray(np.repeat(row, 3, -1) if row.shape[-1] == 1 else row[..., :3])

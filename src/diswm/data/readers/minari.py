"""Minari data sets: ``metadata.json`` beside ``main_data.hdf5``, or beside one folder of Arrow files an episode.

Pictures are observations whose space is a box of bytes with two or three axes, stored as pixels or as JPEG files.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from diswm.contract import DiswmError
from diswm.data.readers.clip import Clip, Head, Keep, Source, check_pixels, load, natural
from diswm.data.readers.hdf5 import hdf5, pixels, to_colour
from diswm.data.readers.stills import attempt

if TYPE_CHECKING:
    from PIL.Image import Image

METADATA = "metadata.json"
MAIN = "main_data.hdf5"
MAX_JSON = 256 << 20  # bytes: the bounds of a picture space are spelt out in it, number by number
_ADVICE = "Fetch the data set again, whole."


def minari_folder(folder: Path) -> Path | None:
    """The folder with the metadata of a Minari data set: ``folder`` or its ``data``; None where there is none."""
    for inside in (folder, folder / "data"):
        with contextlib.suppress(DiswmError):  # another program's metadata.json
            if (inside / MAIN).is_file() or isinstance(_metadata(inside).get("data_format"), str):
                return inside
    return None


def minari(folder: Path) -> Source:
    """One clip an episode and camera. DiswmError for missing parts and where no observation is a picture."""
    metadata = _metadata(folder)
    kind = metadata.get("data_format", "hdf5")
    source = Source(f"Minari ({kind})")
    if kind == "hdf5":
        if not (folder / MAIN).is_file():
            raise DiswmError(f"{folder}: is a Minari data set without its {MAIN}. {_ADVICE}")
        source.clips, source.skipped = hdf5(folder / MAIN, MAIN, only="observations")
        return source
    if kind != "arrow":
        raise DiswmError(f"{folder}: is a Minari data set of format {kind!r}; read are hdf5 and arrow.")
    cameras = dict(_cameras(_space(folder, metadata), ()))
    if not cameras:
        raise DiswmError(
            f"{folder}: its observations hold no pictures (boxes of uint8 with two or three axes). Videos are learned from pictures."
        )
    files = sorted(
        (path for path in folder.glob("*/*.arrow") if not path.parent.name.startswith(("_", "."))), key=lambda p: natural(str(p))
    )
    if not files:
        raise DiswmError(f"{folder}: is a Minari data set without its episodes, <number>/*.arrow. {_ADVICE}")
    source.clips = [_clip(file, folder, where, shape) for where, shape in cameras.items() for file in files]
    return source


def _metadata(folder: Path) -> dict[str, Any]:
    path = folder / METADATA
    try:
        if path.stat().st_size > MAX_JSON:
            raise ValueError("it is too large")
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise DiswmError(f"{path}: cannot be read ({error}). {_ADVICE}") from error
    return found if isinstance(found, dict) else {}


def _space(folder: Path, metadata: Mapping[str, Any]) -> Any:
    try:
        return json.loads(metadata["observation_space"])
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise DiswmError(f"{folder / METADATA}: has no observation_space, which says how its pictures lie. {_ADVICE}") from error


def _cameras(space: Any, where: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], tuple[int, ...]]]:
    """(path in the observations, shape of a frame) of each observation that is a picture."""
    if not isinstance(space, dict) or len(where) > 8:
        return
    inside, shape = space.get("subspaces"), space.get("shape", [])
    if isinstance(inside, dict):
        for name, sub in inside.items():
            yield from _cameras(sub, (*where, str(name)))
    elif isinstance(inside, list):
        for index, sub in enumerate(inside):
            yield from _cameras(sub, (*where, str(index)))
    elif space.get("dtype") == "uint8" and _is_picture(shape):
        yield where, tuple(shape)


def _is_picture(shape: Any) -> bool:
    good = isinstance(shape, list) and len(shape) in (2, 3) and all(isinstance(n, int) for n in shape)
    return good and pixels((1, *shape)) is not None


def _clip(file: Path, folder: Path, where: tuple[str, ...], shape: tuple[int, ...]) -> Clip:
    layout = pixels((1, *shape))
    assert layout is not None  # as _cameras found it
    size = layout.size

    def head() -> Head:
        check_pixels(*size)
        with load("pyarrow", file.name).memory_map(str(file)) as data:
            table = load("pyarrow.ipc", file.name).open_file(data)
            return Head(sum(table.get_batch(i).num_rows for i in range(table.num_record_batches)), size)

    def frames(keep: Keep) -> Iterator[Image | DiswmError]:
        from PIL import Image

        check_pixels(*size)
        count = 0
        for values in _columns(file, where):
            for value in values:
                if keep(count):
                    encoded = not hasattr(value, "values")
                    yield attempt(value.as_py(), count) if encoded else Image.fromarray(to_colour(_row(value, shape), layout.axes))
                count += 1

    return Clip(f"{file.relative_to(folder)}:{'/'.join(where) or 'observations'}", head, frames, where[-1] if where else "observations")


def _columns(file: Path, where: tuple[str, ...]) -> Iterator[Any]:
    """The column at ``where`` in the observations, batch by batch; the file is mapped, not read."""
    with load("pyarrow", file.name).memory_map(str(file)) as data:
        table = load("pyarrow.ipc", file.name).open_file(data)
        for index in range(table.num_record_batches):
            values = table.get_batch(index).column("observations")
            for name in where:
                values = values.field(name)
            yield values


def _row(value: Any, shape: tuple[int, ...]) -> Any:
    row = value.values.to_numpy(zero_copy_only=False)
    if row.dtype != np.uint8 or row.size != math.prod(shape):
        raise DiswmError(f"its pictures are {row.size} numbers of {row.dtype}, not {shape} bytes")
    return row.reshape(shape)

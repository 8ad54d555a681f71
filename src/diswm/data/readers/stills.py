"""Folders of frames: one clip a folder, in the natural order of the names."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from diswm.contract import DiswmError
from diswm.data.readers.clip import Clip, Head, Keep, check_pixels, reason

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
_FORMATS = ("PNG", "JPEG", "BMP", "WEBP")
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")  # others have more than eight bits, as maps of depth do
_JPEG_END = b"\xff\xd9"
_ORIENTATION = 0x0112  # EXIF; from 5 on, width and height are exchanged


def stills(files: Sequence[Path], name: str) -> Clip:
    """The pictures ``files``, in this order, as a clip; a bad one among them is a gap."""

    def head() -> Head:
        first: DiswmError | None = None
        for file in files:
            try:
                return Head(len(files), _picture(file).size)
            except DiswmError as error:
                first = first or error
        raise first or DiswmError("holds no pictures")

    def frames(keep: Keep) -> Iterator[Image | DiswmError]:
        for index, file in enumerate(files):
            if keep(index):
                try:
                    yield _picture(file)
                except DiswmError as error:
                    yield error

    return Clip(name, head, frames, read_check=lambda: _check(files))


def _check(files: Sequence[Path]) -> list[str]:
    """Bad pictures, and those unlike the first in size. DiswmError where all are bad."""
    bad: list[str] = []
    sizes: dict[tuple[int, int], list[str]] = {}
    for file in files:
        try:
            sizes.setdefault(_size(file), []).append(file.name)
        except Exception as error:  # the decoders raise errors of many kinds
            bad.append(f"{file.name}: {reason(error)}")
    words = [f"{len(bad)} of its {len(files)} pictures cannot be used; the first: {bad[0]}"] if bad else []
    if not sizes:
        raise DiswmError(words[0])
    (size, _), *others = sizes.items()
    words += [f"{len(names)} pictures are {w} x {h}, unlike the first, {size[0]} x {size[1]}: {names[0]}" for (w, h), names in others]
    return words


def _size(file: Path) -> tuple[int, int]:
    """(width, height) as seen; decodes nothing where the format tells damage without: checksums of PNG, the last bytes of JPEG."""
    with _opened(file) as image:
        kind, size = image.format, image.size
        if kind == "JPEG" and image.getexif().get(_ORIENTATION, 1) >= 5:
            size = size[::-1]
        if kind == "PNG":
            image.verify()
            return size
    if kind == "JPEG":
        with file.open("rb") as data:
            data.seek(-len(_JPEG_END), os.SEEK_END)
            if data.read() == _JPEG_END:
                return size
    return _decoded(file).size


def picture(data: bytes) -> Image:
    """An encoded picture, decoded."""
    return _decoded(io.BytesIO(data))


def attempt(data: bytes, number: int) -> Image | DiswmError:
    """Frame ``number`` of a clip, decoded, or why it cannot be."""
    try:
        return picture(data)
    except Exception as error:  # as above
        return DiswmError(f"frame {number}: {reason(error)}")


def _picture(file: Path) -> Image:
    try:
        return _decoded(file)
    except Exception as error:  # as above
        raise DiswmError(f"{file.name}: {reason(error)}") from error


def _decoded(file: Path | IO[bytes]) -> Image:
    from PIL import ImageOps

    with _opened(file) as image:
        return ImageOps.exif_transpose(image).convert("RGB")


def _opened(file: Path | IO[bytes]) -> Any:
    """The picture by its header."""
    from PIL import Image, UnidentifiedImageError

    if isinstance(file, Path) and not file.is_file():  # a link to nothing, or a pipe
        raise DiswmError("there is no such file")
    try:
        image = Image.open(file, formats=_FORMATS)
    except UnidentifiedImageError as error:
        raise DiswmError(f"is no picture of the kinds {', '.join(_FORMATS)}") from error
    try:
        check_pixels(*image.size)
        if image.mode not in _MODES:
            raise DiswmError(f"its pixels are {image.mode}, not eight bits of grey or colour")
    except DiswmError:
        image.close()
        raise
    return image

"""Folders of frames: one clip a folder, in the natural order of the names."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING

from diswm.contract import DiswmError
from diswm.data.readers.clip import Clip, Head, Keep, check_pixels, reason

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
_FORMATS = ("PNG", "JPEG", "BMP", "WEBP")
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")  # others have more than eight bits, as maps of depth do


def stills(files: Sequence[Path], name: str) -> Clip:
    """The pictures ``files``, in this order, as a clip."""

    def head() -> Head:
        return Head(len(files), _picture(files[0]).size)

    def frames(keep: Keep) -> Iterator[Image]:
        for index, file in enumerate(files):
            if keep(index):
                yield _picture(file)

    return Clip(name, head, frames)


def picture(data: bytes) -> Image:
    """An encoded picture, decoded."""
    return _open(io.BytesIO(data))


def _picture(file: Path) -> Image:
    if not file.is_file():  # a link to nothing, or a pipe
        raise DiswmError(f"{file.name}: there is no such file")
    try:
        return _open(file)
    except Exception as error:  # the decoders raise errors of many kinds
        raise DiswmError(f"{file.name}: {reason(error)}") from error


def _open(file: Path | IO[bytes]) -> Image:
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(file, formats=_FORMATS) as image:
            check_pixels(*image.size)
            if image.mode not in _MODES:
                raise DiswmError(f"its pixels are {image.mode}, not eight bits of grey or colour")
            return ImageOps.exif_transpose(image).convert("RGB")
    except UnidentifiedImageError as error:
        raise DiswmError(f"is no picture of the kinds {', '.join(_FORMATS)}") from error

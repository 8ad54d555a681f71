"""What every reader gives: named clips whose pictures are decoded one after the other, never all at once."""

from __future__ import annotations

import dataclasses
import importlib
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, TypeAlias

from diswm.contract import Array, DiswmError

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_PIXELS = 1 << 26  # of one picture: 8192 x 8192
MAX_FILES = 2_000_000  # of one source
MAX_DEPTH = 12  # folders inside folders
Keep: TypeAlias = Callable[[int], bool]
"""Whether the frame of this number is wanted; the others are decoded only as far as the format needs."""
Skipped: TypeAlias = list[tuple[str, str]]
"""(name, reason)."""
_PACKAGES = {"av": ("PyAV", "video"), "h5py": ("h5py", "readers"), "pyarrow": ("pyarrow", "readers")}


@dataclasses.dataclass(frozen=True)
class Head:
    """What is known of a clip before it is decoded: frames (a guess in some formats), (width, height), frames per second."""

    frames: int | None = None
    size: tuple[int, int] | None = None
    fps: float | None = None


@dataclasses.dataclass(frozen=True)
class Clip:
    """One video: ``read_head()`` opens it, ``read_frames(keep)`` decodes it. Both may raise anything; callers use ``head``, ``frames``.

    Where one picture alone is lost, ``read_frames`` gives its error in its place and goes on.
    """

    name: str
    read_head: Callable[[], Head]
    read_frames: Callable[[Keep], Iterator[Image | DiswmError]]
    camera: str = ""
    factors: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """Names and sizes of the labels that ``read_labels`` gives, (frames, size) each."""
    read_labels: Callable[[], Mapping[str, Array]] = dict
    read_check: Callable[[], list[str]] = list
    """What is wrong with it, as far as that can be told without decoding."""

    def head(self) -> Head:
        """DiswmError, with the reason alone, for a clip that cannot be opened."""
        try:
            return self.read_head()
        except Exception as error:  # decoders raise errors of many kinds for damaged files
            raise reason(error) from error

    def check(self) -> list[str]:
        """What of it is damaged. DiswmError, with the reason alone, where nothing of it can be used."""
        try:
            return self.read_check()
        except Exception as error:  # as above
            raise reason(error) from error

    def frames(self, keep: Keep) -> Iterator[Image]:
        """The wanted pictures, in order. DiswmError, with the reason alone, from where the clip is damaged."""
        for picture in self.frames_and_gaps(keep):
            if isinstance(picture, DiswmError):
                raise picture
            yield picture

    def frames_and_gaps(self, keep: Keep) -> Iterator[Image | DiswmError]:
        """As ``frames``, but a picture that alone is lost comes as its error, and the next ones follow."""
        try:
            yield from self.read_frames(keep)
        except Exception as error:  # as above
            raise reason(error) from error


@dataclasses.dataclass
class Source:
    """The clips of a file or folder, what of it cannot be used and why, and how many files are of no interest, by suffix."""

    kind: str
    clips: list[Clip] = dataclasses.field(default_factory=list)
    skipped: Skipped = dataclasses.field(default_factory=list)
    other: Counter[str] = dataclasses.field(default_factory=Counter)
    folder: Path | None = None
    """Of a data set of ours, where its episodes are."""


def reason(error: Exception) -> DiswmError:
    """The error in words, one line; a DiswmError as it is."""
    if isinstance(error, DiswmError):
        return error
    words = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return DiswmError(f"cannot be read ({' '.join(str(words).split())[:200]})")


def load(package: str, what: str) -> ModuleType:
    """Import a package of an extra; DiswmError with the command that installs it."""
    name, extra = _PACKAGES[package.split(".")[0]]
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise DiswmError(f"{what}: needs {name} to be read. Install it: pip install 'diswm[{extra}]'.") from error


def check_pixels(width: int, height: int) -> None:
    """DiswmError for pictures without pixels or with so many that they are damage or hostile."""
    if min(width, height) < 1 or width * height > MAX_PIXELS:
        raise DiswmError(f"its pictures are {width} x {height}; at most {MAX_PIXELS:,} pixels are read")


def natural(text: str) -> list[tuple[int, int, str]]:
    """Sorts ``2.png`` before ``10.png``."""
    parts = re.split(r"(\d{1,18})", text)
    return [(1, int(part), "") if part.isdecimal() and part.isascii() else (0, 0, part) for part in parts]


def walk(root: Path) -> list[Path]:
    """The files in and below ``root``, folder by folder in natural order; hidden ones are left out, no folder is entered twice.

    ``[root]`` for a file. DiswmError for what cannot be listed and beyond the bounds.
    """
    if root.is_file():
        return [root]
    found: list[Path] = []
    seen: set[tuple[int, int]] = set()
    try:
        _walk(root, 0, found, seen)
    except OSError as error:
        raise DiswmError(f"{error.filename or root}: cannot be listed ({error.strerror}).") from error
    return found


def _walk(folder: Path, depth: int, found: list[Path], seen: set[tuple[int, int]]) -> None:
    stat = folder.stat()
    if (stat.st_dev, stat.st_ino) in seen:  # links may lead round in a circle
        return
    seen.add((stat.st_dev, stat.st_ino))
    if depth > MAX_DEPTH:
        raise DiswmError(f"{folder}: lies more than {MAX_DEPTH} folders deep. Name a folder further inside.")
    with os.scandir(folder) as entries:
        inside = sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: natural(entry.name))
    kinds = [(entry, _is_folder(entry)) for entry in inside]
    found += [folder / entry.name for entry, is_folder in kinds if not is_folder]
    if len(found) > MAX_FILES:
        raise DiswmError(f"{folder}: more than {MAX_FILES:,} files in all. Name a part of them.")
    for entry, is_folder in kinds:
        if is_folder:
            _walk(folder / entry.name, depth + 1, found, seen)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """What cannot be looked at, such as a link to itself, counts as a file: whoever reads it says what is wrong."""
    try:
        return entry.is_dir()
    except OSError:
        return False

"""Videos of any kind become one data set of ours: decoded once, one frame after the other, into a folder of episodes.

Long films are cut into episodes while they are decoded, so that memory holds one of them at most. The folder is whole or absent.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from diswm.contract import Array, DiswmError, unknown
from diswm.data.archives import Progress, data_folder
from diswm.data.disk import alone, require_free, whole_folder
from diswm.data.fit import FITS, Fit, slower, square
from diswm.data.manifest import VideoWriter, expected_hashes, read_manifest
from diswm.data.readers import Clip, is_foreign, open_source, walk

if TYPE_CHECKING:
    from PIL.Image import Image

FORMAT = 1
MOST, LEAST = 1_000, 100
"""Frames of an episode that a long film is cut into, and of its last one: no piece is too short for a window."""
SIZES = (8, 256)
_ADVICE = "Free some space, or choose a folder on another disk."
Watch = Callable[[int, int, int], None]
"""(clips done, clips in all, frames written so far)."""


@dataclasses.dataclass(frozen=True)
class Conversion:
    """How frames become those of the data set."""

    size: int = 64
    """Height and width."""
    fit: Fit = "crop"
    """crop to the centred square, letterbox with black bars, or stretch."""
    fps: float | None = None
    """Leave out frames of films that have more a second."""
    camera: str | None = None
    """Take only the clips of this camera, where there are several."""

    def check(self) -> None:
        """DiswmError for values that mean nothing."""
        if not SIZES[0] <= self.size <= SIZES[1]:
            raise DiswmError(f"--size is {self.size}; expected {SIZES[0]} to {SIZES[1]} (the presets learn from 64).")
        if self.fit not in FITS:
            raise unknown("fit", self.fit, FITS)
        if self.fps is not None and not 0 < self.fps < 1e6:
            raise DiswmError(f"--fps is {self.fps:g}; expected a number above 0.")


# ---------------------------------------------------------------- what pretraining calls


def video_folder(path: Path, cache: Path | None, on_unpack: Progress | None = None, on_clip: Watch | None = None) -> Path:
    """The folder of episodes that ``path`` means: our own families as they are, all others converted into ``cache``, once."""
    if not is_foreign(path):
        return data_folder(path, cache, on_unpack)
    if cache is None:
        raise DiswmError(f"{path}: is to be decoded first. Name a cache folder for it, or convert it with `diswm data convert`.")
    conversion = Conversion()
    key = fingerprint([path], conversion)
    target = cache / f"clips-{path.resolve().stem[:40]}-{key[:16]}"
    with alone(target):  # a second run waits for the first, then finds the folder
        if not _made_of(target, key):
            shutil.rmtree(target, ignore_errors=True)
            _write([path], target, conversion, key, cache, on_clip or _quietly)
    return target


def convert(
    sources: Sequence[Path], out: Path, conversion: Conversion, on_unpack: Progress | None = None, on_clip: Watch | None = None
) -> bool:
    """Make one data set of all ``sources`` in the folder ``out``; False where it is there already, so that nothing was decoded.

    Clips that cannot be used are left out and named in the manifest. DiswmError where none can, where ``out`` is there with
    other contents, and for what the disk refuses; then nothing is left behind.
    """
    conversion.check()
    if not sources:
        raise DiswmError("There is nothing to convert: name files or folders.")
    key = fingerprint(sources, conversion)
    out = out.resolve()
    unpacked = out.with_name(f".{out.name}.unpacked")
    with alone(out):
        if _made_of(out, key):
            return False
        try:
            _write(sources, out, conversion, key, unpacked, on_clip or _quietly, on_unpack)
        finally:
            shutil.rmtree(unpacked, ignore_errors=True)
    return True


def fingerprint(sources: Sequence[Path], conversion: Conversion) -> str:
    """Changes with the conversion and with the name, size or time of change of any file; contents are not read."""
    digest = hashlib.sha256(json.dumps([FORMAT, dataclasses.asdict(conversion)]).encode())
    for source in sources:
        if not source.exists():
            raise DiswmError(f"{source}: there is no such file or folder. Expected videos.")
        digest.update(f"\0{source.resolve().name}".encode())
        for file in walk(source):
            digest.update(f"\0{file.relative_to(source)}".encode("utf-8", "surrogateescape"))
            if file.exists():  # else a link to nothing, of which the name is all there is
                stat = file.stat()
                digest.update(f";{stat.st_size};{stat.st_mtime_ns}".encode())
    return digest.hexdigest()


def _made_of(folder: Path, key: str) -> bool:
    """Whether ``folder`` is the whole result of this conversion."""
    if not folder.is_dir():
        return False
    try:
        manifest = read_manifest(folder)
    except DiswmError:
        return False
    return manifest.get("key") == key and all((folder / name).is_file() for name in expected_hashes(manifest))


# ---------------------------------------------------------------- writing


def _write(
    paths: Sequence[Path],
    out: Path,
    conversion: Conversion,
    key: str,
    cache: Path,
    on_clip: Watch,
    on_unpack: Progress | None = None,
) -> None:
    sources = [open_source(path, cache, on_unpack) for path in paths]
    clips, skipped = [], []
    for path, source in zip(paths, sources, strict=True):
        prefix = f"{path.resolve().name}/" if len(paths) > 1 else ""
        clips += [dataclasses.replace(clip, name=prefix + clip.name) for clip in source.clips]
        skipped += [(prefix + name, why) for name, why in source.skipped]
    clips = choose(clips, conversion.camera)
    about = {
        "source": [path.resolve().name for path in paths],
        "frames_per_row": 1,
        "conversion": dataclasses.asdict(conversion),
        "key": key,
    }
    piece = MOST * conversion.size**2 * 3
    require_free(out.parent, piece, "A data set of videos", _ADVICE)
    with whole_folder(out, need=piece, advice=_ADVICE) as folder, VideoWriter(folder, about) as writer:
        factors = _common([clip.factors for clip in clips])
        entries: list[dict[str, Any]] = []
        rows = 0
        for done, clip in enumerate(clips):
            entry = _add(writer, clip, conversion, factors, functools.partial(on_clip, done, len(clips)), rows)
            if entry["files"]:
                entries.append(entry)
            else:
                skipped.append((clip.name, entry["damage"]))
            rows += entry["rows"]
            on_clip(done + 1, len(clips), rows)
        if not entries:
            raise DiswmError(f"None of {len(skipped)} clips can be used. The first: {skipped[0][0]}: {skipped[0][1]}")
        rates = {entry["fps"] for entry in entries}
        writer.manifest |= {"fps": rates.pop() if len(rates) == 1 else None, "skipped": skipped, "clips": entries}


def choose(clips: list[Clip], camera: str | None) -> list[Clip]:
    """The clips of a camera, all of them for None. DiswmError where there is no such camera."""
    cameras = dict.fromkeys(clip.camera for clip in clips if clip.camera)
    if camera is not None and camera not in cameras:
        if not cameras:
            raise DiswmError(f"There is no camera '{camera}': these videos name no cameras. Leave --camera out.")
        raise unknown("camera", camera, cameras)
    return [clip for clip in clips if camera in (None, clip.camera)]


def _common(factors: Sequence[Mapping[str, int]]) -> list[str]:
    """The labels that all clips have in the same size: one data set holds one kind."""
    first = factors[0] if factors else {}
    return sorted(name for name, size in first.items() if all(other.get(name) == size for other in factors))


def _quietly(done: int, clips: int, frames: int) -> None:
    """Nobody watches."""


def _add(
    writer: VideoWriter, clip: Clip, conversion: Conversion, factors: Sequence[str], watch: Callable[[int], None], before: int
) -> dict[str, Any]:
    """Write the episodes of a clip; its entry in the manifest, with no ``files`` where it cannot be used."""
    entry: dict[str, Any] = {"name": clip.name, "fps": None, "size": None, "rows": 0, "files": [], "damage": ""}
    try:
        head = clip.head()
        keep = slower(head.fps, conversion.fps)
        labels = {key: value for key, value in clip.read_labels().items() if key in factors} if factors else {}
    except DiswmError as error:
        return entry | {"damage": str(error)}
    if head.fps:
        entry["fps"] = min(head.fps, conversion.fps or head.fps)
    frames = clip.frames(keep)
    numbers = [index for index in range(len(next(iter(labels.values()), ()))) if keep(index)]
    for piece in _pieces(frames, conversion, entry):
        rows = numbers[entry["rows"] : entry["rows"] + len(piece)]
        path = writer.add({"image": piece, **{key: value[rows] for key, value in labels.items()}})
        entry["rows"] += len(piece)
        entry["files"].append(path.name)
        watch(before + entry["rows"])
    if not entry["files"]:
        return entry | {"damage": entry["damage"] or "holds no frames"}
    if entry["damage"]:
        entry["damage"] += f"; the {entry['rows']} frames before are used"
    return entry


def _pieces(frames: Iterator[Image], conversion: Conversion, entry: dict[str, Any]) -> Iterator[Array]:
    """Episodes (n, size, size, 3), overwritten by the next one; notes the size of the first frame, and damage.

    They have MOST frames; what is left at the end is joined to the last one where it would be less than LEAST.
    """
    # One block for all: small arrays between the decoder's large ones would leave holes in memory, ten times their size.
    block = np.empty((MOST + LEAST, conversion.size, conversion.size, 3), np.uint8)
    count = 0
    try:
        for image in frames:
            entry["size"] = entry["size"] or list(image.size)
            block[count] = square(image, conversion.size, conversion.fit)
            count += 1
            if count == len(block):
                yield block[:MOST]
                block[:LEAST] = block[MOST:]
                count = LEAST
    except DiswmError as error:
        entry["damage"] = str(error)
    if count:
        yield block[:count]

"""Clips for the background: from a folder of the user's images and videos, or drawn.

A folder may be DAVIS as it is unpacked (``JPEGImages/480p/<clip>/00000.jpg``, with ``ImageSets`` for its sets), any folder of
subfolders of images, of video files, or of single images. Pictures are cut to a centred square and resized.
"""

from __future__ import annotations

import functools
import hashlib
import json
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from diswm.contract import Array, DiswmError
from diswm.envs import patterns
from diswm.envs.factors import BackgroundConfig, Layer

IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
VIDEOS = (".mp4", ".avi", ".mov", ".mkv", ".webm")
MAX_FRAMES = 300
"""Frames that are used of a clip, the first: ten seconds of most videos, 4 MB at 64 x 64."""
KEPT = 32
"""Decoded clips that are kept in memory."""
_EXPECTED = "Expected subfolders of images, video files or images; DAVIS is fine as it is (it has JPEGImages/480p)."


class Clips(Protocol):
    """Numbered clips of square frames."""

    def choice(self) -> list[int]:
        """The numbers of the clips that may be shown."""

    def length(self, clip: int) -> int:
        """Frames of a clip."""

    def frame(self, clip: int, time: int) -> Array:
        """(size, size, 3) uint8."""


def open_clips(config: BackgroundConfig, size: int) -> Clips:
    """The clips that a background shows. Raises DiswmError for a folder without clips, and for clips that cannot be read."""
    if config.folder and config.source in ("video", "image"):
        return FolderClips(Path(config.folder).expanduser(), config, size)
    if config.folder:
        raise DiswmError(f"background:{config.source} is drawn and takes no folder. Use background:video or background:image with it.")
    return DrawnClips(config, size)


class DrawnClips:
    """The clips of `patterns`: shapes in place of videos."""

    def __init__(self, config: BackgroundConfig, size: int):
        self._kind = config.source if config.source in ("noise", "plain") else "shapes"
        self._size = size
        self._choice = _first(patterns.part(patterns.CLIPS, config.split), config)

    def choice(self) -> list[int]:
        return self._choice

    def length(self, clip: int) -> int:
        return patterns.FRAMES

    def frame(self, clip: int, time: int) -> Array:
        return patterns.frame(self._kind, clip, time, self._size)


def listings(layers: Iterable[Layer]) -> dict[str, str]:
    """Of each folder of clips: how many it has, and a hash of their names, as clips are drawn by number. DiswmError as `open_clips`."""
    found = {}
    for layer in layers:
        if isinstance(layer, BackgroundConfig) and layer.folder:
            names = [path.name for path in _list(_root(Path(layer.folder).expanduser()))]
            found[str(layer.folder)] = f"{len(names)} clips, {hashlib.sha256(json.dumps(names).encode()).hexdigest()[:12]}"
    return found


def clips_of(folder: Path, split: str) -> list[Path]:
    """The clips of a folder that are in the set, wherever links lead. DiswmError where there are none to be read."""
    paths, chosen = _parted(folder, split)
    return [paths[number].resolve() for number in chosen]


def _parted(folder: Path, split: str) -> tuple[list[Path], list[int]]:
    """All clips of a folder, and the numbers of those in the set."""
    root = _root(folder)
    paths, listed = _list(root), _davis_set(root, split)
    chosen = [number for number, path in enumerate(paths) if path.name in listed] if listed else patterns.part(len(paths), split)
    return paths, list(chosen)


class FolderClips:
    """The clips of a folder, in the order of their names, decoded when first shown. In place of one that is bad the next one is shown."""

    def __init__(self, folder: Path, config: BackgroundConfig, size: int):
        self._size = size
        self._paths, chosen = _parted(folder, config.split)
        if not chosen:
            raise DiswmError(
                f"{folder}: its {len(self._paths)} clips leave none for the set {config.split!r}. Add clips, or leave the set out."
            )
        wanted = _first(chosen, config)
        self._first_frames: dict[int, Array] = {}
        bad: dict[int, DiswmError] = {}
        for clip in wanted:  # a bad clip is said now and not in the middle of a run
            try:
                self._first_frames[clip] = _decode(self._paths[clip], size, 1)
            except DiswmError as error:
                bad[clip] = error
        if not self._first_frames:
            raise bad[wanted[0]]
        good = list(self._first_frames)
        instead = {clip: next((other for other in good if other > clip), good[0]) for clip in bad}
        for clip, why in bad.items():
            warnings.warn(f"{why} Until then {self._paths[instead[clip]].name} is shown in its place.", stacklevel=2)
        # As long as without damage: what is drawn later stays the same.
        self._choice = [instead.get(clip, clip) for clip in wanted]
        self._load: Any = functools.lru_cache(maxsize=KEPT)(self._decoded)

    def choice(self) -> list[int]:
        return self._choice

    def length(self, clip: int) -> int:
        return len(self._load(clip))

    def frame(self, clip: int, time: int) -> Array:
        image: Array = self._load(clip)[time]
        return image

    def _decoded(self, clip: int) -> Array:
        """The frames of a clip. A run survives one that can no longer be read: its first frame, which could, stands in for it."""
        try:
            return _decode(self._paths[clip], self._size, MAX_FRAMES)
        except DiswmError as error:
            warnings.warn(f"{error} Until then its first frame is shown.", stacklevel=2)
            return self._first_frames[clip]


def _first(chosen: list[int], config: BackgroundConfig) -> list[int]:
    if config.clips > len(chosen):
        raise DiswmError(
            f"background: clips={config.clips}, but the set {config.split!r} has {len(chosen)}. Use clips={len(chosen)} or less."
        )
    return chosen[: config.clips] if config.clips else chosen


def _root(folder: Path) -> Path:
    pictures = folder / "JPEGImages"
    return next((root for root in (pictures / "480p", pictures / "Full-Resolution", pictures) if root.is_dir()), folder)


def _list(root: Path) -> list[Path]:
    try:
        found = sorted(path for path in root.iterdir() if not path.name.startswith("."))
        clips = [path for path in found if (path.is_dir() and _images(path)) or path.suffix.lower() in (*VIDEOS, *IMAGES)]
    except OSError as error:
        raise DiswmError(f"background: {error.filename or root} cannot be opened ({error.strerror}). {_EXPECTED}") from error
    if not clips:
        raise DiswmError(f"background: {root} holds no clips. {_EXPECTED}")
    return clips


def _images(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGES and not path.name.startswith("."))


def _davis_set(root: Path, split: str) -> set[str]:
    """The clips that DAVIS lists for a set; empty where there is no list."""
    name = {"train": "train.txt", "test": "val.txt"}.get(split)
    for parent in (root.parent, root.parent.parent):
        lists = sorted(parent.glob(f"ImageSets/*/{name}")) if name else []
        if lists:
            words = lists[-1].read_text(errors="replace").split()  # names; in DAVIS 2016 pairs of a picture and its mask
            return {Path(word).parent.name if "/" in word else word for word in words}
    return set()


def _decode(path: Path, size: int, most: int) -> Array:
    """Up to ``most`` frames (n, size, size, 3) uint8. DiswmError where not even the first can be read."""
    frames: list[Array] = []
    try:
        for image in _video(path) if path.suffix.lower() in VIDEOS else _stills(path, size):
            frames.append(_square(image, size))
            if len(frames) == most:
                break
    except DiswmError:
        raise
    except Exception as error:  # decoders raise errors of many kinds for damaged files
        if not frames:
            raise DiswmError(f"background: {path} cannot be read ({' '.join(str(error).split())}). Mend it or take it away.") from error
        warnings.warn(f"background: {path} is damaged after frame {len(frames)}; the frames before are used", stacklevel=2)
    if not frames:
        raise DiswmError(f"background: {path} holds no frame. Mend it or take it away.")
    return np.stack(frames)


def _stills(path: Path, size: int) -> Any:
    from PIL import Image

    for file in _images(path) if path.is_dir() else [path]:
        with Image.open(file) as image:
            image.draft("RGB", (2 * size, 2 * size))  # a large JPEG is decoded small, which is faster
            yield image.convert("RGB")


def _video(path: Path) -> Any:
    try:
        import av
    except ModuleNotFoundError as error:
        raise DiswmError(
            f"background: {path} needs PyAV to be read: pip install 'diswm[video]'. Folders of images need nothing."
        ) from error
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            yield frame.to_image()


def _square(image: Any, size: int) -> Array:
    from PIL import Image

    width, height = image.size
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    return np.asarray(image.resize((size, size), Image.Resampling.BOX, box=(left, top, left + side, top + side)))

"""What a video data set says about itself: ``manifest.json`` beside its episodes, and the writer that keeps it true."""

from __future__ import annotations

import datetime
import hashlib
import json
import math
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from diswm.contract import FACTOR_PREFIX, Array, DiswmError
from diswm.data.disk import make_folder, write_atomically
from diswm.data.episodes import check_episode, content_hash, episode_name, list_episodes, peek_episode, save_episode

FORMAT = 1
MANIFEST = "manifest.json"
DESCRIBED = ("task", "source", "renderer", "action_repeat", "frames_per_row", "seed", "versions", "distraction")
_EPOCH, _STAMP = datetime.datetime(2000, 1, 1), "%Y%m%dT%H%M%S"
_MOST = 10_000_000  # episodes; a name with a later time is not numbered by us
_UNREADABLE = "Fetch or convert the data set again, or remove this file to use the episodes unchecked."
_SETTINGS = ("size", "fit", "fps", "camera")
_KINDS: dict[str, type] = {**dict.fromkeys(("cameras", "other_cameras", "conversion"), dict), "without_camera": list}
_MAY_CHANGE = ("versions",)  # between the start of a data set and its resumption
_LATER = ("background.direction",)  # labels that there were not at first: a data set that was begun without them goes on without them


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of ``folder`` (or of its ``train_eps``), {} where there is none. DiswmError for one that cannot be used."""
    for path in (folder / MANIFEST, folder / "train_eps" / MANIFEST):
        if path.is_file():
            return _parse(path)
    return {}


def _parse(path: Path) -> dict[str, Any]:
    try:
        manifest = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise DiswmError(f"{path}: cannot be read ({error}). {_UNREADABLE}") from error
    if not isinstance(manifest, dict) or not isinstance(manifest.get("files", {}), dict):
        raise DiswmError(f"{path}: is not a manifest of a video data set. {_UNREADABLE}")
    if manifest.get("format") != FORMAT:
        raise DiswmError(f"{path}: has format {manifest.get('format')}, this version reads {FORMAT}. Use the version that wrote it.")
    wrong = [name for name, kind in _KINDS.items() if not isinstance(manifest.get(name) or kind(), kind)]  # archives bring anybody's
    if not wrong and not all(isinstance(one, str) for one in manifest.get("without_camera") or []):
        wrong = ["without_camera"]
    if wrong:
        raise DiswmError(f"{path}: its entry '{wrong[0]}' is not what a manifest has there. {_UNREADABLE}")
    return manifest


def expected_hashes(manifest: Mapping[str, Any]) -> dict[str, str | None]:
    """File name -> sha256 of the file, None where the manifest gives none."""
    entries = manifest.get("files", {})
    return {name: entry.get("sha256") if isinstance(entry, dict) else None for name, entry in entries.items()}


def skipped_clips(manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(name, reason) of what a conversion could not use."""
    found = manifest.get("skipped")
    return [(str(one[0]), str(one[1])) for one in found if isinstance(one, list) and len(one) == 2] if isinstance(found, list) else []


def check_hash(path: Path, sha256: str | None) -> None:
    """DiswmError, with the reason alone, where a file is not the one that the manifest promises."""
    if sha256 and file_hash(path) != sha256:
        raise DiswmError("differs from its hash in the manifest")


def damaged(folder: Path, manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(name, reason) of the files that are not there or not as the manifest promises; all of them are read."""
    found = []
    for name, sha256 in expected_hashes(manifest).items():
        try:
            if not (folder / name).is_file():
                raise DiswmError("is in the manifest but not in the folder")
            check_hash(folder / name, sha256)
        except DiswmError as error:
            found.append((name, str(error)))
    return found


def remedy(folder: Path, manifest: Mapping[str, Any]) -> str:
    """What mends a data set with damaged files: of a conversion the command that makes it anew."""
    settings, sources = manifest.get("conversion"), manifest.get("source")
    if not isinstance(settings, dict) or not isinstance(sources, list):
        return "Fetch or collect it again."
    words = [*map(str, sources), "--out", str(folder)]
    for name in _SETTINGS:
        if settings.get(name) is not None:
            words += [f"--{name}", str(settings[name])]
    return f"Convert it again: `diswm data convert {shlex.join(words)}`, or fetch it again where somebody else made it."


def file_hash(path: Path) -> str:
    """sha256 of the file's bytes, 64 hex digits. DiswmError where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DiswmError(f"{path}: cannot be read ({error.strerror}).") from error


class VideoWriter:
    """Adds episodes to a folder; ``close`` writes the manifest. A folder that was begun before is taken up.

    ``manifest`` describes the data: the fields of ``DESCRIBED`` (those not given are written as null) and any other JSON.
    Names are numbered, not dated, so that the same seed gives the same files. As a context manager it also closes after
    an error: what was collected stays usable. Raises DiswmError where the folder holds a data set of another description.
    """

    def __init__(self, folder: Path, manifest: Mapping[str, Any]) -> None:
        self.folder = Path(folder)
        make_folder(self.folder)
        before = read_manifest(self.folder)
        self.manifest: dict[str, Any] = {**dict.fromkeys(DESCRIBED), **json.loads(json.dumps(dict(manifest)))}
        for name in self.manifest.keys() & before.keys() - {*_MAY_CHANGE}:
            if before[name] != self.manifest[name]:
                raise DiswmError(
                    f"{self.folder}: holds videos with {name} {before[name]}, not {self.manifest[name]}. "
                    "Choose another folder, or the settings that it was begun with."
                )
        self._files: dict[str, dict[str, Any]] = {}
        self._stamps: set[str] = set()
        self._image_shape: tuple[int, ...] | None = None
        self._factors: dict[str, int] | None = None
        for path in list_episodes(self.folder):
            shapes = {name: shape for name, (shape, _) in peek_episode(path).items()}
            self._note(path, shapes, before.get("files", {}).get(path.name))

    @property
    def episodes(self) -> int:
        return len(self._files)

    @property
    def rows(self) -> int:
        return sum(entry["rows"] for entry in self._files.values())

    @property
    def frames(self) -> int:
        """Simulator steps: rows after the reset times frames per row. Of films, which have no reset, all rows."""
        return self.rows if self.manifest.get("conversion") else (self.rows - self.episodes) * self._each

    @property
    def _each(self) -> int:
        return int(self.manifest["frames_per_row"] or self.manifest["action_repeat"] or 1)

    def missing(self) -> list[int]:
        """Numbers of episodes that are not there, but later ones are: somebody deleted them."""
        numbers = {number for name in self._files if (number := _number(name)) < _MOST}
        return sorted(set(range(max(numbers, default=0))) - numbers)

    def frames_before(self, number: int) -> int:
        """Simulator steps of the episodes with lower numbers."""
        before = [entry["rows"] for name, entry in self._files.items() if _number(name) < number]
        return (sum(before) - len(before)) * self._each

    def add(self, episode: Mapping[str, Array], number: int | None = None) -> Path:
        """Write one episode, of this number or the next. Raises DiswmError as ``save_episode`` does, and for images or factors unlike
        those before."""
        if self._factors is not None:
            left_out = {FACTOR_PREFIX + name for name in _LATER if name not in self._factors}
            episode = {name: value for name, value in episode.items() if name not in left_out}
        rows = check_episode(episode, f"the episode for {self.folder}")
        shapes = {name: np.shape(value) for name, value in episode.items()}
        self._check_like(shapes, "the episode")
        name = episode_name(rows, content_hash(episode), self._stamp(self.episodes if number is None else number))
        path = save_episode(self.folder, episode, name)
        self._note(path, shapes)
        return path

    def _stamp(self, index: int) -> datetime.datetime:
        """The time in the name: second ``index`` of the year 2000, or the next one that is free."""
        while f"{(stamp := _EPOCH + datetime.timedelta(seconds=index)):{_STAMP}}" in self._stamps:
            index += 1
        return stamp

    def _check_like(self, shapes: Mapping[str, tuple[int, ...]], where: str) -> None:
        image_shape, factors = shapes["image"][1:], _factor_sizes(shapes)
        if self._image_shape is not None and (image_shape, factors) != (self._image_shape, self._factors):
            raise DiswmError(
                f"{self.folder}: {where} has images {image_shape} and factors {factors}, "
                f"the ones before {self._image_shape} and {self._factors}. One data set holds one kind."
            )

    def _note(self, path: Path, shapes: Mapping[str, tuple[int, ...]], entry: dict[str, Any] | None = None) -> None:
        self._check_like(shapes, path.name)
        self._image_shape, self._factors = shapes["image"][1:], _factor_sizes(shapes)
        self._stamps.add(path.name[:15])
        self._files[path.name] = entry or {"sha256": file_hash(path), "rows": shapes["image"][0]}

    def close(self) -> None:
        """Write the manifest, whole or not at all. May be called again after further episodes."""
        counts = {"episodes": self.episodes, "rows": self.rows, "frames": self.frames}
        kind = {"image_shape": list(self._image_shape or ()), "factors": self._factors or {}}
        manifest = {"format": FORMAT, **self.manifest, **kind, **counts, "files": dict(sorted(self._files.items()))}
        data = (json.dumps(manifest, indent=1) + "\n").encode()
        write_atomically(self.folder / MANIFEST, lambda file: file.write(data), need=len(data), advice="Free some space.")

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _number(name: str) -> int:
    """Which episode a file name is, ``_MOST`` or more where it was not numbered here."""
    try:
        seconds = int((datetime.datetime.strptime(name[:15], _STAMP) - _EPOCH).total_seconds())
    except ValueError:
        return _MOST
    return seconds if seconds >= 0 else _MOST


def _factor_sizes(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
    names = sorted(name for name in shapes if name.startswith(FACTOR_PREFIX))
    return {name.removeprefix(FACTOR_PREFIX): math.prod(shapes[name][1:]) for name in names}

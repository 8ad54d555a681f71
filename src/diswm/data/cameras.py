"""Data sets of several cameras: whose clips are taken, and what is said of the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from diswm.contract import DiswmError, some, unknown
from diswm.data.readers.clip import Clip

_SHOWN = 4
"""Names that are said."""


def choose(clips: Sequence[Clip], camera: str | None) -> list[Clip]:
    """The clips of a camera, all of them for None; of films and frames, which name no camera, those in a folder or file of its name.

    DiswmError where there are none.
    """
    chosen = [clip for clip in clips if camera is None or _is_of(clip, camera)]
    if clips and not chosen:
        if known := dict.fromkeys(clip.camera for clip in clips if clip.camera):
            raise unknown("camera", str(camera), known)
        raise DiswmError(
            f"There is no camera '{camera}': these videos name no cameras, and no file or folder is called so. Leave --camera out."
        )
    return chosen


def _is_of(clip: Clip, camera: str) -> bool:
    path = PurePosixPath(clip.name)
    return camera == clip.camera if clip.camera else camera in (*path.parts, path.stem)


def facts(clips: Sequence[Clip], chosen: Sequence[Clip]) -> dict[str, Any]:
    """For the manifest: ``cameras`` of the clips that are taken and their numbers, ``other_cameras`` of those that are not.

    ``without_camera`` lists clips that are not taken because no camera is named for them.
    """
    ours = set(map(id, chosen))
    left = [clip for clip in clips if id(clip) not in ours]
    taken = Counter(clip.camera for clip in chosen if clip.camera)
    other = Counter(clip.camera for clip in left if clip.camera)
    without = [clip.name for clip in left if not clip.camera]
    return {"cameras": dict(taken), "other_cameras": dict(other), "without_camera": without}


def remarks(manifest: Mapping[str, Any]) -> list[str]:
    """What a user should know of the cameras of a conversion, a line each: that they are mixed, or what was left out."""
    taken, other, without = (manifest.get(name) or {} for name in ("cameras", "other_cameras", "without_camera"))
    lines = []
    if len(taken) > 1:
        lines.append(f"{len(taken)} cameras are mixed, each clip is of one: {_counts(taken)}. --camera takes one alone")
    if other:
        lines.append(f"left out, of other cameras: {_counts(other)}")
    if without:
        lines.append(f"left out, without a camera of that name: {some(list(without), _SHOWN)}")
    return lines


def _counts(cameras: Mapping[str, int]) -> str:
    return some([f"{name} ({count} clips)" for name, count in cameras.items()], _SHOWN)

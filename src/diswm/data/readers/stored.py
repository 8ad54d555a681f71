"""Data sets of our own family (folders and archives of .npz episodes) as clips, with their factor labels."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from diswm.contract import FACTOR_PREFIX, Array, DiswmError
from diswm.data.episodes import list_episodes, load_episode, peek_episode
from diswm.data.manifest import check_hash, expected_hashes, read_manifest
from diswm.data.readers.clip import Clip, Head, Keep, Source

if TYPE_CHECKING:
    from PIL.Image import Image


def stored(folder: Path) -> Source:
    """The episodes of ``folder``; those whose headers are damaged are left out by name."""
    source = Source("episodes (.npz)", folder=folder)
    manifest = read_manifest(folder)
    rates, hashes = _rates(manifest), expected_hashes(manifest)
    for path in list_episodes(folder):
        try:
            source.clips.append(_episode(path, rates.get(path.name), hashes.get(path.name)))
        except DiswmError as error:
            source.skipped.append((path.name, str(error).removeprefix(f"{path}: ")))
    missing = sorted(hashes.keys() - {path.name for path in list_episodes(folder)})
    source.skipped += [(name, "is in the manifest but not in the folder") for name in missing]
    return source


def _rates(manifest: Mapping[str, object]) -> dict[str, float]:
    """File name -> frames per second, where a conversion has left them."""
    clips = manifest.get("clips")
    rates: dict[str, float] = {}
    for clip in clips if isinstance(clips, list) else []:
        if isinstance(clip, dict) and isinstance(clip.get("fps"), int | float) and isinstance(clip.get("files"), list):
            rates |= {str(name): float(clip["fps"]) for name in clip["files"]}
    return rates


def _episode(path: Path, fps: float | None, sha256: str | None) -> Clip:
    headers = {name: shape for name, (shape, _) in peek_episode(path).items()}
    rows, height, width, _ = headers["image"]
    names = [name for name in headers if name.startswith(FACTOR_PREFIX)]

    def check() -> list[str]:
        check_hash(path, sha256)
        return []

    def frames(keep: Keep) -> Iterator[Image]:
        from PIL import Image

        check()
        for index, image in enumerate(load_episode(path, keys=["image"])["image"]):
            if keep(index):
                yield Image.fromarray(image)

    def labels() -> dict[str, Array]:
        episode = load_episode(path, keys=names)
        return {name: episode[name].reshape(rows, -1) for name in names}

    factors = {name: math.prod(headers[name][1:]) for name in names}
    return Clip(path.name, lambda: Head(rows, (width, height), fps), frames, factors=factors, read_labels=labels, read_check=check)

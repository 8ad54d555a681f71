"""What a data set of videos is, before anything is converted: facts from its headers, and a picture of a few clips."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from diswm.contract import FACTOR_PREFIX, Array, DiswmError
from diswm.data.archives import Progress
from diswm.data.cameras import choose
from diswm.data.convert import Conversion
from diswm.data.disk import write_atomically
from diswm.data.fit import slower, square
from diswm.data.manifest import expected_hashes, read_manifest, remedy, skipped_clips
from diswm.data.readers import Clip, Source

CLIPS, FRAMES = 6, 8
"""Rows and columns of the picture."""
REACH = 600
"""Frames of a clip that the picture is taken from, the first: what lies behind would be decoded for one frame."""
FILM = 48
"""Frames of an animation."""
_GAP, _ZOOM = 2, 128  # pixels between tiles; tiles are enlarged to about this


def survey(path: Path, source: Source, on_clip: Progress | None = None) -> dict[str, Any]:
    """Facts of ``source``, fit for JSON; clips that cannot even be opened are among the ``skipped``.

    kind, clips, frames (a guess in some formats), sizes and rates with the number of clips of each, cameras, factors with their sizes,
    damaged [(name, what of it)], skipped [(name, reason)], other files by suffix; of a data set with a manifest also ``promised`` (files
    and frames that it lists), ``broken`` (files of them that are not as it says) and their ``remedy``; of a conversion its settings.
    """
    sizes, rates, cameras = Counter[str](), Counter[str](), Counter[str]()
    skipped, damaged, frames, unknown, good = list(source.skipped), [], 0, 0, 0
    for done, clip in enumerate(source.clips, 1):
        try:
            head = clip.head()
            damaged += [(clip.name, words) for words in clip.check()]
        except DiswmError as error:
            skipped.append((clip.name, str(error)))
        else:
            good += 1
            frames += head.frames or 0
            unknown += head.frames is None
            sizes[f"{head.size[0]} x {head.size[1]}" if head.size else "unknown"] += 1
            rates[f"{head.fps:.6g}" if head.fps else "unknown"] += 1
            cameras.update([clip.camera] if clip.camera else [])
        if on_clip:
            on_clip(done, len(source.clips))
    found = {"path": str(path), "kind": source.kind, "clips": good, "frames": frames, "clips_of_unknown_length": unknown}
    found |= {"sizes": dict(sizes), "fps": dict(rates), "cameras": dict(cameras), "factors": _factors(source.clips)}
    manifest = read_manifest(source.folder) if source.folder else {}
    found |= {name: manifest[name] for name in ("task", "source", "conversion") if manifest.get(name)}
    if promised := expected_hashes(manifest):
        found |= {"promised": {"files": len(promised), "rows": manifest.get("rows"), "frames": manifest.get("frames")}}
        found |= {"broken": sorted(promised.keys() & {name for name, _ in skipped}), "remedy": remedy(path, manifest)}
    return found | {"damaged": damaged, "skipped": skipped + skipped_clips(manifest), "other": dict(source.other)}


def _factors(clips: Sequence[Clip]) -> dict[str, int]:
    return {name.removeprefix(FACTOR_PREFIX): size for clip in clips[:1] for name, size in clip.factors.items()}


def preview(source: Source, out: Path, conversion: Conversion) -> list[str]:
    """Write a picture of a few clips, as the models would see them, and return the clips' names.

    A .png has a row for each clip, with frames from its beginning to its end (or REACH); a .gif shows the clips side by side, moving.
    DiswmError for another suffix, and where no clip can be decoded.
    """
    conversion.check()
    suffix = out.suffix.lower()
    if suffix not in (".png", ".gif"):
        raise DiswmError(f"{out}: has the suffix '{suffix}', expected .png (a row of frames for each clip) or .gif (moving).")
    rows, names = _rows(source, conversion, FRAMES if suffix == ".png" else FILM, suffix == ".png")
    zoom = max(1, _ZOOM // conversion.size)
    if suffix == ".png":
        pages = [_grid([frame for row in rows for frame in (*row, *[np.full_like(row[-1], 255)] * (FRAMES - len(row)))], FRAMES, zoom)]
    else:
        across = min(3, len(rows))
        pages = [_grid([row[min(time, len(row) - 1)] for row in rows], across, zoom) for time in range(max(map(len, rows)))]
    _save(pages, out, suffix)
    return names


def _rows(source: Source, conversion: Conversion, count: int, spread: bool) -> tuple[list[list[Array]], list[str]]:
    """Up to CLIPS clips from all over the source; of each up to ``count`` frames. DiswmError where none can be decoded."""
    rows, names, first = [], [], ""
    clips = choose(source.clips, conversion.camera)
    places = np.unique(np.linspace(0, len(clips) - 1, min(CLIPS, len(clips))).astype(int)).tolist()
    for place in [*places, *(place for place in range(len(clips)) if place not in places)]:
        try:
            frames = list(_frames(clips[place], conversion, count, spread))
        except DiswmError as error:
            first = first or f"{clips[place].name}: {error}"
            continue
        if frames:
            rows.append(frames)
            names.append(clips[place].name)
        if len(rows) == CLIPS:
            break
    if not rows:
        raise DiswmError(f"None of {len(clips)} clips can be decoded. The first: {first}")
    return rows, names


def _frames(clip: Clip, conversion: Conversion, count: int, spread: bool) -> Iterator[Array]:
    """What of a damaged clip can be decoded. DiswmError where nothing can."""
    head = clip.head()
    keep = _spread(min(head.frames or REACH, REACH), count) if spread else slower(head.fps, conversion.fps)
    taken, damage = 0, DiswmError("holds no frames")
    try:
        for image in clip.frames_and_gaps(keep):
            if isinstance(image, DiswmError):
                damage = image
                continue
            yield square(image, conversion.size, conversion.fit)
            taken += 1
            if taken == count:
                return
    except DiswmError as error:
        damage = error
    if not taken:
        raise damage


def _spread(frames: int, count: int) -> Callable[[int], bool]:
    wanted = set(np.linspace(0, frames - 1, count).round().astype(int).tolist())
    return lambda index: index in wanted


def _grid(tiles: Sequence[Array], columns: int, zoom: int) -> Array:
    """Tiles (size, size, 3), row by row, enlarged and with white gaps between them."""
    tiles = [tile.repeat(zoom, 0).repeat(zoom, 1) for tile in tiles]
    step = tiles[0].shape[0] + _GAP
    down = -(-len(tiles) // columns)
    page = np.full((down * step + _GAP, columns * step + _GAP, 3), 255, np.uint8)
    for index, tile in enumerate(tiles):
        top, left = index // columns * step + _GAP, index % columns * step + _GAP
        page[top : top + step - _GAP, left : left + step - _GAP] = tile
    return page


def _save(pages: Sequence[Array], out: Path, suffix: str) -> None:
    from PIL import Image

    first, *rest = [Image.fromarray(page) for page in pages]
    more: dict[str, Any] = {"save_all": True, "append_images": rest, "duration": 80, "loop": 0} if suffix == ".gif" else {}
    need = sum(page.nbytes for page in pages)
    write_atomically(out, lambda file: first.save(file, format=suffix[1:].upper(), **more), need=need, advice="Free some space.")

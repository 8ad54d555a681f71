"""Videos of any kind become one data set of ours: decoded once, one frame after the other, into a folder of episodes.

Long films are cut into episodes while they are decoded, so that memory holds one of them at most. The folder is whole or absent.
A second run finds it by content: the hashes of the sources (``diswm.data.origin``) and those of the episodes.
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
from diswm.data.cameras import choose, facts
from diswm.data.disk import alone, require_free, whole_folder
from diswm.data.fit import FITS, Fit, slower, square
from diswm.data.harm import Harm
from diswm.data.manifest import MANIFEST, VideoWriter, damaged, expected_hashes, read_manifest
from diswm.data.origin import STAMPS, Hashing, Origin, changed, look, made_of, prefixes
from diswm.data.readers import Clip, check_exists, is_foreign, open_source

if TYPE_CHECKING:
    from PIL.Image import Image

FORMAT = 2
MOST, LEAST = 1_000, 100
"""Frames of an episode that a long film is cut into, and of its last one: no piece is too short for a window."""
SIZES = (8, 256)
_COUNTED = 10_000_000  # frames; a header that declares more is no promise
_ADVICE = "Free some space, or choose a folder on another disk."
Watch = Callable[[int, int, int], None]
"""(clips done, clips in all, frames written so far)."""
Say = Callable[[str], None]
"""Takes a line for the user."""


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


def video_folder(
    path: Path,
    cache: Path | None,
    on_unpack: Progress | None = None,
    on_clip: Watch | None = None,
    on_hash: Hashing | None = None,
    say: Say | None = None,
) -> Path:
    """The folder of episodes that ``path`` means: our own families as they are, all others converted into ``cache``, once.

    They are converted anew where they have changed, or where the cache is damaged; ``say`` is told why.
    """
    check_exists(path)
    if not is_foreign(path):
        return data_folder(path, cache, on_unpack)
    if cache is None:
        raise DiswmError(f"{path}: is to be decoded first. Name a cache folder for it, or convert it with `diswm data convert`.")
    conversion = Conversion()
    place = hashlib.sha256(str(path.resolve()).encode("utf-8", "surrogateescape")).hexdigest()
    target = cache / f"clips-{path.resolve().stem[:40]}-{place[:16]}"
    with alone(target):  # a second run waits for the first, then finds the folder
        origin = look([path], target, on_hash)
        if why := _differs(target, origin, conversion) or _damage(target):
            if target.is_dir() and say:
                say(f"{path}: {why}; it is decoded again")
            _write([path], target, conversion, origin, cache, on_clip or _quietly, over=True)
        origin.keep(target)
    return target


def convert(
    sources: Sequence[Path],
    out: Path,
    conversion: Conversion,
    on_unpack: Progress | None = None,
    on_clip: Watch | None = None,
    on_hash: Hashing | None = None,
    say: Say | None = None,
) -> bool:
    """Make one data set of all ``sources`` in the folder ``out``; False where it is there already, so that nothing was decoded.

    Clips that cannot be used are left out and named in the manifest. A damaged result of the same conversion is replaced, and ``say``
    is told. DiswmError where no clip can be used, where ``out`` is there with other contents, naming what differs, and for what the
    disk refuses; then all is as it was.
    """
    conversion.check()
    if not sources:
        raise DiswmError("There is nothing to convert: name files or folders.")
    out = out.resolve()
    for source in sources:
        if source.resolve() in (out, *out.parents):
            raise DiswmError(f"{out}: lies inside {source}, which is to be converted. Choose a folder elsewhere with --out.")
    unpacked = out.with_name(f".{out.name}.unpacked")
    with alone(out):
        origin = look(sources, out, on_hash)
        again = bool(made_of(out))
        if again:
            if why := _differs(out, origin, conversion):
                raise DiswmError(f"{out}: is there already, but {why}. Choose another folder with --out, or remove it.")
            if not (why := _damage(out)):
                origin.keep(out)
                return False
            _check_own(out, why)
            if say:
                say(f"{out}: {why}; it is converted again")
        try:
            _write(sources, out, conversion, origin, unpacked, on_clip or _quietly, on_unpack, over=again)
        finally:
            shutil.rmtree(unpacked, ignore_errors=True)
        origin.keep(out)
    return True


def _key(origin: Origin, conversion: Conversion) -> str:
    """Changes with the settings and with the name or content of any source."""
    return hashlib.sha256(json.dumps([FORMAT, dataclasses.asdict(conversion), origin.hashes]).encode()).hexdigest()


def _differs(folder: Path, origin: Origin, conversion: Conversion) -> str:
    """Why ``folder`` is not the result of this conversion; nothing where it is."""
    try:
        manifest = read_manifest(folder)
    except DiswmError:
        return "its manifest cannot be read"
    if manifest.get("key") == _key(origin, conversion):
        return ""
    before, now = manifest.get("conversion"), dataclasses.asdict(conversion)
    if not isinstance(before, dict) or not made_of(folder):
        return "it was made by another version"
    other = [f"--{name} was {before.get(name)}, not {value}" for name, value in now.items() if before.get(name) != value]
    if sources := changed(made_of(folder), origin.hashes):
        other.append(f"its sources are others: {sources}")
    return " and ".join(other) or "it was made by another version"


def _damage(folder: Path) -> str:
    """What is wrong with the files of a data set, by their hashes; nothing where they are whole."""
    bad = damaged(folder, read_manifest(folder))
    more = f", and so are {len(bad) - 1} more" if len(bad) > 1 else ""
    return f"{bad[0][0]} {bad[0][1]}{more}" if bad else ""


def _check_own(folder: Path, why: str) -> None:
    """DiswmError where ``folder`` holds what is not of its data set, so that it must not be replaced."""
    own = {MANIFEST, STAMPS, *expected_hashes(read_manifest(folder))}
    if other := sorted(path.name for path in folder.iterdir() if path.name not in own):
        raise DiswmError(f"{folder}: {why}, and holds {other[0]}, which is not of it. Move that elsewhere, then convert again.")


# ---------------------------------------------------------------- writing


def _write(
    paths: Sequence[Path],
    out: Path,
    conversion: Conversion,
    origin: Origin,
    cache: Path,
    on_clip: Watch,
    on_unpack: Progress | None = None,
    over: bool = False,
) -> None:
    sources = [open_source(path, cache, on_unpack) for path in paths]
    clips, skipped = [], []
    for prefix, source in zip(prefixes(paths), sources, strict=True):
        clips += [dataclasses.replace(clip, name=prefix + clip.name) for clip in source.clips]
        skipped += [(prefix + name, why) for name, why in source.skipped]
    chosen = choose(clips, conversion.camera)
    about = {
        "source": [path.resolve().name for path in paths],
        "frames_per_row": 1,
        "conversion": dataclasses.asdict(conversion),
        **facts(clips, chosen),
        "key": _key(origin, conversion),
        "inputs": origin.hashes,
    }
    clips = chosen
    piece = MOST * conversion.size**2 * 3
    require_free(out.parent, piece, "A data set of videos", _ADVICE)
    with whole_folder(out, need=piece, advice=_ADVICE, over=over) as folder, VideoWriter(folder, about) as writer:
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
    numbers = [index for index in range(len(next(iter(labels.values()), ()))) if keep(index)]
    harm = Harm()
    for piece in _pieces(clip.frames_and_gaps(keep), conversion, harm):
        rows = numbers[entry["rows"] : entry["rows"] + len(piece)]
        path = writer.add({"image": piece, **{key: value[rows] for key, value in labels.items()}})
        entry["rows"] += len(piece)
        entry["files"].append(path.name)
        watch(before + entry["rows"])
    wanted = sum(map(keep, range(head.frames))) if harm.end and head.frames and head.frames < _COUNTED else None
    return entry | {"size": harm.size, "damage": harm.words(entry["rows"], wanted)}


def _pieces(frames: Iterator[Image | DiswmError], conversion: Conversion, harm: Harm) -> Iterator[Array]:
    """Episodes (n, size, size, 3), overwritten by the next one; notes the size of the first frame, and damage.

    They have MOST frames; what is left at the end is joined to the last one where it would be less than LEAST. None goes over a gap.
    """
    # One block for all: small arrays between the decoder's large ones would leave holes in memory, ten times their size.
    block = np.empty((MOST + LEAST, conversion.size, conversion.size, 3), np.uint8)
    count = 0
    try:
        for image in frames:
            if isinstance(image, DiswmError):
                harm.lost.append(str(image))
                if count:
                    yield block[:count]
                count = 0
                continue
            harm.size = harm.size or list(image.size)
            harm.unlike += list(image.size) != harm.size
            block[count] = square(image, conversion.size, conversion.fit)
            count += 1
            if count == len(block):
                yield block[:MOST]
                block[:LEAST] = block[MOST:]
                count = LEAST
    except DiswmError as error:
        harm.end = str(error)
    if count:
        yield block[:count]

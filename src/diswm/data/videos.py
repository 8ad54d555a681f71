"""Action-free videos: folders of episodes, decoded once into one flat store of frames and drawn from in windows.

The store is memory where the frames fit ``ram_bytes``, otherwise a cache file on disk, which the next run takes up again.
Both give the same batches, bit for bit.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from diswm.contract import FACTOR_PREFIX, Array, Batch, DiswmError, Episode
from diswm.data.archives import forget
from diswm.data.cameras import remarks
from diswm.data.convert import Watch, video_folder
from diswm.data.disk import make_folder, require_free, size, write_atomically, write_error
from diswm.data.episodes import Headers, content_hash, list_episodes, load_episode, peek_episode, save_episode
from diswm.data.frames import DiskFrames, FrameStore, RamFrames
from diswm.data.manifest import VideoWriter, check_hash, expected_hashes, read_manifest, remedy, skipped_clips
from diswm.data.origin import Hashing
from diswm.data.records import draw_windows

__all__ = ["VideoWriter", "Videos"]

FORMAT = 1
Progress = Callable[[int, int], None]
_SCHEMA = "Expected .npz episodes with 'image' (rows, height, width, 3) uint8, or videos (`diswm data info` says what opens)."
MAX_LABELS = 1_000  # numbers of a frame's labels; they are held in memory, and worlds have up to 100 or so
_ADVICE = "Point the cache at another disk, or use fewer videos."


class Source(NamedTuple):
    """One file to read, the sha256 that its manifest promises, and what to do where it is another."""

    path: Path
    sha256: str | None
    remedy: str


class Videos:
    """Windows of the videos in ``folders``: each a folder of episodes, with or without manifest, a folder around such a one
    (``train_eps``, as the released data sets have it), an archive of it (.tar, .tar.gz, .tar.xz), or videos of any kind that
    ``diswm.data.readers`` opens, which are converted first.

    ``length`` is the window in rows; at least one episode must be that long. ``cache`` is the folder for frames beyond
    ``ram_bytes``, for unpacked archives and for converted videos, which later runs use again. Damaged files among good ones are
    left out: ``skipped`` lists (file, reason), and one warning counts them; ``notes`` are lines on what was converted anew or mixed.
    ``on_progress(done, total)`` is called after each file, ``on_unpack(done, total)`` with bytes of an archive, ``on_hash(done, total)``
    with bytes of videos that may have changed, ``on_clip(done, total, frames)`` while clips are converted. Raises DiswmError for
    folders that are missing, empty or hold nothing readable, for archives that are damaged or hostile, for images of different sizes,
    and for frames that fit neither memory nor disk.
    """

    def __init__(
        self,
        folders: Path | str | Iterable[Path | str],
        *,
        length: int,
        cache: Path | None = None,
        ram_bytes: int = 2 << 30,
        on_progress: Progress | None = None,
        on_unpack: Progress | None = None,
        on_clip: Watch | None = None,
        on_hash: Hashing | None = None,
    ) -> None:
        given = [folders] if isinstance(folders, str | Path) else folders
        self.notes: list[str] = []
        self._where = Path(cache) if cache else None
        self.folders = [video_folder(Path(f), self._where, on_unpack, on_clip, on_hash, self.notes.append) for f in given]
        self.length = length
        self.skipped: list[tuple[str, str]] = []
        self.manifests: list[dict[str, Any]] = []
        self._lengths: list[int] = []
        self._factors: dict[str, Array] = {}
        self.hash = ""
        sources = self._sources()
        cached = Path(cache) / f"videos-{_key(sources, self.skipped)}" if cache else None
        if not (cached and self._take_up(cached)):
            self._decode(sources, cached, ram_bytes, on_progress or (lambda done, total: None))
        self._table = np.cumsum([0, *self._lengths[:-1]]), np.array(self._lengths, np.int64)
        if self.skipped:
            names = "; ".join(f"{name}: {reason}" for name, reason in self.skipped[:3])
            warnings.warn(f"left out {len(self.skipped)} video file(s) that cannot be used: {names}", stacklevel=2)
        if max(self._lengths) < length:
            draw_windows(np.random.default_rng(0), self._table[1], 1, length)  # raises, in the words that sampling would use

    # ------------------------------------------------------------ facts

    @property
    def rows(self) -> int:
        return sum(self._lengths)

    @property
    def episodes(self) -> int:
        return len(self._lengths)

    @property
    def factors(self) -> dict[str, int]:
        """Names and sizes of the factor labels that every episode has."""
        return {name.removeprefix(FACTOR_PREFIX): value.shape[1] for name, value in self._factors.items()}

    @property
    def manifest(self) -> dict[str, Any]:
        """The manifest of the one folder ({} without), or ``{"sources": [...]}`` of several."""
        return self.manifests[0] if len(self.manifests) == 1 else {"sources": self.manifests}

    # ------------------------------------------------------------ reading files

    def _sources(self) -> list[Source]:
        sources = []
        for folder in self.folders:
            files, manifest = list_episodes(folder), read_manifest(folder)
            hashes, mend = expected_hashes(manifest), remedy(folder, manifest)
            self.skipped += skipped_clips(manifest)
            missing = sorted(hashes.keys() - {path.name for path in files})
            self.skipped += [(str(folder / name), f"is in the manifest but not in the folder. {mend}") for name in missing]
            sources += [Source(path, hashes.get(path.name), mend) for path in files]
            self.manifests.append(manifest)
            self.notes += [f"{folder}: {line}" for line in remarks(manifest)]
        if not sources:
            raise DiswmError(f"No episodes in {', '.join(map(str, self.folders)) or 'an empty list of folders'}. {_SCHEMA}")
        return sources

    def _plan(self, sources: Sequence[Source]) -> tuple[list[Source], int]:
        """What looks readable by its headers, and its rows. Nothing is decoded yet."""
        shapes: dict[tuple[int, ...], Path] = {}
        good, rows = [], 0
        for source in sources:
            try:
                headers = peek_episode(source.path)
                _check_labels(headers)
            except DiswmError as error:
                self._skip(source, error)
                continue
            shape = headers["image"][0]
            good.append(source)
            rows += shape[0]
            shapes.setdefault(shape[1:], source.path)
        if len(shapes) > 1:
            found = ", ".join(f"{shape} in {path}" for shape, path in shapes.items())
            raise DiswmError(f"The videos differ in image size: {found}. Use one size, or one data set at a time.")
        self.image_shape = next(iter(shapes), ())
        return good, rows

    def _skip(self, source: Source, error: DiswmError) -> None:
        self.skipped.append((str(source.path), str(error).removeprefix(f"{source.path}: ")))

    def _decode(self, sources: Sequence[Source], cached: Path | None, ram_bytes: int, on_progress: Progress) -> None:
        good, rows = self._plan(sources)
        need = rows * int(np.prod(self.image_shape))
        if need <= ram_bytes:
            self._frames: FrameStore = RamFrames(rows, self.image_shape)
            self._fill(good, len(sources), on_progress)
        elif cached is None:
            raise DiswmError(
                f"The {rows} frames take {size(need)}, more than the {size(ram_bytes)} of memory allowed. "
                "Name a cache folder, or allow more memory."
            )
        else:
            self._fill_cache(good, len(sources), on_progress, cached, need)

    def _fill(self, good: Sequence[Source], total: int, on_progress: Progress) -> None:
        """Decode into the store; what turns out to be damaged leaves no gap."""
        labels: list[Episode] = []
        digest, rows = hashlib.sha256(), 0
        for done, source in enumerate(good, total - len(good) + 1):
            try:
                episode = _read(source)
            except DiswmError as error:
                self._skip(source, error)
            else:
                image = episode.pop("image")
                self._frames.write(rows, image)
                digest.update(content_hash({"image": image}).encode())
                labels.append({name: value.reshape(len(image), -1) for name, value in episode.items()})
                self._lengths.append(len(image))
                rows += len(image)
            on_progress(done, total)
        if not rows:
            name, reason = self.skipped[0]
            for folder in self.folders:
                forget(folder, self._where)
            raise DiswmError(f"None of {len(self.skipped)} files can be used. The first: {name}: {reason} {_SCHEMA}")
        self.hash, self._factors = digest.hexdigest(), _common(labels)

    # ------------------------------------------------------------ the cache

    def _fill_cache(self, good: Sequence[Source], total: int, on_progress: Progress, cached: Path, need: int) -> None:
        require_free(cached.parent, need, "The cache of decoded videos", _ADVICE)
        make_folder(cached.parent)
        temporary = cached.with_name(f".{cached.name}.{os.getpid()}.tmp")  # two runs may build the same cache at once
        try:
            store = DiskFrames(temporary, self.image_shape)
            store.records.truncate()
            self._frames = store
            self._fill(good, total, on_progress)
            store.records.flush()
            os.replace(temporary, cached.with_suffix(".frames"))
        except BaseException as error:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            if isinstance(error, OSError):
                raise write_error(error, cached.parent, need, _ADVICE) from error
            raise
        if self._factors:
            save_episode(cached.parent, self._factors, f"{cached.name}.npz", require=())
        index = {"format": FORMAT, "lengths": self._lengths, "image_shape": self.image_shape, "hash": self.hash, "skipped": self.skipped}
        index |= {"factors": bool(self._factors), "time": cached.with_suffix(".frames").stat().st_mtime_ns}
        data = json.dumps(index).encode()  # written last: with it the cache is whole
        write_atomically(cached.with_suffix(".json"), lambda file: file.write(data), need=len(data), advice=_ADVICE)

    def _take_up(self, cached: Path) -> bool:
        """Use the cache of an earlier run, if it is whole."""
        frames = cached.with_suffix(".frames")
        try:
            index = json.loads(cached.with_suffix(".json").read_bytes())
            shape, lengths = tuple(index["image_shape"]), list(index["lengths"])
            facts = frames.stat()
            if index["format"] != FORMAT or facts.st_size != sum(lengths) * int(np.prod(shape)):
                return False
            if index.get("time", facts.st_mtime_ns) != facts.st_mtime_ns:  # written to since: not what the hash is of
                return False
            factors = load_episode(cached.with_suffix(".npz"), require=()) if index["factors"] else {}
        except (OSError, ValueError, KeyError, TypeError, DiswmError):
            return False
        self.image_shape, self._lengths, self._factors, self.hash = shape, lengths, factors, index["hash"]
        self.skipped = [(name, reason) for name, reason in index["skipped"]]
        self._frames = DiskFrames(frames, shape)
        return True

    # ------------------------------------------------------------ sampling

    def sample(self, rng: np.random.Generator, batch: int, length: int | None = None, *, factors: bool = False) -> Batch:
        """Windows that never cross an episode: uniform over the episodes that are long enough, then over starts.

        image (B, T, H, W, C) uint8 and is_first (B, T) bool; with ``factors`` also ``factor.<name>`` (B, T, k) float32.
        ``length`` is that of the data set unless given. Raises DiswmError where no episode is long enough.
        """
        length = self.length if length is None else length
        chosen, offsets = draw_windows(rng, self._table[1], batch, length)
        starts = self._table[0][chosen] + offsets
        is_first = np.zeros((batch, length), bool)
        is_first[:, 0] = offsets == 0
        out = {"image": self._frames.windows(starts, length), "is_first": is_first}
        if factors:
            rows = starts[:, None] + np.arange(length)
            out.update({name: value[rows] for name, value in self._factors.items()})
        return out

    def episode(self, index: int) -> Episode:
        """The frames (L, H, W, C) and factor labels (L, k) of one episode."""
        start, rows = (int(column[index]) for column in self._table)
        labels = {name: value[start : start + rows].copy() for name, value in self._factors.items()}
        return {"image": self._frames.windows(np.array([start]), rows)[0], **labels}


def _check_labels(headers: Headers) -> None:
    """DiswmError, with the reason alone, for labels that would take the memory that frames are kept out of."""
    count = sum(math.prod(shape[1:]) for name, (shape, _) in headers.items() if name.startswith(FACTOR_PREFIX))
    if count > MAX_LABELS:
        raise DiswmError(f"declares {count:,} numbers of labels a frame, more than the limit of {MAX_LABELS:,}.")


def _key(sources: Sequence[Source], skipped: Sequence[tuple[str, str]]) -> str:
    """Changes with every change of the files: path, size, time and promised hash."""
    digest = hashlib.sha256(f"{FORMAT};{skipped};".encode())
    for path, sha256, _ in sources:
        digest.update(f"{os.path.realpath(path)};{sha256};".encode())  # unlike resolve, it takes links that lead to themselves
        with contextlib.suppress(OSError):  # a file that cannot be looked at is left out later, with its reason
            stat = path.stat()
            digest.update(f"{stat.st_size};{stat.st_mtime_ns};".encode())
    return digest.hexdigest()[:24]


def _read(source: Source) -> Episode:
    """Image and factors; DiswmError where the file is damaged or not the one of the manifest."""
    try:
        check_hash(source.path, source.sha256)
    except DiswmError as error:
        raise DiswmError(f"{error}. {source.remedy}") from error
    names = [name for name in peek_episode(source.path) if name.startswith(FACTOR_PREFIX)]
    return load_episode(source.path, keys=["image", *names])


def _common(labels: Sequence[Episode]) -> dict[str, Array]:
    """The label columns that all episodes have in the same size, one after the other (rows, k)."""
    first = labels[0]
    names = [n for n in first if all(n in other and other[n].shape[1:] == first[n].shape[1:] for other in labels)]
    return {name: np.concatenate([other[name] for other in labels]).astype(np.float32) for name in names}

"""Bounded replay on disk: a ring of whole episodes, read in (B, T) windows.

::

    file   [ episode 7 | episode 8 | gap ...  episode 5 | episode 6 | rest ]
                                   ^ cursor: the next episode overwrites the oldest

An episode never wraps around the end of the file: where it does not fit, it starts again at row 0. What it overwrites is
evicted whole, oldest first. The file grows as it is filled; memory holds one entry an episode and no frames.
"""

from __future__ import annotations

import itertools
import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from diswm.contract import FACTOR_PREFIX, IMAGE_SHAPE, Array, Batch, DiswmError
from diswm.data.disk import make_folder, require_free, write_atomically, write_error
from diswm.data.episodes import check_episode
from diswm.data.records import Records, draw_windows
from diswm.data.ring import Ring, Stored

FORMAT = 1
RING, LAYOUT = "replay.bin", "replay.json"
_ADVICE = "Lower --train.replay-rows or --train.replay-gb, or choose a folder on another disk."
_OWN = {"episode", "row", "image", "action", "reward", "is_terminal", "is_first"}


def _head(action_dim: int, extras: Mapping[str, int]) -> list[tuple[Any, ...]]:
    if bad := _OWN & extras.keys():
        raise ValueError(f"extras may not be called {', '.join(sorted(bad))}")
    return [
        *(("episode", "<i8"), ("row", "<i4"), ("is_terminal", "?"), ("reward", "<f4"), ("action", "<f4", (action_dim,))),
        *((name, "<f4", (count,)) for name, count in sorted(extras.items())),
    ]


def bytes_per_row(action_dim: int, image_shape: Sequence[int] = IMAGE_SHAPE, extras: Mapping[str, int] | None = None) -> int:
    """Disk that one row of a replay takes."""
    return np.dtype(_head(action_dim, extras or {})).itemsize + int(np.prod(image_shape))


class Replay:
    """Episodes on disk, at most ``capacity`` rows. One process, one thread at a time.

    ``extras`` names further float columns and their sizes, such as ``{"teacher_mean": 20}``: each added episode must
    bring them as (L, k). Those called ``factor.<name>``, drawn values of factors, are kept with the rows and sampled where they are asked
    for. ``disk_bytes`` lowers the capacity to what fits. A replay starts empty; ``overwrite`` allows it to
    do so where the folder holds one already, ``Replay.restore`` takes up an old one. Raises DiswmError where the disk has
    no room for the whole capacity, or the folder is taken.
    """

    def __init__(
        self,
        folder: Path,
        *,
        capacity: int,
        action_dim: int,
        image_shape: Sequence[int] = IMAGE_SHAPE,
        extras: Mapping[str, int] | None = None,
        disk_bytes: int | None = None,
        overwrite: bool = False,
    ) -> None:
        self._open(Path(folder), capacity, action_dim, image_shape, extras or {}, disk_bytes, overwrite)
        self._records.truncate()
        layout = json.dumps(self._layout(), indent=1).encode()
        write_atomically(self.folder / LAYOUT, lambda file: file.write(layout), need=len(layout), advice=_ADVICE)

    def _open(
        self,
        folder: Path,
        capacity: int,
        action_dim: int,
        image_shape: Sequence[int],
        extras: Mapping[str, int],
        disk_bytes: int | None,
        reuse: bool,
    ) -> None:
        make_folder(folder)
        path = folder / RING
        if not reuse and path.exists() and path.stat().st_size:
            raise DiswmError(f"{path}: holds the replay of an earlier run. Resume that run, or choose another folder.")
        self.folder, self.action_dim = folder, action_dim
        self.image_shape, self.extras = tuple(int(n) for n in image_shape), dict(sorted(extras.items()))
        row_bytes = bytes_per_row(action_dim, image_shape, extras)
        self.capacity = capacity if disk_bytes is None else min(capacity, disk_bytes // row_bytes)
        if self.capacity < 1:
            raise DiswmError(
                f"A replay of {capacity} rows in {disk_bytes} bytes holds nothing: one row takes {row_bytes} bytes. "
                "Raise --train.replay-rows or --train.replay-gb."
            )
        self._episodes = Ring()
        self._cursor = self._next_id = self._rows = 0
        self.dropped_episodes = self.dropped_rows = 0
        """What ``restore`` found overwritten, and ``sample`` damaged."""
        there = path.stat().st_blocks * 512 if path.exists() else 0
        require_free(folder, max(self.capacity * row_bytes - there, 0), f"A replay of {self.capacity} rows", _ADVICE)
        self._records = Records(path, self.image_shape, _head(action_dim, self.extras))

    # ------------------------------------------------------------ sizes

    def __len__(self) -> int:
        """Rows held."""
        return self._rows

    @property
    def episodes(self) -> int:
        return len(self._episodes)

    @property
    def added(self) -> int:
        """Episodes that were ever added."""
        return self._next_id

    @property
    def bytes_per_row(self) -> int:
        return self._records.row_bytes

    @property
    def bytes_on_disk(self) -> int:
        return self._records.bytes_on_disk

    # ------------------------------------------------------------ adding

    def add(self, episode: Mapping[str, Array]) -> int:
        """Store an episode and return its number; the oldest ones that it overwrites are gone.

        Raises DiswmError for an episode that does not fit the columns, and for a full disk: then the replay holds what it
        held (less any episode whose rows the failed write reached, which happens only where overwriting takes new space).
        """
        head = self._columns(episode)
        image = np.asarray(episode["image"])
        rows = len(image)
        start = self._cursor if self._cursor + rows <= self.capacity else 0
        # From the cursor on, in ring order, lie the oldest: all those before the end of this one go. After a wrap those
        # between the cursor and the end of the file go too, or they would be sampled for ever.
        victims = list(itertools.takewhile(lambda old: self._in_the_way(old, start, rows), self._episodes))
        try:
            self._records.write(start, image, head)
        except OSError as error:
            self._drop_damaged(victims)
            raise write_error(error, self.folder, rows * self.bytes_per_row, _ADVICE) from error
        for old in victims:
            self._remove(old)
        self._episodes.append(Stored(self._next_id, start, rows))
        self._cursor, self._next_id = start + rows, self._next_id + 1
        self._rows += rows
        return self._next_id - 1

    def _in_the_way(self, old: Stored, start: int, rows: int) -> bool:
        behind_the_wrap = start == 0 and self._cursor > 0 and old.start >= self._cursor
        return behind_the_wrap or (old.start < start + rows and start < old.stop)

    def _columns(self, episode: Mapping[str, Array]) -> dict[str, Array]:
        """The small columns of the file for ``episode``, (L, ...)."""
        where = "the episode for the replay"
        rows = check_episode(episode, where, ("image", "action", "reward", *self.extras))
        if rows > self.capacity:
            raise DiswmError(f"{where}: {rows} rows are more than the whole replay holds ({self.capacity}). Raise --train.replay-rows.")
        expected = {"image": self.image_shape, "action": (self.action_dim,), **{name: (k,) for name, k in self.extras.items()}}
        for name, shape in expected.items():
            if episode[name].shape[1:] != shape:
                raise DiswmError(f"{where}: '{name}' has rows of shape {episode[name].shape[1:]}; expected {shape}.")
        ended = episode["is_terminal"] if "is_terminal" in episode else np.asarray(episode.get("discount", np.ones(rows))) == 0
        own = {"episode": np.full(rows, self._next_id), "row": np.arange(rows), "is_terminal": ended}
        return {**own, **{name: np.asarray(episode[name]) for name in ("action", "reward", *self.extras)}}

    def _remove(self, old: Stored) -> None:
        self._episodes.remove(old)
        self._rows -= old.length

    def _drop_damaged(self, candidates: Sequence[Stored]) -> None:
        for old in candidates:
            if not self._intact(old):
                self._remove(old)

    def _intact(self, old: Stored) -> bool:
        """Whether nothing was written over it: rows are written in ascending order, and no writing begins in the middle of an
        episode that is held, so that it would have taken the first row. The last row tells of a file that was cut."""
        for row in (0, old.length - 1):
            head = self._records.read_heads(old.start + row, 1)
            if (head["episode"][0], head["row"][0]) != (old.id, row):
                return False
        return True

    # ------------------------------------------------------------ sampling

    def sample(self, rng: np.random.Generator, batch: int, length: int, *, factors: bool = False) -> Batch:
        """Windows that never cross an episode: uniform over the episodes of at least ``length`` rows, then over starts.

        Shorter episodes are kept and never drawn. image (B, T, H, W, C) uint8, action (B, T, A) float32, reward (B, T)
        float32, is_first and is_terminal (B, T) bool, extras (B, T, k) float32, with ``factors`` those of factors too; all contiguous and
        the caller's own.
        Episodes that turn out to be damaged are dropped, with a warning, and all windows are drawn anew. Raises DiswmError where no
        episode is long enough.
        """
        while True:
            chosen, offsets = draw_windows(rng, self._episodes.lengths, batch, length)
            head, image = self._records.read(self._episodes.starts[chosen] + offsets, length)
            rows = offsets[:, None] + np.arange(length)
            whole = ((head["episode"] == self._episodes.ids[chosen, None]) & (head["row"] == rows)).all(1)
            if whole.all():
                break
            self._drop([old for index, old in enumerate(self._episodes) if index in chosen[~whole]])
        extras = [name for name in self.extras if factors or not name.startswith(FACTOR_PREFIX)]
        batch_out = {name: np.ascontiguousarray(head[name]) for name in ("action", "reward", "is_terminal", *extras)}
        is_first = np.zeros((batch, length), bool)
        is_first[:, 0] = offsets == 0
        return {"image": image, "is_first": is_first, **batch_out}

    def _drop(self, damaged: Sequence[Stored]) -> None:
        for old in damaged:
            warnings.warn(f"{self.folder}: episode {old.id} is damaged, as by a power cut, and is left out from now on", stacklevel=3)
            self._remove(old)
            self.dropped_episodes, self.dropped_rows = self.dropped_episodes + 1, self.dropped_rows + old.length

    # ------------------------------------------------------------ resuming

    def _layout(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "capacity": self.capacity,
            "image_shape": list(self.image_shape),
            "action_dim": self.action_dim,
            "extras": self.extras,
        }

    def state(self) -> dict[str, Any]:
        """What ``restore`` needs, fit for JSON; returns once the frames themselves are on the disk."""
        self._records.flush()
        ring = {"cursor": self._cursor, "next_id": self._next_id, "episodes": [list(old) for old in self._episodes]}
        return {**self._layout(), **ring}

    @classmethod
    def restore(
        cls,
        folder: Path,
        state: Mapping[str, Any],
        *,
        capacity: int,
        action_dim: int,
        image_shape: Sequence[int] = IMAGE_SHAPE,
        extras: Mapping[str, int] | None = None,
        disk_bytes: int | None = None,
    ) -> Replay:
        """Take up the replay of ``folder`` as it was at ``state``.

        A run that was killed may have written on after that state. Every row carries the number of its episode, so the
        episodes that were overwritten, even in part, are found by their first rows and dropped (``dropped_episodes``,
        ``dropped_rows``), however many rows there are. That is exact for a killed process. After a power cut rows may have come to
        the disk in any order: the others show when they are drawn, but a damaged frame behind an intact row head would go unseen.
        Raises DiswmError where the file has other columns or another capacity than asked for, or is missing.
        """
        self = cls.__new__(cls)
        if not (Path(folder) / RING).is_file():
            raise DiswmError(f"{folder}: has no {RING}. Expected the replay that belongs to this checkpoint; without it, start a new run.")
        self._open(Path(folder), capacity, action_dim, image_shape, extras or {}, disk_bytes, reuse=True)
        try:
            on_disk = json.loads((self.folder / LAYOUT).read_bytes())
        except (OSError, ValueError) as error:
            raise DiswmError(f"{self.folder / LAYOUT}: cannot be read ({error}). It belongs beside {RING}.") from error
        for name, found in (("file", on_disk), ("checkpoint", state)):
            self._check_layout(name, found)
        self._cursor, self._next_id = int(state["cursor"]), int(state["next_id"])
        self._episodes = Ring(state["episodes"])
        self._rows = held = sum(old.length for old in self._episodes)
        count = len(self._episodes)
        self._drop_damaged(list(self._episodes))
        self.dropped_episodes, self.dropped_rows = count - len(self._episodes), held - self._rows
        return self

    def _check_layout(self, name: str, found: Mapping[str, Any]) -> None:
        for key, expected in self._layout().items():
            if found.get(key) != expected:
                raise DiswmError(
                    f"{self.folder}: the replay of the {name} has {key} {found.get(key)}, this run {expected}. "
                    "Resume with the settings that the run was started with."
                )

    def close(self) -> None:
        """Close the file. What it holds stays."""
        self._records.close()

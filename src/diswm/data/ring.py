"""Which episodes a replay holds and where, oldest first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from diswm.contract import Array


class Stored(NamedTuple):
    """An episode in the ring: its number, its first row and its rows."""

    id: int
    start: int
    length: int

    @property
    def stop(self) -> int:
        return self.start + self.length


class Ring:
    """A table of episodes. To add one, to take the oldest away and to read a column costs the same however many there are."""

    def __init__(self, episodes: Iterable[Iterable[int]] = ()) -> None:
        self._table = np.array([tuple(one) for one in episodes], np.int64).reshape(-1, 3)
        self._from, self._to = 0, len(self._table)

    def __len__(self) -> int:
        return self._to - self._from

    def __iter__(self) -> Iterator[Stored]:
        return (Stored(*(int(n) for n in row)) for row in self._live)

    @property
    def _live(self) -> Array:
        return self._table[self._from : self._to]

    @property
    def ids(self) -> Array:
        """(N,) int64, as ``starts`` and ``lengths``; a view that holds until the next change."""
        return self._live[:, 0]

    @property
    def starts(self) -> Array:
        return self._live[:, 1]

    @property
    def lengths(self) -> Array:
        return self._live[:, 2]

    def append(self, new: Stored) -> None:
        if self._to == len(self._table):  # as many free rows as there are episodes: each is moved once, on average
            live = self._live
            self._table = np.concatenate([live, np.zeros((max(64, len(live)), 3), np.int64)])
            self._from, self._to = 0, len(live)
        self._table[self._to] = new
        self._to += 1

    def remove(self, old: Stored) -> None:
        """Take out one that is there."""
        if self.ids[0] == old.id:
            self._from += 1
        else:  # rare: what a restart or a power cut damaged
            self._table = self._live[self.ids != old.id]
            self._from, self._to = 0, len(self._table)

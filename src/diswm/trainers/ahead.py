"""Drawing the next batch in a thread of its own while this one is learned from."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

Drawn = TypeVar("Drawn")
Staged = TypeVar("Staged")


class _Next(NamedTuple, Generic[Drawn]):
    held: int
    drawn: Future[tuple[Drawn, Mapping[str, Any]]]


class Ahead(Generic[Drawn, Staged]):
    """Draws batches, each while the one before is in use: the same batches as if each was drawn when it is due.

    ``draw`` is called in a thread, with a copy of the generator; the generator itself goes on when its batch is taken. ``held()`` tells
    which data there are to draw from: where they changed, what was drawn is forgotten. Call `settle` before they change. ``stage`` makes
    ready what was drawn, in the thread of the caller; with ``early`` in `prepare`, while a GPU works. A draw that meets a damaged episode
    drops it a batch early: a run that is resumed or gets an episode just then draws other windows, as good.
    """

    def __init__(
        self,
        draw: Callable[[np.random.Generator], Drawn],
        rng: np.random.Generator,
        stage: Callable[[Drawn], Staged],
        *,
        early: bool = False,
        held: Callable[[], int] = lambda: 0,
    ) -> None:
        self._draw, self._rng, self._stage, self._early, self._held = draw, rng, stage, early, held
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="diswm windows")
        self._next: _Next[Drawn] | None = None
        self._staged: Staged | None = None

    def take(self) -> Staged:
        """The batch that is due. Raises what drawing it raised."""
        coming, staged = self._next, self._staged
        self.forget()
        if coming is None or coming.held != self._held():
            coming, staged = self._begin(), None
        drawn, state = coming.drawn.result()
        self._rng.bit_generator.state = state
        self._next = self._begin()
        return self._stage(drawn) if staged is None else staged

    def _begin(self) -> _Next[Drawn]:
        return _Next(self._held(), self._thread.submit(self._drawn, copy.deepcopy(self._rng)))

    def _drawn(self, rng: np.random.Generator) -> tuple[Drawn, Mapping[str, Any]]:
        return self._draw(rng), rng.bit_generator.state

    def prepare(self) -> None:
        """Stage the next batch by now, if that is to be done early."""
        if self._early and self._next and not self._next.drawn.exception():  # which `take` raises, when it is due
            self._staged = self._stage(self._next.drawn.result()[0])

    def settle(self) -> None:
        """Return once nothing is being drawn."""
        if self._next:
            wait([self._next.drawn])

    def forget(self) -> None:
        """Drop what was drawn of the batch that is due next: it will be drawn anew, and be the same."""
        self.settle()
        self._next = self._staged = None

    @property
    def state(self) -> Mapping[str, Any]:
        """The generator's state before the batch that is due next, fit for JSON."""
        return self._rng.bit_generator.state

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from this state."""
        self.forget()
        self._rng.bit_generator.state = state

"""Drawing the next batch while a GPU works on this one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

import numpy as np

Drawn = TypeVar("Drawn")


class Ahead(Generic[Drawn]):
    """Draws batches, the next one early where ``early`` says so: the same batches as if each was drawn when it is due.

    ``held()`` tells which data there are to draw from. Where they changed, what was drawn early is forgotten and the generator goes back.
    """

    def __init__(
        self, draw: Callable[[np.random.Generator], Drawn], rng: np.random.Generator, *, early: bool, held: Callable[[], int] = lambda: 0
    ) -> None:
        self._draw, self._rng, self.early, self._held = draw, rng, early, held
        self._next: tuple[int, Mapping[str, Any], Drawn] | None = None

    def take(self) -> Drawn:
        """The batch that is due."""
        ready, state = self._next, self.state
        self._next = None
        if ready and ready[0] == self._held():
            return ready[2]
        self.restore(state)
        return self._draw(self._rng)

    def prepare(self) -> None:
        """Draw the next batch by now, if that is to be done early."""
        if self.early and self._next is None:
            state = self._rng.bit_generator.state
            self._next = self._held(), state, self._draw(self._rng)

    @property
    def state(self) -> Mapping[str, Any]:
        """The generator's state before the batch that is due next, fit for JSON."""
        return self._next[1] if self._next else self._rng.bit_generator.state

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from this state."""
        self._next = None
        self._rng.bit_generator.state = state

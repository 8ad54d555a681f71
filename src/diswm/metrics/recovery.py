"""What a change of the world in mid-training costs, read off a curve of evaluations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Recovery(NamedTuple):
    """A switch from one set of distractions to another."""

    before: float
    """Return of the last evaluation before the switch began."""
    after: float
    """Return of the first evaluation once it was complete."""
    frames: float | None
    """From its beginning until an evaluation lacked less than a tenth of what was there before; None where none did."""

    @property
    def drop(self) -> float:
        """What was lost at once; negative where the return rose."""
        return self.before - self.after


def recovery(frames: Sequence[float], returns: Sequence[float], start: float, end: float, *, lacking: float = 0.1) -> Recovery | None:
    """The switch between ``start`` and ``end`` (frames), on a curve of returns at rising ``frames``.

    An evaluation at ``end`` itself already plays the new set, one at the ``start`` of a gradual switch still the old one. None where one
    side of the switch was never evaluated.
    """
    curve = list(zip(frames, returns, strict=True))
    earlier, later = [y for x, y in curve if x <= start and x < end], [(x, y) for x, y in curve if x >= end]
    if not earlier or not later:
        return None
    before = earlier[-1]
    enough = before - lacking * abs(before)
    back = next((x - start for x, y in later if y >= enough), None)
    return Recovery(before, later[0][1], back)


def alone_at(windows: Sequence[tuple[float, float]], at: float) -> int | None:
    """The phase that holds for all episodes at this point; None within a gradual switch, where episodes of two or more are mixed.

    ``windows`` are (start, end) of each phase, in the order of rising starts: it begins at its start and is complete at its end.
    """
    whole = max((index for index, (_, end) in enumerate(windows) if at >= end), default=0)
    return None if any(start < at < end for start, end in windows[whole + 1 :]) else whole

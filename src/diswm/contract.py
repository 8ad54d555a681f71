"""The nouns that every part shares, and the time line that they agree on.

The time line (T + 1 rows for T agent steps)::

    row            0          1          2                T
    image[t]     reset      after a1   after a2         after aT
    action[t]      0          a1         a2               aT       led TO image[t]
    reward[t]      0          r1         r2               rT       received on arriving at image[t]
    is_first       1          0          0                0
    is_last        0          0          0                1        for either cause
    is_terminal    0          0          0              1 or 0     1 only at a true end; a time limit is no end

Units: a *step* is one agent decision, a *frame* one simulator step (``frames = steps x action_repeat``), an
*update* one optimiser step on one batch. Budgets and x-axes are in frames.

Images are uint8 ``(..., H, W, C)`` at rest; floats in [-0.5, 0.5], channels first, only inside encoder and decoder.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[Any, Any]
Episode: TypeAlias = dict[str, Array]
"""One episode, L = steps + 1 rows: ``image`` (L, H, W, C) uint8, ``action`` (L, A) float32 in [-1, 1] or one-hot, ``reward`` (L,)
float32, ``discount`` (L,) float32, ``is_terminal`` (L,) bool; ``factor.<name>`` (L, k) float32 where known.
Videos need ``image`` alone."""
Batch: TypeAlias = dict[str, Array]
"""Windows of B episodes, T rows each: ``image`` (B, T, H, W, C) uint8, ``is_first`` (B, T) bool; with actions also
``action`` (B, T, A), ``reward`` (B, T), ``is_terminal`` (B, T); extra columns of the replay as (B, T, k) float32."""
Metrics: TypeAlias = dict[str, float]

FACTOR_PREFIX = "factor."
IMAGE_SHAPE = (64, 64, 3)


class DiswmError(Exception):
    """What the user can mend: the message says what was wrong, what was expected and what to do. Exit code 2."""


class Unstable(DiswmError):
    """A simulation that diverged: its episode cannot go on. What it was up to then is sound, and so are other episodes."""


class Env(Protocol):
    """A Gymnasium environment whose observation is the image and whose actions (A,) lie in [-1, 1] or, where it is
    ``discrete``, are a choice of one in A: a one-hot vector.

    ``info["factors"]`` maps the name of each factor of variation to its true value, a float32 vector;
    ``info["frames"]`` counts the simulator steps that this call took. ``step`` raises `Unstable` where the simulation diverges.
    """

    observation_space: Any
    action_space: Any
    renderer: str  # "gl-egl", "gl-osmesa", "warp", "numpy" or "gymnasium": kept with the data
    discrete: bool
    action_repeat: int

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Array, dict[str, Any]]: ...

    def step(self, action: Array) -> tuple[Array, float, bool, bool, dict[str, Any]]: ...

    def close(self) -> None: ...


def did_you_mean(name: str, known: Iterable[str], count: int = 2, cutoff: float = 0.5) -> str:
    """`` Did you mean a or b?``, or nothing where no known name is near."""
    near = difflib.get_close_matches(name, list(known), n=count, cutoff=cutoff)
    return f" Did you mean {' or '.join(near)}?" if near else ""


def unknown(what: str, name: str, known: Iterable[str], cutoff: float = 0.5) -> DiswmError:
    """The error for a name that there is not, with the nearest that there are."""
    known = list(known)
    hint = did_you_mean(name, known, 3, cutoff) or f" There are: {', '.join(known)}."
    return DiswmError(f"There is no {what} '{name}'.{hint}")


def some(words: Sequence[str], most: int) -> str:
    """``a, b and 3 more``: the first ``most`` of them, and how many are left."""
    return ", ".join(words[:most]) + (f" and {len(words) - most} more" if len(words) > most else "")


def plain(text: str) -> str:
    """The text without what would command a terminal: names come from files of anybody's."""
    return "".join(sign if sign.isprintable() or sign in "\n\t" else ascii(sign)[1:-1] for sign in text)


def places(folder: Path, named: Path | str) -> list[Path]:
    """Where a path that the config of the run in ``folder`` names can lie: as it stands, or beside the run, when all was moved together."""
    path = Path(named)
    return [path, folder / path, folder.resolve().parent / path.name]


class Policy(Protocol):
    """Anything that acts: one image in, one action out."""

    def reset(self) -> None: ...

    def act(self, image: Array) -> Array: ...


@dataclasses.dataclass
class Counters:
    """The run's only clock; owned by the trainer, handed to everything else as plain numbers."""

    steps: int = 0
    frames: int = 0
    updates: int = 0
    episodes: int = 0
    skipped_updates: int = 0

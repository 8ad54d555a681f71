"""Labelled frames whose factors were drawn independently of each other: a video data set whose manifest says what was drawn.

Each row stands alone; rows lie in files of ``ROWS`` like episodes, so that all that reads videos reads it. The manifest's entry
``independent`` holds the world, and of each factor its name, kind, range and place among the labels.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from diswm.contract import FACTOR_PREFIX, Array, DiswmError
from diswm.data.manifest import read_manifest
from diswm.data.videos import Videos

ROWS = 500
ANGLE_BINS = 10
"""Classes of an angle, of equal width around the circle."""
INDEPENDENT = "independent"
_RAM = 8 << 30


@dataclasses.dataclass(frozen=True)
class Drawn:
    """One factor of a set: continuous, angle or discrete, from ``low`` to ``high``; number ``index`` of the label ``column``."""

    name: str
    kind: str
    low: float
    high: float
    column: str
    index: int

    def classes(self, values: Array) -> Array:
        """An angle's class, 0 to 9; other values as they are. (N,)"""
        if self.kind != "angle":
            return values
        return np.minimum((values - self.low) % (self.high - self.low) / (self.high - self.low) * ANGLE_BINS, ANGLE_BINS - 1).astype(int)

    def numbers(self, values: Array) -> Array:
        """An angle as sine and cosine, so that its ends meet; other values as they are. (N, 1 or 2)"""
        if self.kind != "angle":
            return values[:, None]
        turn = (values - self.low) / (self.high - self.low) * 2 * np.pi
        return np.stack([np.sin(turn), np.cos(turn)], 1)


@dataclasses.dataclass(frozen=True)
class FactorSet:
    """N frames and the values of their K factors."""

    image: Array
    """(N, H, W, 3) uint8."""
    values: Array
    """(N, K) float64."""
    drawn: tuple[Drawn, ...]
    about: Mapping[str, Any]
    """The manifest."""

    @property
    def world(self) -> str:
        """What tasks of the same factors share: walker, reacher, ..."""
        return str(self.about[INDEPENDENT]["world"])

    def first(self, count: int) -> FactorSet:
        """The first rows alone, which are as good as any others."""
        return dataclasses.replace(self, image=self.image[:count], values=self.values[:count])

    def for_scores(self) -> tuple[Array, Array]:
        """Factors (N, K) and which are discrete (K,), angles as classes."""
        columns = [one.classes(value) for one, value in zip(self.drawn, self.values.T, strict=True)]
        return np.stack(columns, 1), np.array([one.kind != "continuous" for one in self.drawn])

    def for_probes(self) -> tuple[Array, Array]:
        """The same for linear probes (N, K'), angles as two columns."""
        return numbers(self.drawn, self.values)


def numbers(drawn: Sequence[Drawn], values: Array) -> tuple[Array, Array]:
    """Values (N, K) as columns for linear probes (N, K'), angles as two, and which of these are discrete (K',)."""
    parts = [one.numbers(value) for one, value in zip(drawn, values.T, strict=True)]
    return np.concatenate(parts, 1), np.array([one.kind == "discrete" for one, part in zip(drawn, parts, strict=True) for _ in part.T])


def pick(drawn: Sequence[Drawn], labels: Mapping[str, Array]) -> tuple[tuple[Drawn, ...], Array]:
    """Those of the factors that ``labels`` (by column, (N, k)) have, and their values (N, K)."""
    found = tuple(one for one in drawn if one.column in labels and one.index < np.shape(labels[one.column])[1])
    return found, np.stack([labels[one.column][:, one.index] for one in found], 1).astype(np.float64) if found else np.empty((0, 0))


def read_set(folder: Path | str) -> FactorSet:
    """The set in a folder that `diswm factors` wrote. DiswmError for any other, and where files are missing or damaged."""
    folder = Path(folder)
    if not folder.is_dir():
        raise DiswmError(f"{folder}: is no folder. Draw a set of labelled frames with `diswm factors TASK --out {folder}`.")
    about = read_manifest(folder)
    if not isinstance(about.get(INDEPENDENT), dict):
        raise DiswmError(
            f"{folder}: its frames were not drawn with independent factors (there is no '{INDEPENDENT}' in its manifest). "
            "Draw a set with `diswm factors TASK`."
        )
    try:
        drawn = tuple(Drawn(**{field.name: one[field.name] for field in dataclasses.fields(Drawn)}) for one in about[INDEPENDENT]["drawn"])
    except (KeyError, TypeError) as error:
        raise DiswmError(f"{folder}: its manifest does not say what was drawn ({error!r}). Draw the set again.") from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        videos = Videos(folder, length=1, ram_bytes=_RAM)
    if videos.skipped:
        raise DiswmError(f"{videos.skipped[0][0]}: {videos.skipped[0][1]} Draw the set again with `diswm factors`.")
    parts = [videos.episode(i) for i in range(videos.episodes)]
    labels = {name.removeprefix(FACTOR_PREFIX): np.concatenate([part[name] for part in parts]) for name in parts[0] if name != "image"}
    found, values = pick(drawn, labels)
    if len(found) != len(drawn):
        raise DiswmError(f"{folder}: its episodes lack labels of its manifest's factors. Draw the set again.")
    return FactorSet(np.concatenate([part["image"] for part in parts]), values, drawn, about)

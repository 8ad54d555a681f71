"""How readable the true factors are in the code, along training: a few cheap scores every so often, at a bounded cost."""

from __future__ import annotations

import dataclasses
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from diswm.contract import Array, DiswmError
from diswm.data.factorset import FactorSet
from diswm.model.encoder import Code
from diswm.model.kernels import image_input
from diswm.trainers.progress import console
from diswm.trainers.run import Run
from diswm.trainers.seeds import generator

CHEAP = ("mig", "mcc", "ridge_r2", "gaussian_total_correlation", "active_units")
PLAIN = ("mcc", "ridge_r2")
"""Of an embedding that is no code."""
FEWEST = 100
"""Labelled frames, as `metrics.disentangle` wants."""
MARGIN = 0.05
"""By which a probe must have changed before it is called a change."""


@dataclasses.dataclass(frozen=True)
class ProbeConfig:
    """Scores of the code against true factors, and against the teacher's code, along training."""

    every: int = 0
    """Updates between scores; 0: none."""
    points: int = 1_000
    """Labelled frames that they are made on."""
    factors: Path | None = None
    """Folder of `diswm factors`; drawn into <run>/factors unless given."""
    share: float = 0.03
    """Part of the run's time that they may take; what would take more is left out, and that is said."""
    optional: bool = False
    """Do without them, and say so, where no labelled set can be had; otherwise that is an error. Presets set it, naming --probe.every or
    --probe.factors unsets it."""


@torch.no_grad()
def encode(encoder: torch.nn.Module, image: Array, chunk: int = 256) -> list[Code]:
    """Codes of frames (N, H, W, C) uint8, so many at a time."""
    device = next(encoder.parameters()).device
    parts = [torch.from_numpy(np.ascontiguousarray(image[i : i + chunk])).to(device) for i in range(0, len(image), chunk)]
    return [encoder(image_input(part)) for part in parts]


def codes_of(encoder: torch.nn.Module, image: Array) -> Array:
    """Code means (N, E) float32 of frames (N, H, W, C) uint8."""
    return torch.cat([code.mean for code in encode(encoder, image)]).float().cpu().numpy()


def scores(
    codes: Array, factors: Array, discrete: Array, rng: np.random.Generator, *, names: Sequence[str] | None = None, **options: Any
) -> tuple[list[dict[str, Any]], list[str]]:
    """The rows of `metrics.disentangle.disentanglement` as plain values, and what it warned of. DiswmError for what cannot be scored."""
    disentanglement = _scorer().disentanglement
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            rows = disentanglement(codes, factors, discrete, rng=rng, factor_names=names, **options)
        except ValueError as error:
            raise DiswmError(f"The code cannot be scored: {error}.") from error
    said = [str(one.message) for one in caught if issubclass(one.category, UserWarning)]
    return [dataclasses.asdict(row) for row in rows], list(dict.fromkeys(said))


def _scorer() -> Any:
    try:
        from diswm.metrics import disentangle
    except ImportError as error:
        raise DiswmError(f"{error}.") from error
    return disentangle


def score_names() -> list[str]:
    """All scores of `metrics.disentangle`. DiswmError where the extra `metrics` is not installed."""
    found: list[str] = _scorer().names()
    return found


class Probe:
    """Scores of one encoder on a labelled set, and of its likeness to a teacher's, as events ``probe`` of a run.

    It draws from a generator of its own, made anew each time, and changes nothing that training depends on. ``state`` goes into the
    checkpoint.
    """

    def __init__(
        self,
        run: Run,
        encoder: torch.nn.Module,
        given: FactorSet,
        config: ProbeConfig,
        seed: int,
        *,
        teacher: torch.nn.Module | None = None,
        spent: float = 0.0,
    ) -> None:
        _scorer()  # what it loads is loaded before the clock runs
        self.run, self.encoder, self.config, self.seed = run, encoder, config, seed
        self.given = given.first(config.points)
        if len(self.given.image) < FEWEST:
            raise DiswmError(
                f"{len(self.given.image)} labelled frames are too few to score a code on: at least {FEWEST} are needed (--probe.points)."
            )
        self.names = CHEAP if getattr(encoder, "noise_size", 0) else PLAIN
        self.teacher_code = codes_of(teacher, self.given.image) if teacher is not None else None
        self._state: dict[str, Any] = {"at": -1, "first": None, "seconds": spent, "last": 0.0, "left_out": 0, "warned": False}
        if self.teacher_code is not None:
            self.teacher_scores = self._scored(self.teacher_code)

    def state(self) -> dict[str, Any]:
        """Fit for JSON."""
        return dict(self._state)

    def restore(self, state: dict[str, Any] | None) -> None:
        """Take up ``state``; None: of a run that had no probe."""
        self._state |= state or {}

    def due(self, updates: int, final: bool = False) -> None:
        """Score if this count of updates is a multiple of ``every``, or the end, and the run's time allows it."""
        state = self._state
        if updates == state["at"] or not (final or updates % self.config.every == 0):
            return
        # The first is always made: it says what one takes.
        if state["first"] is not None and state["seconds"] + state["last"] > self.config.share * self.run.seconds:
            if not state["left_out"]:
                console.print(f"scores along training are left out where they would take over {self.config.share:.0%} of the run's time")
            state["left_out"] += 1
            return
        began = time.monotonic()
        found = self._measure()
        state["at"], state["first"] = updates, state["first"] or found
        self._watch(found)
        self.run.log("probe", **{f"probe/{name}": float(f"{value:.6g}") for name, value in found.items()}, left_out=state["left_out"])
        state["last"] = time.monotonic() - began
        state["seconds"] += state["last"]

    def _measure(self) -> dict[str, float]:
        codes = codes_of(self.encoder, self.given.image)
        if not np.isfinite(codes).all():
            return {}  # training that diverged says so itself
        found = self._scored(codes)
        if self.teacher_code is not None:
            from diswm.metrics.similarity import linear_cka, linear_r2, matched, same_place

            likeness = {"cka": linear_cka, "matched": matched, "same_place": same_place, "linear_r2": linear_r2}
            found |= {f"teacher_{name}": score(codes, self.teacher_code) for name, score in likeness.items()}
            found |= {f"of_teacher_{name}": value for name, value in self.teacher_scores.items() if name in PLAIN}
        return found

    def _scored(self, codes: Array) -> dict[str, float]:
        options: dict[str, Any] = {"reps": 0, "nulls": 0}
        only = [name for name in self.names if name not in PLAIN]
        rows, _ = scores(codes, *self.given.for_scores(), generator(self.seed, "metrics"), only=only, **options) if only else ([], [])
        linear, _ = scores(codes, *self.given.for_probes(), generator(self.seed, "metrics"), only=PLAIN, **options)
        return {row["name"]: row["value"] for row in rows + linear}

    def _watch(self, found: dict[str, float]) -> None:
        """Negative transfer: nearer to the teacher than at the start, where nothing pulled yet, and yet the factors are less readable."""
        first = self._state["first"]
        if "teacher_cka" not in found or "teacher_cka" not in first:
            return
        nearer = found["teacher_cka"] > first["teacher_cka"] + MARGIN
        worse = found["ridge_r2"] < first["ridge_r2"] - MARGIN
        found["negative_transfer"] = float(nearer and worse)
        if nearer and worse and not self._state["warned"]:
            self._state["warned"] = True
            console.print(
                f"negative transfer? The code is nearer to the teacher's (CKA {first['teacher_cka']:.2f}, now {found['teacher_cka']:.2f}), "
                f"but tells less of the factors than untrained (R2 {first['ridge_r2']:.2f}, now {found['ridge_r2']:.2f})."
            )

"""The kinds of the constraint on the code, compared where the true factors are known: ``python benchmarks/regularisers.py``.

On the toy world and two tasks of the suite, a video model of each kind and seed learns windows in which every factor varies on its own;
then codes of frames that it never saw are scored against their factors. Beside them an encoder without training, and the first
principal components of the pixels. One process a core, one thread each. What is done stays in ``--out``, so that the same command goes
on after Ctrl-C; `recipes/disentanglement.sh` does all of it and writes results/disentanglement.md. ``--kinds beta_tcvae@2`` is a kind at
a strength that is not its default. ``--tiny`` takes a minute and only shows that everything runs.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import os
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np

from diswm import envs
from diswm.agents import LearnerConfig, WorldLearner
from diswm.contract import Array, Batch, DiswmError
from diswm.data.disk import write_atomically
from diswm.data.factorset import FactorSet
from diswm.envs.posing import FactorWorld
from diswm.factorsets import set_for
from diswm.methods import METHODS
from diswm.model import ModelConfig
from diswm.model.dists import HALF_LOG_TWO_PI
from diswm.objectives.disentangle import STRENGTH, DisentangleKind
from diswm.runtime import prepare
from diswm.scoring import table_of
from diswm.trainers.pool import Pool
from diswm.trainers.probe import codes_of
from diswm.trainers.progress import Interrupt, console, progress
from diswm.trainers.run import machine, write_json

KINDS: tuple[DisentangleKind, ...] = get_args(DisentangleKind)
DEFAULTS = {"beta_vae": 1.0, **{str(kind): value for kind, value in STRENGTH.items()}}
"""Strengths that this study may change: a kind's own, and for `beta_vae` what its weight is multiplied by."""
BASELINES = ("untrained", "pixels")
WORLDS = {"toy": "colour:color_easy", "reacher_easy": "colour:color_easy", "cartpole_swingup": "colour:color_easy"}
"""Tasks, and what varies beside the pose: colours near each material's own. Where all materials share one box of colours, as in set 1, a
body is as often lighter as darker than what is behind it, and the trials in LOG.md learned next to nothing of where it is."""
STRIDE = 0.06  # standard deviation of a pose factor's step a frame, as a share of its range
CONSTANT = HALF_LOG_TWO_PI * 3 * 64 * 64  # of a frame's likelihood
_PIXELS = 1_500  # frames that principal components are found on
_CHUNK = 500


@dataclasses.dataclass(frozen=True)
class Variant:
    """A kind, or a baseline, and its strength where it has one."""

    kind: str
    strength: float | None

    @classmethod
    def parse(cls, text: str) -> Variant:
        """``kind`` or ``kind@strength``. ArgumentTypeError for what is not known."""
        kind, at, strength = text.partition("@")
        if kind not in (*KINDS, *BASELINES):
            raise argparse.ArgumentTypeError(f"no kind {kind!r}; known: {', '.join((*KINDS, *BASELINES))}")
        if not at:
            return cls(kind, DEFAULTS.get(kind))
        if kind not in DEFAULTS:
            raise argparse.ArgumentTypeError(f"{kind} has no strength: leave @{strength} out")
        try:
            value = float(strength)
        except ValueError:
            value = math.nan
        if not 0 < value < math.inf:
            raise argparse.ArgumentTypeError(f"the strength in {text!r} must be a number above 0, as in {kind}@{DEFAULTS[kind]:g}")
        return cls(kind, value)

    def __str__(self) -> str:
        return self.kind if self.strength is None else f"{self.kind}@{self.strength:g}"


@dataclasses.dataclass(frozen=True)
class Scale:
    """How much is done."""

    updates: int
    windows: int
    batch: int
    length: int
    points: int
    model: ModelConfig


FULL = Scale(updates=3_000, windows=4_000, batch=32, length=4, points=5_000, model=ModelConfig(depth=16))
TINY = Scale(updates=6, windows=8, batch=4, length=4, points=200, model=ModelConfig(depth=4, z_dim=6, stoch=8, deter=16, hidden=16))


# ---- frames


def walk(start: Array, steps: Array, low: Array, high: Array, turns: Array) -> Array:
    """Values (W, K) moved by ``steps`` (W, T, K): turned back at both ends of their ranges, those that ``turns`` (K,) come round."""
    place = (start[:, None] + steps.cumsum(1) - low) / (high - low)
    there_and_back = 1 - np.abs(place % 2 - 1)
    found: Array = low + (high - low) * np.where(turns, place % 1, there_and_back)
    return found


def windows(config: envs.EnvConfig, scale: Scale, rng: np.random.Generator) -> Array:
    """Frames (windows, length, 64, 64, 3) uint8: the pose walks, colours are drawn anew for each frame."""
    world = FactorWorld(config)
    try:
        shape = scale.windows, scale.length, len(world.factors)
        values = world.sample(shape[0] * shape[1], rng).reshape(shape)
        pose = np.array([not one.name.startswith("colour.") for one in world.factors])
        low, high = (np.array([getattr(one, end) for one in world.factors])[pose] for end in ("low", "high"))
        turns = np.array([one.kind == "angle" for one in world.factors])[pose]
        steps = rng.normal(scale=STRIDE * (high - low), size=(*shape[:2], int(pose.sum())))
        steps[:, 0] = 0
        values[..., pose] = walk(values[:, 0][:, pose], steps, low, high, turns)
        frames = np.empty((*shape[:2], 64, 64, 3), np.uint8)
        with progress(f"draw {config.task}", shape[0], "windows") as bar:
            for i, window in enumerate(values):
                for t, row in enumerate(window):
                    world.apply(row)
                    frames[i, t] = world.frame()
                bar.update(i + 1)
    finally:
        world.close()
    return frames


def prepared(out: Path, task: str, scale: Scale) -> tuple[Array, FactorSet]:
    """The windows to learn and the labelled frames to score on, the same for all kinds and seeds; drawn where they are not there."""
    config = envs.with_distractions(envs.EnvConfig(task=task), (WORLDS[task],))
    path = out / "frames" / f"{task}-{scale.windows}x{scale.length}.npy"
    if not path.is_file():
        frames = windows(config, scale, np.random.default_rng([len(task), 1]))
        write_atomically(path, partial(np.save, arr=frames), need=frames.nbytes, advice="Choose another disk with --out.")
    given = set_for(config, None, out / "frames" / f"{task}-{scale.points}", scale.points, 0, task)
    return np.load(path, mmap_mode="r"), given


# ---- one run


def learner_of(variant: Variant, seed: int, scale: Scale, device: str) -> WorldLearner:
    """A video model with the weights of `diswm pretrain`, before its first update."""
    weights = dict(METHODS["diswm"].video_weights)
    kind = cast(DisentangleKind, variant.kind)
    if kind == "beta_vae":
        weights["beta"] *= variant.strength or 1.0
    own = variant.strength if kind in STRENGTH else None
    config = LearnerConfig(lr=1e-3, disentangle=kind, disentangle_strength=own, capacity_over=max(scale.updates // 2, 1))
    return WorldLearner(scale.model, 0, config, weights, seed=seed, device=device)


def learn(learner: WorldLearner, seed: int, scale: Scale, frames: Array) -> dict[str, float]:
    """Train it; what its loss came to over the last tenth: half the squared error of a frame, nats of its code."""
    rng, late = np.random.default_rng([seed, 0]), []  # the same batches for every kind
    for update in range(scale.updates):
        batch: Batch = {"image": frames[np.sort(rng.integers(len(frames), size=scale.batch))]}
        found = learner.update(batch, updates=update)
        if update >= scale.updates * 9 // 10:
            late.append((float(found["loss/image"]) - CONSTANT, float(found.get("code/kl", found["loss/beta"]))))
    return {name: value for name, value in zip(("image", "code_kl"), np.mean(late, 0).tolist(), strict=True) if math.isfinite(value)}


def pixels(seed: int, scale: Scale, frames: Array, image: Array) -> Array:
    """As many principal components of the pixels as the code has dimensions, of ``image`` (N, 64, 64, 3)."""
    from sklearn.decomposition import PCA

    def flat(part: Array) -> Array:
        return part.reshape(len(part), -1).astype(np.float32) / 255

    rows = np.random.default_rng([seed, 0]).permutation(frames.shape[0] * frames.shape[1])[:_PIXELS]
    chosen = flat(frames[rows // frames.shape[1], rows % frames.shape[1]])
    found = PCA(min(scale.model.z_dim, *chosen.shape), svd_solver="randomized", random_state=seed).fit(chosen)
    return np.concatenate([found.transform(flat(image[i : i + _CHUNK])) for i in range(0, len(image), _CHUNK)])


def scored(codes: Array, given: FactorSet, seed: int) -> tuple[dict[str, float], dict[str, float], list[str]]:
    """Scores and what chance gives of them, by name, and what is to be said of them. Nothing of codes that are not finite."""
    if not np.isfinite(codes).all():
        return {}, {}, ["its codes are not finite: training diverged, and it counts in no number"]
    rows, notes = table_of(codes, given, seed, nulls=1)
    values = {row["name"]: row["value"] for row in rows}
    for name, colours in (("pose_r2", False), ("colour_r2", True)):
        kept = np.array([one.name.startswith("colour.") == colours for one in given.drawn])
        drawn = tuple(one for one, keep in zip(given.drawn, kept, strict=True) if keep)
        part = dataclasses.replace(given, drawn=drawn, values=given.values[:, kept])
        values[name] = {row["name"]: row["value"] for row in table_of(codes, part, seed, plain=True, nulls=0)[0]}["ridge_r2"]
    return values, {row["name"]: row["null"] for row in rows if row["null"] is not None}, notes


class Trainer:
    """What a worker does: one run, as a dict fit for JSON."""

    def __init__(self, out: Path, scale: Scale, device: str) -> None:
        self.out, self.scale, self.device = out, scale, prepare(device, threads=1)

    def __call__(self, task: str, variant: Variant, seed: int) -> dict[str, Any]:
        began = time.monotonic()
        frames, given = prepared(self.out, task, self.scale)
        found: dict[str, float] = {}
        if variant.kind == "pixels":
            codes = pixels(seed, self.scale, frames, given.image)
        else:
            untrained = variant.kind == "untrained"
            learner = learner_of(Variant.parse("beta_vae") if untrained else variant, seed, self.scale, self.device)
            found = {} if untrained else learn(learner, seed, self.scale, np.asarray(frames))
            codes = codes_of(learner.world.eval().encoder, given.image)
        values, nulls, notes = scored(codes, given, seed)
        return {
            "world": task, "distract": WORLDS[task], "kind": variant.kind, "seed": seed, "scale": dataclasses.asdict(self.scale),
            "factors": len(given.drawn), "strength": variant.strength,
            "scores": found | values, "nulls": nulls, "notes": notes, "seconds": round(time.monotonic() - began, 1), "machine": machine(),
        }  # fmt: skip


# ---- all of them


def study(out: Path, scale: Scale, seeds: int, variants: list[Variant], worlds: list[str], workers: int, device: str) -> bool:
    """Do what is not there yet, ``workers`` at once. Whether all is there."""
    calls = [(task, variant, seed) for seed in range(seeds) for task in worlds for variant in variants]  # so that a part of it compares all
    todo = [call for call in calls if not done(path_of(out, *call), scale)]
    for task in dict.fromkeys(call[0] for call in todo):
        prepared(out, task, scale)
    cost = {call: 0 if call[1].kind in BASELINES else scale.updates for call in calls}
    whole = sum(cost.values())
    with (
        Interrupt("stopping; the same command goes on with what is not finished") as stop,
        progress("regularisers", whole, "updates", done=whole - sum(cost[call] for call in todo)) as bar,
        Pool(partial(Trainer, out, scale, device), min(workers, max(len(todo), 1))) as pool,
    ):
        while (todo or pool.calls) and not stop.requested:
            while todo and pool.free:
                pool.call(*todo.pop(0))
            for call, found in pool.results(seconds=0.5):
                path_of(out, *call).parent.mkdir(parents=True, exist_ok=True)
                write_json(path_of(out, *call), found)
                bar.update(bar.done + cost[call], f"{call[1]} of {call[0]}, seed {call[2]}: {found['seconds']:.0f} s")
        return not stop.requested


def path_of(out: Path, task: str, variant: Variant, seed: int) -> Path:
    """Where a run's scores lie."""
    return out / task / str(variant) / f"{seed}.json"


def done(path: Path, scale: Scale) -> bool:
    """Whether it is there, at this scale."""
    return path.is_file() and bool(json.loads(path.read_text())["scale"] == dataclasses.asdict(scale))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="a minute; only shows that everything runs")
    parser.add_argument("--out", type=Path, default=Path("runs/disentanglement"), help="where frames and scores stay")
    parser.add_argument("--seeds", type=int, default=3, help="how many, from 0")
    kinds = [*KINDS, *BASELINES]
    known = f"any of {' '.join(kinds)}, at its default strength or as KIND@STRENGTH (beta_vae@4: four times its weight)"
    parser.add_argument("--kinds", nargs="+", type=Variant.parse, default=[Variant.parse(kind) for kind in kinds], help=known)
    parser.add_argument("--worlds", nargs="+", choices=list(WORLDS), default=list(WORLDS))
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="runs at once, one thread each")
    parser.add_argument("--device", default="auto")
    given = parser.parse_args()
    try:
        whole = study(given.out, TINY if given.tiny else FULL, given.seeds, given.kinds, given.worlds, given.workers, given.device)
    except DiswmError as error:
        parser.error(str(error))
    console.print(f"{given.out}: {'all runs are there' if whole else 'stopped'}")
    sys.exit(0 if whole else 130)


if __name__ == "__main__":
    main()

"""The kinds of the constraint on the code, compared where the true factors are known: ``python benchmarks/regularisers.py``.

A video model of each kind and seed learns windows of the toy world in which every factor varies on its own; then codes of frames that
it never saw are scored against their factors. Full scale (no flag: 7 kinds, 5 seeds, 3,000 updates) takes some hours on two cores,
shows how far it is, and writes results/regularisers.md. What is done stays in ``--out``, so that the same command goes on after Ctrl-C.
``--tiny`` takes a minute, shows that everything runs and writes its table beside its runs alone.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import math
from pathlib import Path
from typing import get_args

import numpy as np
import torch

from diswm.agents import LearnerConfig, WorldLearner
from diswm.contract import Batch, DiswmError
from diswm.envs import toy
from diswm.methods import METHODS
from diswm.metrics.disentangle import Row, disentanglement, names
from diswm.metrics.scores import bootstrap_interval
from diswm.model import ModelConfig
from diswm.model.dists import HALF_LOG_TWO_PI
from diswm.objectives.disentangle import STRENGTH, DisentangleKind
from diswm.runtime import prepare
from diswm.trainers.progress import Bar, console, progress
from diswm.trainers.run import machine, write_json

RESULTS = Path(__file__).resolve().parents[1] / "results"
KINDS: tuple[DisentangleKind, ...] = get_args(DisentangleKind)
SMALL = ModelConfig(depth=16, units=256)
STRIDE = 0.05  # standard deviation of a sprite's step a frame
CONSTANT = HALF_LOG_TWO_PI * 3 * 64 * 64  # of a frame's likelihood
COLUMNS = ("image", "code/kl")  # beside the scores: half the squared error of a frame, nats of its code


@dataclasses.dataclass(frozen=True)
class Scale:
    """How much is done."""

    updates: int
    seeds: int
    windows: int
    batch: int
    length: int
    points: int
    model: ModelConfig


FULL = Scale(updates=3_000, seeds=5, windows=2_500, batch=16, length=8, points=5_000, model=SMALL)
TINY = Scale(updates=6, seeds=2, windows=8, batch=4, length=4, points=200, model=dataclasses.replace(SMALL, depth=4, units=16))


def windows(scale: Scale, rng: np.random.Generator) -> np.ndarray:
    """Frames (windows, length, 64, 64, 3) uint8: both sprites walk, all else is drawn once a window, independently."""
    start = toy.sample(scale.windows, rng)
    low, high = np.array([[factor.low, factor.high] for factor in toy.FACTORS]).T
    frames = np.repeat(start[:, None], scale.length, 1)
    steps = rng.normal(scale=STRIDE, size=(scale.windows, scale.length, 4))
    steps[:, 0] = 0
    frames[:, :, :4] = np.clip(frames[:, :, :4] + steps.cumsum(1), low[:4], high[:4])
    return np.stack([toy.render_factors(window) for window in frames])


def learn(kind: DisentangleKind, seed: int, scale: Scale, device: str, bar: Bar) -> dict[str, float]:
    """Train one video model: its scores, their nulls as ``null/<name>``, and what its loss came to over the last tenth."""
    rng = np.random.default_rng([seed, 0])  # the same windows and batches for every kind
    data = windows(scale, rng)
    config = LearnerConfig(lr=6e-4, disentangle=kind, capacity_over=scale.updates // 2)
    learner = WorldLearner(scale.model, 0, config, METHODS["diswm"].video_weights, seed=seed, device=device)
    before, late = bar.done, []
    for update in range(scale.updates):
        batch: Batch = {"image": data[rng.integers(len(data), size=scale.batch)]}
        found = learner.update(batch, updates=update)
        if update >= scale.updates * 9 // 10:
            late.append((float(found["loss/image"]) - CONSTANT, float(found.get("code/kl", found["loss/beta"]))))
        bar.update(before + update + 1, f"{kind}, seed {seed}")
    means = dict(zip(COLUMNS, np.mean(late, 0).tolist(), strict=True))
    if not all(map(math.isfinite, means.values())):
        raise DiswmError(f"{kind}, seed {seed}: the loss is not finite, so its strength is too high for this scale.")
    rows = score(learner, scale, seed)
    nulls = {f"null/{row.name}": row.null for row in rows if row.null is not None}
    return means | {row.name: row.value for row in rows} | nulls


def score(learner: WorldLearner, scale: Scale, seed: int) -> list[Row]:
    """The scores of the codes of frames drawn anew, the same for every kind."""
    values = toy.sample(scale.points, np.random.default_rng([seed, 1]))
    codes = []
    learner.world.eval()
    with torch.no_grad():
        for part in np.array_split(values, math.ceil(len(values) / 250)):
            codes.append(learner.world.encode(torch.from_numpy(toy.render_factors(part)).to(learner.device)).mean.cpu().numpy())
    continuous = [False] * values.shape[1]
    return disentanglement(np.concatenate(codes), values, continuous, rng=np.random.default_rng([seed, 2]), reps=0, nulls=1)


def table(found: dict[str, list[dict[str, float]]]) -> str:
    """A line a kind and a column a score: mean over seeds, with the ends of its 95% interval; below, what chance gives."""
    columns = [*COLUMNS, *names()]
    lines = [["kind", *columns], ["---"] * (1 + len(columns))]
    for kind, seeds in found.items():
        cells = [bootstrap_interval([seed[name] for seed in seeds]) for name in columns]
        lines.append([kind, *(f"{cell.mean:.3g} ({cell.low:.3g} to {cell.high:.3g})" for cell in cells)])
    every = [seed for seeds in found.values() for seed in seeds]
    nulls = [[seed[f"null/{name}"] for seed in every if f"null/{name}" in seed] for name in columns]
    lines.append(["shuffled points, mean", *(f"{np.mean(values):.3g}" if values else "" for values in nulls)])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def page(found: dict[str, list[dict[str, float]]], scale: Scale, command: str) -> str:
    """The table with what it was made by."""
    here = machine()
    return "\n\n".join(
        [
            "# Kinds of the constraint on the code, on the toy world",
            f"`{command}`, {datetime.date.today()}, {here['machine']}, {here['device']}, {here['threads']} threads, torch {here['torch']}.",
            f"{scale.updates:,} updates of {scale.batch} windows of {scale.length} frames, {scale.seeds} seeds, default strengths "
            f"{STRENGTH}, weight {METHODS['diswm'].video_weights['beta']}. Scores of {scale.points:,} frames never seen, whose "
            f"{len(toy.FACTORS)} factors are independent. `image` is half the squared error of a frame, `code/kl` the nats of its code. "
            "Each cell: mean over seeds and its 95% bootstrap interval, which speaks of seeds.",
            table(found),
        ]
    )


def main(scale: Scale, kinds: list[DisentangleKind], out: Path, device: str, command: str, target: Path) -> None:
    found: dict[str, list[dict[str, float]]] = {}
    with progress("regularisers", scale.updates * scale.seeds * len(kinds), "updates") as bar:
        for kind in kinds:
            for seed in range(scale.seeds):
                path = out / kind / f"{seed}.json"
                said = json.loads(path.read_text()) if path.exists() else {}
                if said.get("scale") != dataclasses.asdict(scale):
                    said = {"scale": dataclasses.asdict(scale), "scores": learn(kind, seed, scale, device, bar)}
                    path.parent.mkdir(parents=True, exist_ok=True)
                    write_json(path, said)
                else:
                    bar.update(bar.done + scale.updates, f"{kind}, seed {seed}: is there")
                found.setdefault(kind, []).append(said["scores"])
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(page(found, scale, command) + "\n")
    console.print(target)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="a minute; only shows that everything runs")
    parser.add_argument("--out", type=Path, default=None, help="where the runs' scores stay (runs/regularisers)")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS), help="fewer kinds; the table then goes to --out")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=0)
    given = parser.parse_args()
    folder = given.out or Path("runs/regularisers_tiny" if given.tiny else "runs/regularisers")
    whole = not given.tiny and given.kinds == list(KINDS)
    main(
        TINY if given.tiny else FULL,
        given.kinds,
        folder,
        prepare(given.device, given.threads),
        f"python benchmarks/regularisers.py{' --tiny' * given.tiny}",
        RESULTS / "regularisers.md" if whole else folder / "table.md",
    )

"""How costs grow, with the replay and with the sizes of an update: ``python benchmarks/growth.py --out results/growth.md``.

A replay on disk is filled with noise; at 10,000, 30,000, ... 1,000,000 frames it is timed: windows of a batch, adding an episode, the
first windows after that, its state for a checkpoint (with the new frames brought to the disk), taking it up again. Then the update is
timed at halves and multiples of batch, length, code and number of actions. The page has both, with a picture beside it.

The replay takes 6.2 GB at the paper's sizes, below ``--folder``, and is removed afterwards.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from memory import noise_episode
from pages import arguments, opening, table

from diswm import bench
from diswm.config import TrainRun, merge
from diswm.contract import DiswmError
from diswm.data.replay import RING, Replay
from diswm.methods import for_training
from diswm.presets import PRESETS, apply_preset
from diswm.runtime import prepare

FRAMES = (10_000, 30_000, 100_000, 300_000, 1_000_000)
STEPS = 500  # of an episode of the suite
FACTORS = {"batch": (0.5, 1, 2), "length": (0.5, 1, 2), "code": (0.5, 1, 2, 4), "actions": (0.5, 1, 2, 4)}
TIMED = {
    "sample": "windows of a batch",
    "sample_cold": "windows of a batch, all from the disk",
    "add": "adding an episode",
    "sample_after_add": "windows after an episode was added",
    "state": "state for a checkpoint, one new episode",
    "restore": "taking it up again",
    "restore_cold": "taking it up again, all from the disk",
}


def milliseconds(call: Callable[[], object], repeats: int = 1) -> float:
    """Median wall time."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(1000 * (time.perf_counter() - start))
    return float(np.median(times))


def recall(path: Path) -> None:
    """Read this file, so that it lies in the page cache as far as that reaches."""
    buffer = bytearray(1 << 20)
    with path.open("rb", buffering=0) as file:
        while file.readinto(buffer):
            pass


def forget(path: Path) -> None:
    """Have the kernel drop what it keeps of this file, so that the next read comes from the disk."""
    with path.open("rb") as file:
        os.fdatasync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def replay_costs(config: TrainRun, folder: Path, sizes: Sequence[int], steps: int) -> Iterator[dict[str, float]]:
    """Milliseconds at each size in frames, by the names of ``TIMED``."""
    extras = bench.teacher_columns(config)
    repeat, t, rng = config.env.action_repeat, config.train, np.random.default_rng(0)
    episodes = [size // (steps * repeat) for size in sizes]
    options: dict[str, Any] = {"capacity": episodes[-1] * (steps + 1), "action_dim": bench.ACTIONS, "extras": extras}
    replay, episode = Replay(folder, **options), noise_episode(steps + 1, bench.ACTIONS, extras)

    def sample() -> None:
        replay.sample(rng, t.batch, t.length)

    def restore() -> None:
        Replay.restore(folder, state, **options).close()

    for size, count in zip(sizes, episodes, strict=True):
        while replay.episodes < count:
            replay.add(episode)
        recall(folder / RING)
        state = replay.state()
        found = {"frames": float(size), "sample": milliseconds(sample, 50), "restore": milliseconds(restore, 3)}
        triples = [(milliseconds(lambda: replay.add(episode)), milliseconds(sample), milliseconds(replay.state)) for _ in range(10)]
        found |= dict(zip(("add", "sample_after_add", "state"), np.median(triples, 0).tolist(), strict=True))
        for name, call, repeats in (("sample_cold", sample, 5), ("restore_cold", restore, 1)):
            forget(folder / RING)
            found[name] = milliseconds(call, repeats)
        yield found
    replay.close()


def update_costs(config: TrainRun, device: str) -> dict[str, dict[str, float]]:
    """Seconds of an update by what is changed and by how much."""

    def seconds(changed: TrainRun, actions: int = bench.ACTIONS) -> float:
        return bench.update_speed(changed, device, "auto", limit=False, actions=actions).update

    t, base = config.train, seconds(config)
    found: dict[str, dict[str, float]] = {}
    for name, factors in FACTORS.items():
        found[name] = {}
        for factor in factors:
            change = {"batch": {"train.batch": t.batch}, "length": {"train.length": t.length}, "code": {"model.z_dim": config.model.z_dim}}
            changed = merge(config, {key: int(factor * value) for key, value in change.get(name, {}).items()})
            actions = int(factor * bench.ACTIONS) if name == "actions" else bench.ACTIONS
            found[name][f"{factor:g}"] = base if factor == 1 else seconds(changed, actions)
            print(f"update, {factor:g} times the {name}: {found[name][f'{factor:g}']:.3f} s", flush=True)
    return found


# ---- page and picture


def draw_replay(axes: Axes, rows: Sequence[Mapping[str, float]]) -> None:
    """Milliseconds over frames."""
    for (name, label), marker in zip(TIMED.items(), "osD^vPX", strict=True):
        cold = name.endswith("_cold")
        colour = next(line.get_color() for line in axes.lines[::-1]) if cold else None
        x, y = [row["frames"] for row in rows], [row[name] for row in rows]
        axes.plot(x, y, marker=marker, linestyle="--" if cold else "-", color=colour, label=label)
    axes.set(xscale="log", yscale="log", xlabel="frames in the replay", ylabel="milliseconds", title="the replay")
    axes.grid(alpha=0.3)
    axes.figure.legend(*axes.get_legend_handles_labels(), loc="outside lower left", ncols=4, fontsize=8, frameon=False)


def draw_updates(axes: Axes, found: Mapping[str, Mapping[str, float]]) -> None:
    """Time over size, both in units of the preset's."""
    grid = np.array([0.5, 4.0])
    axes.fill_between(grid, 0.85 * grid, 1.15 * grid, color="0.9", label="in proportion, within 15%")
    for (name, times), marker in zip(found.items(), "osD^", strict=True):
        axes.plot([float(key) for key in times], [value / times["1"] for value in times.values()], marker=marker, label=name)
    axes.set(xscale="log", yscale="log", xlabel="times the preset's size", ylabel="times the preset's time", title="an update")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(matplotlib.ticker.FixedLocator([0.5, 1, 2, 4]))
        axis.set_major_formatter(matplotlib.ticker.FormatStrFormatter("%g"))
        axis.set_minor_locator(matplotlib.ticker.NullLocator())
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, frameon=False)


def draw(found: Mapping[str, Any], path: Path) -> None:
    """Both panels, or the first alone."""
    count = 2 if found["updates"] else 1
    figure, panels = plt.subplots(1, count, figsize=(6 * count, 4.5), layout="constrained", squeeze=False)
    draw_replay(panels[0, 0], found["replay"])
    if found["updates"]:
        draw_updates(panels[0, 1], found["updates"])
    figure.savefig(path, dpi=150)
    plt.close(figure)


def page(found: Mapping[str, Any], config: TrainRun, args: argparse.Namespace, load: float) -> str:
    """The page of results."""
    t = config.train
    rows = [["milliseconds at", *(f"{row['frames']:,.0f} frames" for row in found["replay"])]]
    rows += [[label, *(f"{row[name]:.3g}" for row in found["replay"])] for name, label in TIMED.items()]
    if found["updates"]:
        rows.append(["frames a second", *(f"{value:.2f}" for value in frames_a_second(found, config))])
    parts = [
        *opening("growth", args.device, load),
        f"![costs]({args.out.stem}.png)",
        f"The replay at the sizes of `{args.preset}` (batches of {t.batch} x {t.length}, episodes of {args.steps} steps):",
        table(rows),
        "Medians. Taking it up again, once a start, reads two rows of each episode."
        + " Frames a second: with updates, windows, episodes, acting and the environment, without evaluations." * bool(found["updates"]),
    ]
    if found["updates"]:
        factors = sorted({float(factor) for times in found["updates"].values() for factor in times})
        rows = [["times the time at", *(f"{factor:g} times the size" for factor in factors)]]
        for name, times in found["updates"].items():
            ratios = {float(factor): value / times["1"] for factor, value in times.items()}
            rows.append([name, *(f"{ratios[factor]:.2f}" if factor in ratios else "" for factor in factors)])
        seconds = found["updates"]["batch"]["1"]
        parts += [f"An update of `{args.method}` ({seconds:.3f} s) with one size changed:", table(rows)]
    return "\n\n".join(parts) + "\n"


def frames_a_second(found: Mapping[str, Any], config: TrainRun) -> list[float]:
    """At each size of the replay: the update's time is measured once, as it knows nothing of the replay."""
    update = found["updates"]["batch"]["1"]
    rates = []
    for row in found["replay"]:
        learning = (update + row["sample_after_add"] / 1000) / config.train.update_every
        step = learning + row["add"] / 1000 / found["steps"] + found["acting_seconds"] + found["env_seconds"]
        rates.append(config.env.action_repeat / step)
    return rates


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--preset", choices=sorted(PRESETS), default="paper")
    parser.add_argument("--frames", type=int, nargs="+", default=FRAMES, help="sizes of the replay, ascending")
    parser.add_argument("--steps", type=int, default=STEPS, help="agent steps of an episode")
    parser.add_argument("--replay-alone", action="store_true", help="without the updates")
    parser.add_argument("--folder", type=Path, help="make the replay below this folder (the system's temporary one)")
    args = parser.parse_args()
    load = os.getloadavg()[0]
    try:
        device = prepare(args.device, args.threads)
        config = apply_preset(for_training(TrainRun(), args.method), args.preset, "train")
        found: dict[str, Any] = {"replay": [], "updates": {}, "steps": args.steps}
        with tempfile.TemporaryDirectory(dir=args.folder) as folder:
            for row in replay_costs(config, Path(folder) / "replay", args.frames, args.steps):
                found["replay"].append(row)
                print(f"{row['frames']:9,.0f} frames" + "".join(f"  {name} {row[name]:.3g} ms" for name in TIMED), flush=True)
        if not args.replay_alone:
            found |= {"acting_seconds": bench.acting_seconds(config, device), "env_seconds": bench.env_seconds(config)}
            found["updates"] = update_costs(config, device)
    except DiswmError as error:
        parser.error(str(error))
    if args.out:
        args.out.write_text(page(found, config, args, load))
        draw(found, args.out.with_suffix(".png"))
    if args.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()

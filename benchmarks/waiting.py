"""How long training waits for its data: ``python benchmarks/waiting.py --out results/waiting.md``.

For each preset the trainer of `diswm pretrain` itself runs for some updates on videos that are read from a file on disk, and one batch of
the agent's windows is drawn from a replay and held against one update. Both twice: with the file in the kernel's page cache, as it is
where memory is larger than the data, and with every read from the disk.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock

import numpy as np
from growth import forget, milliseconds
from memory import noise_episode
from pages import arguments, opening, table

from diswm import bench
from diswm.agents import WorldLearner
from diswm.config import PretrainRun, TrainRun, merge, to_dict
from diswm.contract import DiswmError
from diswm.data.manifest import VideoWriter
from diswm.data.replay import RING, Replay
from diswm.data.videos import Videos
from diswm.methods import for_pretraining, for_training
from diswm.presets import apply_preset
from diswm.runtime import prepare
from diswm.trainers.ahead import Ahead
from diswm.trainers.pretrain import pretrain
from diswm.trainers.run import Run

STEPS = 500  # of an episode
THREAD = (
    "Windows are drawn in a thread of their own, one batch ahead, while an update works; where an episode enters the replay, what was "
    "drawn is forgotten and drawn anew. So a run is the same to the bit as one that draws each batch when it is due, and a resumed run "
    "draws what it would have drawn (`tests/trainers/test_ahead.py`)."
)
Result = TypeVar("Result")


class Timed:
    """Calls, with the seconds that they took together."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def wrap(self, call: Callable[..., Result], before: Callable[[], None] = lambda: None) -> Callable[..., Result]:
        """The same call, timed; ``before`` each comes what does not count."""

        def timed(*args: Any, **kwargs: Any) -> Result:
            before()
            start = time.perf_counter()
            result = call(*args, **kwargs)
            self.seconds += time.perf_counter() - start
            return result

        return timed


def pretraining(config: PretrainRun, folder: Path, device: str, updates: int, episodes: int, *, cold: bool) -> dict[str, float]:
    """Seconds of a stretch of the pretraining loop, without the checkpoint at its end: in all, in updates, waiting for windows and, beside
    them, drawing these."""
    image = noise_episode(STEPS + 1, 0, {})["image"]
    with VideoWriter(folder / "videos", {}) as writer:
        while writer.episodes < episodes:
            writer.add({"image": image})
    videos = Videos(folder / "videos", length=config.pretrain.length, cache=folder / "cache", ram_bytes=0)
    frames = next((folder / "cache").glob("*.frames"))
    learner = WorldLearner(config.model, 0, config.learner, config.weights, seed=0, device=device)
    learner.update(videos.sample(np.random.default_rng(0), config.pretrain.batch, config.pretrain.length))  # the first takes longer
    config = merge(config, {"pretrain.updates": updates, "out": str(folder / ("cold" if cold else "warm"))})
    run, waiting, drawing, learning, saving = Run(config.out, "pretrain", to_dict(config)), Timed(), Timed(), Timed(), Timed()
    run.save = saving.wrap(run.save)  # type: ignore[method-assign]  # once in five minutes, but here once in a few updates
    videos.sample = drawing.wrap(videos.sample, (lambda: forget(frames)) if cold else lambda: None)  # type: ignore[method-assign]
    learner.update = learning.wrap(learner.update)  # type: ignore[method-assign]
    start = time.perf_counter()
    with mock.patch.object(Ahead, "take", waiting.wrap(Ahead.take)):
        pretrain(run, learner, videos, config.pretrain, seed=0)
    whole = time.perf_counter() - start - saving.seconds
    run.close()
    return {"all": whole, "updates": learning.seconds, "waiting": waiting.seconds, "drawing": drawing.seconds}


def online(config: TrainRun, folder: Path, device: str, episodes: int) -> dict[str, float]:
    """Seconds of one update, and of the windows of its batch from the page cache and from the disk."""
    extras = bench.teacher_columns(config)
    replay = Replay(folder / "replay", capacity=episodes * (STEPS + 1), action_dim=bench.ACTIONS, extras=extras)
    episode = noise_episode(STEPS + 1, bench.ACTIONS, extras)
    while replay.episodes < episodes:
        replay.add(episode)
    rng, cold = np.random.default_rng(0), []

    def sample() -> None:
        replay.sample(rng, config.train.batch, config.train.length)

    warm = milliseconds(sample, 50)
    for _ in range(10):
        forget(replay.folder / RING)
        cold.append(milliseconds(sample))
    replay.close()
    update = bench.update_speed(config, device, "auto", limit=False).update
    return {"update": update, "windows": warm / 1000, "windows_cold": float(np.median(cold)) / 1000}


def measure(name: str, args: argparse.Namespace, device: str) -> dict[str, dict[str, float]]:
    """One preset."""
    videos = apply_preset(for_pretraining(PretrainRun(), args.method), name, "pretrain")
    agent = apply_preset(for_training(TrainRun(), args.method), name, "train")
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        found = {
            "pretraining": pretraining(videos, Path(folder), device, args.updates, args.episodes, cold=False),
            "pretraining_cold": pretraining(videos, Path(folder), device, args.updates, args.episodes, cold=True),
            "online": online(agent, Path(folder), device, args.episodes),
        }
    for kind, times in found.items():
        print(f"{name:6} {kind:17}" + "".join(f"  {part} {1000 * value:9.1f} ms" for part, value in times.items()), flush=True)
    return found


def page(found: Mapping[str, dict[str, dict[str, float]]], args: argparse.Namespace, load: float) -> str:
    """The page of results."""
    parts = ["in updates", "waiting for windows", "drawing them, beside"]
    first = [["preset", *parts, *(f"all from the disk: {part}" for part in parts)]]
    second = [["preset", "an update", "windows of its batch", "part of the update", "windows from the disk", "part of the update"]]
    for name, times in found.items():
        both = times["pretraining"], times["pretraining_cold"]
        shares = [t[part] / t["all"] for t in both for part in ("updates", "waiting", "drawing")]
        first.append([name, *(f"{share:.2%}" for share in shares)])
        t = times["online"]
        cells = [cell for key in ("windows", "windows_cold") for cell in (f"{1000 * t[key]:.1f} ms", f"{t[key] / t['update']:.2%}")]
        second.append([name, f"{t['update']:.3f} s", *cells])
    return "\n\n".join([
        *opening("waiting", args.device, load),
        f"`{args.method}`: how long training waits for its data, with its file in the page cache and with every read from the disk. "
        f"Pretraining, {args.updates} updates of the trainer's own loop, without checkpoints, parts of its time:",
        table(first),
        "Online training, one batch of windows from the replay beside one update:",
        table(second),
        THREAD,
    ]) + "\n"  # fmt: skip


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--presets", nargs="+", default=["paper", "cpu", "demo"])
    parser.add_argument("--updates", type=int, default=20, help="of the stretch of pretraining")
    parser.add_argument("--episodes", type=int, default=20, help="of 501 rows, in the data set and in the replay")
    parser.add_argument("--folder", type=Path, help="write videos and replay below this folder (the system's temporary one)")
    args = parser.parse_args()
    load = os.getloadavg()[0]
    try:
        device = prepare(args.device, args.threads)
        found = {name: measure(name, args, device) for name in args.presets}
    except DiswmError as error:
        parser.error(str(error))
    if args.out:
        args.out.write_text(page(found, args, load))
    if args.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()

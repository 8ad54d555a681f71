"""Peak memory of a training run at its full size: ``python benchmarks/memory.py [--preset demo] [--out results/memory.md]``.

The trainer itself, with its environment, teacher, scores of the code and evaluation environments, over a replay that is first filled to
its capacity with noise: updates, an episode, an evaluation of short episodes, a checkpoint. The folder with the replay (6.2 GB at the
paper's sizes) is removed afterwards. What is resident comes from /proc (Linux), read every few milliseconds:

* own: memory that the process asked for (RssAnon, RssShmem). It has to be there.
* files: pages of mapped files (RssFile), here of libraries. The kernel may drop them and read them again.

The replay is read with preadv and not mapped, so what the kernel keeps of its file in the page cache is counted to no process.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pages import arguments, opening, table

from diswm import envs
from diswm.agents import Dreamer, WorldLearner
from diswm.config import TrainRun, merge, to_dict
from diswm.contract import Array, DiswmError
from diswm.data.replay import Replay
from diswm.evaluations import Evaluations
from diswm.factorsets import prober
from diswm.methods import for_training
from diswm.presets import PRESETS, apply_preset
from diswm.runtime import prepare
from diswm.trainers.finetune import Trainer
from diswm.trainers.progress import Bar, Interrupt, console
from diswm.trainers.rollout import action_size
from diswm.trainers.run import Run, peak_rss_bytes

Resident = dict[str, int]
LIMITS = {"paper": 3.0, "demo": 1.5}
"""GiB that are asked for."""
SHORT = 100  # frames of the evaluation's episodes


def resident() -> Resident:
    """Bytes of this process that are in memory now: in all, its own, and of mapped files."""
    lines = (line.split() for line in Path("/proc/self/status").read_text().splitlines())
    found = {words[0]: 1024 * int(words[1]) for words in lines if words[0].startswith(("VmRSS", "Rss"))}
    return {"all": found["VmRSS:"], "own": found["RssAnon:"] + found["RssShmem:"], "files": found["RssFile:"]}


class Watch:
    """A thread that keeps the largest of each number, by the stage in which it was read."""

    def __init__(self, seconds: float = 0.005) -> None:
        self.peaks: dict[str, Resident] = {}
        self._seconds, self._stage, self._stop = seconds, "", threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(self._seconds):
            self._look()

    def _look(self) -> None:
        before = self.peaks.get(self._stage, {})
        self.peaks[self._stage] = {name: max(value, before.get(name, 0)) for name, value in resident().items()}

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """What is read in this block is of this stage."""
        self._stage = name
        self._look()
        yield
        self._look()
        peak = self.peaks[name]
        console.print(f"{name:24}" + "".join(f"  {part} {value / 2**30:6.3f} GiB" for part, value in peak.items()))

    def close(self) -> None:
        self._stop.set()
        self._thread.join()


def noise_episode(rows: int, actions: int, extras: Mapping[str, int]) -> dict[str, Array]:
    """An episode of so many rows for a replay."""
    rng = np.random.default_rng(0)
    return {
        "image": rng.integers(0, 256, (rows, 64, 64, 3), np.uint8),
        "action": rng.uniform(-1, 1, (rows, actions)).astype(np.float32),
        "reward": np.zeros(rows, np.float32),
        "is_terminal": np.zeros(rows, bool),
        **{name: np.zeros((rows, size), np.float32) for name, size in extras.items()},
    }


def fill(replay: Replay, rows: int) -> None:
    """Episodes of noise up to the replay's capacity."""
    episode = noise_episode(min(rows, replay.capacity), replay.action_dim, replay.extras)
    while len(replay) + len(episode["reward"]) <= replay.capacity:
        replay.add(episode)


def measure(config: TrainRun, device: str, updates: int, watch: Watch) -> dict[str, Any]:
    """Build a run as `diswm train` does and go through what happens in one."""
    with watch.stage("environment, networks"):
        env = envs.make(config.env)
        actions, rows = action_size(env), env.scene.limit // config.env.action_repeat + 1
        agent = Dreamer(config.model, actions, config.learner, config.dreamer, config.weights, config.anneal, seed=0, device=device)
        # The weights of a teacher do not matter here.
        teacher = WorldLearner(config.model, 0, config.learner, {"image": 1.0}, seed=0, device=device).world if config.teacher else None
        run = Run(config.out, "train", to_dict(config))
        short = dataclasses.replace(config.env, time_limit=SHORT)
        stages = Evaluations(dataclasses.replace(config, env=short))
    with watch.stage("scores of the code"):
        probe = prober(run, agent.world, config, teacher)
        trainer = Trainer(run, agent, env, config.train, 0, teacher=teacher, evaluate=stages.seen, probe=probe)
    with watch.stage("filling the replay"):
        fill(trainer.replay, rows)
    run.counters.steps = config.train.prefill_steps  # from here on the policy acts
    bar = Bar("memory", (rows - 1) * config.env.action_repeat, "frames")
    with Interrupt() as stop:
        with watch.stage(f"{updates} updates"):
            for _ in range(updates):
                trainer.learn(bar, stop)
        with watch.stage("an episode"):
            while not run.counters.episodes:
                trainer.act(bar, stop)
        with watch.stage("an evaluation"):
            trainer.log_evaluation(bar, stop)
        with watch.stage("an update, a checkpoint"):
            trainer.learn(bar, stop)
            trainer.save()
    found = {
        "precision": str(agent.dtype).removeprefix("torch."),
        "rows": len(trainer.replay),
        "replay_bytes": trainer.replay.bytes_on_disk,
        "peak_rss_bytes": peak_rss_bytes(),
        "stages": watch.peaks,
    }
    for part in (trainer.replay, run, env, stages):
        part.close()
    return found


def page(found: Mapping[str, Any], args: argparse.Namespace) -> str:
    """The page of results."""
    rows = [("stage", "all", "its own", "mapped files")]
    rows += [(stage, *(f"{value / 2**30:.2f} GiB" for value in peak.values())) for stage, peak in found["stages"].items()]
    asked = f", {LIMITS[args.preset]:.1f} GiB asked for at most" if args.preset in LIMITS else ""
    return "\n\n".join([
        *opening("memory", args.device),
        f"A run of `{args.method}` with the preset `{args.preset}` in {found['precision']}, its replay full: {found['rows']:,} rows, "
        f"{found['replay_bytes'] / 1e9:.2f} GB on disk. **Peak {found['peak_rss_bytes'] / 2**30:.2f} GiB**{asked}.",
        table(rows),
        "Largest values in each stage, from /proc/self/status. Mapped files are libraries: the replay is read with preadv and not mapped, "
        "so that the page cache of its file is counted to no process, and the kernel may drop it.",
    ]) + "\n"  # fmt: skip


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--preset", choices=sorted(PRESETS), default="paper")
    parser.add_argument("--task", help="another than the preset's")
    parser.add_argument("--precision", choices=("auto", "float32", "bfloat16"), default="auto")
    parser.add_argument("--updates", type=int, default=20)
    parser.add_argument("--rows", type=int, help="capacity of the replay, the preset's unless given")
    parser.add_argument("--folder", type=Path, help="make the replay below this folder (the system's temporary one)")
    args = parser.parse_args()
    if not Path("/proc/self/status").exists():
        parser.error("there is no /proc here: this benchmark wants Linux")
    watch = Watch()
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        try:
            device = prepare(args.device, args.threads)
            config = apply_preset(for_training(TrainRun(), args.method), args.preset, "train")
            changes = {"learner.precision": args.precision, "out": f"{folder}/run"}
            changes |= {name: value for name, value in (("env.task", args.task), ("train.replay_rows", args.rows)) if value}
            config = merge(config, changes | ({"teacher": "any"} if "distill" in config.weights else {}))
            found = measure(dataclasses.replace(config, env=config.env.settled()), device, args.updates, watch)
        except DiswmError as error:
            parser.error(str(error))
        finally:
            watch.close()
    console.print(f"peak {found['peak_rss_bytes'] / 2**30:.3f} GiB, replay of {found['rows']:,} rows, {found['replay_bytes'] / 1e9:.2f} GB")
    if args.out:
        args.out.write_text(page(found, args))
    if args.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()

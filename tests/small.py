"""Runs small enough for tests: the toy task, networks of a few units, seconds on one core."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from diswm.config import CollectRun, PretrainRun, TrainRun, merge
from diswm.methods import for_pretraining, for_training

MODEL = {"model.units": 16, "model.depth": 4, "model.deter": 16, "model.hidden": 16, "model.stoch": 8, "model.z_dim": 4}
COMMON = {**MODEL, "device": "cpu", "learner.precision": "float32", "probe.every": 0}  # presets have some
# Episodes of 50 frames, half the toy's own, so 25 steps: evaluations take most of a run. 20 random steps, then 3 updates, then one every
# 5 steps: the first update waits for the first episode, at step 25.
TRAIN = {
    **COMMON,
    "env.task": "toy",
    "env.time_limit": 50,
    "train.frames": 150,
    "train.prefill_steps": 20,
    "train.first_updates": 3,
    "train.update_every": 5,
    "train.batch": 2,
    "train.length": 5,
    "train.eval_every": 60,
    "train.log_every": 3,
    "train.replay_rows": 400,
    "eval.episodes": 2,
    "eval.at_once": 2,
    "dreamer.units": 16,
    "dreamer.starts": 4,
    "dreamer.horizon": 4,
}
VIDEO = {**COMMON, "pretrain.updates": 10, "pretrain.batch": 2, "pretrain.length": 5, "pretrain.log_every": 3}


def train_config(out: Path, method: str = "no_distill", **changes: Any) -> TrainRun:
    """A run of ``method`` into ``out``; changes are dotted names with __ for the dot."""
    return merge(for_training(TrainRun(), method), {**TRAIN, "out": str(out), **_dotted(changes)})


def pretrain_config(out: Path, videos: Path, method: str = "diswm", **changes: Any) -> PretrainRun:
    """A video model of ``videos`` into ``out``."""
    return merge(for_pretraining(PretrainRun(), method), {**VIDEO, "out": str(out), "videos": [str(videos)], **_dotted(changes)})


def collect_config(out: Path, **changes: Any) -> CollectRun:
    """300 frames of the toy into ``out``."""
    return merge(CollectRun(), {"env.task": "toy", "collect.frames": 300, "out": str(out), **_dotted(changes)})


def _dotted(changes: dict[str, Any]) -> dict[str, Any]:
    return {name.replace("__", "."): value for name, value in changes.items()}


def tree(folder: Path) -> dict[str, bytes | None]:
    """Everything below a folder, with its contents: to show that nothing was touched."""
    if not folder.exists():
        return {}
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


CLOCKS = ("seconds", "updates_per_second")


def events(folder: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl without what a clock measured."""
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [{name: value for name, value in json.loads(line).items() if name not in CLOCKS} for line in lines]

"""How fast this machine trains, and how near that is to what it could give: the update, and what stands around it."""

from __future__ import annotations

import dataclasses
import math
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from diswm import envs
from diswm.agents import Dreamer
from diswm.agents.captured import WARM, Graph, stage
from diswm.agents.learner import Precision, resolve_precision
from diswm.config import TrainRun
from diswm.contract import Batch, DiswmError
from diswm.data.replay import Replay
from diswm.limit import REPEATS, Recorder, best_seconds, seconds_of
from diswm.trainers.rollout import action_size

ACTIONS = 6  # of the walker


@dataclasses.dataclass(frozen=True)
class Speed:
    """What was measured. Seconds are those of one update, act or window batch: medians, the limit from best times."""

    precision: str
    update: float
    flop: float
    """Of the products and convolutions of one update."""
    limit: float
    """Seconds that those take one by one, each at the best rate that this machine gives on its very shape."""
    eager: float | None = None
    """Seconds of an update that is launched piece by piece, where ``update`` is of one replayed from a CUDA graph."""

    @property
    def share(self) -> float:
        """The limit over the time of the update."""
        return self.limit / self.update


def random_batch(config: TrainRun, rng: np.random.Generator, actions: int = ACTIONS) -> Batch:
    """A batch of windows of noise, with the teacher's codes where the method has a teacher."""
    lead = (config.train.batch, config.train.length)
    batch: Batch = {
        "image": rng.integers(0, 256, (*lead, 64, 64, 3), np.uint8),
        "action": rng.uniform(-1, 1, (*lead, actions)).astype(np.float32),
        "reward": rng.uniform(0, 1, lead).astype(np.float32),
        "is_first": np.zeros(lead, bool),
        "is_terminal": np.zeros(lead, bool),
    }
    if "distill" in config.weights:
        batch |= {name: rng.normal(0, 0.5, (*lead, config.model.z_dim)).astype(np.float32) for name in ("teacher_mean", "teacher_logvar")}
    return batch


def build(config: TrainRun, device: str, precision: Precision, actions: int = ACTIONS, graph: Graph = "off") -> Dreamer:
    """The agent of this config, with first weights."""
    learner = dataclasses.replace(config.learner, precision=precision, graph=graph)
    return Dreamer(config.model, actions, learner, config.dreamer, config.weights, config.anneal, seed=0, device=device)


def update_speed(config: TrainRun, device: str, precision: Precision, *, limit: bool = True, actions: int = ACTIONS) -> Speed:
    """Time one update of this config on noise, on a GPU both from a CUDA graph and launched piece by piece.

    With ``limit`` also its products and convolutions one by one.
    """
    agent = build(config, device, precision, actions)
    batch = agent.stage(random_batch(config, np.random.default_rng(0), actions))
    taken = update_seconds(agent, batch)
    eager = None
    if agent.device.type == "cuda" and config.learner.graph != "off":
        recorded = build(config, device, precision, actions, config.learner.graph)
        again = update_seconds(recorded, batch)
        if recorded.runner.tape:  # else that is said, and both are the same
            taken, eager = again, taken
    with Recorder() as recorder:
        agent.update(batch, steps=1, updates=1)
    flop = sum(call.flop * count for call, count in recorder.calls.items())
    best = sum(best_seconds(call, agent.device) * count for call, count in recorder.calls.items()) if limit else math.nan
    return Speed(str(agent.dtype).removeprefix("torch."), taken, flop, best, eager)


def update_seconds(agent: Dreamer, batch: Mapping[str, torch.Tensor]) -> float:
    """One update on a staged batch, its way to the device included, once all is warm and recorded."""
    for _ in range(WARM + 1 if agent.runner.tape else 1):
        agent.update(batch, steps=1, updates=1)
    repeats = 50 if agent.device.type == "cuda" else REPEATS
    return float(np.median(seconds_of(lambda: agent.update(batch, steps=1, updates=1), agent.device, repeats)))


def acting_seconds(config: TrainRun, device: str) -> float:
    """One action of one environment, without its picture."""
    agent = build(config, device, config.learner.precision, graph=config.learner.graph)
    image = np.zeros((1, 64, 64, 3), np.uint8)
    for _ in range(WARM + 1):
        state = agent.policy(image, np.ones(1, bool), None, sample=True)[1]
    return float(np.median(seconds_of(lambda: agent.policy(image, np.zeros(1, bool), state, sample=True), agent.device, 100)))


def teacher_columns(config: TrainRun) -> dict[str, int]:
    """The replay's columns of a teacher's code, and their sizes; none where the method has no teacher to distil from."""
    return dict.fromkeys(("teacher_mean", "teacher_logvar"), config.model.z_dim) if "distill" in config.weights else {}


def sampling_seconds(config: TrainRun, device: str, rows: int = 5_000) -> float:
    """One batch of windows from a replay of so many rows, made ready for the device."""
    rng, length = np.random.default_rng(0), max(500, config.train.length)
    extras = teacher_columns(config)
    episode = {
        "image": rng.integers(0, 256, (length, 64, 64, 3), np.uint8),
        "action": np.zeros((length, ACTIONS), np.float32),
        "reward": np.zeros(length, np.float32),
        "is_terminal": np.zeros(length, bool),
        **{name: np.zeros((length, size), np.float32) for name, size in extras.items()},
    }
    with tempfile.TemporaryDirectory() as folder:
        replay = Replay(Path(folder), capacity=rows, action_dim=ACTIONS, extras=extras)
        for _ in range(rows // length):
            replay.add(episode)
        there, t = torch.device(device), config.train
        times = seconds_of(lambda: stage(replay.sample(rng, t.batch, t.length), there), torch.device("cpu"), 50)
        replay.close()
    return float(np.median(times))


def env_seconds(config: TrainRun, steps: int = 100) -> float:
    """One step of the config's environment with its picture. DiswmError where it cannot be made."""
    env = envs.make(config.env, seed=0)
    env.reset(seed=0)
    actions = np.random.default_rng(0).uniform(-1, 1, (steps, action_size(env))).astype(np.float32)
    start = time.perf_counter()
    for action in actions:
        if any(env.step(action)[2:4]):
            env.reset()
    taken = (time.perf_counter() - start) / steps
    env.close()
    return taken


def bench(config: TrainRun | None = None, device: str = "cpu") -> dict[str, Any]:
    """What `diswm bench` prints as plain values: updates by precision, and what an agent step costs beside them, in seconds.

    Without a config at the paper's sizes.
    """
    config = config or TrainRun()
    lower = resolve_precision("auto", torch.device(device)) == torch.bfloat16
    speeds = {name: update_speed(config, device, name) for name in ("float32", "bfloat16") if name == "float32" or lower}  # type: ignore[arg-type]
    found: dict[str, Any] = {"gpu": torch.device(device).type == "cuda"}
    found |= {f"update_seconds_{name}": None for name in ("float32", "bfloat16")}
    for name, speed in speeds.items():
        found |= {f"update_seconds_{name}": speed.update, f"limit_seconds_{name}": speed.limit, f"share_of_limit_{name}": speed.share}
        found |= {f"eager_seconds_{name}": speed.eager} if speed.eager else {}
        found["flop"] = speed.flop
    found |= {"acting_seconds": acting_seconds(config, device), "sampling_seconds": sampling_seconds(config, device)}
    try:
        found["env_seconds"] = env_seconds(config)
    except DiswmError as error:
        found |= {"env_seconds": None, "env_problem": str(error)}
    return found


def lines(found: Mapping[str, Any], config: TrainRun) -> Iterator[str]:
    """Lines to print."""
    t = config.train
    yield f"{config.method}, batch {t.batch} x {t.length}, {found['flop'] / 1e9:,.0f} GFLOP an update"
    for name in ("float32", "bfloat16"):
        if (seconds := found[f"update_seconds_{name}"]) is None:
            yield f"update, {name:9} this machine has no units for it"
            continue
        rate, share = found["flop"] / seconds / 1e9, found[f"share_of_limit_{name}"]
        yield f"update, {name:9} {1e3 * seconds:9.1f} ms   {rate:7,.0f} GFLOP/s, {share:.0%} of what this machine gives on these shapes"
        if eager := found.get(f"eager_seconds_{name}"):
            yield f"  without a graph  {1e3 * eager:9.1f} ms"
    chosen = found["update_seconds_bfloat16"] or found["update_seconds_float32"]
    step = {
        "updates": chosen / t.update_every,
        # Windows are drawn while an update works: what counts is what it does not hide.
        "windows": max(found["sampling_seconds"] - chosen, 0.0) / t.update_every,
        "acting": found["acting_seconds"],
        "environment": found["env_seconds"] or 0.0,
    }
    whole = sum(step.values())
    for name, seconds in step.items():
        yield f"{name + ', a step':17} {1e3 * seconds:9.2f} ms   {seconds / whole:4.0%}"
    frames = config.env.action_repeat / whole
    hours = t.frames / frames / 3600
    yield f"training           {frames:9.1f} frames/s: {t.frames:,} frames in {hours:.1f} hours, without evaluation"
    yield f"held back by       {max(step, key=lambda name: step[name])}" + (
        "" if step["updates"] < whole / 2 else ": what is left of the limit is work between products, and calls"
    )
    if problem := found.get("env_problem"):
        yield f"environment not measured: {problem}"

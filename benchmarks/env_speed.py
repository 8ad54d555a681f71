"""How fast environments run, against the suite's own: ``python benchmarks/env_speed.py [--tasks walker_walk ...] [--json]``.

For each task, in one worker and in two: ``suite``, dm_control as it is (OpenGL at its defaults, no distractions); ``gl``, ours, with a
right-sized shadow map and fewer triangles; ``warp``, ours without GL; both with walking colours, as `diswm collect` has them. Random
actions, one picture after ``--action-repeat`` frames; episodes are played by each worker alone, as collecting does, and not written. The
kinds take turns, and the median over ``--rounds`` counts: on a busy machine the ratios hold, the frames a second do not. ``difference``
is that of the pictures to the suite's, of 255, in the same states. Pusher and DrawerWorld are compared in `docs/gallery.md`.

With ``--json`` the last line is one object. The page of results, in about ten minutes on a machine that does nothing else:
``python benchmarks/env_speed.py --out results/env_speed.md``.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np

from diswm import envs
from diswm.contract import Array, DiswmError
from diswm.trainers.pool import Pool
from diswm.trainers.rollout import action_size

TASKS = [
    *("walker_walk", "cheetah_run", "reacher_easy", "finger_spin", "cartpole_swingup", "humanoid_walk", "acrobot_swingup"),
    *("ball_in_cup_catch", "dog_walk", "fish_swim", "hopper_hop", "humanoid_CMU_run", "lqr_lqr_2_1", "manipulator_bring_ball"),
    *("pendulum_swingup", "point_mass_easy", "quadruped_walk", "quadruped_escape", "stacker_stack_4", "swimmer_swimmer6"),
]
"""One of each domain, and the one with a terrain."""
KINDS = ["suite", "gl", "warp"]
SEED = 3
PICTURES, STARTS = 20, 5


class Suite:
    """A task as dm_control has it, with the starts and the pictures' camera of ours."""

    def __init__(self, task: str, repeat: int) -> None:
        from diswm.envs import dmc
        from diswm.envs.opengl import MEND_GL, gl_backend

        if (backend := gl_backend()) is None:
            raise DiswmError(f"No OpenGL here. {MEND_GL}")
        domain, name = dmc.split(task)
        with dmc._hush():
            self._env = dmc.suite.load(domain, name, task_kwargs={"random": 0})
        self._camera, self._repeat, self.renderer = dmc.CAMERAS.get(domain, 0), repeat, f"gl-{backend}"
        spec = self._env.action_spec()
        self.act_dim = int(np.prod(spec.shape))
        bounded = bool((np.abs([spec.minimum, spec.maximum]) < 1e6).all())  # those of lqr have none
        self._low: Array
        self._high: Array
        self._low, self._high = (spec.minimum, spec.maximum) if bounded else (-np.ones(spec.shape), np.ones(spec.shape))

    def reset(self, *, seed: int) -> Array:
        """The picture at the start of an episode."""
        self._env.task._random = np.random.RandomState(np.random.SeedSequence(seed).spawn(2)[0].generate_state(8))
        self._env.reset()
        return self._draw()

    def step(self, action: Array) -> Array:
        """The picture after the action was repeated."""
        control = self._low + (action.astype(np.float64) + 1.0) * 0.5 * (self._high - self._low)
        for _ in range(self._repeat):
            self._env.step(control)
        return self._draw()

    def _draw(self) -> Array:
        image: Array = self._env.physics.render(64, 64, camera_id=self._camera)
        return image


class Ours:
    """A task as an agent sees it."""

    def __init__(self, task: str, kind: str, repeat: int, colours: str) -> None:
        distract = envs.ColourConfig(colours=colours)  # type: ignore[arg-type]
        self._env = envs.make(envs.EnvConfig(task=task, renderer=kind, action_repeat=repeat, distract=distract))  # type: ignore[arg-type]
        self.act_dim, self.renderer = action_size(self._env), self._env.renderer

    def reset(self, *, seed: int) -> Array:
        """As `Suite.reset`."""
        return self._env.reset(seed=seed)[0]

    def step(self, action: Array) -> Array:
        """As `Suite.step`."""
        return self._env.step(action)[0]


class Actor:
    """What a worker does: a few pictures without distractions, then as many steps as it is told."""

    def __init__(self, task: str, kind: str, repeat: int) -> None:
        self._about = task, kind, repeat
        self._env = self._make("set1")

    def _make(self, colours: str) -> Suite | Ours:
        task, kind, repeat = self._about
        return Suite(task, repeat) if kind == "suite" else Ours(task, kind, repeat, colours)

    def __call__(self, steps: int) -> tuple[str, Array] | str:
        """With 0 steps the renderer's name and pictures (PICTURES, 64, 64, 3) of some episodes."""
        env = self._env if steps or isinstance(self._env, Suite) else self._make("none")
        actions = np.random.default_rng(SEED).uniform(-1, 1, (steps or PICTURES, env.act_dim)).astype(np.float32)
        images = []
        for number, action in enumerate(actions):
            if number % (steps or PICTURES // STARTS) == 0:
                env.reset(seed=SEED + number)
            image = env.step(action)
            images += [] if steps else [image]
        return "done" if steps else (env.renderer, np.stack(images))


class Row(NamedTuple):
    """What was measured of one kind of environment; ``why_not`` where there is none."""

    task: str
    kind: str
    renderer: str = ""
    speeds: tuple[float, ...] = ()  # frames a second with 1, 2, ... workers
    times: tuple[float, ...] = ()  # that of the suite with 1 worker, as it has none: the median over the rounds' ratios
    difference: float | None = None
    why_not: str = ""


def answers(pool: Pool, count: int) -> list[Any]:
    """What the ``count`` calls under way give."""
    found: list[Any] = []
    while len(found) < count:
        found += [answer for _, answer in pool.results(seconds=60.0)]
    return found


def speed(pool: Pool, workers: int, steps: int) -> float:
    """Steps a second of this many workers together."""
    start = time.perf_counter()
    for _ in range(workers):
        pool.call(steps)
    answers(pool, workers)
    return workers * steps / (time.perf_counter() - start)


def measure(task: str, kinds: Sequence[str], *, repeat: int, steps: int, rounds: int, workers: int) -> list[Row]:
    """The rows of a task, in the order of ``kinds``."""
    refused: dict[str, str] = {}
    looks: dict[str, tuple[str, Array]] = {}
    with ExitStack() as stack:
        pools: dict[str, Pool] = {}
        for kind in kinds:
            try:
                pool = stack.enter_context(Pool(partial(Actor, task, kind, repeat), workers))
                for _ in range(workers):
                    pool.call(0)
                looks[kind] = answers(pool, workers)[0]
                pools[kind] = pool
            except DiswmError as error:
                refused[kind] = str(error).splitlines()[0]
        found: dict[tuple[str, int], list[float]] = {}
        for _ in range(rounds):
            for count in range(1, workers + 1):
                for kind, pool in pools.items():
                    found.setdefault((kind, count), []).append(repeat * speed(pool, count, steps))
    return [_row(task, kind, looks, found, workers) if kind in looks else Row(task, kind, why_not=refused[kind]) for kind in kinds]


def _row(task: str, kind: str, looks: dict[str, tuple[str, Array]], found: dict[tuple[str, int], list[float]], workers: int) -> Row:
    counts = range(1, workers + 1)
    speeds = tuple(median(found[kind, count]) for count in counts)
    if "suite" not in looks:
        return Row(task, kind, looks[kind][0], speeds)
    ratios = [[a / b for a, b in zip(found[kind, count], found["suite", 1], strict=True)] for count in counts]
    difference = float(np.abs(looks[kind][1].astype(float) - looks["suite"][1]).mean())
    return Row(task, kind, looks[kind][0], speeds, tuple(median(each) for each in ratios), difference)


def cells(row: Row, workers: int) -> list[str]:
    """A row of the table."""
    if row.why_not:
        return [row.task, row.kind, row.why_not, *[""] * (2 * workers + 1)]
    times = [f"{value:.1f} x" for value in row.times] or ["?"] * workers
    pairs = [cell for pair in zip((f"{value:,.0f}" for value in row.speeds), times, strict=True) for cell in pair]
    return [row.task, row.kind, row.renderer, *pairs, "?" if row.difference is None else f"{row.difference:.3f}"]


def head(workers: int) -> list[str]:
    """The names of the columns."""
    each = [[f"frames/s, {count} worker{'s' * (count > 1)}", "of suite, 1"] for count in range(1, workers + 1)]
    return ["task", "kind", "renderer", *(name for pair in each for name in pair), "difference"]


def page(rows: Sequence[Row], workers: int, command: str, load: float) -> str:
    """The page of results."""
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    table = [head(workers), ["---"] * len(head(workers)), *(cells(row, workers) for row in rows)]
    busy = f"Other programs kept {load:.1f} cores busy when it began: the ratios count, the frames a second do not."
    return "\n\n".join([
        "# env_speed",
        f"`{command}`, {datetime.date.today()}, {machine}. {busy if load > 0.5 else ''}".strip(),
        "Frames are the simulator's, two to a picture unless the command says otherwise. suite: dm_control as it is, OpenGL at its "
        "defaults. gl (right-sized) and warp: ours, "
        "with walking colours. of suite, 1: times the frames a second of the suite with one worker. difference: of the pictures without "
        "distractions to the suite's, mean of the absolute values, of 255.",
        "\n".join("| " + " | ".join(row) + " |" for row in table),
    ])  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", default=TASKS, help="tasks of the suite")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--steps", type=int, default=100, help="agent steps of a worker in a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2, help="the most workers at once")
    parser.add_argument("--action-repeat", type=int, default=2)
    parser.add_argument("--json", action="store_true", help="the last line is one object")
    parser.add_argument("--out", type=Path, help="write the page of results here")
    args = parser.parse_args()
    if min(args.steps, args.rounds, args.workers, args.action_repeat) < 1:
        parser.error("--steps, --rounds, --workers and --action-repeat must be 1 or more")
    load = os.getloadavg()[0]
    rows: list[Row] = []
    widths = [20, 6, 10, *[18, 15] * args.workers, 10]
    print(" ".join(name.ljust(width) for name, width in zip(head(args.workers), widths, strict=True)), flush=True)
    for task in args.tasks:
        found = measure(task, args.kinds, repeat=args.action_repeat, steps=args.steps, rounds=args.rounds, workers=args.workers)
        for row in found:
            print(" ".join(cell.ljust(width) for cell, width in zip(cells(row, args.workers), widths, strict=True)).rstrip(), flush=True)
        rows += found
    if args.out:
        args.out.write_text(page(rows, args.workers, " ".join(["python benchmarks/env_speed.py", *sys.argv[1:]]), load) + "\n")
    if args.json:
        print(
            json.dumps(
                {"load": load, "cores": os.cpu_count(), "action_repeat": args.action_repeat, "rows": [row._asdict() for row in rows]}
            )
        )


if __name__ == "__main__":
    main()

"""How fast environments run: python benchmarks/env_speed.py [--tasks walker_walk ...] [--steps 200]

One process, one environment, random actions. `draw` is the median time of one picture, `frame` that of one simulator frame
without drawing, `steps/s` what an agent gets: action_repeat frames and one picture a step.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np

from diswm import envs
from diswm.contract import DiswmError
from diswm.trainers.rollout import action_size

TASKS = ["walker_walk", "cheetah_run", "reacher_easy", "finger_spin", "cartpole_swingup", "humanoid_walk"]


def median_ms(call: Callable[[], object], n: int) -> float:
    """Median wall time of ``call`` in ms, after one call that does not count."""
    call()
    times = []
    for _ in range(n):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return 1e3 * float(np.median(times))


def measure(task: str, renderer: str, steps: int, repeat: int) -> str:
    """One line of the table; says why where the renderer is missing or refuses the task."""
    try:
        env = envs.make(envs.EnvConfig(task=task, renderer=renderer, action_repeat=repeat), seed=0)  # type: ignore[arg-type]
    except DiswmError as error:
        return f"{task:20} {renderer:10} {str(error).splitlines()[0]}"
    env.reset(seed=0)
    rng = np.random.default_rng(0)
    actions = rng.uniform(-1, 1, (steps, action_size(env))).astype(np.float32)
    draw = median_ms(env.scene.draw, min(steps, 100))
    frame = median_ms(lambda: env.scene.step(actions[0].astype(np.float64)), 40)
    env.reset(seed=0)
    start = time.perf_counter()
    for action in actions:
        if any(env.step(action)[2:4]):
            env.reset()
    speed = steps / (time.perf_counter() - start)
    env.close()
    return f"{task:20} {env.renderer:10} {draw:8.2f} {frame:8.2f} {speed:9.1f} {speed * repeat:9.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", default=TASKS, help="tasks of the suite")
    parser.add_argument("--steps", type=int, default=200, help="agent steps for each line")
    parser.add_argument("--action-repeat", type=int, default=2)
    args = parser.parse_args()
    print(f"{'task':20} {'renderer':10} {'draw ms':>8} {'frame ms':>8} {'steps/s':>9} {'frames/s':>9}")
    print(measure("toy", "auto", min(args.steps, 200), args.action_repeat))
    for task in args.tasks:
        for renderer in ("gl", "warp"):
            print(measure(task, renderer, args.steps, args.action_repeat), flush=True)


if __name__ == "__main__":
    main()

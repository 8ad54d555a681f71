"""How far an agent should imagine: ``python benchmarks/behaviour.py RUN [--horizons 3 5 8 15] [--updates 400]``.

For each horizon the agent of a run learns behaviour alone, from its replay and in its world model as they stand, and is then tried in
real episodes, with the same seeds each time. Where a long horizon lowers the return, the model is not good enough for it. The run is
left as it is.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from diswm import envs
from diswm.agents import Dreamer
from diswm.build import checkpoint
from diswm.closeups import replay_of
from diswm.config import TrainRun, from_dict
from diswm.contract import DiswmError
from diswm.data.replay import Replay
from diswm.envs.vector import InProcess, Vector
from diswm.metrics.scores import bootstrap_interval
from diswm.runtime import prepare
from diswm.trainers.checkpoint import load_checkpoint
from diswm.trainers.evaluate import evaluate, mean_actor
from diswm.trainers.rollout import action_size
from diswm.trainers.run import read_config

FIRST_SEED = 1_000  # of the episodes: none of a run's own


def learn(agent: Dreamer, replay: Replay, config: TrainRun, updates: int) -> None:
    """Behaviour alone, as `Dreamer.update` learns it."""
    rng = np.random.default_rng(0)
    for update in range(updates):
        data = agent.stage(replay.sample(rng, config.train.batch, config.train.length))
        with torch.no_grad(), agent.autocast():
            post = agent.world.observe(data["image"], data["action"], agent.generator).post
        if update % config.dreamer.slow_every == 0:
            agent.slow_critic.load_state_dict(agent.critic.state_dict())
        agent.update_behaviour(post)


def returns(agent: Dreamer, vector: Vector, episodes: int) -> str:
    """Mean return of real episodes with its 95% interval."""
    got = bootstrap_interval(evaluate(mean_actor(agent), vector, range(FIRST_SEED, FIRST_SEED + episodes)).returns)
    return f"{got.mean:6.0f} ({got.low:.0f} to {got.high:.0f})"


def rows(folder: Path, horizons: list[int], updates: int, episodes: int) -> Iterator[str]:
    """One line for the agent as it is, one for each horizon. DiswmError where there is no agent."""
    config = from_dict(TrainRun, read_config(folder, "train")["config"])
    state = load_checkpoint(checkpoint(folder))
    vector = InProcess([envs.make(config.env) for _ in range(config.eval.at_once)])
    actions = action_size(vector.envs[0])
    with replay_of(folder) as replay:
        for horizon in [0, *horizons]:
            dreamer = dataclasses.replace(config.dreamer, horizon=horizon or config.dreamer.horizon)
            agent = Dreamer(config.model, actions, config.learner, dreamer, config.weights, config.anneal, seed=config.seed)
            agent.load_state_dict(state["agent"])
            learn(agent, replay, config, updates if horizon else 0)
            name = f"horizon {horizon}, {updates} updates" if horizon else f"as it is, at {state['counters']['frames']:,} frames"
            yield f"{name:32} {returns(agent, vector, episodes)}"
    vector.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="of `diswm train`, with its replay; actions are numbers")
    parser.add_argument("--horizons", type=int, nargs="+", default=[3, 5, 8, 15])
    parser.add_argument("--updates", type=int, default=400)
    parser.add_argument("--episodes", type=int, default=10)
    args = parser.parse_args()
    try:
        prepare("cpu")
        for row in rows(args.run, args.horizons, args.updates, args.episodes):
            print(row, flush=True)
    except DiswmError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()

"""An agent whose actions are choices of one in A, one-hot."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch

from diswm.agents import Dreamer
from diswm.contract import Batch

CHOICES, N = 3, 40


def make(small: dict[str, Any], *, seed: int = 0, **dreamer: Any) -> Dreamer:
    settings = dataclasses.replace(small["dreamer"], **dreamer)
    weights = {name: weight for name, weight in small["weights"].items() if name != "distill"}
    return Dreamer(small["model"], CHOICES, small["learner"], settings, weights, discrete=True, seed=seed)


def with_choices(batch: Batch) -> Batch:
    number = np.random.default_rng(0).integers(CHOICES, size=batch["action"].shape[:2])
    return batch | {"action": np.eye(CHOICES, dtype=np.float32)[number]}


def frames(count: int = N) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 64, 64, 3), dtype=np.uint8)


def test_actions_are_one_hot(small) -> None:
    agent = make(small)
    drawn, _ = agent.policy(frames(), np.ones(N, bool), None, sample=True)
    assert drawn.dtype == np.float32
    assert drawn.shape == (N, CHOICES)
    assert np.array_equal(np.sort(drawn, -1), np.tile(np.float32([0, 0, 1]), (N, 1)))
    assert drawn.sum(0).min() > 0, "at first every choice is taken now and then"


def test_evaluation_takes_the_most_likely(small) -> None:
    agent = make(small)
    action, state = agent.policy(frames(), np.ones(N, bool), None, sample=False)
    with torch.no_grad():
        assert np.array_equal(action.argmax(-1), agent.actor(state.latent.feature).argmax(-1).numpy())
    agent.reset()
    assert np.array_equal(agent.act(frames()[0]), action[0])


def test_updates_are_finite_and_reach_the_actor(small, batch, weights, diff) -> None:
    agent = make(small)
    before = weights(agent)
    for i in range(3):
        metrics = agent.update(with_choices(batch(i)), steps=i, updates=i)
        assert all(math.isfinite(float(value)) for value in metrics.values())
        assert metrics["skipped"] == 0
        assert metrics["actor/grad_norm"] > 0
        assert 0 < metrics["actor/entropy"] <= math.log(CHOICES) + 1e-6
    changed = diff(before, weights(agent))
    assert {name for name in before if name.startswith("actor.")} <= changed


def test_without_reward_entropy_grows(small, batch) -> None:
    """What is left of the actor's loss is its entropy: the choices become alike, log 3 at most."""
    agent = make(small, entropy=1.0, actor_lr=1e-2)
    with torch.no_grad():
        for net in (agent.world.heads["reward"], agent.critic, agent.slow_critic):
            for param in net.parameters():
                param.zero_()
        agent.actor.net[-1].bias.copy_(torch.tensor([2.0, 0.0, 0.0]))
    post = agent.world.observe(*(torch.from_numpy(with_choices(batch())[name]) for name in ("image", "action")), None).post
    entropies = [float(agent.update_behaviour(post)["actor/entropy"]) for _ in range(20)]
    assert entropies[0] < 0.9
    assert entropies[-1] > entropies[0] + 0.1
    assert max(entropies) <= math.log(CHOICES) + 1e-6


def test_bfloat16_leaves_choices_one_hot(small, batch) -> None:
    agent = make({**small, "learner": dataclasses.replace(small["learner"], precision="bfloat16")})
    assert agent.update(with_choices(batch()))["skipped"] == 0
    with agent.autocast(), torch.no_grad():
        action = agent.dream(agent.world.rssm.initial(N)).action
    assert set(action.unique().tolist()) == {0.0, 1.0}


@pytest.mark.parametrize("discrete", [False, True])
def test_the_kind_is_the_agent_s_own(discrete: bool, small, make) -> None:
    agent = Dreamer(small["model"], CHOICES, small["learner"], small["dreamer"], {"image": 1.0}, discrete=discrete, seed=0)
    assert agent.actor.net[-1].out_features == (CHOICES if discrete else 2 * CHOICES)
    assert not make().discrete

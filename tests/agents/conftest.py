"""A small agent and batches for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from diswm.agents import Dreamer, DreamerConfig, LearnerConfig
from diswm.contract import Batch
from diswm.model import ModelConfig
from diswm.objectives import Anneal

ACT_DIM, Z_DIM = 2, 4
MODEL = ModelConfig(z_dim=Z_DIM, stoch=6, deter=12, hidden=10, depth=4, units=16)
LEARNER = LearnerConfig(precision="float32")
DREAMER = DreamerConfig(horizon=5, units=16, actor_layers=2, critic_layers=2, slow_every=3)
WEIGHTS = {"image": 1.0, "reward": 2.0, "dyn": 0.8, "rep": 0.2, "beta": 0.015, "distill": 0.1}


def build_agent(
    *,
    seed: int = 0,
    model: ModelConfig = MODEL,
    learner: LearnerConfig = LEARNER,
    dreamer: DreamerConfig = DREAMER,
    device: str = "cpu",
) -> Dreamer:
    return Dreamer(model, ACT_DIM, learner, dreamer, WEIGHTS, {"distill": Anneal()}, seed=seed, device=device)


def build_batch(seed: int = 0, batch: int = 3, length: int = 5) -> Batch:
    rng = np.random.default_rng(seed)
    lead = (batch, length)
    return {
        "image": rng.integers(0, 256, (*lead, 64, 64, 3), dtype=np.uint8),
        "action": rng.uniform(-1, 1, (*lead, ACT_DIM)).astype(np.float32),
        "reward": rng.normal(size=lead).astype(np.float32),
        "is_first": np.zeros(lead, bool),
        "is_terminal": np.zeros(lead, bool),
        "teacher_mean": rng.normal(size=(*lead, Z_DIM)).astype(np.float32),
        "teacher_logvar": rng.normal(size=(*lead, Z_DIM)).astype(np.float32),
    }


def all_weights(agent: Dreamer) -> dict[str, torch.Tensor]:
    """A copy of every weight, by name."""
    return {f"{part}.{name}": value.clone() for part, net in agent.state_dict()["model"].items() for name, value in net.items()}


def differing(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> set[str]:
    """Names of the weights that are not bit for bit the same."""
    assert one.keys() == two.keys()
    return {name for name in one if not torch.equal(one[name], two[name])}


@pytest.fixture
def make() -> Callable[..., Dreamer]:
    return build_agent


@pytest.fixture
def batch() -> Callable[..., Batch]:
    return build_batch


@pytest.fixture
def weights() -> Callable[[Dreamer], dict[str, torch.Tensor]]:
    return all_weights


@pytest.fixture
def diff() -> Callable[..., set[str]]:
    return differing


@pytest.fixture
def small() -> dict[str, Any]:
    return {"model": MODEL, "learner": LEARNER, "dreamer": DREAMER, "weights": WEIGHTS}

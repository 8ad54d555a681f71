"""Methods are values: each does a first update, and two of them differ as data."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch

from diswm.agents import Dreamer, WorldLearner
from diswm.config import PretrainRun, TrainRun, from_dict, merge, to_dict
from diswm.contract import Batch, DiswmError
from diswm.methods import METHODS, for_pretraining, for_training, method
from diswm.model import WorldModel
from diswm.objectives import Anneal
from diswm.trainers.finetune import teacher_codes

SMALL: dict[str, Any] = {
    "model.z_dim": 4,
    "model.stoch": 6,
    "model.deter": 12,
    "model.hidden": 10,
    "model.depth": 2,
    "model.units": 16,
    "learner.precision": "float32",
}
BEHAVIOUR: dict[str, Any] = {"dreamer.units": 16, "dreamer.horizon": 4}


def training(name: str) -> TrainRun:
    return for_training(merge(TrainRun(), {**SMALL, **BEHAVIOUR}), name)


def pretraining(name: str) -> PretrainRun:
    return for_pretraining(merge(PretrainRun(), SMALL), name)


def windows(batch: int = 2, length: int = 4, act_dim: int = 2) -> Batch:
    rng = np.random.default_rng(0)
    lead = (batch, length)
    return {
        "image": rng.integers(0, 256, (*lead, 64, 64, 3), dtype=np.uint8),
        "action": rng.uniform(-1, 1, (*lead, act_dim)).astype(np.float32),
        "reward": rng.normal(size=lead).astype(np.float32),
        "is_first": np.zeros(lead, bool),
        "is_terminal": np.zeros(lead, bool),
    }


@pytest.mark.parametrize("name", METHODS)
def test_every_method_does_both_stages_first_update(name: str) -> None:
    """As the verbs do it: the video model learns, then the agent, with what the method takes from a teacher."""
    data = windows()
    before = pretraining(name)
    video = WorldLearner(before.model, 0, before.learner, before.weights, seed=0)
    found = video.update({"image": data["image"]})
    assert found["skipped"] == 0
    assert math.isfinite(float(found["loss/total"]))

    config, chosen = training(name), method(name)
    agent = Dreamer(config.model, 2, config.learner, config.dreamer, config.weights, config.anneal, seed=0)
    if chosen.init:
        agent.world.start_from(video.world, chosen.init)
    if "distill" in config.weights:
        codes = teacher_codes(video.world, data["image"].reshape(-1, 64, 64, 3))
        data |= {key: code.reshape(2, 4, -1) for key, code in codes.items()}
    metrics = agent.update(data, steps=100, updates=0)
    assert metrics["skipped"] == 0
    assert all(math.isfinite(float(value)) for value in metrics.values())
    assert {f"loss/{term}" for term in config.weights} <= metrics.keys()


@pytest.mark.parametrize("name", METHODS)
def test_a_method_survives_its_config_file(name: str) -> None:
    assert from_dict(TrainRun, to_dict(training(name))) == training(name)
    assert from_dict(PretrainRun, to_dict(pretraining(name))) == pretraining(name)


@pytest.mark.parametrize("name", METHODS)
def test_schedules_belong_to_terms_and_teachers_to_methods_that_use_them(name: str) -> None:
    chosen = METHODS[name]
    assert set(chosen.anneal) <= set(chosen.weights)
    assert chosen.teacher == ("distill" in chosen.weights or bool(chosen.init))
    assert not {"reward", "continue", "distill"} & set(chosen.video_weights)
    assert chosen.about


def difference(one: str, two: str) -> dict[str, Any]:
    """Fields of two methods that differ; of weights, the names or values that differ."""
    a, b = METHODS[one], METHODS[two]
    found: dict[str, Any] = {}
    for field in dataclasses.fields(a):
        left, right = getattr(a, field.name), getattr(b, field.name)
        if field.name != "about" and left != right:
            both = isinstance(left, dict)
            found[field.name] = {key for key in left.keys() | right.keys() if left.get(key) != right.get(key)} if both else (left, right)
    return found


def test_no_distill_is_diswm_without_one_key() -> None:
    assert difference("diswm", "no_distill") == {"weights": {"distill"}, "anneal": {"distill"}}


def test_no_disentangle_is_diswm_without_beta_in_both_stages() -> None:
    assert difference("diswm", "no_disentangle") == {"weights": {"beta"}, "video_weights": {"beta"}}


def test_paper_has_a_continue_head_and_reward_weight_one() -> None:
    assert difference("diswm", "paper") == {"settings": {"model.continues"}, "weights": {"reward", "continue"}}


def test_finetuning_is_dreamerv2_with_other_first_weights() -> None:
    assert difference("dreamerv2", "dv2_finetune") == {"init": ((), ("encoder", "decoder", "rssm"))}


def test_dreamerv2_is_no_distill_with_a_plain_encoder_and_no_beta() -> None:
    assert difference("no_distill", "dreamerv2") == {
        "settings": {"model.encoder"},
        "weights": {"beta"},
        "video_weights": {"beta"},
    }


def test_diswm_has_the_numbers_of_the_paper() -> None:
    """Spec C2, C3 and C11."""
    assert METHODS["diswm"].weights == {"image": 1.0, "reward": 2.0, "dyn": 0.8, "rep": 0.2, "beta": 0.015, "distill": 0.1}
    assert METHODS["diswm"].anneal == {"distill": Anneal(begin=0, over=50_000, floor=0.1)}


def test_defaults_are_the_paper_s() -> None:
    config = for_training(TrainRun(), "diswm")
    world = WorldModel(config.model, 6)
    # encoder 389,096 + decoder 388,959 + RSSM 377,000 + 4 more action columns of 200 + reward 250-400-400-1
    assert sum(param.numel() for param in world.parameters()) == 389_096 + 388_959 + 377_800 + (100_400 + 160_400 + 401)
    d, learner = config.dreamer, config.learner
    assert (d.horizon, d.discount, d.lam, d.entropy, d.actor_lr, d.critic_lr, d.slow_every) == (15, 0.99, 0.95, 1e-4, 8e-5, 8e-5, 100)
    assert (learner.lr, learner.eps, learner.clip, learner.free_nats, learner.free_nats_on) == (3e-4, 1e-5, 100, 1, "mean")
    assert (learner.distill_kind, learner.distill_reduction) == ("gaussian_kl", "batch_time")


def test_unknown_methods_name_the_nearest() -> None:
    with pytest.raises(DiswmError, match="no_distill"):
        method("no_distil")


def test_finetuning_starts_from_the_video_model() -> None:
    before, config = pretraining("dv2_finetune"), training("dv2_finetune")
    video = WorldLearner(before.model, 0, before.learner, before.weights, seed=3).world
    agent = Dreamer(config.model, 2, config.learner, config.dreamer, config.weights, config.anneal, seed=0)
    agent.world.start_from(video, method("dv2_finetune").init)
    theirs = video.state_dict()
    same = {name for name, value in agent.world.state_dict().items() if name in theirs and torch.equal(value, theirs[name])}
    assert set(theirs) - same == {"rssm.inp.weight"}  # it has columns for actions

"""The kinds of the constraint on the code in a learner: what they train, what they leave alone, and exact resume."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import small
import torch

from diswm import api
from diswm.agents import LearnerConfig, WorldLearner
from diswm.agents.learner import DRAWN, RatioEstimator, TermContext
from diswm.config import PretrainRun, from_dict, merge, to_dict
from diswm.contract import DiswmError
from diswm.objectives.disentangle import STRENGTH, DisentangleKind
from diswm.trainers.checkpoint import last_checkpoint, load_checkpoint, load_model, pack
from diswm.trainers.run import LATER, check_folder, flatten

KINDS = get_args(DisentangleKind)
VIDEO = {"image": 1.0, "dyn": 0.8, "rep": 0.2, "beta": 0.015}


def learner_of(kind: DisentangleKind, **changes: Any) -> LearnerConfig:
    return LearnerConfig(**{"precision": "float32", "disentangle": kind, "discriminator_units": 8, **changes})


@pytest.mark.parametrize("kind", KINDS)
def test_both_stages_learn_with_every_kind(kind: DisentangleKind, make, batch, small: dict[str, Any], weights, diff) -> None:
    video = WorldLearner(small["model"], 0, learner_of(kind), VIDEO, seed=0)
    agent = make(learner=learner_of(kind))
    before = weights(agent)
    for learner, data in ((video, {"image": batch()["image"]}), (agent, batch())):
        found = learner.update(data, steps=10, updates=10)
        assert found["skipped"] == 0
        assert all(math.isfinite(float(value)) for value in found.values())
        assert ("code/kl" in found) == (kind != "beta_vae")
        assert ("discriminator/loss" in found) == (kind == "factor_vae")
    changed = diff(before, weights(agent))
    assert any(name.startswith("world.encoder") for name in changed)
    assert any(name.startswith("discriminator") for name in changed) == (kind == "factor_vae")


def test_the_strength_of_a_kind_is_written_down(tmp_path: Path) -> None:
    assert LearnerConfig(disentangle="beta_tcvae").settled().disentangle_strength == STRENGTH["beta_tcvae"]
    assert LearnerConfig(disentangle="beta_tcvae", disentangle_strength=7.0).settled().disentangle_strength == 7
    assert LearnerConfig().settled() == LearnerConfig(), "beta_vae has none"
    config = small.train_config(tmp_path / "run", learner__disentangle="dip_vae_i", train__frames=40)
    assert api.train(config)
    file = config.out / "config.json"
    assert f'"disentangle_strength": {STRENGTH["dip_vae_i"]}' in file.read_text()
    file.write_text(file.read_text().replace(f'"disentangle_strength": {STRENGTH["dip_vae_i"]}', '"disentangle_strength": null'))
    with pytest.raises(DiswmError, match=r"disentangle_strength is None there"):  # what it was then is not known
        api.train(config)


@pytest.mark.parametrize("kind", KINDS)
def test_first_weights_do_not_depend_on_the_kind(kind: DisentangleKind, make, weights) -> None:
    default, other = weights(make()), weights(make(learner=learner_of(kind)))
    assert all(torch.equal(value, other[name]) for name, value in default.items())
    assert {name.partition(".")[0] for name in other.keys() - default.keys()} == ({"discriminator"} if kind == "factor_vae" else set())


def context_of(agent: WorldLearner, data: dict[str, Any]) -> TermContext:
    tensors = {name: torch.from_numpy(value) for name, value in data.items()}
    return TermContext(agent, tensors, agent.world.observe(tensors["image"], tensors["action"], agent.generator))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "none"])
def test_the_term_trains_the_encoder_and_nothing_else(kind: DisentangleKind, make, batch) -> None:
    agent = make(learner=learner_of(kind))
    agent.optimiser.step(context_of(agent, batch()).disentangle().mean())
    for name, param in agent.world.named_parameters():
        moved = param.grad is not None and bool(param.grad.abs().sum() > 0)
        assert moved == name.startswith("encoder."), name
    if agent.discriminator:
        assert all(param.grad is None for param in agent.discriminator.net.parameters())


def test_the_discriminator_trains_itself_and_nothing_else(make, batch) -> None:
    agent = make(learner=learner_of("factor_vae"))
    sample = torch.randn(6, 4, requires_grad=True)
    before = copy.deepcopy(agent.discriminator.net.state_dict())
    agent.discriminator.step(agent.discriminator.loss(sample, agent.generator))
    assert sample.grad is None
    assert all(param.grad is None for param in agent.world.parameters())
    assert any(not torch.equal(value, before[name]) for name, value in agent.discriminator.net.state_dict().items())


def test_the_discriminator_learns_to_tell_dependence() -> None:
    """Two dimensions that are equal: at first ln 2, then much less; and its ratio is high where they agree."""
    torch.manual_seed(0)
    config = LearnerConfig()
    assert (config.discriminator_lr, config.discriminator_units) == (1e-4, 256)
    found = RatioEstimator(2, dataclasses.replace(config, discriminator_lr=3e-3, discriminator_units=32), torch.device("cpu"))
    assert found.optimiser.adam.defaults["betas"] == (0.5, 0.9)
    generator = torch.Generator().manual_seed(0)
    losses = []
    for _ in range(150):
        z = torch.randn(128, 1, generator=generator).expand(128, 2).contiguous()
        losses.append(float(found.step(found.loss(z, generator))["discriminator/loss"]))
    assert losses[0] == pytest.approx(math.log(2), abs=0.05)
    assert losses[-1] < 0.3
    assert found(torch.tensor([[1.0, 1.0]])).item() > found(torch.tensor([[1.0, -1.0]])).item() + 2


def test_at_most_so_many_frames_are_compared(make, batch) -> None:
    agent = make(learner=learner_of("beta_tcvae"))
    context = context_of(agent, batch(0, batch=2, length=DRAWN // 2 + 3))
    drawn = context.draw()
    assert drawn.sample.shape == (DRAWN, 4)
    rows = {tuple(row.tolist()) for row in context.obs.code.mean.flatten(0, 1)}
    chosen = [tuple(row.tolist()) for row in drawn.mean]
    assert len(set(chosen)) == DRAWN
    assert set(chosen) <= rows


def test_capacity_follows_agent_steps_and_updates_in_pretraining(make, batch, small: dict[str, Any]) -> None:
    """gamma |KL - C|: C is 0 at 0 and 1000 from 100 on, far above the KL of a small code."""
    config = learner_of("annealed_capacity", capacity=1000.0, capacity_over=100, disentangle_strength=1.0)
    for act_dim in (0, 2):
        for time, expected in ((0, 0.0), (50, 500.0), (100, 1000.0)):
            learner = WorldLearner(small["model"], act_dim, config, VIDEO, seed=0) if act_dim == 0 else make(learner=config)
            counts = {"updates": time, "steps": 0} if act_dim == 0 else {"updates": 7, "steps": time}
            found = learner.update(batch(), **counts)
            assert float(found["loss/beta"]) == pytest.approx(abs(float(found["code/kl"]) - expected), rel=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_are_learned_beside_every_kind(kind: DisentangleKind, small: dict[str, Any]) -> None:
    """At its default strength and our weight no kind keeps the code from holding what two pictures differ in.

    50 updates on two windows; the floor of the loss is its constant, 12288 x 0.5 ln(2 pi) = 11291.76.
    """
    config = learner_of(kind, lr=3e-3, capacity_over=50)
    learner = WorldLearner(small["model"], 0, config, VIDEO, seed=0)
    image = np.zeros((2, 3, 64, 64, 3), np.uint8)
    image[0], image[1, :, :, 32:] = 200, 255
    losses = [float(learner.update({"image": image}, updates=i)["loss/image"]) - 11291.76 for i in range(50)]
    assert min(losses) > 0
    assert losses[-1] < 0.3 * losses[0]


def test_a_restored_factor_vae_goes_on_bit_for_bit(make, batch, weights, diff) -> None:
    config = learner_of("factor_vae")
    agent, restored = make(seed=1, learner=config), make(seed=2, learner=config)
    for i in range(2):
        agent.update(batch(i), updates=i)
    restored.load_state_dict(copy.deepcopy(agent.state_dict()))
    found = [one.update(batch(2), updates=2) for one in (agent, restored)]
    assert {name: float(value) for name, value in found[0].items()} == {name: float(value) for name, value in found[1].items()}
    assert not diff(weights(agent), weights(restored))


def test_a_skipped_update_leaves_the_discriminator_too(make, batch, weights, diff) -> None:
    agent = make(learner=learner_of("factor_vae"))
    before, bad = weights(agent), batch()
    bad["reward"][0, 0] = np.nan
    assert agent.update(bad)["skipped"] == 1
    assert not diff(before, weights(agent))


def test_a_kind_without_its_term_is_refused(small: dict[str, Any]) -> None:
    with pytest.raises(DiswmError, match="kind of the term beta, which this method does not have"):
        WorldLearner(small["model"], 0, learner_of("dip_vae_i"), {"image": 1.0, "dyn": 0.8, "rep": 0.2}, seed=0)


# ---- runs


def tensors_of(folder: Path) -> dict[str, torch.Tensor]:
    path = last_checkpoint(folder / "checkpoints")
    assert path is not None
    found: dict[str, torch.Tensor] = {}
    pack(load_checkpoint(path)["agent"], found)
    return found


def test_runs_of_factor_vae_are_resumed_bit_for_bit_and_read_back(videos: Path, tmp_path: Path) -> None:
    """Both stages with it; pretraining in two halves is pretraining at once."""
    changes = {"learner__disentangle": "factor_vae", "learner__discriminator_units": 8}
    assert api.pretrain(small.pretrain_config(tmp_path / "whole", videos, **changes))
    assert api.pretrain(small.pretrain_config(tmp_path / "halves", videos, pretrain__updates=5, **changes))
    assert api.pretrain(small.pretrain_config(tmp_path / "halves", videos, **changes))
    whole, halves = tensors_of(tmp_path / "whole"), tensors_of(tmp_path / "halves")
    assert any("discriminator" in name for name in whole)
    assert whole.keys() == halves.keys()
    assert [name for name, value in whole.items() if not torch.equal(value, halves[name])] == []
    short = {"train__frames": 80, "train__eval_every": 1000, "eval__episodes": 1}
    assert api.train(small.train_config(tmp_path / "agent", "diswm", teacher=str(tmp_path / "whole"), **changes, **short))
    lines = [line for line in small.events(tmp_path / "agent") if line["kind"] == "update"]
    assert all(math.isfinite(line["discriminator/loss"]) for line in lines)
    assert api.load(tmp_path / "agent").discriminator is not None
    assert "discriminator" in load_model(last_checkpoint(tmp_path / "agent" / "checkpoints"))


def test_older_runs_go_on_and_are_what_they_were(tmp_path: Path) -> None:
    """A config from before there were kinds is the default's; another kind is another run."""
    config = merge(PretrainRun(), {"out": str(tmp_path)})
    old = to_dict(config)
    for name in [name for name in old["learner"] if name.startswith(("disentangle", "capacity", "discriminator"))]:
        del old["learner"][name]
    small_json = {"format": 1, "kind": "pretrain", "version": "0", "config": old}
    (tmp_path / "config.json").write_text(json.dumps(small_json))
    assert from_dict(PretrainRun, old) == config
    check_folder(tmp_path, "pretrain", to_dict(config))
    with pytest.raises(DiswmError, match=r"learner\.disentangle is 'beta_vae' there, 'dip_vae_i' here"):
        check_folder(tmp_path, "pretrain", to_dict(merge(config, {"learner.disentangle": "dip_vae_i"})))
    now = flatten(to_dict(config))
    assert {name: now[name] for name in LATER if name.startswith("learner.")} == {
        name: value for name, value in LATER.items() if name.startswith("learner.")
    }


def test_an_unknown_kind_is_answered_with_the_nearest() -> None:
    with pytest.raises(DiswmError, match=r"beta_tcvae, factor_vae, dip_vae_i, dip_vae_ii, none are possible\. Did you mean factor_vae"):
        merge(PretrainRun(), {"learner.disentangle": "factorvae"})

"""All that an agent computes with lies on its device, and what leaves it comes to the host first."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from devices import Apart, DeviceAlone, elsewhere

from diswm.agents import Dreamer, LearnerConfig, WorldLearner
from diswm.model import WorldModel, fused, products
from diswm.trainers import media
from diswm.trainers.checkpoint import pack, unpack
from diswm.trainers.finetune import teacher_codes

VIDEO = {"image": 1.0, "dyn": 0.8, "rep": 0.2, "beta": 0.015}


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A device that is not the host."""
    monkeypatch.setattr("diswm.agents.learner.Readings", lambda found, known: dict(found))  # there are no numbers to read
    device = elsewhere(monkeypatch)
    with Apart():
        yield device


def learner(kind: str = "beta_vae") -> LearnerConfig:
    return LearnerConfig(precision="float32", disentangle=kind, discriminator_units=8)  # type: ignore[arg-type]


def updated(one: WorldLearner, data: dict[str, Any]) -> None:
    """One update as training makes it, and another one of which no part may come from the host."""
    one.update(data)
    given = one.runner.there(one.stage(data) | {name: torch.tensor(value) for name, value in one.scheduled(10, 10).items()})
    with DeviceAlone():
        found = one.compute(given)
    assert {(value.device.type, value.shape) for value in found.values()} == {("meta", ())}


@pytest.mark.parametrize("kind", ["annealed_capacity", "beta_tcvae", "factor_vae", "dip_vae_ii"])
def test_an_update_keeps_to_its_device(kind, there, make, batch, small) -> None:
    agent = make(learner=learner(kind), dreamer=dataclasses.replace(small["dreamer"], starts=4), device=there)
    updated(agent, batch())
    updated(WorldLearner(small["model"], 0, learner(kind), VIDEO, seed=0, device=there), {"image": batch()["image"]})


@pytest.mark.parametrize("encoder", ["gaussian", "plain"])
def test_so_do_choices_and_ends_and_other_encoders(encoder, there, batch, small) -> None:
    model = dataclasses.replace(small["model"], continues=True, encoder=encoder)
    weights = {"image": 1.0, "reward": 2.0, "dyn": 0.8, "rep": 0.2, "continue": 1.0}
    updated(Dreamer(model, 2, learner(), small["dreamer"], weights, discrete=True, seed=0, device=there), batch())


def test_so_does_what_only_a_gpu_does(there, make, batch, monkeypatch) -> None:
    loops = mock.Mock()
    loops.totals = fused.PLAIN.totals
    monkeypatch.setattr(fused, "_loops", lambda x: loops)
    monkeypatch.setattr(products, "launches_bind", lambda x: True)
    updated(make(learner=learner(), device=there), batch())
    assert {name for name, _, _ in loops.method_calls} == {"gates", "gates_gradient", "drawn", "drawn_gradient"}


def test_so_does_acting(there, make, batch) -> None:
    agent, image, state = make(learner=learner(), device=there), batch()["image"][0, :2], None
    for first in (True, False):
        action, state = agent.policy(image, np.array([first, first]), state, sample=True)
        assert action.shape == (2, 2)
        assert {part.device.type for part in (state.action, *state.latent)} == {"meta"}
    given = {"image": torch.from_numpy(image), "keep": torch.ones(2, dtype=torch.bool), "action": state.action, **state.latent._asdict()}
    given = agent.runner.there(given)
    with DeviceAlone(), torch.no_grad():
        agent.draw_action(given)
    assert agent.act(image[0]).shape == (2,)


@pytest.mark.filterwarnings("ignore:for .* copying from a non-meta parameter")
def test_a_checkpoint_lies_on_the_host_and_comes_back(there, make, batch) -> None:
    agent, restored = (make(seed=seed, learner=learner("factor_vae"), device=there) for seed in (1, 2))
    agent.update(batch())
    tensors: dict[str, torch.Tensor] = {}
    tree = pack(agent.state_dict(), tensors)
    assert {value.device.type for value in tensors.values()} == {"cpu"}
    restored.load_state_dict(unpack(tree, tensors))
    for optimiser in (restored.optimiser, restored.actor_optimiser, restored.critic_optimiser, restored.discriminator.optimiser):
        assert {value.device.type for moments in optimiser.adam.state.values() for value in moments.values()} == {"meta"}
    updated(restored, batch())


def test_a_teacher_s_codes_and_pictures_come_to_the_host(there, make, batch, small) -> None:
    image = batch()["image"][0]
    teacher = WorldModel(small["model"], 0).to(there)
    codes = teacher_codes(teacher, image, chunk=2)
    assert {name: value.shape for name, value in codes.items()} == {"teacher_mean": (5, 4), "teacher_logvar": (5, 4)}
    agent = make(learner=learner(), device=there)
    agent.world.start_from(teacher, ("encoder", "decoder", "rssm"))
    assert media.predict(agent, batch(), 2)["prediction"].shape == (3, 5, 64, 64, 3)
    found = media.traverse(agent, batch(), media.TRAVERSAL)
    assert found
    assert found["images"].shape == found["filtered"].shape == (4, 9, 64, 64, 3)


def test_the_watch_can_fail(there) -> None:
    far, near, number = torch.ones(3, 3, device=there), torch.ones(3, 3), torch.ones(())
    for bad in (lambda: far @ near, lambda: far * number, lambda: torch.cat([far, near])):
        with pytest.raises(AssertionError, match="meet tensors of cpu and meta"):
            bad()
    for bad in (lambda: near.to(there), lambda: far.copy_(near), lambda: torch.empty_like(near, device=there)):
        bad()
        with pytest.raises(AssertionError, match="has to do with cpu and meta"), DeviceAlone():
            bad()

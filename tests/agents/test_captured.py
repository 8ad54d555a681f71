"""An update reads nothing on the host, and from a recording on fixed buffers it is the same update."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import small as runs
import torch
from devices import DeviceAlone

from diswm import api
from diswm.agents import Dreamer, LearnerConfig, WorldLearner
from diswm.agents.captured import WARM, Captured, CaptureFailed, Function, Readings, Replay, check_graph
from diswm.config import PretrainRun, merge
from diswm.contract import DiswmError

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


class Again:
    """A tape for a CPU: what is recorded is simply called again, on the buffers of the recording."""

    def __init__(self) -> None:
        self.device = torch.device("cpu")
        self.recorded: list[str] = []
        self.replayed = 0

    def warm(self, function: Function, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return function(inputs)

    def record(self, function: Function, inputs: dict[str, torch.Tensor]) -> Replay:
        self.recorded.append(function.__name__)

        def replay() -> dict[str, torch.Tensor]:
            self.replayed += 1
            return function(inputs)

        return replay


class Refusing(Again):
    """A tape of which recordings fail."""

    def record(self, function: Function, inputs: dict[str, torch.Tensor]) -> Replay:
        raise CaptureFailed("operation not permitted", torch.Generator().set_state(self.state()))

    state: Callable[[], torch.Tensor]


def on_tape(agent: WorldLearner, tape: Again) -> Any:
    agent.runner.tape = tape  # type: ignore[assignment]
    return agent


def staged(learner: WorldLearner, batch: dict[str, Any]) -> dict[str, torch.Tensor]:
    return learner.stage(batch) | {name: torch.tensor(value) for name, value in learner.scheduled(10, 10).items()}


# ---- what the device does


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("kind", ["beta_vae", "annealed_capacity", "beta_tcvae", "factor_vae", "dip_vae_i", "dip_vae_ii", "none"])
def test_an_update_is_work_of_the_device_alone(kind, precision, make, batch, small) -> None:
    """The second one: the first makes the optimisers' state, which a recording is warmed up for."""
    learner = LearnerConfig(precision=precision, disentangle=kind, discriminator_units=8)
    agent = make(learner=learner, dreamer=dataclasses.replace(small["dreamer"], starts=4))
    video = WorldLearner(small["model"], 0, learner, {"image": 1.0, "dyn": 0.8, "rep": 0.2, "beta": 0.015}, seed=0)
    for one, data in ((agent, batch()), (video, {"image": batch()["image"]})):
        one.update(data)
        data = staged(one, data)
        with DeviceAlone():
            found = one.compute(data)
        assert all(value.shape == () and not value.requires_grad for value in found.values())


@pytest.mark.parametrize("choices", [False, True])
def test_ends_and_choices_are_work_of_the_device_too(choices: bool, batch, small) -> None:
    model, weights = dataclasses.replace(small["model"], continues=True), {**small["weights"], "continue": 1.0}
    agent = Dreamer(model, 2, small["learner"], small["dreamer"], weights, discrete=choices, seed=0)
    agent.update(batch())
    data = staged(agent, batch())
    with DeviceAlone():
        agent.compute(data)


def test_acting_is_work_of_the_device_alone(make, batch) -> None:
    agent = make()
    image = batch()["image"][0, :1]
    _, state = agent.policy(image, np.array([True]), None, sample=True)
    given = {"image": torch.from_numpy(image), "keep": torch.tensor([True]), "action": state.action, **state.latent._asdict()}
    with DeviceAlone(), torch.no_grad():
        agent.draw_action(given)


def test_the_watch_can_fail() -> None:
    x = torch.ones(3)
    for bad in (lambda: x.sum().item(), lambda: bool(x[0] > 0), lambda: x[x > 0], lambda: x.nonzero(), lambda: torch.tensor(1.0)):
        with pytest.raises(AssertionError), DeviceAlone():
            bad()


# ---- recordings, without a GPU: the same code, in which a replay is a plain call


def learn(agent: Dreamer, batch: Any, first: int, last: int, bad: int = -1) -> list[dict[str, float]]:
    """Updates, each followed by acting; ``bad`` is one whose rewards are NaN."""
    found, state, image = [], None, batch(99)["image"][0, :1]
    for i in range(first, last):
        data = batch(i)
        if i == bad:
            data["reward"][:] = np.nan
        found.append(dict(agent.update(data, steps=7 * i, updates=i)))
        action, state = agent.policy(image, np.array([i % 4 == 0]), state, sample=True)
        found[-1]["action"] = float(action.sum())
    return found


@pytest.mark.parametrize("kind", ["beta_vae", "annealed_capacity", "factor_vae"])
def test_updates_on_fixed_buffers_are_the_same_bit_for_bit(kind, make, batch, weights, diff) -> None:
    """Across a save and a load, after which it records anew; with schedules, copies to the slow critic, and an update that is skipped."""
    learner = LearnerConfig(precision="float32", disentangle=kind, discriminator_units=8, capacity_over=40)
    plain, tape = make(seed=1, learner=learner), Again()
    recorded = on_tape(make(seed=1, learner=learner), tape)
    first = [learn(agent, batch, 0, WARM + 4, bad=WARM + 1) for agent in (plain, recorded)]
    assert repr(first[0]) == repr(first[1])  # nan is nan
    assert [found["skipped"] for found in first[0]] == [float(i == WARM + 1) for i in range(WARM + 4)]
    assert tape.recorded == ["compute", "draw_action"]
    assert tape.replayed == 2 * 4
    assert not diff(weights(plain), weights(recorded))
    restored = on_tape(make(seed=2, learner=learner), again := Again())
    learn(restored, batch, 20, 20 + WARM + 1)  # it has a recording of its own before
    restored.load_state_dict(copy.deepcopy(recorded.state_dict()))
    later = [learn(agent, batch, WARM + 4, 2 * WARM + 6) for agent in (plain, recorded, restored)]
    assert later[0] == later[1] == later[2]
    assert again.recorded == ["compute", "draw_action"] * 2
    for agent in (recorded, restored):
        assert not diff(weights(plain), weights(agent))
        assert torch.equal(plain.generator.get_state(), agent.generator.get_state())


def test_inputs_of_another_shape_are_recorded_anew() -> None:
    tape = Again()
    captured = Captured(tape)  # type: ignore[arg-type]

    def double(inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {"y": 2 * inputs["x"]}

    for size in (2, 3):
        kept = [captured(double, {"x": torch.full((size,), float(i))})["y"] for i in range(WARM + 3)]
        assert [y.tolist() for y in kept] == [[2.0 * i] * size for i in range(WARM + 3)]  # none was overwritten
    assert tape.recorded == ["double"] * 2


def test_a_recording_that_fails_leaves_an_agent_that_learns(make, batch, weights, diff, capsys) -> None:
    plain, agent, tape = make(seed=1), make(seed=1), Refusing()
    tape.state = lambda: agent.generator.get_state()
    on_tape(agent, tape)
    assert learn(plain, batch, 0, WARM + 2) == learn(agent, batch, 0, WARM + 2)
    assert capsys.readouterr().err == "no CUDA graph can be recorded (operation not permitted): work is launched piece by piece\n"
    assert not diff(weights(plain), weights(agent))
    assert agent.runner.tape is None
    insisting = on_tape(make(learner=LearnerConfig(precision="float32", graph="on")), tape)
    with pytest.raises(DiswmError, match="operation not permitted"):
        learn(insisting, batch, 0, WARM + 1)


def test_a_graph_needs_a_gpu(tmp_path) -> None:
    for graph in ("auto", "off"):
        check_graph(graph, "cpu")  # type: ignore[arg-type]
    check_graph("on", "cuda:1")
    with pytest.raises(DiswmError, match=r"learner\.graph=on .* cpu\. Leave it at auto"):
        api.train(runs.train_config(tmp_path / "run", learner__graph="on"))
    with pytest.raises(DiswmError, match=r"auto, on, off are possible"):
        merge(PretrainRun(), {"learner.graph": "yes"})
    assert not (tmp_path / "run").exists()


def test_a_gpu_s_random_numbers_do_not_go_on_on_a_cpu(make) -> None:
    """A run whose device is `auto` may be taken up on another machine. A GPU's generator has 16 bytes, a seed and an offset."""
    state = make().state_dict() | {"generator": torch.zeros(16, dtype=torch.uint8)}
    with pytest.raises(DiswmError, match=r"made on a GPU, and cpu draws other random numbers.* --start"):
        make().load_state_dict(state)


def test_readings_are_numbers_by_name() -> None:
    found = Readings({"a": torch.tensor(0.5), "b": torch.tensor(2)}, {"c": 0.1})
    assert dict(found) == {"a": 0.5, "b": 2.0, "c": 0.1}
    assert list(found) == ["a", "b", "c"]
    assert len(found) == 3


# ---- recordings on a GPU


@needs_gpu
@pytest.mark.parametrize("kind", ["beta_vae", "annealed_capacity", "beta_tcvae", "factor_vae"])
def test_replays_on_a_gpu_are_the_updates(kind, make, batch, weights, small) -> None:
    """20 updates of which one is skipped. Losses to 1 in 1000; weights to a few steps of Adam, as its step may turn where a gradient is
    nearly zero, and convolutions sum in an order of their own each time."""
    dreamer = dataclasses.replace(small["dreamer"], starts=4)
    agents = [
        make(seed=1, device="cuda", dreamer=dreamer, learner=LearnerConfig(precision="float32", disentangle=kind, graph=graph))
        for graph in ("off", "on")
    ]
    plain, recorded = (learn(agent, batch, 0, 20, bad=9) for agent in agents)
    assert agents[1].runner.tape
    assert {name: one.replay is not None for name, one in agents[1].runner._captured.items()} == {"compute": True, "draw_action": True}
    for one, other in zip(plain, recorded, strict=True):
        assert one["skipped"] == other["skipped"]
        for name in ("loss/image", "loss/total", "loss/dyn", "loss/reward", "critic/loss", "weight/distill", "action"):
            assert other[name] == pytest.approx(one[name], rel=1e-3, abs=1e-2, nan_ok=True), name
    assert sum(found["skipped"] for found in recorded) == 1
    before, after = weights(agents[0]), weights(agents[1])
    assert all(float((before[name] - after[name]).abs().max()) < 2e-3 for name in before)
    assert torch.equal(agents[0].generator.get_state(), agents[1].generator.get_state())  # as many numbers drawn


@needs_gpu
def test_a_recorded_agent_is_saved_and_goes_on(make, batch, weights) -> None:
    learner = LearnerConfig(precision="float32", graph="on")
    agent, restored = (make(seed=seed, device="cuda", learner=learner) for seed in (1, 2))
    for one in (agent, restored):
        learn(one, batch, 0, WARM + 2)
    restored.load_state_dict(copy.deepcopy(agent.state_dict()))
    later = [learn(one, batch, WARM + 2, 3 * WARM) for one in (agent, restored)]
    for one, other in zip(*later, strict=True):
        assert other["loss/total"] == pytest.approx(one["loss/total"], rel=1e-3)
    one, other = weights(agent), weights(restored)
    assert all(float((one[name] - other[name]).abs().max()) < 2e-3 for name in one)


@needs_gpu
def test_a_function_that_reads_a_value_is_not_recorded(make, batch, capsys) -> None:
    """With `auto` the agent goes on learning, launched piece by piece."""
    agent = make(device="cuda")
    compute = agent.compute

    def reading(data: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        found = compute(data)
        assert found["skipped"].item() == 0
        return found

    agent.compute = reading
    found = [agent.update(batch(i), updates=i)["skipped"] for i in range(WARM + 3)]
    assert found == [0.0] * (WARM + 3)
    assert "no CUDA graph can be recorded" in capsys.readouterr().err

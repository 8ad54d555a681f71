"""What an update changes, what it must leave alone, and that it can be repeated."""

from __future__ import annotations

import copy
import dataclasses
import math

import numpy as np
import pytest
import torch

from diswm.agents import Dreamer, LearnerConfig, WorldLearner
from diswm.agents.learner import Optimiser, resolve_precision
from diswm.model import WorldModel
from diswm.model.rssm import RSSM
from diswm.objectives import Anneal
from diswm.trainers.finetune import teacher_codes


def test_an_update_changes_every_weight_and_reports_finite_numbers(make, batch, weights, diff) -> None:
    """All but the slow critic's; the prior too, as no free nats shield it here."""
    agent = make(learner=LearnerConfig(precision="float32", free_nats=0.0))
    before = weights(agent)
    metrics = agent.update(batch(), steps=0, updates=0)
    assert all(math.isfinite(float(value)) for value in metrics.values())
    assert metrics["skipped"] == 0
    changed = diff(before, weights(agent))
    assert {name for name in before if name not in changed} == {name for name in before if name.startswith("slow_critic.")}


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_large_batches_in_float32_pass_part_by_part_and_teach_the_same(precision, make, batch, monkeypatch) -> None:
    """Windows of 5 frames, 5 of them: with parts of 10 frames two at a time, the last alone. Sums over frames are made in another order,
    so to rounding. bfloat16 passes whole."""
    whole, parts = make(learner=LearnerConfig(precision=precision)), make(learner=LearnerConfig(precision=precision))
    expected = whole.update(batch(batch=5))
    monkeypatch.setattr("diswm.model.world.LARGE", 25)
    monkeypatch.setattr("diswm.model.world.PART", 10)
    sizes: dict[str, list[int]] = {"encode": [], "decode": []}
    for name, seen in sizes.items():
        call = getattr(parts.world, name)
        monkeypatch.setattr(parts.world, name, lambda x, call=call, seen=seen: (seen.append(len(x)), call(x))[1])
    found = parts.update(batch(batch=5))
    assert sizes == dict.fromkeys(sizes, [2, 2, 1] if precision == "float32" else [5])
    assert dict(found) == pytest.approx(dict(expected), rel=1e-5)
    one, other = (agent.state_dict()["optimiser"]["world"]["state"] for agent in (parts, whole))
    for number, state in one.items():  # after one step a tenth of the clipped gradients
        torch.testing.assert_close(state["exp_avg"], other[number]["exp_avg"], rtol=1e-3, atol=1e-6)


def test_same_seed_same_weights_bit_for_bit(make, batch, weights, diff) -> None:
    one, two, other = make(seed=1), make(seed=1), make(seed=2)
    assert not diff(weights(one), weights(two))
    for i in range(2):
        for agent in (one, two, other):
            agent.update(batch(i), steps=i, updates=i)
    assert not diff(weights(one), weights(two))
    assert diff(weights(one), weights(other))


def test_the_seed_is_the_agent_s_own_and_pytorch_s_generator_stays(make, batch, weights, diff) -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    one = make()
    one.update(batch())
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(99)
    two = make()
    two.update(batch())
    assert not diff(weights(one), weights(two))


def as_from_disk(state):
    """A copy whose tensors lie in memory as a file gives them: row by row, whatever their layout was."""
    if isinstance(state, torch.Tensor):
        return state.clone(memory_format=torch.contiguous_format)
    return {key: as_from_disk(value) for key, value in state.items()} if isinstance(state, dict) else copy.deepcopy(state)


def test_a_restored_agent_goes_on_bit_for_bit(make, batch, weights, diff) -> None:
    agent = make(seed=1)
    for i in range(2):
        agent.update(batch(i), updates=i)
    state = as_from_disk(agent.state_dict())
    restored = make(seed=2)
    restored.load_state_dict(state)
    found = [one.update(batch(2), updates=2) for one in (agent, restored)]
    assert found[0].keys() == found[1].keys()
    assert all(float(found[0][name]) == float(found[1][name]) for name in found[0])
    assert not diff(weights(agent), weights(restored))
    image = batch(3)["image"][0, :1]
    actions = [one.policy(image, np.array([True]), None, sample=True)[0] for one in (agent, restored)]
    assert np.array_equal(*actions)


def test_adam_is_adam_for_weights_of_any_memory_layout(make, batch) -> None:
    """Fused Adam walks through weights, gradients and moments as they lie; convolutions lie channels last."""
    agent = make()
    expected = [param.detach().clone().contiguous().requires_grad_() for param in agent.world.parameters()]
    plain = torch.optim.Adam(expected, lr=agent.config.lr, eps=agent.config.eps, fused=False, foreach=False)
    assert not agent.world.encoder.convs[2].weight.is_contiguous()
    for i in range(3):
        agent.update(batch(i), updates=i)
        for ours, theirs in zip(agent.world.parameters(), expected, strict=True):
            theirs.grad = None if ours.grad is None else ours.grad.clone().contiguous()
        plain.step()
    for ours, theirs in zip(agent.world.parameters(), expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("where", ["reward", "action", "teacher_mean"])
def test_an_update_that_is_not_finite_is_skipped(where: str, make, batch, weights, diff) -> None:
    agent = make()
    agent.update(batch(0), updates=0)
    before, moments = weights(agent), copy.deepcopy(agent.optimiser.adam.state_dict()["state"])
    bad = batch(1)
    bad[where][1, 2] = np.nan
    metrics = agent.update(bad, updates=1)
    assert metrics["skipped"] == 1
    assert not diff(before, weights(agent))
    after = agent.optimiser.adam.state_dict()["state"]
    assert all(torch.equal(moments[i]["exp_avg"], after[i]["exp_avg"]) for i in moments)
    assert agent.update(batch(2), updates=2)["skipped"] == 0
    assert diff(before, weights(agent))


def test_a_gradient_that_is_not_finite_is_skipped_too() -> None:
    """sqrt at 0: the loss is finite, its gradient is not."""
    layer = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(layer.weight)
    optimiser = Optimiser(layer, lr=0.1, eps=1e-5, clip=1.0)
    norm, taken = optimiser.step(layer.weight.sum().sqrt())
    assert not taken
    assert not math.isfinite(float(norm))
    assert float(layer.weight.detach()) == 0


def test_gradients_are_clipped_to_their_bound() -> None:
    layer = torch.nn.Linear(2, 1, bias=False)
    optimiser = Optimiser(layer, lr=0.1, eps=1e-5, clip=1.0)
    norm, taken = optimiser.step((layer.weight * torch.tensor([[30.0, 40.0]])).sum())
    assert taken
    assert float(norm) == pytest.approx(50)  # reported as it was
    torch.testing.assert_close(layer.weight.grad, torch.tensor([[0.6, 0.8]]))  # 30 and 40 over 50


def test_returns_bootstrap_from_the_slow_critic(make, batch) -> None:
    """A slow critic that says 100 everywhere, a critic and rewards near 0: each return holds at least 100 x 0.99^14 = 87."""
    agent = make()
    agent.update(batch(), updates=0)
    for param in agent.slow_critic.net[-1].parameters():
        param.data.zero_()
    agent.slow_critic.net[-1].bias.data.fill_(100.0)
    assert float(agent.update(batch(), updates=1)["imagined/return"]) > 80


def test_slow_critic_is_a_copy_at_first_and_then_every_so_many_updates(make, batch, small) -> None:
    agent = make()
    copied = [param.clone() for param in agent.critic.parameters()]
    for updates in range(2 * small["dreamer"].slow_every + 1):
        if updates % small["dreamer"].slow_every == 0:
            copied = [param.clone() for param in agent.critic.parameters()]  # before this update's step
        agent.update(batch(updates), updates=updates)
        slow = list(agent.slow_critic.parameters())
        assert all(torch.equal(a, b) for a, b in zip(copied, slow, strict=True))
        assert not any(param.requires_grad for param in slow)
        assert not torch.equal(slow[0], next(agent.critic.parameters()))


def test_behaviour_leaves_the_world_model_alone(make, batch, weights, diff) -> None:
    agent = make()
    obs = agent.world.observe(*(torch.from_numpy(batch()[name]) for name in ("image", "action")), agent.generator)
    before = weights(agent)
    agent.update_behaviour(obs.post)
    assert {name.partition(".")[0] for name in diff(before, weights(agent))} == {"actor", "critic"}
    assert all(param.grad is None and param.requires_grad for param in agent.world.parameters())


def test_all_states_of_the_batch_are_starts_or_as_many_as_asked_for(make, batch, small) -> None:
    for starts, expected in ((0, 15), (4, 4), (99, 15)):
        agent = make(dreamer=dataclasses.replace(small["dreamer"], starts=starts))
        obs = agent.world.observe(*(torch.from_numpy(batch()[name]) for name in ("image", "action")), agent.generator)
        start = agent._starts(obs.post)
        assert start.stoch.shape == (expected, 6)
        assert not start.feature.requires_grad
        rows = {tuple(row.tolist()) for row in start.feature}
        assert rows <= {tuple(row.tolist()) for row in obs.post.feature.flatten(0, 1)}
        assert len(rows) == expected


def test_the_teacher_stays_as_it_was(make, batch, small, weights) -> None:
    """Spec E2. It hands over tensors; nothing of it is in the student or its optimiser."""
    torch.manual_seed(5)
    teacher = WorldModel(small["model"], 0).eval().requires_grad_(False)
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    agent, data = make(), batch()
    for i in range(3):
        codes = teacher_codes(teacher, data["image"].reshape(-1, 64, 64, 3), chunk=4)
        agent.update(data | {name: code.reshape(3, 5, -1) for name, code in codes.items()}, updates=i)
    assert all(torch.equal(before[name], value) for name, value in teacher.state_dict().items())
    ours = {id(param) for param in agent.world.parameters()}
    assert not any(id(param) in ours for param in teacher.parameters())
    again = teacher_codes(teacher, data["image"].reshape(-1, 64, 64, 3), chunk=256)
    for name, code in codes.items():  # the same frames give the same codes, in any chunks
        np.testing.assert_allclose(code, again[name], rtol=1e-4, atol=1e-5)


def test_distillation_pulls_the_code_towards_the_teacher_s(make, batch) -> None:
    """Without its other terms the student's code nears the teacher's."""
    agent = make(learner=LearnerConfig(precision="float32", lr=3e-3, distill_kind="mse_mean"))
    agent.weights = {"distill": 1.0}
    agent.anneal = {}
    data = batch()
    losses = [float(agent.update(data, updates=i)["loss/distill"]) for i in range(30)]
    assert losses[-1] < 0.5 * losses[0]


def test_the_schedule_follows_the_live_count_of_steps(make, batch) -> None:
    """Spec E1: 0.1 at 0, 0.01 from 45,000 agent steps on."""
    agent = make()
    found = [float(agent.update(batch(), steps=steps)["weight/distill"]) for steps in (0, 25_000, 45_000, 95_000)]
    assert found == pytest.approx([0.1, 0.05, 0.01, 0.01])


def test_terms_need_known_names_and_schedules_a_term(small) -> None:
    with pytest.raises(KeyError, match="colour"):
        WorldLearner(small["model"], 0, small["learner"], {"image": 1.0, "colour": 1.0}, seed=0)
    with pytest.raises(KeyError, match="distill"):
        WorldLearner(small["model"], 0, small["learner"], {"image": 1.0}, {"distill": Anneal()}, seed=0)


def test_the_video_model_is_trained_on_samples(small, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its latents are drawn, with standard normal noise; the release's are means (spec E8)."""
    drawn: list[torch.Tensor] = []
    observe = RSSM.observe
    monkeypatch.setattr(RSSM, "observe", lambda self, *args: (drawn.append(args[-1]), observe(self, *args))[1])
    weights = {"image": 1.0, "dyn": 0.8, "rep": 0.2, "beta": 0.015}
    learner = WorldLearner(small["model"], 0, LearnerConfig(precision="float32"), weights, seed=0)
    learner.update({"image": np.zeros((2, 6, 64, 64, 3), np.uint8)})
    (noise,) = drawn
    assert noise.shape == (2, 6, small["model"].stoch)
    assert float(noise.std()) == pytest.approx(1, abs=0.4)  # 72 numbers: five deviations of 1 / sqrt(144)


def test_the_video_model_learns_from_images_alone(small, batch) -> None:
    """30 updates on one batch lower the image's loss; its floor is the constant 12288 x 0.5 ln(2 pi) = 11291.8."""
    weights = {"image": 1.0, "dyn": 0.8, "rep": 0.2, "beta": 0.015}
    learner = WorldLearner(small["model"], 0, LearnerConfig(precision="float32", lr=3e-3), weights, seed=0)
    image = np.zeros((2, 6, 64, 64, 3), np.uint8)
    image[0], image[1, :, :, 32:] = 200, 255  # one window plain, one split
    losses = [float(learner.update({"image": image}, updates=i)["loss/image"]) - 11291.76 for i in range(30)]
    assert min(losses) > 0
    assert losses[-1] < 0.3 * losses[0]


def test_the_agent_learns_a_reward(make, batch) -> None:
    agent = make(learner=LearnerConfig(precision="float32", lr=3e-3))
    data = batch()
    losses = [float(agent.update(data, updates=i)["loss/reward"]) for i in range(40)]
    assert losses[-1] < losses[0] - 0.1


def test_bfloat16_gives_nearly_the_same_update(make, batch) -> None:
    found = [make(learner=LearnerConfig(precision=precision)).update(batch()) for precision in ("float32", "bfloat16")]
    for name in ("loss/image", "loss/reward", "loss/dyn", "loss/beta", "loss/distill", "critic/loss", "actor/loss", "grad_norm/model"):
        assert float(found[1][name]) == pytest.approx(float(found[0][name]), rel=0.02, abs=0.01), name


def test_bfloat16_keeps_weights_states_and_heads_in_float32(make, batch) -> None:
    agent = make(learner=LearnerConfig(precision="bfloat16"))
    agent.update(batch())
    assert {param.dtype for net in (agent.world, agent.actor, agent.critic) for param in net.parameters()} == {torch.float32}
    data = batch()
    with torch.no_grad(), agent.autocast():
        obs = agent.world.observe(torch.from_numpy(data["image"]), torch.from_numpy(data["action"]), agent.generator)
        path = agent.dream(agent._starts(obs.post))
        outputs = [
            obs.code.mean,
            obs.post.feature,
            path.feature,
            path.action,
            agent.critic(path.feature),
            agent.world.heads["reward"](path.feature),
        ]
    assert {out.dtype for out in outputs} == {torch.float32}


def test_precision_is_what_was_asked_for_and_auto_asks_the_machine(monkeypatch) -> None:
    cpu = torch.device("cpu")
    assert resolve_precision("float32", cpu) == torch.float32
    assert resolve_precision("bfloat16", cpu) == torch.bfloat16
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    for able, expected in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda able=able: able)
        assert resolve_precision("auto", cpu) == expected


def test_continue_head_shortens_the_discount(make, batch, small) -> None:
    """The discount of a state is 0.99 x the probability that the episode goes on."""
    model = dataclasses.replace(small["model"], continues=True)
    agent = Dreamer(model, 2, small["learner"], small["dreamer"], {**small["weights"], "continue": 1.0}, seed=0)
    assert agent.update(batch())["skipped"] == 0
    head = agent.world.heads["continue"]
    with torch.no_grad():
        for param in head.parameters():
            param.zero_()
    feature = torch.randn(3, 2, agent.world.feature_size)
    torch.testing.assert_close(agent._discount(feature).detach(), torch.full((3, 2), 0.495))  # sigmoid(0) = 0.5
    assert torch.equal(make()._discount(feature), torch.full((3, 2), 0.99))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_gpu_learns_acts_and_resumes(precision, make, batch) -> None:
    learner = LearnerConfig(precision=precision)
    agent, restored = (make(seed=seed, learner=learner, device="cuda") for seed in (0, 1))
    on_cpu = make(learner=learner).update(batch())
    found = agent.update(batch())
    assert found["skipped"] == 0
    assert float(found["loss/image"]) == pytest.approx(float(on_cpu["loss/image"]), rel=0.02)
    restored.load_state_dict(as_from_disk(agent.state_dict()))
    image = batch()["image"][0, :1]
    actions = [one.policy(image, np.array([True]), None, sample=True)[0] for one in (agent, restored)]
    np.testing.assert_allclose(*actions, atol=1e-5)
    assert agent.act(image[0]).shape == (2,)
    assert restored.update(batch(1), updates=1)["skipped"] == 0

"""Acting: bounds, determinism, many environments at once, new episodes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from diswm.contract import DiswmError

N, STEPS = 3, 4


def frames(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (STEPS, N, 64, 64, 3), dtype=np.uint8)


def play(agent, images: np.ndarray, *, sample: bool = False) -> np.ndarray:
    """Actions (STEPS, N, A) on given frames."""
    state, actions = None, []
    for t, image in enumerate(images):
        action, state = agent.policy(image, np.full(len(image), t == 0), state, sample=sample)
        actions.append(action)
    return np.stack(actions)


@pytest.mark.parametrize("sample", [True, False])
def test_actions_are_float32_and_in_bounds(sample: bool, make) -> None:
    actions = play(make(), np.concatenate([frames(seed) for seed in range(5)]), sample=sample)
    assert actions.dtype == np.float32
    assert np.abs(actions).max() < 1


def test_sampled_actions_fill_their_range_and_vary(make) -> None:
    """A Gaussian of mean near 0 and std near 1.1, clipped: some lie at the bounds, most within."""
    agent = make()
    actions = play(agent, np.repeat(frames(), 30, 1), sample=True)
    assert 0.1 < (np.abs(actions) > 0.999).mean() < 0.6
    assert actions.std() > 0.5


def test_evaluation_is_deterministic(make) -> None:
    agent = make()
    one = play(agent, frames())
    agent.generator.manual_seed(99)
    assert np.array_equal(one, play(agent, frames()))
    assert not np.array_equal(play(agent, frames(), sample=True), play(agent, frames(), sample=True))


def test_many_environments_equal_each_alone(make) -> None:
    agent, images = make(), frames()
    together = play(agent, images)
    for n in range(N):
        np.testing.assert_allclose(play(agent, images[:, n : n + 1])[:, 0], together[:, n], atol=1e-5)


def test_act_is_the_mean_policy_of_one_environment(make) -> None:
    agent, images = make(), frames()[:, 0]
    agent.reset()
    acted = np.stack([agent.act(image) for image in images])
    assert acted.shape == (STEPS, 2)
    np.testing.assert_allclose(acted, play(agent, images[:, None])[:, 0], atol=1e-6)
    agent.reset()
    assert np.array_equal(agent.act(images[0]), acted[0])


def test_act_remembers_until_reset(make) -> None:
    agent, image = make(), frames()[0, 0]
    first, second = agent.act(image), agent.act(image)
    assert not np.array_equal(first, second)
    agent.reset()
    assert np.array_equal(agent.act(image), first)


@pytest.mark.parametrize("bad", [np.zeros((64, 64, 3)), np.zeros((32, 32, 3), np.uint8), np.zeros((3, 64, 64), np.uint8)])
def test_act_refuses_another_kind_of_image(bad: np.ndarray, make) -> None:
    with pytest.raises(DiswmError, match=r"Expected uint8 \(64, 64, 3\)"):
        make().act(bad)


def test_is_first_forgets_state_and_action_of_that_environment_alone(make) -> None:
    agent, images = make(), frames()
    _, state = agent.policy(images[0], np.ones(N, bool), None, sample=False)
    first = np.array([False, True, False])
    _, after = agent.policy(images[1], first, state, sample=False)
    _, fresh = agent.policy(images[1], np.ones(N, bool), None, sample=False)
    _, carried = agent.policy(images[1], np.zeros(N, bool), state, sample=False)
    torch.testing.assert_close(after.latent.feature[1], fresh.latent.feature[1])
    torch.testing.assert_close(after.latent.feature[::2], carried.latent.feature[::2])
    assert not torch.allclose(fresh.latent.feature[0], carried.latent.feature[0])


def test_acting_filters_as_training_does(make) -> None:
    """The features that the actor sees are those of `observe` on the same frames and actions (spec E11)."""
    agent, images = make(), frames()
    state, actions, features = None, [np.zeros((N, 2), np.float32)], []
    for t, image in enumerate(images):
        action, state = agent.policy(image, np.full(N, t == 0), state, sample=False)
        actions.append(action)
        features.append(state.latent.feature)
    clip, led = torch.from_numpy(images).swapaxes(0, 1), torch.from_numpy(np.stack(actions[:-1], 1))
    whole = agent.world.observe(clip, led, None).post.feature
    torch.testing.assert_close(torch.stack(features, 1), whole.detach(), rtol=1e-4, atol=1e-5)


def test_load_networks_gives_the_same_policy(make) -> None:
    agent, other = make(seed=0), make(seed=1)
    assert not np.array_equal(play(agent, frames()), play(other, frames()))
    other.load_networks(agent.state_dict()["model"])
    assert np.array_equal(play(agent, frames()), play(other, frames()))


def test_evaluation_leaves_the_training_noise_alone(make) -> None:
    agent = make()
    before = agent.generator.get_state()
    play(agent, frames(), sample=False)
    assert torch.equal(agent.generator.get_state(), before)
    play(agent, frames(), sample=True)
    assert not torch.equal(agent.generator.get_state(), before)

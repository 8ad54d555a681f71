from __future__ import annotations

import numpy as np
import pytest

from diswm import envs
from diswm.contract import DiswmError
from diswm.envs import toy


def test_the_image_is_a_function_of_the_factors() -> None:
    env = envs.make(envs.EnvConfig(task="toy"), seed=0)
    image, info = env.reset(seed=3)
    assert (
        np.array_equal(toy.render_factors(toy.vector(info["factors"])), image)
        or np.abs(toy.render_factors(toy.vector(info["factors"])).astype(int) - image).max() <= 1
    )  # float32 in info, float64 when drawn


def test_every_factor_shows_and_shows_smoothly() -> None:
    values = toy.sample(1, np.random.default_rng(1))[0]
    values[:4] = (-0.5, -0.4, 0.5, 0.4)  # apart from each other
    base = toy.render_factors(values).astype(float)
    for i, factor in enumerate(toy.FACTORS):
        nudged = values.copy()
        nudged[i] += 0.02 * (factor.high - factor.low) * (1 if values[i] < (factor.low + factor.high) / 2 else -1)
        change = np.abs(toy.render_factors(nudged).astype(float) - base)
        assert change.sum() > 50, factor.name
        assert change.mean() < 6, factor.name


@pytest.mark.parametrize("size", [64, 33])
def test_sprites_are_whole_though_only_pixels_near_them_are_touched(size: int) -> None:
    """Against every layer laid over the whole picture; places beyond the edges as well, where sprites are cut off."""
    x = (np.arange(size) + 0.5) * 2 / size - 1
    backdrop = np.random.default_rng(1).integers(0, 256, (size, size, 3), np.uint8)
    for values in toy.sample(40, np.random.default_rng(0)) * ([1.5] * 4 + [1] * 10):
        agent = np.hypot(x[None] - values[0], -x[:, None] - values[1]) - values[4]
        target = np.maximum(abs(x[None] - values[2]), abs(-x[:, None] - values[3])) - 0.18
        hazard = np.maximum(abs(x[None]), abs(x[:, None])) - toy.HAZARD_HALF
        expected = backdrop / 255
        for distance, colour in ((hazard, 0), (target - toy.RIM, 1), (target, values[11:14]), (agent - toy.RIM, 0), (agent, values[8:11])):
            cover = np.clip(0.5 - distance * size / 2, 0, 1)[..., None]
            expected = expected * (1 - cover) + colour * cover
        found = toy.render_factors(values, size, hazard=True, backdrop=backdrop)
        assert np.abs(found - expected * 255).max() <= 0.5 + 1e-9


def test_samples_lie_in_their_ranges() -> None:
    values = toy.sample(2000, np.random.default_rng(0))
    for i, factor in enumerate(toy.FACTORS):
        assert factor.low <= values[:, i].min() < values[:, i].max() <= factor.high
    assert toy.render_factors(values[:3]).shape == (3, 64, 64, 3)
    with pytest.raises(DiswmError, match="14 values"):
        toy.render_factors(np.zeros(3))


@pytest.mark.parametrize("task", ["toy", "toy_sparse"])
def test_going_to_the_target_pays(task: str) -> None:
    env = envs.make(envs.EnvConfig(task=task, action_repeat=1), seed=0)
    scores = []
    for greedy in (True, False):
        _, info = env.reset(seed=0)
        total, over, rng = 0.0, False, np.random.default_rng(0)
        while not over:
            way = (info["factors"]["target"] - info["factors"]["agent"]) / toy.SPEED
            action = np.clip(way, -1, 1) if greedy else rng.uniform(-1, 1, 2)
            _, reward, terminated, over, info = env.step(action.astype(np.float32))
            assert 0.0 <= reward <= 1.0
            assert not terminated
            total += reward
        scores.append(total)
    assert scores[0] > 80
    assert scores[0] > scores[1] + 20


def test_the_reward_of_a_step_is_the_sum_of_its_frames() -> None:
    single, held = (envs.make(envs.EnvConfig(task="toy", action_repeat=n), seed=0) for n in (1, 3))
    single.reset(seed=0)
    held.reset(seed=0)
    for action in np.random.default_rng(0).uniform(-1, 1, (5, 2)).astype(np.float32):
        parts = [single.step(action) for _ in range(3)]
        whole = held.step(action)
        assert whole[1] == sum(part[1] for part in parts)
        assert np.array_equal(whole[0], parts[-1][0])


def test_the_hazard_terminates() -> None:
    env = envs.make(envs.EnvConfig(task="toy_terminal", action_repeat=4), seed=0)
    for seed in range(5):
        _, info = env.reset(seed=seed)
        ends = (False, False)
        while not any(ends):
            action = np.clip(-info["factors"]["agent"] / toy.SPEED, -1, 1)
            *_, terminated, truncated, info = env.step(action.astype(np.float32))
            ends = terminated, truncated
        assert ends == (True, False)
        assert info["discount"] == 0.0
        assert 1 <= info["frames"] <= 4
        with pytest.raises(DiswmError, match="over"):
            env.step(np.zeros(2, np.float32))


def test_an_episode_is_a_hundred_frames() -> None:
    env = envs.make(envs.EnvConfig(task="toy", action_repeat=3), seed=0)
    env.reset(seed=0)
    frames, over = [], False
    while not over:
        *_, over, info = env.step(np.zeros(2, np.float32))
        frames.append(info["frames"])
    assert sum(frames) == toy.TIME_LIMIT == 100
    assert frames[-1] == 1

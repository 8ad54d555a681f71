"""One suite for every environment and renderer."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from diswm import envs
from diswm.contract import DiswmError, Unstable
from diswm.envs import EnvConfig
from diswm.trainers.rollout import Rollout

CASES = [
    ("toy", "numpy"),
    ("toy_terminal", "numpy"),
    ("walker_walk", "warp"),
    ("reacher_easy", "warp"),
    ("finger_turn_hard", "warp"),
    ("walker_walk", "gl"),
    ("quadruped_escape", "gl"),
    ("pusher", "warp"),
    ("pusher", "gl"),
    ("drawer_open", "warp"),
    ("drawer_close", "warp"),
    ("drawer_close", "gl"),
]
every_env = pytest.mark.parametrize("config", CASES, indirect=True, ids=["-".join(c) for c in CASES])


def roll(env: Any, seed: int | None, actions: np.ndarray) -> dict[str, np.ndarray]:
    image, info = env.reset(seed=seed)
    rows = [(image, 0.0, info)]
    for action in actions:
        image, reward, terminated, truncated, info = env.step(action)
        rows.append((image, reward, info))
        if terminated or truncated:
            break
    factors = {k: np.stack([r[2]["factors"][k] for r in rows]) for k in rows[0][2]["factors"]}
    state = np.stack([r[2]["state"] for r in rows])
    return {"image": np.stack([r[0] for r in rows]), "reward": np.array([r[1] for r in rows]), "state": state, **factors}


def some_actions(env: Any, n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (n, *env.action_space.shape)).astype(np.float32)


def same(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[k], b[k]) for k in a)


@every_env
def test_gymnasium_contract(config: EnvConfig) -> None:
    env = envs.make(config, seed=0)
    image, info = env.reset(seed=1)
    assert env.observation_space.contains(image)
    assert image.shape == (64, 64, 3)
    assert image.dtype == np.uint8
    assert np.ptp(image) > 50, "a blank picture"
    assert info["frames"] == 0
    assert env.action_space.dtype == np.float32
    assert (env.action_space.low == -1).all()
    assert (env.action_space.high == 1).all()
    assert env.renderer in ("gl-egl", "gl-osmesa", "warp", "numpy")
    for action in some_actions(env, 3):
        image, reward, terminated, truncated, info = env.step(action)
        assert env.observation_space.contains(image)
        assert isinstance(reward, float)
        assert isinstance(terminated, bool)
        assert isinstance(truncated, bool)
        assert info["frames"] == config.action_repeat
        assert all(v.dtype == np.float32 and v.ndim == 1 for v in info["factors"].values())
    assert np.array_equal(env.render(), image)
    image[:] = 0
    assert env.render().any(), "the caller's copy is the caller's"
    env.close()
    env.close()


@every_env
def test_an_episode_is_a_function_of_seed_and_actions(config: EnvConfig) -> None:
    env, other = envs.make(config, seed=0), envs.make(config, seed=99)
    actions = some_actions(env, 6)
    first = roll(env, 7, actions)
    assert same(first, roll(other, 7, actions)), "another environment"
    roll(env, 8, some_actions(env, 3, seed=1))
    assert same(first, roll(env, 7, actions)), "after another episode, cut short"
    assert not np.array_equal(first["image"][0], roll(env, 8, actions)["image"][0])
    env.close()
    other.close()


@every_env
def test_resets_without_a_seed_follow_the_own_sequence(config: EnvConfig) -> None:
    starts = []
    for seed in (3, 3, 4):
        env = envs.make(config, seed=seed)
        starts.append([env.reset()[0] for _ in range(2)])
        env.close()
    assert np.array_equal(starts[0], starts[1])
    assert not np.array_equal(starts[0][0], starts[0][1]), "two episodes alike"
    assert not np.array_equal(starts[0][0], starts[2][0])


@every_env
def test_colours_do_not_move_the_task(config: EnvConfig) -> None:
    states = []
    for colours in ("none", "set1", "set2"):
        env = envs.make(dataclasses.replace(config, distract=envs.ColourConfig(colours=colours)), seed=0)  # type: ignore[arg-type]
        states.append(roll(env, 5, some_actions(env, 4)))
        env.close()
    assert np.array_equal(states[0]["state"], states[1]["state"])
    assert np.array_equal(states[0]["reward"], states[2]["reward"])
    assert not np.array_equal(states[0]["image"], states[1]["image"])
    assert not np.array_equal(states[1]["image"], states[2]["image"])


DISTRACTIONS = {
    "colour": "colour:hard,moving",
    "camera": "camera:hard,moving",
    "background": "background:noise,dynamic",
    "light": "light:hard,moving",
    "texture": "texture:all",
}


@every_env
def test_under_every_distraction_an_episode_is_a_function_of_seed_and_actions(config: EnvConfig) -> None:
    # Each that the world shows is a phase of one environment, and so are none and all together.
    bare = dataclasses.replace(config, distract=envs.ColourConfig(colours="none"))
    plain = envs.make(bare, 0)
    shown = [DISTRACTIONS[kind] for kind in DISTRACTIONS if kind in plain.scene.shows]
    plain.close()
    texts = ["none", *shown, "+".join(shown)]
    phased = dataclasses.replace(bare, phases=tuple(f"{i / len(texts):.3f}:{text}" for i, text in enumerate(texts)))
    env, other = envs.make(phased, 0), envs.make(phased, 1)
    actions = some_actions(env, 2)
    found = []
    for i in range(len(texts)):
        progress = (i + 0.5) / len(texts)
        elsewhere = Rollout(other, 2, "train_env", progress=progress).builder.episode()
        one, two = Rollout(env, 1, "train_env", progress=progress), Rollout(other, 1, "train_env", number=9)
        one.step(actions[0])
        two.restore(one.state())
        for rollout in (one, two):
            rollout.step(actions[1])
        first, again = (rollout.builder.episode() for rollout in (one, two))
        assert first.keys() == again.keys()
        assert all(np.array_equal(first[name], again[name]) for name in first), f"{texts[i]}: restored in mid-episode"
        assert not np.array_equal(first["image"][:1], elsewhere["image"]), f"{texts[i]}: another seed"
        found.append(first)
    for text, episode in zip(texts[1:], found[1:], strict=True):
        assert np.array_equal(episode["reward"], found[0]["reward"]), f"{text} moved the task"
        assert (episode["image"] != found[0]["image"]).any(axis=(1, 2, 3)).all(), f"{text} is not seen"
    env.close()
    other.close()


@every_env
def test_bad_actions_are_refused(config: EnvConfig) -> None:
    env = envs.make(config, seed=0)
    shape = env.action_space.shape
    with pytest.raises(DiswmError, match="reset"):
        env.step(np.zeros(shape, np.float32))
    env.reset(seed=0)
    for bad, word in ((np.full(shape, np.nan), "finite"), (np.full(shape, 1.01), "leaves"), (np.zeros(17), "shape")):
        with pytest.raises(DiswmError, match=word):
            env.step(bad)
    env.step(np.full(shape, 1.0 + 5e-7))
    env.close()


@every_env
def test_the_time_limit_truncates_and_cuts_the_repeat(config: EnvConfig) -> None:
    env = envs.make(dataclasses.replace(config, time_limit=5, action_repeat=2), seed=0)
    env.reset(seed=2)
    still = np.zeros(env.action_space.shape, np.float32)
    ends = [env.step(still) for _ in range(3)]
    assert [e[4]["frames"] for e in ends] == [2, 2, 1]
    assert [e[3] for e in ends] == [False, False, True]
    assert not any(e[2] for e in ends)
    assert ends[-1][4]["discount"] == 1.0
    with pytest.raises(DiswmError, match="over"):
        env.step(still)
    env.close()


@every_env
def test_a_simulation_that_diverges_is_named_and_another_episode_is_as_ever(config: EnvConfig) -> None:
    env = envs.make(dataclasses.replace(config, distract=envs.ColourConfig(colours="none")), seed=0)
    first, _ = env.reset(seed=7)
    env.step(some_actions(env, 1)[0])
    if not hasattr(env.scene, "_data"):
        pytest.skip("no simulator")
    env.scene._data.qvel[:] = 1e12  # MuJoCo calls more than 1e10 bad
    with pytest.raises(Unstable, match=rf"{config.task}.*unstable \(.+\) in step 2 of the episode of seed 7.*another --seed"):
        env.step(some_actions(env, 1)[0])
    with pytest.raises(DiswmError, match="over"):
        env.step(some_actions(env, 1)[0])
    assert np.array_equal(env.reset(seed=7)[0], first)
    env.close()

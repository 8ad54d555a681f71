"""One suite for every environment and renderer."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

from diswm import envs
from diswm.contract import DiswmError, Unstable
from diswm.envs import EnvConfig
from diswm.envs.factors import LEVELS, SPLITS
from diswm.envs.specs import COLOUR_NAMES, KINDS
from diswm.trainers.rollout import Rollout, action_size, random_action

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
    ("gym/Pendulum-v1", "gymnasium"),
]
"""One of each kind, for the whole contract; what is asked of every world is below, by `WORLDS`."""
every_env = pytest.mark.parametrize(
    "case", [pytest.param(case, id=name, marks=pytest.mark.xdist_group(name)) for case in CASES for name in ["-".join(case)]], indirect=True
)


class Case(NamedTuple):
    """Environments of one task and renderer: to make them costs more than all that is asked of them."""

    config: EnvConfig
    env: envs.ActionRepeat
    other: envs.ActionRepeat
    """Made with seed 3."""
    unbegun: str
    """What the other said to a step before its first reset."""
    own: list[np.ndarray]
    """How its first two episodes, of resets without a seed, began."""
    short: envs.ActionRepeat
    """Of 9 frames; without colours, and from the middle of the run on with those of set 2."""


@pytest.fixture(scope="module")
def case(request: pytest.FixtureRequest, config_of: Callable[[str, str], EnvConfig]) -> Iterator[Case]:
    config = config_of(*request.param)
    env, other = envs.make(config, seed=0), envs.make(config, seed=3)
    with pytest.raises(DiswmError) as refused:
        other.step(still(other))
    own = [other.reset()[0] for _ in range(2)]
    phases = () if config.task.startswith(envs.GYM) else ("0:none, 0.5:set2",)
    short = envs.make(dataclasses.replace(config, distract=envs.ColourConfig(colours="none"), phases=phases, time_limit=9), seed=0)
    yield Case(config, env, other, str(refused.value), own, short)
    for each in (env, other, short) * 2:  # twice is no harm
        each.close()


def still(env: Any) -> np.ndarray:
    return np.zeros(env.action_space.shape, np.float32)


def roll(env: Any, seed: int | None, actions: np.ndarray, progress: float = 0.0) -> dict[str, np.ndarray]:
    image, info = env.reset(seed=seed, options={"progress": progress})
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
    rng = np.random.default_rng(seed)
    return np.stack([random_action(rng, action_size(env), env.discrete) for _ in range(n)])


def same(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[k], b[k]) for k in a)


@every_env
def test_gymnasium_contract(case: Case) -> None:
    env = case.env
    image, info = env.reset(seed=1)
    assert env.observation_space.contains(image)
    assert image.shape == (64, 64, 3)
    assert image.dtype == np.uint8
    assert np.ptp(image) > 50, "a blank picture"
    assert info["frames"] == 0
    assert env.action_space.dtype == np.float32
    assert (env.action_space.low == -1).all()
    assert (env.action_space.high == 1).all()
    assert env.renderer in ("gl-egl", "gl-osmesa", "warp", "numpy", "gymnasium")
    for action in some_actions(env, 3):
        image, reward, terminated, truncated, info = env.step(action)
        assert env.observation_space.contains(image)
        assert isinstance(reward, float)
        assert isinstance(terminated, bool)
        assert isinstance(truncated, bool)
        assert info["frames"] == case.config.action_repeat
        assert all(v.dtype == np.float32 and v.ndim == 1 for v in info["factors"].values())
    assert np.array_equal(env.render(), image)
    image[:] = 0
    assert env.render().any(), "the caller's copy is the caller's"


@every_env
def test_an_episode_is_a_function_of_seed_and_actions(case: Case) -> None:
    env, actions = case.env, some_actions(case.env, 4)
    first = roll(env, 7, actions)
    assert same(first, roll(case.other, 7, actions)), "another environment"
    another = roll(env, 8, some_actions(env, 2, seed=1))
    assert same(first, roll(env, 7, actions)), "after another episode, cut short"
    assert not np.array_equal(first["image"][0], another["image"][0])


@every_env
def test_resets_without_a_seed_follow_the_own_sequence(case: Case) -> None:
    first, second = case.own
    assert np.array_equal(case.env.reset(seed=3)[0], first), "whether it is given at the start or with a reset"
    assert np.array_equal(case.env.reset()[0], second)
    assert not np.array_equal(first, second), "two episodes alike"
    assert not np.array_equal(case.env.reset(seed=4)[0], first)


@every_env
def test_colours_do_not_move_the_task(case: Case) -> None:
    if case.config.task.startswith(envs.GYM):
        pytest.skip("it is shown as it is")
    assert case.config.distract.colours == "set1"
    actions = some_actions(case.env, 3)
    none, set1, set2 = (roll(env, 5, actions, at) for env, at in ((case.short, 0.0), (case.env, 0.0), (case.short, 0.5)))
    for other in (set1, set2):
        assert np.array_equal(none["state"], other["state"])
        assert np.array_equal(none["reward"], other["reward"])
    assert not np.array_equal(none["image"], set1["image"])
    assert not np.array_equal(set1["image"], set2["image"])
    assert not np.array_equal(none["image"], set2["image"])


EVERY = ("colour:hard,moving", "camera:hard,moving", "background:noise,dynamic", "light:hard,moving", "texture:all")
WORLDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "toy": ("numpy", ("colour:easy,moving,train", "background:shapes,dynamic")),
    "toy_sparse": ("numpy", ("background:noise", "colour:color_hard,test")),
    "toy_terminal": ("numpy", ("colour:ted2", "background:video,dynamic,folder={films}")),
    "gym/CartPole-v1": ("gymnasium", ()),
    "gym/Pendulum-v1": ("gymnasium", ()),
    "acrobot_swingup": ("gl", ("background:video,dynamic,folder={stills}", "colour:set1")),
    "ball_in_cup_catch": ("gl", ("colour:set2", "camera:easy")),
    "cartpole_swingup": ("warp", ("background:video,dynamic,folder={films}", "light:easy")),
    "cheetah_run": ("gl", ("colour:ted1", "background:plain,ground=0.5")),
    "dog_walk": ("gl", ("texture:stripes", "colour:easy,moving")),
    "finger_spin": ("warp", ("camera:medium,roll", "texture:train")),
    "fish_swim": ("gl", ("background:image,folder={stills}", "colour:color_easy")),
    "hopper_hop": ("warp", ("light:medium,moving", "texture:test")),
    "humanoid_walk": ("gl", ("colour:medium,test", "background:shapes,dynamic,train")),
    "humanoid_CMU_walk": ("warp", ("camera:hard,position,test", "texture:dots")),
    "lqr_lqr_2_1": ("gl", ("background:easy", "colour:color_hard")),
    "manipulator_bring_ball": ("gl", ("light:hard,train", "camera:0.5,zoom,moving")),
    "pendulum_swingup": ("warp", ("background:medium,dynamic,test", "texture:rings")),
    "point_mass_easy": ("gl", ("colour:set2,static", "background:image")),
    "quadruped_escape": ("gl", ("camera:easy,moving",)),
    "quadruped_walk": ("warp", ("light:easy,test", "background:noise,ground=0")),
    "reacher_easy": ("gl", ("texture:waves", "background:hard,dynamic")),
    "stacker_stack_2": ("warp", ("texture:bricks", "colour:hard")),
    "swimmer_swimmer6": ("gl", ("camera:easy,train", "background:plain,dynamic")),
    "walker_walk": ("warp gl", EVERY),
    "pusher": ("warp gl", ("colour:set2,moving", "camera:hard,moving", "light:hard,moving")),
    "drawer_open": ("warp", ("texture:train", "light:medium")),
    "drawer_close": ("warp gl", ("colour:hard,moving", "camera:hard,moving", "light:hard,moving", "texture:all")),
}
"""Every world -> the renderers that draw it here, and distractions, each added to those before it. All kinds, sets and sources are there.

Of the worlds that either renderer draws one of each simulator is drawn by both, the others by one or the other."""
SHOWN = [((task, renderer), texts) for task, (renderers, texts) in WORLDS.items() for renderer in renderers.split()]


@pytest.fixture(scope="module")
def stills(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two clips of the layout of DAVIS, three pictures each."""
    root = tmp_path_factory.mktemp("davis")
    for clip in range(2):
        folder = root / "JPEGImages" / "480p" / f"clip{clip}"
        folder.mkdir(parents=True)
        for time in range(3):
            Image.fromarray(np.full((48, 86, 3), (40 + 60 * clip, 90, 10 + 40 * time), np.uint8)).save(folder / f"{time:05d}.jpg")
    return root


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two videos of three frames."""
    films = pytest.importorskip("films", reason="PyAV, h5py or pyarrow is not installed")
    root: Path = tmp_path_factory.mktemp("films")
    for clip in range(2):
        films.movie(root / f"clip{clip}.mp4", films.frames(3, 10 * clip))
    return root


@pytest.mark.parametrize(("drawn", "texts"), SHOWN, ids=["-".join(drawn) for drawn, _ in SHOWN])
def test_under_every_distraction_an_episode_is_a_function_of_seed_and_actions(
    drawn: tuple[str, str], texts: tuple[str, ...], config_of: Callable[[str, str], EnvConfig], request: pytest.FixtureRequest
) -> None:
    config = config_of(*drawn)
    # None, the first, the first two ... are the phases of one environment.
    folders = {name: request.getfixturevalue(name) for name in ("stills", "films") if f"{{{name}}}" in "".join(texts)}
    texts = tuple(text.format(**folders) for text in texts)
    shown = ["none", *("+".join(texts[: i + 1]) for i in range(len(texts)))]
    phases = tuple(f"{i / len(shown):.3f}:{text}" for i, text in enumerate(shown))
    phased = dataclasses.replace(config, distract=envs.ColourConfig(colours="none"), phases=phases)
    env, other = envs.make(phased, 0), envs.make(phased, 1)
    actions = some_actions(env, 2)
    found = []
    for i in range(len(shown)):
        progress = (i + 0.5) / len(shown)
        one, two = (Rollout(each, 1, "train_env", number, progress) for each, number in ((env, 0), (other, 9)))
        elsewhere = two.image
        one.step(actions[0])
        two.restore(json.loads(json.dumps(one.state())))
        for rollout in (one, two):
            rollout.step(actions[1])
        first, again = (rollout.builder.episode() for rollout in (one, two))
        assert first.keys() == again.keys()
        assert all(np.array_equal(first[name], again[name]) for name in first), f"{shown[i]}: restored in mid-episode"
        assert not np.array_equal(first["image"][0], elsewhere), f"{shown[i]}: another seed"
        found.append(first)
    for before, episode, text in zip(found, found[1:], texts, strict=False):
        assert np.array_equal(episode["reward"], found[0]["reward"]), f"{text} moved the task"
        assert (episode["image"] != before["image"]).any(axis=(1, 2, 3)).all(), f"{text} is not seen"
    env.close()
    other.close()


def test_every_world_and_every_distraction_has_a_case() -> None:
    pytest.importorskip("dm_control", reason="the dm_control suite is not installed")
    from diswm.envs.dmc import suite

    domain = {f"{domain}_{task}": domain for domain, task in suite.ALL_TASKS}
    own = [task for task in WORLDS if not task.startswith(envs.GYM)]
    assert {domain.get(task, task) for task in envs.tasks()} == {domain.get(task, task) for task in own}
    drawn = {(renderer, text.split(":")[0]) for (_, renderer), texts in SHOWN for text in texts}
    assert drawn >= {(renderer, kind) for renderer in ("warp", "gl") for kind in KINDS}
    values = {tuple(re.split("[:,]", text)[:2]) for _, texts in WORLDS.values() for text in texts}
    assert values >= {("colour", name) for name in COLOUR_NAMES if name != "none"} | {("texture", split) for split in SPLITS}
    assert values >= {(kind, level) for kind in ("camera", "background", "light") for level in LEVELS}
    assert values >= {("background", source) for source in ("video", "image", "shapes", "noise", "plain")}


@every_env
def test_bad_actions_are_refused(case: Case) -> None:
    assert "reset" in case.unbegun
    env, shape = case.env, case.env.action_space.shape
    env.reset(seed=0)
    for bad, word in ((np.full(shape, np.nan), "finite"), (np.full(shape, 1.01), "leaves"), (np.zeros(17), "shape")):
        with pytest.raises(DiswmError, match=word):
            env.step(bad)
    env.step(np.full(shape, 1.0 + 5e-7))


@every_env
def test_the_time_limit_truncates_and_cuts_the_repeat(case: Case) -> None:
    env = case.short
    env.reset(seed=2)
    ends = [env.step(still(env)) for _ in range(5)]
    assert [e[4]["frames"] for e in ends] == [2, 2, 2, 2, 1]
    assert [e[3] for e in ends] == [False, False, False, False, True]
    assert not any(e[2] for e in ends)
    assert ends[-1][4]["discount"] == 1.0
    with pytest.raises(DiswmError, match="over"):
        env.step(still(env))


@every_env
def test_a_simulation_that_diverges_is_named_and_another_episode_is_as_ever(case: Case) -> None:
    env = case.short
    if not hasattr(env.scene, "_data"):
        pytest.skip("no simulator")
    first, _ = env.reset(seed=7)
    env.step(some_actions(env, 1)[0])
    env.scene._data.qvel[:] = 1e12  # MuJoCo calls more than 1e10 bad
    with pytest.raises(Unstable, match=rf"{case.config.task}.*unstable \(.+\) in step 2 of the episode of seed 7.*another --seed"):
        env.step(some_actions(env, 1)[0])
    with pytest.raises(DiswmError, match="over"):
        env.step(some_actions(env, 1)[0])
    assert np.array_equal(env.reset(seed=7)[0], first)

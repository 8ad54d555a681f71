"""Gymnasium's environments as ours: pictures, actions, ends, and what is refused."""

from __future__ import annotations

import warnings
from typing import Any

import gymnasium
import numpy as np
import pytest
import worlds
from gymnasium import spaces
from test_contract import roll, same

from diswm import envs
from diswm.contract import DiswmError
from diswm.envs import ColourConfig, EnvConfig

DOORS = "gym/worlds:Doors-v0"


def make(task: str = DOORS, **settings: Any) -> Any:
    return envs.make(EnvConfig(task=task, **{"action_repeat": 1, **settings}), 0)


def choices(*numbers: int, of: int = 3) -> np.ndarray:
    return np.eye(of, dtype=np.float32)[list(numbers)]


def test_the_contract_with_choices() -> None:
    env = make()
    assert env.discrete
    assert env.renderer == "gymnasium"
    assert (env.action_space.shape, env.action_space.low.min(), env.action_space.high.max()) == ((3,), 0, 1)
    image, info = env.reset(seed=1)
    assert image.shape == (64, 64, 3)
    assert image.dtype == np.uint8
    assert info["factors"] == {}
    image, reward, terminated, truncated, info = env.step(choices(0)[0])
    assert env.observation_space.contains(image)
    assert (type(reward), type(terminated), type(truncated), info["frames"]) == (float, bool, bool, 1)
    assert info["state"].tolist() == env.scene._env.unwrapped._seen().tolist()
    assert np.array_equal(env.render(), image)
    env.close()


def test_the_whole_picture_is_stretched_to_the_square() -> None:
    env = make()
    image, _ = env.reset(seed=0)
    lit = env.scene._env.unwrapped.lit
    # Bars of a third of 64 columns, top to bottom; away from their edges the two greys are the picture's own.
    columns = image[:, :, 0].astype(int)
    assert (np.abs(columns - columns[:1]) <= 1).all()
    middles = [columns[32, int(64 * (k + 0.5) / 3)] for k in range(3)]
    assert middles == [255 if k == lit else 30 for k in range(3)]
    # Edges lie at 21.3 and 42.7, within a pixel: it gets a grey in between.
    assert ((columns[32] > 60) & (columns[32] < 220)).any(), "edges are smoothed"
    env.close()


def test_image_observations_are_the_picture() -> None:
    env = make("gym/worlds:Pictured-v0", image_size=32)
    image, info = env.reset(seed=0)
    assert image.shape == (32, 32, 3)
    assert np.unique(image).tolist() == [100 + 50 * env.scene._env.unwrapped.lit]
    assert info["state"].shape == (0,)
    assert not env.discrete
    env.close()


@pytest.mark.parametrize("shape", ["pixels among others", "the only picture", "channels first", "grey", "grey, channels first"])
def test_pictures_of_any_shape_are_found(shape: str) -> None:
    env = envs.wrap(worlds.Shown(shape), EnvConfig(action_repeat=1))
    for image in (env.reset(seed=0)[0], env.step(choices(0)[0])[0]):
        assert image.shape == (64, 64, 3)
        ends = image[[5, 60]][:, [5, 60]].tolist()  # by rows; away from the middle, where the halves meet
        assert ends == [[[60] * 3, [180] * 3]] * 2 if "grey" in shape else [[[200, 0, 0], [0, 0, 200]]] * 2


@pytest.mark.parametrize("shape", ["two pictures", "symbols", "a stack of four"])
def test_what_is_no_picture_is_not_taken_for_one(shape: str) -> None:
    with pytest.raises(DiswmError, match=r"no image observations \(uint8, grey or RGB, 32 x 32 at least\)"):
        envs.wrap(worlds.Shown(shape))


def test_an_observation_without_the_picture_that_it_promised_is_named() -> None:
    world = worlds.Shown("pixels among others")
    world.seen = {"speed": 0}
    with pytest.raises(DiswmError, match=r"gym/Shown: its observation failed \(KeyError\('pixels'\)\), .*check_env"):
        envs.wrap(world).reset(seed=0)


def test_numbers_are_scaled_to_the_bounds() -> None:
    env = make("gym/worlds:Pictured-v0")
    env.reset(seed=0)
    for action in ([-1, -1], [1, 1], [0, 0.5]):
        env.step(np.array(action, np.float32))
    assert np.array(env.scene._env.unwrapped.taken).tolist() == [[2, -1], [6, 1], [4, 0.5]]
    assert env.scene._env.unwrapped.taken[0].dtype == np.float32
    env.close()


def test_choices_are_the_numbers_of_the_space_and_nothing_but_one_hot_passes() -> None:
    class Shifted(worlds.Doors):
        start = 5

    env = envs.wrap(Shifted("rgb_array"), EnvConfig(action_repeat=1))
    env.reset(seed=0)
    for action in choices(0, 1, 2):
        env.step(action)
    assert env.scene._env.taken == [5, 6, 7]
    for bad in ([0, 0, 0], [1, 1, 0], [0.5, 0.5, 0], [-1, 1, 1], [2, -1, 0]):
        with pytest.raises(DiswmError, match=r"not one-hot.*one in 3"):
            env.step(np.array(bad, np.float32))


def test_true_ends_are_kept_and_the_own_limit_truncates() -> None:
    for right, expected in ((False, (4, True, False)), (True, (40, False, True))):
        env = make(action_repeat=1)
        env.reset(seed=0)
        world, steps, over = env.scene._env.unwrapped, 0, (False, False)
        while not any(over):
            number = world.lit if right else (world.lit + 1) % 3
            _, reward, *over, info = env.step(choices(number)[0])
            steps += 1
            assert reward == float(right)
        assert (steps, *over) == expected
        assert info["discount"] == (1.0 if right else 0.0)
        env.close()
    env = make(time_limit=7, action_repeat=3)
    env.reset(seed=0)
    world = env.scene._env.unwrapped
    world.wrong = -100
    frames = [env.step(choices(0)[0])[2:] for _ in range(3)]
    assert [f[2]["frames"] for f in frames] == [3, 3, 1]
    assert [f[:2] for f in frames] == [(False, False), (False, False), (False, True)]


def test_an_episode_is_a_function_of_seed_and_actions() -> None:
    env, other = make(), make()
    actions = choices(*np.random.default_rng(0).integers(3, size=6))
    first = roll(env, 7, actions)
    assert same(first, roll(other, 7, actions))
    assert not np.array_equal(first["state"], roll(env, 8, actions)["state"])
    starts = [tuple(env.reset()[1]["state"]) for _ in range(8)]
    assert len(set(starts)) > 1, "resets without a seed go on"
    seeds = []
    for seed in range(20):
        env.reset(seed=seed)
        seeds.append(env.scene._env.unwrapped.seed)
    assert len(set(seeds)) == 20
    assert 0 <= min(seeds) < max(seeds) < 2**31
    env.close()


def test_they_are_shown_as_they_are() -> None:
    """Colours that were not asked for are none, those that were are refused; so are the other distractions."""
    assert EnvConfig(task=DOORS).settled().distract == ColourConfig(colours="none", per="frame")
    assert EnvConfig(task=DOORS).settled().settled() == EnvConfig(task=DOORS).settled()
    assert envs.unseen(EnvConfig(task=DOORS).settled(), "set2").distract.colours == "none"
    for text in ("set2", "camera:easy", "background:noise"):
        with pytest.raises(DiswmError, match="cannot show the distraction"):
            envs.make(envs.with_distractions(EnvConfig(task=DOORS), [text]), 0)
    make(phases=("0:none, 0.5:none",)).reset(seed=0)


def test_one_that_exists_is_wrapped() -> None:
    env = envs.wrap(gymnasium.make("worlds:Doors-v0", render_mode="rgb_array"), EnvConfig(action_repeat=2, image_size=16), seed=3)
    image, _ = env.reset()
    assert image.shape == (16, 16, 3)
    assert env.scene.limit == 40
    with pytest.raises(DiswmError, match=r"gym/Doors: .*render_mode='rgb_array'"):
        envs.wrap(worlds.Doors())
    with pytest.raises(DiswmError, match="'CartPole-v1' is no Gymnasium environment"):
        envs.wrap("CartPole-v1")  # type: ignore[arg-type]
    assert envs.wrap(worlds.Pictured()).reset(seed=0)[0].shape == (64, 64, 3)


def test_a_class_of_a_script_is_registered_and_named() -> None:
    gymnasium.register("Mine-v0", entry_point=worlds.Doors, max_episode_steps=9)
    try:
        env = make("gym/Mine-v0")
        assert (env.reset(seed=0)[0].shape, env.scene.limit) == ((64, 64, 3), 9)
    finally:
        del gymnasium.registry["Mine-v0"]


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ("gym/CartPol-v1", "no Gymnasium environment 'CartPol-v1'. Did you mean CartPole-v1"),
        ("gym/CartPole-v77", "Did you mean CartPole-v1"),
        ("gym/worlds:Dors-v0", "Did you mean Doors-v0"),
        ("gym/no_such_module:Doors-v0", "no_such_module.*PYTHONPATH"),
        ("gym/", "cannot be made .Malformed environment ID"),
        ("gym/worlds:Unseen-v0", "nothing to see"),
    ],
)
def test_what_cannot_be_made_is_refused(task: str, words: str) -> None:
    with pytest.raises(DiswmError, match=words) as told:
        make(task)
    assert "\n" not in str(told.value).strip()


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*args: Any) -> None:
        raise gymnasium.error.DependencyNotInstalled('doors is not installed, run `pip install "gymnasium[doors]"`')

    env = make()
    monkeypatch.setattr(worlds.Doors, "render", missing)
    with pytest.raises(DiswmError, match=r"gym/Doors-v0: needs a package.*gymnasium\[doors\]"):
        env.reset(seed=0)
    monkeypatch.setattr(worlds.Doors, "__init__", missing)
    with pytest.raises(DiswmError, match=r"needs a package.*gymnasium\[doors\]"):
        make()


def break_it(env: Any) -> None:
    """Two steps: the first ones go well, but for one that draws nothing."""
    env.reset(seed=0)
    for action in choices(0, 0):
        env.step(action)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("raises", r"its step\(\) failed \(ZeroDivisionError"),
        ("nan", "the reward nan"),
        ("nan seen", "an observation with NaN"),
        ("blind", r"its render\(\) gave None\. Expected an \(H, W, 3\) uint8 array, .*render_mode='rgb_array'"),
    ],
)
def test_one_that_breaks_is_named(how: str, words: str) -> None:
    env = envs.wrap(worlds.Broken(how, "rgb_array"), EnvConfig(action_repeat=1))
    with pytest.raises(DiswmError, match=f"^gym/Broken: .*{words}.*check_env") as told:
        break_it(env)
    assert how == "blind" or f", 2 steps after reset(seed={env.scene._env.seed})." in str(told.value)


@pytest.mark.parametrize(
    ("picture", "words"),
    [
        ("text", "a str"),
        ([np.zeros((64, 64, 3), np.uint8)], "a list"),  # as render_mode="rgb_array_list" gives
        (np.zeros((64, 64, 3)), r"an array of float64, \(64, 64, 3\)"),
        (np.zeros((3, 64, 64), np.uint8), r"an array of uint8, \(3, 64, 64\)"),
    ],
)
def test_what_is_drawn_in_place_of_a_picture_is_named(picture: Any, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    env = make()
    monkeypatch.setattr(worlds.Doors, "render", lambda self: picture)
    with pytest.raises(DiswmError, match=rf"^gym/Doors-v0: its render\(\) gave {words}\. Expected an \(H, W, 3\) uint8 array"):
        env.reset(seed=0)


class Speed(gymnasium.Env[Any, Any]):
    """A picture and a number, which is NaN at one moment."""

    observation_space = spaces.Dict({"pixels": spaces.Box(0, 255, (32, 32, 3), np.uint8), "speed": spaces.Box(-1, 1, (1,))})
    action_space = spaces.Discrete(3)

    def __init__(self, bad: str):
        self.bad = bad

    def _seen(self, when: str) -> dict[str, Any]:
        return {"pixels": np.zeros((32, 32, 3), np.uint8), "speed": np.full(1, np.nan if when == self.bad else 0, np.float32)}

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        return self._seen("reset"), {}

    def step(self, action: Any) -> Any:
        return self._seen("step"), 0.0, False, False, {}


@pytest.mark.parametrize("bad", ["reset", "step"])
def test_a_part_that_is_no_number_is_named(bad: str) -> None:
    env = envs.wrap(Speed(bad), EnvConfig(action_repeat=1))
    with pytest.raises(DiswmError, match=rf"^gym/Speed: its {bad}\(\) gave an observation with NaN"):
        break_it(env)


class Nested(Speed):
    """Its numbers lie in a Tuple of a Dict and a choice, of different shapes."""

    observation_space = spaces.Tuple([spaces.Dict({"speed": spaces.Box(-1, 1, (2,))}), spaces.Discrete(3)])
    render_mode = "rgb_array"

    def _seen(self, when: str) -> Any:
        return {"speed": np.full(2, np.nan if when == self.bad else 0, np.float32)}, 1

    def render(self) -> Any:
        return np.zeros((32, 32, 3), np.uint8)


def test_observations_of_any_depth_are_looked_through() -> None:
    break_it(envs.wrap(Nested("never"), EnvConfig(action_repeat=1)))
    with pytest.raises(DiswmError, match=r"^gym/Nested: its step\(\) gave an observation with NaN"):
        break_it(envs.wrap(Nested("step"), EnvConfig(action_repeat=1)))


def test_one_whose_third_reset_fails_is_named() -> None:
    env = envs.wrap(worlds.Broken("third reset", "rgb_array"))
    env.reset(seed=0)
    env.reset(seed=1)
    with pytest.raises(
        DiswmError, match=r"^gym/Broken: its reset\(\) failed \(ConnectionResetError\('by peer'\)\), 0 steps after .*check_env"
    ):
        env.reset(seed=2)
    env.reset(seed=2)  # and may be tried again


@pytest.mark.parametrize(
    "space",
    [
        spaces.MultiDiscrete([2, 3]),
        spaces.MultiBinary(3),
        spaces.Dict({"a": spaces.Discrete(2)}),
        spaces.Tuple([spaces.Discrete(2)]),
        spaces.Box(-np.inf, np.inf, (2,)),
        spaces.Box(0, 5, (2,), np.int64),
        spaces.Box(0.0, 1.0, ()),
    ],
    ids=str,
)
def test_other_actions_are_refused(space: spaces.Space) -> None:
    with pytest.raises(DiswmError, match=r"gym/Spaced: its actions are.*TransformAction"):
        envs.wrap(worlds.Spaced(space, "rgb_array"))


def test_cartpole() -> None:
    pytest.importorskip("pygame", reason="pygame, which draws CartPole, is not installed")
    env = make("gym/CartPole-v1")
    assert env.scene.limit == 500
    image, _ = env.reset(seed=0)
    assert np.ptp(image) > 50
    over, total = False, 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        while not over:
            image, reward, over, truncated, info = env.step(choices(1, of=2)[0])
            total += reward
    assert 5 <= total <= 15, "always to the right: the pole falls in about ten steps"
    assert not truncated
    assert info["discount"] == 0.0
    env.close()

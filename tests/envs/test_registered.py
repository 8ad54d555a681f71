"""Our worlds, registered with Gymnasium for other libraries."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import diswm.envs.registered  # noqa: F401
from diswm import envs
from diswm.contract import DiswmError


def test_every_task_has_a_name() -> None:
    assert {name for name in gymnasium.registry if name.startswith("diswm/")} == {f"diswm/{task}-v0" for task in envs.tasks()}


@pytest.mark.filterwarnings("error::UserWarning")
def test_gymnasiums_own_checks_pass() -> None:
    check_env(gymnasium.make("diswm/toy-v0").unwrapped)


def test_settings_and_distractions_reach_the_world() -> None:
    env = gymnasium.make("diswm/toy-v0", distract="colour:set2,static", image_size=32, action_repeat=5, render_mode="rgb_array")
    image, _ = env.reset(seed=3)
    config = envs.with_distractions(envs.EnvConfig(task="toy", image_size=32, action_repeat=5), ["colour:set2,static"])
    ours = envs.make(config)
    expected, _ = ours.reset(seed=3)
    assert np.array_equal(image, expected)
    assert np.array_equal(env.render(), image)
    assert env.step(env.action_space.sample())[4]["frames"] == 5
    several = gymnasium.make_vec("diswm/toy-v0", num_envs=2, vectorization_mode="sync", image_size=32)
    assert several.reset(seed=0)[0].shape == (2, 32, 32, 3)


def test_a_world_is_bare_unless_distractions_are_named() -> None:
    colours = ["agent", "background", "target"]

    def seen(**settings: Any) -> tuple[set[str], np.ndarray]:
        env = gymnasium.make("diswm/toy-v0", action_repeat=1, **settings)
        frames = [env.reset(seed=seed)[1]["factors"] for seed in (0, 1)]
        frames.append(env.step(env.action_space.sample())[4]["factors"])
        return set(frames[0]), np.array([[frame[f"colour.{name}"] for name in colours] for frame in frames])

    plain, own = seen()
    assert (own == own[:1]).all(), "the toy's own colours, in every episode and at every step"
    assert np.allclose(own[0], [[0.9, 0.7, 0.2], [0.15, 0.25, 0.4], [0.8, 0.2, 0.2]])
    _, varied = seen(distract="colour:set1")
    assert (varied[0] != varied[1]).all()
    assert (varied[1] != varied[2]).any(), "colours of set 1 walk"
    names, kept = seen(distract=["background:noise"])
    assert names == plain | {"background.clip", "background.frame", "background.direction"}
    assert (kept == own).all(), "what is named is all there is"
    _, phased = seen(phases=("0:set1",))
    assert (phased[0] != phased[1]).all(), "phases name theirs"


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ({"image_sise": 32}, "no setting of toy 'image_sise'. Did you mean image_size"),
        ({"distract": ["camra:easy"]}, "Did you mean camera"),
        ({"render_mode": "human"}, "render_mode='human'"),
        ({"task": "toyy"}, "Did you mean toy"),
    ],
)
def test_what_there_is_not_is_refused(bad: dict[str, object], words: str) -> None:
    with pytest.raises(DiswmError, match=words):
        gymnasium.make("diswm/toy-v0", **bad)  # type: ignore[arg-type]


def test_the_module_comes_with_the_name_and_no_simulator() -> None:
    code = (
        "import sys, gymnasium\n"
        "gymnasium.make('diswm.envs.registered:diswm/toy-v0').reset(seed=0)\n"
        "heavy = [m for m in ('mujoco', 'dm_control', 'warp', 'OpenGL', 'torch') if m in sys.modules]\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr

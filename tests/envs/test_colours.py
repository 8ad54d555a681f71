"""The colour walk of spec C7, by its numbers."""

from __future__ import annotations

import numpy as np
import pytest

from diswm import envs
from diswm.contract import DiswmError
from diswm.envs.factors import MATERIALS, ColourConfig, ColourWalk


def walked(config: ColourConfig, n: int, seed: int = 0) -> np.ndarray:
    walk = ColourWalk(config, MATERIALS)
    walk.reset(np.random.default_rng(seed))
    out = [walk.values]
    for _ in range(n - 1):
        walk.move()
        out.append(walk.values)
    return np.stack(out)


@pytest.mark.parametrize(("name", "base"), [("set1", (0.7, 0.3, 0.5)), ("set2", (0.5, 0.7, 0.3))])
def test_colours_stay_in_their_box(name: str, base: tuple[float, float, float]) -> None:
    values = walked(ColourConfig(colours=name), 500)  # type: ignore[arg-type]
    assert values.shape == (500, 13, 3)
    assert np.abs(values - base).max() == pytest.approx(0.2)  # reached, never passed


def test_the_sets_are_disjoint_through_green_alone() -> None:
    (low1, high1), (low2, high2) = ColourConfig(colours="set1").box(), ColourConfig(colours="set2").box()
    assert high1[1] == pytest.approx(0.5)
    assert low2[1] == pytest.approx(0.5)  # they touch there
    for channel in (0, 2):
        assert max(low1[channel], low2[channel]) < min(high1[channel], high2[channel]) - 0.1


def test_the_walk_has_the_released_statistics() -> None:
    # In units of the half box (0.2): x' = clip(x + N(0, 1), -1, 1). Iterating this kernel on a grid of 2001 cells gives the
    # stationary law: 0.224 of the mass at each bound, variance 0.620 (so a standard deviation of 0.2 * sqrt(0.620) = 0.157) and an
    # autocorrelation of 0.145 at lag 4.
    values = walked(ColourConfig(), 20_000)[100:]
    centred = values - np.array([0.7, 0.3, 0.5])
    assert centred.std() == pytest.approx(0.1574, abs=0.001)
    assert np.mean(np.isclose(np.abs(centred), 0.2)) == pytest.approx(0.447, abs=0.005)
    lag4 = np.mean(centred[4:] * centred[:-4]) / np.mean(centred**2)
    assert lag4 == pytest.approx(0.145, abs=0.01)


def test_the_first_colours_are_uniform_and_independent() -> None:
    walk = ColourWalk(ColourConfig(), MATERIALS)
    draws = []
    for seed in range(2000):
        walk.reset(np.random.default_rng(seed))
        draws.append(walk.values)
    centred = np.stack(draws) - np.array([0.7, 0.3, 0.5])
    assert centred.std() == pytest.approx(0.4 / 12**0.5, abs=0.002)
    flat = centred.reshape(2000, -1)
    assert np.abs(np.corrcoef(flat.T) - np.eye(39)).max() < 0.12  # 1/sqrt(2000) = 0.022 each, the largest of 741


def moves(per: str, action_repeat: int, std: float = 0.2) -> np.ndarray:
    """Colours of the toy's background after reset and 4 steps."""
    distract = ColourConfig(per=per, step_std=std)  # type: ignore[arg-type]
    env = envs.make(envs.EnvConfig(task="toy", action_repeat=action_repeat, distract=distract), seed=0)
    rows = [env.reset(seed=1)[1]] + [env.step(np.zeros(2, np.float32))[4] for _ in range(4)]
    return np.stack([row["factors"]["colour.background"] for row in rows])


def test_when_the_walk_moves() -> None:
    by_frame, by_frame_once = moves("frame", 2), moves("frame", 1)
    assert np.array_equal(by_frame[:3], by_frame_once[::2]), "one move a frame, below the action repeat"
    by_step = moves("step", 2)
    assert np.array_equal(by_step, by_frame_once), "one move a step, whatever the repeat"
    for constant in (moves("episode", 2), moves("frame", 2, std=0.0)):
        assert (constant == constant[0]).all()
    assert np.array_equal(by_step[0], moves("episode", 2)[0])


@pytest.mark.usefixtures("warp")
def test_only_rgb_of_the_materials_changes_and_info_tells_what_is_drawn() -> None:
    env = envs.make(envs.EnvConfig(task="walker_walk", renderer="warp"), seed=0)
    model = env.scene._model
    alpha = model.mat_rgba[:, 3].copy()
    _, info = env.reset(seed=0)
    assert {name for name in info["factors"] if name.startswith("colour.")} == {f"colour.{m}" for m in MATERIALS}
    for _ in range(3):
        info = env.step(np.zeros(6, np.float32))[4]
    for name in MATERIALS:
        assert np.array_equal(model.material(name).rgba[:3].astype(np.float32), info["factors"][f"colour.{name}"])
    assert np.array_equal(model.mat_rgba[:, 3], alpha)
    env.close()


@pytest.mark.usefixtures("warp")
def test_none_keeps_the_colours_of_the_scene() -> None:
    env = envs.make(envs.EnvConfig(task="walker_walk", renderer="warp", distract=ColourConfig(colours="none")), seed=0)
    _, info = env.reset(seed=0)
    assert info["factors"]["colour.self"] == pytest.approx([0.7, 0.5, 0.3])
    env.close()


@pytest.mark.parametrize(
    "bad", [{"colours": "set3"}, {"per": "update"}, {"max_delta": 0.4}, {"max_delta": -0.1}, {"step_std": -1.0}, {"step_std": float("nan")}]
)
def test_bad_values_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(DiswmError, match=next(iter(bad))):
        ColourConfig(**bad)  # type: ignore[arg-type]

"""What environments draw stays in the published ranges: every value here is one that came in ``info["factors"]``.

The numbers are the papers' and not read from the configuration: boxes of 0.2 around the bases of DisWM's sets and of 0.1 in TED (Dunion
et al. 2023), and the Distracting Control Suite (Stone et al. 2021) at easy 0.1, medium 0.2 and hard 0.3.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from diswm import envs
from diswm.envs import EnvConfig

STRENGTHS = {"easy": 0.1, "medium": 0.2, "hard": 0.3}
SET1, SET2 = (0.7, 0.3, 0.5), (0.5, 0.7, 0.3)
ROUNDING = 1e-6  # factors are float32


def drawn(task: str, text: str, episodes: int, steps: int, settings: dict[str, Any] | None = None) -> dict[str, np.ndarray]:
    """Each factor of so many episodes, (episodes * (steps + 1), its numbers)."""
    env = envs.make(envs.with_distractions(EnvConfig(task=task, **(settings or {})), [text]))
    rows = []
    for seed in range(episodes):
        rows.append(env.reset(seed=seed)[1]["factors"])
        rows += [env.step(np.zeros(env.action_space.shape, np.float32))[4]["factors"] for _ in range(steps)]
    env.close()
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def colours(text: str, episodes: int = 60, steps: int = 4) -> np.ndarray:
    """Of the toy, (rows, materials, RGB)."""
    found = drawn("toy", text, episodes, steps, {"image_size": 8})
    return np.stack([found[f"colour.{name}"] for name in ("background", "agent", "target")], axis=1)


@pytest.mark.parametrize(
    ("text", "base", "delta"),
    [("set1", SET1, 0.2), ("set2", SET2, 0.2), ("ted1", SET1, 0.1), ("ted2", SET2, 0.1), ("set1,delta=0.1", SET1, 0.1)],
)
def test_colours_of_the_two_sets(text: str, base: tuple[float, ...], delta: float) -> None:
    apart = np.abs(colours(f"colour:{text}") - np.float32(base))
    assert apart.max() <= delta + ROUNDING
    assert apart.max(axis=(0, 1)).min() > 0.95 * delta, "and the whole box is used: 180 draws of each channel stay below with 0.95 ** 180"


@pytest.mark.parametrize("option", ["", ",moving"])
@pytest.mark.parametrize(("level", "delta"), STRENGTHS.items())
def test_colours_around_the_own_ones(level: str, delta: float, option: str) -> None:
    found, own = colours(f"colour:{level}{option}"), colours("none", 1, 0)
    assert found.min() >= 0.0
    assert found.max() <= 1.0
    apart = np.abs(found - own)
    assert apart.max() <= delta + ROUNDING
    assert apart.max() > 0.95 * delta
    walked = np.abs(np.diff(found.reshape(60, 5, 3, 3), axis=1)).max()
    # Two frames of a walk of 0.03 * delta: a standard deviation of 0.042 * delta, of 2,160 steps none beyond six of them.
    assert (walked == 0.0) if not option else 0.0 < walked < 6 * 0.0425 * delta


class NoPicture:
    """In place of a renderer: the values are drawn all the same."""

    name = "none"

    def __init__(self, *_: object):
        pass

    def reset(self) -> None: ...

    def draw(self, *_: object) -> np.ndarray:
        return np.zeros((64, 64, 3), np.uint8)

    def close(self) -> None: ...


@pytest.mark.parametrize("option", ["", ",moving"])
@pytest.mark.parametrize(("level", "scale"), STRENGTHS.items())
def test_cameras(level: str, scale: float, option: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("dm_control", reason="the dm_control suite is not installed")
    from diswm.envs import dmc

    monkeypatch.setattr(dmc, "make_renderer", NoPicture)
    found = drawn("cartpole_swingup", f"camera:{level}{option}", 60, 3)
    turn = np.pi / 2 * scale  # a quarter turn times the scale to each side; half as near and one and a half times as far
    bounds = {"azimuth": (-turn, turn), "elevation": (-turn, turn), "roll": (-turn, turn), "distance": (1 - 0.5 * scale, 1 + 1.5 * scale)}
    assert {name for name in found if name.startswith("camera.")} == {f"camera.{name}" for name in bounds}
    for name, (low, high) in bounds.items():
        values = found[f"camera.{name}"]
        assert low - ROUNDING <= values.min() < values.max() <= high + ROUNDING, name
        if name != "elevation":  # which is cut to what keeps the camera above the floor
            assert np.ptp(values) > 0.85 * (high - low), name
        moved = np.ptp(values.reshape(60, 4), axis=1)
        assert (moved > 0).any() if option else (moved == 0).all(), name

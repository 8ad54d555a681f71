"""Frames of the gallery: the pictures that an environment gives, the same states everywhere, and reasons in the place of failures."""

from __future__ import annotations

import numpy as np
import pytest

from diswm import envs
from diswm.contract import DiswmError
from diswm.matrix import Cell, cells
from diswm.pictures import worlds
from diswm.pictures.worlds import GAP, View, World, draw_world, named
from diswm.trainers.rollout import random_policy
from diswm.trainers.seeds import seed_of

CELLS = [
    Cell("none", "", ("none",)),
    Cell("colours", "hard", ("colour:hard",)),
    Cell("background, moving", "easy", ("background:easy,moving",)),
    Cell("all together", "easy", ("colour:easy", "light:easy")),
]


def by_hand(texts: tuple[str, ...], count: int, moves: bool) -> np.ndarray:
    """What `--distract` gives after GAP steps of each episode, or of one after GAP, 2 GAP, ... steps."""
    env = envs.make(envs.with_distractions(envs.EnvConfig(task="toy"), texts))
    frames = []
    for number in range(1 if moves else count):
        image, _ = env.reset(seed=seed_of(3, "gallery", number))
        policy = random_policy(3, 2, False, number)
        for step in range(1, (count if moves else 1) * GAP + 1):
            image = env.step(policy.act(image))[0]
            if step % GAP == 0:
                frames.append(image)
    return np.stack(frames)


def test_frames_are_those_of_the_environment() -> None:
    begun: list[str] = []
    world = draw_world("toy", CELLS, 3, 3, begun.append)
    assert (world.task, world.renderer, world.refused, world.views) == ("toy", "numpy", "", ())
    assert begun == ["none", "colours hard", "background, moving easy"]
    assert [strip.cell for strip in world.strips] == CELLS
    for strip, moves in zip(world.strips[:3], (False, False, True), strict=True):
        assert strip.moves is moves
        assert strip.frames is not None
        assert np.array_equal(strip.frames, by_hand(strip.cell.texts, 3, moves)), strip.cell
    assert world.strips[3].frames is None
    assert "cannot show the distraction light" in world.strips[3].refused


def test_of_distractions_together_those_are_drawn_that_the_world_shows() -> None:
    cell = Cell("all together", "easy", ("colour:easy", "camera:easy", "background:easy", "light:easy"))
    strip = draw_world("toy", [cell], 1, 3, lambda what: None).strips[0]
    assert strip.cell == Cell("all together", "easy", ("colour:easy", "background:easy")), "the toy has neither camera nor lights"
    assert np.array_equal(strip.frames, by_hand(strip.cell.texts, 1, False))


def test_what_cannot_be_made_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    world = draw_world("gym/Nowhere-v0", CELLS, 2, 0, lambda what: None)
    assert world.strips == ()
    assert "There is no Gymnasium environment 'Nowhere-v0'" in world.refused

    def broken(*_: object) -> None:
        raise DiswmError("no renderer can draw this")

    monkeypatch.setattr(worlds, "_strips", broken)
    assert draw_world("toy", CELLS, 2, 0, lambda what: None).refused == "no renderer can draw this"


def test_an_episode_that_ends_is_followed_by_the_next() -> None:
    # 8 frames, GAP apart, take 64 steps, more than random actions live there; without the next episode the end would raise.
    world = draw_world("toy_terminal", CELLS[2:3], 8, 0, lambda what: None)
    assert world.strips[0].frames is not None
    assert world.strips[0].frames.shape == (8, 64, 64, 3)


def test_differences_are_means_over_channels() -> None:
    # One channel of three differs by 30: 10 on average. The one that is refused has no part in it.
    black = np.zeros((2, 4, 4, 3), np.uint8)
    red = black.copy()
    red[..., 0] = 30
    world = World("x", views=(View("warp", "", red), View("gl", "", None, "no GL"), View("original", "", black)))
    assert world.differences() == {("warp", "original"): 10.0}


def test_tasks_are_named_once_and_known() -> None:
    assert named([]) == list(worlds.TASKS)
    assert set(envs.tasks()) < set(named(["all"]))
    assert named(["toy", "walker_walk", "toy"]) == ["toy", "walker_walk"]
    assert named(["drawer/open", "drawer_open", "pusher", "gym/CartPole-v1"]) == ["drawer_open", "pusher", "gym/CartPole-v1"]
    with pytest.raises(DiswmError, match=r"There is no task 'wlker_walk'\. Did you mean walker_walk"):
        named(["wlker_walk"])


@pytest.mark.usefixtures("gl")
def test_the_suites_own_renderer_is_near_gl() -> None:
    world = draw_world("cartpole_swingup", cells()[:1], 1, 0, lambda what: None)
    found = world.differences()
    assert found["gl", "original"] < 0.1, "0.01 when written: only a smaller shadow map and fewer triangles differ"
    assert world.views[2].by.startswith("dm_control's own renderer (shadow map 2048")

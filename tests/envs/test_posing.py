"""Frames with independent factors: what is drawn is what is shown and what the labels say."""

from __future__ import annotations

import numpy as np
import pytest

from diswm import envs
from diswm.contract import DiswmError
from diswm.envs import patterns, toy
from diswm.envs.posing import CLIPS, FactorWorld, world_of


def world(task: str, *texts: str, renderer: str = "auto") -> FactorWorld:
    return FactorWorld(envs.with_distractions(envs.EnvConfig(task=task, renderer=renderer), texts or ("colour:set1",)))  # type: ignore[arg-type]


def told(made: FactorWorld) -> np.ndarray:
    labels = made.labels()
    return np.array([labels[one.column][one.index] for one in made.factors])


def test_factors_of_the_toy_are_uniform_independent_and_shown() -> None:
    made = world("toy")
    values = made.sample(2_000, np.random.default_rng(0))
    low, high = np.array([[one.low, one.high] for one in made.factors]).T
    assert [one.name for one in made.factors] == list(toy.NAMES)
    # 2,000 uniform draws: the extremes lie within a hundredth of the range, correlations within 5 of their deviations of 1/sqrt(2000).
    assert (np.abs(values.min(0) - low) < 0.01 * (high - low)).all()
    assert (np.abs(values.max(0) - high) < 0.01 * (high - low)).all()
    assert np.abs(np.corrcoef(values, rowvar=False) - np.eye(14)).max() < 5 / np.sqrt(2_000)
    for row in values[:5]:
        made.apply(row)
        assert np.array_equal(made.frame(), toy.render_factors(row))
        assert told(made) == pytest.approx(row, abs=1e-6)


def test_what_is_not_distracted_is_no_factor() -> None:
    assert [one.name for one in world("toy", "none").factors] == list(toy.NAMES[:5])


def test_the_same_seed_draws_the_same() -> None:
    first, again = (world("toy").sample(3, np.random.default_rng(4)) for _ in range(2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, world("toy").sample(3, np.random.default_rng(5)))


def test_poses_that_overlap_are_drawn_anew() -> None:
    made = world("toy_terminal")
    for agent_x, agent_y, _, _, size in made.sample(200, np.random.default_rng(0))[:, :5]:
        assert max(abs(agent_x), abs(agent_y)) >= toy.HAZARD_HALF + size
    # The middle is barred to the agent in a square of about 0.72 and to the target in one of 0.68, of 1.6: (1 - 0.20) (1 - 0.18) = 0.65.
    assert made.accepted == pytest.approx(0.65, abs=0.12)


def test_tasks_of_one_body_are_one_world() -> None:
    assert world_of("walker_walk") == world_of("walker_run") == "walker"
    assert world_of("toy_sparse") == "toy"
    assert world_of("drawer_open") == world_of("drawer_close") == "drawer"
    assert world_of("finger_spin") != world_of("finger_turn_easy"), "the spinner's tip is marked in one of them"


def test_worlds_that_are_not_known_are_refused() -> None:
    with pytest.raises(DiswmError, match="not known here"):
        world("gym/CartPole-v1", "none")
    with pytest.raises(DiswmError, match="cannot show the distraction camera"):
        world("toy", "camera:easy")


def test_which_clip_is_behind_the_scene_is_a_class() -> None:
    made = world("toy", "background:shapes")
    assert [one.name for one in made.factors] == [*toy.NAMES[:5], "background.clip"]
    values = made.sample(60, np.random.default_rng(0))
    clips = np.unique(values[:, 5])
    assert len(clips) == CLIPS, "60 draws miss one of ten classes in one of 50 cases; this seed does not"
    assert f"{CLIPS} of {patterns.CLIPS} background clips are drawn" in made.note
    for row in values[:3]:
        made.apply(row)
        backdrop = patterns.frame("shapes", int(row[5]), 0, 64)
        pose = np.concatenate([row[:5], toy.DEFAULT_COLOURS.ravel()])
        assert np.array_equal(made.frame(), toy.render_factors(pose, backdrop=backdrop))
        assert told(made) == pytest.approx(row, abs=1e-6)


def test_a_colour_that_a_picture_hides_is_no_factor() -> None:
    made = world("toy", "colour:set1", "background:shapes,clips=2")
    names = [one.name for one in made.factors]
    assert "background.clip" in names
    assert "colour.agent.r" in names
    assert "colour.background.r" not in names
    assert made.fixed["colour.background"] == "moves the picture in 0% of frames"
    one = world("toy", "colour:set1", "background:shapes,clips=1")
    assert "background.clip" not in [factor.name for factor in one.factors], "one clip is no factor"


NUMBERS = {
    "reacher_easy": 2 + 2 + 15, "finger_spin": 3 + 12, "finger_turn_easy": 3 + 1 + 15, "cartpole_swingup": 2 + 9, "cheetah_run": 8 + 6,
    "walker_walk": 8 + 6, "hopper_hop": 6 + 6, "pusher": 11 + 6,
}  # fmt: skip
"""Pose and target; three channels of each material in sight."""


@pytest.mark.usefixtures("warp")
@pytest.mark.parametrize("task", NUMBERS)
def test_labels_are_what_was_drawn(task: str) -> None:
    made = world(task, renderer="warp")
    assert len(made.factors) == NUMBERS[task]
    values = made.sample(3, np.random.default_rng(1))
    for row in values:
        made.apply(row)
        assert told(made) == pytest.approx(row, abs=1e-5)
    first = made.frame()
    made.apply(values[0])
    assert (made.frame() != first).any()
    assert made.scene._data.time == 0.0, "nothing was stepped since the reset"
    made.close()


@pytest.mark.usefixtures("warp")
def test_the_gap_below_a_walker_is_the_one_that_was_drawn() -> None:
    import mujoco

    made = world("walker_walk", "camera:easy", renderer="warp")
    names = [one.name for one in made.factors]
    assert names[8:] == ["camera.azimuth", "camera.elevation", "camera.roll", "camera.distance"]
    model, data = made.scene._model, made.scene._data
    for row in made.sample(5, np.random.default_rng(2)):
        made.apply(row)
        floor = model.geom("floor").id
        gaps = [mujoco.mj_geomDistance(model, data, floor, i, 10.0, None) for i in range(model.ngeom) if i != floor]
        assert min(gaps) == pytest.approx(row[names.index("clearance")], abs=1e-4)
    assert made.fixed["joint.rootx"].startswith("the camera follows it")
    made.close()


@pytest.mark.usefixtures("warp")
def test_a_spinner_looks_the_same_after_half_a_turn() -> None:
    made = world("finger_spin", renderer="warp")
    (row,) = made.sample(1, np.random.default_rng(0))
    made.apply(row)
    shown = made.frame().astype(int)
    data, model = made.scene._data, made.scene._model
    data.qpos[2] += np.pi
    import mujoco

    mujoco.mj_forward(model, data)
    assert np.abs(made.frame() - shown).max() <= 4
    hinge = [one.name for one in made.factors].index("joint.hinge")
    assert told(made)[hinge] == pytest.approx(row[hinge], abs=1e-5)
    made.close()


@pytest.mark.usefixtures("warp")
def test_the_hand_of_drawer_world_is_where_it_was_asked_to_be() -> None:
    pytest.importorskip("metaworld", reason="metaworld is not installed")
    made = world("drawer_open", "texture:train", renderer="warp")
    names = [one.name for one in made.factors]
    assert {"drawer.place", "drawer.open", "hand.x", "hand.y", "hand.z"} <= set(names)
    for row in made.sample(3, np.random.default_rng(1)):
        made.apply(row)
        assert told(made) == pytest.approx(row, abs=2e-3)  # the arm is bent until the hand is within a millimetre
    made.close()

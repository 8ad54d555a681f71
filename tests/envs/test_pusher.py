"""Pusher against Gymnasium's own, stepped by hand, and its colours."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from diswm import envs
from diswm.contract import DiswmError
from diswm.envs import ColourConfig, EnvConfig

pytest.importorskip("mujoco", reason="mujoco is not installed")
pytest.importorskip("imageio", reason="imageio, which Gymnasium's MuJoCo worlds import, is not installed")
RECOLOURED = {"table": ["table"], "arm": ["uar", "ua", "ef", "sp", "fa", "sl", "e1", "e2"]}


def make(colours: str = "set1", renderer: str = "auto", **settings: Any) -> Any:
    distract = ColourConfig(colours=colours, per=settings.pop("per", "auto"))  # type: ignore[arg-type]
    return envs.make(EnvConfig(task="pusher", renderer=renderer, distract=distract, **settings), 0)  # type: ignore[arg-type]


def by_hand(seed: int) -> Any:
    """Gymnasium's environment at the start that this seed gives ours."""
    from gymnasium.envs.mujoco.pusher_v5 import PusherEnv

    hand = PusherEnv()
    hand.np_random = np.random.default_rng(np.random.SeedSequence(seed).spawn(2)[0])
    hand.reset()
    return hand


def test_rewards_are_the_exact_sums_of_gymnasium(renderer: str) -> None:
    env, hand = make(renderer=renderer, action_repeat=3), by_hand(5)
    _, info = env.reset(seed=5)
    for action in np.random.default_rng(0).uniform(-1, 1, (6, 7)).astype(np.float32):
        assert np.array_equal(info["state"], np.concatenate([hand.data.qpos, hand.data.qvel]).astype(np.float32))
        _, reward, _, _, info = env.step(action)
        assert reward == sum(hand.step(2.0 * action.astype(np.float64))[1] for _ in range(3))
    for name, body in (("object", "object"), ("goal", "goal")):
        assert info["factors"][name] == pytest.approx(hand.get_body_com(body)[:2])
    assert info["factors"]["joints"] == pytest.approx(hand.data.qpos[:7])
    env.close()


def test_an_episode_is_a_hundred_frames_and_never_terminates(renderer: str) -> None:
    env = make(renderer=renderer, action_repeat=30, time_limit=1000)
    env.reset(seed=0)
    ends = [env.step(np.ones(7, np.float32))[2:] for _ in range(4)]
    assert [end[2]["frames"] for end in ends] == [30, 30, 30, 10]
    assert [end[1] for end in ends] == [False, False, False, True]
    assert not any(end[0] for end in ends)
    env.close()


@pytest.mark.usefixtures("gl")
def test_the_picture_is_that_of_gymnasiums_own_renderer() -> None:
    from gymnasium.envs.mujoco.mujoco_rendering import OffScreenViewer
    from PIL import Image

    env, hand = make("none", "gl"), by_hand(2)
    image, _ = env.reset(seed=2)
    kept = env.scene.original()
    env.close()
    camera = {"trackbodyid": -1, "distance": 2.0, "elevation": -90.0, "lookat": np.array([0.0, -0.5, 0.2])}
    hand.model.geom_rgba[hand.model.body("object").geomadr[0]] = (0, 0, 0, 1)
    viewer = OffScreenViewer(hand.model, hand.data, 480, 480)
    for name, value in camera.items():
        setattr(viewer.cam, name, value)
    large = Image.fromarray(viewer.render("rgb_array"))
    viewer.close()
    expected = np.asarray(large.resize((64, 64), Image.Resampling.BICUBIC))
    # 0.09 levels of 255 when written: it is drawn at 320 there and 480 here. Without smoothing (64 directly) it would be 1.3. The arm,
    # which is painted here, has one grey in the place of two: 0.04.
    assert np.abs(image.astype(float) - expected).mean() < 0.14
    assert np.abs(image.astype(float) - kept.draw()).mean() < 0.1
    # The same renderer and size.
    assert np.abs(kept.draw().astype(float) - expected).mean() < 0.1


@pytest.mark.usefixtures("gl", "warp")
def test_the_two_renderers_agree() -> None:
    images = []
    for renderer in ("gl", "warp"):
        env = make(renderer=renderer)
        images.append(env.reset(seed=1)[0].astype(float))
        env.close()
    assert np.abs(images[0] - images[1]).mean() < 2.0


def colours_of(env: Any) -> dict[str, np.ndarray]:
    """What each geom is drawn with; those without a name by their body's."""
    model = env.scene._model
    return {(model.geom(i).name or model.body(model.geom_bodyid[i]).name): model.geom_rgba[i].copy() for i in range(model.ngeom)}


@pytest.mark.usefixtures("warp")  # the model is asked and no picture, so one renderer is enough
@pytest.mark.parametrize(("colours", "middle"), [("set1", (0.7, 0.3, 0.5)), ("set2", (0.5, 0.7, 0.3))])
def test_a_reset_recolours_table_and_arm_in_the_box_and_nothing_else(colours: str, middle: tuple[float, ...]) -> None:
    plain, env = make("none", "warp"), make(colours, "warp")
    own, seen = colours_of(plain), []
    for seed in range(20):
        _, info = env.reset(seed=seed)
        found = colours_of(env)
        for part, geoms in RECOLOURED.items():
            for geom in geoms:
                assert found[geom] == pytest.approx([*info["factors"][f"colour.{part}"], 1.0])
                assert np.abs(found[geom][:3] - middle).max() <= 0.2 + 1e-9
        seen.append(np.concatenate([info["factors"]["colour.table"], info["factors"]["colour.arm"]]))
        for geom in found.keys() - {"table", *RECOLOURED["arm"]}:
            assert np.array_equal(found[geom], own[geom]), geom
    assert own["object"].tolist() == [0, 0, 0, 1]
    assert own["goal"].tolist() == [1, 0, 0, 1]
    # Uniform, so a standard deviation of 0.4 / sqrt(12) = 0.115 each; table and arm apart.
    assert np.stack(seen).std(0) == pytest.approx(np.full(6, 0.115), abs=0.05)
    assert all(np.abs(row[:3] - row[3:]).max() > 0.01 for row in seen)
    plain.close()
    env.close()


@pytest.mark.parametrize(("per", "changes"), [("auto", False), ("episode", False), ("frame", True), ("step", True)])
def test_colours_hold_within_an_episode_unless_told_otherwise(per: str, changes: bool, renderer: str) -> None:
    env = make(renderer=renderer, per=per)
    before = env.reset(seed=0)[1]["factors"]["colour.table"]
    after = env.step(np.zeros(7, np.float32))[4]["factors"]["colour.table"]
    assert (not np.array_equal(before, after)) == changes
    env.close()


def test_moving_colours_move_here_too() -> None:
    assert envs.with_distractions(EnvConfig(task="pusher"), ["set2,moving"]).distract.per == "frame"
    assert envs.with_distractions(EnvConfig(task="pusher"), ["set2"]).settled().distract.per == "episode"
    assert EnvConfig(task="walker_walk").settled().distract.per == "frame"
    assert EnvConfig(task="pusher", phases=("0:set1, 0.5:set2",)).plan().phases[1].colour.per == "episode"


def test_camera_and_light_are_shown_and_other_distractions_refused(renderer: str) -> None:
    config = EnvConfig(task="pusher", renderer=renderer)  # type: ignore[arg-type]
    pictures = []
    for texts in (["none"], ["camera:medium"], ["light:medium"]):
        env = envs.make(envs.with_distractions(config, texts), 0)
        pictures.append(env.reset(seed=3)[0])
        env.close()
    assert not any(np.array_equal(pictures[0], other) for other in pictures[1:])
    for text in ("background:noise", "texture:all"):
        with pytest.raises(DiswmError, match=f"cannot show the distraction {text.split(':')[0]}"):
            envs.make(envs.with_distractions(config, [text]), 0)

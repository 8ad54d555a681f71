"""Distractions at work: what they change, what they leave, where their values stay, and that a seed is a picture."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from diswm import envs
from diswm.contract import DiswmError
from diswm.envs import ColourConfig, EnvConfig, patterns
from diswm.envs.factors import CameraConfig, ColourWalk, Drift, LightConfig, TextureConfig
from diswm.envs.scene import Look
from diswm.envs.view import rotation, turned_camera

ALL = ["colour:hard,moving", "camera:hard,moving", "light:hard,moving", "background:noise,dynamic", "texture:all"]
KINDS = [text.split(":")[0] for text in ALL]


def make(task: str, texts: list[str], **settings: Any) -> Any:
    return envs.make(envs.with_distractions(EnvConfig(task=task, **settings), texts), 0)


def in_turn(task: str, texts: Sequence[str], renderer: str) -> tuple[Any, dict[str, float]]:
    """One environment for several texts, as its phases, and the progress of each: to make one takes longer than to see through all."""
    phases = (", ".join(f"{i / len(texts):.3f}:{text}" for i, text in enumerate(texts)),)
    env = envs.make(EnvConfig(task=task, renderer=renderer, distract=ColourConfig(colours="none"), phases=phases), 0)  # type: ignore[arg-type]
    return env, {text: (i + 0.5) / len(texts) for i, text in enumerate(texts)}


@pytest.fixture(scope="module")
def pair_of() -> Iterator[Callable[[str], tuple[Any, Any]]]:
    """Two walkers under all distractions, drawn by a renderer."""
    made: dict[str, tuple[Any, Any]] = {}

    def find(renderer: str) -> tuple[Any, Any]:
        if renderer not in made:
            made[renderer] = make("walker_walk", ALL, renderer=renderer), make("walker_walk", ALL, renderer=renderer)
        return made[renderer]

    yield find
    for env in (env for pair in made.values() for env in pair):
        env.close()


def play(env: Any, seed: int, steps: int = 4, progress: float = 0.0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    image, info = env.reset(seed=seed, options={"progress": progress})
    rows = [(image, 0.0, info)]
    for _ in range(steps):
        image, reward, _, _, info = env.step(rng.uniform(-1, 1, env.action_space.shape).astype(np.float32))
        rows.append((image, reward, info))
    factors = {name: np.stack([row[2]["factors"][name] for row in rows]) for name in rows[0][2]["factors"]}
    return {
        "image": np.stack([row[0] for row in rows]),
        "reward": np.array([row[1] for row in rows]),
        "state": np.stack([row[2]["state"] for row in rows]),
        **factors,
    }


def test_each_distraction_changes_the_picture_and_nothing_else(renderer: str) -> None:
    env, turns = in_turn("cheetah_run", ["none", *ALL], renderer)
    plain = play(env, 1, steps=2, progress=turns["none"])
    for text, kind in zip(ALL, KINDS, strict=True):
        found = play(env, 1, steps=2, progress=turns[text])
        model, data = env.scene._model, env.scene._data
        head = model.vis.headlight
        fields = [data.cam_xpos, data.light_xdir, model.light_diffuse, head.ambient, head.diffuse, model.tex_data, model.geom_rgba]
        before = [field.copy() for field in fields]
        env.scene.draw()
        after = [data.cam_xpos, data.light_xdir, model.light_diffuse, head.ambient, head.diffuse, model.tex_data, model.geom_rgba]
        assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True)), f"{kind}: drawing changed the simulator"
        assert np.array_equal(found["state"], plain["state"]), kind
        assert np.array_equal(found["reward"], plain["reward"]), kind
        assert (found["image"] != plain["image"]).any(axis=(1, 2, 3)).all(), kind
        own = {name for name in found if name.split(".")[0] == kind}
        assert any(not np.array_equal(found[name], plain[name]) for name in own), kind
        for name in found.keys() - own - {"image", "phase"}:
            assert np.array_equal(found[name], plain[name]), f"{kind} moved {name}"
        assert all(found[name].dtype == np.float32 and found[name].ndim == 2 for name in own)
    env.close()


def test_a_seed_is_a_picture_and_another_is_another(renderer: str, pair_of: Callable[[str], tuple[Any, Any]]) -> None:
    env, other = pair_of(renderer)
    first = play(env, 1)
    elsewhere = play(other, 2)
    again = play(other, 1)
    assert all(np.array_equal(first[name], again[name]) for name in first)
    for name in ("colour.self", "camera.azimuth", "camera.roll", "camera.distance", "light.azimuth", "background.frame"):
        assert not np.array_equal(first[name], elsewhere[name]), name


@pytest.mark.usefixtures("warp")
def test_no_distraction_moves_the_draws_of_another(pair_of: Callable[[str], tuple[Any, Any]]) -> None:
    values = play(pair_of("warp")[0], 3)
    env, turns = in_turn("walker_walk", ALL, "warp")
    for text, kind in zip(ALL, KINDS, strict=True):
        alone = play(env, 3, progress=turns[text])
        own = [name for name in alone if name.split(".")[0] == kind]
        assert own, kind
        assert all(np.array_equal(alone[name], values[name]) for name in own), kind
    env.close()


@pytest.mark.usefixtures("warp", "gl")
def test_the_two_renderers_show_the_same_distraction() -> None:
    # They differ by smoothed edges, reflections and the texture's filter. The mean difference is 3 to 10 of 255 in the scene as it is;
    # another seed of the same distractions differs by 50 and more.
    texts = ["camera:hard", "background:noise", "colour:hard"]
    pair = [make("walker_walk", texts, renderer=renderer) for renderer in ("warp", "gl")]
    warp, gl, other = (env.reset(seed=seed)[0].astype(float) for env, seed in ((pair[0], 1), (pair[1], 1), (pair[0], 2)))
    assert np.abs(warp - gl).mean() < 10
    assert np.abs(warp - other).mean() > 30
    for env in pair:
        env.close()


def test_the_headlight_is_one_of_the_lights(renderer: str) -> None:
    # Cheetah's lamp hangs above and lights the floor; what is seen of the body is lit by the headlight: ambient 0.4 and diffuse 0.8.
    env = make("cheetah_run", ["none"], renderer=renderer)
    env.reset(seed=3)
    plain = env.scene.draw()
    sky, body = plain[:20], (plain[..., 0] > 100) & (plain[..., 2] < 100)
    assert body.sum() > 50, "it is orange"
    drawn = {name: env.scene.scene.draw(Look(light=np.array(light))) for name, light in LIGHTS.items()}
    assert np.array_equal(drawn["own"], plain), "bit for bit"
    assert np.array_equal(drawn["dark"][:20], sky), "the sky gives light and takes none"
    share = drawn["dark"][body].mean() / plain[body].mean()
    assert share == pytest.approx(0.4, abs=0.03)
    # The headlight shines along the floor, which takes 0.4 of it; leant over by 0.6 rad it shines down on it, 0.4 + 0.8 sin 0.6 = 0.85, or
    # up. The lamp leans to one side or the other, which is alike.
    down, up = (env.scene.scene.draw(Look(light=np.array([0.6, azimuth, 1.0])))[45:50].mean() for azimuth in (np.pi / 2, -np.pi / 2))
    assert down > 1.4 * up, "of the floor"
    env.close()


LIGHTS = {"own": (0.0, 0.0, 1.0), "dark": (0.0, 0.0, 0.4), "bright": (0.0, 0.0, 1.6), "leaning": (0.6, -2.0, 1.0), "both": (0.6, 1.0, 1.6)}
"""Tilt, azimuth (radians) and intensity, at the bounds of `light:hard`."""


@pytest.mark.usefixtures("warp", "gl")
@pytest.mark.parametrize("task", ["cheetah_run", "reacher_easy", "drawer_open"])
def test_both_renderers_light_a_scene_alike(task: str) -> None:
    # Reacher's floor and DrawerWorld's table are seen from straight above, where OpenGL clamps the light on a texture. A difference
    # of 2 to 10 of 255 is there without the distraction; without the clamp (`envs.lit`) bright light gave 45 and 60.
    pytest.importorskip("metaworld" if task == "drawer_open" else "dm_control", reason="the simulator is not installed")
    pictures = {}
    for renderer in ("warp", "gl"):
        env = make(task, ["none"], renderer=renderer)
        env.reset(seed=3)
        pictures[renderer] = {name: env.scene.scene.draw(Look(light=np.array(light))).astype(float) for name, light in LIGHTS.items()}
        env.close()
    near = {name: np.abs(pictures["warp"][name] - pictures["gl"][name]).mean() for name in LIGHTS}
    assert max(near.values()) < max(near["own"] + 6, 8), near
    changed = np.abs(pictures["gl"]["dark"] - pictures["gl"]["own"]).mean()
    assert changed > near["dark"], "less than the distraction itself"


def test_the_background_is_where_the_sky_was(renderer: str) -> None:
    # Reacher's floor is invisible in front of a background, walker's is opaque: the suite's opacities.
    reacher = make("reacher_easy", ["background:plain"], renderer=renderer)
    image, _ = reacher.reset(seed=0)
    (backdrop,) = [effect for _, effect in reacher.scene.effects]
    expected = backdrop.clips.frame(backdrop.clip, backdrop.time)
    same = (np.abs(image.astype(int) - expected) <= 1).all(axis=-1)
    assert 0.7 < same.mean() < 0.98, "all but the arm, the target and the walls"
    walker, turns = in_turn("walker_walk", ["none", "background:plain"], renderer)
    bare, image = (walker.reset(seed=0, options={"progress": progress})[0] for progress in turns.values())
    changed = (image != bare).any(axis=-1)
    assert changed[:20].mean() > 0.6, "the sky"
    assert changed[-8:].mean() < 0.05, "the floor"
    reacher.close()
    walker.close()


def test_the_floor_lets_the_background_through_by_its_opacity(renderer: str) -> None:
    # With opacity g a pixel of the floor is g times the floor's colour and (1 - g) times the background's: linear in g.
    env, turns = in_turn("walker_walk", [f"background:plain,ground={ground}" for ground in ("0", "0.5", "1")], renderer)
    images = [env.reset(seed=0, options={"progress": progress})[0].astype(float)[-6:, 40:] for progress in turns.values()]
    env.close()
    assert np.abs(images[0] - images[2]).mean() > 20
    assert np.abs(images[1] - (images[0] + images[2]) / 2).mean() < 4, "reflections, shadows and rounding aside"


def test_what_a_phase_puts_up_the_next_takes_down(renderer: str) -> None:
    config = EnvConfig(task="walker_walk", renderer=renderer, distract=ColourConfig(colours="none"))  # type: ignore[arg-type]
    switching = EnvConfig(
        task="walker_walk",
        renderer=renderer,  # type: ignore[arg-type]
        distract=ColourConfig(colours="none"),
        phases=("0:colour:easy+background:noise+texture:all+light:hard+camera:hard, 0.5:none",),
    )
    plain, env = envs.make(config, 0), envs.make(switching, 0)
    expected = plain.reset(seed=4)[0]
    env.reset(seed=4)
    image, info = env.reset(seed=4, options={"progress": 0.5})
    assert np.array_equal(image, expected)
    defaults = {"camera.distance": 1.0, "camera.roll": 0.0, "background.clip": -1.0, "texture": -1.0, "light.intensity": 1.0, "phase": 1.0}
    assert {name: info["factors"][name].tolist() for name in defaults} == {name: [value] for name, value in defaults.items()}
    plain.close()
    env.close()


@pytest.mark.parametrize("split", ["all", "train", "test"])
def test_a_moving_camera_stays_in_its_range(split: str) -> None:
    config = CameraConfig(0.3, moving=True, split=split)  # type: ignore[arg-type]
    bounds = np.array([factor.bounds(config.split) for factor in config.factors()]).T
    # 0.3 of a quarter turn is 27 degrees; half of 0.3 nearer, one and a half times 0.3 farther.
    turn = np.radians(27)
    assert bounds[:, 2:].tolist() == pytest.approx(np.array([[-turn, 0.85], [turn, 1.45]]))
    assert bounds[:, 0].tolist() == pytest.approx({"all": [-turn, turn], "train": [-turn, 0], "test": [0, turn]}[split])
    drift = config.drift()
    drift.reset(np.random.default_rng(0), *bounds)
    values = [drift.values]
    for _ in range(3000):
        drift.move()
        values.append(drift.values)
    path = np.array(values)
    assert (path >= bounds[0]).all()
    assert (path <= bounds[1]).all()
    assert (np.ptp(path, axis=0) > 0.5 * np.ptp(bounds, axis=0)).all(), "it goes about"
    # Per frame at most 0.1 * 0.3 of the distance sideways, and pi / 50 * 0.3 of roll.
    assert (np.abs(np.diff(path, axis=0)).max(axis=0) <= np.array([0.03, 0.03, np.pi / 50 * 0.3, 0.03]) + 1e-12).all()


def test_a_static_drift_stays() -> None:
    still = CameraConfig(0.3).drift()
    still.reset(np.random.default_rng(0), -np.ones(4), np.ones(4))
    before = still.values.copy()
    still.move()
    assert np.array_equal(still.values, before)
    assert Drift(np.ones(2), np.ones(2)).values.shape == (2,)


def test_the_camera_keeps_its_target_and_its_distance() -> None:
    pos, mat = np.array([0.0, -3.0, 1.0]), np.array([[1.0, 0, 0], [0, 0, -1.0], [0, 1.0, 0]])  # right, up, back; looks along +y
    same = turned_camera(pos, mat, 3.0, np.array([0.0, 0, 0, 1]))
    assert np.allclose(same[0], pos)
    assert np.array_equal(same[1], mat)
    target = np.array([0.0, 0.0, 1.0])
    for camera in np.random.default_rng(0).uniform([-1, 0, -1, 0.5], [1, 1, 1, 2], (20, 4)):
        there, axes = turned_camera(pos, mat, 3.0, camera)
        assert np.linalg.norm(there - target) == pytest.approx(3.0 * camera[3])
        assert np.allclose(np.cross(axes[:, 2], there - target), 0, atol=1e-9), "it looks at the target"
        assert np.allclose(axes @ axes.T, np.eye(3))
    # A quarter turn to the right ends on the x axis; the eighth of a turn up at 1 + 3 sin(45 degrees).
    assert np.allclose(turned_camera(pos, mat, 3.0, np.array([np.pi / 2, 0, 0, 1]))[0], [3.0, 0, 1])
    assert turned_camera(pos, mat, 3.0, np.array([0, np.pi / 4, 0, 1]))[0][2] == pytest.approx(1 + 3 * np.sqrt(0.5))
    assert np.allclose(rotation(np.array([0.0, 0, 1]), np.pi / 2) @ [1, 0, 0], [0, 1, 0])


@pytest.mark.usefixtures("warp")
def test_the_camera_stays_above_the_floor() -> None:
    env = make("cheetah_run", ["camera:1,moving"], renderer="warp")
    heights = []
    for seed in range(10):
        env.reset(seed=seed)
        pos, mat = env.scene._data.cam_xpos[0], env.scene.camera_axes()
        (turn,) = [effect for _, effect in env.scene.effects]
        heights.append(turned_camera(pos, mat, env.scene._distance, turn.drift.values)[0][2])
    assert min(heights) > 0.3
    env.close()


def test_train_and_test_sets_are_disjoint() -> None:
    for kind in (CameraConfig, LightConfig):
        (one,) = [factor for factor in kind().factors() if factor.parts_at is not None]
        assert one.bounds("train") == (one.low, 0.0)
        assert one.bounds("test") == (0.0, one.high)
    train, test = (set(patterns.part(len(patterns.FLOORS), split)) for split in ("train", "test"))
    assert (len(train), len(test), train & test) == (6, 3, set())
    assert set(patterns.part(patterns.CLIPS, "train")) & set(patterns.part(patterns.CLIPS, "test")) == set()
    own = np.array([[0.7, 0.5, 0.3], [0.05, 0.95, 0.5]])
    for name in ("own", "any"):
        (low1, high1), (low2, high2) = (ColourConfig(colours=f"{name}_{part}", max_delta=0.3).box(own) for part in ("train", "test"))  # type: ignore[arg-type]
        assert np.array_equal(high1[:, 1], low2[:, 1]), "they touch at one green"
        assert (low1 >= 0).all()
        assert (high2 <= 1).all()
        assert (low1[:, [0, 2]] == low2[:, [0, 2]]).all()
    assert TextureConfig().split == "all"


def test_colours_around_the_own_ones() -> None:
    own = np.array([[0.7, 0.5, 0.3], [0.05, 0.95, 0.5]])
    walk = ColourWalk(ColourConfig(colours="own", max_delta=0.1, step_std=0.003), ["a", "b"], own)
    assert np.allclose(walk.low, [[0.6, 0.4, 0.2], [0.0, 0.85, 0.4]])
    assert np.allclose(walk.high, [[0.8, 0.6, 0.4], [0.15, 1.0, 0.6]])
    walk.reset(np.random.default_rng(0))
    for _ in range(200):
        walk.move()
        assert (walk.values >= walk.low).all()
        assert (walk.values <= walk.high).all()


def test_the_toy_shows_colours_and_backgrounds_and_refuses_the_rest() -> None:
    env = make("toy", ["background:shapes,dynamic"])
    found = play(env, 1)
    plain = play(make("toy", ["none"]), 1)
    assert np.array_equal(found["reward"], plain["reward"])
    assert np.array_equal(np.abs(np.diff(found["background.frame"][:, 0])), [2, 2, 2, 2]) or 0 in found["background.frame"]
    changed = (found["image"] != plain["image"]).any(axis=-1).mean()
    assert changed > 0.5
    for text in ("camera:easy", "light:easy", "texture:all"):
        with pytest.raises(DiswmError, match=rf"numpy.*cannot show the distraction {text.split(':')[0]}"):
            make("toy", [text])


@pytest.mark.usefixtures("gl")
@pytest.mark.parametrize(("task", "text"), [("manipulator_bring_ball", "background:noise"), ("quadruped_escape", "texture:all")])
def test_what_would_not_be_seen_is_refused(task: str, text: str) -> None:
    with pytest.raises(DiswmError, match=f"cannot show the distraction {text.split(':')[0]}"):
        make(task, [text], renderer="gl")


@pytest.mark.usefixtures("warp")
def test_a_height_field_that_no_geom_shows_hides_nothing() -> None:
    # All of quadruped's tasks have quadruped_escape's height field in the model; in quadruped_walk nothing is made of it.
    env, turns = in_turn("quadruped_walk", ["none", "background:noise", "texture:dots"], "warp")
    pictures = {text: env.reset(seed=1, options={"progress": progress})[0] for text, progress in turns.items()}
    env.close()
    sky, floor = slice(0, 10), slice(50, 64)  # rows of the picture; with a background the floor is half see-through
    for rows, text in ((sky, "background:noise"), (floor, "texture:dots")):
        assert (pictures[text] != pictures["none"]).any(axis=-1)[rows].mean() > 0.9, text
    assert np.array_equal(pictures["texture:dots"][sky], pictures["none"][sky])


def test_info_tells_what_is_drawn(renderer: str, pair_of: Callable[[str], tuple[Any, Any]]) -> None:
    env, _ = pair_of(renderer)
    env.reset(seed=5)
    image, _, _, _, info = env.step(np.zeros(6, np.float32))
    told = {name: float(value[0]) for name, value in info["factors"].items()}
    camera = np.array([told[f"camera.{name}"] for name in ("azimuth", "elevation", "roll", "distance")])
    light = np.array([told[f"light.{name}"] for name in ("tilt", "azimuth", "intensity")])
    backdrop = patterns.frame("noise", int(told["background.clip"]), int(told["background.frame"]), 64)
    again = env.scene.scene.draw(Look(camera, light, backdrop, 1.0, int(told["texture"])))
    assert np.abs(again.astype(int) - image).mean() < 0.05, "but for the rounding of factors to float32"
    other = env.scene.scene.draw(Look(camera + 0.05, light, backdrop, 1.0, int(told["texture"])))
    assert np.abs(other.astype(int) - image).mean() > 1


def test_info_tells_the_frame_that_is_drawn() -> None:
    env = make("toy", ["background:noise,dynamic"])
    env.reset(seed=0)
    for _ in range(3):
        image, _, _, _, info = env.step(np.zeros(2, np.float32))
        clip, time = (int(info["factors"][name][0]) for name in ("background.clip", "background.frame"))
        assert np.array_equal(image[0, 0], patterns.frame("noise", clip, time, 64)[0, 0])


def test_info_tells_where_the_clip_plays_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patterns, "FRAMES", 6)
    env = make("toy", ["background:shapes,dynamic"], action_repeat=1)
    begins = set()
    for seed in range(8):
        found = play(env, seed, steps=12)
        times, directions = found["background.frame"][:, 0], found["background.direction"][:, 0]
        assert np.array_equal(np.diff(times), directions[1:]), "a frame on, to where the label says; at an end it says the other"
        assert set(directions) == {-1.0, 1.0}, "it turned at an end"
        begins.add(directions[0])
    assert begins == {-1.0, 1.0}, "drawn: eight alike come once in 128"
    still = play(make("toy", ["background:shapes"]), 0)
    assert (still["background.direction"] == 0).all()

"""Fewer triangles: pictures stay those of MuJoCo's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from diswm import envs
from diswm.envs import ColourConfig, EnvConfig, detail, render

pytestmark = pytest.mark.usefixtures("gl")
PLAIN = ColourConfig(colours="none")


class Whole:
    """In the place of `Detail`: all triangles."""

    def __init__(self, *about: Any) -> None:
        pass

    def show(self, *about: Any) -> None:
        pass

    def reset(self) -> None:
        pass


def drawn(task: str, steps: int = 0) -> tuple[np.ndarray, Callable[[], np.ndarray]]:
    """A picture, and what draws dm_control's of the same state."""
    env = envs.make(EnvConfig(task=task, renderer="gl", distract=PLAIN), 0)
    image, _ = env.reset(seed=2)
    for _ in range(steps):
        image = env.step(np.full(env.action_space.shape, 0.5, np.float32))[0]
    kept = env.scene.original()
    env.close()
    return image, kept.draw


# Thin rails in line with the pixels; a string of many small capsules; two lights with shadows, and a ball with a picture on it.
@pytest.mark.parametrize("task", ["cartpole_swingup", "ball_in_cup_catch", "quadruped_fetch", "quadruped_escape"])
def test_pictures_are_near_those_of_dm_control(task: str) -> None:
    image, original = drawn(task, steps=5)
    assert np.abs(image.astype(float) - original()).mean() < 0.1  # 0.09, 0.04, 0.07, 0.07 when written


def test_a_picture_has_fewer_triangles_and_is_near(monkeypatch: pytest.MonkeyPatch) -> None:
    image, _ = drawn("humanoid_walk")
    monkeypatch.setattr(render, "Detail", Whole)
    expected, _ = drawn("humanoid_walk")
    assert not np.array_equal(image, expected), "it has fewer"
    assert np.abs(image.astype(float) - expected).mean() < 0.1  # a floor without texture would give 11


def uploading(show: Callable[..., None]) -> Callable[..., None]:
    """What prepares a picture, after MuJoCo's own way of taking up new heights."""
    import mujoco

    def shown(detail: Any, *about: Any) -> None:
        mujoco.mjr_uploadHField(detail._model, detail._context, 0)
        show(detail, *about)

    return shown


def test_terrain_is_drawn_as_mujoco_draws_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detail, "_RAYS", False)  # as it is without numba
    image, _ = drawn("quadruped_escape")
    monkeypatch.setattr("diswm.envs.terrain.Terrain.whole", lambda *about: None)
    monkeypatch.setattr(render.Detail, "show", uploading(render.Detail.show))
    expected, _ = drawn("quadruped_escape")
    # The last bit of a height may differ, and so in the shadow's grain single pixels.
    assert (image != expected).any(2).sum() <= 5


def test_terrain_in_what_is_seen_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numba")
    phases = ("0:none, 0.3:light:hard, 0.6:camera:hard,moving",)
    # The floor is hidden by the terrain in one of these, and mirrors it in another; the last has its camera in a hill in the end.
    # Of many steps every fourth is drawn.
    ways = [(0, 0.0, 3), (16, 0.0, 3), (3, 0.3, 24), (3, 0.6, 24)]
    pictures: list[list[np.ndarray]] = []
    for rays in (True, False):
        monkeypatch.setattr(detail, "_RAYS", rays)
        env = envs.make(EnvConfig(task="quadruped_escape", renderer="gl", distract=PLAIN, phases=phases), 0)
        pictures.append([])
        for seed, progress, steps in ways:
            frames = [env.reset(seed=seed, options={"progress": progress})[0]]
            for step in range(1, steps + 1):
                drawn = steps < 4 or step % 4 == 0
                with monkeypatch.context() as blind:
                    if not drawn:
                        blind.setattr(env.scene, "draw", lambda image=frames[-1]: image)
                    image = env.step(np.full(env.action_space.shape, 0.5, np.float32))[0]
                frames += [image] * drawn
            pictures[-1].append(np.array(frames, float))
        env.close()
    for way, one, other in zip(ways, *pictures, strict=True):
        differ = np.abs(one - other).mean((1, 2, 3))
        assert 0.0 < differ.max() < 0.05, f"{way}: without its shadows 1.3, without the floor more"


TURNED = 'euler="8 -5 60" pos="0 0 -.1"'
FLOOR = '<geom type="plane" size="5 5 .1" pos="0 0 .2" material="mirror" rgba=".5 .6 .7 1"/>'


def with_field(geoms: str, camera: str = 'pos=".3 -4 2" xyaxes="1 0 0 0 .4 .9"', light: str = 'pos="1 0 4" dir="-.3 .1 -1"') -> Any:
    """A model with a field "h" of waves, 6 x 4 m and up to 0.8 m high, and its state."""
    import mujoco

    model = mujoco.MjModel.from_xml_string(f"""<mujoco><asset><material name="mirror" reflectance=".4"/>
      <hfield name="h" nrow="37" ncol="21" size="3 2 .8 .1"/></asset><worldbody>
      <light {light} cutoff="40" diffuse=".5 .5 .5"/><light pos="-1 -1 3" dir=".2 .3 -1" cutoff="50" diffuse=".4 .4 .4"/>
      <camera {camera}/>{geoms}</worldbody></mujoco>""")
    x, y = np.meshgrid(np.linspace(0, 9, 21), np.linspace(0, 14, 37))
    model.hfield_data[:] = (0.5 + 0.25 * np.sin(x) + 0.25 * np.cos(y)).ravel()
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    return model, data


@pytest.mark.parametrize(
    ("geoms", "about"),
    [
        (f'<geom type="hfield" hfield="h" {TURNED}/>{FLOOR}<geom type="plane" size="2 2 .1" pos="0 4 0"/><geom size=".3"/>', {}),
        ('<geom type="hfield" hfield="h" rgba=".8 .7 .5 .5"/><geom type="plane" size="5 5 .1" pos="0 0 -.2"/>', {}),
        ('<geom type="hfield" hfield="h"/><geom type="box" size="1 1 .1" pos="0 -2 1" material="mirror"/>', {}),
        ('<geom type="hfield" hfield="h"/><geom type="hfield" hfield="h" pos="1 6 0"/>', {}),
        (f'<geom type="hfield" hfield="h" euler="90 0 0" pos="0 1 0"/>{FLOOR}', {"light": 'pos="0 4 2" dir="0 -1 -.5"'}),
        (f'<geom type="hfield" hfield="h"/>{FLOOR}<geom type="plane" size="5 5 .1" pos="0 0 -.3" rgba=".9 .2 .2 1"/>', {}),
        ('<geom type="hfield" hfield="h"/>', {"camera": 'pos="0 -3 .9" xyaxes="1 0 0 0 .1 1"', "light": 'pos="0 1.9 1.5" dir="0 -.8 -.5"'}),
    ],
    ids=["turned, mirrored, two lights", "translucent", "seen in a box", "one field twice", "on edge", "a floor under a mirror", "low"],
)  # fmt: skip
def test_fields_of_all_kinds(monkeypatch: pytest.MonkeyPatch, geoms: str, about: dict[str, str]) -> None:
    pytest.importorskip("numba")
    pictures = []
    for rays in (True, False):
        monkeypatch.setattr(detail, "_RAYS", rays)
        renderer = render.GLRenderer(*with_field(geoms, **about), 0, 64)
        pictures.append(renderer.draw().astype(float))
        renderer.close()
    assert np.abs(pictures[0] - pictures[1]).mean() < 0.1
    assert len(np.unique(pictures[1].reshape(-1, 3), axis=0)) > 50, "there is much to see"


def test_without_a_numba_that_works_all_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "numba", None)  # importing it fails
    renderer = render.GLRenderer(*with_field('<geom type="hfield" hfield="h"/>'), 0, 64)
    assert renderer._detail._samples is None
    assert renderer.draw().std() > 5.0
    renderer.close()


@pytest.fixture
def walker() -> Iterator[envs.ActionRepeat]:
    made = envs.make(EnvConfig(task="humanoid_walk", renderer="gl", distract=PLAIN), 0)
    yield made
    made.close()


def test_a_picture_does_not_depend_on_where_the_camera_was(walker: envs.ActionRepeat) -> None:
    first, _ = walker.reset(seed=2)
    data, model = walker.scene._data, walker.scene._model
    from mujoco import mj_forward

    pictures = []
    for x in (30.0, 0.0):  # another part of the floor is fine, and back
        data.qpos[0] = x
        mj_forward(model, data)
        pictures.append(walker.scene.draw())
    assert not np.array_equal(pictures[0], first)
    assert np.array_equal(pictures[1], first)


def test_lists_of_shapes_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    env = envs.make(EnvConfig(task="ball_in_cup_catch", renderer="gl", distract=PLAIN), 0)
    first, _ = env.reset(seed=2)
    lists = env.scene._renderer._detail._lists
    before = len(lists)
    assert before, "the string's parts are small"
    monkeypatch.setattr("diswm.envs.detail._MOST", 0)
    assert np.array_equal(env.scene.draw(), first)
    assert len(lists) == before
    env.close()

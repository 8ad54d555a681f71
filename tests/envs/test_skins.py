"""Skins in fewer triangles: pictures stay as they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from diswm.envs import covering, render, skins
from diswm.envs.perspective import View, Views

pytestmark = pytest.mark.usefixtures("gl")
ROUND, TALL = 60, 40


def ball(
    light: str = "", way: str = "-.1 .1 -1", colour: str = "1 .6 .3 1", size: float = 0.4, at: str = "0.3 0.2 3", camera: str = "",
    bowl: bool = False, inward: bool = False,
) -> Any:  # fmt: skip
    """A model whose skin is a dented ball of 2 x 60 x 39 = 4,680 triangles above a floor that mirrors it, and its state. A ``bowl`` has
    the lower half of them; ``inward`` they are seen from the inside."""
    import mujoco

    around, up = np.meshgrid(np.arange(ROUND) * 2 * np.pi / ROUND, np.linspace(-np.pi / 2, np.pi / 2, TALL))
    radius = size * (1 + 0.15 * np.sin(5 * around) * np.cos(3 * up))
    places = radius[..., None] * np.stack([np.cos(around) * np.cos(up), np.sin(around) * np.cos(up), np.sin(up)], -1)
    row, column = np.meshgrid(np.arange(TALL - 1), np.arange(ROUND), indexing="ij")
    a, b = row * ROUND + column, row * ROUND + (column + 1) % ROUND
    faces = np.concatenate([np.stack([a, b, a + ROUND], -1), np.stack([b, b + ROUND, a + ROUND], -1)])
    faces = faces[up.ravel()[faces].max(-1) < 0] if bowl else faces
    faces = faces[..., ::-1] if inward else faces
    text = [" ".join(map(str, array.ravel())) for array in (places.round(5), faces, np.arange(ROUND * TALL), np.ones(ROUND * TALL))]
    model = mujoco.MjModel.from_xml_string(f"""<mujoco><asset><material name="mirror" reflectance="0.4"/></asset><worldbody>
      <light pos="{at}" dir="{way}" cutoff="40" {light}/>
      <camera pos="0 -3 1.2" xyaxes="1 0 0 0 .3 .95" {camera}/>
      <geom type="plane" size="3 3 .1" material="mirror"/>
      <body name="b" pos="0 0 .8" quat="1 .2 .1 .3"><joint type="ball"/><geom type="sphere" size=".1" group="4"/></body></worldbody>
      <deformable><skin vertex="{text[0]}" face="{text[1]}" rgba="{colour}"><bone body="b" bindpos="0 0 0" bindquat="1 0 0 0"
      vertid="{text[2]}" vertweight="{text[3]}"/></skin></deformable></mujoco>""")
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    return model, data


def drawn(world: Any, size: int = 64) -> tuple[np.ndarray, int]:
    """The picture, and of how many triangles the skin in it was."""
    renderer = render.GLRenderer(*world, 0, size)
    image, count = renderer.draw().astype(float), int(renderer._scene.skinfacenum[0])
    renderer.close()
    return image, count


def whole(monkeypatch: pytest.MonkeyPatch, world: Any, size: int = 64) -> np.ndarray:
    """The picture of all triangles."""
    with monkeypatch.context() as patch:
        patch.setattr(skins.Skins, "show", lambda *_: None)
        image, count = drawn(world, size)
    assert count == world[0].nskinface
    return image


@pytest.mark.parametrize("size", [32, 64, 100])
def test_the_picture_stays(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    world = ball()
    expected = whole(monkeypatch, world, size)
    image, count = drawn(world, size)
    assert count < 0.9 * 2 * ROUND * (TALL - 1)
    # A triangle may be placed otherwise by a 256th of a pixel: single samples.
    assert (np.abs(image - expected).max(2) > 3).sum() <= 2
    assert np.abs(image - expected).mean() < 0.01


def test_each_view_needs_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    world = ball()
    expected = whole(monkeypatch, world)
    needed = skins._needed

    def off() -> float:
        return float(np.abs(drawn(world)[0] - expected).mean())

    def without(change: Callable[[Views], Views]) -> float:
        monkeypatch.setattr(skins, "_needed", lambda places, corners, views, closed: needed(places, corners, change(views), closed))
        return off()

    assert without(lambda views: views._replace(mirrors=[])) > 0.1
    # From 300 m above all lie between the samples: what is left is what the others need.
    far = np.array([0.0, 0.0, 300.0], np.float32)
    assert without(lambda views: views._replace(camera=views.camera._replace(eye=far))) > 0.1
    assert without(lambda views: views._replace(maps=[only._replace(eye=far) for only in views.maps])) > 0.1


@pytest.mark.parametrize(
    "about",
    [{"bowl": True}, {"inward": True}, {"at": "0 0 .8"}],
    ids=["a bowl", "a ball from inside", "a lamp"],
)
def test_what_faces_away_from_the_light_casts_a_shadow_too(monkeypatch: pytest.MonkeyPatch, about: dict[str, Any]) -> None:
    world = ball(**about)
    image, count = drawn(world)
    assert count < world[0].nskinface
    assert (np.abs(image - whole(monkeypatch, world)).max(2) > 3).sum() <= 2


@pytest.mark.parametrize(
    "about",
    [
        {"light": 'directional="true"'},
        {"way": "-1 .01 0"},
        {"colour": "1 .6 .3 .5"},
        {"camera": 'projection="orthographic" fovy="2"'},
        {"camera": 'resolution="64 64" focal=".5 .5" sensorsize=".9 .6" principal=".1 .05"'},
    ],
)
def test_where_it_cannot_be_known_all_are_drawn(monkeypatch: pytest.MonkeyPatch, about: dict[str, str]) -> None:
    world = ball(**about)
    image, count = drawn(world)
    assert count == 2 * ROUND * (TALL - 1)
    assert np.array_equal(image, whole(monkeypatch, world))


def test_a_skin_around_the_camera_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    world = ball(size=3.2)  # the camera is 3 m away, and the ball 2.7 to 3.7: some of it lies behind
    assert np.abs(drawn(world)[0] - whole(monkeypatch, world)).mean() < 0.01


def test_what_lies_behind_a_camera_is_not_drawn_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import mujoco

    model, data = ball()
    model.cam_pos[0] = 0.0, 3.0, 1.2  # it looks away; its picture in the floor does too
    mujoco.mj_forward(model, data)
    image, count = drawn((model, data))
    assert count < 0.5 * model.nskinface, "for its shadow"
    assert np.array_equal(image, whole(monkeypatch, (model, data)))


def test_a_triangle_with_a_corner_behind_the_camera_is_drawn() -> None:
    # From the origin along y: two corners are right of the middle, the third lies behind on the left, and the side between them passes the
    # eye on the right. Put before the eye that corner would be on the left, where the triangle would face away.
    places = np.array([[1, 2, 0.5], [1, 2, -0.5], [-0.3, -1, 0]], np.float32).T
    axes = np.array([[1, 0, 0], [0, 0, 1], [0, 1, 0]], np.float32)
    view = View(np.zeros(3, np.float32), axes, 32.0, 64, np.full((1, 2), 0.5, np.float32))
    marked = np.zeros(1, bool)
    covering.cover(*skins._projected(places, view), np.array([[0], [1], [2]]), view.size, view.samples, view.sign, marked)
    assert marked.all()

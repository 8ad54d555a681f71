"""Fewer triangles: the shapes are closed and face outward, and pictures stay those of MuJoCo's own."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from diswm import envs
from diswm.envs import ColourConfig, EnvConfig, shapes

BALL = np.array([[0.0, -1.0], [1.0, 0.0], [0.0, 1.0]])


def test_a_turned_profile_encloses_its_volume() -> None:
    # A double pyramid over a square of side sqrt 2: 8 triangles, volume 2 x (2 x 1 / 3) = 4 / 3.
    mesh = shapes.lathe(np.hstack([BALL, BALL]), [4, 4, 4])
    corners = mesh.vertices[mesh.triangles]
    assert corners.shape == (8, 3, 3)
    assert np.linalg.det(corners).sum() / 6 == pytest.approx(4 / 3), "positive: counter-clockwise from outside"
    assert np.allclose(mesh.normals, mesh.vertices)


def test_rings_with_fewer_corners_are_joined_without_a_gap() -> None:
    # Octagon, square and point, above and below. The normals of a closed surface add up to nothing; a gap would be left over.
    profile = np.array([[0.0, -1.0], [0.7, -0.5], [1.0, 0.0], [0.7, 0.5], [0.0, 1.0]])
    mesh = shapes.lathe(np.hstack([profile, profile]), [4, 4, 8, 4, 4])
    corners = mesh.vertices[mesh.triangles]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert len(corners) == 4 + 12 + 12 + 4
    assert np.abs(normals.sum(0)).max() < 1e-12
    assert ((normals * corners.mean(1)).sum(1) > 0).all(), "all face outward"


def test_a_floor_is_divided_as_mujoco_divides_it() -> None:
    # 1 m each way in squares of 2 x 0.3: three fit a half, of an even number two: the rest, 0.4, is at the edges.
    assert shapes.divided(1.0, 0.3) == pytest.approx([-1.0, -0.6, 0.0, 0.6, 1.0])
    wide = shapes.divided(100.0, 0.2)  # no more than 200 squares
    assert len(wide) == 201
    assert len(shapes.divided(0.0, 0.2)) == 0, "endless: as MuJoCo has it"


def test_of_a_wide_floor_what_is_near_stays_fine() -> None:
    kept = shapes.thinned(201, 96).tolist()
    assert set(range(80, 113)) <= set(kept)
    assert kept[0] == 0
    assert kept[-1] == 200
    assert len(kept) < 45
    assert shapes.thinned(201, -500).tolist()[-1] == 200, "also where the camera is far off the floor"


@pytest.fixture
def walker() -> Iterator[envs.ActionRepeat]:
    made = envs.make(EnvConfig(task="humanoid_walk", renderer="gl", distract=ColourConfig(colours="none")), 0)
    yield made
    made.close()


@pytest.mark.usefixtures("gl")
def test_the_pictures_are_near_those_with_all_triangles(walker: envs.ActionRepeat, monkeypatch: pytest.MonkeyPatch) -> None:
    image, _ = walker.reset(seed=2)
    assert walker.scene._renderer._floors._lines, "it has a wide floor"
    monkeypatch.setattr(shapes, "simplify", lambda *about: None)
    whole = envs.make(EnvConfig(task="humanoid_walk", renderer="gl", distract=ColourConfig(colours="none")), 0)
    expected, _ = whole.reset(seed=2)
    whole.close()
    assert not np.array_equal(image, expected), "it has fewer"
    assert np.abs(image.astype(float) - expected).mean() < 0.1  # 0.07 when written; a floor without texture gives 11


@pytest.mark.usefixtures("gl")
def test_a_picture_does_not_depend_on_where_the_camera_was(walker: envs.ActionRepeat) -> None:
    first, _ = walker.reset(seed=2)
    data, model = walker.scene._data, walker.scene._model
    from mujoco import mj_forward

    pictures = []
    for x in (30.0, 0.0):  # another part of the floor is fine, and back
        data.qpos[0] = x
        mj_forward(model, data)
        pictures.append(walker.scene.draw())
    assert walker.scene._renderer._floors._shown
    assert not np.array_equal(pictures[0], first)
    assert np.array_equal(pictures[1], first)

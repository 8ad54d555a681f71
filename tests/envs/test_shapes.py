"""Round shapes of fewer triangles are closed and face outward."""

from __future__ import annotations

import numpy as np
import pytest

from diswm.envs import shapes

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


@pytest.mark.parametrize("slices", [8, 12, 16, 20, 24])
def test_balls_and_capsules_are_closed_at_every_level(slices: int) -> None:
    # A ball of radius 1 and a capsule of 2 + 2 between its ends; in corners of both kinds some of the volume is lost.
    for mesh, whole in (
        (shapes.ball(slices, slices // 4), 4 / 3 * np.pi),
        (shapes.capsule(slices, slices // 4, 2.0), 4 / 3 * np.pi + 4 * np.pi),
    ):
        corners = mesh.vertices[mesh.triangles]
        normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        assert np.abs(normals.sum(0)).max() < 1e-12, "closed: a gap would be left over"
        assert 0.7 < np.linalg.det(corners).sum() / 6 / whole < 1.0
        assert ((normals * mesh.normals[mesh.triangles].mean(1)).sum(1) > 0).all(), "all face outward"


def test_a_cylinder_is_closed() -> None:
    # A prism of eight corners: area 8 / 2 sin 45 degrees = 2.828, 2 high.
    meshes = shapes.cylinder(8)
    corners = np.concatenate([mesh.vertices[mesh.triangles] for mesh in meshes])
    assert np.linalg.det(corners).sum() / 6 == pytest.approx(2 * 8 / 2 * np.sin(np.pi / 4))

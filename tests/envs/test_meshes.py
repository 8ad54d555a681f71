"""Meshes in fewer vertices."""

from __future__ import annotations

import numpy as np
import pytest

from diswm.envs import meshes, shapes


def test_one_vertex_of_a_cube_is_left() -> None:
    # In cubes of width 1: the first three lie in one, their middle is (0.3, 0.3, 0), and the second is nearest to it.
    places = np.array([[0.1, 0.1, 0.0], [0.3, 0.2, 0.0], [0.5, 0.6, 0.0], [1.5, 0.0, 0.0], [0.0, 1.5, 0.0]])
    normals = np.eye(3)[[0, 1, 2, 0, 1]]
    mesh = meshes.merged(shapes.Mesh(places, normals, np.array([[0, 3, 4], [1, 2, 3], [2, 4, 3]])), 1.0)
    assert sorted(map(tuple, mesh.vertices)) == sorted(map(tuple, places[[1, 3, 4]]))
    corners = [[tuple(mesh.vertices[corner]) for corner in triangle] for triangle in mesh.triangles]
    assert corners == [[tuple(places[k]) for k in triangle] for triangle in ((1, 3, 4), (1, 4, 3))], "the middle one has no area left"
    assert np.array_equal(mesh.normals[np.flatnonzero(mesh.vertices[:, 0] == 0.3)], normals[[1]])


def test_small_cubes_leave_it_as_it_is() -> None:
    ball = shapes.ball(12, 3)
    mesh = meshes.merged(ball, 1e-6)
    assert np.allclose(mesh.vertices[mesh.triangles], ball.vertices[ball.triangles])


def test_a_models_mesh_is_what_it_draws() -> None:
    mujoco = pytest.importorskip("mujoco")
    model = mujoco.MjModel.from_xml_string("""<mujoco><asset><mesh name="other" vertex="0 0 0 1 0 0 0 1 0 0 0 1"/>
        <mesh name="box" vertex="-1 -1 -1 1 -1 -1 -1 1 -1 1 1 -1 -1 -1 1 1 -1 1 -1 1 1 1 1 1"
        normal="-1 -1 -1 1 -1 -1 -1 1 -1 1 1 -1 -1 -1 1 1 -1 1 -1 1 1 1 1 1"/>
        </asset><worldbody><geom type="mesh" mesh="box"/></worldbody></mujoco>""")
    mesh = meshes.of_model(model, 1)
    assert sorted(map(tuple, mesh.vertices.round(6))) == sorted((x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1))
    assert len(mesh.triangles) == 12
    sides = mesh.vertices[mesh.triangles]
    outward = np.cross(sides[:, 1] - sides[:, 0], sides[:, 2] - sides[:, 0])
    assert ((outward * sides.mean(1)).sum(1) > 0).all(), "counter-clockwise from outside"
    assert np.allclose(mesh.normals, mesh.vertices / np.sqrt(3.0), atol=1e-6)

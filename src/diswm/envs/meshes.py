"""A model's meshes, and the same in fewer vertices, for where they are small."""

from __future__ import annotations

from typing import Any

import numpy as np

from diswm.contract import Array
from diswm.envs.shapes import Mesh


def vertices(model: Any, number: int) -> Array:
    """Those of one of the model's meshes, (V, 3)."""
    first, count = int(model.mesh_vertadr[number]), int(model.mesh_vertnum[number])
    return np.array(model.mesh_vert[first : first + count], float)


def of_model(model: Any, number: int) -> Mesh:
    """One of the model's meshes, its own normals averaged at each vertex."""
    places = vertices(model, number)
    faces = slice(int(model.mesh_faceadr[number]), int(model.mesh_faceadr[number]) + int(model.mesh_facenum[number]))
    triangles = np.array(model.mesh_face[faces])
    own = model.mesh_normal[int(model.mesh_normaladr[number]) :][model.mesh_facenormal[faces]]
    normals = np.zeros_like(places)
    np.add.at(normals, triangles, own)
    return Mesh(places, normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9), triangles)


def merged(mesh: Mesh, cell: float) -> Mesh:
    """A mesh of fewer vertices: of those in one cube, ``cell`` wide, the one nearest to their middle stands for all."""
    _, cube = np.unique(np.floor(mesh.vertices / cell).astype(np.int64), axis=0, return_inverse=True)
    cube = cube.ravel()
    middles = np.stack([np.bincount(cube, part) for part in mesh.vertices.T], 1) / np.bincount(cube)[:, None]
    order = np.lexsort((np.linalg.norm(mesh.vertices - middles[cube], axis=1), cube))
    left = order[np.unique(cube[order], return_index=True)[1]]
    a, b, c = triangles = cube[mesh.triangles].T
    return Mesh(mesh.vertices[left], mesh.normals[left], triangles.T[(a != b) & (b != c) & (c != a)])

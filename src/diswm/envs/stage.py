"""The scene that the ray caster draws: a model without bodies that looks like another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from diswm.contract import Array

_MATERIAL_FIELDS = ("rgba", "texid", "texuniform", "texrepeat", "emission", "specular", "shininess")
_LIGHT_FIELDS = ("type", "castshadow", "active", "attenuation", "cutoff", "exponent", "ambient", "diffuse", "specular")
_CAMERA_FIELDS = ("projection", "fovy", "sensorsize", "intrinsic")


def primitives() -> tuple[Any, ...]:
    """The geom types that the ray caster intersects, the round ones (whose first size is a radius) first."""
    from mujoco import mjtGeom as geom

    return geom.mjGEOM_SPHERE, geom.mjGEOM_CAPSULE, geom.mjGEOM_CYLINDER, geom.mjGEOM_ELLIPSOID, geom.mjGEOM_BOX


def stage(model: Any, geoms: Array, sites: Array, prints: Sequence[Array] = ()) -> Any:
    """A body-less MjModel that looks like ``model``: the given geoms, then the given sites as geoms, in this order.

    Its textures are the model's, then the ``prints``, each (H, W, 3) uint8."""
    import mujoco

    spec = mujoco.MjSpec()
    own = [(_texture(model, i), _texture_kind(model, i)) for i in range(model.ntex)]
    for i, (pixels, kind) in enumerate([*own, *((each, mujoco.mjtTexture.mjTEXTURE_2D) for each in prints)]):
        height, width, channels = pixels.shape
        texture = spec.add_texture(name=f"t{i}", type=kind, width=width, height=height, nchannel=channels)
        texture.data = pixels.tobytes()
    for i in range(model.nmat):
        spec.add_material(name=f"m{i}")
    _add_meshes(spec, model)
    for _ in range(max(1, model.nlight)):  # at least one, as the number is compiled in: see RayCaster._build
        spec.worldbody.add_light(active=False)
    # The brightness of a headlight is compiled in as well, so it becomes the last light, which shines alike without a shadow.
    spec.worldbody.add_light(active=bool(model.vis.headlight.active), type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL, castshadow=False)
    for _ in range(model.ncam):
        spec.worldbody.add_camera()
    shapes = [(model.geom_type[i], model.geom_size[i], model.geom_matid[i], model.geom_dataid[i]) for i in geoms]
    shapes += [(model.site_type[i], model.site_size[i], model.site_matid[i], -1) for i in sites]
    for (kind, size, material, mesh), (where, turned) in zip(shapes, _places(model, geoms, sites), strict=True):
        legal = size if kind == mujoco.mjtGeom.mjGEOM_PLANE else np.maximum(size, 1e-3)
        geom = spec.worldbody.add_geom(type=mujoco.mjtGeom(kind), size=legal, pos=where, quat=turned, contype=0, conaffinity=0, mass=0)
        if material >= 0:
            geom.material = f"m{material}"
        if kind == mujoco.mjtGeom.mjGEOM_MESH:
            geom.meshname = f"s{mesh}"
    scene = spec.compile()
    # Compiling moves a mesh to its centre and axes, where it was already: no rounding, and no other sign of an axis.
    scene.mesh_vert[:], scene.mesh_normal[:] = model.mesh_vert, model.mesh_normal
    _copy_looks(model, scene, [m for k, _, m, _ in shapes if k == mujoco.mjtGeom.mjGEOM_PLANE and m >= 0])
    return scene


def _add_meshes(spec: Any, model: Any) -> None:
    for i in range(model.nmesh):
        first, face = model.mesh_vertadr[i], model.mesh_faceadr[i]
        vertices = model.mesh_vert[first : first + model.mesh_vertnum[i]]
        faces = model.mesh_face[face : face + model.mesh_facenum[i]]
        spec.add_mesh(name=f"s{i}", uservert=vertices.ravel(), userface=faces.ravel())


def _places(model: Any, geoms: Array, sites: Array) -> list[tuple[Array, Array]]:
    """Place and quaternion of each shape where the model starts: the ray caster sorts them by that, once. With all in one place to sort by
    it takes up to a quarter longer to draw."""
    import mujoco

    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    places = []
    for where, matrix in [(data.geom_xpos[i], data.geom_xmat[i]) for i in geoms] + [(data.site_xpos[i], data.site_xmat[i]) for i in sites]:
        turned = np.empty(4)
        mujoco.mju_mat2Quat(turned, matrix)
        places.append((where, turned))
    return places


def _copy_looks(model: Any, scene: Any, plane_materials: list[int]) -> None:
    for prefix, fields in (("mat_", _MATERIAL_FIELDS), ("light_", _LIGHT_FIELDS), ("cam_", _CAMERA_FIELDS)):
        for field in fields:
            values = getattr(model, prefix + field)
            getattr(scene, prefix + field)[: len(values)] = values
    # GL lights a plane at its corners, so it shows no highlight in the middle of a floor.
    scene.mat_specular[plane_materials] = 0.0
    scene.vis.headlight.active = 0


def _texture_kind(model: Any, i: int) -> Any:
    """A sky, or one picture: of a cube the ray caster takes a single face."""
    import mujoco

    sky = mujoco.mjtTexture.mjTEXTURE_SKYBOX
    return sky if model.tex_type[i] == sky else mujoco.mjtTexture.mjTEXTURE_2D


def _texture(model: Any, i: int) -> Array:
    """Texture ``i`` as (height, width, channels) uint8. A sky and a cube are averaged down to about a pixel of the image per texel:
    one ray a pixel would make their details flicker, where GL blurs them."""
    import mujoco

    width, height, channels = int(model.tex_width[i]), int(model.tex_height[i]), int(model.tex_nchannel[i])
    start = model.tex_adr[i]
    pixels: Array = model.tex_data[start : start + width * height * channels].reshape(height, width, channels)
    factor = max((f for f in range(1, width // 96 + 1) if width % f == 0), default=1)  # the suite's sky: 800 to 100 a face
    if model.tex_type[i] != mujoco.mjtTexture.mjTEXTURE_2D and factor > 1:
        # First over rows, whose texels lie beside each other: in a fifth of the time of both at once.
        rows = pixels.reshape(height // factor, factor, width * channels).sum(1, dtype=np.uint32)
        blocks = rows.reshape(height // factor, width // factor, factor, channels).sum(2)
        pixels = (blocks / factor**2).round().astype(np.uint8)
    return pixels if model.tex_type[i] == mujoco.mjtTexture.mjTEXTURE_SKYBOX else pixels[:width]

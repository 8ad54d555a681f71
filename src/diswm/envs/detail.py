"""Level of detail for OpenGL: no more triangles than a small picture shows, in the scene of each picture.

What is round is drawn with fewer corners where it is small, wide floors with larger squares far away, height fields and skins without what
is not to be seen, and the map of shadows shows no more than what casts them. All of it follows from the state alone: a picture does not
depend on those before it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from diswm.envs import meshes, perspective, shapes
from diswm.envs.floors import Floors
from diswm.envs.perspective import Views
from diswm.envs.shadows import Shadows
from diswm.envs.shapes import Mesh
from diswm.envs.skins import OPAQUE, Skins
from diswm.envs.terrain import Terrain

SAG = 0.0035
"""Pixels by which the corners of a round shape may stand out from its sides, in pictures of 64: as those of MuJoCo's 28 do at a radius of
0.56. In smaller ones each pixel counts for more."""
LONG = 10.0
"""Pixels from which on the length of a shape makes that less."""
SPECK, CELL = 3.0, 0.18
"""Pixels: the radius up to which a mesh is drawn in fewer vertices, and how wide the cubes are of which one is left."""
_SLICES = (8, 12, 16, 20, 24)
_MOST = 2000  # display lists kept: shapes whose length changes make new ones
_SMALL, _HALVED = 128, (0.7, 0.3)  # pixels; what larger pictures need
_LARGE, _PLANES = 200, 4
"""Pixels, and planes, up to which it is faster to look for what is seen of a height field than to draw all around the picture."""
_RAYS = True  # whether it is looked for
_ROUND = (2, 3, 4, 5)  # mjGEOM_SPHERE, CAPSULE, ELLIPSOID, CYLINDER


class Detail:
    """What is drawn coarser in the pictures of one context, which must be current whenever this is used."""

    def __init__(self, model: Any, context: Any, size: int) -> None:
        """``size`` is that of the picture, in pixels. MuJoCo's own round shapes and floors are replaced at once."""
        import mujoco

        self._model, self._context, self._size = model, context, size
        self._sag = SAG * min(1.0, size / 64) ** 2
        self._lists: dict[tuple[Any, ...], int] = {}
        self._floors: Floors | None = None
        planes = np.flatnonzero(model.geom_type == mujoco.mjtGeom.mjGEOM_PLANE)
        self._slices, self._stacks = int(model.vis.quality.numslices), int(model.vis.quality.numstacks)
        self._round = False  # whether MuJoCo's own round shapes are replaced
        if (context.rangeBuiltin, context.rangePlane) == (shapes.LISTS, len(planes) + 1):  # else its lists are numbered otherwise
            self._round = not _printed(model)
            if self._round:
                shapes.redraw(context.baseBuiltin, self._slices, self._stacks // 2, shapes.HALVED if size <= _SMALL else _HALVED)
            self._floors = Floors(model, context.basePlane + 1, planes)  # the list before it is that of planes without a model
        self._shadows = Shadows(model, context)
        self._solid = np.flatnonzero(model.geom_type != mujoco.mjtGeom.mjGEOM_HFIELD)
        self._plain = (model.mat_texid < 0).all(1)
        self._radii: dict[int, float] = {}  # of meshes
        self._samples = perspective.samples(context) if _RAYS and (model.nskin or model.nhfield) and _compiles() else None
        self._skins = Skins(model, context)
        self._terrains = [Terrain(model, field, context.baseHField + field) for field in range(model.nhfield)]

    def reset(self) -> None:
        """Call when height fields have changed."""
        for terrain in self._terrains:
            terrain.reset()

    def show(self, scene: Any, data: Any, camera: int) -> None:
        """Prepare a picture of the scene, which was made of ``data`` just now."""
        import mujoco

        kind = mujoco.mjtGeom
        if len(self._lists) > _MOST:
            self._forget()
        if self._floors is not None:
            self._floors.show(data, camera)
        self._shadows.show(data)
        if self._model.nskin:
            self._skins.show(scene, self._views(scene))
        eye, solid = _Eye(scene, self._size), self._solid
        lowest = int(solid[data.geom_xpos[solid, 2].argmin()]) if len(solid) else -1
        fields = []
        for index in range(scene.ngeom):
            geom = scene.geoms[index]
            shape = geom.type
            if shape in _ROUND:
                self._roundish(geom, eye)
            elif shape == kind.mjGEOM_MESH and geom.dataid >= 0:
                self._small(geom, eye)
            elif shape == kind.mjGEOM_PLANE and geom.objid == lowest and geom.mat[2, 2] > 0.999:
                geom.category = mujoco.mjtCatBit.mjCAT_DECOR  # under a floor that faces up nothing is left to lie in its shadow
            elif shape == kind.mjGEOM_HFIELD and geom.dataid >= 0:
                fields.append(geom)
        if fields:  # what they hide is settled by now
            self._fields(fields, scene, eye)

    def _views(self, scene: Any) -> Views | None:
        """None where they are not known, or nothing could be made of them, as numba is missing."""
        return perspective.views(scene, self._context, self._size, self._samples) if self._samples is not None else None

    def _fields(self, fields: list[Any], scene: Any, eye: _Eye) -> None:
        """Prepare height fields, and what one hides or reflects."""
        if len(fields) == 1 and self._seen(fields[0], scene):
            return
        for geom in fields:
            turn, twice = np.asarray(geom.mat), sum(other.dataid == geom.dataid for other in fields) > 1  # one list for both
            self._terrains[geom.dataid].whole(eye.sides[: 0 if twice else None] @ turn, (eye.place - geom.pos) @ turn)

    def _seen(self, geom: Any, scene: Any) -> bool:
        """Prepare the only height field in what is seen of it. False where that is slower, or not all that shows or lights it is known."""
        import mujoco

        there = scene.geoms[: scene.ngeom]
        planes = [other for other in there if other.type == mujoco.mjtGeom.mjGEOM_PLANE and other.rgba[3] >= OPAQUE]
        if geom.rgba[3] < OPAQUE or self._size > _LARGE or len(planes) > _PLANES or scene.ngeom == scene.maxgeom:
            return False
        mirrors = np.array([plane.reflectance > 0.0 for plane in planes], bool)
        if mirrors.sum() < sum(other.reflectance > 0.0 for other in there):  # what other mirrors show is not known
            return False
        views = self._views(scene)
        if views is None:
            return False
        terrain, turn = self._terrains[geom.dataid], np.asarray(geom.mat, float)
        moved = views.moved(geom.pos, turn)
        if not terrain.below(moved.maps):
            return False
        from diswm.envs import heights

        placed = np.array([[*(plane.mat[:, 2] @ turn), plane.mat[:, 2] @ (plane.pos - geom.pos)] for plane in planes]).reshape(-1, 4)
        shade, shown = terrain.show(heights, moved, placed, mirrors)
        shown |= np.array([plane.mat[:, 2] @ (views.camera.eye - plane.pos) <= 0.0 for plane in planes], bool)  # seen from behind
        shown |= mirrors & (mirrors.sum() > 1)  # of several MuJoCo takes the first, so that has to stay
        shown |= bool((shown & mirrors).any())  # the others may be seen in it
        for plane in (plane for plane, seen in zip(planes, shown, strict=True) if not seen):
            plane.reflectance = 0.0
            if plane.category == mujoco.mjtCatBit.mjCAT_DECOR:
                plane.type = mujoco.mjtGeom.mjGEOM_NONE
        geom.category = mujoco.mjtCatBit.mjCAT_DECOR
        cast = scene.geoms[scene.ngeom]
        mujoco.mjv_initGeom(cast, mujoco.mjtGeom.mjGEOM_MESH, np.zeros(3), geom.pos, turn.ravel(), geom.rgba)
        cast.category, cast.dataid = mujoco.mjtCatBit.mjCAT_STATIC, shade - int(self._context.baseMesh)
        scene.ngeom += 1
        return True

    def _roundish(self, geom: Any, eye: _Eye) -> None:
        """Replace a sphere, ellipsoid, capsule or cylinder by one as coarse as its size in the picture allows."""
        import mujoco

        kind = mujoco.mjtGeom
        shape, size = geom.type, geom.size.tolist()
        tall = shape in (kind.mjGEOM_CAPSULE, kind.mjGEOM_CYLINDER)
        radius, half = (size[0], size[2]) if tall else (max(size), max(size))
        away = eye.away(geom.pos)
        # r (1 - cos(pi / n)), in pixels, is what n corners stand out from n sides. A long edge may cross many pixels in the same place.
        sag = self._sag * min(1.0, LONG / max(2.0 * eye.pixels(away, half), 1e-9))
        needed = math.pi * math.sqrt(eye.pixels(away, radius) / (2.0 * sag))
        slices = next((count for count in _SLICES if needed <= count < self._slices), self._slices)
        if (slices == self._slices and self._round) or not self._may(geom):
            return
        cap = self._stacks // 2 if slices == self._slices else slices // 4
        if shape == kind.mjGEOM_CAPSULE:
            half = round(size[2] / size[0], 2)
            number = self._listed(("capsule", slices, half), lambda: [shapes.capsule(slices, cap, half)])
            scale = [size[0]] * 3
        elif shape == kind.mjGEOM_CYLINDER:
            number, scale = self._listed(("cylinder", slices), lambda: shapes.cylinder(slices)), size
        else:
            number, scale = self._listed(("ball", slices), lambda: [shapes.ball(slices, cap)]), size
        geom.mat = geom.mat * scale  # a mesh has no size of its own
        geom.type, geom.dataid = int(kind.mjGEOM_MESH), number

    def _small(self, geom: Any, eye: _Eye) -> None:
        """Replace a mesh that is small in the picture by one of fewer vertices."""
        mesh, hull = divmod(geom.dataid, 2)
        if mesh not in self._radii:
            self._radii[mesh] = float(np.linalg.norm(meshes.vertices(self._model, mesh), axis=1).max())
        radius = self._radii[mesh]
        shown = eye.pixels(eye.away(geom.pos), radius)
        if hull or shown > SPECK or not self._may(geom):
            return
        # In four steps to a doubling, so that there is not a list for every picture.
        cell = 2.0 ** (math.floor(4.0 * math.log2(CELL * radius / shown)) / 4.0)
        key = ("mesh", mesh, cell)
        geom.dataid = self._listed(key, lambda: [meshes.merged(meshes.of_model(self._model, mesh), cell)])

    def _may(self, geom: Any) -> bool:
        """Whether it is opaque and carries no picture, for which the shapes here have no places."""
        return geom.rgba[3] >= OPAQUE and geom.texid < 0 and (geom.matid < 0 or bool(self._plain[geom.matid]))

    def _listed(self, key: tuple[Any, ...], make: Callable[[], list[Mesh]]) -> int:
        """The number of a display list, counted from that of the first mesh, as the scene wants it."""
        from OpenGL import GL

        if key not in self._lists:
            self._lists[key] = int(GL.glGenLists(1))
            shapes.compiled(self._lists[key], make(), closed=True)
        return self._lists[key] - int(self._context.baseMesh)

    def _forget(self) -> None:
        from OpenGL import GL

        for number in self._lists.values():
            GL.glDeleteLists(number, 1)
        self._lists.clear()


class _Eye:
    """The camera of a scene."""

    def __init__(self, scene: Any, size: int) -> None:
        camera = scene.camera[0]
        self.place = np.array(camera.pos, float)
        self._point = self.place.tolist()
        forward, up = np.array(camera.forward, float), np.array(camera.up, float)
        right = np.cross(forward, up)
        slope = float(camera.frustum_top) / float(camera.frustum_near)  # as high as wide
        self.near, self.focal = float(camera.frustum_near), 0.5 * size / slope
        # Facing in, (4, 3): what is in the picture is in front of all.
        self.sides = np.stack([side * sign + slope * forward for side in (right, up) for sign in (1.0, -1.0)]) / math.hypot(1.0, slope)

    def away(self, place: Any) -> float:
        """How far something at ``place`` is."""
        return math.dist(place.tolist(), self._point)

    def pixels(self, away: float, length: float) -> float:
        """How long something of ``length`` that is so far away is in the picture, at most."""
        return length * self.focal / max(away - length, self.near)


def _printed(model: Any) -> bool:
    """Whether a round shape carries a picture, for which the shapes here have no places."""
    geoms, sites = np.isin(model.geom_type, _ROUND), np.isin(model.site_type, _ROUND)
    used = np.concatenate([model.geom_matid[geoms], model.site_matid[sites], model.tendon_matid])
    return bool((model.mat_texid[np.unique(used[used >= 0])] >= 0).any())


def _compiles() -> bool:
    """Whether there is numba, and it works."""
    try:
        import numba  # noqa: F401
    except ImportError:
        return False
    return True

"""The renderer that needs no GL: mujoco-warp's ray caster, on the CPU.

Physics stays in C MuJoCo. The ray caster gets a scene of its own, without bodies: one free-standing geom for each geom and each
site that MuJoCo would draw (the ray caster knows no sites), whose poses, sizes and colours are copied in before each
frame; it touches nothing, so that no margin of a contact stands in its way. Compared with GL it has no reflections and no
smoothed edges; the rest of the look is close.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import re
import sys
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from diswm.contract import Array, DiswmError, some
from diswm.envs import lit
from diswm.envs.scene import PLAIN, Look
from diswm.envs.stage import primitives, stage
from diswm.envs.view import FLOOR, Surface, floor_material, floor_texture, headlight_direction
from diswm.imports import uncollected

_LOG = logging.getLogger("diswm")
_VISIBLE_GROUPS = 3  # MuJoCo draws the groups 0, 1 and 2 unless told otherwise
_ENDLESS = 1000.0  # half of a plane without an end, as the ray caster has it
_BRIGHTNESS = ("ambient", "diffuse", "specular")


def undrawable(model: Any, data: Any) -> list[str]:
    """What MuJoCo would draw of this model but the ray caster cannot, as "kind 'name'"; empty if it draws all.

    MuJoCo's own list of visible objects decides, which needs no GL.
    """
    import mujoco

    scene = mujoco.MjvScene(model, maxgeom=2000)
    option = mujoco.MjvOption()
    option.flags[mujoco.mjtVisFlag.mjVIS_RANGEFINDER] = False
    mujoco.mjv_updateScene(model, data, option, None, mujoco.MjvCamera(), mujoco.mjtCatBit.mjCAT_ALL.value, scene)
    plain = {mujoco.mjtGeom.mjGEOM_PLANE, mujoco.mjtGeom.mjGEOM_MESH, *primitives()}
    found = [f"skin {model.skin(i).name!r}" for i in range(model.nskin)]
    for geom in scene.geoms[: scene.ngeom]:
        kind = mujoco.mjtObj(geom.objtype)
        known = kind in (mujoco.mjtObj.mjOBJ_GEOM, mujoco.mjtObj.mjOBJ_SITE)
        if known and geom.type in plain and geom.rgba[3] >= 1.0:
            continue
        what = kind.name.removeprefix("mjOBJ_").lower()
        name = mujoco.mj_id2name(model, geom.objtype, geom.objid) or f"#{geom.objid}"
        why = "" if not known else f" ({'translucent' if geom.type in plain else 'height field'})"
        found.append(f"{what} {name!r}{why}")
    return list(dict.fromkeys(found))


class RayCaster:
    """Draws one camera of a live (model, data) pair. Raises DiswmError if warp is missing or the model is not drawable."""

    name = "warp"

    def __init__(self, model: Any, data: Any, camera: int, size: int, needs: frozenset[str] = frozenset(), surface: Surface = FLOOR):
        missing = undrawable(model, data)
        if missing:
            raise DiswmError(f"The warp renderer cannot draw this task: it has no {some(missing, 4)}. Use --env.renderer gl.")
        self._model, self._data, self._camera, self._size = model, data, camera, size
        self._geoms = np.flatnonzero(model.geom_group < _VISIBLE_GROUPS)
        self._sites = np.flatnonzero(model.site_group < _VISIBLE_GROUPS)
        if not len(self._geoms) + len(self._sites):  # it would crash the process
            raise DiswmError("The warp renderer cannot draw this task: no geom or site of it is visible. Use --env.renderer gl.")
        self._needs, self._surface = needs, surface
        with _cpu() as mjw:
            self._build(mjw)

    def draw(self, look: Look = PLAIN) -> Array:
        """The current state of ``data`` as (size, size, 3) uint8, with background and texture of ``look``."""
        self._copy_state(look)
        if self._printed:
            self._dim_surface()
        if "texture" in self._needs:
            self._floor_texid[1] = self._own_texid if look.texture is None else self._model.ntex + look.texture
        self._find_boxes()
        self._fit_planes()
        self._cast()
        image: Array = self._pixels[..., 2::-1].copy()  # packed as B, G, R, A
        return image if look.background is None else self._behind(image, look.background, look.ground)

    def _behind(self, image: Array, background: Array, ground: float) -> Array:
        """The background where a ray met nothing, and through the floor."""
        hit = self._hits[..., 0]
        opacity = np.where(np.isin(hit, self._floor_geoms), np.float32(ground), np.float32(1.0))
        opacity[hit < 0] = 0.0
        return (opacity[..., None] * image + (1.0 - opacity[..., None]) * background + 0.5).astype(np.uint8)

    def reset(self) -> None:
        """Nothing to refresh between episodes: all that a task changes is copied before each frame."""

    def close(self) -> None:
        pass

    def _build(self, mjw: Any) -> None:
        import mujoco

        prints = self._surface.prints() if "texture" in self._needs else []
        scene = stage(self._model, self._geoms, self._sites, prints)
        self._material, self._printed = floor_material(self._model, self._surface), floor_texture(self._model, self._surface) >= 0
        if self._material >= 0:
            scene.mat_specular[self._material] = 0.0  # GL lights a large face at its corners, so it shows no highlight in the middle
        scene_data = mujoco.MjData(scene)
        mujoco.mj_forward(scene, scene_data)
        self._warp_model, self._warp_data = mjw.put_model(scene), mjw.put_data(scene, scene_data)
        context = mjw.create_render_context(
            scene, nworld=1, cam_res=(self._size, self._size), render_rgb=True, render_depth=False, render_seg="background" in self._needs,
            cam_active=[self._camera], use_shadows=True, render_skybox=True, background_color=(0.0, 0.0, 0.0, 1.0),
        )  # fmt: skip
        # The kernel is compiled for these constants. The general case costs little and is shared by all tasks,
        # so that a machine compiles once (with meshes once more) and not once a task.
        meshes = [mujoco.mjtGeom.mjGEOM_MESH] if scene.nmesh else []
        context.geom_ray_types = tuple(map(int, (mujoco.mjtGeom.mjGEOM_PLANE, *primitives(), *meshes)))
        context.has_spot_lights = True
        context.znear, context.zfar = 0.01, 0.0  # the rays are built by now; no far plane
        self._context = context
        self._pixels = context.rgb_data.numpy().view(np.uint8).reshape(self._size, self._size, 4)
        # On the CPU .numpy() is a view: writing it is the whole transfer.
        data, model = self._warp_data, self._warp_model
        self._poses = [getattr(data, n).numpy()[0] for n in ("geom_xpos", "geom_xmat", "cam_xpos", "cam_xmat", "light_xpos", "light_xdir")]
        self._looks = [a.numpy()[0] for a in (model.geom_size, model.geom_rgba, model.mat_rgba, model.mat_emission)]
        self._lights = [getattr(model, f"light_{name}").numpy()[0] for name in _BRIGHTNESS]
        self._copies = self._sources()
        self._on, self._shadow = scene.light_active.astype(float)[:, None], scene.light_castshadow.astype(bool)
        if "background" in self._needs:
            self._hits = context.seg_data.numpy().reshape(self._size, self._size, 2)
            self._floor_geoms = np.flatnonzero(self._model.geom_matid[self._geoms] == self._material)
        if "texture" in self._needs:
            self._floor_texid = model.mat_texid.numpy()[0, self._material]
            self._own_texid = floor_texture(self._model, self._surface)
        self._round = np.flatnonzero(np.isin(scene.geom_type, [int(t) for t in primitives()[:3]]))
        self._planes = np.flatnonzero(scene.geom_type == mujoco.mjtGeom.mjGEOM_PLANE)
        # A fifth above half a pixel, so that a row of pixel centres cannot fall just beside a thin rail.
        self._half_pixel = 1.2 * np.tan(np.radians(self._model.cam_fovy[self._camera]) / 2.0) / self._size
        self._boxes = [a.numpy() for a in (context.lower, context.upper)]
        self._sort()
        self._record(mjw)

    def _sort(self) -> None:
        """Sort the shapes by boxes in which planes fit. Where most shapes are planes a tree saves nothing: each ray tries them all."""
        import warp as wp

        context = self._context
        self._fit_planes()
        leaf = context.bvh_ngeom if 2 * len(self._planes) >= context.bvh_ngeom else 1
        context.bvh = wp.Bvh(context.lower, context.upper, constructor="sah", leaf_size=leaf)
        context.bvh_id = context.bvh.id
        context.group_root.numpy()[:] = -1  # a tree without groups

    def _fit_planes(self) -> None:
        """Boxes in which planes fit. The ray caster's are twice as long, so that nearly all rays meet them."""
        place, turned, planes = self._poses[0], self._poses[1].reshape(-1, 3, 3), self._planes
        size = self._looks[0][planes]
        half = np.where(size > 0.0, size, _ENDLESS) * (1.0, 1.0, 0.0) + 1e-3
        reach = (np.abs(turned[planes]) @ half[..., None])[..., 0]
        lower, upper = self._boxes
        lower[planes], upper[planes] = place[planes] - reach, place[planes] + reach

    def _record(self, mjw: Any) -> None:
        """What draws a picture, as two calls. Their launches are recorded once: to pack their ninety arguments anew in Python for each
        picture takes a quarter of the time of drawing it. All that a picture depends on is written in place, so nothing goes stale."""
        import warp as wp

        with _thorough(), _shared_kernel(self._warp_model, self._context):
            mjw.render(self._warp_model, self._warp_data, self._context)  # compiles, which a recording must not
        with wp.ScopedCapture("cpu") as boxes:
            mjw.refit_bvh(self._warp_model, self._warp_data, self._context)
        with wp.ScopedCapture("cpu") as picture:
            self._context.bvh.refit()
            mjw.render(self._warp_model, self._warp_data, self._context)
        self._find_boxes, self._cast = partial(wp.capture_launch, boxes.graph), partial(wp.capture_launch, picture.graph)

    def _sources(self) -> list[tuple[Array, Array, Any]]:
        """What is copied before each picture: into which view, from which array of the model or its data, and which of its rows."""
        model, data, n = self._model, self._data, len(self._geoms)
        geom_pos, geom_mat, cam_pos, cam_mat, light_pos, light_dir = self._poses
        size, rgba, mat_rgba, mat_emission = self._looks
        into = geom_pos, geom_mat.reshape(-1, 9), size, rgba
        shapes = (
            (slice(n), self._geoms, (data.geom_xpos, data.geom_xmat, model.geom_size, model.geom_rgba)),
            (slice(n, None), self._sites, (data.site_xpos, data.site_xmat, model.site_size, model.site_rgba)),
        )
        copies = [(view[part], of, _rows(which)) for part, which, given in shapes for view, of in zip(into, given, strict=True)]
        whole = [
            (mat_rgba, model.mat_rgba),
            (mat_emission, model.mat_emission),
            (cam_pos, data.cam_xpos),
            (cam_mat.reshape(-1, 9), data.cam_xmat),
        ]
        lights = model.nlight
        whole += [(light_pos[:lights], data.light_xpos), (light_dir[:lights], data.light_xdir)]
        for view, name in zip(self._lights, _BRIGHTNESS, strict=True):
            whole += [(view[:lights], getattr(model, f"light_{name}")), (view[-1], getattr(model.vis.headlight, name))]
        return copies + [(view, of, ...) for view, of in whole]

    def _copy_state(self, look: Look) -> None:
        """Shapes, camera and lights as they are now; the headlight is the last of the scene's lights."""
        for view, of, rows in self._copies:
            view[:] = of[rows]
        # One ray a pixel would miss a rail thinner than a pixel, which GL shows as a faint line: draw it a pixel wide.
        size, thin = self._looks[0], self._round
        distance = np.linalg.norm(self._poses[0][thin] - self._poses[2][self._camera], axis=1)
        size[thin, 0] = np.maximum(size[thin, 0], self._half_pixel * distance)
        self._poses[-1][-1] = headlight_direction(self._data.cam_xmat[self._camera].reshape(3, 3), look.light)

    def _dim_surface(self) -> None:
        """Show floor or table no brighter than OpenGL does, which clamps the light on a texture."""
        model, data, material = self._model, self._data, self._material
        ambient, diffuse, specular = (self._on * of for of in self._lights)
        lights = lit.Lights(-self._poses[-1], self._shadow, ambient, diffuse, specular)
        plain, shadowed = lit.sums(lights)
        rgb, gloss = model.mat_rgba[material, :3].astype(np.float64), np.zeros(3)
        if self._surface.glossy:
            views = lit.views(data.cam_xmat[self._camera].reshape(3, 3), model.cam_fovy[self._camera])
            gloss = lit.highlight(lights, views, model.mat_specular[material], model.mat_shininess[material])
        elif (rgb * plain <= 1.0).all():  # nothing is clamped
            return
        emission, factor = lit.correction(rgb, plain, shadowed, gloss)
        self._looks[2][material, :3] *= factor
        self._looks[3][material] += emission


def _rows(which: Array) -> Any:
    """These rows of an array: a slice where they are its first, which is cheaper to take."""
    return slice(len(which)) if np.array_equal(which, np.arange(len(which))) else which


@contextlib.contextmanager
def _cpu() -> Iterator[Any]:
    """mujoco_warp with the CPU as its device, whatever this machine has. Raises DiswmError if it is not installed."""
    mjw = _import()
    import warp as wp

    with wp.ScopedDevice("cpu"):
        yield mjw


@contextlib.contextmanager
def _thorough() -> Iterator[None]:
    """Compile as Warp does, but without the limit it sets to look for instructions that work on several numbers: with it a picture
    takes up to a seventh longer."""
    import warp as wp

    flags = wp.config.cpu_compiler_flags
    wp.config.cpu_compiler_flags = flags and re.sub(r"(?<=-slp-recursion-max-depth=)\d+", "12", flags)
    try:
        yield
    finally:
        wp.config.cpu_compiler_flags = flags


_KERNELS: dict[tuple[Any, ...], Any] = {}


@contextlib.contextmanager
def _shared_kernel(model: Any, context: Any) -> Iterator[None]:
    """Give a context the kernel that one of the same constants had made before: to make it anew takes a third of opening a task."""
    import warp as wp

    kinds = (bool, int, float, tuple, wp.uint32, wp.vec3)  # what a kernel is made for (mujoco_warp's _build_megakernel); bvh_id is none
    key = model.nlight, *(str(getattr(context, field.name)) for field in dataclasses.fields(context) if field.type in kinds)
    context._megakernel = _KERNELS.get(key)
    yield
    _KERNELS[key] = context._megakernel


_MJW: Any = None


def _import() -> Any:
    global _MJW
    if _MJW is None:
        try:
            with uncollected():
                import warp as wp

                wp.config.log_level = wp.LOG_ERROR  # it prints each kernel that it loads
                with _quiet_stderr():
                    wp.init()  # its native part warns of a missing CUDA driver
                import mujoco_warp
        except ImportError as error:
            raise DiswmError(f"The warp renderer is not installed ({error}): pip install 'diswm[warp]'.") from error
        _MJW = mujoco_warp
        _LOG.info("preparing the ray caster: it compiles for about 10 s the first time on a machine, later it is cached")
    return _MJW


@contextlib.contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Drops what native code writes to file descriptor 2, for a moment."""
    sys.stderr.flush()
    kept, sink = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(sink)

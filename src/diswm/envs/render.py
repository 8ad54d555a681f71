"""Renderers behind one small interface, and what to do where one is missing.

``gl`` draws with MuJoCo's own OpenGL renderer (EGL, else OSMesa), ``warp`` with a ray caster that needs no GL (`raycast`).
"""

from __future__ import annotations

import atexit
import contextlib
import os
import subprocess
import sys
import time
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Protocol

import numpy as np

from diswm.contract import Array, DiswmError
from diswm.envs.detail import Detail
from diswm.envs.opengl import MEND_GL, context_class, context_kept, gl_backend
from diswm.envs.scene import PLAIN, Look
from diswm.envs.view import FLOOR, Surface, floor_material, floor_texture, headlight_direction, sky_texture

MEND_WARP = "pip install 'diswm[warp]'"


class Renderer(Protocol):
    """Draws one camera of the (model, data) pair that it was made for."""

    name: str  # "gl-egl", "gl-osmesa" or "warp"

    def draw(self, look: Look = PLAIN) -> Array:
        """The current state as (size, size, 3) uint8, with background and texture of ``look``."""

    def reset(self) -> None:
        """Call after each reset of the simulator: picks up what a task changes once an episode."""

    def close(self) -> None:
        """Release what the renderer holds. Safe to call twice."""


def make_renderer(
    kind: str, model: Any, data: Any, camera: int, size: int, shadow_size: int = 512,
    needs: frozenset[str] = frozenset(), surface: Surface = FLOOR, gl_size: int = 0,
) -> Renderer:  # fmt: skip
    """``gl``, ``warp`` or ``auto`` (warp where it is installed and can draw the model, else gl) for one camera.

    ``gl_size`` is the size that gl draws, if it is another. ``needs`` names the distractions that it will be asked for: background and
    texture (on ``surface``) are prepared. Raises DiswmError, with the commands that mend it, if the renderer asked for is missing or
    cannot draw the model.
    """
    from diswm.envs.raycast import RayCaster

    if kind == "gl":
        return GLRenderer(model, data, camera, gl_size or size, shadow_size, surface)
    if kind == "warp":
        return RayCaster(model, data, camera, size, needs, surface)
    try:
        return RayCaster(model, data, camera, size, needs, surface)
    except DiswmError as no_warp:
        try:
            return GLRenderer(model, data, camera, gl_size or size, shadow_size, surface)
        except DiswmError as no_gl:
            raise DiswmError(f"No renderer can draw this task.\n  warp: {no_warp}\n  gl: {no_gl}") from no_gl


class GLRenderer:
    """OpenGL off screen. The pixels equal those of dm_control's ``physics.render`` at the same shadow size, but for what fewer triangles
    change (`detail`): less than 0.1 of 255 in the mean, from 32 pixels on."""

    def __init__(self, model: Any, data: Any, camera: int, size: int, shadow_size: int = 512, surface: Surface = FLOOR):
        import mujoco

        backend = gl_backend()
        if backend is None:
            raise DiswmError(f"No OpenGL here (neither EGL nor OSMesa). {MEND_GL}   or, without GL: {MEND_WARP}")
        self.name, self._backend = f"gl-{backend}", backend
        self._gl: Any = None
        self._model, self._data, self._size, self._surface = model, data, size, surface
        try:
            context = context_class(backend)
            with context_kept(backend), _settings(model, shadow_size, size):
                self._gl = context(size, size)
                self._gl.make_current()
                self._mjr: Any = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100.value)
                mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, self._mjr)
                if backend != "glfw":
                    _drop_stencil(self._mjr)
                self._detail = Detail(model, self._mjr, size)
        except Exception as error:  # PyOpenGL raises AttributeError, ImportError, GLError... for a broken installation
            mend = "apt-get install libosmesa6" if backend == "osmesa" else MEND_GL
            raise DiswmError(f"OpenGL through {backend} fails ({error}). {mend}   or, without GL: {MEND_WARP}") from error
        # EGL registered its own end when the context was made; exit handlers run last in first out, so this comes before it.
        atexit.register(_close_at_exit, weakref.ref(self))
        self._scene = mujoco.MjvScene(model, maxgeom=2000)
        self._option = mujoco.MjvOption()
        self._option.flags[mujoco.mjtVisFlag.mjVIS_RANGEFINDER] = False  # as dm_control does
        self._view = mujoco.MjvCamera()
        self._view.fixedcamid, self._view.type = camera, mujoco.mjtCamera.mjCAMERA_FIXED
        self._rect = mujoco.MjrRect(0, 0, size, size)
        self._shown: tuple[bool, int | None] = False, None  # whether the sky is white, and what the floor has

    def draw(self, look: Look = PLAIN) -> Array:
        """The current state of ``data`` as (size, size, 3) uint8, with background and texture of ``look``."""
        import mujoco

        if self._gl is None:
            raise DiswmError("The renderer is closed.")
        everything = mujoco.mjtCatBit.mjCAT_ALL.value
        mujoco.mjv_updateScene(self._model, self._data, self._option, None, self._view, everything, self._scene)
        with context_kept(self._backend):
            self._gl.make_current()
            return self._draw(look)

    def _draw(self, look: Look) -> Array:
        self._detail.show(self._scene, self._data, self._view.fixedcamid)
        self._print(look)
        if look.light is not None:
            self._turn_headlight(look.light)
        if look.background is None:
            return self._picture(sky=True)
        image = self._before(look.background) if look.ground > 0.0 else np.float32(0.0)
        if look.ground < 1.0:
            # Not by the floor's own alpha: MuJoCo blends a lit floor twice, once for its shadows.
            self._hide_floor()
            image = look.ground * image + (1.0 - look.ground) * self._before(look.background)
        return np.clip(image + 0.5, 0, 255).astype(np.uint8)

    def _before(self, background: Array) -> Array:
        """The scene in front of a picture, (size, size, 3) float32. Drawn before black and before white: the difference says,
        smoothed edges included, how much of the sky each pixel lets through."""
        black, white = self._picture(sky=False), self._picture(sky=True)
        clear = (white.astype(np.float32) - black) / np.float32(255.0)
        return np.asarray(black + clear * background)

    def _picture(self, sky: bool) -> Array:
        import mujoco

        self._scene.flags[mujoco.mjtRndFlag.mjRND_SKYBOX] = sky
        mujoco.mjr_render(self._rect, self._scene, self._mjr)
        image = np.empty((self._size, self._size, 3), np.uint8)
        mujoco.mjr_readPixels(image, None, self._rect, self._mjr)
        return image[::-1].copy()

    def _print(self, look: Look) -> None:
        """Load the sky and the floor's texture that ``look`` wants; the model keeps its own."""
        white, floor = look.background is not None, look.texture
        if white != self._shown[0]:
            self._upload(sky_texture(self._model), (lambda height, width: np.full((height, width, 3), 255, np.uint8)) if white else None)
        if floor != self._shown[1]:
            self._upload(floor_texture(self._model, self._surface), None if floor is None else partial(self._surface.draw, floor))
        self._shown = white, floor

    def _upload(self, texture: int, draw: Callable[[int, int], Array] | None) -> None:
        """Put a drawn picture, or None for the model's own, in the place of a texture."""
        import mujoco

        model = self._model
        height, width, channels = int(model.tex_height[texture]), int(model.tex_width[texture]), int(model.tex_nchannel[texture])
        place = slice(int(model.tex_adr[texture]), int(model.tex_adr[texture]) + height * width * channels)
        own = model.tex_data[place].copy()
        if draw:
            model.tex_data[place] = draw(height, width)[..., :channels].ravel()
        mujoco.mjr_uploadTexture(model, self._mjr, texture)
        model.tex_data[place] = own

    def _turn_headlight(self, turned: Array) -> None:
        """Make the headlight, which shines from the camera, an ordinary light that leans over as the others do."""
        axes = self._data.cam_xmat[self._view.fixedcamid].reshape(3, 3)
        for light in self._scene.lights[: self._scene.nlight]:
            if light.headlight:
                light.headlight, light.dir[:] = 0, headlight_direction(axes, turned)

    def _hide_floor(self) -> None:
        """Take the floor out of the picture to come; the model keeps it."""
        import mujoco

        floor = np.flatnonzero(self._model.geom_matid == floor_material(self._model, self._surface))
        for geom in self._scene.geoms[: self._scene.ngeom]:
            if geom.objtype == mujoco.mjtObj.mjOBJ_GEOM and geom.objid in floor:
                geom.rgba[3] = geom.reflectance = 0.0

    def reset(self) -> None:
        """Have height fields looked at again: a task may have drawn a new terrain."""
        self._detail.reset()

    def close(self) -> None:
        if self._gl is not None:
            with context_kept(self._backend):
                self._gl.make_current()
                self._mjr.free()
                self._gl.free()
            self._gl = self._mjr = None

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self.close()


@contextlib.contextmanager
def _settings(model: Any, shadow_size: int, size: int) -> Iterator[None]:
    """Settings that are read when a context is made; afterwards the model has its own again. A frame buffer no larger than the picture
    is cheaper to clear; the pixels are the same."""
    quality, buffer = model.vis.quality, model.vis.global_
    before = quality.shadowsize, buffer.offwidth, buffer.offheight
    quality.shadowsize, buffer.offwidth, buffer.offheight = shadow_size, size, size
    try:
        yield
    finally:
        quality.shadowsize, buffer.offwidth, buffer.offheight = before


def _drop_stencil(context: Any) -> None:
    """Take from the map of shadows the stencil that MuJoCo puts beside its depths (for macOS) and never uses: in software it is cleared
    in half the time without. The depths, and the pictures, are the same."""
    from OpenGL import GL

    bound, size = GL.glGetIntegerv(GL.GL_TEXTURE_BINDING_2D), int(context.shadowSize)
    GL.glBindTexture(GL.GL_TEXTURE_2D, int(context.shadowTex))
    GL.glTexImage2D(GL.GL_TEXTURE_2D, 0, GL.GL_DEPTH_COMPONENT24, size, size, 0, GL.GL_DEPTH_COMPONENT, GL.GL_UNSIGNED_INT, None)
    GL.glBindTexture(GL.GL_TEXTURE_2D, bound)


def _close_at_exit(renderer: weakref.ref[GLRenderer]) -> None:
    live = renderer()
    if live is not None:
        live.close()


def probe(timeout: float = 180.0) -> dict[str, str]:
    """Try every renderer on a tiny scene, each in a process of its own, as a broken driver may abort the process.

    Returns {"gl-egl", "gl-osmesa", "warp"} -> "ok, 3.1 ms a frame" or one line that says what failed.
    """
    return {name: probe_one(name, timeout) for name in ("gl-egl", "gl-osmesa", "warp")}


def probe_one(name: str, timeout: float = 180.0) -> str:
    """One renderer's line of `probe`."""
    env = dict(os.environ)
    env["MUJOCO_GL"] = "disabled"  # or importing mujoco would fail first, with a message that helps nobody
    env["PYOPENGL_PLATFORM"] = name.removeprefix("gl-")
    command = [sys.executable, "-c", f"from diswm.envs.render import _time_frames; _time_frames({name!r})"]
    try:
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=timeout)
    except subprocess.TimeoutExpired:
        return f"no answer within {timeout:.0f} s"
    if done.returncode < 0:
        return f"the process was killed by signal {-done.returncode}"
    lines = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()
    return lines[-1] if lines else f"exit code {done.returncode}, without a message"


def _time_frames(name: str) -> None:
    """Body of a probe: prints the median over a few frames of a scene with a floor, a ball, a light and a camera."""
    import mujoco

    model = mujoco.MjModel.from_xml_string(_TINY)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    try:
        renderer = make_renderer("warp" if name == "warp" else "gl", model, data, camera=0, size=64)
    except DiswmError as error:
        sys.exit(str(error))
    times = []
    for _ in range(12):
        start = time.perf_counter()
        image = renderer.draw()
        times.append(time.perf_counter() - start)
    renderer.close()
    if int(image.max()) - int(image.min()) < 30:
        sys.exit("it draws, but the picture is blank")
    print(f"ok, {1e3 * float(np.median(times)):.1f} ms a frame")


_TINY = """<mujoco><worldbody><light pos="0 0 3"/><camera pos="0 -2 1" xyaxes="1 0 0 0 .45 .9"/>
<geom type="plane" size="2 2 .1" rgba=".2 .3 .4 1"/><geom type="sphere" size=".3" pos="0 0 .3" rgba=".9 .6 .2 1"/></worldbody></mujoco>"""

"""Which OpenGL there is: found by ctypes, before MuJoCo or PyOpenGL are imported, as they make up their minds then."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from collections.abc import Iterator
from typing import Any

MEND_GL = "apt-get install --no-install-recommends libegl1 libgl1"


def gl_backend() -> str | None:
    """The OpenGL route of this process: what MUJOCO_GL or PYOPENGL_PLATFORM name, else egl, else osmesa; None if neither works."""
    asked = os.environ.get("PYOPENGL_PLATFORM") or os.environ.get("MUJOCO_GL", "")
    if asked.lower() in ("egl", "osmesa", "glfw"):
        return asked.lower()
    if sys.platform != "linux":
        return "glfw"
    if _egl_works():
        return "egl"
    return "osmesa" if _library("libOSMesa.so.8", "libOSMesa.so.6", "libOSMesa.so") is not None else None


def settle_gl() -> None:
    """Set MUJOCO_GL, unless it is set, to what works here. Call before mujoco or dm_control are imported: they read it then,
    and without GL their own default fails, even for physics alone."""
    if "MUJOCO_GL" not in os.environ:
        os.environ["MUJOCO_GL"] = gl_backend() or "disabled"


def context_class(backend: str) -> Any:
    if backend == "egl":
        from mujoco.egl import GLContext
    elif backend == "osmesa":
        from mujoco.osmesa import GLContext
    else:
        from mujoco.glfw import GLContext
    return GLContext


@contextlib.contextmanager
def context_kept(backend: str) -> Iterator[None]:
    """At its end the thread's context, if it is EGL's, is the one of its beginning, or none: other libraries, dm_control for one, take it
    that the one they made current last still is, and would draw in ours."""
    if backend != "egl":
        yield
        return
    from OpenGL import EGL

    before = EGL.eglGetCurrentDisplay(), *map(EGL.eglGetCurrentSurface, (EGL.EGL_DRAW, EGL.EGL_READ)), EGL.eglGetCurrentContext()
    try:
        yield
    finally:
        if before[-1]:
            EGL.eglMakeCurrent(*before)
        elif EGL.eglGetCurrentContext():
            EGL.eglMakeCurrent(EGL.eglGetCurrentDisplay(), *before[1:])


def _library(*names: str) -> Any:
    for name in names:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    return None


def _egl_works() -> bool:
    """Whether a headless EGL device can be initialised; by ctypes, as PyOpenGL cannot change its mind within a process."""
    egl = _library("libEGL.so.1")
    if egl is None or _library("libGL.so.1", "libOpenGL.so.0") is None:
        return False
    egl.eglGetProcAddress.restype = ctypes.c_void_p
    query, display_of = (egl.eglGetProcAddress(name) for name in (b"eglQueryDevicesEXT", b"eglGetPlatformDisplayEXT"))
    if not query or not display_of:
        return False
    devices, count = (ctypes.c_void_p * 16)(), ctypes.c_int()
    kind = ctypes.CFUNCTYPE(ctypes.c_uint, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
    if not kind(query)(16, ctypes.addressof(devices), ctypes.addressof(count)):
        return False
    get_display = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_uint, ctypes.c_void_p, ctypes.c_void_p)(display_of)
    egl.eglInitialize.argtypes = [ctypes.c_void_p] * 3
    displays = (get_display(0x313F, device, None) for device in devices[: count.value])  # EGL_PLATFORM_DEVICE_EXT
    return any(display and egl.eglInitialize(display, None, None) for display in displays)

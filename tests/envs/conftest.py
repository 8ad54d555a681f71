from __future__ import annotations

import contextlib
import functools
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from diswm.envs import ColourConfig, EnvConfig

TOYS = ("toy", "toy_sparse", "toy_terminal")


@functools.cache
def why_not(renderer: str) -> str:
    """Why a renderer cannot be tested here; empty if it can."""
    pytest.importorskip("dm_control", reason="the dm_control suite is not installed")
    from diswm.envs import opengl, render

    opengl.settle_gl()
    # Drivers of OpenGL may abort the process that tries them. The ray caster does not: what it loads serves the tests to come as well.
    line = _here(render._time_frames, renderer) if renderer == "warp" else render.probe_one({"gl": "gl-egl"}.get(renderer, renderer))
    return "" if line.startswith("ok") else f"no {renderer} renderer here: {line}"


def _here(probe: Callable[[str], None], name: str) -> str:
    """What the body of a probe prints, or ends with."""
    with contextlib.redirect_stdout(io.StringIO()) as said:
        try:
            probe(name)
        except SystemExit as failed:
            return str(failed)
    return said.getvalue().strip()


@pytest.fixture(scope="session")
def config_of() -> Callable[[str, str], EnvConfig]:
    """The EnvConfig of task and renderer; skips where the renderer is absent, or what draws Gymnasium's own."""

    def find(task: str, renderer: str) -> EnvConfig:
        if renderer == "gymnasium":
            pytest.importorskip("pygame", reason="pygame, which draws Gymnasium's classic worlds, is not installed")
        elif renderer != "numpy" and why_not(renderer):
            pytest.skip(why_not(renderer))
        if task.startswith("drawer"):
            pytest.importorskip("metaworld", reason="metaworld is not installed")
        own = renderer in ("numpy", "gymnasium")
        return EnvConfig(task=task, renderer="auto" if own else renderer, distract=ColourConfig())  # type: ignore[arg-type]

    return find


@pytest.fixture
def warp() -> None:
    if why_not("warp"):
        pytest.skip(why_not("warp"))


@pytest.fixture
def gl() -> None:
    if why_not("gl"):
        pytest.skip(why_not("gl"))


@pytest.fixture(params=["warp", "gl"])
def renderer(request: pytest.FixtureRequest) -> str:
    """Each renderer in turn; skips the absent."""
    if why_not(request.param):
        pytest.skip(why_not(request.param))
    return str(request.param)


class _Blank:
    """Stands in for a renderer."""

    name = "warp"

    def draw(self, look: Any = None) -> np.ndarray:
        return np.zeros((64, 64, 3), np.uint8)

    def reset(self) -> None:
        pass

    def close(self) -> None:
        pass


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], None]:
    """Has the scenes of a module of `diswm.envs` draw nothing, for tests that look at no picture."""
    return lambda module: monkeypatch.setattr(module, "make_renderer", lambda *args: _Blank())

from __future__ import annotations

import functools
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
    from diswm.envs.render import probe_one

    line = "ok" if renderer == "numpy" else probe_one({"gl": "gl-egl"}.get(renderer, renderer))
    return "" if line.startswith("ok") else f"no {renderer} renderer here: {line}"


@pytest.fixture
def config(request: pytest.FixtureRequest) -> EnvConfig:
    """An EnvConfig of a (task, renderer) parameter; skips where the renderer is absent, or what draws Gymnasium's own."""
    task, renderer = request.param
    if renderer == "gymnasium":
        pytest.importorskip("pygame", reason="pygame, which draws Gymnasium's classic worlds, is not installed")
    elif renderer != "numpy" and why_not(renderer):
        pytest.skip(why_not(renderer))
    if task.startswith("drawer"):
        pytest.importorskip("metaworld", reason="metaworld is not installed")
    own = renderer in ("numpy", "gymnasium")
    return EnvConfig(task=task, renderer="auto" if own else renderer, distract=ColourConfig())


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

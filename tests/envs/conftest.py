from __future__ import annotations

import functools

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
    """An EnvConfig of a (task, renderer) parameter; skips where the renderer is absent."""
    task, renderer = request.param
    if renderer != "numpy" and why_not(renderer):
        pytest.skip(why_not(renderer))
    return EnvConfig(task=task, renderer="auto" if renderer == "numpy" else renderer, distract=ColourConfig())


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

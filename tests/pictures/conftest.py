from __future__ import annotations

import pytest


@pytest.fixture
def gl() -> None:
    """Skips where OpenGL or the suite is missing."""
    pytest.importorskip("dm_control", reason="the dm_control suite is not installed")
    from diswm.envs.render import probe_one

    if not (line := probe_one("gl-egl")).startswith("ok"):
        pytest.skip(f"no gl renderer here: {line}")

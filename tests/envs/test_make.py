from __future__ import annotations

import subprocess
import sys

import pytest

from diswm import envs
from diswm.contract import DiswmError
from diswm.envs import EnvConfig


def test_an_unknown_task_names_the_nearest() -> None:
    with pytest.raises(DiswmError, match=r"walkr_walk.*walker_walk.*lists all"):
        envs.make(EnvConfig(task="walkr_walk"))
    with pytest.raises(DiswmError, match="lists all"):
        envs.make(EnvConfig(task="???"))


def test_the_tasks_are_those_of_the_suite() -> None:
    pytest.importorskip("dm_control", reason="the dm_control suite is not installed")
    from diswm.envs import dmc

    installed = {f"{domain}_{name}" for domain, name in dmc.suite.ALL_TASKS}
    assert {t for t in envs.tasks() if not t.startswith(("toy", "drawer_")) and t != "pusher"} == installed
    assert len(set(envs.tasks())) == len(envs.tasks())
    assert dmc.split("humanoid_CMU_walk") == ("humanoid_CMU", "walk")


@pytest.mark.parametrize(
    "bad", [{"action_repeat": 0}, {"action_repeat": 2.0}, {"image_size": 4}, {"time_limit": 0}, {"shadow_size": -1}, {"renderer": "vulkan"}]
)
def test_bad_values_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(DiswmError, match=next(iter(bad))):
        EnvConfig(**bad)  # type: ignore[arg-type]


def test_importing_the_package_loads_no_simulator() -> None:
    code = (
        "import sys, diswm.envs as e; e.tasks(); e.make(e.EnvConfig(task='toy'), 0).reset(seed=0)\n"
        "heavy = [m for m in ('mujoco', 'dm_control', 'metaworld', 'warp', 'OpenGL', 'torch') if m in sys.modules]\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr

"""The package as others meet it: a light import, one version, complete metadata."""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

import diswm

ROOT = Path(__file__).resolve().parents[1]
HEAVY = [
    "mujoco",
    "dm_control",
    "mujoco_warp",
    "warp",
    "OpenGL",
    "metaworld",
    "tensorboard",
    "wandb",
    "matplotlib",
    "torch.utils.tensorboard",
]


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def installed() -> importlib.metadata.PackageMetadata:
    try:
        return importlib.metadata.metadata("diswm")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("diswm runs from the source here, it is not installed")


def test_import_is_light() -> None:
    code = "import sys, diswm; print(diswm.__version__); print(*sorted(sys.modules))"
    path = os.pathsep.join(filter(None, [str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]))
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, env={**os.environ, "PYTHONPATH": path}, check=False
    )
    assert done.returncode == 0, done.stderr
    version, modules = done.stdout.splitlines()
    assert version == diswm.__version__
    loaded = [name for name in HEAVY if name in modules.split()]
    assert not loaded, f"`import diswm` loads {loaded}: import them inside the functions that need them"
    assert not done.stderr, f"`import diswm` prints: {done.stderr}"


def test_the_version_is_said_once(installed: importlib.metadata.PackageMetadata) -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+([ab]\d+|rc\d+|\.dev\d+)?", diswm.__version__)
    assert installed["Version"] == diswm.__version__, "reinstall after a change of version: make -B setup"


def test_the_citation_has_the_same_version() -> None:
    lines = (ROOT / "CITATION.cff").read_text().splitlines()
    assert f"version: {diswm.__version__}" in lines


def test_metadata_is_complete(installed: importlib.metadata.PackageMetadata, project: dict[str, Any]) -> None:
    assert installed["Name"] == project["name"]
    assert installed["Summary"] == project["description"]
    assert installed["Requires-Python"] == project["requires-python"]
    assert installed["License-Expression"] == project["license"]
    assert installed["Description-Content-Type"] == "text/markdown"
    assert set(installed.get_all("Provides-Extra") or []) == set(project["optional-dependencies"])


def test_requirements_are_those_of_pyproject(installed: importlib.metadata.PackageMetadata, project: dict[str, Any]) -> None:
    core = [line for line in installed.get_all("Requires-Dist") or [] if "extra ==" not in line]
    names = [re.split(r"[^A-Za-z0-9_.-]", line)[0].lower() for line in core]
    expected = [re.split(r"[^A-Za-z0-9_.-]", line)[0].lower() for line in project["dependencies"]]
    assert sorted(names) == sorted(expected), "reinstall after a change of dependencies: make -B setup"


def test_the_command_is_declared(installed: importlib.metadata.PackageMetadata, project: dict[str, Any]) -> None:
    scripts = importlib.metadata.distribution(installed["Name"]).entry_points.select(group="console_scripts")
    assert {script.name: script.value for script in scripts} == project["scripts"] == {"diswm": "diswm.cli:main"}


def test_every_verb_is_a_function() -> None:
    from diswm.verbs import VERBS

    functions = {"report": "write_report", "demo": "run_demo", "doctor": "diagnose", "data": "data_info", "bench": "run_bench"}
    functions |= {"factors": "draw_factors", "metrics": "score"}
    for verb in VERBS:
        assert callable(getattr(diswm, functions.get(verb, verb.replace("-", "_"))))
    with pytest.raises(AttributeError, match="no attribute 'fly'"):
        diswm.fly  # noqa: B018

"""The doctor on imagined machines: nothing here depends on the one that runs the tests."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from diswm import doctor
from diswm.doctor import FAIL, GIB, OK, WARN, Check

SRC = Path(__file__).resolve().parents[1] / "src"
DECLARED = [
    "torch<2.14,>=2.13",
    "numpy<3,>=2.0",
    "mujoco==3.16.*; extra == 'dmc'",
    "dm-control==1.0.49; extra == 'dmc'",
    "diswm[dmc]; extra == 'warp'",
    "mujoco==3.16.*; extra == 'warp'",
    "mujoco-warp==3.16.*; extra == 'warp'",
    "ruff<1,>=0.14; extra == 'dev'",
]
GOOD = {"diswm": "0.1.0", "torch": "2.13.0+cpu", "numpy": "2.4.6", "mujoco": "3.16.0", "dm-control": "1.0.49", "mujoco-warp": "3.16.0"}


def install(monkeypatch: pytest.MonkeyPatch, versions: dict[str, str], declared: list[str] | None = DECLARED) -> None:
    """Pretend that these packages, and no others, are installed."""

    def version(name: str) -> str:
        try:
            return versions[name.replace("_", "-")]
        except KeyError:
            raise importlib.metadata.PackageNotFoundError(name) from None

    def requires(name: str) -> list[str]:
        version(name)
        return declared or []

    monkeypatch.setattr(importlib.metadata, "version", version)
    monkeypatch.setattr(importlib.metadata, "requires", requires)


def install_renderers(monkeypatch: pytest.MonkeyPatch, probe: Any) -> None:
    envs, module = types.ModuleType("diswm.envs"), types.ModuleType("diswm.envs.render")
    module.probe = probe  # type: ignore[attr-defined]
    envs.render = module  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "diswm.envs", envs)
    monkeypatch.setitem(sys.modules, "diswm.envs.render", module)


def by_name(checks: list[Check]) -> dict[str, Check]:
    assert len({check.name for check in checks}) == len(checks)
    return {check.name: check for check in checks}


# ---- the whole


def test_a_good_machine_is_ready(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    install(monkeypatch, GOOD)
    install_renderers(monkeypatch, lambda: {"gl-egl": {"ok": True, "ms": 9.87, "error": None}})
    monkeypatch.setattr(sys, "version_info", (3, 12, 1))
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda place: types.SimpleNamespace(free=100 * GIB))
    monkeypatch.setattr(doctor, "available_memory", lambda *files: 16 * GIB)
    monkeypatch.setattr(doctor, "check_gpu", lambda: [Check("gpu", OK, "none")])
    checks = doctor.diagnose(folder=tmp_path / "runs")
    assert [check for check in checks if check.status != OK] == []
    assert doctor.healthy(checks)
    assert by_name(checks)["render gl-egl"].detail == "draws, 9.9 ms a frame"
    assert not (tmp_path / "runs").exists()


def test_a_machine_with_nothing_gets_remedies_and_no_exception(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    install(monkeypatch, {})
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setitem(sys.modules, "packaging.specifiers", None)
    monkeypatch.setitem(sys.modules, "diswm.envs", None)
    checks = by_name(doctor.diagnose(folder=tmp_path))
    assert not doctor.healthy(list(checks.values()))
    for name in ("torch", "numpy", "renderers", "gpu"):
        assert checks[name].status == FAIL
        assert "pip install" in checks[name].remedy
    assert checks["torch"].remedy == "pip install 'torch==2.13.0'"


def test_a_check_that_breaks_becomes_its_result(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def breaks() -> list[Check]:
        raise RuntimeError("two\nlines")

    install(monkeypatch, GOOD)
    monkeypatch.setattr(doctor, "check_renderers", breaks)
    monkeypatch.setattr(doctor, "check_processor", breaks)
    checks = by_name(doctor.diagnose(folder=tmp_path))
    assert checks["processor"] == Check("processor", WARN, "could not be checked: RuntimeError: two lines")


def test_the_head_imports_the_standard_library_only() -> None:
    code = f"import sys; sys.path.insert(0, {str(SRC)!r}); import diswm.doctor; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, timeout=120, env=dict(os.environ), check=True)
    assert not {"numpy", "torch", "packaging", "mujoco"} & set(done.stdout.split())


# ---- packages


def test_every_package_that_runs_need_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, {**GOOD, "torch": "2.15.0", "mujoco": "4.0.0"})
    pytest.importorskip("packaging")
    checks = by_name(doctor.check_packages())
    assert list(checks) == ["diswm", "torch", "numpy", "mujoco", "dm-control", "mujoco-warp"]
    assert checks["torch"].status == checks["mujoco"].status == WARN
    assert checks["torch"].remedy == "pip install 'torch==2.13.0'"
    assert checks["mujoco"].remedy == "pip install 'mujoco==3.16.*'"
    assert checks["numpy"] == Check("numpy", OK, "2.4.6")


def test_missing_packages_fail_only_where_every_run_needs_them(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, {"diswm": "0.1.0", "torch": "2.13.0"})
    checks = by_name(doctor.check_packages())
    assert checks["numpy"].status == FAIL
    assert checks["mujoco-warp"].status == WARN
    assert checks["mujoco-warp"].remedy == "pip install 'mujoco-warp==3.16.*'"


def test_versions_that_cannot_be_compared_are_only_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, {**GOOD, "numpy": "built by hand"})
    assert by_name(doctor.check_packages())["numpy"].status == OK
    monkeypatch.setitem(sys.modules, "packaging.specifiers", None)
    assert doctor.within("2.4.6", ">=2.0") is None


def test_requirements_with_brackets_and_parentheses() -> None:
    assert list(doctor.parse_requirements(["gymnasium[mujoco] (>=1.2)", "tyro"])) == [("gymnasium", ">=1.2", ""), ("tyro", "", "")]


@pytest.mark.parametrize(
    ("mujoco", "control", "warp", "words"),
    [
        ("3.16.0", "1.0.49", "3.16.0", None),
        ("3.16.2", "1.0.49", None, None),
        ("4.0.0", "1.0.50", None, "mujoco 4.0.0 does not go with dm_control 1.0.50 (no release of it is known to fit)"),
        ("3.16.0", "1.0.50", None, "mujoco 3.16.0 does not go with dm_control 1.0.50 (its partner is 1.0.49)"),
        ("3.17.0", "1.0.50", "3.16.0", "mujoco 3.17.0 does not go with mujoco-warp 3.16.0"),
    ],
)
def test_the_simulators_go_together(
    monkeypatch: pytest.MonkeyPatch, mujoco: str, control: str, warp: str | None, words: str | None
) -> None:
    install(monkeypatch, {"mujoco": mujoco, "dm-control": control, **({"mujoco-warp": warp} if warp else {})})
    (check,) = doctor.check_pairing()
    assert check.status == (WARN if words else OK)
    if words:
        assert check.detail == words
        assert "'mujoco==3.16.*' 'dm_control==1.0.49'" in check.remedy


def test_no_simulator_no_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, {})
    assert doctor.check_pairing() == []


@pytest.mark.parametrize(("version", "status"), [((3, 10, 2), FAIL), ((3, 11, 0), OK), ((3, 12, 1), OK), ((3, 13, 0), WARN)])
def test_python(monkeypatch: pytest.MonkeyPatch, version: tuple[int, int, int], status: str) -> None:
    monkeypatch.setattr(sys, "version_info", version)
    (check,) = doctor.check_python()
    assert check.status == status
    assert bool(check.remedy) == (status != OK)


# ---- renderers


def test_one_renderer_is_enough_and_the_others_get_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    install_renderers(
        monkeypatch,
        lambda: {
            "gl-egl": {"ok": False, "ms": None, "error": "libEGL.so.1:\n  not found"},
            "gl-osmesa": "no library",
            "warp": "ok, 0.8 ms a frame",
        },
    )
    checks = by_name(doctor.check_renderers())
    assert doctor.healthy(list(checks.values()))
    assert checks["render warp"] == Check("render warp", OK, "draws, 0.8 ms a frame")
    assert checks["render gl-egl"].detail == "libEGL.so.1: not found"
    assert "libegl1 libgl1" in checks["render gl-egl"].remedy
    assert "libosmesa6" in checks["render gl-osmesa"].remedy


@pytest.mark.parametrize("probe", [lambda: {}, lambda: {"warp": "missing"}, lambda: {"warp": {"ok": False}}, lambda: 1 / 0, lambda: None])
def test_no_renderer_is_a_failure(monkeypatch: pytest.MonkeyPatch, probe: Any) -> None:
    install_renderers(monkeypatch, probe)
    checks = by_name(doctor.check_renderers())
    assert checks["renderers"].status == FAIL
    assert "diswm[warp]" in checks["renderers"].remedy


@pytest.mark.parametrize(
    ("value", "works"),
    [
        ({"ok": True, "ms": 3}, True),
        ({"ms": 3.0, "error": None}, True),
        ({"error": "x"}, False),
        ("ok", True),
        ("broken", False),
        ("okapi library missing", False),
        (True, True),
        (None, False),
    ],
)
def test_a_trial_is_read_in_any_form(value: Any, works: bool) -> None:
    assert doctor.read_probe(value)[0] is works


# ---- the machine


def test_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    need = doctor.replay_bytes(500_000, 6)
    assert 500_000 * 64 * 64 * 3 < need < 500_000 * 64 * 64 * 3 * 1.05
    for free, status in [(need - 1, FAIL), (need + 1, WARN), (2 * need, OK)]:
        monkeypatch.setattr(doctor.shutil, "disk_usage", lambda place, free=free: types.SimpleNamespace(free=free))
        (check,) = doctor.check_disk(500_000, 6, tmp_path / "not" / "there")
        assert check.status == status
        assert str(tmp_path) in check.detail
        assert "500,000 rows takes 5.9 GiB" in check.detail
    monkeypatch.setattr(doctor.os, "access", lambda place, mode: False)
    assert doctor.check_disk(10, 6, tmp_path)[0].status == FAIL


def test_memory_is_that_of_the_container(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    assert doctor.available_memory(meminfo, tmp_path) is None
    meminfo.write_text("MemTotal: 9 kB\nMemAvailable:    8388608 kB\n")
    assert doctor.available_memory(meminfo, tmp_path) == 8 * GIB
    (tmp_path / "memory.current").write_text(str(GIB))
    (tmp_path / "memory.max").write_text("max\n")
    assert doctor.available_memory(meminfo, tmp_path) == 8 * GIB
    (tmp_path / "memory.max").write_text(str(4 * GIB))
    assert doctor.available_memory(meminfo, tmp_path) == 3 * GIB


@pytest.mark.parametrize(("available", "status"), [(None, OK), (GIB, WARN), (64 * GIB, OK)])
def test_memory(monkeypatch: pytest.MonkeyPatch, available: int | None, status: str) -> None:
    monkeypatch.setattr(doctor, "available_memory", lambda *files: available)
    assert doctor.check_memory()[0].status == status


def test_processor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "cpuinfo"
    assert doctor.read_cpuinfo(file) == ("", set())
    file.write_text("processor : 0\nmodel name\t: A CPU @ 2 GHz\nflags\t\t: sse avx512_bf16 amx_bf16\n")
    assert doctor.read_cpuinfo(file) == ("A CPU @ 2 GHz", {"sse", "avx512_bf16", "amx_bf16"})
    monkeypatch.setattr(doctor, "read_cpuinfo", lambda file: ("A CPU", {"amx_bf16"}))
    monkeypatch.setattr(doctor, "usable_cores", lambda: 2)
    assert doctor.check_processor()[0].detail == "A CPU, 2 cores usable, bf16 units: amx_bf16"


def test_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    class Cuda:
        is_available = staticmethod(lambda: True)
        device_count = staticmethod(lambda: 2)
        get_device_properties = staticmethod(lambda index: types.SimpleNamespace(name=f"GPU {index}", total_memory=8 * GIB))

    torch = types.SimpleNamespace(cuda=Cuda, version=types.SimpleNamespace(cuda=None))
    monkeypatch.setitem(sys.modules, "torch", torch)
    assert doctor.check_gpu()[0].detail == "GPU 0, 8.0 GiB; GPU 1, 8.0 GiB"
    monkeypatch.setattr(Cuda, "is_available", staticmethod(lambda: False))
    assert doctor.check_gpu()[0] == Check("gpu", OK, "no CUDA device (this build of torch has none): runs use the processor")


# ---- words


def test_the_page_is_plain_and_aligned() -> None:
    text = doctor.render(
        [Check("python", OK, "3.12.1"), Check("renderers", WARN, "one is slow", "apt-get install it"), Check("disk", FAIL, "full")]
    )
    assert text.splitlines() == [
        "ok    python     3.12.1",
        "warn  renderers  one is slow",
        "                 -> apt-get install it",
        "fail  disk       full",
        "",
        "1 ok, 1 warn, 1 fail: not ready: mend what says fail",
    ]
    assert doctor.render([]).endswith("ready")


def test_only_a_failure_makes_it_unhealthy() -> None:
    assert doctor.healthy([Check("a", OK, ""), Check("b", WARN, "")])
    assert not doctor.healthy([Check("a", OK, ""), Check("b", FAIL, "")])
    assert len(doctor.one_line("word " * 100)) == 160

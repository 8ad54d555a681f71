"""What works on this machine, what does not, and the command that mends it.

Every check stands alone and survives the absence of everything else: nothing is imported at the head but the standard
library and what needs no more, and what goes wrong inside a check becomes its result. ``fail`` is kept for what stops
every run (no torch, no renderer, no room on the disk); ``warn`` is for what stops some of them or makes them slow.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from diswm.cores import usable_cores
from diswm.imports import uncollected

OK, WARN, FAIL = "ok", "warn", "fail"

GIB = 1 << 30
FRAME_BYTES = 64 * 64 * 3
CODE_BYTES = 4 * 64  # the teacher's code of a frame, kept beside it; 64 is more than any method here uses
TRAINING_BYTES = 4 * GIB  # an estimate for one full-size update (batch 50 x 50, horizon 15); the replay lies on disk

RENDERERS = {
    "gl-egl": "apt-get install --no-install-recommends libegl1 libgl1",
    "gl-osmesa": "apt-get install --no-install-recommends libosmesa6",
    "warp": "pip install 'diswm[warp]'",
}
# mujoco, dm_control and mujoco-warp are one set: dm_control reads fields of MuJoCo's structures that other releases lack.
DM_CONTROL_OF = {"3.10": "1.0.43", "3.12": "1.0.45", "3.15": "1.0.48", "3.16": "1.0.49", "3.17": "1.0.50"}
PAIRED = "pip install 'mujoco==3.16.*' 'dm_control==1.0.49' 'mujoco-warp==3.16.*' 'warp-lang>=1.19,<2'"
PIN = {"torch": "torch==2.13.0"}  # what to install where the declared range would do, but one release was tried
FALLBACK = ["torch>=2.11,<2.14", "numpy>=2.0,<3", "gymnasium>=1.2,<2"]  # where diswm itself has no metadata
LATER = {
    "metaworld": "only for drawer_open and drawer_close",
    "wandb": "only for logging to Weights & Biases",
    "numba": "only for speed on a CPU: without it updates take a quarter longer, dog and quadruped_escape by OpenGL up to twice as long",
    "av": "only to read .mp4",
    "h5py": "only to read HDF5",
}


class Check(NamedTuple):
    name: str
    status: str  # OK, WARN or FAIL
    detail: str
    remedy: str = ""


def diagnose(replay_rows: int = 500_000, action_dim: int = 6, folder: Path = Path("runs")) -> list[Check]:
    """Every check, in the order in which a user meets the things that they look at; never raises."""
    parts: list[tuple[str, Callable[[], list[Check]]]] = [
        ("python", check_python),
        ("packages", check_packages),
        ("simulators", check_pairing),
        ("renderers", check_renderers),
        ("processor", check_processor),
        ("gpu", check_gpu),
        ("disk", lambda: check_disk(replay_rows, action_dim, folder)),
        ("memory", check_memory),
        ("optional", check_optional),
    ]
    return [check for name, part in parts for check in guarded(name, part)]


def guarded(name: str, part: Callable[[], list[Check]]) -> list[Check]:
    try:
        return part()
    except Exception as error:
        return [Check(name, WARN, f"could not be checked: {one_line(error)}")]


def healthy(checks: list[Check]) -> bool:
    """Whether a run can start here: nothing that every run needs is missing."""
    return all(check.status != FAIL for check in checks)


def render(checks: list[Check]) -> str:
    """Plain aligned text: a mark, the name, what was found, and under it the command that mends it."""
    width = max((len(check.name) for check in checks), default=0)
    lines = []
    for check in checks:
        lines.append(f"{check.status:<4}  {check.name:<{width}}  {check.detail}".rstrip())
        if check.remedy:
            lines.append(f"{'':<4}  {'':<{width}}  -> {check.remedy}")
    count = {status: sum(check.status == status for check in checks) for status in (OK, WARN, FAIL)}
    verdict = "ready" if healthy(checks) else "not ready: mend what says fail"
    return "\n".join([*lines, "", f"{count[OK]} ok, {count[WARN]} warn, {count[FAIL]} fail: {verdict}"])


# ---- Python and packages


def check_python() -> list[Check]:
    detail = f"{platform.python_version()} on {platform.system()} {platform.machine()}, {sys.executable}"
    version = sys.version_info[:2]
    if version < (3, 11):
        return [Check("python", FAIL, detail, "diswm needs Python 3.11 or 3.12: make setup PYTHON=python3.12")]
    if version >= (3, 13):
        remedy = "dm_control has a dependency without a wheel for 3.13: make setup PYTHON=python3.12"
        return [Check("python", WARN, detail, remedy)]
    return [Check("python", OK, detail)]


def check_packages() -> list[Check]:
    """The installed versions against the requirements that diswm itself declares."""
    try:
        lines = importlib.metadata.requires("diswm") or []
        checks = [Check("diswm", OK, importlib.metadata.version("diswm"))]
    except importlib.metadata.PackageNotFoundError:
        lines = FALLBACK
        checks = [Check("diswm", WARN, "runs from source, is not installed", "pip install -e .")]
    return checks + [check_package(*requirement) for requirement in parse_requirements(lines)]


def parse_requirements(lines: list[str]) -> Iterator[tuple[str, str, str]]:
    """(name, version range, extra) of each requirement, once, without the development tools and extras of our own."""
    seen = {"diswm"}
    for line in lines:
        required, _, marker = line.partition(";")
        match = re.match(r"\s*([A-Za-z0-9._-]+)\s*(?:\[[^]]*\])?\s*\(?([^)]*)\)?\s*$", required)
        extra = re.search(r"extra\s*==\s*['\"]([^'\"]+)['\"]", marker)
        if match and match[1] not in seen and (extra is None or extra[1] in {"dmc", "warp"}):
            seen.add(match[1])
            yield match[1], match[2].strip(), extra[1] if extra else ""


def check_package(name: str, wanted: str, extra: str) -> Check:
    remedy = f"pip install '{PIN.get(name, name + wanted)}'"
    have = version_of(name)
    if have is None:
        detail = f"not installed; only the extra '{extra}' needs it" if extra else "not installed, but every run needs it"
        return Check(name, WARN if extra else FAIL, detail, remedy)
    fits = within(have, wanted)
    if fits is None:
        return Check(name, OK, f"{have} (could not be compared with {wanted})")
    return Check(name, OK, have) if fits else Check(name, WARN, f"{have}, but {wanted} is what diswm is tested with", remedy)


def version_of(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def within(have: str, wanted: str) -> bool | None:
    """Whether a version lies in a range; None where the means to compare are missing or the version is no number."""
    try:
        from packaging.specifiers import SpecifierSet
        from packaging.version import Version

        return SpecifierSet(wanted).contains(Version(have), prereleases=True)
    except (ImportError, ValueError):
        return None


def check_pairing() -> list[Check]:
    """pip cannot see it when mujoco and dm_control do not fit: dm_control asks for a newer mujoco without an upper bound."""
    mujoco, control, warp = (version_of(name) for name in ("mujoco", "dm_control", "mujoco-warp"))
    if mujoco is None or (control is None and warp is None):
        return []
    minor = ".".join(mujoco.split(".")[:2])
    problems = []
    if control is not None and DM_CONTROL_OF.get(minor) != control:
        partner = DM_CONTROL_OF.get(minor)
        problems.append(f"dm_control {control}" + (f" (its partner is {partner})" if partner else " (no release of it is known to fit)"))
    if warp is not None and ".".join(warp.split(".")[:2]) != minor:
        problems.append(f"mujoco-warp {warp}")
    if problems:
        return [Check("simulators", WARN, f"mujoco {mujoco} does not go with {' nor with '.join(problems)}", PAIRED)]
    return [Check("simulators", OK, "mujoco, dm_control and mujoco-warp go together")]


# ---- rendering


def check_renderers() -> list[Check]:
    """Each renderer draws a frame; one is enough."""
    try:
        from diswm.envs import render as renderers

        found = dict(renderers.probe())
    except Exception as error:
        return [Check("renderers", FAIL, f"none could be tried: {one_line(error)}", "pip install 'diswm[warp]'")]
    results = {name: read_probe(value) for name, value in found.items()}
    any_works = any(works for works, _ in results.values())
    checks = [
        Check(f"render {name}", OK if works else WARN, detail, "" if works else RENDERERS.get(name, ""))
        for name, (works, detail) in results.items()
    ]
    if any_works:
        return checks
    remedy = f"one is enough: {RENDERERS['warp']}, or {RENDERERS['gl-egl']}"
    return [*checks, Check("renderers", FAIL, "no renderer works: the simulators cannot draw", remedy)]


def read_probe(value: Any) -> tuple[bool, str]:
    """(works, words) of a renderer's trial: a line that begins with "ok", or a dict with ``ok``, ``ms`` and ``error``."""
    if isinstance(value, dict):
        works = bool(value.get("ok", not value.get("error")))
        ms = value.get("ms")
        words = f"{ms:.1f} ms a frame" if isinstance(ms, int | float) else ""
        value = f"ok, {words}" if works else value.get("error")
    text = one_line(value or "")
    works = value is True or re.match(r"ok\b", text, re.I) is not None
    if not works:
        return False, text or "does not work"
    time = text.partition(",")[2].strip()
    return True, "draws" + (f", {time}" if time else "")


# ---- the machine


def check_processor() -> list[Check]:
    name, flags = read_cpuinfo(Path("/proc/cpuinfo"))
    units = [flag for flag in ("amx_bf16", "avx512_bf16", "bf16") if flag in flags]
    half = f"bf16 units: {', '.join(units)}" if units else "no bf16 units (float32 is the faster choice)"
    detail = f"{name or platform.processor() or platform.machine()}, {usable_cores()} cores usable, {half}"
    return [Check("processor", OK, detail)]


def read_cpuinfo(file: Path) -> tuple[str, set[str]]:
    """The processor's name and feature flags; empty where the system keeps no such file."""
    try:
        text = file.read_text()
    except OSError:
        return "", set()
    name = re.search(r"^model name\s*:\s*(.+)$", text, re.M)
    flags = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", text, re.M)
    return name[1].strip() if name else "", set(flags[1].split()) if flags else set()


def check_gpu() -> list[Check]:
    try:
        with uncollected():
            import torch
    except Exception as error:
        return [Check("gpu", FAIL, f"torch does not import: {one_line(error)}", f"pip install '{PIN['torch']}'")]
    if not torch.cuda.is_available():
        kind = "this build of torch has none" if torch.version.cuda is None else f"torch was built for CUDA {torch.version.cuda}"
        return [Check("gpu", OK, f"no CUDA device ({kind}): runs use the processor")]
    devices = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
    return [Check("gpu", OK, "; ".join(f"{device.name}, {size(device.total_memory)}" for device in devices))]


def replay_bytes(rows: int, action_dim: int) -> int:
    """What a replay of so many rows takes on disk: the image, the action, the reward, three flags and the teacher's code."""
    return rows * (FRAME_BYTES + 4 * action_dim + 4 + 3 + CODE_BYTES)


def check_disk(rows: int, action_dim: int, folder: Path) -> list[Check]:
    place = existing_parent(folder)
    need, free = replay_bytes(rows, action_dim), shutil.disk_usage(place).free
    detail = f"{size(free)} free in {place}; a replay of {rows:,} rows takes {size(need)}"
    if not os.access(place, os.W_OK):
        return [Check("disk", FAIL, f"{place} cannot be written to", "choose another folder for the runs")]
    if free < need:
        return [Check("disk", FAIL, detail, f"free {size(need - free)}, choose another disk, or a smaller replay")]
    if free < 1.2 * need:
        return [Check("disk", WARN, detail + "; episodes and checkpoints come on top", "free some space, or choose a smaller replay")]
    return [Check("disk", OK, detail)]


def existing_parent(folder: Path) -> Path:
    folder = folder.expanduser().absolute()
    return next(place for place in (folder, *folder.parents) if place.is_dir())


def check_memory() -> list[Check]:
    available = available_memory(Path("/proc/meminfo"), Path("/sys/fs/cgroup"))
    if available is None:
        return [Check("memory", OK, f"unknown on this system; training takes about {size(TRAINING_BYTES)}")]
    detail = f"{size(available)} available; training takes about {size(TRAINING_BYTES)}, the replay stays on disk"
    if available < TRAINING_BYTES:
        return [Check("memory", WARN, detail, "close other programs, or choose a smaller batch")]
    return [Check("memory", OK, detail)]


def available_memory(meminfo: Path, cgroup: Path) -> int | None:
    """Bytes that a new process may take: the system's figure, or what a container's limit leaves where that is less."""
    try:
        match = re.search(r"^MemAvailable:\s*(\d+) kB", meminfo.read_text(), re.M)
    except OSError:
        return None
    system = int(match[1]) * 1024 if match else None
    try:
        left = int((cgroup / "memory.max").read_text()) - int((cgroup / "memory.current").read_text())
    except (OSError, ValueError):  # no such file, or the word "max"
        return system
    return max(left, 0) if system is None else max(min(left, system), 0)


def check_optional() -> list[Check]:
    missing = [f"{name} ({why})" for name, why in LATER.items() if version_of(name) is None]
    have = [f"{name} {version_of(name)}" for name in LATER if version_of(name) is not None]
    detail = "; ".join(filter(None, [", ".join(have), "not installed: " + ", ".join(missing) if missing else ""]))
    return [Check("optional", OK, detail + "; the ffmpeg program is not needed")]


# ---- words


def size(count: float) -> str:
    return f"{count / GIB:.1f} GiB"


def one_line(error: object, longest: int = 160) -> str:
    name = f"{type(error).__name__}: " if isinstance(error, BaseException) else ""
    text = " ".join(f"{name}{error}".split())
    return text if len(text) <= longest else text[: longest - 3] + "..."

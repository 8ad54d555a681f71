"""What a process sets once, before heavy work: device, threads, memory."""

from __future__ import annotations

import ctypes
import sys

import torch

from diswm.contract import DiswmError
from diswm.cores import usable_cores

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # malloc.h


def prepare(device: str, threads: int = 0) -> str:
    """Set threads and memory for the run and name its device. DiswmError for a device that there is not.

    ``threads`` of 0 are PyTorch's own choice, but no more than there are cores to use: PyTorch does not know a container's quota.
    """
    threads = threads or min(torch.get_num_threads(), usable_cores())
    if threads != torch.get_num_threads():
        torch.set_num_threads(threads)
    _keep_memory()
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise DiswmError(f"The device '{device}' cannot be used ({str(error).splitlines()[0]}). Choose auto, cpu or cuda.") from error
    if torch.device(device).index is not None and torch.device(device).type == "cuda":
        torch.cuda.set_device(device)  # streams, events and names are then of this one
    return device


def _keep_memory() -> None:
    """Let glibc keep freed memory: an update frees and asks again for the same large blocks, and each return to the
    system costs page faults, on a CPU about a tenth of the update's time."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt"):
            libc.mallopt(_M_MMAP_MAX, 0)
            libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def versions() -> dict[str, str]:
    """What is installed of what decides the bytes of a data set."""
    from importlib import metadata

    found = {}
    for name in ("diswm", "numpy", "mujoco", "dm_control", "metaworld", "mujoco-warp"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found

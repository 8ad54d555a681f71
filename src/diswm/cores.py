"""How many cores this process may use: those that it may be scheduled on, or as many as its container's quota of time is worth."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path


def usable_cores(root: Path = Path("/")) -> int:
    """At least 1. A quota of two and a half cores is worth two: a third thread would stand still half of its time, and all would wait."""
    mine = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([mine, *(int(share) for share in _quotas(root))]))


def _quotas(root: Path) -> Iterator[float]:
    """In cores, what Linux's control groups of version 2 and 1 grant this process's group and those that it is in.

    Inside a container the groups' own names may be those of the host, while its files lie at the top: what is not there is passed over.
    """
    try:
        text = (root / "proc/self/cgroup").read_text()
    except (OSError, ValueError):
        return
    for controllers, path in re.findall(r"^\d+:(.*?):/*(.*)$", text, re.M):
        group = Path(path)
        if not controllers:
            names = [""]  # version 2
        elif "cpu" in controllers.split(","):
            names = ["cpu", "cpu,cpuacct", "cpuacct,cpu"]  # as the folder may be called
        else:
            continue
        for folder in (root / "sys/fs/cgroup" / name / part for name in names for part in (group, *group.parents)):
            yield from _share(_words(folder / "cpu.max"))
            yield from _share(_words(folder / "cpu.cfs_quota_us") + _words(folder / "cpu.cfs_period_us"))


def _words(file: Path) -> list[str]:
    try:
        return file.read_text().split()
    except (OSError, ValueError):  # not there, or no text
        return []


def _share(words: list[str]) -> Iterator[float]:
    """Quota and period in microseconds; `max` or -1 where there is no limit."""
    if len(words) == 2 and words[0].isdecimal() and words[1].isdecimal() and int(words[1]):
        yield int(words[0]) / int(words[1])

"""How many cores a process may use, by what it may be scheduled on and by its container's quota."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from diswm.cores import usable_cores
from diswm.runtime import prepare


@pytest.fixture(autouse=True)
def _eight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)


def machine(root: Path, groups: str, files: dict[str, str]) -> Path:
    for name, text in {"proc/self/cgroup": groups, **{f"sys/fs/cgroup/{name}": text for name, text in files.items()}}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize(
    ("groups", "files", "cores"),
    [
        ("0::/\n", {}, 8),
        ("0::/\n", {"cpu.max": "max 100000\n"}, 8),
        ("0::/\n", {"cpu.max": "200000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "270000 100000\n"}, 2),  # 2.7 cores
        ("0::/\n", {"cpu.max": "50000 100000\n"}, 1),
        ("0::/\n", {"cpu.max": "6400000 100000\n"}, 8),  # a quota of more than there is
        ("0::/\n", {"cpu.max": "0 0"}, 8),
        ("0::/\n", {"cpu.max": "nonsense"}, 8),
        ("nonsense\n\n0::/\n", {"cpu.max": "300000 100000"}, 3),
        # the group's parent has the quota; its own is larger
        ("0::/a/b\n", {"a/cpu.max": "300000 100000", "a/b/cpu.max": "500000 100000", "cpu.max": "max 100000"}, 3),
        # version 1, as a container sees it: named as on the host, its files at the top
        ("4:memory:/docker/x\n3:cpu,cpuacct:/docker/x\n",
         {"cpu,cpuacct/cpu.cfs_quota_us": "400000", "cpu,cpuacct/cpu.cfs_period_us": "100000"}, 4),
        ("3:cpuacct,cpu:/\n", {"cpu,cpuacct/cpu.cfs_quota_us": "400000", "cpu,cpuacct/cpu.cfs_period_us": "100000"}, 4),
        ("3:cpu,cpuacct:/\n", {"cpu/cpu.cfs_quota_us": "400000", "cpu/cpu.cfs_period_us": "100000"}, 4),
        ("0::/a\0b\n", {"cpu.max": "400000 100000"}, 4),
        ("3:cpu:/\n0::/\n", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 8),
    ],
)  # fmt: skip
def test_a_containers_quota_counts(tmp_path: Path, groups: str, files: dict[str, str], cores: int) -> None:
    assert usable_cores(machine(tmp_path, groups, files)) == cores


@pytest.mark.parametrize("name", ["proc/self/cgroup", "sys/fs/cgroup/cpu.max"])
def test_what_is_no_text_is_no_quota(tmp_path: Path, name: str) -> None:
    root = machine(tmp_path, "0::/\n", {"cpu.max": "200000 100000"})
    (root / name).write_bytes(b"0::/\xff\xfe 1")
    assert usable_cores(root) == 8


def test_without_control_groups_it_is_what_the_scheduler_says(tmp_path: Path) -> None:
    assert usable_cores(tmp_path) == 8


def test_pytorch_takes_no_more_threads_than_there_are_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(4)
        for cores, threads in ((8, 4), (3, 3)):
            monkeypatch.setattr("diswm.runtime.usable_cores", lambda cores=cores: cores)
            prepare("cpu")
            assert torch.get_num_threads() == threads
        prepare("cpu", threads=5)
        assert torch.get_num_threads() == 5, "who names a number gets it"
    finally:
        torch.set_num_threads(before)

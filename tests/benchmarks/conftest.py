"""Benchmarks run in the process of the tests: one of its own would spend seconds on imports alone."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from diswm import bench

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., list[str]]:
    """Call a benchmark by its name, with flags, each update timed once; the lines that it prints."""

    def run(name: str, *flags: str) -> list[str]:
        monkeypatch.syspath_prepend(FOLDER)
        monkeypatch.setattr(bench, "REPEATS", 1)
        monkeypatch.setattr(sys, "argv", [f"benchmarks/{name}.py", *flags])
        importlib.import_module(name).main()
        return capsys.readouterr().out.splitlines()

    return run

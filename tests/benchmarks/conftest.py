"""Benchmarks run in the process of the tests: one of its own would spend seconds on imports alone."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import small

from diswm import bench
from diswm.presets import PRESETS

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


SIZES = {
    "pretrain": {**small.MODEL, "pretrain.batch": 2, "pretrain.length": 4},
    "train": {**small.MODEL, "env.task": "toy", "train.batch": 2, "train.length": 4, "dreamer.units": 16, "dreamer.starts": 4},
}
"""Of the preset `tiny` here: what is timed is not looked at."""


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., list[str]]:
    """Call a benchmark by its name, with flags, each update timed once; the lines that it prints."""

    def run(name: str, *flags: str) -> list[str]:
        monkeypatch.syspath_prepend(FOLDER)
        monkeypatch.setattr(bench, "REPEATS", 1)
        monkeypatch.setitem(PRESETS, "tiny", {verb: {**values, **SIZES.get(verb, {})} for verb, values in PRESETS["tiny"].items()})
        monkeypatch.setattr(sys, "argv", [f"benchmarks/{name}.py", *flags])
        importlib.import_module(name).main()
        return capsys.readouterr().out.splitlines()

    return run

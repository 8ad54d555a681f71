"""That `diswm bench` measures, prints and is refused in words. Times are not tested."""

from __future__ import annotations

import json

import pytest

from diswm import bench
from diswm.cli import main
from diswm.config import TrainRun
from diswm.methods import for_training
from diswm.presets import apply_preset


def test_every_recorded_call_can_be_timed_alone() -> None:
    """The limit is a sum over all calls of an update, so none may be refused; and it is positive."""
    config = apply_preset(for_training(TrainRun(), "diswm"), "tiny", "train")
    speed = bench.update_speed(config, "cpu", "float32")
    assert speed.precision == "float32"
    assert speed.flop > 0
    assert 0 < speed.limit < float("inf")


def test_the_verb_prints_a_table_or_an_object(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--preset", "tiny", "--method", "dreamerv2", "--device", "cpu", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["update_seconds_float32"] > 0
    assert "update_seconds_bfloat16" in found  # a number, or null where there are no units
    config = apply_preset(for_training(TrainRun(), "dreamerv2"), "tiny", "train")
    text = "\n".join(bench.lines(found, config))
    for words in ("dreamerv2, batch 4 x 8", "GFLOP/s", "held back by", "frames/s"):
        assert words in text


def test_the_verb_is_refused_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--method", "diwm"]) == 2
    assert "diswm" in capsys.readouterr().err

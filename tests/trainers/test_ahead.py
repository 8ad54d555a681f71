"""Batches that are drawn early are those that would be drawn when they are due."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import small
import torch

from diswm import api
from diswm.trainers.ahead import Ahead
from diswm.trainers.checkpoint import last_checkpoint, load_checkpoint, pack


@pytest.mark.parametrize("early", [False, True])
def test_the_same_batches_in_the_same_order(early: bool) -> None:
    held = [10]
    ahead = Ahead(lambda rng: int(rng.integers(held[0])), np.random.default_rng(0), early=early, held=lambda: held[0])
    plain, found, expected = np.random.default_rng(0), [], []
    for i in range(12):
        held[0] = 10 + 1000 * (i // 5)  # at 5 and 10 what was drawn early is of data that are no more
        expected.append(int(plain.integers(held[0])))
        found.append(ahead.take())
        ahead.prepare()
        ahead.prepare()
        assert json.dumps(ahead.state) == json.dumps(plain.bit_generator.state)
    assert found == expected


def test_a_saved_state_gives_the_batch_that_was_due() -> None:
    ahead = Ahead(lambda rng: rng.random(), np.random.default_rng(0), early=True)
    ahead.take()
    ahead.prepare()
    other = Ahead(lambda rng: rng.random(), np.random.default_rng(5), early=True)
    other.prepare()
    other.restore(ahead.state)
    assert other.take() == ahead.take()


def test_runs_that_draw_early_are_the_same_runs(teacher: Path, videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both stages, to the bit, their checkpoints too: here on a CPU, as on a GPU."""

    def runs(folder: Path) -> dict[str, torch.Tensor]:
        found: dict[str, torch.Tensor] = {}
        assert api.pretrain(small.pretrain_config(folder / "video", videos))
        assert api.train(small.train_config(folder / "agent", "diswm", teacher=str(teacher)))
        for run in ("video", "agent"):
            state = load_checkpoint(last_checkpoint(folder / run / "checkpoints"))  # type: ignore[arg-type]
            pack({"agent": state["agent"], "sampler": torch.tensor(list(json.dumps(state["sampler"]).encode()))}, found, run)
        return found

    plain = runs(tmp_path / "plain")
    prepare = Ahead.prepare
    monkeypatch.setattr(Ahead, "prepare", lambda self: (setattr(self, "early", True), prepare(self)))
    early = runs(tmp_path / "early")
    assert plain.keys() == early.keys()
    assert [name for name, value in plain.items() if not torch.equal(value, early[name])] == []
    assert small.events(tmp_path / "plain" / "agent") == small.events(tmp_path / "early" / "agent")

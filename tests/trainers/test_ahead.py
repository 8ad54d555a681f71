"""Batches that are drawn ahead are those that would be drawn when they are due."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small
import torch

from diswm import api
from diswm.trainers.ahead import Ahead
from diswm.trainers.checkpoint import last_checkpoint, load_checkpoint, pack


def same(drawn: Any) -> Any:
    return drawn


@pytest.mark.parametrize("early", [False, True])
def test_the_same_batches_in_the_same_order(early: bool) -> None:
    held = [10]
    ahead = Ahead(lambda rng: int(rng.integers(held[0])), np.random.default_rng(0), same, early=early, held=lambda: held[0])
    plain, found, expected = np.random.default_rng(0), [], []
    for i in range(12):
        ahead.settle()
        held[0] = 10 + 1000 * (i // 5)  # at 5 and 10 what was drawn ahead is of data that are no more
        expected.append(int(plain.integers(held[0])))
        found.append(ahead.take())
        ahead.prepare()
        ahead.prepare()
        assert json.dumps(ahead.state) == json.dumps(plain.bit_generator.state)
    assert found == expected


def test_the_next_batch_is_drawn_in_another_thread_while_this_one_is_in_use() -> None:
    here, begun = threading.get_ident(), [threading.Event(), threading.Event()]
    drawn = iter(begun)

    def draw(rng: np.random.Generator) -> int:
        next(drawn).set()
        return threading.get_ident()

    ahead = Ahead(draw, np.random.default_rng(0), lambda thread: (thread, threading.get_ident()))
    thread, stager = ahead.take()
    assert thread != here == stager
    assert begun[1].wait(timeout=60.0), "nobody asked for the second batch"


def test_what_drawing_raises_is_raised_when_the_batch_is_due() -> None:
    left = iter([1, 2])
    ahead = Ahead(lambda rng: next(left), np.random.default_rng(0), same, early=True)
    assert ahead.take() == 1
    ahead.prepare()
    assert ahead.take() == 2  # the third is tried by now
    ahead.prepare()
    before = ahead.state
    with pytest.raises(StopIteration):
        ahead.take()
    assert ahead.state == before


def test_a_saved_state_gives_the_batch_that_was_due() -> None:
    ahead = Ahead(lambda rng: rng.random(), np.random.default_rng(0), same, early=True)
    ahead.take()
    ahead.prepare()
    other = Ahead(lambda rng: rng.random(), np.random.default_rng(5), same, early=True)
    other.take()
    other.prepare()
    other.restore(ahead.state)
    assert other.take() == ahead.take()


def test_runs_that_draw_ahead_are_the_same_runs(
    teacher: Path, agent: Path, videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both stages, to the bit, their checkpoints too; `early` is what a GPU has, and the runs that there are draw as a CPU does."""

    def state_of(*runs: Path) -> dict[str, torch.Tensor]:
        found: dict[str, torch.Tensor] = {}
        for name, run in zip(("video", "agent"), runs, strict=True):
            state = load_checkpoint(last_checkpoint(run / "checkpoints"))  # type: ignore[arg-type]
            pack({"agent": state["agent"], "sampler": torch.tensor(list(json.dumps(state["sampler"]).encode()))}, found, name)
        return found

    def runs(folder: Path) -> dict[str, torch.Tensor]:
        assert api.pretrain(small.pretrain_config(folder / "video", videos))
        assert api.train(small.train_config(folder / "agent", "diswm", teacher=str(teacher)))
        return state_of(folder / "video", folder / "agent")

    ahead = state_of(teacher, agent)
    prepare = Ahead.prepare
    with monkeypatch.context() as patch:
        patch.setattr(Ahead, "prepare", lambda self: (setattr(self, "_early", True), prepare(self)))
        early = runs(tmp_path / "early")
    monkeypatch.setattr(Ahead, "take", lambda self: self._stage(self._draw(self._rng)))
    plain = runs(tmp_path / "plain")
    for run, found in ((agent, ahead), (tmp_path / "early" / "agent", early)):
        assert plain.keys() == found.keys()
        assert [part for part, value in plain.items() if not torch.equal(value, found[part])] == []
        assert small.events(tmp_path / "plain" / "agent") == small.events(run)

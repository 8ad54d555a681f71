"""A run that was stopped, anywhere and anyhow, is the run that was not, bit for bit."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small
import torch

from diswm import api, evaluations
from diswm.agents import Dreamer, WorldLearner
from diswm.contract import DiswmError
from diswm.data.replay import Replay
from diswm.trainers import finetune
from diswm.trainers.checkpoint import last_checkpoint, load_checkpoint, pack
from diswm.trainers.rollout import Rollout
from diswm.trainers.run import Run


def flat_state(folder: Path) -> tuple[dict[str, torch.Tensor], Any]:
    """All tensors of the last checkpoint by name, and the rest of it without clocks and sizes."""
    path = last_checkpoint(folder / "checkpoints")
    assert path is not None
    state = load_checkpoint(path)
    state.pop("seconds")
    state.pop("metrics_bytes")  # lines hold times, whose digits differ
    tensors: dict[str, torch.Tensor] = {}
    return tensors, pack(state, tensors)


def replay_rows(folder: Path) -> dict[str, np.ndarray]:
    """What the replay holds at the last checkpoint, all its episodes one after the other."""
    path = last_checkpoint(folder / "checkpoints")
    assert path is not None
    state = load_checkpoint(path)["replay"]
    replay = Replay.restore(folder / "replay", state, capacity=state["capacity"], action_dim=state["action_dim"], extras=state["extras"])
    assert replay.dropped_episodes == 0
    head, image = [], []
    for _, start, length in state["episodes"]:
        rows = replay._records.read([start], length)
        head.append(rows[0][0])
        image.append(rows[1][0])
    replay.close()
    return {"head": np.concatenate(head).view(np.uint8), "image": np.concatenate(image)}


def assert_same(one: Path, two: Path, *, replay: bool = True) -> None:
    """Weights, moments, generators, counters, metrics and replay of two runs are equal."""
    (tensors, rest), (others, other) = flat_state(one), flat_state(two)
    assert tensors.keys() == others.keys()
    differing = [name for name, value in tensors.items() if not torch.equal(value, others[name])]
    assert differing == []
    assert rest == other
    assert small.events(one) == small.events(two)
    if replay:
        mine, theirs = replay_rows(one), replay_rows(two)
        assert all(np.array_equal(mine[name], theirs[name]) for name in mine)


@pytest.fixture
def whole(agent: Path) -> Path:
    """An online run that nothing stopped."""
    return agent


def after(count: int, original: Callable[..., Any], act: Callable[[], None]) -> Callable[..., Any]:
    """``original``, that calls ``act`` at its ``count``-th call."""
    calls = 0

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == count:
            act()
        return original(*args, **kwargs)

    return wrapped


def signalled(number: int) -> Callable[[], None]:
    return lambda: os.kill(os.getpid(), number)


class Killed(BaseException):
    """The process is gone: nothing of ours handles it."""


def kill() -> None:
    raise Killed


# Where the interrupt falls. Steps: env resets and evaluations step no Rollout; 13 is in the prefill, 38 in the middle of an episode.
WHERE: dict[str, tuple[type, str, int]] = {
    "in the prefill": (Rollout, "step", 13),
    "in the middle of an episode": (Rollout, "step", 38),
    "in the first updates": (Dreamer, "update", 2),
    "between two lines of metrics": (Dreamer, "update", 8),
    "at the last update": (Dreamer, "update", 14),
}


@pytest.mark.parametrize(
    ("where", "number"), [*((where, signal.SIGINT) for where in WHERE), ("in the middle of an episode", signal.SIGTERM)]
)
def test_an_interrupted_run_is_resumed_bit_for_bit(
    whole: Path, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, number: int, capsys: pytest.CaptureFixture[str]
) -> None:
    config = small.train_config(tmp_path / "agent", "diswm", teacher=str(teacher))
    kind, name, count = WHERE[where]
    before = signal.getsignal(number)
    with monkeypatch.context() as patch:
        patch.setattr(kind, name, after(count, getattr(kind, name), signalled(number)))
        assert api.train(config) is False
    assert signal.getsignal(number) == before, "the handlers of before are back"
    assert "the same command goes on" in capsys.readouterr().out
    assert not (config.out / "evaluation.json").exists()
    assert api.train(config) is True
    assert f"resuming {config.out}" in capsys.readouterr().out
    assert_same(whole, config.out)


def test_a_run_stopped_at_every_few_steps_is_the_same_run(
    whole: Path, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small.train_config(tmp_path / "agent", "diswm", teacher=str(teacher))
    sessions = 0
    while True:
        with monkeypatch.context() as patch:
            patch.setattr(finetune.Trainer, "act", after(12, finetune.Trainer.act, signalled(signal.SIGINT)))
            sessions += 1
            if api.train(config):
                break
    assert sessions == 75 // 12 + 1
    assert_same(whole, config.out)


def test_an_evaluation_is_abandoned_and_made_anew(whole: Path, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = small.train_config(tmp_path / "agent", "diswm", teacher=str(teacher))
    steps = 0
    original = evaluations.mean_actor

    def interrupting(agent: Dreamer) -> Any:
        actor = original(agent)

        def act(*args: Any) -> Any:
            nonlocal steps
            steps += 1
            if steps == 7:
                signalled(signal.SIGINT)()
            return actor(*args)

        return act

    monkeypatch.setattr(evaluations, "mean_actor", interrupting)
    assert api.train(config) is False
    assert steps == 7, "the evaluation goes no further"
    assert not [event for event in small.events(config.out) if event["kind"] == "eval"]
    assert api.train(config) is True
    assert_same(whole, config.out)


def test_the_final_evaluation_can_be_stopped_too(whole: Path, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = small.train_config(tmp_path / "agent", "diswm", teacher=str(teacher))
    original = evaluations.random_actor
    with monkeypatch.context() as patch:
        patch.setattr(evaluations, "random_actor", after(1, original, signalled(signal.SIGINT)))
        # The signal comes as the random policy is made, within the final evaluation.
        assert api.train(config) is False
    assert not (config.out / "evaluation.json").exists()
    assert api.train(config) is True
    assert_same(whole, config.out)
    assert (config.out / "evaluation.json").read_bytes() == (whole / "evaluation.json").read_bytes()


@pytest.mark.parametrize("count", [2, 15, 48], ids=["before the first checkpoint", "after one", "after several"])
def test_a_killed_run_goes_on_from_its_last_checkpoint(
    whole: Path, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """Newer episodes, metrics and TensorBoard events are on the disk than the checkpoint knows of."""
    config = small.train_config(tmp_path / "agent", "diswm", teacher=str(teacher))
    with monkeypatch.context() as patch:
        patch.setattr(finetune.Trainer, "act", after(count + 8, finetune.Trainer.act, kill))
        saves = 0

        def save_at(trainer: finetune.Trainer) -> None:  # a checkpoint `count` steps in, by the count instead of a clock
            nonlocal saves
            if trainer.run.counters.steps == count > 2 and not saves:
                saves += 1
                trainer.save()

        due = finetune.Trainer._due
        patch.setattr(finetune.Trainer, "_due", lambda self: (save_at(self), due(self))[1])
        with pytest.raises(Killed):
            api.train(config)
    assert (last_checkpoint(config.out / "checkpoints") is None) == (count == 2)
    assert api.train(config) is True
    assert_same(whole, config.out)


def test_lines_after_the_checkpoint_are_cut_even_at_the_same_count(
    whole: Path, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkpoint before an evaluation and a kill right after it: the counts of both are the same."""
    config = small.train_config(tmp_path / "agent", "diswm", teacher=str(teacher))
    original = finetune.Trainer.log_evaluation

    def save_evaluate_die(self: finetune.Trainer, *args: Any) -> None:
        self.save()
        original(self, *args)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(finetune.Trainer, "log_evaluation", save_evaluate_die)
        with pytest.raises(Killed):
            api.train(config)
    assert [event["kind"] for event in small.events(config.out)].count("eval") == 1
    (config.out / "metrics.jsonl").open("a").write('{"kind": "upd')  # the line that it was writing
    assert api.train(config) is True
    assert_same(whole, config.out)


def test_metrics_that_were_cut_in_mid_line_cost_that_line_alone(tmp_path: Path) -> None:
    first = Run(tmp_path / "run", "train", {"seed": 0})
    for length in (1, 2):
        first.log("episode", length=length)
    first.save({"agent": {"model": {}}})
    first.close()
    path = tmp_path / "run" / "metrics.jsonl"
    path.write_bytes(path.read_bytes()[:-9])
    again = Run(tmp_path / "run", "train", {"seed": 0})
    again.log("episode", length=3)
    again.close()
    whole, _, new = path.read_text().splitlines()
    assert (json.loads(whole)["length"], json.loads(new)["length"]) == (1, 3)


def test_a_run_without_a_checkpoint_says_that_it_begins_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):  # the first was killed before it saved
        run = Run(tmp_path / "run", "train", {"seed": 0})
        run.log("episode", length=1)
        run.close()
    assert capsys.readouterr().out.splitlines() == [f"{tmp_path / 'run'}: has no checkpoint, so it begins anew"]
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 1


def test_the_same_seed_is_the_same_run_and_another_is_another(whole: Path, teacher: Path, tmp_path: Path) -> None:
    assert api.train(small.train_config(tmp_path / "again", "diswm", teacher=str(teacher)))
    assert_same(whole, tmp_path / "again")
    assert api.train(small.train_config(tmp_path / "other", "diswm", teacher=str(teacher), seed=1))
    mine, theirs = flat_state(whole)[0], flat_state(tmp_path / "other")[0]
    assert not torch.equal(mine["agent/generator"], theirs["agent/generator"])
    assert small.events(whole)[0]["return"] != small.events(tmp_path / "other")[0]["return"]
    assert not np.array_equal(replay_rows(whole)["image"], replay_rows(tmp_path / "other")["image"])


def test_a_finished_run_is_left_alone_and_may_be_given_more_frames(
    whole: Path, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "agent"
    short = small.train_config(out, "diswm", teacher=str(teacher), train__frames=80)
    assert api.train(short)
    before = {name: data for name, data in small.tree(out).items() if not name.startswith("tensorboard")}
    with monkeypatch.context() as patch:
        patch.setattr(evaluations, "evaluate", lambda *args: pytest.fail("evaluated again"))
        patch.setattr(Dreamer, "update", lambda *args, **kwargs: pytest.fail("trained again"))
        assert api.train(short)
    assert "was trained and evaluated before" in capsys.readouterr().out.replace("\n", " ")
    assert {name: data for name, data in small.tree(out).items() if not name.startswith("tensorboard")} == before

    (out / "evaluation.json").unlink()
    assert api.train(short)
    assert json.loads((out / "evaluation.json").read_text()) == json.loads(before["evaluation.json"] or b"")
    assert [event.get("split") for event in small.events(out)].count("unseen") == 1

    assert api.train(small.train_config(out, "diswm", teacher=str(teacher)))
    tensors, others = flat_state(out)[0], flat_state(whole)[0]
    assert [name for name in tensors if not torch.equal(tensors[name], others[name])] == []
    assert json.loads((out / "evaluation.json").read_text())["frames"] == 150


def test_pretraining_is_resumed_bit_for_bit(
    videos: Path, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = small.pretrain_config(tmp_path / "teacher", videos)
    with monkeypatch.context() as patch:
        patch.setattr(WorldLearner, "update", after(5, WorldLearner.update, signalled(signal.SIGINT)))
        assert api.pretrain(config) is False
    assert api.pretrain(config) is True
    assert "resuming" in capsys.readouterr().out
    assert_same(teacher, config.out, replay=False)
    with monkeypatch.context() as patch:
        patch.setattr(WorldLearner, "update", after(3, WorldLearner.update, kill))
        with pytest.raises(Killed):
            api.pretrain(small.pretrain_config(tmp_path / "killed", videos))
    assert api.pretrain(small.pretrain_config(tmp_path / "killed", videos))
    assert_same(teacher, tmp_path / "killed", replay=False)
    monkeypatch.setattr(WorldLearner, "update", lambda *args, **kwargs: pytest.fail("trained again"))
    assert api.pretrain(config) is True


def test_pretraining_does_not_go_on_with_other_videos(videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / "videos"
    shutil.copytree(videos, copy)
    config = small.pretrain_config(tmp_path / "teacher", copy)
    with monkeypatch.context() as patch:
        patch.setattr(WorldLearner, "update", after(5, WorldLearner.update, signalled(signal.SIGINT)))
        assert api.pretrain(config) is False
    other = shutil.copytree(copy, tmp_path / "other")
    (other / "manifest.json").unlink()
    sorted(other.glob("*.npz"))[0].unlink()
    before = small.tree(config.out)
    with pytest.raises(DiswmError, match="other videos"):
        api.pretrain(dataclasses.replace(config, videos=(other,)))
    assert small.tree(config.out) == before
    copy.rename(tmp_path / "moved")
    assert api.pretrain(dataclasses.replace(config, videos=(tmp_path / "moved",))) is True


def test_collecting_is_resumed_with_the_same_files(videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = small.collect_config(tmp_path / "videos")
    with monkeypatch.context() as patch:
        patch.setattr(Rollout, "step", after(70, Rollout.step, signalled(signal.SIGINT)))
        assert api.collect(config) is False
    assert len(list(config.out.glob("*.npz"))) == 1
    assert api.collect(config) is True
    assert small.tree(config.out) == small.tree(videos)

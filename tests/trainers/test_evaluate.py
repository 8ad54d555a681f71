"""Evaluation: fixed seeds, means, lockstep, nothing left behind in the agent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small
import torch

import diswm
from diswm import api, envs
from diswm.agents import Dreamer
from diswm.contract import Array
from diswm.envs.vector import InProcess
from diswm.trainers.evaluate import Abandoned, Diverged, evaluate, mean_actor, random_actor
from diswm.trainers.run import machine
from diswm.trainers.seeds import seed_of


def make(count: int, task: str = "toy") -> InProcess:
    return InProcess([envs.make(envs.EnvConfig(task=task)) for _ in range(count)])


def chase(images: Array, is_first: Array, state: Any) -> tuple[Array, Any]:
    """A policy that depends on the image and on the step of each episode."""
    step = np.where(is_first, 0, 0 if state is None else state)
    bright = images.reshape(len(images), -1).mean(1) / 255
    return np.stack([np.sin(step + bright), np.cos(3 * step + bright)], -1).astype(np.float32), step + 1


@pytest.mark.parametrize("task", ["toy", "toy_terminal"])
def test_lockstep_changes_nothing(task: str) -> None:
    seeds = [3, 1, 4, 15, 9]
    one, three = evaluate(chase, make(1, task), seeds), evaluate(chase, make(3, task), seeds)
    assert one.returns == three.returns
    assert one.steps == three.steps
    np.testing.assert_array_equal(one.video, three.video)
    assert len(set(one.returns)) == 5
    if task == "toy_terminal":
        assert len(set(one.steps)) > 1, "episodes of different lengths share a lockstep"


def test_random_actions_do_not_depend_on_lockstep_either() -> None:
    one, two, other = (
        evaluate(random_actor(np.random.default_rng(seed), 2), make(at_once), [3, 1, 4]).returns
        for seed, at_once in ((0, 1), (0, 2), (1, 1))
    )
    assert one == two != other


def test_returns_are_the_sums_of_rewards() -> None:
    alone = make(1)
    result = evaluate(chase, alone, [8])
    (env,) = alone.envs
    image, _ = env.reset(seed=8)
    state, total, over, first = None, 0.0, False, np.array([True])
    frames = [image]
    while not over:
        action, state = chase(image[None], first, state)
        image, reward, terminated, truncated, _ = env.step(action[0])
        first, total, over = np.array([False]), total + reward, terminated or truncated
        frames.append(image)
    assert result.returns == [round(total, 4)]
    assert result.steps == [50]
    np.testing.assert_array_equal(result.video, np.stack(frames))


def test_the_agent_acts_by_means_and_comes_out_as_it_went_in(agent: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = diswm.load(agent)
    asked: list[bool] = []
    original = Dreamer.policy

    def policy(self: Dreamer, *args: Any, sample: bool) -> Any:
        asked.append(sample)
        return original(self, *args, sample=sample)

    monkeypatch.setattr(Dreamer, "policy", policy)
    before = loaded.generator.get_state()
    first = evaluate(mean_actor(loaded), make(2), [5, 6, 7])
    assert torch.equal(loaded.generator.get_state(), before)
    torch.randn(100, generator=loaded.generator)  # another place in the random numbers: means do not care
    second = evaluate(mean_actor(loaded), make(2), [5, 6, 7])
    assert first.returns == second.returns
    assert asked
    assert not any(asked)
    alone = evaluate(mean_actor(loaded), make(1), [5, 6, 7])
    np.testing.assert_allclose(alone.returns, first.returns, rtol=1e-3)  # sums in another order, so not bit for bit


def test_it_can_be_watched_and_abandoned() -> None:
    seen: list[tuple[int, int]] = []
    evaluate(chase, make(2), [1, 2, 3], lambda episodes, steps: seen.append((episodes, steps)))
    assert len(seen) == 100
    assert seen[0] == (0, 1)
    assert seen[49] == (2, 50)
    assert seen[50] == (2, 1)
    assert seen[-1] == (3, 50)

    def stop(episodes: int, steps: int) -> None:
        raise Abandoned

    with pytest.raises(Abandoned):
        evaluate(chase, make(2), [1, 2, 3], stop)


def test_an_episode_succeeds_if_any_step_did(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {3: {0}, 1: set(), 4: {20, 21}, 15: {49}}  # seed -> the steps that report success; the toy itself knows none

    def succeed(env: Any) -> Any:
        reset, step, at = env.reset, env.step, {}

        def begin(*, seed: int, options: Any = None) -> Any:
            at.update(seed=seed, step=-1)
            return reset(seed=seed, options=options)

        def go(action: Array) -> Any:
            at["step"] += 1
            *out, info = step(action)
            return *out, info | {"success": at["step"] in told[at["seed"]]}

        env.reset, env.step = begin, go
        return env

    result = evaluate(chase, InProcess([succeed(env) for env in make(3).envs]), [3, 1, 4, 15])
    assert result.successes == (True, False, True, True)
    assert result.record() == {"returns": result.returns, "successes": [True, False, True, True]}
    plain = evaluate(chase, make(3), [3, 1, 4, 15])
    assert plain.successes == ()
    assert plain.record() == {"returns": result.returns}


@pytest.mark.parametrize("at_once", [1, 3])
def test_an_episode_that_diverges_has_the_return_of_the_steps_before(at_once: int, caplog: pytest.LogCaptureFixture) -> None:
    def diverge(env: Any) -> Any:
        reset, step, begun = env.reset, env.scene.step, {}

        def begin(*, seed: int, options: Any = None) -> Any:
            begun.update(seed=seed, frames=0)
            return reset(seed=seed, options=options)

        def go(control: Array) -> Any:
            begun["frames"] += 1
            bad = begun == {"seed": 1, "frames": 8}  # the second frame of step 4
            return step(control)._replace(reward=float("nan") if bad else 1.0)

        env.reset, env.scene.step = begin, go
        return env

    result = evaluate(chase, InProcess([diverge(env) for env in make(at_once).envs]), [3, 1, 4])
    assert (result.returns, result.steps) == ([100.0, 6.0, 100.0], [50, 3, 50])
    assert "in step 4 of the episode of seed 1. " in caplog.text
    assert caplog.text.count("Its return is that of the 3 steps before.") == 1


def test_an_agent_whose_actions_are_no_numbers_is_named() -> None:
    lost: Any = type("Lost", (), {"policy": lambda *given, **more: (np.full((1, 2), np.nan, np.float32), None)})()
    with pytest.raises(Diverged, match=r"actions in its evaluation are not finite\. .*learning rates"):
        evaluate(mean_actor(lost), make(1), [1])


def test_success_is_written_and_said(
    agent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from diswm.envs.toy import ToyScene
    from diswm.report.summary import summarise

    assert "success" not in summarise(agent)
    original = ToyScene.step
    # Success wherever the background is of set 2: its green is above 0.5, that of set 1 is not.
    monkeypatch.setattr(ToyScene, "step", lambda self, action: original(self, action)._replace(success=bool(self.colours[0, 1] > 0.5)))
    found = json.loads(api.evaluate(agent, out=tmp_path / "again", device="cpu").read_text())
    assert [found[name]["successes"] for name in ("random", "seen", "unseen")] == [[False] * 2, [False] * 2, [True] * 2]
    said = capsys.readouterr().out
    assert "success 0% over 2 episodes on colours set1" in said
    assert "success 100% over 2 episodes on colours set2" in said
    assert "successes" not in json.loads((agent / "evaluation.json").read_text())["seen"]


def test_evaluation_json(agent: Path, tmp_path: Path) -> None:
    found = json.loads((agent / "evaluation.json").read_text())
    assert found.keys() == {"random", "seen", "unseen", "phases", "frames"}
    assert found["frames"] == 150
    assert [phase["colours"] for phase in found["phases"]] == ["set1"]
    assert [found[name]["colours"] for name in ("random", "seen", "unseen")] == ["set1", "set1", "set2"]
    assert all(len(found[name]["returns"]) == 2 for name in ("random", "seen", "unseen"))
    before = small.tree(agent)
    path = api.evaluate(agent, out=tmp_path / "again", device="cpu")
    assert path == tmp_path / "again" / "evaluation.json"
    assert json.loads(path.read_text()) == found, "the same seeds, the same returns"
    assert small.tree(agent) == before
    more = json.loads(api.evaluate(agent, episodes=3, out=tmp_path / "more", device="cpu").read_text())
    for name in ("random", "seen", "unseen"):
        assert len(more[name]["returns"]) == 3
        np.testing.assert_allclose(more[name]["returns"][:2], found[name]["returns"], rtol=1e-3)
    assert {path.name for path in (tmp_path / "more" / "media").iterdir()} == {"eval_random.gif", "eval_seen.gif", "eval_unseen.gif"}


def test_evaluation_plays_other_episodes_than_training(agent: Path) -> None:
    seeds = {seed_of(0, "train_env", number) for number in range(1000)}
    for part in ("eval_seen", "eval_unseen"):
        assert not seeds & {seed_of(0, part, index) for index in range(1000)}


def test_cost_json(agent: Path) -> None:
    cost = json.loads((agent / "cost.json").read_text())
    assert cost.keys() >= {
        "seconds",
        "peak_rss_bytes",
        "device",
        "threads",
        "machine",
        "torch",
        "steps",
        "frames",
        "updates",
        "skipped_updates",
    }
    assert (cost["steps"], cost["frames"], cost["updates"], cost["episodes"]) == (75, 150, 14, 3)
    assert cost["peak_rss_bytes"] > 2**20


@pytest.mark.parametrize(("held", "device"), [(0, "cpu"), (2**20, "Some GPU")])
def test_a_run_is_a_gpu_s_where_it_holds_memory_there(held: int, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step of Adam wakes any GPU that there is, also where all weights are on the CPU."""
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda: held)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Some GPU")
    assert machine()["device"] == device
    assert ("peak_gpu_bytes" in machine()) == bool(held)

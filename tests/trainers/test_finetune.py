"""The loop: what is due when, what is stored, what the teacher gives, and what NaN does."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small
import torch

from diswm import api, envs, evaluations
from diswm.agents import Dreamer
from diswm.build import load_video_model
from diswm.config import merge
from diswm.contract import FACTOR_PREFIX, DiswmError
from diswm.data.replay import Replay
from diswm.model.world import WorldModel
from diswm.trainers import finetune
from diswm.trainers.checkpoint import last_checkpoint, load_checkpoint
from diswm.trainers.evaluate import Diverged
from diswm.trainers.finetune import TrainConfig, updates_due
from diswm.trainers.meter import Meter
from diswm.trainers.rollout import RandomPolicy
from diswm.trainers.seeds import COMPONENTS, generator, seed_of

ALONE = {"train__eval_every": 1000, "eval__episodes": 1}
"""Training without evaluations, but for the last."""


def test_updates_due() -> None:
    paper = TrainConfig()
    # Nothing in the prefill of 2,500 steps; 100 at its end; then one every 5 steps.
    assert [updates_due(paper, steps) for steps in (0, 1, 2499)] == [0, 0, 0]
    assert updates_due(paper, 2500) == 100
    assert [updates_due(paper, steps) for steps in (2504, 2505, 2509, 2510)] == [100, 101, 101, 102]
    # 1M frames are 500,000 steps: 100 + (500,000 - 2,500) / 5 = 99,600.
    assert updates_due(paper, 500_000) == 99_600
    none = TrainConfig(prefill_steps=0, first_updates=0, update_every=1)
    assert [updates_due(none, steps) for steps in (0, 1, 7)] == [0, 1, 7]


def test_counts_and_clocks_of_a_run(agent: Path) -> None:
    lines = small.events(agent)
    # 150 frames are 75 steps and 3 episodes of 25. Updates: 3 + (75 - 20) / 5 = 14. Every 3rd is logged: 4 lines.
    kinds = [line["kind"] for line in lines]
    assert kinds.count("episode") == 3
    assert [line["updates"] for line in lines if line["kind"] == "update"] == [3, 6, 9, 12]
    # The first update waits for the first episode, which ends at step 25.
    assert lines[0]["kind"] == "episode"
    assert (lines[0]["steps"], lines[0]["updates"]) == (25, 0)
    # At multiples of eval_every frames, and at the end, which is none.
    assert [line["frames"] for line in lines if line.get("split") == "seen"] == [60, 120, 150]
    assert [line["frames"] for line in lines if line.get("split") == "unseen"] == [150]
    assert all(line["frames"] == 2 * line["steps"] for line in lines)
    updates = [line for line in lines if line["kind"] == "update"]
    # Update k of 14 is due at step 20 + 5 (k - 3), but not before 25: number 6 at 35, number 12 at 65.
    assert [line["steps"] for line in updates] == [25, 35, 50, 65]


def test_schedules_see_the_live_count_of_steps(teacher: Path, tmp_path: Path) -> None:
    changes = {"train__log_every": 1, "anneal__distill__over": 100, "anneal__distill__floor": 0.45}
    config = small.train_config(tmp_path / "agent", "diswm", teacher=str(teacher), **ALONE, **changes)
    assert api.train(config)
    updates = [line for line in small.events(config.out) if line["kind"] == "update"]
    assert len(updates) == 14
    for line in updates:  # weight 0.1, falling to 0 over 100 steps, never below 0.45 of it
        assert line["weight/distill"] == pytest.approx(0.1 * max(1 - line["steps"] / 100, 0.45))
    assert updates[0]["weight/distill"] == pytest.approx(0.075)
    assert updates[-1]["weight/distill"] == pytest.approx(0.045)


def load_replay(folder: Path) -> tuple[Replay, dict[str, Any]]:
    path = last_checkpoint(folder / "checkpoints")
    assert path is not None
    state = load_checkpoint(path)["replay"]
    sizes = {name: state[name] for name in ("capacity", "action_dim", "extras")}
    return Replay.restore(folder / "replay", state, **sizes), state


def test_the_replay_holds_what_was_done_and_seen(agent: Path) -> None:
    """Playing the stored actions again from the episode's seed gives the stored frames and rewards."""
    replay, state = load_replay(agent)
    env = envs.make(small.train_config(agent, "diswm").env)
    returns = [line["return"] for line in small.events(agent) if line["kind"] == "episode"]
    assert len(state["episodes"]) == 3
    for number, start, length in state["episodes"]:
        head, images = replay._records.read([start], length)
        head, images = head[0], images[0]
        image, info = env.reset(seed=seed_of(0, "train_env", number))
        np.testing.assert_array_equal(images[0], image)
        check_labels(head[0], info["factors"])
        assert not head["action"][0].any()
        assert head["reward"][0] == 0
        assert np.abs(head["action"]).max() <= 1
        assert len(np.unique(head["action"][1:], axis=0)) > length // 2, "the actions differ, so that a shift would be seen"
        for t in range(1, length):
            image, reward, terminated, truncated, info = env.step(head["action"][t])
            check_labels(head[t], info["factors"])
            np.testing.assert_array_equal(images[t], image)
            assert head["reward"][t] == np.float32(reward)
            assert (terminated or truncated) == (t == length - 1)
        assert head["reward"].astype(np.float64).sum() == pytest.approx(returns[number], abs=2e-3)
    batch = replay.sample(np.random.default_rng(0), 2, 5)
    assert not [name for name in batch if name.startswith(FACTOR_PREFIX)], "the learner gets no labels"
    labelled = replay.sample(np.random.default_rng(0), 2, 5, factors=True)
    assert labelled["factor.colour.agent"].shape == (2, 5, 3)
    np.testing.assert_array_equal(labelled["image"], batch["image"])
    replay.close()
    env.close()


def check_labels(row: np.ndarray, factors: dict[str, np.ndarray]) -> None:
    """A row of the replay holds exactly these values of factors."""
    assert {FACTOR_PREFIX + name for name in factors} == {name for name in row.dtype.names or () if name.startswith(FACTOR_PREFIX)}
    for name, value in factors.items():
        np.testing.assert_array_equal(row[FACTOR_PREFIX + name], np.asarray(value, np.float32).reshape(-1))


def test_actions_stored_are_those_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    executed: list[np.ndarray] = []
    original = finetune.Rollout.step
    monkeypatch.setattr(finetune.Rollout, "step", lambda self, action: (executed.append(np.array(action)), original(self, action))[1])
    config = small.train_config(tmp_path / "agent", **ALONE)
    assert api.train(config)
    replay, state = load_replay(config.out)
    stored = [replay._records.read([start], length)[0][0]["action"][1:] for _, start, length in state["episodes"]]
    np.testing.assert_array_equal(np.concatenate(stored), np.stack(executed))
    assert np.concatenate(stored).shape == (75, 2)
    replay.close()


def test_training_acts_at_random_first_and_then_by_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """75 steps: 20 of uniform actions, then 55 of the agent's own. Evaluations, which act by means, come at the end."""
    asked: list[tuple[str, bool]] = []
    policy, random = Dreamer.policy, RandomPolicy.act

    def by_agent(self: Dreamer, *args: Any, sample: bool) -> Any:
        asked.append(("agent", sample))
        return policy(self, *args, sample=sample)

    with monkeypatch.context() as patch:
        patch.setattr(Dreamer, "policy", by_agent)
        patch.setattr(RandomPolicy, "act", lambda self, image: (asked.append(("random", True)), random(self, image))[1])
        assert api.train(small.train_config(tmp_path / "agent", **ALONE))
    assert asked[:75] == [("random", True)] * 20 + [("agent", True)] * 55
    uniform = RandomPolicy(np.random.default_rng(0), 2)
    drawn = np.stack([uniform.act(np.empty(0)) for _ in range(2000)])
    # Uniform in [-1, 1]: standard deviation 1 / sqrt(3) = 0.577, and a tenth of the mass above 0.8.
    assert np.abs(drawn).max() <= 1
    assert drawn.std() == pytest.approx(0.577, abs=0.02)
    assert (drawn > 0.8).mean() == pytest.approx(0.1, abs=0.03)


def test_the_teacher_speaks_once_per_frame_and_does_not_learn(teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames: dict[int, list[int]] = {}
    original = WorldModel.encode

    def counting(self: WorldModel, image: torch.Tensor) -> Any:
        if self.act_dim == 0:
            assert not torch.is_grad_enabled()
            frames.setdefault(id(self), []).append(len(image))
        return original(self, image)

    monkeypatch.setattr(WorldModel, "encode", counting)
    trainers: list[finetune.Trainer] = []
    train = finetune.Trainer.train
    monkeypatch.setattr(finetune.Trainer, "train", lambda self: (trainers.append(self), train(self))[1])
    config = small.train_config(tmp_path / "agent", "diswm", teacher=str(teacher))
    assert api.train(config)
    assert list(frames.values()) == [[26, 26, 26]], "three episodes of 26 frames, each asked about once"
    trainer = trainers[0]
    assert trainer.teacher is not None
    assert id(trainer.teacher) in frames
    fresh = load_video_model(teacher).state_dict()
    assert all(torch.equal(value, fresh[name]) for name, value in trainer.teacher.state_dict().items())
    assert all(not param.requires_grad and param.grad is None for param in trainer.teacher.parameters())
    owned = {id(p) for o in (trainer.agent.optimiser, trainer.agent.actor_optimiser, trainer.agent.critic_optimiser) for p in o.params}
    assert owned
    assert not owned & {id(param) for param in trainer.teacher.parameters()}
    assert not any(isinstance(module, WorldModel) and module.act_dim == 0 for module in trainer.agent.world.modules())
    # What the replay keeps is the teacher's code of those very frames.
    replay, state = load_replay(config.out)
    _, start, length = state["episodes"][1]
    head, images = replay._records.read([start], length)
    with torch.no_grad():
        code = original(trainer.teacher, torch.from_numpy(images[0]))
    np.testing.assert_allclose(head[0]["teacher_mean"], code.mean.numpy(), atol=1e-6)
    np.testing.assert_allclose(head[0]["teacher_logvar"], code.logvar.numpy(), atol=1e-6)
    replay.close()


def test_codes_do_not_depend_on_the_chunk(teacher: Path) -> None:
    world = load_video_model(teacher)
    image = np.random.default_rng(0).integers(0, 256, (7, 64, 64, 3), np.uint8)
    whole, parts = finetune.teacher_codes(world, image), finetune.teacher_codes(world, image, chunk=3)
    assert whole["teacher_mean"].shape == (7, 4)
    for name, value in whole.items():
        np.testing.assert_allclose(parts[name], value, atol=1e-5)


def test_a_student_that_starts_from_the_teacher(videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    video = tmp_path / "teacher"
    assert api.pretrain(small.pretrain_config(video, videos, "dv2_finetune"))
    starts: list[dict[str, torch.Tensor]] = []

    def look(self: finetune.Trainer) -> bool:
        starts.append({name: value.clone() for name, value in self.agent.world.state_dict().items()})
        assert self.teacher is None
        return False

    monkeypatch.setattr(finetune.Trainer, "train", look)
    api.train(small.train_config(tmp_path / "agent", "dv2_finetune", teacher=str(video)))
    theirs = load_video_model(video).state_dict()
    shared = [name for name in theirs if name in starts[0] and starts[0][name].shape == theirs[name].shape]
    assert len(shared) > 10
    assert all(torch.equal(starts[0][name], theirs[name]) for name in shared)


# ---- NaN


def poisoned(patch: pytest.MonkeyPatch, bad: set[int]) -> None:
    """Rewards that are NaN in these updates."""
    original = Dreamer.update

    def update(self: Dreamer, batch: Any, *, steps: int = 0, updates: int = 0) -> Any:
        if updates in bad:
            batch = {**batch, "reward": np.full_like(batch["reward"], np.nan)}
        return original(self, batch, steps=steps, updates=updates)

    patch.setattr(Dreamer, "update", update)


def finite(folder: Path) -> bool:
    path = last_checkpoint(folder / "checkpoints")
    assert path is not None
    model = load_checkpoint(path)["agent"]["model"]
    return all(bool(torch.isfinite(value).all()) for net in model.values() for value in net.values())


def test_one_nan_is_skipped_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    poisoned(monkeypatch, {5, 9})
    config = small.train_config(tmp_path / "agent", **ALONE)
    assert api.train(config)
    path = last_checkpoint(config.out / "checkpoints")
    assert path is not None
    counters = load_checkpoint(path)["counters"]
    assert (counters["updates"], counters["skipped_updates"]) == (14, 2)
    assert finite(config.out)
    updates = [line for line in small.events(config.out) if line["kind"] == "update"]
    # Updates are logged by three: number 5 (counted from 0) is in the second line, number 9 in the fourth.
    assert [line["skipped"] for line in updates] == pytest.approx([0, 1 / 3, 0, 1 / 3])
    assert all(math.isfinite(value) for line in updates for value in line.values() if isinstance(value, float))


def test_nan_after_nan_stops_and_the_last_checkpoint_is_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = small.train_config(tmp_path / "agent", **ALONE, train__patience=3)
    with monkeypatch.context() as patch:
        poisoned(patch, {5, 6, 8, 9, 10})  # two, a good one, three
        due = finetune.Trainer._due
        patch.setattr(finetune.Trainer, "_due", lambda self: (self.run.counters.updates == 4 and self.save(), due(self))[1])
        with pytest.raises(DiswmError, match=r"3 updates in a row gave NaN or infinity in .*loss/reward.*learning rates") as told:
            api.train(config)
    assert "loss/image" not in str(told.value)
    path = last_checkpoint(config.out / "checkpoints")
    assert path is not None
    assert load_checkpoint(path)["counters"]["updates"] == 4
    assert finite(config.out)
    assert api.train(config), "from there, with the cause gone, it goes on"


def test_no_checkpoint_while_updates_are_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    poisoned(monkeypatch, {5, 6, 7})
    config = small.train_config(tmp_path / "agent", **ALONE, train__patience=3, train__save_every_seconds=0.0)
    with pytest.raises(DiswmError, match="3 updates in a row"):
        api.train(config)
    path = last_checkpoint(config.out / "checkpoints")
    assert path is not None
    assert load_checkpoint(path)["counters"]["updates"] == 5, "the last one before the first that was skipped"


def test_weights_that_blow_up_are_named_before_the_environment_is(tmp_path: Path) -> None:
    # The first update is finite and its weights are not: the next action would be NaN.
    with pytest.raises(DiswmError, match=r"actions are not finite after \d+ updates.*learning rates"):
        api.train(small.train_config(tmp_path / "agent", learner__lr=1e18))


@pytest.mark.parametrize(("kind", "saved"), [(DiswmError, True), (Diverged, False)])
def test_an_evaluation_that_fails_ends_the_run_with_all_that_it_learned(
    kind: type[DiswmError], saved: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small.train_config(tmp_path / "agent")

    def fail(*given: Any) -> Any:
        raise kind("gym/Mine-v0: its step() failed.")

    with monkeypatch.context() as patch:
        patch.setattr(evaluations, "evaluate", fail)
        with pytest.raises(DiswmError, match="its step") as told:
            api.train(config)
    path = last_checkpoint(config.out / "checkpoints")
    assert (path is not None) == saved, "what may have lost its weights does not replace what is good"
    if path is not None:
        assert "It happened in an evaluation: the training is saved at 60 frames" in str(told.value)
        assert load_checkpoint(path)["counters"]["frames"] == 60
        assert api.train(config), "with the cause gone it goes on"
        assert api.train(whole := small.train_config(tmp_path / "whole"))
        assert small.events(config.out) == small.events(whole.out), "and is what it would have been"


def test_a_last_evaluation_that_fails_leaves_the_training_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = small.train_config(tmp_path / "agent", **ALONE)

    def fail(*given: Any) -> Any:
        raise DiswmError("gym/Mine-v0: its step() failed.")

    with monkeypatch.context() as patch:
        patch.setattr(evaluations, "evaluate", fail)
        with pytest.raises(DiswmError, match="the last evaluation: the training is done and saved"):
            api.train(config)
    assert api.train(config)
    assert (config.out / "evaluation.json").exists()


def test_patience_is_kept_over_a_resume() -> None:
    bad = {"skipped": 1.0, "loss/x": float("nan")}
    meter = Meter(3)
    meter.add(bad)
    meter.add(bad)
    again = Meter(3)
    again.restore(meter.state())
    with pytest.raises(DiswmError, match="loss/x"):
        again.add(bad)


def test_what_was_never_finite_is_left_out_of_the_means() -> None:
    meter = Meter(9)
    meter.add({"skipped": 1.0, "a": float("nan"), "b": 2.0})
    meter.add({"skipped": 0.0, "a": float("inf"), "b": 4.0})
    means = meter.mean()
    assert means["b"] == 3.0
    assert "a" not in means
    assert meter.mean().keys() == {"updates_per_second"}, "cleared"


# ---- edges


def test_a_run_too_short_to_learn_ends_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = small.train_config(tmp_path / "agent", train__frames=40)  # 20 steps: not one episode
    assert api.train(config)
    assert "no pictures" in capsys.readouterr().out
    assert (config.out / "evaluation.json").exists()


def test_the_replay_forgets_the_oldest(tmp_path: Path) -> None:
    config = small.train_config(tmp_path / "agent", train__replay_rows=60, **ALONE)
    assert api.train(config)
    replay, state = load_replay(config.out)
    assert [number for number, _, _ in state["episodes"]] == [1, 2]
    replay.close()


def test_a_run_from_before_replays_had_labels_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = small.train_config(tmp_path / "agent", **ALONE)
    with monkeypatch.context() as older:
        older.setattr(finetune, "FACTOR_PREFIX", "none of them.")
        assert api.train(config)
    assert api.train(merge(config, {"train.frames": config.train.frames + 50}))
    replay, state = load_replay(config.out)
    assert (len(state["episodes"]), state["extras"]) == (4, {})
    replay.close()


def test_true_ends_are_stored_as_such(tmp_path: Path) -> None:
    config = small.train_config(tmp_path / "agent", "dreamerv2", env__task="toy_terminal", train__length=2, train__frames=200)
    assert api.train(config)
    replay, state = load_replay(config.out)
    ends = [replay._records.read([start], length)[0][0]["is_terminal"] for _, start, length in state["episodes"]]
    assert all(not end[:-1].any() for end in ends)
    assert all(bool(end[-1]) == (len(end) < 26) for end in ends), "a time limit is no end"
    assert any(end[-1] for end in ends)
    replay.close()


def test_seeds_of_parts_and_uses_differ() -> None:
    seeds = [seed_of(0, component, index) for component in COMPONENTS for index in range(300)]
    assert len(set(seeds)) == len(seeds)
    training = {seed_of(0, "train_env", index) for index in range(2000)}
    evaluation = {seed_of(0, part, index) for part in ("eval_seen", "eval_unseen", "eval_random") for index in range(100)}
    assert not training & evaluation
    assert seed_of(0, "replay") != seed_of(1, "replay")
    assert generator(0, "replay").random() == generator(0, "replay").random() != generator(0, "prefill").random()

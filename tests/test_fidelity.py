"""docs/fidelity.md cannot rot: its tests exist, its values are ours; and the tests that it needs and no other file has."""

from __future__ import annotations

import ast
import functools
import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import small
import torch

from diswm import api, envs
from diswm.agents import Dreamer, WorldLearner
from diswm.build import load_video_model
from diswm.config import CollectRun, PretrainRun, TrainRun, flat
from diswm.contract import Episode
from diswm.data.episodes import EpisodeBuilder
from diswm.data.replay import Replay, bytes_per_row
from diswm.methods import for_pretraining, for_training
from diswm.presets import apply_preset, apply_task
from diswm.trainers import finetune
from diswm.trainers.rollout import RandomPolicy, Rollout

TESTS = Path(__file__).resolve().parent
PAGE = TESTS.parent / "docs" / "fidelity.md"
COLUMNS = ["what", "setting", "paper", "release", "ours", "why", "tests"]
CONFIGS: dict[str, Any] = {
    "train": apply_preset(for_training(TrainRun(), "diswm"), "paper", "train"),
    "paper": apply_preset(for_training(TrainRun(), "paper"), "paper", "train"),
    "pretrain": apply_preset(for_pretraining(PretrainRun(), "diswm"), "paper", "pretrain"),
    "collect": apply_preset(CollectRun(), "paper", "collect"),
}


class Row(NamedTuple):
    what: str
    setting: str
    paper: str
    release: str
    ours: str
    why: str
    tests: str

    @property
    def named(self) -> list[str]:
        return re.findall(r"`([^`]+)`", self.tests)


def rows(text: str) -> Iterator[Row]:
    """The rows of every table of the page, headings and rules left out."""
    for line in text.splitlines():
        if line.startswith("|"):
            cells = [cell.strip() for cell in line.strip().strip("|").split("|")] if line.endswith("|") else []
            assert len(cells) == len(COLUMNS), f"not {len(COLUMNS)} cells: {line}"
            if cells != COLUMNS and set("".join(cells)) != {"-"}:
                yield Row(*cells)


ROWS = list(rows(PAGE.read_text()))
SETTINGS = [row for row in ROWS if row.setting]


@functools.cache
def names_in(name: str) -> frozenset[str]:
    """The names of the test functions of a file, read without importing it."""
    tree = ast.parse((TESTS / name).read_text())
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"))


def problems(row: Row) -> list[str]:
    """What is wrong with the tests that a row names."""
    found = [] if row.named else [f"{row.what}: names no test"]
    for name in row.named:
        file, _, function = name.partition("::")
        if not (TESTS / file).is_file():
            found.append(f"{row.what}: there is no tests/{file}")
        elif function not in names_in(file):
            found.append(f"{row.what}: tests/{file} has no {function}")
    return found


# ---- the page against the code


def test_every_test_that_the_page_names_exists() -> None:
    assert len(ROWS) > 90
    assert [problem for row in ROWS for problem in problems(row)] == []


@pytest.mark.parametrize("row", SETTINGS, ids=lambda row: row.setting.strip("`").replace(" ", "-"))
def test_settings_are_those_of_the_page(row: Row) -> None:
    verb, _, name = row.setting.strip("`").partition(" ")
    values = flat(CONFIGS[verb])
    assert name in values, f"{verb} has no setting {name}"
    assert values[name] == ast.literal_eval(row.ours.strip("`")), f"{row.what}: docs/fidelity.md says {row.ours}, the code {values[name]!r}"


ELSEWHERE = {"method", "ablate", "teacher", "out", "seed", "device", "threads", "wandb", "env.task", "eval.at_once", "videos"} | {
    "start",
    "eval.workers",
    "learner.graph",
    *("probe.every", "probe.points", "probe.factors", "probe.share", "probe.optional"),  # they watch a run and change nothing of it
}


def test_no_setting_is_missing_on_the_page() -> None:
    """Every number that could differ from the paper has a row; what is named above or only paces a run needs none."""
    said = {row.setting.strip("`") for row in SETTINGS}
    clocks = ("log_every", "save_every_seconds", "patience", "ram_gb")
    missing = {
        name for name in flat(CONFIGS["train"]) if f"train {name}" not in said and name not in ELSEWHERE and not name.endswith(clocks)
    }
    missing |= {name for name in flat(CONFIGS["pretrain"]) if name.startswith(("pretrain.", "weights.")) and f"pretrain {name}" not in said
                and not name.endswith(clocks)}  # fmt: skip
    assert missing - {"model.encoder"} == set()
    assert len(said) == len(SETTINGS), "a setting has two rows"


def test_the_checks_of_the_page_see_what_is_wrong() -> None:
    head = f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}\n"
    good, gone, lost, bare = rows(
        head
        + "| a | | | | | | `test_fidelity.py::test_every_test_that_the_page_names_exists` |\n"
        + "| b | | | | | | `test_fidelity.py::test_nothing` |\n| c | | | | | | `no/where.py::test_x` |\n| d | | | | | | see there |\n"
    )
    assert problems(good) == []
    assert problems(gone) == ["b: tests/test_fidelity.py has no test_nothing"]
    assert problems(lost) == ["c: there is no tests/no/where.py"]
    assert problems(bare) == ["d: names no test"]
    with pytest.raises(AssertionError, match="not 7 cells"):
        list(rows("| a | b |\n"))


# ---- constants that no other test holds


def test_the_schedule_at_the_papers_steps() -> None:
    steps = (0, 45_000, 50_000, 95_000)
    config = CONFIGS["train"]
    cross = apply_task(config, "pusher", "train", False, "paper")
    inside = [config.weights["distill"] * config.anneal["distill"](count) for count in steps]
    across = [cross.weights["distill"] * cross.anneal["distill"](count) for count in (*steps, 49_999)]
    assert inside == pytest.approx([0.1, 0.01, 0.01, 0.01])
    assert across == pytest.approx([0.0, 0.0, 0.1, 0.01, 0.0])


def test_terms_of_the_video_model() -> None:
    assert CONFIGS["pretrain"].weights == {"image": 1.0, "dyn": 0.8, "rep": 0.2, "beta": 0.015}


def agent_of(config: TrainRun, act_dim: int = 6) -> Dreamer:
    return Dreamer(config.model, act_dim, config.learner, config.dreamer, config.weights, config.anneal, seed=0)


def test_sizes_of_actor_and_critic() -> None:
    agent = agent_of(CONFIGS["train"])
    # Feature 250; actor 4 layers of 400 and 2 x 6 outputs; critic 3 layers of 400 and one output.
    assert sum(param.numel() for param in agent.actor.parameters()) == 100_400 + 3 * 160_400 + 401 * 12
    assert sum(param.numel() for param in agent.critic.parameters()) == 100_400 + 2 * 160_400 + 401


def test_adam_is_the_releases() -> None:
    agent = agent_of(CONFIGS["train"])
    video = CONFIGS["pretrain"]
    before = WorldLearner(video.model, 0, video.learner, video.weights, seed=0).optimiser
    for optimiser, rate in ((agent.optimiser, 3e-4), (agent.actor_optimiser, 8e-5), (agent.critic_optimiser, 8e-5), (before, 3e-4)):
        found = optimiser.adam.defaults
        assert (found["lr"], found["betas"], found["eps"], found["weight_decay"]) == (rate, (0.9, 0.999), 1e-5, 0)
        assert not found["amsgrad"]
        assert optimiser.clip == 100


@pytest.mark.parametrize(("task", "frames"), [("walker_walk", 1000), ("pusher", 100), ("drawer_open", 200), ("drawer_close", 200)])
def test_the_replay_holds_the_whole_budget(task: str, frames: int) -> None:
    config = apply_task(CONFIGS["train"], task, "train", False, "paper")
    row = bytes_per_row(7, (64, 64, 3), {"teacher_mean": 20, "teacher_logvar": 20})
    steps = config.train.frames // config.env.action_repeat
    rows_needed = steps + steps // (frames // config.env.action_repeat)  # each episode also has its first frame
    assert rows_needed * row < config.train.replay_gb * 1e9
    assert config.train.replay_rows >= rows_needed


# ---- the teacher


def test_the_teacher_is_bit_identical_after_a_hundred_updates(teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainers: list[finetune.Trainer] = []
    train = finetune.Trainer.train
    monkeypatch.setattr(finetune.Trainer, "train", lambda self: (trainers.append(self), train(self))[1])
    files = {name: data for name, data in small.tree(teacher).items() if "checkpoints" in name}
    changes = {"train__frames": 60, "train__first_updates": 100, "train__eval_every": 1000, "eval__episodes": 1}
    assert api.train(small.train_config(tmp_path / "agent", "diswm", teacher=str(teacher), **changes))
    (trainer,) = trainers
    assert trainer.run.counters.updates >= 100
    assert trainer.run.counters.skipped_updates == 0
    assert trainer.teacher is not None
    fresh = load_video_model(teacher).state_dict()
    assert all(torch.equal(value, fresh[name]) for name, value in trainer.teacher.state_dict().items())
    assert {name: data for name, data in small.tree(teacher).items() if "checkpoints" in name} == files, "nor on disk"


# ---- seeds, and what is stored


class Traces(NamedTuple):
    """What a run drew: first weights, frames and colours of the environment, windows of the replay."""

    weights: dict[str, torch.Tensor]
    frames: list[np.ndarray]
    colours: list[np.ndarray]
    windows: list[np.ndarray]

    def same(self, other: Traces) -> dict[str, bool]:
        """Which of them are bit for bit those of another run."""
        found = {"weights": all(torch.equal(value, other.weights[name]) for name, value in self.weights.items())}
        for name in ("frames", "colours", "windows"):
            mine, theirs = getattr(self, name), getattr(other, name)
            found[name] = len(mine) == len(theirs) and all(map(np.array_equal, mine, theirs))
        return found


def traced(out: Path, seed: int) -> Traces:
    found = Traces({}, [], [], [])
    step, sample, train = Rollout.step, Replay.sample, finetune.Trainer.train

    def stepped(self: Rollout, action: np.ndarray) -> Any:
        taken = step(self, action)
        found.frames.append(self.image.copy())
        found.colours.append(np.concatenate([value for name, value in self.env.scene.factors().items() if "colour" in name]))  # type: ignore[attr-defined]
        return taken

    def sampled(self: Replay, *args: Any) -> Any:
        batch = sample(self, *args)
        found.windows.extend(batch[name].copy() for name in ("image", "action"))
        return batch

    def trained(self: finetune.Trainer) -> bool:
        model = self.agent.state_dict()["model"]
        found.weights.update({f"{part}.{name}": value.clone() for part, net in model.items() for name, value in net.items()})
        return train(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Rollout, "step", stepped)
        patch.setattr(Replay, "sample", sampled)
        patch.setattr(finetune.Trainer, "train", trained)
        changes = {"train__frames": 80, "train__eval_every": 1000, "eval__episodes": 1, "seed": seed}
        assert api.train(small.train_config(out, **changes))
    assert len(found.frames) == 40
    assert len(found.windows) > 10
    return found


def test_a_seed_is_a_run_bit_for_bit(tmp_path: Path) -> None:
    one, again, other = (traced(tmp_path / name, seed) for name, seed in (("one", 0), ("again", 0), ("other", 1)))
    assert one.same(again) == dict.fromkeys(("weights", "frames", "colours", "windows"), True)
    assert one.same(other) == dict.fromkeys(("weights", "frames", "colours", "windows"), False)


def play(env: Any, actions: Iterator[np.ndarray]) -> Episode:
    """An episode of at most these actions from seed 3, as the loop stores it."""
    image, info = env.reset(seed=3)
    builder = EpisodeBuilder(env.action_space.shape[0])
    builder.add(image, factors=info["factors"])
    for action in actions:
        image, reward, terminated, _, info = env.step(action)
        builder.add(image, action, reward, terminated, info["factors"])
    return builder.episode()


@pytest.mark.parametrize("task", ["toy", "walker_walk"])
def test_stored_actions_reproduce_the_stored_frames(task: str) -> None:
    if task != "toy":
        pytest.importorskip("dm_control", reason="the dm_control suite is not installed")
    env = envs.make(envs.EnvConfig(task=task))
    policy = RandomPolicy(np.random.default_rng(0), env.action_space.shape[0])
    stored = play(env, (policy.act(env.render()) for _ in range(20)))
    assert np.abs(stored["action"]).max() <= 1
    assert not stored["action"][0].any(), "no action led to the first frame"
    again = play(env, iter(stored["action"][1:]))
    shifted = play(env, itertools.chain(stored["action"][2:], [np.zeros_like(stored["action"][0])]))
    for name, value in stored.items():
        np.testing.assert_array_equal(again[name], value)
    assert not np.array_equal(shifted["image"], stored["image"]), "a shift by one would be seen"
    env.close()

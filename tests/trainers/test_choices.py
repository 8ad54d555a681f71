"""A run in a Gymnasium world with discrete actions and true ends, through the verbs."""

from __future__ import annotations

import json
import multiprocessing
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import small
import worlds  # noqa: F401

from diswm import api
from diswm.build import checkpoint, load
from diswm.checks import check_unseen
from diswm.cli import main
from diswm.contract import DiswmError
from diswm.data.replay import Replay
from diswm.envs.vector import InProcess
from diswm.report import write_report
from diswm.trainers.checkpoint import load_checkpoint
from diswm.trainers.evaluate import evaluate, random_actor
from diswm.trainers.rollout import RandomPolicy, random_policy
from diswm.trainers.run import read_config

pytestmark = pytest.mark.xdist_group("choices")

DOORS = "gym/worlds:Doors-v0"
CHANGES = {"env__task": DOORS, "env__action_repeat": 1, "train__length": 4, "train__frames": 120, "train__eval_every": 60}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("choices") / "run"
    assert api.train(small.train_config(folder, **CHANGES))
    return folder


def test_a_run_remembers_that_it_chooses_and_learns_the_ends(run: Path) -> None:
    head = read_config(run, "train")
    assert head["discrete"] is True
    assert head["config"]["model"]["continues"] is True
    assert head["config"]["weights"]["continue"] == 1.0
    assert head["config"]["env"]["distract"]["colours"] == "none"
    assert any("loss/continue" in line for line in small.events(run))
    agent = load(run)
    assert agent.discrete
    action = agent.act(np.zeros((64, 64, 3), np.uint8))
    assert sorted(action.tolist()) == [0, 0, 1]


def test_the_replay_holds_one_hot_actions_and_true_ends(run: Path) -> None:
    state = load_checkpoint(checkpoint(run))["replay"]
    replay = Replay.restore(run / "replay", state, capacity=400, action_dim=3, image_shape=(64, 64, 3), extras={}, disk_bytes=int(8e9))
    batch = replay.sample(np.random.default_rng(0), 200, 4)
    action = batch["action"]
    assert set(np.unique(action)) == {0.0, 1.0}
    sums = action.sum(-1)
    assert (sums[~batch["is_first"]] == 1).all()
    assert (sums[batch["is_first"]] == 0).all()
    assert batch["is_terminal"].any()
    assert batch["is_terminal"][:, :-1].sum() == 0, "a true end is the last row"


def test_the_same_command_goes_on_and_evaluates(run: Path) -> None:
    assert api.train(small.train_config(run, **CHANGES))
    assert api.train(small.train_config(run, **{**CHANGES, "train__frames": 160}))
    found = json.loads(api.evaluate(run, episodes=2).read_text())
    assert len(found["seen"]["returns"]) == 2


def test_the_one_world_there_is_is_evaluated_once(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "again"
    (out / "media").mkdir(parents=True)
    (out / "media" / "eval_unseen.gif").touch()  # of a version that played the same world twice
    found = json.loads(api.evaluate(run, episodes=2, out=out).read_text())
    assert found["unseen"] == {"returns": [], "absent": "no unseen world: the task has no distractions"}
    said = capsys.readouterr().out
    assert "no unseen world: the task has no distractions" in said
    assert "unseen:" not in said
    assert {path.name for path in (out / "media").iterdir()} == {"eval_random.gif", "eval_seen.gif"}
    splits = [line["split"] for line in small.events(run) if line["kind"] == "eval"]
    assert splits == ["seen"] * len(splits)


@pytest.mark.usefixtures("words_alone")
def test_the_report_shows_no_gap_of_generalisation(run: Path, tmp_path: Path) -> None:
    text = write_report(run, out=tmp_path / "report.html").read_text()
    assert text.count("no unseen world: the task has no distractions") == 2, "on the card and in the table"
    assert "<b>No unseen world: the task has no distractions.</b> Nothing can be said of generalisation." in text
    for gone in ("Unseen minus seen", "On unseen colours", "never met", "the orange one", "both colour sets"):
        assert gone not in text
    assert json.loads((tmp_path / "summary.json").read_text())["returns"]["trained_unseen"]["episodes"] == 0


def test_what_is_to_stay_unseen_does_not_matter_here(tmp_path: Path) -> None:
    for colours in ("none", "set1", "set2"):
        check_unseen(small.train_config(tmp_path, **CHANGES, unseen=colours))


def test_random_choices() -> None:
    rng = np.random.default_rng
    drawn = np.stack([RandomPolicy(rng(0), 3, True).act(np.empty(0)) for _ in range(2)])
    assert np.array_equal(drawn[0], drawn[1])
    policy = RandomPolicy(rng(0), 3, True)
    many = np.stack([policy.act(np.empty(0)) for _ in range(3000)])
    assert many.dtype == np.float32
    assert (np.sort(many, -1) == [0, 0, 1]).all()
    assert many.mean(0) == pytest.approx(np.full(3, 1 / 3), abs=0.03)  # 3.5 standard errors of sqrt(2 / 9 / 3000)
    first = [random_policy(0, 3, True, number).act(np.empty(0)).tolist() for number in range(12)]
    assert len({tuple(action) for action in first}) == 3


def test_a_random_evaluation_plays_legal_choices() -> None:
    from diswm import envs

    env = envs.make(envs.EnvConfig(task=DOORS, action_repeat=1), 0)
    result = evaluate(random_actor(np.random.default_rng(0), 3, True), InProcess([env]), [1, 2, 3])
    assert all(4 <= steps <= 40 for steps in result.steps)


def test_videos_of_it_and_of_its_agent(run: Path, tmp_path: Path) -> None:
    config = small.collect_config(tmp_path / "random", env__task=DOORS, collect__frames=60)
    assert api.collect(config)
    assert api.collect(small.collect_config(tmp_path / "agent", env__task=DOORS, collect__frames=60, collect__policy=str(run)))
    with pytest.raises(DiswmError, match="gives one of 3 choices, the task toy takes 2 numbers"):
        api.collect(small.collect_config(tmp_path / "toy", collect__policy=str(run)))
    assert set(np.load(next((tmp_path / "random").glob("*.npz"))).files) >= {"image"}


@pytest.mark.parametrize(("world", "workers", "words"), [("Nan", 0, "the reward nan, 2 steps"), ("ThirdReset", 1, r"its reset\(\) failed")])
def test_a_world_that_breaks_ends_a_collection_in_one_line(
    world: str, workers: int, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "videos"
    settings = ["--collect.frames", "400", "--collect.workers", str(workers), "--env.action-repeat", "1", "--out", str(out)]
    assert main(["collect", "--task", f"gym/worlds:{world}-v0", *settings]) == 2
    assert re.search(rf"^diswm: error: gym/{world}-v0: .*{words}.*after reset\(seed=\d+\).*check_env", capsys.readouterr().err, re.M)
    assert multiprocessing.active_children() == []
    assert (out / "manifest.json").exists(), "what was whole before is kept"


def test_the_released_layout_has_no_place_for_choices(run: Path, tmp_path: Path) -> None:
    with pytest.raises(DiswmError, match="makes choices"):
        api.export_checkpoint(run, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_command_line_refuses_in_one_line(refused: Callable[..., str], tmp_path: Path) -> None:
    assert "Did you mean CartPole-v1" in refused("train", "no_distill", "--task", "gym/CartPol-v1")
    assert "background" in refused("train", "no_distill", "--task", DOORS, "--distract", "background:noise")
    assert "cannot show the distraction colour" in refused("train", "no_distill", "--task", DOORS, "--distract", "set1")
    assert "nothing to see" in refused("collect", "--task", "gym/worlds:Unseen-v0")
    assert not (tmp_path / "runs").exists()

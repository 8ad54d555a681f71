"""Distractions that switch in mid-run: at an episode's end, in training, collecting and evaluating, and across a resume."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
import small

import diswm
from diswm import api, cli, envs, evaluations
from diswm.checks import check_unseen, settled
from diswm.config import TrainRun, from_dict, merge, to_dict
from diswm.contract import DiswmError
from diswm.data.episodes import list_episodes, load_episode
from diswm.envs import ColourConfig, EnvConfig
from diswm.envs.vector import InProcess
from diswm.settings import configure
from diswm.trainers.evaluate import Evaluation, evaluate, mean_actor
from diswm.trainers.rollout import Rollout
from diswm.trainers.run import check_folder, read_config
from diswm.trainers.seeds import seed_of

SWITCH = ("0:set1, 0.5:set2",)
PHASES = "0:set1, 0.5:none"
PHASED = {"env__phases": ["0:set1, 0.5:set2"]}


def set_of(colours: np.ndarray) -> str:
    """The set of some colours (..., 3): their green lies in [0.1, 0.5] in set 1 and in [0.5, 0.9] in set 2."""
    green = colours[..., 1]
    return "set1" if (green <= 0.5).all() else "set2" if (green >= 0.5).all() else "both"


class Switched(NamedTuple):
    """A run that switches, and (episode, progress at its start, set) of each of its training steps."""

    folder: Path
    seen: list[tuple[int, float, str]]


def switching(out: Path) -> TrainRun:
    """Episodes of 50 frames, 150 in all: the second one starts at 50 (0.33) and passes the middle at 75; the third, at 0.67, is the
    first of set 2."""
    return small.train_config(out, train__eval_every=100, **PHASED)


@pytest.fixture(scope="module")
def switched(tmp_path_factory: pytest.TempPathFactory) -> Switched:
    folder = tmp_path_factory.mktemp("switched") / "agent"
    seen: list[tuple[int, float, str]] = []
    original = Rollout.step

    def step(self: Rollout, action: np.ndarray) -> Any:
        out = original(self, action)
        seen.append((self.number, self.progress, set_of(self.builder.episode()["factor.colour.agent"])))
        return out

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Rollout, "step", step)
        assert api.train(switching(folder))
    return Switched(folder, seen)


@pytest.mark.xdist_group("switched")
def test_a_run_switches_at_the_first_episode_after_the_middle(switched: Switched) -> None:
    assert dict.fromkeys(switched.seen) == dict.fromkeys([(0, 0.0, "set1"), (1, 1 / 3, "set1"), (2, 2 / 3, "set2")])
    found = json.loads((switched.folder / "evaluation.json").read_text())
    assert [found[name]["colours"] for name in ("phase 1", "seen", "unseen")] == ["set1", "set2", "none"]
    assert read_config(switched.folder)["config"]["unseen"] == "none", "what was chosen is written down"
    assert [(phase["start"], phase["colours"]) for phase in found["phases"]] == [(0.0, "set1"), (0.5, "set2")]
    assert found["phase 1"]["returns"] != found["seen"]["returns"]


def test_every_earlier_phase_is_measured_at_the_end_and_all_its_distractions_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # The third phase is overtaken by the last before it is complete: it was never on alone, and is not measured.
    phases = ["0:set1, 0.3:set2+background:noise,dynamic, 0.5-0.9:easy, 0.8:set1+background:plain"]
    short = {"train__frames": 200, "train__eval_every": 1000}
    config = small.train_config(tmp_path / "agent", **short, env__phases=phases, unseen="none")
    assert api.train(config)
    found = json.loads((tmp_path / "agent" / "evaluation.json").read_text())
    assert [name for name in found if name.startswith("phase ")] == ["phase 1", "phase 2"]
    on = {"phase 1": ["colours set1"], "phase 2": ["colours set2", "background noise moving"],
          "seen": ["colours set1", "background plain"], "unseen": ["colours none"]}  # fmt: skip
    assert {name: found[name]["on"] for name in on} == on
    said = capsys.readouterr().out
    assert "on colours set2, background noise moving\n" in said
    assert "on colours set1, background plain\n" in said
    assert {path.name for path in (tmp_path / "agent" / "media").glob("eval_phase*")} == {"eval_phase_1.gif", "eval_phase_2.gif"}
    # The same agent and seeds under phase 2 alone.
    alone = dataclasses.replace(config.env, phases=("0:set2+background:noise,dynamic",))
    pair = InProcess([envs.make(alone), envs.make(alone)])
    seeds = [seed_of(config.seed, "eval_seen", index) for index in range(2)]
    assert found["phase 2"]["returns"] == evaluate(mean_actor(diswm.load(tmp_path / "agent")), pair, seeds).returns


@pytest.mark.parametrize(("done", "on"), [(0.4, ["colours set1"]), (0.5, ["old and new distractions, mixed"]), (0.6, ["colours set2"])])
def test_an_evaluation_within_a_gradual_switch_is_said_to_be_mixed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, done: float, on: list[str]
) -> None:
    """At 0.4 no episode is of the new set yet, at 0.6 all are."""
    played = Evaluation([1.0, 2.0], [1, 1], np.zeros((2, 64, 64, 3), np.uint8))
    monkeypatch.setattr(evaluations, "evaluate", lambda *given: played)
    monkeypatch.setattr(evaluations, "random_actor", lambda *given: None)
    agent = SimpleNamespace(world=SimpleNamespace(act_dim=2), discrete=False)
    config = small.train_config(tmp_path, env__phases=["0:set1, 0.4-0.6:set2"], unseen="none", train__frames=1_000)
    stages: Any = evaluations.Evaluations(config)
    assert evaluations.evaluate_all(tmp_path, agent, stages, config, int(done * 1_000))  # type: ignore[arg-type]
    found = json.loads((tmp_path / "evaluation.json").read_text())
    assert found["seen"]["on"] == found["random"]["on"] == on
    assert found["unseen"]["on"] == ["colours none"]
    assert ("phase 1" in found) == (done > 0.4)


@pytest.mark.xdist_group("switched")
def test_a_switched_run_is_resumed_bit_for_bit(switched: Switched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from diswm.trainers.finetune import Trainer

    original, stops = Trainer.act, [40, 55]

    def act(self: Trainer, bar: Any, stop: Any) -> None:
        original(self, bar, stop)
        if self.run.counters.steps in stops:
            stops.remove(self.run.counters.steps)
            stop.requested = True

    monkeypatch.setattr(Trainer, "act", act)
    # Step 40 (frame 80) is in the episode that began before the switch and ends after it; step 55 in the first one after it.
    assert [api.train(switching(tmp_path / "agent")) for _ in range(3)] == [False, False, True]
    assert small.events(tmp_path / "agent") == small.events(switched.folder)


def test_the_progress_of_an_unfinished_episode_is_saved() -> None:
    env = envs.make(EnvConfig(task="toy", phases=SWITCH))
    one = Rollout(env, 0, "train_env", progress=0.7)
    one.step(np.zeros(2, np.float32))
    state = json.loads(json.dumps(one.state()))
    two = Rollout(envs.make(EnvConfig(task="toy", phases=SWITCH)), 0, "train_env")
    two.restore(state)
    assert two.progress == 0.7
    assert np.array_equal(two.image, one.image)
    before = {name: value for name, value in state.items() if name != "progress"}
    two.restore(before)  # a checkpoint from before there were phases
    assert two.progress == 0.0


def test_evaluations_follow_the_phase() -> None:
    env = envs.make(EnvConfig(task="toy", phases=SWITCH))
    found = [set_of(env.reset(seed=1, options={"progress": p})[1]["factors"]["colour.agent"]) for p in (0.0, 0.49, 0.5, 1.0)]
    assert found == ["set1", "set1", "set2", "set2"]
    assert set_of(env.reset(seed=1)[1]["factors"]["colour.agent"]) == "set1"


def test_a_phase_holds_to_the_end_of_its_episode_and_a_gradual_one_is_drawn_by_the_seed() -> None:
    env = envs.make(EnvConfig(task="toy", phases=("0:set1, 0.2-0.8:set2",)))

    def phases(seed: int) -> list[float]:
        found = [float(env.reset(seed=seed, options={"progress": 0.5})[1]["factors"]["phase"][0])]
        return [*found, *(float(env.step(np.zeros(2, np.float32))[4]["factors"]["phase"][0]) for _ in range(5))]

    drawn = [phases(seed) for seed in range(40)]
    assert all(len(set(each)) == 1 for each in drawn)
    assert drawn == [phases(seed) for seed in range(40)]
    # Half way: 20 of 40 expected, standard deviation sqrt(40) / 2 = 3.2; four of these on either side.
    assert 7 < sum(each[0] for each in drawn) < 33


def test_without_phases_the_walk_is_the_one_of_its_set() -> None:
    switched, plain = (
        envs.make(EnvConfig(task="toy", phases=SWITCH)),
        envs.make(EnvConfig(task="toy", distract=ColourConfig(colours="set2"))),
    )
    assert np.array_equal(switched.reset(seed=3, options={"progress": 0.9})[0], plain.reset(seed=3)[0])


def test_collected_videos_switch_and_are_taken_up(tmp_path: Path) -> None:
    settings = {"env__phases": list(SWITCH), "env__distractions": ["background:noise,dynamic"], "collect__frames": 400}
    assert api.collect(small.collect_config(tmp_path / "whole", **settings))
    episodes = [load_episode(path) for path in list_episodes(tmp_path / "whole")]
    assert [set_of(episode["factor.colour.agent"]) for episode in episodes] == ["set1"] * 2 + ["set2"] * 2
    assert {"factor.background.clip", "factor.background.frame", "factor.background.direction", "factor.phase"} <= episodes[0].keys()
    # A folder that was stopped after three episodes goes on as the whole one did.
    for path in list_episodes(tmp_path / "whole")[3:]:
        path.unlink()
    before = [path.read_bytes() for path in list_episodes(tmp_path / "whole")]
    assert api.collect(small.collect_config(tmp_path / "whole", **settings))
    again = list_episodes(tmp_path / "whole")
    assert [path.read_bytes() for path in again[:3]] == before
    assert all(np.array_equal(load_episode(path)[name], kept[name]) for path, kept in zip(again, episodes, strict=True) for name in kept)
    with pytest.raises(DiswmError, match=r"distraction .*400.* not .*800"):
        api.collect(small.collect_config(tmp_path / "whole", **{**settings, "collect__frames": 800}))


def test_runs_from_before_there_were_distractions_go_on(tmp_path: Path) -> None:
    config = to_dict(small.train_config(tmp_path))
    old = {
        **config,
        "env": {name: value for name, value in config["env"].items() if name not in ("distractions", "phases", "drawer_reward")},
    }
    (tmp_path / "config.json").write_text(json.dumps({"format": 1, "kind": "train", "version": "0", "config": old}))
    check_folder(tmp_path, "train", config)
    assert to_dict(from_dict(TrainRun, old)) == config


def test_another_budget_would_move_the_switch(tmp_path: Path) -> None:
    config = small.train_config(tmp_path, **PHASED)
    begun = to_dict(settled(config))
    (tmp_path / "config.json").write_text(json.dumps({"format": 1, "kind": "train", "version": "0", "config": begun}))
    with pytest.raises(DiswmError, match="phases are fractions of 150 frames; 200 would move the switches"):
        api.train(merge(config, {"train.frames": 200}))


def test_what_a_phase_trains_on_is_not_unseen(tmp_path: Path) -> None:
    with pytest.raises(DiswmError, match=r"trains on colours set2.*--unseen"):
        api.train(small.train_config(tmp_path / "x", env__phases=list(SWITCH), unseen="set2"))
    with pytest.raises(DiswmError, match="Leave one of set1, set2, none out of the phases"):
        api.train(small.train_config(tmp_path / "x", env__phases=["0:set1, 0.3:set2, 0.6:none"]))
    bare = ["0:set1+background:noise, 0.5:none"]  # the bare scene, which `--unseen none` is, is trained on
    with pytest.raises(DiswmError, match=r"trains on colours none.*--unseen set2"):
        api.train(small.train_config(tmp_path / "x", env__phases=bare, env__distractions=["background:plain"], unseen="none"))
    with pytest.raises(DiswmError, match="color_hard,train"):
        api.train(small.train_config(tmp_path / "x", env__distract__colours="any"))


def test_what_leaves_no_set_unseen_is_said_and_evaluated_as_in_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    phases = ["0:background:plain,test, 0.5:background:plain,dynamic,train"]
    short = {"train__frames": 200, "train__eval_every": 1000, "eval__episodes": 1}
    assert api.train(small.train_config(tmp_path / "agent", **short, env__phases=phases))
    assert capsys.readouterr().out.count("background:plain,dynamic,train: no other set stays unseen, ") == 1
    found = json.loads((tmp_path / "agent" / "evaluation.json").read_text())
    assert found["seen"]["on"] == ["colours set1", "background plain moving train"]
    assert found["unseen"]["on"] == ["colours set2", "background plain moving train"], "the colours are unseen"


def test_no_clip_of_an_unseen_world_is_shown_in_training() -> None:
    def clips(config: EnvConfig, *progress: float) -> set[float]:
        env = envs.make(config)
        starts = [env.reset(seed=seed, options={"progress": p})[1] for p in progress for seed in range(60)]
        return {float(info["factors"]["background.clip"][0]) for info in starts if "background.clip" in info["factors"]} - {-1.0}

    # Six clips of the set for testing; 60 draws of 6 leave one out with a chance of 6 (5 / 6)^60 = 0.01%.
    noise = "background:noise,clips=6"
    one = EnvConfig(task="toy", phases=(f"0:none, 0.3:{noise},test, 0.6:{noise},test+color_easy",))
    both = dataclasses.replace(one, phases=(f"0:none, 0.3:{noise},test, 0.6:{noise},dynamic,train",))
    trained = clips(one, 0.0, 0.3, 0.6)
    assert len(trained) == 6
    assert not clips(envs.unseen(one, "set2"), 0.0) & trained
    assert clips(envs.unseen(both, "none"), 0.0) == set(), "the scene's own: either set is of a phase"


def test_runs_that_were_begun_go_on_with_what_they_keep_unseen(tmp_path: Path) -> None:
    """A run of a version that took the other set of the last phase for unseen, and so the scene without colours for another world."""
    phases = ["0:set1, 0.2:set2, 0.4:none, 0.5:none+background:noise,test, 0.7:none+background:noise,dynamic,train"]
    new = small.train_config(tmp_path, env__phases=phases)
    with pytest.raises(DiswmError, match="Leave one of set1, set2, none out of the phases"):
        check_unseen(settled(new))
    begun = to_dict(dataclasses.replace(settled(new), unseen="none"))
    (tmp_path / "config.json").write_text(json.dumps({"format": 1, "kind": "train", "version": "0", "config": begun}))
    for config in (new, merge(new, {"unseen": "none"})):
        check_unseen(settled(config))
        check_folder(tmp_path, "train", to_dict(settled(config)))
    with pytest.raises(DiswmError, match="unseen is 'none' there, 'set2' here"):
        check_folder(tmp_path, "train", to_dict(settled(merge(new, {"unseen": "set2"}))))


def test_runs_that_were_begun_go_on_with_their_map_of_shadows(tmp_path: Path) -> None:
    """quadruped_escape had 512 texels, as all tasks had."""
    new = small.train_config(tmp_path, env__task="quadruped_escape")
    assert settled(new).env.shadow_size == 2048
    begun = to_dict(merge(settled(new), {"env": {"shadow_size": 512}}))
    (tmp_path / "config.json").write_text(json.dumps({"format": 1, "kind": "train", "version": "0", "config": begun}))
    check_folder(tmp_path, "train", to_dict(settled(new)))
    with pytest.raises(DiswmError, match="shadow_size is 512 there, 1024 here"):
        check_folder(tmp_path, "train", to_dict(settled(merge(new, {"env": {"shadow_size": 1024}}))))


# ---- the command line


def configured(tmp_path: Path, *args: str) -> Any:
    from diswm.config import CollectRun

    return configure("collect", "", CollectRun(), ["--out", str(tmp_path), *args], None)[0].env


def test_flags(tmp_path: Path) -> None:
    assert configured(tmp_path).distract == ColourConfig(), "as ever"
    found = configured(
        tmp_path, "--distract", "colour:set2,static", "--distract", "background:video,dynamic", "--phases", "0:set1, 0.5:none"
    )
    assert found.distract == ColourConfig(colours="set2", step_std=0.0)
    assert found.distractions == ("background:video,dynamic",)
    assert found.phases == ("0:set1, 0.5:none",)
    assert configured(tmp_path, "--distract", "camera:easy").distract.colours == "none", "exactly what is named"
    assert configured(tmp_path, "--distract=none").distract.colours == "none"
    assert configured(tmp_path, "--distract", "camera:easy", "--env.distract.colours", "set2").distract.colours == "set2"
    file = tmp_path / "run.yaml"
    file.write_text("distract: [colour:ted1, 'light:easy']\nphases: '0:set1, 0.5:set2'\n")
    found = configured(tmp_path, "--config", str(file))
    assert (found.distract.max_delta, found.distractions, found.phases) == (0.1, ("light:easy",), ("0:set1, 0.5:set2",))
    assert configured(tmp_path, "--config", str(file), "--distract", "texture:all").distractions == ("texture:all",)


def test_wrong_flags_end_with_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for args, words in (
        (["--distract", "backgroud:video"], "Did you mean background"),
        (["--distract", "background:video,folder=/nowhere"], "cannot be opened"),
        (["--phases", "0.5:set2"], "phases start at 0.5"),
        (["--distract", "camera:easy"], "cannot show the distraction camera"),
        (["--distrct", "camera:easy"], "--distract"),
    ):
        assert cli.main(["collect", "--task", "toy", "--out", str(tmp_path / "v"), *args]) == 2
        told = capsys.readouterr().err
        assert words in told
        assert told.count("\n") == 1
    assert not (tmp_path / "v").exists()
    assert cli.main(["pretrain", "--distract", "camera:easy"]) == 2

"""The verbs as functions, and reading runs back."""

from __future__ import annotations

import dataclasses
import errno
import json
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
import small
import torch

import diswm
from diswm import api
from diswm.build import last_counters, load, load_learner, load_video_model
from diswm.checks import settled
from diswm.config import PretrainRun, TrainRun, from_dict, merge, to_dict
from diswm.contract import DiswmError
from diswm.data.videos import Videos
from diswm.trainers import run
from diswm.trainers.curves import Curves
from diswm.trainers.run import Run, read_config


def test_a_run_explains_itself(agent: Path, teacher: Path) -> None:
    found = read_config(agent, "train")
    config = from_dict(TrainRun, found["config"])
    asked = small.train_config(agent, "diswm", teacher=str(teacher))
    assert config == settled(asked)
    assert (config.env.distract.per, config.unseen) == ("frame", "set2"), "what was decided is written down"
    assert found["version"] == diswm.__version__
    assert from_dict(PretrainRun, read_config(teacher, "pretrain")["config"]).method == "diswm"
    assert last_counters(agent) == {"steps": 75, "frames": 150, "updates": 14, "episodes": 3, "skipped_updates": 0}
    assert {path.name for path in agent.iterdir()} == {
        *("config.json", "metrics.jsonl", "checkpoints", "replay", "media", "tensorboard", "evaluation.json", "cost.json")
    }
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(agent / "tensorboard"))
    events.Reload()
    assert {"episode/return", "loss/image", "eval_seen/returns", "eval_unseen/returns"} <= set(events.Tags()["scalars"])


def test_a_loaded_agent_is_the_one_that_was_trained(agent: Path) -> None:
    one, two = load(agent), load_learner(agent, "cpu")
    assert all(torch.equal(value, two.world.state_dict()[name]) for name, value in one.world.state_dict().items())
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    np.testing.assert_array_equal(one.act(image), two.act(image))  # type: ignore[attr-defined]


def test_a_video_model_is_frozen_and_has_no_actions(teacher: Path) -> None:
    world = load_video_model(teacher)
    assert (world.act_dim, len(world.heads), world.training) == (0, 0, False)
    assert not any(param.requires_grad for param in world.parameters())


def test_collected_videos_hold_images_and_factors_alone(videos: Path) -> None:
    manifest = json.loads((videos / "manifest.json").read_text())
    assert (manifest["frames"], manifest["episodes"], manifest["task"]) == (300, 3, "toy")
    for path in videos.glob("*.npz"):
        names = set(np.load(path).files)
        assert "image" in names
        assert all(name == "image" or name.startswith("factor.") for name in names)
    read = Videos(videos, length=5)
    assert not np.array_equal(read.episode(0)["image"], read.episode(1)["image"])


def test_videos_of_a_trained_agent(agent: Path, tmp_path: Path) -> None:
    out = tmp_path / "videos"
    assert api.collect(small.collect_config(out, collect__frames=100, collect__policy=str(agent)))
    assert json.loads((out / "manifest.json").read_text())["source"] == f"agent {agent}"
    with pytest.raises(DiswmError, match="holds videos with source"):
        api.collect(small.collect_config(out, collect__frames=200))
    threads = torch.get_num_threads()
    assert api.collect(small.collect_config(out, collect__frames=200, collect__policy=str(agent)))
    assert torch.get_num_threads() == threads
    by_worker = small.collect_config(tmp_path / "by_worker", collect__frames=200, collect__policy=str(agent), collect__workers=1)
    assert api.collect(by_worker)
    assert small.tree(by_worker.out) == small.tree(out)


def test_a_config_without_its_methods_terms_is_refused(tmp_path: Path) -> None:
    bare = dataclasses.replace(small.train_config(tmp_path / "x"), weights={})
    with pytest.raises(DiswmError, match="for_training"):
        api.train(bare)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("method", ["paper", "no_disentangle", "dv2_finetune"])
def test_methods_with_a_teacher_train(method: str, videos: Path, tmp_path: Path) -> None:
    assert api.pretrain(small.pretrain_config(tmp_path / "teacher", videos, method, pretrain__updates=2))
    changes = {"train__frames": 80, "train__eval_every": 1000, "eval__episodes": 1}
    assert api.train(small.train_config(tmp_path / "agent", method, teacher=str(tmp_path / "teacher"), **changes))
    lines = [line for line in small.events(tmp_path / "agent") if line["kind"] == "update"]
    assert lines
    assert ("loss/distill" in lines[-1]) == (method != "dv2_finetune")
    assert ("loss/beta" in lines[-1]) == (method == "paper")


def test_pretraining_takes_an_archive_its_folder_and_train_eps(videos: Path, tmp_path: Path) -> None:
    """Wherever the released layout is opened, the same model comes out; an archive that was cut is told in one line."""
    episodes = tmp_path / "by_hand" / "walker_walk" / "train_eps"
    shutil.copytree(videos, episodes)
    with tarfile.open(tmp_path / "walker_walk.tar.xz", "w:xz") as tar:
        tar.add(tmp_path / "by_hand" / "walker_walk", "walker_walk")
    weights = []
    for name, given in enumerate((tmp_path / "walker_walk.tar.xz", episodes.parent, episodes)):
        assert api.pretrain(small.pretrain_config(tmp_path / f"run{name}", given, pretrain__updates=2))
        weights.append(load_video_model(tmp_path / f"run{name}").state_dict())
    assert all(torch.equal(value, other[name]) for other in weights[1:] for name, value in weights[0].items())
    whole = (tmp_path / "walker_walk.tar.xz").read_bytes()
    (tmp_path / "cut.tar.xz").write_bytes(whole[:-15])
    with pytest.raises(DiswmError, match=r"cut\.tar\.xz: cannot be unpacked \(the compressed data end in the middle\)"):
        api.pretrain(small.pretrain_config(tmp_path / "cut", tmp_path / "cut.tar.xz"))
    assert not (tmp_path / "cut").exists()


def test_traversing_other_videos(agent: Path, videos: Path, tmp_path: Path) -> None:
    folder = tmp_path / "agent"
    shutil.copytree(agent, folder)
    path = api.traverse(folder, videos=videos, device="cpu")
    found = np.load(path)
    assert found["images"].shape == (4, 9, 64, 64, 3)
    assert found["kl"].shape == (4,)


# ---- the run folder


def test_discard_leaves_nothing_of_a_new_run_and_all_of_an_old_one(tmp_path: Path, agent: Path) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / ".hidden").write_text("x")
    Run(tmp_path / "new", "train", {"seed": 0}).discard()
    assert [path.name for path in (tmp_path / "new").iterdir()] == [".hidden"]
    Run(tmp_path / "other", "train", {"seed": 0}).discard()
    assert not (tmp_path / "other").exists()
    shutil.copytree(agent, tmp_path / "agent")
    before = {name: data for name, data in small.tree(tmp_path / "agent").items() if "tfevents" not in name}
    more = merge(from_dict(TrainRun, read_config(agent)["config"]), {"train": {"frames": 400}})
    Run(tmp_path / "agent", "train", to_dict(more)).discard()
    assert {name: data for name, data in small.tree(tmp_path / "agent").items() if "tfevents" not in name} == before


def test_budgets_and_clocks_may_change_and_all_else_may_not(tmp_path: Path) -> None:
    config = {"seed": 0, "train": {"frames": 1, "batch": 2, "save_every_seconds": 3}, "threads": 0}
    Run(tmp_path / "run", "train", config).close()
    Run(tmp_path / "run", "train", {**config, "threads": 4, "train": {"frames": 9, "batch": 2, "save_every_seconds": 1}}).close()
    assert read_config(tmp_path / "run")["config"]["train"]["frames"] == 9
    with pytest.raises(DiswmError, match=r"train.batch is 2 there, 5 here"):
        Run(tmp_path / "run", "train", {**config, "train": {"frames": 9, "batch": 5, "save_every_seconds": 1}})
    with pytest.raises(DiswmError, match=r"new is None there, 1 here"):
        Run(tmp_path / "run", "train", {**config, "new": 1})


def test_a_run_is_of_one_process_at_a_time(tmp_path: Path) -> None:
    first = Run(tmp_path / "run", "train", {"seed": 0})
    first.log("episode", length=1)
    before = small.tree(tmp_path)
    with pytest.raises(DiswmError, match="another process is at work on this run"):
        Run(tmp_path / "run", "train", {"seed": 0, "threads": 3})
    assert small.tree(tmp_path) == before
    first.log("episode", length=2)
    first.close()
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 2  # the refused one touched nothing
    Run(tmp_path / "run", "train", {"seed": 0}).close()


@pytest.mark.parametrize("what", ["make_folder", "last_checkpoint", "Curves"])
def test_a_start_that_fails_can_be_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    def full(*args: object, **kwargs: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(run, what, full)
        with pytest.raises((DiswmError, OSError), match=r"disk is full|No space"):
            Run(tmp_path / "run", "train", {"seed": 0})
    with pytest.raises(DiswmError, match="seed is 0 there, 1 here"):
        Run(tmp_path / "run", "train", {"seed": 1})
    Run(tmp_path / "run", "train", {"seed": 0}).close()


def test_curves_that_fill_the_disk_are_told_as_other_files_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = Run(tmp_path / "run", "train", {"seed": 0})

    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(opened._curves._records, "write", full)
    with pytest.raises(DiswmError, match="disk is full"):
        opened.log("update", x=1.0)
    opened.close()


def test_curves_of_a_resumed_run_do_not_fold_back(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for begin, steps in ((0, (1, 2, 3, 4)), (3, (3, 4, 5))):  # both within a second: their names must still be in order
        curves = Curves(tmp_path / "tensorboard", begin)
        for step in steps:
            curves.add({"a": step + begin, "b/c": 0.5}, step)
        curves.close()
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(point.step, point.value) for point in events.Scalars("a")] == [(1, 1), (2, 2), (3, 6), (4, 7), (5, 8)]
    assert len(events.Scalars("b/c")) == 5


def test_a_run_goes_on_with_its_own_teacher_alone(agent: Path, teacher: Path, videos: Path, tmp_path: Path) -> None:
    for folder in (teacher, agent):
        shutil.copytree(folder, tmp_path / folder.name)
    config = small.train_config(tmp_path / "agent", "diswm", teacher=str(tmp_path / "teacher"))
    assert api.train(config)  # nothing is left to do
    (tmp_path / "teacher").rename(tmp_path / "moved")
    assert api.train(dataclasses.replace(config, teacher=tmp_path / "moved"))
    assert read_config(config.out)["config"]["teacher"] == str(tmp_path / "moved")
    assert api.pretrain(small.pretrain_config(tmp_path / "teacher", videos, seed=7))
    before = small.tree(config.out)
    with pytest.raises(DiswmError, match="its weights are not those that taught"):
        api.train(config)
    assert small.tree(config.out) == before


def test_a_run_of_another_format_or_kind(tmp_path: Path) -> None:
    texts = ["{}", "[]", "{", '{"format": 99, "kind": "train", "config": {}}', '{"format": 1, "kind": "train", "config": 3}']
    for text in [*texts, '{"format": 1, "config": {}}', '{"format": 1, "kind": [], "config": {}}']:
        (tmp_path / "config.json").write_text(text)
        with pytest.raises(DiswmError, match="is not a run"):
            read_config(tmp_path)

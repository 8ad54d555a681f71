"""What a report shows of a code beyond one batch."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small
import torch

from diswm import api
from diswm.closeups import CHANGES, CLIPS, changes, clips_of, closeups, groups, replay_of
from diswm.contract import DiswmError
from diswm.data.manifest import VideoWriter
from diswm.model.encoder import Code
from diswm.trainers.run import read_config


class Reads(torch.nn.Module):
    """An "encoder" whose first dimension is the red of a corner of the toy's picture, the second how much is black, the third nothing."""

    noise_size = 3

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(1))

    def forward(self, x: torch.Tensor) -> Any:
        corner, dark = x[:, 0, 0, 0], (x.amax(1) < -0.4).float().mean((1, 2))
        mean = torch.stack([self.scale * corner * 10, dark * 100, torch.zeros_like(dark)], 1)
        return Code(mean, torch.full_like(mean, -9.0))


@pytest.fixture
def copied(agent: Path, tmp_path: Path) -> Path:
    return shutil.copytree(agent, tmp_path / "agent")


def test_a_run_leaves_the_arrays_of_both_pictures(agent: Path, teacher: Path) -> None:
    with np.load(agent / "media" / CHANGES) as found:
        names = found["groups"].tolist()
        assert names == ["colour of background", "colour of agent", "colour of target", "all colours", "pose"]
        assert found["share"].shape == (5, 4)
        assert ((found["share"] >= 0) & (found["share"] <= 1)).all()
        assert found["images"].shape == (6, 64, 64, 3)
    with np.load(agent / "media" / CLIPS) as found:
        # Both learned from windows of 5 rows; every second is encoded. 5 find room in an episode of 26 rows, 15 in a replay of 78.
        assert found["teacher"].shape == found["student"].shape == (30, 3, 4)
        assert found["online"].sum() == 15
        assert found["rows"] == 5
        for side in (False, True):
            codes = found["student"][found["online"] == side]
            within, between = codes.var(1).mean(), codes.mean(1).var(0).mean()
            assert within > 0, "the frames of a clip differ"
            assert between > 0, "and so do clips"
    assert (teacher / "media" / CHANGES).is_file()
    assert not (teacher / "media" / CLIPS).exists(), "a video model has no replay"


def test_traversing_again_gives_the_same(agent: Path, copied: Path) -> None:
    for name in (CHANGES, CLIPS):
        (copied / "media" / name).unlink()
    api.traverse(copied, device="cpu")
    for name in (CHANGES, CLIPS):
        with np.load(agent / "media" / name) as first, np.load(copied / "media" / name) as again:
            assert all(np.array_equal(first[key], again[key]) for key in first.files)


def test_what_is_gone_is_said(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = copied / "config.json"
    head = json.loads(path.read_text())
    (copied / "media" / CLIPS).unlink()
    path.write_text(json.dumps(head | {"config": head["config"] | {"teacher": str(copied.parent / "nowhere")}}))
    api.traverse(copied, device="cpu")
    assert "left out the map of offline and online clips" in capsys.readouterr().out
    path.write_text(json.dumps(head))
    shutil.rmtree(copied / "replay")
    api.traverse(copied, device="cpu")
    assert "its replay is not there any more" in capsys.readouterr().out
    with np.load(copied / "media" / "traversal.npz") as found:
        assert found["filtered"].shape == found["images"].shape, "random actions do as well"
    assert not (copied / "media" / CLIPS).exists()


def test_a_teacher_beside_the_run_is_taken_where_it_is_the_one(copied: Path, teacher: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All was moved together, or another of the same name has come there."""
    path, made = copied / "config.json", copied / "media" / CLIPS
    head = read_config(copied)
    shutil.copytree(teacher, copied.parent / "t")
    moved = head | {"config": head["config"] | {"teacher": "/nowhere/t"}}
    for known, taken in ((head["teacher"], True), ("another", False)):
        made.unlink()
        path.write_text(json.dumps(moved | {"teacher": known}))
        api.traverse(copied, device="cpu")
        assert made.exists() == taken
        assert ("t: is not the video model that taught" in capsys.readouterr().out) != taken


def test_clips_are_cut_from_whole_files_and_take_every_second_row(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "videos", {}) as writer:
        for file, rows in enumerate((5, 6, 30)):  # each frame tells its file and its row
            image = np.zeros((rows, 64, 64, 3), np.uint8)
            image[..., 0], image[..., 1] = file, np.arange(rows)[:, None, None]
            writer.add({"image": image})
    rng = np.random.default_rng(0)
    found = clips_of([tmp_path / "videos"], tmp_path / "none", 9, 6, rng)[:, :, 0, 0]
    assert found.shape == (4, 3, 3), "three of each file, but the first is too short and the second holds one"
    assert found[..., 0].std(1).max() == 0
    assert (np.diff(found[..., 1].astype(int)) == 2).all()
    assert set(found[:, 0, 0]) == {1, 2}
    assert found[found[:, 0, 0] == 1][:, 0, 1].tolist() == [0]
    with pytest.raises(DiswmError, match="none of its 3 episodes can be read and has 31 frames or more"):
        clips_of([tmp_path / "videos"], tmp_path / "none", 9, 31, rng)


def test_a_world_without_known_factors_is_left_out_with_a_reason(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = copied / "config.json"
    head = json.loads(path.read_text())
    head["config"]["env"]["distract"]["colours"] = "none"
    path.write_text(json.dumps(head))
    closeups(copied, Reads())
    assert "left out what a change of colours does to the code: nothing but the pose varies" in capsys.readouterr().out


def test_the_replay_is_read_as_the_checkpoint_left_it(agent: Path) -> None:
    before = small.tree(agent / "replay")
    with replay_of(agent) as replay:
        assert len(replay) == 3 * 26  # 150 frames in episodes of 50, at two frames a step: 25 steps and the first frame
    assert small.tree(agent / "replay") == before


def test_a_dimension_for_a_colour_moves_with_it_and_with_nothing_else(agent: Path) -> None:
    found = changes(agent, read_config(agent), Reads())
    share = dict(zip(found["groups"].tolist(), found["share"], strict=True))
    assert share["colour of background"][0] > 0.9, "the corner shows the background, but where a sprite covers it"
    assert share["all colours"][0] > 0.9
    assert share["colour of target"][0] == 0.0
    assert share["pose"][0] < 0.1
    # The black rim is as long as the agent is large and in sight: 1, give or take 0.1 for 128 pairs.
    assert share["pose"][1] > 0.7
    assert share["all colours"][1] < 0.2
    assert max(value[2] for value in share.values()) == 0.0, "what never moves"


def test_factors_are_drawn_anew_by_what_they_belong_to() -> None:
    found = groups(["joint.hip", "colour.self", "colour.self", "camera.roll", "target", "light.tilt", "background.clip", "texture"])
    assert found == {
        "colour of self": [1, 2], "pose": [0, 4], "camera": [3], "light": [5], "background": [6], "texture": [7],
    }  # fmt: skip
    assert "all colours" in groups(["colour.self", "colour.grid"])

"""`diswm factors`: sets of labelled frames on the disk."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import small

import diswm
from diswm import envs
from diswm.cli import main
from diswm.contract import DiswmError
from diswm.data.factorset import Drawn, numbers, pick, read_set
from diswm.data.manifest import read_manifest
from diswm.data.videos import Videos
from diswm.envs import toy
from diswm.factorsets import draw_factors, env_of

Refused = Callable[..., str]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """501 frames: two files."""
    return draw_factors("toy", n=501, out=tmp_path_factory.mktemp("drawn") / "toy", seed=3)


def test_a_set_reads_back_as_it_was_drawn(drawn: Path) -> None:
    found = read_set(drawn)
    assert (found.world, found.about["renderer"], found.about["seed"]) == ("toy", "numpy", 3)
    assert [one.name for one in found.drawn] == list(toy.NAMES)
    assert found.image.shape == (501, 64, 64, 3)
    for i in (0, 500):
        assert np.abs(found.image[i].astype(int) - toy.render_factors(found.values[i])).max() <= 1, "labels are rounded to float32"
    about = found.about["independent"]
    # The largest of 91 correlations of 501 independent points: some 3 of their deviations of 1 / sqrt(501) = 0.045.
    assert about["largest_correlation"] < 0.2
    assert about["accepted"] == 1.0
    assert len(found.first(7).values) == len(found.first(7).image) == 7


def test_the_same_seed_gives_the_same_bytes_and_another_others(drawn: Path, tmp_path: Path) -> None:
    assert small.tree(draw_factors("toy", n=501, out=tmp_path / "again", seed=3)) == small.tree(drawn)
    assert set(small.tree(draw_factors("toy", n=501, out=tmp_path / "other", seed=4))) != set(small.tree(drawn))


def test_it_is_a_data_set_of_videos_too(drawn: Path) -> None:
    videos = Videos(drawn, length=2)
    assert (videos.rows, videos.episodes, videos.skipped) == (501, 2, [])
    assert videos.factors["agent"] == 2


def test_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["factors", "toy", "--n", "3", "--distract", "colour:set2"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "factors/toy"
    values = read_set(tmp_path / "factors" / "toy").values
    assert (values[:, 6::3] >= 0.5).all(), "the green of set2"
    assert diswm.draw_factors is draw_factors


def test_bad_input_is_refused(refused: Refused, drawn: Path, tmp_path: Path) -> None:
    assert "walker_walk" in refused("factors", "walker_wlk")
    assert "`diswm factors` needs a task" in refused("factors")
    assert "must be a number of frames from 1 to 200,000" in refused("factors", "toy", "--n", "0")
    assert "not known here" in refused("factors", "gym/CartPole-v1")
    assert "cannot show the distraction light" in refused("factors", "toy", "--distract", "light:easy")
    assert "is there already" in refused("factors", "toy", "--out", drawn)


def test_what_is_no_set_is_refused(drawn: Path, videos: Path, tmp_path: Path) -> None:
    with pytest.raises(DiswmError, match="is no folder"):
        read_set(tmp_path / "nowhere")
    with pytest.raises(DiswmError, match="were not drawn with independent factors"):
        read_set(videos)
    broken = tmp_path / "broken"
    broken.mkdir()
    for path in drawn.iterdir():
        (broken / path.name).write_bytes(path.read_bytes())
    next(broken.glob("*.npz")).write_bytes(b"no zip")
    with pytest.raises(DiswmError, match="cannot be read as an episode"):
        read_set(broken)
    manifest = json.loads((drawn / "manifest.json").read_text())
    (broken / "manifest.json").write_text(json.dumps(manifest | {"independent": {"world": "toy"}}))
    with pytest.raises(DiswmError, match="does not say what was drawn"):
        read_set(broken)


def test_angles_are_classes_or_two_columns() -> None:
    angle = Drawn("hinge", "angle", -np.pi, np.pi, "hinge", 0)
    values = np.array([-np.pi, -np.pi + 0.7, 0.0, np.pi - 1e-9, np.pi])
    assert angle.classes(values).tolist() == [0, 1, 5, 9, 0], "tenths of a turn; the end is the beginning"
    assert angle.numbers(values)[[0, 4]] == pytest.approx(np.array([[0, 1], [0, 1]]), abs=1e-6)
    plain = Drawn("size", "continuous", 0.0, 1.0, "body", 1)
    both, discrete = numbers([angle, plain], np.zeros((5, 2)))
    assert both.shape == (5, 3)
    assert not discrete.any()
    found, picked = pick([angle, plain], {"body": np.array([[1.0, 2.0]])})
    assert (found, picked.tolist()) == ((plain,), [[2.0]])


def test_the_world_of_a_video_model_is_that_of_its_videos(videos: Path, tmp_path: Path) -> None:
    head = {"kind": "pretrain", "config": {"videos": [str(videos)]}}
    found = env_of(head, tmp_path)
    assert (found.task, found.distract, found.distractions) == ("toy", envs.ColourConfig(per="frame"), ())
    assert read_manifest(videos)["task"] == "toy"
    with pytest.raises(DiswmError, match="do not say which world they show"):
        env_of({"kind": "pretrain", "config": {"videos": []}}, tmp_path)

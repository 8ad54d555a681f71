"""Clips for the background: folders as users have them, and drawn ones."""

from __future__ import annotations

import dataclasses
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import small
from PIL import Image

from diswm import api, envs
from diswm.config import merge
from diswm.contract import DiswmError
from diswm.envs import patterns
from diswm.envs.backdrops import open_clips
from diswm.envs.factors import BackgroundConfig

NAMES = ("bear", "boat", "dog", "goat")


def picture(path: Path, value: int, size: tuple[int, int] = (86, 48)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((size[1], size[0], 3), value, np.uint8)).save(path)


@pytest.fixture
def davis(tmp_path: Path) -> Path:
    """DAVIS as it is unpacked: clip i has i + 2 frames, the k-th of grey 50 i + 10 k."""
    for i, name in enumerate(NAMES):
        for k in range(i + 2):
            picture(tmp_path / "JPEGImages" / "480p" / name / f"{k:05d}.jpg", 50 * i + 10 * k)
    return tmp_path


def clips_of(folder: Path, **settings: object) -> object:
    return open_clips(BackgroundConfig(folder=str(folder), **settings), 16)  # type: ignore[arg-type]


def test_davis_is_read_as_it_is(davis: Path) -> None:
    for folder in (davis, davis / "JPEGImages" / "480p"):
        clips = clips_of(folder)
        assert clips.choice() == [0, 1, 2, 3]  # type: ignore[attr-defined]
        assert [clips.length(i) for i in range(4)] == [2, 3, 4, 5]  # type: ignore[attr-defined]
        frame = clips.frame(3, 2)  # type: ignore[attr-defined]
        assert frame.shape == (16, 16, 3)
        assert frame.dtype == np.uint8
        assert np.abs(frame.astype(int) - 170).max() <= 2


def test_sets_are_those_of_davis_or_every_third(davis: Path) -> None:
    assert clips_of(davis, split="train").choice() == [0, 1, 3]  # type: ignore[attr-defined]
    assert clips_of(davis, split="test").choice() == [2]  # type: ignore[attr-defined]
    lists = davis / "ImageSets" / "2017"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("bear\ndog\n")
    (lists / "val.txt").write_text("boat\ngoat\n")
    assert clips_of(davis, split="train").choice() == [0, 2]  # type: ignore[attr-defined]
    assert clips_of(davis, split="test").choice() == [1, 3]  # type: ignore[attr-defined]
    assert clips_of(davis, split="test", clips=1).choice() == [1]  # type: ignore[attr-defined]
    with pytest.raises(DiswmError, match="clips=3, but the set 'test' has 2"):
        clips_of(davis, split="test", clips=3)
    shutil.rmtree(lists)
    older = davis / "ImageSets" / "480p"  # of 2016: a picture and its mask a line
    older.mkdir()
    (older / "val.txt").write_text("/JPEGImages/480p/dog/00000.jpg /Annotations/480p/dog/00000.png\n" * 2)
    assert clips_of(davis, split="test").choice() == [2]  # type: ignore[attr-defined]


def test_pictures_are_cut_to_a_square(tmp_path: Path) -> None:
    wide = np.zeros((20, 60, 3), np.uint8)
    wide[:, 20:40] = 200  # the centred square
    Image.fromarray(wide).save(tmp_path / "one.png")
    clips = clips_of(tmp_path)
    assert clips.length(0) == 1  # type: ignore[attr-defined]
    assert (clips.frame(0, 0) == 200).all()  # type: ignore[attr-defined]


def test_videos(tmp_path: Path) -> None:
    av = pytest.importorskip("av", reason="PyAV is not installed")
    with av.open(str(tmp_path / "clip.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height = 64, 48
        for value in (20, 120, 220):
            for packet in stream.encode(av.VideoFrame.from_ndarray(np.full((48, 64, 3), value, np.uint8), format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    clips = clips_of(tmp_path)
    means = [clips.frame(0, time).mean() for time in range(clips.length(0))]  # type: ignore[attr-defined]
    assert means == pytest.approx([20, 120, 220], abs=8)
    (tmp_path / "clip.mp4").unlink()
    (tmp_path / "bad.mp4").write_bytes(b"no video" * 100)
    with pytest.raises(DiswmError, match=r"bad.mp4 cannot be read .*Mend it or take it away") as told:
        clips_of(tmp_path)
    assert "\n" not in str(told.value)


def test_folders_without_clips_are_refused(tmp_path: Path, davis: Path) -> None:
    with pytest.raises(DiswmError, match=r"nowhere cannot be opened \(No such file.*JPEGImages/480p"):
        clips_of(tmp_path / "nowhere")
    (tmp_path / "empty" / "sub").mkdir(parents=True)
    with pytest.raises(DiswmError, match="empty holds no clips"):
        clips_of(tmp_path / "empty")
    with pytest.raises(DiswmError, match="is drawn and takes no folder"):
        clips_of(davis, source="noise")
    picture(tmp_path / "lone" / "a.png", 5)
    with pytest.raises(DiswmError, match="its 1 clips leave none for the set 'test'"):
        clips_of(tmp_path / "lone", split="test")


def test_what_is_damaged_is_said_at_the_start_or_cut_off(davis: Path) -> None:
    frames = davis / "JPEGImages" / "480p" / "goat"
    (frames / "00003.jpg").write_bytes(b"broken")
    clips = clips_of(davis)
    with pytest.warns(UserWarning, match="goat is damaged after frame 3"):
        assert clips.length(3) == 3  # type: ignore[attr-defined]
    whole = clips_of(davis)
    (frames / "00000.jpg").write_bytes(b"broken")
    with pytest.warns(UserWarning, match=r"goat cannot be read .* \S+ is shown in its place"):
        left = clips_of(davis)
    (goat,) = [i for i in whole.choice() if whole._paths[i].name == "goat"]  # type: ignore[attr-defined]
    assert len(left.choice()) == len(whole.choice()), "so that what is drawn later stays the same"
    assert goat not in left.choice()
    assert [a for a, b in zip(left.choice(), whole.choice(), strict=True) if b != goat] == [i for i in whole.choice() if i != goat]


def test_a_folder_of_bad_clips_is_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "0.png").write_bytes(b"broken")
    with pytest.raises(DiswmError, match="a cannot be read"):
        clips_of(tmp_path)


def test_a_data_set_and_a_run_do_not_go_on_with_other_clips(davis: Path, tmp_path: Path) -> None:
    """Clips are drawn by number: with one more the same seed would show others. One that is damaged changes no number."""
    text = f"background:video,folder={davis}"
    collect = small.collect_config(tmp_path / "videos", collect__frames=100)
    collect = dataclasses.replace(collect, env=envs.with_distractions(collect.env, [text]))
    assert api.collect(collect)
    train = small.train_config(tmp_path / "run", train__frames=130)
    train = dataclasses.replace(train, env=envs.with_distractions(train.env, [text]))
    assert api.train(train)
    clips = davis / "JPEGImages" / "480p"
    (clips / "goat" / "00000.jpg").write_bytes(b"broken")
    with pytest.warns(UserWarning, match="is shown in its place"):
        assert api.collect(merge(collect, {"collect.frames": 200})), "a long collection survives one bad video"
    shutil.copytree(clips / "goat", clips / "another")
    with pytest.raises(DiswmError, match="holds videos with distraction"):
        api.collect(merge(collect, {"collect.frames": 300}))
    warnings.simplefilter("ignore")  # pytest puts it back
    with pytest.raises(DiswmError, match=r"its clips are not those that .* was begun with"):
        api.train(train)


def test_a_run_survives_a_clip_that_is_lost_on_the_way(davis: Path) -> None:
    clips = clips_of(davis)
    (goat,) = [i for i in clips.choice() if clips._paths[i].name == "goat"]  # type: ignore[attr-defined]
    first = clips_of(davis).frame(goat, 0)
    shutil.rmtree(davis / "JPEGImages" / "480p" / "goat")
    with pytest.warns(UserWarning, match=r"goat cannot be read .*Until then its first frame is shown"):
        assert clips.length(goat) == 1
    assert np.array_equal(clips.frame(goat, 0), first)


@pytest.mark.parametrize("kind", ["shapes", "noise", "plain"])
def test_drawn_clips_are_pure_functions_that_differ(kind: str) -> None:
    frame = patterns.frame(kind, 3, 10, 32)
    assert frame.shape == (32, 32, 3)
    assert np.array_equal(frame, patterns.frame(kind, 3, 10, 32))
    assert not np.array_equal(frame, patterns.frame(kind, 4, 10, 32))
    assert not np.array_equal(frame, patterns.frame(kind, 3, 20, 32)), "it moves"
    step = np.abs(frame.astype(int) - patterns.frame(kind, 3, 11, 32)).mean()
    assert step < 40, "and does not jump"


def test_drawn_floors_differ() -> None:
    floors = [patterns.floor(i, 40, 40) for i in range(len(patterns.FLOORS))]
    for i, one in enumerate(floors):
        assert np.ptp(one) > 30, patterns.FLOORS[i]
        assert all(np.abs(one.astype(int) - other).mean() > 5 for other in floors[:i])


def test_clips_are_trained_on_by_whatever_name_their_folder_goes(davis: Path) -> None:
    """Each phase shows one set, by another name of the folder: none is left. By either name alone the other set is."""
    inner, cut = davis / "JPEGImages" / "480p", "background:video,folder={}"
    both = f"0:set1+{cut.format(davis)},train, 0.5:set1+{cut.format(inner)},test"
    assert envs.left_seen(envs.EnvConfig(task="toy", phases=(both,))) == [f"{cut.format(inner)},test"]
    one = envs.EnvConfig(task="toy", phases=(f"0:set1+{cut.format(davis)},train, 0.5:set1+{cut.format(inner)},train",))
    assert envs.left_seen(one) == []
    assert envs.unseen(one).distractions == (f"{cut.format(inner)},test",)

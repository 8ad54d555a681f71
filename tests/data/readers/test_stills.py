"""Folders of frames: the natural order, one clip a folder, and what is no picture."""

import films
import numpy as np
import pytest
from PIL import Image

from diswm.contract import DiswmError
from diswm.data.readers import clip as clips
from diswm.data.readers import is_foreign, open_source


def test_frames_come_in_the_order_of_their_numbers_and_exactly(tmp_path):
    known = films.frames(12)
    clip = films.only(films.stills(tmp_path / "clip", known, "frame_{}.png"))  # frame_10 after frame_9
    assert (clip.name, clip.head().frames, clip.head().size, clip.head().fps) == ("clip/", 12, (32, 32), None)
    np.testing.assert_array_equal(np.stack([np.asarray(image) for image in clip.frames(lambda index: True)]), known)
    assert films.numbers(clip.frames(lambda index: index == 10)) == [10]


def test_each_folder_is_a_clip_and_everything_else_is_counted(tmp_path):
    films.stills(tmp_path / "v" / "two", films.frames(3, 5), "{}.jpg")
    films.stills(tmp_path / "v" / "deep" / "ten", films.frames(2, 9))
    films.stills(tmp_path / "v" / ".hidden", films.frames(2))
    (tmp_path / "v" / "labels.txt").touch()
    (tmp_path / "v" / "round").symlink_to(tmp_path / "v")  # a circle
    assert films.opened(tmp_path / "v") == {"deep/ten/": [9, 10], "two/": [5, 6, 7]}
    assert open_source(tmp_path / "v").other == {".txt": 1}


def test_of_davis_the_masks_are_no_clips(tmp_path):
    films.stills(tmp_path / "JPEGImages" / "480p" / "bear", films.frames(2), "{:05d}.jpg")
    films.stills(tmp_path / "Annotations" / "480p" / "bear", films.frames(2, 30))
    assert films.opened(tmp_path) == {"480p/bear/": [0, 1]}


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "1"])
def test_pictures_of_other_modes_become_colours(tmp_path, mode):
    image = Image.fromarray(films.frames(1, 40)[0]).convert(mode)
    image.save(tmp_path / "0.png")
    (found,) = films.only(tmp_path).frames(lambda index: True)
    np.testing.assert_array_equal(np.asarray(found), np.asarray(image.convert("RGB")))


def test_what_is_no_picture_is_named(tmp_path, monkeypatch):
    films.stills(tmp_path / "good", films.frames(3))
    (tmp_path / "good" / "1.png").write_text("no picture")
    frames = films.only(tmp_path / "good").frames(lambda index: True)
    next(frames)
    with pytest.raises(DiswmError, match=r"1\.png: is no picture"):
        next(frames)
    (tmp_path / "depth").mkdir()
    Image.fromarray(np.zeros((9, 9), np.uint16)).save(tmp_path / "depth" / "0.png")
    with pytest.raises(DiswmError, match="not eight bits"):
        films.only(tmp_path / "depth").head()
    monkeypatch.setattr(clips, "MAX_PIXELS", 80)
    with pytest.raises(DiswmError, match="its pictures are 9 x 9"):
        films.only(tmp_path / "depth").head()


def test_one_picture_is_no_video(tmp_path):
    films.stills(tmp_path, films.frames(1))
    with pytest.raises(DiswmError, match="is a single picture"):
        open_source(tmp_path / "0.png")


def test_what_holds_no_videos_is_told(tmp_path):
    (tmp_path / "notes.txt").touch()
    assert not is_foreign(tmp_path)
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(DiswmError, match="Expected video files"):
            open_source(path)


def test_natural_order_and_the_bounds_of_a_walk(tmp_path, monkeypatch):
    names = ["10", "9", "a", "a2", "a10", "", "a1b"]
    assert sorted(names, key=clips.natural) == ["", "9", "10", "a", "a1b", "a2", "a10"]
    films.stills(tmp_path / "a" / "b", films.frames(3))
    monkeypatch.setattr(clips, "MAX_FILES", 2)
    with pytest.raises(DiswmError, match="more than 2 files"):
        clips.walk(tmp_path)
    monkeypatch.setattr(clips, "MAX_DEPTH", 1)
    with pytest.raises(DiswmError, match="more than 1 folders deep"):
        clips.walk(tmp_path)

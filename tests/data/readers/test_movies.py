"""Video files: every frame, once, in order; damage is said, and nothing but a video is opened."""

import itertools

import av
import films
import numpy as np
import pytest

from diswm.contract import DiswmError
from diswm.data.readers import is_foreign, open_source
from diswm.data.readers.movies import part


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "libx264"), ("a.mkv", "libx264"), ("a.avi", "mpeg4"), ("A.MOV", "libx264")])
def test_every_frame_comes_once_and_in_order_within_the_tolerance_of_the_codec(tmp_path, name, codec):
    known = films.frames(23, 2, height=48, width=64)
    clip = films.only(films.movie(tmp_path / name, known, codec=codec))
    head = clip.head()
    assert (clip.name, head.size, head.fps) == (name, (64, 48), 10)
    assert head.frames == 23
    found = np.stack([np.asarray(image) for image in clip.frames(lambda index: True)])
    assert found.shape == known.shape
    assert films.numbers(found) == list(range(2, 25))
    assert np.abs(found.astype(int) - known)[:, :, 24:].max() <= 2  # right of the edge, where codecs ring


def test_only_the_frames_that_are_wanted_come(tmp_path):
    clip = films.only(films.movie(tmp_path / "a.mp4", films.frames(12)))
    assert films.numbers(clip.frames(lambda index: index % 5 == 1)) == [1, 6, 11]


@pytest.mark.parametrize("start", [0, 1, 4, 5, 6, 17])
def test_a_part_begins_at_its_time_wherever_the_key_frames_are(tmp_path, start):
    path = films.movie(tmp_path / "a.mp4", films.frames(20), fps=30, gop=5)
    assert films.numbers(part(path, start / 30, 3, 30.0, lambda index: True)) == [start, start + 1, start + 2]


def test_a_part_beyond_the_end_gives_its_frames_and_says_how_many_lack(tmp_path):
    frames = part(films.movie(tmp_path / "a.mp4", films.frames(20)), 1.8, 5, 10.0, lambda index: True)
    assert films.numbers(itertools.islice(frames, 2)) == [18, 19]
    with pytest.raises(DiswmError, match=r"has 2 of its 5 frames in a\.mp4"):
        next(frames)


def test_a_film_that_was_taken_with_the_telephone_on_its_side_stands_upright(tmp_path):
    known = films.frames(2, 20, height=32, width=64)
    known[:, :8, :, :] = 255  # the upper quarter is white, too
    path = films.movie(tmp_path / "a.mp4", known)
    data = path.read_bytes()
    at = data.index(b"tkhd") + 4 + 40  # of the track's header: its matrix, nine fixed-point numbers
    turned = [0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30]  # a quarter turn clockwise
    path.write_bytes(data[:at] + b"".join(n.to_bytes(4, "big", signed=True) for n in turned) + data[at + 36 :])
    image = np.asarray(next(films.only(path).frames(lambda index: True)))
    assert image.shape == (64, 32, 3)
    assert image[:, 26:].mean() > 245  # what was above is on the right
    assert image[:12].mean() > 245  # what was on the left is above
    assert image[24:, :20].mean() < 110


@pytest.mark.parametrize(
    ("name", "codec", "words"),
    [("a.avi", "mpeg4", r"ends after \d+ of the 30 frames that it"), ("a.mkv", "libx264", r"ends after [\d.]+ of the 3 seconds that it")],
)
def test_a_file_that_was_cut_off_gives_its_frames_and_says_so(tmp_path, name, codec, words):
    path = films.movie(tmp_path / name, np.random.default_rng(0).integers(0, 256, (30, 32, 32, 3), np.uint8), codec=codec)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 3 // 5])
    frames, found = films.only(path).frames(lambda index: True), 0
    with pytest.raises(DiswmError, match=words):  # noqa: PT012
        for _ in frames:
            found += 1
    assert 10 <= found <= 20


def test_what_is_no_film_is_told_in_words(tmp_path):
    (tmp_path / "text.mp4").write_text("no film")
    (tmp_path / "empty.mp4").touch()
    films.movie(tmp_path / "cut.mp4", films.frames(9))
    (tmp_path / "cut.mp4").write_bytes((tmp_path / "cut.mp4").read_bytes()[:1500])
    (tmp_path / "link.mp4").symlink_to(tmp_path / "nowhere.mp4")
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    for clip in open_source(tmp_path).clips:
        words = {"sound.mp4": "holds no video, only audio", "link.mp4": "there is no file"}.get(clip.name, "cannot be read")
        with pytest.raises(DiswmError, match=words):
            clip.head()
        with pytest.raises(DiswmError, match=words):
            next(clip.frames(lambda index: True))


def test_a_playlist_that_calls_itself_a_film_opens_no_other_file(tmp_path):
    films.movie(tmp_path / "secret" / "real.mp4", films.frames(5))
    (tmp_path / "list.mp4").write_text("ffconcat version 1.0\nfile secret/real.mp4\n")
    with pytest.raises(DiswmError, match="cannot be read"):
        next(films.only(tmp_path / "list.mp4").frames(lambda index: True))


def test_pictures_of_too_many_pixels_are_refused(tmp_path, monkeypatch):
    from diswm.data.readers import clip

    path = films.movie(tmp_path / "a.mp4", films.frames(3))
    monkeypatch.setattr(clip, "MAX_PIXELS", 32 * 32 - 1)
    with pytest.raises(DiswmError, match="its pictures are 32 x 32"):
        next(films.only(path).frames(lambda index: True))


def test_a_missing_package_is_named_with_its_command(tmp_path, monkeypatch):
    import sys

    path = films.movie(tmp_path / "a.mp4", films.frames(3))
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(DiswmError, match=r"pip install 'diswm\[video\]'"):
        films.only(path).head()
    assert is_foreign(path)

"""What a source is, by its headers, and the pictures of it."""

import films
import numpy as np
import pytest
from PIL import Image

from diswm.contract import DiswmError
from diswm.data.convert import Conversion, convert
from diswm.data.episodes import save_episode
from diswm.data.readers import open_source
from diswm.data.survey import preview, survey


def info(path):
    return survey(path, open_source(path))


def test_the_facts_of_a_mixture(tmp_path):
    films.movie(tmp_path / "a.mp4", films.frames(12, height=32, width=48))
    films.movie(tmp_path / "b.mp4", films.frames(5), fps=30)
    films.stills(tmp_path / "c", films.frames(4))
    films.hdf5(tmp_path / "d.h5", {"one/front": films.frames(3), "two/front": films.frames(3), "two/back": films.frames(3)})
    (tmp_path / "bad.mp4").write_text("no film")
    (tmp_path / "notes.txt").touch()
    found = info(tmp_path)
    (skipped,) = found.pop("skipped")
    assert skipped[0] == "bad.mp4"
    assert skipped[1].startswith("cannot be read")
    assert found == {
        "path": str(tmp_path),
        "kind": "3 video files, 1 HDF5 files, 1 folders of frames",
        "clips": 6,
        "frames": 12 + 5 + 4 + 9,
        "clips_of_unknown_length": 0,
        "sizes": {"48 x 32": 1, "32 x 32": 5},
        "fps": {"10": 1, "30": 1, "unknown": 4},
        "cameras": {"front": 2, "back": 1},
        "factors": {},
        "other": {".txt": 1},
    }


def test_a_converted_data_set_says_where_it_comes_from_and_what_was_left_out(tmp_path):
    films.movie(tmp_path / "v" / "a.mp4", films.frames(12))
    (tmp_path / "v" / "bad.mp4").touch()
    convert([tmp_path / "v"], tmp_path / "out", Conversion(16, "letterbox", 5))
    found = info(tmp_path / "out")
    assert (found["frames"], found["sizes"], found["fps"], found["source"]) == (6, {"16 x 16": 1}, {"5": 1}, ["v"])
    assert found["conversion"]["fit"] == "letterbox"
    assert [name for name, _ in found["skipped"]] == ["bad.mp4"]


def test_episodes_with_labels_and_damaged_ones(tmp_path):
    save_episode(tmp_path, {"image": films.frames(4), "factor.floor": np.zeros((4, 3))}, "0.npz")
    (tmp_path / "1.npz").write_text("none")
    found = info(tmp_path)
    assert (found["kind"], found["clips"], found["factors"]) == ("episodes (.npz)", 1, {"floor": 3})
    assert [name for name, _ in found["skipped"]] == ["1.npz"]


def test_a_picture_has_a_row_for_each_clip_from_beginning_to_end(tmp_path):
    films.stills(tmp_path / "v" / "a", films.frames(15))
    films.stills(tmp_path / "v" / "b", films.frames(3, 20))
    (tmp_path / "v" / "bad.mp4").touch()
    assert preview(open_source(tmp_path / "v"), tmp_path / "p.png", Conversion(64)) == ["a/", "b/"]
    page = np.asarray(Image.open(tmp_path / "p.png"))
    assert page.shape == (2 * 130 + 2, 8 * 130 + 2, 3)  # tiles of 2 x 64 pixels, with gaps of 2
    tiles = [[page[r * 130 + 2 : r * 130 + 130, c * 130 + 2 : c * 130 + 130] for c in range(8)] for r in range(2)]
    assert films.numbers(tiles[0]) == [0, 2, 4, 6, 8, 10, 12, 14]
    assert films.numbers(tiles[1]) == [20, 21, 22, *[51] * 5]  # white is 255
    assert (page[::130] == 255).all()


def test_a_moving_picture_shows_the_clips_side_by_side(tmp_path):
    for number in range(8):
        films.stills(tmp_path / "v" / str(number), films.frames(5, number))
    assert preview(open_source(tmp_path / "v"), tmp_path / "p.gif", Conversion(128)) == [f"{n}/" for n in (0, 1, 2, 4, 5, 7)]
    with Image.open(tmp_path / "p.gif") as film:
        assert (film.n_frames, film.size) == (5, (3 * 130 + 2, 2 * 130 + 2))
        film.seek(3)
        page = np.asarray(film.convert("RGB"))
    assert abs(films.numbers([page[2:130, 2:130]])[0] - 3) <= 1  # a GIF has 256 colours
    assert abs(films.numbers([page[132:260, 262:390]])[0] - 10) <= 1


def test_a_preview_that_cannot_be_drawn_is_refused(tmp_path):
    films.stills(tmp_path / "v", films.frames(3))
    with pytest.raises(DiswmError, match=r"has the suffix '\.jpg', expected \.png"):
        preview(open_source(tmp_path / "v"), tmp_path / "p.jpg", Conversion())
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / "a.mp4").touch()
    with pytest.raises(DiswmError, match=r"None of 1 clips can be decoded. The first: a\.mp4"):
        preview(open_source(tmp_path / "w"), tmp_path / "p.png", Conversion())
    assert {path.name for path in tmp_path.iterdir()} == {"v", "w"}

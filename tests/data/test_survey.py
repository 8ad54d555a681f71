"""What a source is, by its headers, and the pictures of it."""

import films
import numpy as np
import pytest
from PIL import Image

from diswm.contract import DiswmError
from diswm.data.convert import Conversion, convert
from diswm.data.episodes import list_episodes, save_episode
from diswm.data.manifest import VideoWriter, read_manifest
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
        "kind": "3 video files, 1 HDF5 file, 1 folder of frames",
        "clips": 6,
        "frames": 12 + 5 + 4 + 9,
        "clips_of_unknown_length": 0,
        "sizes": {"48 x 32": 1, "32 x 32": 5},
        "fps": {"10": 1, "30": 1, "unknown": 4},
        "cameras": {"front": 2, "back": 1},
        "factors": {},
        "damaged": [],
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


def test_bad_pictures_and_films_that_were_cut_off_are_foreseen(tmp_path):
    films.stills(tmp_path / "c", films.frames(5))
    (tmp_path / "c" / "0.png").write_text("no picture")
    data = (tmp_path / "c" / "3.png").read_bytes()
    (tmp_path / "c" / "3.png").write_bytes(data[: len(data) // 2])
    films.stills(tmp_path / "j", films.frames(4), "{}.jpg")
    data = (tmp_path / "j" / "1.jpg").read_bytes()
    (tmp_path / "j" / "1.jpg").write_bytes(data[: len(data) // 2])
    (tmp_path / "j" / "2.jpg").write_bytes((tmp_path / "j" / "2.jpg").read_bytes() + b"more")  # telephones append things
    films.stills(tmp_path / "s", films.frames(3))
    Image.fromarray(films.frames(1, height=40)[0]).save(tmp_path / "s" / "2.png")
    films.stills(tmp_path / "n", films.frames(2))
    for file in (tmp_path / "n").iterdir():
        file.write_text("none")
    noise = np.random.default_rng(0).integers(0, 256, (30, 32, 32, 3)).astype(np.uint8)
    film = films.movie(tmp_path / "x.mp4", noise)
    film.write_bytes(moov_first(film.read_bytes()))
    both = [films.movie(tmp_path / "y.avi", noise, codec="mpeg4"), films.movie(tmp_path / "z.mkv", noise)]
    whole = info(tmp_path)
    assert {name for name, _ in whole["damaged"]} == {"c/", "j/", "s/"}
    for path in (film, *both):
        path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    found = info(tmp_path)
    damaged = dict(found["damaged"])
    assert damaged.keys() == {"c/", "j/", "s/", "x.mp4", "y.avi", "z.mkv"}
    assert damaged["c/"].startswith("2 of its 5 pictures cannot be used; the first: 0.png: is no picture")
    assert damaged["j/"].startswith("1 of its 4 pictures cannot be used; the first: 1.jpg: ")
    assert damaged["s/"] == "1 pictures are 32 x 40, unlike the first, 32 x 32: 2.png"
    assert all(damaged[name].startswith("was cut off: ") for name in ("x.mp4", "y.avi", "z.mkv"))
    assert [name for name, _ in found["skipped"]] == ["n/"]


def moov_first(data):
    """An mp4 with its index before its frames, as for streaming: the boxes are ftyp, free, mdat, moov."""
    from struct import pack, unpack_from

    boxes, place = [], 0
    while place < len(data):
        (length,) = unpack_from(">I", data, place)
        boxes.append(data[place : place + length])
        place += length
    index = bytearray(boxes.pop())
    at = index.index(b"stco") + 8  # after version and flags: the number of chunks, then where each begins
    (count,) = unpack_from(">I", index, at)
    for entry in range(at + 4, at + 4 + 4 * count, 4):
        index[entry : entry + 4] = pack(">I", unpack_from(">I", index, entry)[0] + len(index))
    return b"".join([boxes[0], bytes(index), *boxes[1:]])


def test_a_damaged_data_set_is_not_passed_for_whole(tmp_path):
    films.stills(tmp_path / "v" / "a", films.frames(3))
    films.stills(tmp_path / "v" / "b", films.frames(4))
    films.stills(tmp_path / "v" / "c", films.frames(5))
    convert([tmp_path / "v"], tmp_path / "out", Conversion(16, "letterbox"))
    whole = info(tmp_path / "out")
    assert (whole["frames"], whole["broken"]) == (12, [])
    assert whole["promised"] == {"files": 3, "rows": 12, "frames": 12}  # films have no resets
    first, second, _ = list_episodes(tmp_path / "out")
    first.unlink()
    save_episode(tmp_path / "out", {"image": films.frames(4, 7, 16, 16)}, second.name)  # readable, but another
    found = info(tmp_path / "out")
    assert (found["clips"], found["frames"], found["broken"]) == (1, 5, [first.name, second.name])
    assert f"`diswm data convert v --out {tmp_path / 'out'} --size 16 --fit letterbox`" in found["remedy"]
    convert([tmp_path / "out"], tmp_path / "next", Conversion(16))
    assert read_manifest(tmp_path / "next")["rows"] == 5  # nor learned from
    with VideoWriter(tmp_path / "task", {"task": "toy-reach", "action_repeat": 2}) as writer:
        path = writer.add({"image": films.frames(3)})
    assert info(tmp_path / "task")["promised"] == {"files": 1, "rows": 3, "frames": 4}  # (3 - 1) x 2
    path.write_bytes(path.read_bytes() + b"!")
    assert info(tmp_path / "task")["remedy"] == "Fetch or collect it again."


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


def test_a_picture_shows_what_there_is_of_damaged_clips(tmp_path):
    films.stills(tmp_path / "v" / "a", films.frames(8))
    (tmp_path / "v" / "a" / "2.png").write_text("no picture")
    noise = np.random.default_rng(0).integers(0, 256, (30, 32, 32, 3)).astype(np.uint8)
    path = films.movie(tmp_path / "v" / "b.avi", noise, codec="mpeg4")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert preview(open_source(tmp_path / "v"), tmp_path / "p.png", Conversion(64)) == ["a/", "b.avi"]
    page = np.asarray(Image.open(tmp_path / "p.png"))
    tiles = [page[2:130, c * 130 + 2 : c * 130 + 130] for c in range(8)]
    assert films.numbers(tiles) == [0, 1, 3, 4, 5, 6, 7, 51]  # white is 255


def test_a_preview_that_cannot_be_drawn_is_refused(tmp_path):
    films.stills(tmp_path / "v", films.frames(3))
    with pytest.raises(DiswmError, match=r"has the suffix '\.jpg', expected \.png"):
        preview(open_source(tmp_path / "v"), tmp_path / "p.jpg", Conversion())
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / "a.mp4").touch()
    with pytest.raises(DiswmError, match=r"None of 1 clips can be decoded. The first: a\.mp4"):
        preview(open_source(tmp_path / "w"), tmp_path / "p.png", Conversion())
    assert {path.name for path in tmp_path.iterdir()} == {"v", "w"}

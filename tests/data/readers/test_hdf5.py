"""HDF5: pictures wherever they lie, cut at the episodes; nothing outside the file, nothing beyond the bounds."""

import sys

import films
import h5py
import numpy as np
import pytest

from diswm.contract import DiswmError
from diswm.data.readers import hdf5, open_source

KNOWN = films.frames(9)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (KNOWN, list(range(9))),
        (np.moveaxis(KNOWN, -1, 1), list(range(9))),
        (KNOWN[..., :1], list(range(9))),
        (KNOWN[..., 0], list(range(9))),  # grey
        (np.concatenate([KNOWN, 0 * KNOWN[..., :1]], -1), list(range(9))),  # with opacity
    ],
)
def test_pictures_in_any_layout(tmp_path, value, expected):
    clip = films.only(films.hdf5(tmp_path / "a.h5", {"group/pixels": value, "group/action": np.zeros((9, 2))}))
    assert (clip.name, clip.camera, clip.head().frames, clip.head().size) == ("a.h5:group/pixels", "pixels", 9, (32, 32))
    found = list(clip.frames(lambda index: True))
    assert films.numbers(found) == expected
    assert {image.size for image in found} == {(32, 32)}
    np.testing.assert_array_equal(np.asarray(found[4]), KNOWN[4])


def test_blocks_of_any_size_give_the_same_frames(tmp_path, monkeypatch):
    path = films.hdf5(tmp_path / "a.h5", {"x": films.frames(20)}, chunks=(3, 32, 32, 3), compression="gzip")
    monkeypatch.setattr(hdf5, "_READ", 4 * 32 * 32 * 3)
    assert films.opened(path) == {"a.h5:x": list(range(20))}


def test_each_camera_of_each_demonstration_is_a_clip_and_next_frames_are_not(tmp_path):
    sets = {f"data/demo_{n}/{part}/{camera}": films.frames(3, n) for n in (0, 2, 10) for part in ("obs", "next_obs") for camera in "ab"}
    found = films.opened(films.hdf5(tmp_path / "a.hdf5", sets))
    assert list(found) == [f"a.hdf5:data/demo_{n}/obs/{camera}" for n in (0, 2, 10) for camera in "ab"]
    assert found["a.hdf5:data/demo_10/obs/a"] == [10, 11, 12]


def test_a_five_dimensional_set_holds_an_episode_in_each_row(tmp_path):
    path = films.hdf5(tmp_path / "a.h5", {"v": np.stack([films.frames(4), films.frames(4, 7)])})
    assert films.opened(path) == {"a.h5:v[0]": [0, 1, 2, 3], "a.h5:v[1]": [7, 8, 9, 10]}


@pytest.mark.parametrize(
    "columns",
    [
        {"is_first": [1, 0, 0, 0, 1, 0, 1, 0, 0]},
        {"done": [0, 0, 0, 1, 0, 1, 0, 0, 0]},
        {"terminals": [0, 0, 0, 1, 0, 0, 0, 0, 0], "timeouts": [0, 0, 0, 0, 0, 1, 0, 0, 1]},
        {"episode_index": [4, 4, 4, 4, 2, 2, 3, 3, 3]},
        {"step_type": [[0], [1], [1], [2], [0], [2], [0], [1], [2]]},
        {"ep_offset": [0, 4, 6], "ep_len": [4, 2, 3]},
    ],
)
def test_episodes_are_cut_where_the_columns_beside_the_pictures_say(tmp_path, columns):
    found = films.opened(films.hdf5(tmp_path / "a.h5", {"pixels": KNOWN, **columns}))
    assert found == {"a.h5:pixels[0:4]": [0, 1, 2, 3], "a.h5:pixels[4:6]": [4, 5], "a.h5:pixels[6:9]": [6, 7, 8]}


def test_columns_of_another_length_cut_nothing(tmp_path):
    assert list(films.opened(films.hdf5(tmp_path / "a.h5", {"pixels": KNOWN, "done": np.ones(8), "is_first": np.ones(90)}))) == [
        "a.h5:pixels"
    ]


def test_a_file_without_pictures_says_what_it_holds(tmp_path):
    films.hdf5(tmp_path / "a.h5", {"state": np.zeros((5, 4), np.float32), "codes": np.zeros((5, 7, 7, 3), np.uint8)})
    with h5py.File(tmp_path / "a.h5", "a") as file:
        file["pixels"] = h5py.ExternalLink("other.h5", "/pixels")
    films.hdf5(tmp_path / "other.h5", {"pixels": KNOWN})
    words = r"codes uint8 \(5, 7, 7, 3\), state float32 \(5, 4\).* Links to other files are not followed: pixels"
    with pytest.raises(DiswmError, match=words):
        open_source(tmp_path / "a.h5")


def test_hostile_sets_are_left_out_by_name_and_nothing_else_is_opened(tmp_path, monkeypatch):
    films.hdf5(tmp_path / "other.h5", {"pixels": KNOWN})
    (tmp_path / "raw").write_bytes(b"\x01" * KNOWN.nbytes)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("outside", KNOWN.shape, np.uint8, external=[(tmp_path / "raw", 0, KNOWN.nbytes)])
        layout = h5py.VirtualLayout(KNOWN.shape, np.uint8)
        layout[:] = h5py.VirtualSource(tmp_path / "other.h5", "pixels", KNOWN.shape)
        file.create_virtual_dataset("virtual", layout)
        file.create_dataset("huge", (10**12, 64, 64, 3), np.uint8, chunks=(1, 64, 64, 3))
        file.create_dataset("wide", (1, 10_000, 10_000, 3), np.uint8, chunks=(1, 50, 50, 3))[0, :1, :1] = 0
        file.create_dataset("unwritten", (9, 64, 64, 3), np.uint8)
        file.create_dataset("piece", data=KNOWN, chunks=(9, 32, 32, 3))  # 27,648 bytes
        file["good"] = KNOWN
        file["circle/self"] = file["/"]
    monkeypatch.setattr(hdf5, "MAX_CHUNK", 27_000)
    monkeypatch.setattr(hdf5, "ALWAYS", 1 << 29)
    source = open_source(tmp_path / "a.h5")
    expected = {
        "outside": "lies in other files, which are not opened",
        "virtual": "lies in other files, which are not opened",
        "huge": "declares shape (1000000000000, 64, 64, 3) with only 0 bytes in the file",
        "wide": "its pictures are 10000 x 10000; at most 67,108,864 pixels are read",
        "unwritten": "declares shape (9, 64, 64, 3) but was never written",
        "piece": "is stored in pieces of (9, 32, 32, 3), more than the limit of 27,000 bytes each",
    }
    assert {name.removeprefix("a.h5:"): why for name, why in source.skipped} == expected
    assert [clip.name for clip in source.clips] == ["a.h5:good"]


def test_a_damaged_file_is_left_out_among_good_ones_and_refused_alone(tmp_path):
    films.hdf5(tmp_path / "v" / "a.h5", {"x": KNOWN})
    (tmp_path / "v" / "b.h5").write_bytes((tmp_path / "v" / "a.h5").read_bytes()[:900])
    (tmp_path / "v" / "c.h5").write_text("none")
    source = open_source(tmp_path / "v")
    assert [clip.name for clip in source.clips] == ["a.h5:x"]
    assert [name for name, _ in source.skipped] == ["b.h5", "c.h5"]
    with pytest.raises(DiswmError, match=r"c\.h5: cannot be read"):
        open_source(tmp_path / "v" / "c.h5")


def test_a_missing_package_is_named_with_its_command(tmp_path, monkeypatch):
    films.hdf5(tmp_path / "a.h5", {"x": KNOWN})
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(DiswmError, match=r"pip install 'diswm\[readers\]'"):
        open_source(tmp_path / "a.h5")

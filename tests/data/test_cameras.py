"""Several cameras in a data set: nothing is mixed or left out without a word."""

import films
import pytest

from diswm.contract import DiswmError
from diswm.data.cameras import remarks
from diswm.data.convert import Conversion, convert
from diswm.data.manifest import read_manifest


def converted(tmp_path, sources, camera=None):
    """Names of the clips that are taken, and what is said of the cameras."""
    out = tmp_path / f"out-{sources[0]}-{camera}"
    convert([tmp_path / source for source in sources], out, Conversion(32, camera=camera))
    manifest = read_manifest(out)
    return [clip["name"] for clip in manifest["clips"]], remarks(manifest)


def test_mixed_cameras_are_said(tmp_path):
    films.lerobot(tmp_path / "robot", lengths=(3, 2))
    names, lines = converted(tmp_path, ["robot"])
    assert len(names) == 4
    assert lines == [f"2 cameras are mixed, each clip is of one: {films.TOP} (2 clips), {films.WRIST} (2 clips). --camera takes one alone"]


def test_of_a_camera_what_is_left_out_is_said(tmp_path):
    films.lerobot(tmp_path / "robot", lengths=(3, 2))
    films.stills(tmp_path / "films" / "a", films.frames(3))
    films.movie(tmp_path / "films" / "b.mp4", films.frames(3))
    names, lines = converted(tmp_path, ["robot", "films"], films.TOP)
    assert names == [f"robot/episode {n}, {films.TOP}" for n in (0, 1)]
    assert lines == [
        f"left out, of other cameras: {films.WRIST} (2 clips)",
        "left out, without a camera of that name: films/a/, films/b.mp4",
    ]


def test_one_camera_is_nothing_to_speak_of(tmp_path):
    films.minari(tmp_path / "toy", "hdf5", False)
    films.stills(tmp_path / "clip", films.frames(3))
    assert converted(tmp_path, ["toy"])[1] == []
    assert converted(tmp_path, ["toy"], "pixels")[1] == []
    assert converted(tmp_path, ["clip"])[1] == []


def test_of_films_and_frames_the_folder_may_be_the_camera(tmp_path):
    films.stills(tmp_path / "v" / "0" / "top", films.frames(3))
    films.stills(tmp_path / "v" / "0" / "side", films.frames(3))
    films.movie(tmp_path / "v" / "1" / "top.mp4", films.frames(3))
    films.movie(tmp_path / "v" / "top" / "2.mp4", films.frames(3))
    films.movie(tmp_path / "v" / "topper.mp4", films.frames(3))
    names, lines = converted(tmp_path, ["v"], "top")
    assert names == ["0/top/", "1/top.mp4", "top/2.mp4"]
    assert lines == ["left out, without a camera of that name: 0/side/, topper.mp4"]


def test_a_camera_that_there_is_not(tmp_path):
    films.lerobot(tmp_path / "robot", lengths=(3,))
    with pytest.raises(DiswmError, match=r"no camera 'observation\.images\.topp'\. Did you mean observation\.images\.top"):
        converted(tmp_path, ["robot"], "observation.images.topp")
    films.stills(tmp_path / "clip", films.frames(3))
    with pytest.raises(DiswmError, match="name no cameras"):
        converted(tmp_path, ["clip"], "top")
    assert {path.name for path in tmp_path.iterdir()} == {"robot", "clip"}

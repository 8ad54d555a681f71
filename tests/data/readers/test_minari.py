"""Minari: the pictures among the observations, as pixels or JPEG, in HDF5 or Arrow."""

import json

import films
import pytest

from diswm.contract import DiswmError
from diswm.data.readers import open_source


@pytest.mark.parametrize("kind", ["hdf5", "arrow"])
@pytest.mark.parametrize("jpeg", [True, False])
def test_the_pictures_of_the_observations_episode_by_episode(tmp_path, kind, jpeg):
    lengths = (5, 3, *[2] * 9)  # so that 10 comes after 2
    films.minari(tmp_path / "m", kind, jpeg, lengths)
    for folder in (tmp_path / "m", tmp_path / "m" / "data"):
        found = films.opened(folder)
        assert list(found.values())[:2] == [[0, 1, 2, 3, 4], [10, 11, 12]]
        assert len(found) == len(lengths)
        assert list(found)[10] == ("10/part-0.arrow:pixels" if kind == "arrow" else "main_data.hdf5:episode_10/observations/pixels")
    clip = open_source(tmp_path / "m").clips[0]
    assert (clip.camera, clip.head().frames) == ("pixels", 5)
    assert open_source(tmp_path / "m").kind == f"Minari ({kind})"


def test_missing_parts_are_told(tmp_path):
    films.minari(tmp_path / "a", "hdf5", True)
    (tmp_path / "a" / "data" / "main_data.hdf5").unlink()
    with pytest.raises(DiswmError, match=r"without its main_data\.hdf5"):
        open_source(tmp_path / "a")
    films.minari(tmp_path / "b", "arrow", True)
    for path in (tmp_path / "b").rglob("*.arrow"):
        path.unlink()
    with pytest.raises(DiswmError, match="without its episodes"):
        open_source(tmp_path / "b")
    path = films.minari(tmp_path / "c", "arrow", True) / "data" / "metadata.json"
    for space, words in [({"type": "Box", "dtype": "float32", "shape": [3]}, "hold no pictures"), (None, "has no observation_space")]:
        path.write_text(json.dumps({"data_format": "arrow", "observation_space": space and json.dumps(space)}))
        with pytest.raises(DiswmError, match=words):
            open_source(tmp_path / "c")
    path.write_text(json.dumps({"data_format": "zarr"}))
    with pytest.raises(DiswmError, match="format 'zarr'"):
        open_source(tmp_path / "c")


def test_metadata_of_something_else_does_not_make_it_minari(tmp_path):
    films.stills(tmp_path / "v", films.frames(3))
    (tmp_path / "v" / "metadata.json").write_text("{")
    assert films.opened(tmp_path / "v") == {"v/": [0, 1, 2]}


def test_arrow_files_that_are_damaged_or_not_as_the_space_says_fail_alone(tmp_path):
    films.minari(tmp_path, "arrow", False)
    (tmp_path / "data" / "0" / "part-0.arrow").write_bytes(b"ARROW1 cut")
    path = tmp_path / "data" / "metadata.json"
    facts = json.loads(path.read_text())
    bad, good = open_source(tmp_path).clips
    with pytest.raises(DiswmError, match="cannot be read"):
        bad.head()
    assert films.numbers(good.frames(lambda index: True)) == [10, 11, 12]
    facts["observation_space"] = json.dumps({"type": "Dict", "subspaces": {"pixels": films.box((16, 32, 3))}})
    path.write_text(json.dumps(facts))
    with pytest.raises(DiswmError, match=r"3072 numbers of uint8, not \(16, 32, 3\) bytes"):
        next(open_source(tmp_path).clips[1].frames(lambda index: True))

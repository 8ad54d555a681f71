"""What a folder is taken for where kinds are mixed."""

import films
import numpy as np
import pytest

from diswm.contract import DiswmError
from diswm.data.episodes import save_episode
from diswm.data.readers import inputs, is_foreign, open_source


def test_data_sets_of_other_layouts_inside_a_folder_keep_their_episodes(tmp_path):
    films.lerobot(tmp_path / "robots" / "one", lengths=(5, 4))
    films.lerobot(tmp_path / "robots" / "two", lengths=(3,), wrist="image")
    films.minari(tmp_path / "toy", "hdf5", False)
    films.movie(tmp_path / "a.mp4", films.frames(6))
    source = open_source(tmp_path)
    assert {clip.name: clip.head().frames for clip in source.clips} == {
        "a.mp4": 6,
        **{f"robots/one/episode {n}, {camera}": 5 - n for n in (0, 1) for camera in (films.TOP, films.WRIST)},
        **{f"robots/two/episode 0, {camera}": 3 for camera in (films.TOP, films.WRIST)},
        **{f"toy/data/main_data.hdf5:episode_{n}/observations/pixels": 5 - 2 * n for n in (0, 1)},
    }
    assert "2 data sets of LeRobot v3.0" in source.kind
    assert not source.other


def test_a_folder_of_nothing_but_such_data_sets_opens_and_a_broken_one_is_named(tmp_path):
    films.minari(tmp_path / "a", "arrow", True)
    films.lerobot(tmp_path / "b", lengths=(3,))
    (tmp_path / "b" / "meta" / "info.json").write_text("{")
    assert is_foreign(tmp_path)
    source = open_source(tmp_path)
    assert len(source.clips) == 2
    assert [name for name, _ in source.skipped] == ["b/"]
    assert "a/data/metadata.json" in inputs(tmp_path)
    assert "b/meta/info.json" in inputs(tmp_path)


def test_arrays_beside_films_do_not_hide_them_and_films_beside_episodes_are_said(tmp_path):
    films.movie(tmp_path / "a.mp4", films.frames(6))
    np.savez(tmp_path / "labels.npz", labels=np.zeros(6))
    assert [clip.name for clip in open_source(tmp_path).clips] == ["a.mp4"]
    assert inputs(tmp_path) == {"a.mp4": [tmp_path / "a.mp4"]}
    save_episode(tmp_path, {"image": films.frames(4)}, "0.npz")
    source = open_source(tmp_path)
    assert [clip.name for clip in source.clips] == ["0.npz"]
    assert ("a.mp4", "1 such files lie beside .npz episodes and are not read. Move them elsewhere") in source.skipped


def test_a_film_that_was_never_finished_is_told(tmp_path):
    path = films.movie(tmp_path / "a.mp4", films.frames(9))
    path.write_bytes(path.read_bytes()[:1500])  # its index is at the end
    with pytest.raises(DiswmError, match="it is no film, or was cut off, or was never finished"):
        films.only(path).head()
